//! OpenAI's embeddings: vectors of texts. Only what is read is billed.

use bytes::Bytes;
use steward_answers::listed::{self, Answer};
use steward_events::event::Operation;

use super::openai_body::{self, Form};
use super::texts::Texts;
use super::{AnswersAtOnce, Makes, Measured, ModelRequest, Recipient, RequestSize, Speaks, WholeAnswer};
use crate::error::Error;

/// Texts that one request may bring.
const TEXTS_MAX: u64 = 2_048;

const FORM: Form = Form {
    own: &["input"],
    settings: &["dimensions", "encoding_format", "input_type", "truncate", "normalize"],
    limits: |_| false,
};

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiEmbeddings;

impl AnswersAtOnce for OpenAiEmbeddings {
    fn operation(&self) -> Operation {
        Operation::Embeddings
    }

    fn makes(&self) -> Makes {
        Makes::Nothing
    }

    fn is_spoken(&self, upstream: Speaks) -> bool {
        upstream == Speaks::OpenAiEmbeddings
    }

    fn read(&self, body: &Bytes) -> Result<ModelRequest, Error> {
        let mut opened = FORM.read(body)?;
        let texts = Texts::read("input", opened.body.get("input"), TEXTS_MAX)?;
        opened.size = RequestSize {
            messages: texts.count,
            message_tokens: texts.bytes,
            further_texts: texts.count - 1,
            ..opened.size
        };
        Ok(opened.at_once(1))
    }

    fn write(&self, request: &ModelRequest, to: &Recipient<'_>) -> Bytes {
        openai_body::renamed(request, to.model)
    }

    /// Who asks is told to the provider only.
    fn idle_fields(&self, _: &ModelRequest) -> Option<&'static [&'static str]> {
        Some(&["model", "user"])
    }

    fn read_answer(&self, body: &Bytes) -> WholeAnswer {
        match listed::read_whole(body, "data") {
            Answer::Listed { usage, .. } => WholeAnswer::Good(Measured { usage, text_bytes: 0 }),
            Answer::Problem(problem) => WholeAnswer::Problem(problem),
            Answer::Unreadable => WholeAnswer::Unusable(Measured::default(), "its answer holds no vectors"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Dialect;

    fn read(body: &Value) -> Result<ModelRequest, Error> {
        Dialect::read(&OpenAiEmbeddings, &body.to_string().into())
    }

    #[test]
    fn an_upstream_gets_the_body_with_its_own_name() {
        let body = r#"{"input":["é","b"],"model":"ours","encoding_format":"base64","new":{"a":[1.50]}}"#;
        let request = Dialect::read(&OpenAiEmbeddings, &Bytes::from(body)).unwrap();
        let to = Recipient { speaks: Speaks::OpenAiEmbeddings, model: "theirs", output_max: 0 };
        assert_eq!(Dialect::write(&OpenAiEmbeddings, &request, &to), body.replace("ours", "theirs"));
    }

    #[test]
    fn each_text_of_a_batch_is_read_for_itself() {
        let size = |input: Value| read(&json!({ "model": "m", "input": input })).unwrap().size;
        assert_eq!(size(json!("good day")).further_texts, 0);
        assert_eq!(size(json!([1, 2, 3])).further_texts, 0);
        assert_eq!(size(json!([[1, 2], [3]])).further_texts, 1);
        assert_eq!(size(json!(vec!["a"; 2_048])).further_texts, 2_047);
        assert!(read(&json!({ "model": "m", "input": vec!["a"; 2_049] })).is_err());
    }

    #[test]
    fn an_answer_without_vectors_is_none() {
        let answer = |body: &'static str| Dialect::read_answer(&OpenAiEmbeddings, &Bytes::from_static(body.as_bytes()));
        let good = answer(r#"{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":3,"total_tokens":3}}"#);
        assert!(matches!(good, WholeAnswer::Good(Measured { usage: Some(_), text_bytes: 0 })));
        assert!(matches!(answer(r#"{"error":{"message":"no"}}"#), WholeAnswer::Problem(_)));
        assert!(matches!(answer(r#"{"choices":[]}"#), WholeAnswer::Unusable(..)));
    }
}
