use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::canonical::{TranslatesCaller, TranslatesUpstream};
use crate::openai_chat::OpenAiChat;
use crate::testing::any_json;
use crate::{Dialect, Recipient, Speaks};

fn fields(body: &Value) -> Fields {
    Fields::read(&body.to_string().into()).unwrap()
}

fn value(fields: &Fields) -> Value {
    serde_json::from_slice(&fields.write()).unwrap()
}

fn by_bytes(text: &str) -> u64 {
    text.len() as u64
}

fn rows(count: usize) -> String {
    let rows: Vec<Value> =
        (0..count).map(|n| json!({ "id": n, "name": format!("customer {n}"), "note": null })).collect();
    serde_json::to_string_pretty(&rows).unwrap()
}

fn nested() -> String {
    let pods: Vec<Value> =
        (0..9).map(|n| json!({ "pod": n, "labels": { "app": "a" }, "owner": "", "ip": null })).collect();
    serde_json::to_string_pretty(&json!({ "items": pods })).unwrap()
}

fn compressed(body: &Value, prune: bool) -> (Value, Spared) {
    let mut fields = fields(body);
    let spared = compress(&mut fields, prune, &by_bytes);
    (value(&fields), spared)
}

#[test]
fn only_what_machines_wrote_is_said_in_fewer_words() {
    let (table, nested) = (rows(20), nested());
    let chat = json!({ "model": "m", "tools": [{ "a": 1 }], "messages": [
        { "role": "system", "content": nested },
        { "role": "user", "content": nested },
        { "role": "user", "content": [{ "type": "text", "text": nested }, { "type": "text", "text": table }] },
        { "role": "assistant", "content": nested, "tool_calls": [] },
        { "role": "tool", "tool_call_id": "c", "content": table },
        { "role": "tool", "tool_call_id": "d", "content": [{ "type": "text", "text": nested }] },
        { "role": "tool", "tool_call_id": "e", "content": "short" }] });
    let (said, spared) = compressed(&chat, false);
    let minified: String = serde_json::from_str::<Value>(&nested).unwrap().to_string();
    let (before, after) = (&chat["messages"], &said["messages"]);
    for same in [0, 1, 3, 6] {
        assert_eq!(after[same], before[same]);
    }
    assert_eq!(after[2]["content"][0]["text"], minified, "JSON beside what is asked");
    assert_eq!(after[2]["content"][1], before[2]["content"][1], "what is asked");
    let table_said = after[4]["content"].as_str().unwrap();
    assert!(table_said.starts_with("id,name,note\n0,customer 0,\n1,"), "{table_said}");
    assert_eq!(after[5]["content"][0]["text"], minified);
    assert_eq!(after[4]["tool_call_id"], "c");
    let fewer = 2 * (nested.len() - minified.len()) + table.len() - table_said.len();
    assert_eq!((spared.compressed_bytes, spared.compressed_tokens), (fewer as u64, fewer as u64));
    let (pruned, more) = compressed(&chat, true);
    assert!(!pruned["messages"][5]["content"][0]["text"].as_str().unwrap().contains("null"));
    assert!(more.compressed_bytes > spared.compressed_bytes);
}

#[test]
fn an_answer_within_a_users_message_is_said_in_fewer_words() {
    let nested = nested();
    let result =
        |content: Value| json!({ "type": "tool_result", "tool_use_id": "t", "content": content, "is_error": false });
    let said = json!({ "model": "m", "system": nested, "messages": [{ "role": "user", "content": [
        result(json!(nested)), result(json!([{ "type": "text", "text": nested }])), { "type": "text", "text": nested }] }] });
    let (said, spared) = compressed(&said, false);
    let content = &said["messages"][0]["content"];
    let minified: String = serde_json::from_str::<Value>(&nested).unwrap().to_string();
    assert_eq!((&content[0]["content"], &content[1]["content"][0]["text"]), (&json!(minified), &json!(minified)));
    assert_eq!((&content[0]["tool_use_id"], &content[2]["text"]), (&json!("t"), &json!(nested)));
    assert_eq!(spared.compressed_bytes, 2 * (nested.len() - minified.len()) as u64);
}

