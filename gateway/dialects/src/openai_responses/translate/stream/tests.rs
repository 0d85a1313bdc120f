//! Events of a translated stream, as a client of the Responses API puts them together.

use proptest::prelude::*;
use serde_json::{Value, json};
use steward_answers::problem::Problem;
use steward_answers::responses::{Event, read_event};
use steward_answers::usage::Usage;
use steward_events::event::TokenUsage;
use steward_events::quantity::Tokens;

use super::*;

fn writer() -> Writer {
    Writer::new(Frame { id: "req_1".to_owned(), model: "theirs".to_owned(), created: 7 })
}

fn written(deltas: Vec<Delta>) -> Vec<Value> {
    let mut writer = writer();
    let events: Vec<Bytes> = deltas.into_iter().flat_map(|delta| writer.write(delta)).collect();
    events.iter().map(|event| serde_json::from_slice(event).unwrap()).collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn begins() -> Delta {
    Delta::Begins { id: Some("chatcmpl-1".to_owned()), model: Some("their-model".to_owned()) }
}

fn usage() -> Usage {
    let tokens = TokenUsage { input: Tokens(12), output: Tokens(9), ..TokenUsage::default() };
    Usage { tokens, input_is_said: true, output_is_said: true }
}

#[test]
fn text_is_streamed_event_by_event() {
    let events = written(vec![
        begins(),
        Delta::Text(0, "good ".to_owned()),
        Delta::Text(0, "day".to_owned()),
        Delta::Ends(0, End::Stop),
        Delta::Usage(usage()),
        Delta::Done,
    ]);
    assert_eq!(
        kinds(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    assert!(events.iter().enumerate().all(|(number, event)| event["sequence_number"] == number));
    assert_eq!(
        events[4],
        json!({ "type": "response.output_text.delta", "sequence_number": 4, "item_id": "msg_req_1_0",
        "output_index": 0, "content_index": 0, "delta": "good " })
    );
    assert_eq!(events[6]["text"], "good day");
    let response = &events[9]["response"];
    assert_eq!((&response["id"], &response["model"]), (&json!("resp_chatcmpl-1"), &json!("their-model")));
    assert_eq!(response["output"][0]["content"][0]["text"], "good day");
    assert_eq!(response["usage"]["total_tokens"], 21);
    assert!(matches!(read_event(events[9].to_string().as_bytes()), Event::Last(Some(used)) if used == usage()));
}

#[test]
fn calls_may_come_in_turns() {
    let begins =
        |number: u64, id: &str| Delta::ToolBegins { choice: 0, number, id: id.to_owned(), name: "add".to_owned() };
    let give = |number: u64, text: &str| Delta::ToolInput { choice: 0, number, text: text.to_owned() };
    let events = written(vec![
        Delta::Text(0, "wait".to_owned()),
        begins(0, "call_a"),
        begins(1, "call_b"),
        give(0, "{\"a\""),
        give(1, "{}"),
        give(0, ":1}"),
        Delta::Ends(0, End::ToolUse),
        Delta::Done,
    ]);
    let output = &events.last().unwrap()["response"]["output"];
    let calls: Vec<_> =
        (1..3).map(|at| (&output[at]["call_id"], &output[at]["arguments"], &output[at]["status"])).collect();
    assert_eq!(calls[0], (&json!("call_a"), &json!("{\"a\":1}"), &json!("completed")));
    assert_eq!(calls[1], (&json!("call_b"), &json!("{}"), &json!("completed")));
    assert_eq!(output[0]["content"][0]["text"], "wait");
    assert_eq!(kinds(&events).iter().filter(|kind| **kind == "response.function_call_arguments.done").count(), 2);
}

#[test]
fn thoughts_keep_their_proofs_apart() {
    let events = written(vec![
        begins(),
        Delta::Thinking(0, "first".to_owned()),
        Delta::Signature(0, "s1".to_owned()),
        Delta::Thinking(0, "second".to_owned()),
        Delta::Signature(0, "s2".to_owned()),
        Delta::HiddenThinking(0, "xx".to_owned()),
        Delta::Text(0, "so".to_owned()),
        Delta::Refusal(0, "no".to_owned()),
        Delta::Ends(0, End::Refusal),
        Delta::Done,
    ]);
    let output = &events.last().unwrap()["response"]["output"];
    let sealed: Vec<&Value> = (0..3).map(|at| &output[at]["encrypted_content"]).collect();
    assert_eq!(sealed, [&json!("signed:s1"), &json!("signed:s2"), &json!("hidden:xx")]);
    assert_eq!(output[0]["summary"][0]["text"], "first");
    assert_eq!((&output[3]["content"][0]["text"], &output[3]["content"][1]["refusal"]), (&json!("so"), &json!("no")));
}

#[test]
fn an_answer_that_is_cut_short_ends_incomplete() {
    let events = written(vec![begins(), Delta::Text(0, "goo".to_owned()), Delta::Ends(0, End::Length), Delta::Done]);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(last["response"]["output"][0]["status"], "incomplete");
}

#[test]
fn a_stream_that_broke_off_says_no_end() {
    let events = written(vec![begins(), Delta::Text(0, "goo".to_owned())]);
    assert_eq!(kinds(&events).last(), Some(&"response.output_text.delta"));
    let problem = Problem { message: Some("overloaded".to_owned()), ..Problem::default() };
    let events = written(vec![begins(), Delta::Failed(problem), Delta::Text(0, "x".to_owned()), Delta::Done]);
    assert_eq!(kinds(&events), ["response.created", "response.in_progress", "error"]);
    assert!(matches!(read_event(events[2].to_string().as_bytes()), Event::Problem(_)));
}

#[test]
fn what_is_kept_has_a_bound() {
    let mut writer = writer();
    let block = "x".repeat(1024 * 1024);
    let kinds: Vec<String> = (0..20)
        .flat_map(|_| writer.write(Delta::Text(0, block.clone())))
        .map(|event| serde_json::from_slice::<Value>(&event).unwrap()["type"].to_string())
        .collect();
    assert_eq!(kinds.iter().filter(|kind| kind.contains("delta")).count(), 17);
    assert_eq!(kinds.last().unwrap(), "\"error\"");
}

fn any_delta() -> impl Strategy<Value = Delta> {
    let text = || "[a-c]{0,3}";
    prop_oneof![
        (0..2_u64, text()).prop_map(|(choice, text)| Delta::Text(choice, text)),
        text().prop_map(|text| Delta::Thinking(0, text)),
        text().prop_map(|text| Delta::Signature(0, text)),
        text().prop_map(|text| Delta::HiddenThinking(0, text)),
        text().prop_map(|text| Delta::Refusal(0, text)),
        (0..3_u64).prop_map(|number| Delta::ToolBegins {
            choice: 0,
            number,
            id: format!("c{number}"),
            name: "f".to_owned()
        }),
        (0..3_u64, text()).prop_map(|(number, text)| Delta::ToolInput { choice: 0, number, text }),
        Just(begins()),
        Just(Delta::Usage(usage())),
    ]
}

proptest! {
    #[test]
    fn deltas_always_add_up_to_the_last_event(deltas in prop::collection::vec(any_delta(), 0..20)) {
        let mut deltas = deltas;
        deltas.extend([Delta::Ends(0, End::Stop), Delta::Done]);
        let events = written(deltas);
        let last = &events.last().unwrap()["response"];
        let begun: Vec<&Value> = events.iter().filter(|event| event["type"] == "response.output_item.added").collect();
        let done: Vec<&Value> = events.iter().filter(|event| event["type"] == "response.output_item.done").collect();
        let output = last["output"].as_array().unwrap();
        prop_assert_eq!((begun.len(), done.len()), (output.len(), output.len()));
        for event in done {
            prop_assert_eq!(&event["item"], &output[usize::try_from(event["output_index"].as_u64().unwrap()).unwrap()]);
        }
        let said = |kind: &str, at: usize, part: u64| -> String {
            let of = events.iter().filter(|event| event["type"] == kind && event["output_index"] == at && event["content_index"] == part);
            of.map(|event| event["delta"].as_str().unwrap()).collect()
        };
        for (at, item) in output.iter().enumerate().filter(|(_, item)| item["type"] == "message") {
            for (number, part) in (0_u64..).zip(item["content"].as_array().unwrap()) {
                let text = part["text"].as_str().or_else(|| part["refusal"].as_str()).unwrap();
                let kind = if part["type"] == "refusal" { "response.refusal.delta" } else { "response.output_text.delta" };
                prop_assert_eq!(said(kind, at, number), text);
            }
        }
    }
}
