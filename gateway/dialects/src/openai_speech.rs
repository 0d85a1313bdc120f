//! OpenAI's speech from text. Providers do not say how much sound they made, so only the text that it is made of is counted,
//! in characters.

use bytes::Bytes;
use steward_answers::json::Json;
use steward_answers::problem::Problem;
use steward_events::event::Operation;

use super::openai_body::{self, Form, text};
use super::{AnswersAtOnce, Makes, Measured, ModelRequest, Recipient, RequestSize, Speaks, WholeAnswer};
use crate::error::Error;

const FORM: Form = Form {
    own: &["input", "instructions", "voice", "response_format", "stream_format", "stream"],
    settings: &["speed"],
    limits: |_| false,
};

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiSpeech;

impl AnswersAtOnce for OpenAiSpeech {
    fn operation(&self) -> Operation {
        Operation::Audio
    }

    fn makes(&self) -> Makes {
        Makes::Sound
    }

    fn is_spoken(&self, upstream: Speaks) -> bool {
        upstream == Speaks::OpenAiSpeech
    }

    fn read(&self, body: &Bytes) -> Result<ModelRequest, Error> {
        let mut opened = FORM.read(body)?;
        let body = &opened.body;
        let input = text(body, "input")?.ok_or_else(|| Error::bad("input", "you must provide input"))?;
        let instructions = text(body, "instructions")?.unwrap_or_default();
        let as_events = text(body, "stream_format")?.is_some_and(|format| format != "audio");
        if as_events || openai_body::flag(body, "stream")? {
            let field = if as_events { "stream_format" } else { "stream" };
            return Err(Error::bad(field, "speech is not sent as events here: leave it out"));
        }
        text(body, "response_format")?;
        let characters = input.chars().count().saturating_add(instructions.chars().count());
        opened.size = RequestSize { messages: 1, message_tokens: characters as u64, ..opened.size };
        Ok(opened.at_once(1))
    }

    fn write(&self, request: &ModelRequest, to: &Recipient<'_>) -> Bytes {
        openai_body::renamed(request, to.model)
    }

    fn read_answer(&self, body: &Bytes) -> WholeAnswer {
        if body.is_empty() {
            return WholeAnswer::Unusable(Measured::default(), "its answer is empty");
        }
        // Sound may begin with any byte; only what is JSON to its end is something else.
        let json = Some(body).filter(|body| body.starts_with(b"{")).and_then(|body| Json::read(body));
        match json.map(|json| Problem::instead_of_answer(&json.object())) {
            None => WholeAnswer::Good(Measured::default()),
            Some(Some(problem)) => WholeAnswer::Problem(problem),
            Some(None) => WholeAnswer::Unusable(Measured::default(), "its answer is no sound"),
        }
    }

    fn media_type(&self, request: &ModelRequest) -> &'static str {
        let format = request.body.read_as::<String>("response_format").ok().flatten();
        match format.as_deref() {
            None | Some("mp3") => "audio/mpeg",
            Some("opus") => "audio/opus",
            Some("aac") => "audio/aac",
            Some("flac") => "audio/flac",
            Some("wav") => "audio/wav",
            Some("pcm") => "audio/pcm",
            Some(_) => "application/octet-stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Dialect;

    fn read(more: &[(&str, Value)]) -> Result<ModelRequest, Error> {
        let mut body = json!({ "model": "m", "input": "Grüß dich", "voice": "alloy" });
        for (name, value) in more {
            body[*name] = value.clone();
        }
        Dialect::read(&OpenAiSpeech, &body.to_string().into())
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        assert_eq!(read(&[]).unwrap().size.message_tokens, 9);
        assert_eq!(read(&[("instructions", json!("loud"))]).unwrap().size.message_tokens, 13);
        for (field, value) in [
            ("input", json!(null)),
            ("stream_format", json!("sse")),
            ("stream", json!(true)),
            ("response_format", json!(7)),
        ] {
            let refused = read(&[(field, value)]).unwrap_err();
            assert!(matches!(refused, Error::BadRequest { param: Some(ref param), .. } if param == field), "{refused}");
        }
    }

    #[test]
    fn the_answer_is_what_the_caller_asked_for() {
        let media_type = |more: &[(&str, Value)]| Dialect::media_type(&OpenAiSpeech, &read(more).unwrap());
        assert_eq!(media_type(&[]), "audio/mpeg");
        assert_eq!(media_type(&[("response_format", json!("wav"))]), "audio/wav");
        assert_eq!(media_type(&[("response_format", json!("new"))]), "application/octet-stream");
    }

    #[test]
    fn sound_may_begin_with_any_byte() {
        let answer = |body: &'static [u8]| Dialect::read_answer(&OpenAiSpeech, &Bytes::from_static(body));
        assert!(matches!(answer(b"{\x00\xff\x7f"), WholeAnswer::Good(_)));
        assert!(matches!(answer(br#"{"error":{"message":"no"}}"#), WholeAnswer::Problem(_)));
        assert!(matches!(answer(b"{}"), WholeAnswer::Unusable(..)));
        assert!(matches!(answer(b""), WholeAnswer::Unusable(..)));
    }
}
