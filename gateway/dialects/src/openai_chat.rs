//! OpenAI's chat completions: what most callers and most upstreams speak.

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use steward_answers::chat::{self, Answer, Chunk, Event};
use steward_events::event::Operation;

use super::canonical::TranslatesCaller;
use super::question::{self, Question};
use super::{AnswerEvent, CutOff, Dialect, Measured, ModelRequest, Recipient, Speaks, WholeAnswer, openai_body, sse};
use crate::Refused;
use crate::Total;
use crate::error::Error;

pub(crate) mod names;
pub(crate) mod request;
pub(crate) mod size;
mod translate;

pub use request::LimitField;

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiChat;

impl Dialect for OpenAiChat {
    fn operation(&self) -> Operation {
        Operation::Chat
    }

    fn is_spoken(&self, upstream: Speaks) -> bool {
        matches!(upstream, Speaks::OpenAiChat { .. })
    }

    fn translates(&self) -> Option<&'static dyn TranslatesCaller> {
        Some(&Self)
    }

    fn read(&self, body: &Bytes) -> Result<ModelRequest, Error> {
        request::read(body)
    }

    fn write(&self, request: &ModelRequest, to: &Recipient<'_>) -> Bytes {
        // No other is spoken with in this dialect.
        let Speaks::OpenAiChat { limit_field, only_that, stream_options } = to.speaks else {
            return request.body.write();
        };
        let mut body = request.body.clone();
        body.set("model", Value::from(to.model).to_string().into());
        let named = request::limit_field(&body).filter(|_| !only_that);
        if only_that {
            body.remove(limit_field.other().name());
        }
        body.set(named.unwrap_or(limit_field).name(), to.output_max.to_string().into());
        if !stream_options {
            body.remove("stream_options");
        } else if request.stream {
            openai_body::ask_for_usage(&mut body);
        }
        body.write()
    }

    /// Who asks is told to the provider only; what it stores is another thing than the answer.
    fn idle_fields(&self, request: &ModelRequest) -> Option<&'static [&'static str]> {
        let is_stored = !matches!(request.body.read_as("store"), Ok(None | Some(false)));
        (!is_stored).then_some(&["model", "user", "safety_identifier", "store", "metadata", "prompt_cache_key"])
    }

    fn question(&self, request: &ModelRequest) -> Option<Question> {
        let idle = self.idle_fields(request).filter(|_| request.choices == 1)?;
        question::of_messages(&request.body, idle)
    }

    fn otherwise(&self, refused: &Refused, spoken: Speaks) -> Option<Speaks> {
        spoken.otherwise(refused)
    }

    fn read_answer(&self, body: &Bytes) -> WholeAnswer {
        match chat::read_whole(body) {
            Answer::Whole { usage, text_bytes } => WholeAnswer::Good(Measured { usage, text_bytes }),
            Answer::Problem(problem) => WholeAnswer::Problem(problem),
            Answer::Streamed => {
                WholeAnswer::Unusable(measured(body), "it answered with a stream that nobody asked for")
            }
            Answer::Unreadable => WholeAnswer::Unusable(Measured::default(), "its answer cannot be read"),
        }
    }

    fn read_event(&self, request: &ModelRequest, data: &Bytes) -> AnswerEvent {
        match chat::read_event(data) {
            Event::Nothing => AnswerEvent::Nothing,
            Event::Done => AnswerEvent::Done,
            Event::Problem(problem) => AnswerEvent::Failed(problem),
            Event::Whole => AnswerEvent::Several(chat::as_chunks(data)),
            Event::Unreadable => AnswerEvent::Unreadable,
            Event::Chunk(Chunk { usage, has_usage_field, text_bytes, choices }) => {
                let only_usage = choices.is_empty() && usage.is_some();
                let data = sse::data_for(request.include_usage, data, only_usage, has_usage_field);
                AnswerEvent::Piece { data, usage, only_usage, text_bytes, choices }
            }
        }
    }

    fn as_events(&self, answer: &Bytes) -> Vec<Bytes> {
        chat::as_chunks(answer)
    }

    fn put_event(&self, to: &mut BytesMut, data: &[u8]) {
        sse::put_event(to, data);
    }

    fn keep_alive(&self) -> Bytes {
        sse::KEEP_ALIVE
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
    fn end(&self, held: Option<Bytes>, total: &Total) -> Bytes {
        sse::end(held, total)
    }
}

/// Told by the field that is blamed, or by the words: `max_tokens` where `max_completion_tokens` is wanted or the other
/// way round, and `stream_options` where nobody knows it.
pub(super) fn otherwise(refused: &Refused, spoken: Speaks) -> Option<Speaks> {
    let Speaks::OpenAiChat { limit_field, only_that, stream_options } = spoken else { return None };
    if !matches!(refused.status.as_u16(), 400 | 422) {
        return None;
    }
    let blames = |field: &str| names::blames(refused, field);
    if stream_options && blames("stream_options") {
        return Some(Speaks::OpenAiChat { limit_field, only_that, stream_options: false });
    }
    if only_that {
        return None;
    }
    let wants = |field: LimitField| {
        let names_the_right_one =
            refused.message.as_deref().is_some_and(|message| names::mentions(message, field.name()));
        blames(field.other().name()) && (names_the_right_one || refused.says_unknown())
    };
    let limit_field =
        [LimitField::MaxCompletionTokens, LimitField::MaxTokens].into_iter().find(|field| wants(*field))?;
    Some(Speaks::OpenAiChat { limit_field, only_that: true, stream_options })
}

