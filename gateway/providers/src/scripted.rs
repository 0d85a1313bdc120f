//! Answers from a script, within the process: for tests and demonstrations without a model. It says so in every answer
//! (`system_fingerprint: "scripted"`).
//!
//! The script is the provider's URL, the target's `upstream_model`, and then a line `script: …` of the last user message: words separated
//! by blanks or commas. Tokens are words of text; the same request always gets the same answer.
//!
//! | word | meaning |
//! |---|---|
//! | `echo` | answer with the last user message (this is what happens without a script) |
//! | `tokens=N` | answer with N words, in spite of `max_tokens` |
//! | `delay=MS` | wait before the first word |
//! | `pace=MS` | wait between words of a stream |
//! | `tool=NAME` | answer with one call of the tool NAME |
//! | `error=STATUS` | refuse with this status |
//! | `cut=N` | break off after N words |
//! | `stall` | never answer |
//! | `usage=no` | do not say what was used |

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::StatusCode;
use serde_json::{Map, Value, json};
use steward_answers::problem::Problem;
use steward_calls::dialect::Speaks;
use steward_calls::dialect::openai_chat::LimitField;
use steward_calls::upstream::{Cause, Failure, Outgoing, Provider, Refused, UpstreamAnswer};
use steward_events::event::{Operation, TokenUsage};
use steward_events::quantity::Tokens;

/// Words that a script can ask for.
const WORDS_MAX: usize = 100_000;
/// Milliseconds that a script can ask to wait.
const WAIT_MS_MAX: u64 = 600_000;

/// The scripted provider.
pub(crate) struct Scripted;

/// What a script says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Script {
    tokens: Option<usize>,
    delay_ms: u64,
    pace_ms: u64,
    tool: Option<String>,
    error: Option<u16>,
    cut: Option<usize>,
    stall: bool,
    no_usage: bool,
}

impl Script {
    fn read(&mut self, text: &str) {
        for word in text.split(|c: char| c.is_whitespace() || c == ',') {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let number = || value.parse::<u64>().ok();
            let count = || value.parse::<usize>().ok().map(|n| n.min(WORDS_MAX));
            match name {
                "tokens" => self.tokens = count().or(self.tokens),
                "delay" => self.delay_ms = number().unwrap_or(0).min(WAIT_MS_MAX),
                "pace" => self.pace_ms = number().unwrap_or(0).min(WAIT_MS_MAX),
                "tool" if !value.is_empty() => self.tool = Some(value.to_owned()),
                "error" => self.error = value.parse().ok().or(self.error),
                "cut" => self.cut = count().or(self.cut),
                "stall" => self.stall = true,
                "usage" => self.no_usage = value == "no",
                _ => {}
            }
        }
    }
}

#[async_trait]
impl Provider for Scripted {
    fn speaks(&self, _: &str, operation: Operation) -> Option<Speaks> {
        let speaks = Speaks::OpenAiChat { limit_field: LimitField::MaxTokens, only_that: false, stream_options: true };
        matches!(operation, Operation::Chat | Operation::Responses).then_some(speaks)
    }

    async fn send(&self, outgoing: Outgoing) -> Result<UpstreamAnswer, Failure> {
        if let Err(revoked) = outgoing.pre_send_check.await {
            return Err(Failure::unbilled(Cause::Unreachable(revoked.to_string())));
        }
        let body: Map<String, Value> = serde_json::from_slice(&outgoing.body).unwrap_or_default();
        let asked = last_user_text(&body);
        let mut script = Script::default();
        script.read(&outgoing.url);
        script.read(body.get("model").and_then(Value::as_str).unwrap_or(""));
        for line in asked.lines() {
            if let Some(text) = line.trim_start().strip_prefix("script:") {
                script.read(text);
            }
        }
        if script.stall {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(script.delay_ms)).await;
        if let Some(status) = script.error {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let body = json!({ "error": { "message": "refused by the script", "code": "scripted" } }).to_string();
            return Err(Failure::refused(Refused::telling(status, Problem::of_refusal(body.as_bytes()))));
        }
        let words = words(&script, &asked, &body);
        let usage = usage(&body, words.len());
        if outgoing.stream { Ok(streamed(&script, &words, usage)) } else { whole(&script, &words, usage) }
    }
}

/// The answer's words, each with the blank that follows it.
fn words(script: &Script, asked: &str, body: &Map<String, Value>) -> Vec<String> {
    if script.tool.is_some() {
        return vec!["{}".to_owned()];
    }
    if let Some(count) = script.tokens {
        return (1..=count).map(|n| format!("word{n} ")).collect();
    }
    let limit = ["max_completion_tokens", "max_tokens"].iter().find_map(|field| body.get(*field)?.as_u64());
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(WORDS_MAX).min(WORDS_MAX);
    asked.split_inclusive(char::is_whitespace).take(limit).map(str::to_owned).collect()
}

fn usage(body: &Map<String, Value>, output: usize) -> TokenUsage {
    let input = body
        .get("messages")
        .and_then(Value::as_array)
        .map_or(0, |messages| messages.iter().map(|message| text_of(message).split_whitespace().count()).sum());
    let count = |n: usize| Tokens(u64::try_from(n).unwrap_or(u64::MAX));
    TokenUsage { input: count(input), output: count(output), ..TokenUsage::default() }
}

