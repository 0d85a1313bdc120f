//! OpenAI's chat completions: what most callers and most upstreams speak.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value, json};

use super::{AnswerEvent, CutOff, Dialect, Fields, Measured, ModelRequest, Recipient, Speaks, Unreadable, sse};
use crate::error::Error;
use crate::settled::Settled;

mod answer;
#[cfg(test)]
mod any_json;
mod chunk;
mod generated;
mod request;
mod size;
mod usage;

pub use request::LimitField;

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiChat;

impl Dialect for OpenAiChat {
    fn read(&self, body: &Bytes) -> Result<ModelRequest, Error> {
        request::read(body)
    }

    fn write(&self, request: &ModelRequest, to: &Recipient<'_>) -> Bytes {
        let Speaks::OpenAiChat { limit_field } = to.speaks;
        let mut body = request.body.clone();
        body.set("model", Value::from(to.model).to_string().into());
        let field = request::limit_field(&body).unwrap_or(limit_field);
        body.set(field.name(), to.output_max.to_string().into());
        if request.stream {
            ask_for_usage(&mut body);
        }
        body.write()
    }

    fn read_answer(&self, body: &[u8]) -> Result<Measured, Unreadable> {
        answer::read(body)
    }

    fn read_event(&self, request: &ModelRequest, data: &Bytes) -> Result<AnswerEvent, Unreadable> {
        chunk::read(data, request.include_usage)
    }

    fn put_event(&self, to: &mut BytesMut, data: &[u8]) {
        sse::put_event(to, data);
    }

    /// As a provider says that it stopped at `max_tokens`.
    fn cut_off(&self, cut: &CutOff<'_>) -> Bytes {
        let chunk = json!({
            "id": format!("chatcmpl-{}", cut.request),
            "object": "chat.completion.chunk",
            "created": cut.at,
            "model": cut.model,
            "choices": [{ "index": 0, "delta": {}, "finish_reason": "length" }],
        });
        Bytes::from(chunk.to_string())
    }

    /// The usage if the caller wants it, the cost as a comment (clients pass over it), `[DONE]`.
    fn end(&self, held: Option<Bytes>, settled: &Settled) -> Bytes {
        let mut last = BytesMut::new();
        if let Some(data) = held {
            sse::put_event(&mut last, &data);
        }
        last.put_slice(format!(": x-steward-response-cost: {}\n", settled.cost()).as_bytes());
        if let Some(left) = settled.budget_left() {
            last.put_slice(format!(": x-steward-budget-remaining: {left}\n").as_bytes());
        }
        last.put_slice(b"\ndata: [DONE]\n\n");
        last.freeze()
    }
}

/// Always asked for: without it a stream does not say what it used.
fn ask_for_usage(body: &mut Fields) {
    let mut options = body.read_as::<Map<String, Value>>("stream_options").ok().flatten().unwrap_or_default();
    options.insert("include_usage".to_owned(), Value::Bool(true));
    body.set("stream_options", Value::Object(options).to_string().into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(body: &Value, limit_field: LimitField) -> Value {
        let request = OpenAiChat.read(&body.to_string().into()).unwrap();
        let to = Recipient { speaks: Speaks::OpenAiChat { limit_field }, model: "theirs", output_max: 7 };
        serde_json::from_slice(&OpenAiChat.write(&request, &to)).unwrap()
    }

    #[test]
    fn an_upstream_gets_its_model_name_and_the_reserved_limit() {
        let plain = json!({ "model": "ours", "messages": [{}] });
        let old = written(&plain, LimitField::MaxTokens);
        assert_eq!((&old["model"], &old["max_tokens"]), (&json!("theirs"), &json!(7)));
        let new = written(&plain, LimitField::MaxCompletionTokens);
        assert_eq!((new.get("max_tokens"), &new["max_completion_tokens"]), (None, &json!(7)));
        let null = json!({ "model": "ours", "messages": [{}], "max_tokens": null });
        assert_eq!(written(&null, LimitField::MaxCompletionTokens)["max_completion_tokens"], 7);
    }

    #[test]
    fn the_field_that_the_caller_named_stays() {
        for field in [LimitField::MaxTokens, LimitField::MaxCompletionTokens] {
            let mut body = json!({ "model": "ours", "messages": [{}] });
            body[field.name()] = json!(90);
            for theirs in [LimitField::MaxTokens, LimitField::MaxCompletionTokens] {
                let seen = written(&body, theirs);
                assert_eq!(seen[field.name()], 7);
                assert_eq!(seen.as_object().unwrap().len(), 3, "{seen}");
            }
        }
    }

    #[test]
    fn a_stream_is_always_requested_with_usage() {
        let body = json!({ "model": "m", "messages": [{}], "stream": true, "stream_options": { "other": 1 } });
        let seen = written(&body, LimitField::MaxTokens);
        assert_eq!(seen["stream_options"], json!({ "other": 1, "include_usage": true }));
    }
}