/// What a stream says that came as a whole answer.
fn measured(body: &Bytes) -> Measured {
    sse::measured(body, |data| match chat::read_event(data) {
        Event::Chunk(Chunk { usage, text_bytes, .. }) => (usage, text_bytes),
        _ => (None, 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(body: &Value, limit_field: LimitField) -> Value {
        let request = OpenAiChat.read(&body.to_string().into()).unwrap();
        let to = Recipient {
            speaks: Speaks::OpenAiChat { limit_field, only_that: false, stream_options: true },
            model: "theirs",
            output_max: 7,
        };
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
    fn an_upstream_that_knows_one_field_gets_that_one() {
        let body = json!({ "model": "ours", "messages": [{}], "max_tokens": 90, "stream": true });
        let speaks =
            Speaks::OpenAiChat { limit_field: LimitField::MaxCompletionTokens, only_that: true, stream_options: false };
        let request = OpenAiChat.read(&body.to_string().into()).unwrap();
        let seen = OpenAiChat.write(&request, &Recipient { speaks, model: "theirs", output_max: 7 });
        let seen: Value = serde_json::from_slice(&seen).unwrap();
        assert_eq!(seen, json!({ "model": "theirs", "messages": [{}], "stream": true, "max_completion_tokens": 7 }));
    }

    #[test]
    fn what_an_upstream_will_not_take_is_learnt_from_its_refusal() {
        let plain = Speaks::OpenAiChat { limit_field: LimitField::MaxTokens, only_that: false, stream_options: true };
        let learnt = |status: u16, message: &str, param: Option<&str>, code: Option<&str>| {
            let status = http::StatusCode::from_u16(status).unwrap();
            let [param, code] = [param, code].map(|text| text.map(str::to_owned));
            let refused = Refused { message: Some(message.to_owned()), param, code, ..Refused::of(status) };
            OpenAiChat.otherwise(&refused, plain)
        };
        let newer =
            Speaks::OpenAiChat { limit_field: LimitField::MaxCompletionTokens, only_that: true, stream_options: true };
        let without =
            Speaks::OpenAiChat { limit_field: LimitField::MaxTokens, only_that: false, stream_options: false };
        let words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        assert_eq!(learnt(400, words, Some("max_tokens"), Some("unsupported_parameter")), Some(newer));
        assert_eq!(learnt(400, words, None, None), Some(newer));
        assert_eq!(learnt(422, "unknown field", Some("max_tokens"), Some("unknown_field")), Some(newer));
        assert_eq!(learnt(422, "stream_options is not a field of this API", None, None), Some(without));
        assert_eq!(learnt(422, "extra inputs are not permitted", Some("body.stream_options"), None), Some(without));
        assert_eq!(learnt(400, "max_tokens is too large: 90", Some("max_tokens"), Some("invalid_value")), None);
        assert_eq!(learnt(500, words, Some("max_tokens"), None), None);
        assert_eq!(learnt(400, "no such tool", Some("tools"), None), None);
    }

    #[test]
    fn usage_is_hidden_unless_requested() {
        let passed_on = |data: &'static str, include_usage: bool| {
            let body = json!({ "model": "m", "messages": [{}], "stream": true, "stream_options": { "include_usage": include_usage } });
            let request = OpenAiChat.read(&body.to_string().into()).unwrap();
            match OpenAiChat.read_event(&request, &Bytes::from_static(data.as_bytes())) {
                AnswerEvent::Piece { data, .. } => data.map(|data| String::from_utf8(data.to_vec()).unwrap()),
                other => panic!("{other:?}"),
            }
        };
        let last = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
        assert_eq!(passed_on(last, false), None);
        assert_eq!(passed_on(last, true).as_deref(), Some(last));
        let piece = r#"{"id":"x","usage":null,"choices":[{"delta":{"content":"a"}}]}"#;
        assert_eq!(passed_on(piece, false).as_deref(), Some(r#"{"id":"x","choices":[{"delta":{"content":"a"}}]}"#));
        assert_eq!(passed_on(piece, true).as_deref(), Some(piece));
    }

    #[test]
    fn what_a_stream_says_that_nobody_asked_for_is_measured() {
        let body = Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"good day\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5}}\n\ndata: [DONE]\n\n");
        let WholeAnswer::Unusable(measured, _) = OpenAiChat.read_answer(&body) else { panic!() };
        assert_eq!((measured.usage.unwrap().tokens.total().0, measured.text_bytes), (15, 8));
    }

    #[test]
    fn a_stream_is_always_requested_with_usage() {
        let body = json!({ "model": "m", "messages": [{}], "stream": true, "stream_options": { "other": 1 } });
        let seen = written(&body, LimitField::MaxTokens);
        assert_eq!(seen["stream_options"], json!({ "other": 1, "include_usage": true }));
    }
}
