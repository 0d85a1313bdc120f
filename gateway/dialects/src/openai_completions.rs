//! OpenAI's completions of texts: the older form, which local servers and tools of editors still speak.

use bytes::{Bytes, BytesMut};
use serde_json::json;
use steward_answers::completions::{self, Answer, Text};
use steward_events::event::Operation;

use super::openai_body::{self, Form, count, flag};
use super::openai_chat::names;
use super::texts::Texts;
use super::{
    AnswerEvent, CutOff, Dialect, Fields, Measured, ModelRequest, Recipient, RequestSize, Speaks, WholeAnswer, sse,
};
use crate::Refused;
use crate::Total;
use crate::error::Error;

/// Choices of all prompts that one request may ask for.
const CHOICES_MAX: u64 = 128;
/// Output tokens of one choice where the caller does not say: what OpenAI writes then.
const OUTPUT_USUAL: u64 = 16;
/// The field that limits the output.
const LIMIT: &str = "max_tokens";

const FORM: Form = Form {
    own: &["prompt", "n", "best_of", "echo", LIMIT, "stream", "stream_options"],
    settings: &["use_beam_search"],
    limits: names::limits_output,
};

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiCompletions;

impl Dialect for OpenAiCompletions {
    fn operation(&self) -> Operation {
        Operation::Completions
    }

    fn is_spoken(&self, upstream: Speaks) -> bool {
        matches!(upstream, Speaks::OpenAiCompletions { .. })
    }

    fn read(&self, body: &Bytes) -> Result<ModelRequest, Error> {
        let opened = FORM.read(body)?;
        let body = opened.body;
        let prompts = Texts::read("prompt", body.get("prompt"), CHOICES_MAX)?;
        let each = choices_of_each(&body)?;
        let choices = each.saturating_mul(prompts.count);
        if choices > CHOICES_MAX {
            let message = format!("prompts times n or best_of must be at most {CHOICES_MAX}");
            return Err(Error::bad("prompt", message));
        }
        let limit = body.read_as::<u64>(LIMIT);
        let limit = limit.map_err(|_| Error::bad(LIMIT, format!("{LIMIT} must be a whole number")))?;
        let stream = flag(&body, "stream")?;
        let include_usage = openai_body::include_usage(&body, stream)?;
        let size = RequestSize {
            messages: prompts.count,
            message_tokens: prompts.bytes,
            further_texts: prompts.count - 1,
            // What is repeated looks like output.
            output_tokens: if flag(&body, "echo")? { prompts.bytes.saturating_mul(each) } else { 0 },
            ..opened.size
        };
        let output_limit = Some(limit.unwrap_or(OUTPUT_USUAL));
        Ok(ModelRequest { model: opened.model, output_limit, choices, stream, include_usage, size, body })
    }

    fn write(&self, request: &ModelRequest, to: &Recipient<'_>) -> Bytes {
        let mut body = request.body.clone();
        body.set("model", json!(to.model).to_string().into());
        body.set(LIMIT, to.output_max.to_string().into());
        if !matches!(to.speaks, Speaks::OpenAiCompletions { stream_options: true }) {
            body.remove("stream_options");
        } else if request.stream {
            openai_body::ask_for_usage(&mut body);
        }
        body.write()
    }

    /// Who asks is told to the provider only.
    fn idle_fields(&self, _: &ModelRequest) -> Option<&'static [&'static str]> {
        Some(&["model", "user"])
    }

    /// Without `stream_options` where nobody knows it.
    fn otherwise(&self, refused: &Refused, spoken: Speaks) -> Option<Speaks> {
        let is_about_it = matches!(refused.status.as_u16(), 400 | 422) && names::blames(refused, "stream_options");
        let was_sent = matches!(spoken, Speaks::OpenAiCompletions { stream_options: true });
        (is_about_it && was_sent).then_some(Speaks::OpenAiCompletions { stream_options: false })
    }

    fn read_answer(&self, body: &Bytes) -> WholeAnswer {
        match completions::read_whole(body) {
            Answer::Text(Text { usage, bytes, .. }) => WholeAnswer::Good(Measured { usage, text_bytes: bytes }),
            Answer::Problem(problem) => WholeAnswer::Problem(problem),
            Answer::Streamed => {
                WholeAnswer::Unusable(measured(body), "it answered with a stream that nobody asked for")
            }
            Answer::Nothing | Answer::Done | Answer::Unreadable => {
                WholeAnswer::Unusable(Measured::default(), "its answer cannot be read")
            }
        }
    }

    fn read_event(&self, request: &ModelRequest, data: &Bytes) -> AnswerEvent {
        match completions::read_event(data) {
            Answer::Nothing => AnswerEvent::Nothing,
            Answer::Done => AnswerEvent::Done,
            Answer::Problem(problem) => AnswerEvent::Failed(problem),
            Answer::Streamed | Answer::Unreadable => AnswerEvent::Unreadable,
            Answer::Text(Text { usage, has_usage_field, bytes, choices }) => {
                let only_usage = choices.is_empty() && usage.is_some();
                let data = sse::data_for(request.include_usage, data, only_usage, has_usage_field);
                AnswerEvent::Piece { data, usage, only_usage, text_bytes: bytes, choices }
            }
        }
    }

    /// A whole answer has the form of a piece.
    fn as_events(&self, answer: &Bytes) -> Vec<Bytes> {
        vec![answer.clone(), Bytes::from_static(b"[DONE]")]
    }

    fn put_event(&self, to: &mut BytesMut, data: &[u8]) {
        sse::put_event(to, data);
    }

    fn keep_alive(&self) -> Bytes {
        sse::KEEP_ALIVE
    }

    /// As a provider says that it stopped at `max_tokens`.
    fn cut_off(&self, cut: &CutOff<'_>) -> Bytes {
        let piece = json!({
            "id": format!("cmpl-{}", cut.request),
            "object": "text_completion",
            "created": cut.at,
            "model": cut.model,
            "choices": [{ "index": 0, "text": "", "logprobs": null, "finish_reason": "length" }],
        });
        Bytes::from(piece.to_string())
    }

    fn end(&self, held: Option<Bytes>, total: &Total) -> Bytes {
        sse::end(held, total)
    }
}