#[test]
fn the_same_text_is_said_alike_wherever_it_stands() {
    let turn = |n: usize| {
        [
            json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": n }] }),
            json!({ "role": "tool", "content": rows(9 + n) }),
        ]
    };
    let chat = |turns: usize| {
        let mut messages = vec![json!({ "role": "user", "content": "look" })];
        messages.extend((0..turns).flat_map(turn));
        compressed(&json!({ "model": "m", "messages": messages }), true).0
    };
    let (shorter, longer) = (chat(3), chat(4));
    let (shorter, longer) = (shorter["messages"].as_array().unwrap(), longer["messages"].as_array().unwrap());
    assert_eq!(longer[..shorter.len()], shorter[..], "the beginning is found in the provider's cache");
}

/// A chat of instructions and turns of about 100 tokens each; the last with a tool's answer.
fn chat(turns: usize) -> Value {
    let mut messages = vec![json!({ "role": "system", "content": "i".repeat(100) })];
    for turn in 0..turns {
        messages.push(json!({ "role": "user", "content": format!("{turn:050}") }));
        messages.push(json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": turn }] }));
        messages.push(json!({ "role": "tool", "tool_call_id": turn, "content": format!("{turn:050}") }));
        messages.push(json!({ "role": "assistant", "content": format!("{turn:050}") }));
    }
    messages.push(json!({ "role": "user", "content": "last" }));
    json!({ "model": "m", "messages": messages })
}

fn fitted(body: &Value, room: u64, trims: bool) -> Result<(Value, u64, u64), TooLong> {
    let mut fields = fields(body);
    let (turns, tokens) = fit(&mut fields, room, trims, &by_bytes)?;
    Ok((value(&fields), turns, tokens))
}

#[test]
fn a_chat_that_fits_stays_and_one_that_is_too_long_is_refused() {
    let Err(TooLong { tokens, room }) = fitted(&chat(5), 10, false) else { panic!() };
    assert_eq!(room, 10);
    assert_eq!(fitted(&chat(5), tokens, false).unwrap(), (chat(5), 0, 0), "exactly so long");
    assert_eq!(fitted(&chat(5), tokens - 1, false), Err(TooLong { tokens, room: tokens - 1 }));
}

#[test]
fn the_oldest_turns_go_whole_and_in_steps() {
    let Err(TooLong { tokens, .. }) = fitted(&chat(8), 0, false) else { panic!() };
    let (said, turns, spared) = fitted(&chat(8), tokens - 1, true).unwrap();
    let messages = said["messages"].as_array().unwrap();
    assert!(turns >= 1 && spared >= (tokens - 1) / 8, "a step at least: {turns} turns, {spared} of {tokens} tokens");
    assert_eq!((&messages[0]["role"], &messages[1]["role"]), (&json!("system"), &json!("user")));
    assert_eq!(messages.len(), 2 + (8 - usize::try_from(turns).unwrap()) * 4);
    // A turn more, and it begins at the same place: a step is more than a turn.
    let Err(TooLong { tokens: longer, .. }) = fitted(&chat(24), 0, false) else { panic!() };
    let first = |turns: usize| fitted(&chat(turns), longer * 2 / 3, true).unwrap().0["messages"][1].clone();
    let begins: Vec<Value> = (17..24).map(first).collect();
    let changes = begins.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!((1..6).contains(&changes), "{begins:?}");
}

#[test]
fn within_the_last_turn_steps_go_with_what_they_called() {
    let mut messages = vec![json!({ "role": "user", "content": "look at all of them" })];
    for n in 0..6 {
        messages.push(json!({ "role": "assistant", "content": [{ "type": "tool_use", "id": n, "input": {} }] }));
        let answers = json!([{ "type": "tool_result", "tool_use_id": n, "content": "x".repeat(400) }]);
        messages.push(json!({ "role": "user", "content": answers }));
    }
    let body = json!({ "model": "m", "system": "brief", "messages": messages });
    let (said, steps, _) = fitted(&body, 1_200, true).unwrap();
    let kept = said["messages"].as_array().unwrap();
    assert_eq!(kept[0], messages[0]);
    assert_eq!(kept[1..], messages[1 + 2 * usize::try_from(steps).unwrap()..], "each with its answer");
    assert!(kept.len() >= 3 && steps > 0);
    assert!(fitted(&body, 200, true).is_err(), "the last step stays");
    assert!(
        fitted(&json!({ "model": "m", "messages": [{ "role": "user", "content": "x".repeat(900) }] }), 100, true)
            .is_err()
    );
}

#[test]
fn an_image_counts_by_its_number_not_its_bytes() {
    let image = json!({ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{}", "A".repeat(100_000)) } });
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": [image, { "type": "text", "text": "what is it?" }] }] });
    assert_eq!(fitted(&body, 2_000, false).unwrap().1, 0);
}

fn marks(value: &Value) -> usize {
    value.to_string().matches("cache_control").count()
}

fn marked(body: &Value) -> Value {
    serde_json::from_slice(&with_marks(body.to_string().into())).unwrap()
}

#[test]
fn marks_follow_tools_instructions_and_all_but_the_newest() {
    let mark = json!({ "type": "ephemeral" });
    let body = json!({ "model": "m", "max_tokens": 9, "tools": [{ "name": "a" }, { "name": "b" }], "system": "be brief", "messages": [
        { "role": "user", "content": "hi" }, { "role": "assistant", "content": "ho" }, { "role": "user", "content": "and now?" }] });
    let said = marked(&body);
    assert_eq!((&said["tools"][1]["cache_control"], marks(&said["tools"][0])), (&mark, 0));
    assert_eq!(said["system"], json!([{ "type": "text", "text": "be brief", "cache_control": mark }]));
    assert_eq!(said["messages"][1]["content"], json!([{ "type": "text", "text": "ho", "cache_control": mark }]));
    assert_eq!((&said["messages"][2], marks(&said)), (&body["messages"][2], 3));
    assert_eq!(marked(&said), said, "who has marks gets no more");
    let bare = json!({ "messages": [{ "role": "user", "content": "hi" }] });
    assert_eq!(marked(&bare), bare);
    let thinks = json!({ "system": "", "messages": [
        { "role": "user", "content": "hi" },
        { "role": "assistant", "content": [{ "type": "thinking", "thinking": "hm", "signature": "s" }] },
        { "role": "user", "content": "and now?" }] });
    assert_eq!(marks(&marked(&thinks)), 0, "no mark follows what is empty or was thought");
    let quoted = json!({ "system": "say \"cache_control\"", "messages": [{ "role": "user", "content": "hi" }] });
    assert_eq!(marks(&marked(&quoted)), 2, "a word in a text is no mark");
}

#[test]
fn a_chat_is_marked_for_providers_that_want_it() {
    let body = json!({ "model": "m", "max_tokens": 9, "tools": [{ "type": "function", "function": { "name": "a" } }], "messages": [
        { "role": "system", "content": "be brief" }, { "role": "user", "content": "hi" },
        { "role": "assistant", "content": "ho" }, { "role": "user", "content": "and now?" }] });
    let mut request = OpenAiChat.read_request(&OpenAiChat.read(&body.to_string().into()).unwrap()).unwrap();
    mark(&mut request);
    let speaks = Speaks::Anthropic { effort: crate::anthropic::EffortForm::Word };
    let to = Recipient { speaks, model: "theirs", output_max: 9 };
    let said = crate::anthropic::Anthropic.write_request(&request, &to).unwrap();
    let said: Value = serde_json::from_slice(&said).unwrap();
    let mark = json!({ "type": "ephemeral" });
    assert_eq!(said["tools"][0]["cache_control"], mark, "{said}");
    assert_eq!(said["system"][0]["cache_control"], mark, "{said}");
    assert_eq!(said["messages"][1]["content"][0]["cache_control"], mark, "{said}");
    assert_eq!(marks(&said), 3, "{said}");
    let to = Recipient { speaks: Speaks::BedrockConverse, model: "theirs", output_max: 9 };
    let said = Speaks::BedrockConverse.translates().unwrap().write_request(&request, &to).unwrap();
    assert_eq!(String::from_utf8_lossy(&said).matches("cachePoint").count(), 3);
}

proptest! {
    #[test]
    fn no_chat_makes_it_panic_and_what_is_done_is_done_once(
        messages in prop::collection::vec((prop::sample::select(vec!["system", "user", "assistant", "tool"]), any_json(&["type", "text", "content"])), 1..6),
        room in 0_u64..400, prune in any::<bool>(),
    ) {
        let messages: Vec<Value> = messages.into_iter().map(|(role, content)| json!({ "role": role, "content": content })).collect();
        let body = json!({ "model": "m", "messages": messages });
        let (once, _) = compressed(&body, prune);
        let (_, again) = compressed(&once, prune);
        prop_assert_eq!(again, Spared::default());
        let count = |body: &Value| body["messages"].as_array().unwrap().len();
        if let Ok((fitted_once, turns, tokens)) = fitted(&body, room, true) {
            prop_assert_eq!(turns == 0, count(&fitted_once) == count(&body));
            prop_assert_eq!(turns == 0, tokens == 0);
        }
        let _ = marked(&body);
    }
}
