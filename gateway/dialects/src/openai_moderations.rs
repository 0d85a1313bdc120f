//! OpenAI's moderations: judgements of what may be said. Only what is read can be billed.

use bytes::Bytes;
use steward_answers::listed::{self, Answer};
use steward_events::event::Operation;

use super::openai_body::{self, Form};
use super::openai_chat::size::Place;
use super::{AnswersAtOnce, Makes, Measured, ModelRequest, Recipient, RequestSize, Speaks, WholeAnswer};
use crate::error::Error;

/// Texts and images that one request may bring.
const ITEMS_MAX: u64 = 2_048;

const FORM: Form = Form { own: &["input"], settings: &[], limits: |_| false };

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiModerations;

impl AnswersAtOnce for OpenAiModerations {
    fn operation(&self) -> Operation {
        Operation::Moderation
    }

    fn makes(&self) -> Makes {
        Makes::Nothing
    }

    fn is_spoken(&self, upstream: Speaks) -> bool {
        upstream == Speaks::OpenAiModerations
    }

    /// `input` is a text, a list of texts, or a list of parts as in a message.
    fn read(&self, body: &Bytes) -> Result<ModelRequest, Error> {
        let mut opened = FORM.read(body)?;
        let Some(input) = opened.body.get("input") else { return Err(Error::bad("input", "you must provide input")) };
        let read = Place::Content.read(input).map_err(|error| Error::bad("input", format!("input: {error}")))?;
        let items = if input.starts_with(b"\"") { 1 } else { read.items };
        if items == 0 {
            return Err(Error::bad("input", "input must be a text or a list that holds at least one"));
        }
        if items > ITEMS_MAX {
            return Err(Error::bad("input", format!("input must hold at most {ITEMS_MAX} texts")));
        }
        opened.size = RequestSize {
            messages: items,
            message_tokens: read.tokens,
            further_texts: items - 1,
            reads_elsewhere: opened.size.reads_elsewhere || read.elsewhere,
            ..opened.size
        };
        Ok(opened.at_once(1))
    }

    fn write(&self, request: &ModelRequest, to: &Recipient<'_>) -> Bytes {
        openai_body::renamed(request, to.model)
    }

    fn idle_fields(&self, _: &ModelRequest) -> Option<&'static [&'static str]> {
        Some(&["model"])
    }

    fn read_answer(&self, body: &Bytes) -> WholeAnswer {
        match listed::read_whole(body, "results") {
            Answer::Listed { usage, .. } => WholeAnswer::Good(Measured { usage, text_bytes: 0 }),
            Answer::Problem(problem) => WholeAnswer::Problem(problem),
            Answer::Unreadable => WholeAnswer::Unusable(Measured::default(), "its answer holds no results"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Dialect;

    fn read(input: &Value) -> Result<ModelRequest, Error> {
        Dialect::read(&OpenAiModerations, &json!({ "model": "m", "input": input }).to_string().into())
    }

    #[test]
    fn texts_and_images_are_counted() {
        let size = |input: Value| read(&input).unwrap().size;
        assert_eq!(size(json!("good day")).messages, 1);
        assert_eq!(size(json!(["a", "b"])).further_texts, 1);
        let image = json!({ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } });
        assert!(size(json!([{ "type": "text", "text": "x" }, image])).message_tokens >= 20_000);
        for wrong in [json!([]), json!(null), json!(7), json!({ "text": "x" })] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