/// How many choices of each prompt are written and billed: of the `best_of` that are, the caller sees `n`.
fn choices_of_each(body: &Fields) -> Result<u64, Error> {
    let (wanted, written) = (count(body, "n")?.unwrap_or(1), count(body, "best_of")?);
    Ok(written.map_or(wanted, |written| written.max(wanted)))
}

/// What a stream says that came as a whole answer.
fn measured(body: &Bytes) -> Measured {
    sse::measured(body, |data| match completions::read_event(data) {
        Answer::Text(Text { usage, bytes, .. }) => (usage, bytes),
        _ => (None, 0),
    })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::Value;

    use super::*;

    const SPEAKS: Speaks = Speaks::OpenAiCompletions { stream_options: true };

    fn read(more: &[(&str, Value)]) -> Result<ModelRequest, Error> {
        let mut body = json!({ "model": "ours", "prompt": "once upon" });
        for (name, value) in more {
            body[*name] = value.clone();
        }
        OpenAiCompletions.read(&body.to_string().into())
    }

    fn written(more: &[(&str, Value)], speaks: Speaks, output_max: u64) -> Value {
        let to = Recipient { speaks, model: "theirs", output_max };
        serde_json::from_slice(&OpenAiCompletions.write(&read(more).unwrap(), &to)).unwrap()
    }

    #[test]
    fn an_upstream_is_sent_the_limit_that_was_reserved() {
        assert_eq!(read(&[]).unwrap().output_limit, Some(16), "what is written if nothing is said");
        let sent = written(&[], SPEAKS, 16);
        assert_eq!(sent, json!({ "model": "theirs", "prompt": "once upon", "max_tokens": 16 }));
        let streamed = written(&[("stream", json!(true)), ("max_tokens", json!(90))], SPEAKS, 7);
        assert_eq!(
            (&streamed["max_tokens"], &streamed["stream_options"]),
            (&json!(7), &json!({ "include_usage": true }))
        );
        let without = Speaks::OpenAiCompletions { stream_options: false };
        assert_eq!(written(&[("stream", json!(true))], without, 7).get("stream_options"), None);
    }

    #[test]
    fn all_that_is_written_is_reserved() {
        let choices = |more: &[(&str, Value)]| read(more).unwrap().choices;
        assert_eq!(choices(&[("n", json!(2))]), 2);
        assert_eq!(choices(&[("n", json!(2)), ("best_of", json!(5))]), 5);
        assert_eq!(choices(&[("prompt", json!(["a", "b", "c"])), ("n", json!(2))]), 6);
        assert_eq!(choices(&[("prompt", json!([[1, 2], [3]]))]), 2);
        assert_eq!(read(&[("echo", json!(true)), ("n", json!(2))]).unwrap().size.output_tokens, 18);
        for (field, value, param) in [
            ("best_of", json!(129), "prompt"),
            ("n", json!(0), "n"),
            ("max_tokens", json!(-1), "max_tokens"),
            ("min_tokens", json!(9), "min_tokens"),
            ("max_completion_tokens", json!(9), "max_completion_tokens"),
            ("bestOf", json!(9), "best_of"),
            ("prompt", json!([]), "prompt"),
            ("prompt", json!([{}]), "prompt"),
        ] {
            let refused = read(&[(field, value)]).unwrap_err();
            assert!(matches!(refused, Error::BadRequest { param: Some(ref named), .. } if named == param), "{refused}");
        }
    }

    #[test]
    fn a_caller_sees_usage_only_if_it_asked() {
        let passed_on = |data: &str, asked: bool| {
            let more = [("stream", json!(true)), ("stream_options", json!({ "include_usage": asked }))];
            match OpenAiCompletions.read_event(&read(&more).unwrap(), &Bytes::copy_from_slice(data.as_bytes())) {
                AnswerEvent::Piece { data, .. } => data.map(|data| String::from_utf8(data.to_vec()).unwrap()),
                other => panic!("{other:?}"),
            }
        };
        let last = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
        assert_eq!((passed_on(last, false), passed_on(last, true).as_deref()), (None, Some(last)));
        let piece = r#"{"id":"x","usage":null,"choices":[{"index":0,"text":"a"}]}"#;
        assert_eq!(passed_on(piece, false).as_deref(), Some(r#"{"id":"x","choices":[{"index":0,"text":"a"}]}"#));
    }

    #[test]
    fn only_a_refusal_of_stream_options_teaches_something() {
        let refused = |param: &str| Refused { param: Some(param.to_owned()), ..Refused::of(StatusCode::BAD_REQUEST) };
        let without = Speaks::OpenAiCompletions { stream_options: false };
        assert_eq!(OpenAiCompletions.otherwise(&refused("stream_options"), SPEAKS), Some(without));
        assert_eq!(OpenAiCompletions.otherwise(&refused("stream_options"), without), None);
        assert_eq!(OpenAiCompletions.otherwise(&refused("prompt"), SPEAKS), None);
    }
}