fn usage_body(usage: TokenUsage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total(),
        "prompt_tokens_details": { "cached_tokens": usage.cached },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning },
    })
}

fn tool_call(name: &str) -> Value {
    json!([{ "index": 0, "id": "call_scripted", "type": "function", "function": { "name": name, "arguments": "{}" } }])
}

fn whole(script: &Script, words: &[String], usage: TokenUsage) -> Result<UpstreamAnswer, Failure> {
    if script.cut.is_some() {
        return Err(Failure::possibly(Cause::Broke("cut by the script".to_owned())));
    }
    let (message, reason) = match &script.tool {
        Some(name) => (json!({ "role": "assistant", "content": null, "tool_calls": tool_call(name) }), "tool_calls"),
        None => (json!({ "role": "assistant", "content": words.concat().trim_end() }), "stop"),
    };
    let mut body = json!({
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "system_fingerprint": "scripted",
        "choices": [{ "index": 0, "message": message, "finish_reason": reason, "logprobs": null }],
    });
    if !script.no_usage {
        body["usage"] = usage_body(usage);
    }
    Ok(UpstreamAnswer::Whole(Bytes::from(body.to_string())))
}

fn streamed(script: &Script, words: &[String], usage: TokenUsage) -> UpstreamAnswer {
    let chunk = |choices: Value, usage: Option<TokenUsage>| {
        let chunk = json!({
            "id": "chatcmpl-scripted",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "scripted",
            "system_fingerprint": "scripted",
            "choices": choices,
            "usage": usage.map(usage_body),
        });
        Ok(Bytes::from(chunk.to_string()))
    };
    let delta = |delta: Value| chunk(json!([{ "index": 0, "delta": delta, "finish_reason": null }]), None);
    let mut events = vec![delta(json!({ "role": "assistant", "content": "" }))];
    let reason = if let Some(name) = &script.tool {
        events.push(delta(json!({ "tool_calls": tool_call(name) })));
        "tool_calls"
    } else {
        events.extend(words.iter().map(|word| delta(json!({ "content": word }))));
        "stop"
    };
    if let Some(cut) = script.cut {
        events.truncate(cut.saturating_add(1));
        events.push(Err(Failure::possibly(Cause::Broke("cut by the script".to_owned()))));
    } else {
        events.push(chunk(json!([{ "index": 0, "delta": {}, "finish_reason": reason }]), None));
        if !script.no_usage {
            events.push(chunk(json!([]), Some(usage)));
        }
        events.push(Ok(Bytes::from_static(b"[DONE]")));
    }
    let pace = Duration::from_millis(script.pace_ms);
    let paced = stream::iter(events).then(move |event| async move {
        if !pace.is_zero() {
            tokio::time::sleep(pace).await;
        }
        event
    });
    UpstreamAnswer::Stream(paced.boxed())
}

fn last_user_text(body: &Map<String, Value>) -> String {
    let messages = body.get("messages").and_then(Value::as_array);
    let last = messages.and_then(|messages| {
        messages.iter().rev().find(|message| message.get("role").and_then(Value::as_str) == Some("user"))
    });
    last.map(text_of).unwrap_or_default()
}

/// A message's text, whether it is one string or parts.
fn text_of(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use futures::FutureExt;
    use steward_calls::upstream::{Billed, Revoked, TimeMax};

    use super::*;

    #[test]
    fn a_script_is_read_from_model_name_and_message() {
        let mut script = Script::default();
        script.read("tokens=5,delay=10");
        script.read(" error=429 usage=no nonsense tokens=x tool=");
        let expected = Script { tokens: Some(5), delay_ms: 10, error: Some(429), no_usage: true, ..Script::default() };
        assert_eq!(script, expected);
    }

    #[tokio::test]
    async fn the_echo_obeys_the_limit_and_counts_words() {
        let body = json!({ "model": "echo", "max_tokens": 2, "messages": [
            { "role": "system", "content": "be brief" },
            { "role": "user", "content": [{ "type": "text", "text": "one two three" }] },
        ]});
        let outgoing = |body: &Value, check| Outgoing {
            url: String::new(),
            key: None,
            speaks: Scripted.speaks("", Operation::Chat).unwrap(),
            model: "echo".to_owned(),
            body: Bytes::from(body.to_string()),
            stream: false,
            trusted: true,
            time_max: TimeMax::default(),
            pre_send_check: ready(check).boxed(),
        };
        let revoked = Scripted.send(outgoing(&json!({}), Err(Revoked))).await;
        assert_eq!(revoked.err().unwrap().billed, Billed::No);
        let sent = Scripted.send(outgoing(&body, Ok(()))).await.unwrap();
        let UpstreamAnswer::Whole(body) = sent else { panic!("not whole") };
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["usage"]["prompt_tokens"], &body["usage"]["completion_tokens"]), (&json!(5), &json!(2)));
        assert_eq!(body["choices"][0]["message"]["content"], "one two");
        assert_eq!(body["system_fingerprint"], "scripted");
    }
}
