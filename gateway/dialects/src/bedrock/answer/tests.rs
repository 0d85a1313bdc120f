use proptest::prelude::*;
use serde_json::{Value, json};
use steward_answers::usage::Usage;

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
        Delta::Usage(Usage { tokens, .. }) => format!("usage {} {}", tokens.input.0, tokens.output.0),
        Delta::Failed(Problem { message, code, status, .. }) => format!("failed {message:?} {code:?} {status:?}"),
        other => format!("{other:?}"),
    }
}

fn block(index: u64, delta: &Value) -> Value {
    json!({ "contentBlockDelta": { "contentBlockIndex": index, "delta": delta } })
}

#[test]
fn a_whole_answer_is_read_with_thoughts_and_calls() {
    let answer = answer(&json!({
        "output": { "message": { "role": "assistant", "content": [
            { "reasoningContent": { "reasoningText": { "text": "Hm.", "signature": "sig" } } },
            { "reasoningContent": { "redactedContent": "eA==" } },
            { "text": "I will ask." },
            { "citationsContent": { "content": [{ "text": "So it " }, { "text": "says." }], "citations": [] } },
            { "toolUse": { "toolUseId": "t1", "name": "weather", "input": { "city": "Bonn" } } },
        ] } },
        "stopReason": "tool_use",
        "usage": { "inputTokens": 10, "outputTokens": 5, "totalTokens": 115, "cacheReadInputTokens": 100 },
        "metrics": { "latencyMs": 7 },
    }));
    let tokens = answer.usage.unwrap().tokens;
    assert_eq!((tokens.input.0, tokens.cached.0, tokens.output.0), (110, 100, 5));
    let [Choice { parts, end: Some(End::ToolUse) }] = &answer.choices[..] else { panic!("{answer:?}") };
    let [
        Content::Thinking { text: thought, signature: Some(signature) },
        Content::HiddenThinking(hidden),
        Content::Text(text),
        Content::Text(cited),
        Content::ToolUse(call),
    ] = &parts[..]
    else {
        panic!("{parts:?}")
    };
    assert_eq!((thought.as_str(), signature.as_str(), hidden.as_str()), ("Hm.", "sig", "eA=="));
    assert_eq!((text.as_str(), cited.as_str()), ("I will ask.", "So it says."));
    assert_eq!((call.id.as_str(), call.name.as_str(), call.input.as_str()), ("t1", "weather", r#"{"city":"Bonn"}"#));
}

#[test]
fn why_an_answer_ends_is_read() {
    for (reason, expected) in [
        ("end_turn", End::Stop),
        ("stop_sequence", End::Stop),
        ("max_tokens", End::Length),
        ("model_context_window_exceeded", End::Length),
        ("guardrail_intervened", End::Filtered),
        ("content_filtered", End::Filtered),
        ("something_new", End::Stop),
    ] {
        assert_eq!(end(reason), expected, "{reason}");
    }
}

#[test]
fn a_problem_is_told_and_nonsense_is_unreadable() {
    let problem = whole(br#"{"message":"The model is not there."}"#);
    assert!(matches!(problem, Whole::Problem(Problem { message: Some(_), .. })));
    for nonsense in ["", "[]", "{}", r#"{"output":{}}"#, r#"{"output":"#] {
        assert!(matches!(whole(nonsense.as_bytes()), Whole::Unreadable), "{nonsense}");
    }
}

#[test]
fn a_stream_is_read_piece_by_piece() {
    let start = |index: u64, id: &str| {
        let call = json!({ "toolUseId": id, "name": "time" });
        json!({ "contentBlockStart": { "contentBlockIndex": index, "start": { "toolUse": call } } })
    };
    let stop = |index: u64| json!({ "contentBlockStop": { "contentBlockIndex": index } });
    let events = [
        json!({ "messageStart": { "role": "assistant", "p": "abc" } }),
        block(0, &json!({ "reasoningContent": { "text": "Hm." } })),
        block(0, &json!({ "reasoningContent": { "signature": "sig" } })),
        stop(0),
        block(1, &json!({ "text": "Hi" })),
        stop(1),
        start(2, "t1"),
        block(2, &json!({ "toolUse": { "input": "{\"a\"" } })),
        block(2, &json!({ "toolUse": { "input": ":1}" } })),
        stop(2),
        start(3, "t2"),
        stop(3),
        json!({ "somethingNew": { "a": 1 } }),
        json!({ "messageStop": { "stopReason": "tool_use" } }),
        json!({ "metadata": { "usage": { "inputTokens": 4, "outputTokens": 6, "totalTokens": 10 }, "metrics": {} } }),
    ];
    assert_eq!(
        streamed(&events),
        [
            "Begins { id: None, model: None }",
            r#"Thinking(0, "Hm.")"#,
            r#"Signature(0, "sig")"#,
            r#"Text(0, "Hi")"#,
            r#"ToolBegins { choice: 0, number: 0, id: "t1", name: "time" }"#,
            r#"ToolInput { choice: 0, number: 0, text: "{\"a\"" }"#,
            r#"ToolInput { choice: 0, number: 0, text: ":1}" }"#,
            r#"ToolBegins { choice: 0, number: 1, id: "t2", name: "time" }"#,
            r#"ToolInput { choice: 0, number: 1, text: "{}" }"#,
            "Ends(0, ToolUse)",
            "usage 4 6",
            "Done",
        ]
    );
    assert!(!streamed(&events[..5]).contains(&"Done".to_owned()), "it broke off");
}

#[test]
fn an_exception_in_a_stream_is_told() {
    assert_eq!(
        streamed(&[
            json!({ "throttlingException": { "message": "too much" } }),
            json!({ "modelStreamErrorException": { "originalStatusCode": 500, "originalMessage": "it fell over" } }),
            json!({ "error": { "code": "Internal", "message": null } }),
        ]),
        [
            r#"failed Some("too much") Some("throttlingException") Some(429)"#,
            r#"failed Some("it fell over") Some("modelStreamErrorException") Some(424)"#,
            r#"failed None Some("Internal") None"#,
        ]
    );
    for nonsense in ["", "{}", "7", "[1]", r#"{"contentBlockDelta":{}}"#] {
        assert!(matches!(&Reader::default().read(&nonsense.into())[..], [Delta::Unreadable]), "{nonsense}");
    }
    let stray = block(9, &json!({ "toolUse": { "input": "{}" } }));
    assert_eq!(streamed(&[stray]), ["Unreadable"], "a call that never began");
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
