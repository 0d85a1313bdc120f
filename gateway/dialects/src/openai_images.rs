//! OpenAI's images, made from a text: billed by the image, or by the tokens that the provider says.

use bytes::Bytes;
use steward_answers::listed::{self, Answer};
use steward_answers::usage::Usage;
use steward_events::event::{Operation, TokenUsage};

use super::openai_body::{self, Form, count, text};
use super::openai_chat::names;
use super::{AnswersAtOnce, Makes, Measured, ModelRequest, Recipient, RequestSize, Speaks, WholeAnswer};
use crate::error::Error;

/// Images that one request may ask for.
const IMAGES_MAX: u64 = 10;

const FORM: Form = Form {
    own: &["prompt", "n", "stream", "partial_images", "image", "images", "mask"],
    settings: &[
        "size",
        "quality",
        "style",
        "response_format",
        "background",
        "moderation",
        "output_format",
        "output_compression",
    ],
    limits: multiplies,
};

/// True of names under which a number may mean more images, or larger ones.
fn multiplies(name: &str) -> bool {
    let plain = names::letters(&names::fold(name));
    names::limits_output(name) || ["image", "batch"].iter().any(|word| plain.contains(word))
}

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiImages;

impl AnswersAtOnce for OpenAiImages {
    fn operation(&self) -> Operation {
        Operation::Image
    }

    fn makes(&self) -> Makes {
        Makes::Images
    }

    fn is_spoken(&self, upstream: Speaks) -> bool {
        upstream == Speaks::OpenAiImages
    }

    fn read(&self, body: &Bytes) -> Result<ModelRequest, Error> {
        let mut opened = FORM.read(body)?;
        let body = &opened.body;
        let prompt = text(body, "prompt")?.ok_or_else(|| Error::bad("prompt", "you must provide a prompt"))?;
        for (field, why) in [
            ("stream", "images are not streamed here: ask for them at once"),
            ("partial_images", "images are not streamed here: ask for them at once"),
            ("image", "images are made here from a text only"),
            ("images", "images are made here from a text only"),
            ("mask", "images are made here from a text only"),
        ] {
            if body.get(field).is_some_and(|value| !matches!(value.as_ref(), b"null" | b"false" | b"0")) {
                return Err(Error::bad(field, why));
            }
        }
        let images = count(body, "n")?.unwrap_or(1);
        if images > IMAGES_MAX {
            return Err(Error::bad("n", format!("n must be at most {IMAGES_MAX}")));
        }
        opened.size = RequestSize { messages: 1, message_tokens: prompt.len() as u64, ..opened.size };
        Ok(opened.at_once(images))
    }

    fn write(&self, request: &ModelRequest, to: &Recipient<'_>) -> Bytes {
        openai_body::renamed(request, to.model)
    }

    fn read_answer(&self, body: &Bytes) -> WholeAnswer {
        match listed::read_whole(body, "data") {
            Answer::Listed { usage, items } => {
                let usage = Some(with_images(usage, items));
                WholeAnswer::Good(Measured { usage, text_bytes: 0 })
            }
            Answer::Problem(problem) => WholeAnswer::Problem(problem),
            Answer::Unreadable => WholeAnswer::Unusable(Measured::default(), "its answer holds no images"),
        }
    }
}

/// What was used, with the images that came. Older models say nothing of tokens, because they are billed by the image.
fn with_images(usage: Option<Usage>, images: u64) -> Usage {
    let nothing = Usage { tokens: TokenUsage::default(), input_is_said: false, output_is_said: true };
    let usage = usage.unwrap_or(nothing);
    Usage { tokens: TokenUsage { images, ..usage.tokens }, ..usage }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Dialect;

    fn read(more: &[(&str, Value)]) -> Result<ModelRequest, Error> {
        let mut body = json!({ "model": "m", "prompt": "a cat" });
        for (name, value) in more {
            body[*name] = value.clone();
        }
        Dialect::read(&OpenAiImages, &body.to_string().into())
    }

    #[test]
    fn as_many_images_are_counted_as_are_wanted() {
        assert_eq!(read(&[]).unwrap().choices, 1);
        assert_eq!(read(&[("n", json!(10)), ("size", json!("1024x1024"))]).unwrap().choices, 10);
        for (field, value) in [
            ("n", json!(11)),
            ("n", json!(0)),
            ("prompt", json!(null)),
            ("prompt", json!(["a"])),
            ("stream", json!(true)),
            ("partial_images", json!(2)),
            ("image", json!("https://example.com/a.png")),
            ("num_images", json!(40)),
            ("batchSize", json!(40)),
        ] {
            let refused = read(&[(field, value)]).unwrap_err();
            assert!(matches!(refused, Error::BadRequest { param: Some(ref param), .. } if param == field), "{refused}");
        }
    }

    #[test]
    fn images_that_came_are_counted_beside_their_tokens() {
        let answer =
            |body: &'static str| match Dialect::read_answer(&OpenAiImages, &Bytes::from_static(body.as_bytes())) {
                WholeAnswer::Good(Measured { usage: Some(usage), .. }) => usage,
                other => panic!("{other:?}"),
            };
        let by_image = answer(r#"{"created":1,"data":[{"url":"a"},{"url":"b"}]}"#);
        assert_eq!((by_image.tokens.images, by_image.input_is_said, by_image.output_is_said), (2, false, true));
        let by_token = answer(r#"{"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":9,"output_tokens":272}}"#);
        assert_eq!((by_token.tokens.images, by_token.tokens.total().0, by_token.input_is_said), (1, 281, true));
    }
}
