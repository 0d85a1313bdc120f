use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn answer(body: &Value) -> Answer {
    match whole(body.to_string().as_bytes()) {
        Whole::Answer(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// What a stream of these events says, in short, and at its end.
fn streamed(events: &[Value]) -> Vec<String> {
    let mut reader = Reader::default();
    let mut deltas: Vec<Delta> = events.iter().flat_map(|event| reader.read(&Bytes::from(event.to_string()))).collect();
    deltas.extend(reader.end());
    deltas.iter().map(in_short).collect()
}

fn in_short(delta: &Delta) -> String {
    match delta {
        Delta::Begins { id, model } => format!("begins {} {}", id.as_deref().unwrap(), model.as_deref().unwrap()),
        Delta::Usage(Usage { tokens, .. }) => format!("usage {} {}", tokens.input.0, tokens.output.0),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_whole_answer_is_read_with_thoughts_and_calls() {
    let answer = answer(&json!({
        "candidates": [{
            "content": { "role": "model", "parts": [
                { "text": "Let me look.", "thought": true },
                { "text": "I will ask." },
                { "functionCall": { "id": "f1", "name": "weather", "args": { "city": "Bonn" } }, "thoughtSignature": "ab+/" },
                { "functionCall": { "name": "time" } },
                { "text": "", "thoughtSignature": "xx==" },
            ] },
            "finishReason": "STOP", "index": 0, "safetyRatings": [],
        }],
        "usageMetadata": { "promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 7, "totalTokenCount": 22 },
        "modelVersion": "gemini-x", "responseId": "r1",
    }));
    assert_eq!((answer.id.as_deref(), answer.model.as_deref()), (Some("r1"), Some("gemini-x")));
    let tokens = answer.usage.unwrap().tokens;
    assert_eq!((tokens.input.0, tokens.output.0, tokens.reasoning.0), (10, 12, 7));
    let [Choice { parts, end: Some(End::ToolUse) }] = &answer.choices[..] else { panic!("{answer:?}") };
    let [
        Content::Thinking { text: thought, signature: None },
        Content::Text(text),
        Content::ToolUse(first),
        Content::ToolUse(second),
    ] = &parts[..]
    else {
        panic!("{parts:?}")
    };
    assert_eq!((thought.as_str(), text.as_str()), ("Let me look.", "I will ask."));
    assert_eq!(call_id::split(&first.id), ("f1", Some("ab+/".to_owned())));
    assert_eq!((first.name.as_str(), first.input.as_str()), ("weather", r#"{"city":"Bonn"}"#));
    assert_eq!((second.id.as_str(), second.input.as_str()), ("call_r1_0_1", "{}"));
}

#[test]
fn why_an_answer_ends_is_read() {
    let end = |reason: &str| {
        let candidate = json!({ "content": { "parts": [{ "text": "a" }] }, "finishReason": reason });
        answer(&json!({ "candidates": [candidate] })).choices[0].end.clone()
    };
    assert_eq!(end("STOP"), Some(End::Stop));
    assert_eq!(end("MAX_TOKENS"), Some(End::Length));
    assert_eq!(end("SAFETY"), Some(End::Filtered));
    assert_eq!(end("SOMETHING_NEW"), Some(End::Stop));
    assert_eq!(end("FINISH_REASON_UNSPECIFIED"), None);
}

#[test]
fn a_request_that_is_held_back_is_a_filtered_answer() {
    let body = json!({
        "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" },
        "usageMetadata": { "promptTokenCount": 9, "totalTokenCount": 9 }, "responseId": "r", "modelVersion": "m",
    });
    let answer = answer(&body);
    assert!(matches!(&answer.choices[..], [Choice { parts, end: Some(End::Filtered) }] if parts.is_empty()));
    assert_eq!(answer.usage.unwrap().tokens.total().0, 9);
    assert_eq!(streamed(&[body]), ["begins r m", "Ends(0, Filtered)", "usage 9 0", "Done"]);
}

#[test]
fn a_problem_is_told_and_nonsense_is_unreadable() {
    let error = json!({ "error": { "code": 503, "message": "overloaded", "status": "UNAVAILABLE" } });
    assert!(matches!(whole(error.to_string().as_bytes()), Whole::Problem(Problem { status: Some(503), .. })));
    assert!(matches!(&Reader::default().read(&error.to_string().into())[..], [Delta::Failed(_)]));
    for nonsense in ["", "{", "[]", "{}", "7"] {
        assert!(matches!(whole(nonsense.as_bytes()), Whole::Unreadable), "{nonsense}");
    }
}

#[test]
fn a_stream_is_read_piece_by_piece() {
    let piece = |candidate: Value, usage: Value| json!({ "candidates": [candidate], "usageMetadata": usage, "responseId": "r", "modelVersion": "m" });
    let part = |part: Value| json!({ "content": { "parts": [part], "role": "model" }, "index": 0 });
    let mut last = part(json!({ "functionCall": { "name": "time", "args": {} } }));
    last["finishReason"] = json!("STOP");
    let events = [
        piece(part(json!({ "text": "Hm.", "thought": true })), json!({ "promptTokenCount": 4, "totalTokenCount": 4 })),
        piece(
            part(json!({ "text": "Hi" })),
            json!({ "promptTokenCount": 4, "candidatesTokenCount": 1, "totalTokenCount": 5 }),
        ),
        piece(part(json!({ "functionCall": { "id": "f", "name": "time", "args": { "a": 1 } } })), json!(null)),
        piece(
            last,
            json!({ "promptTokenCount": 4, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 9 }),
        ),
    ];
    assert_eq!(
        streamed(&events),
        [
            "begins r m",
            r#"Thinking(0, "Hm.")"#,
            "usage 4 0",
            r#"Text(0, "Hi")"#,
            "usage 4 1",
            r#"ToolBegins { choice: 0, number: 0, id: "f", name: "time" }"#,
            r#"ToolInput { choice: 0, number: 0, text: "{\"a\":1}" }"#,
            r#"ToolBegins { choice: 0, number: 1, id: "call_r_0_1", name: "time" }"#,
            r#"ToolInput { choice: 0, number: 1, text: "{}" }"#,
            "Ends(0, ToolUse)",
            "usage 4 5",
            "Done",
        ]
    );
    assert!(!streamed(&events[..3]).contains(&"Done".to_owned()), "it broke off");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), text in r#"[{}\[\]":,a-z0-9 ]{0,60}"#) {
        for body in [body, text.into_bytes()] {
            let _ = whole(&body);
            let _ = Reader::default().read(&Bytes::from(body));
        }
    }
}
