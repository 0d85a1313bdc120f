//! What is known of a model against a call that it cannot answer: refused before anything is reserved, with the field that
//! asks for too much. What is not known is for the provider to say.

use steward_events::event::ModelSpec;
use steward_events::timestamp::Timestamp;

use crate::dialect::{Dialect, ModelRequest};
use crate::error::Error;

/// No vocabulary has longer tokens, in bytes: those known have up to 128, of blanks.
const TOKEN_BYTES_MAX: u64 = 512;

/// Refuses a call that the model certainly cannot answer.
pub(super) fn check(
    spec: &ModelSpec,
    (dialect, request): (&dyn Dialect, &ModelRequest),
    now: Timestamp,
) -> Result<(), Error> {
    let (model, operation) = (&request.model, dialect.operation());
    if let Some(ended) = spec.ends.filter(|ends| *ends <= now) {
        return Err(Error::bad("model", format!("the model `{model}` ended on {ended}; name another one")));
    }
    if !spec.operations.is_empty() && !spec.operations.contains(&operation) {
        let has: Vec<&str> = spec.operations.iter().map(|operation| operation.as_str()).collect();
        let message = format!("the model `{model}` has no {}, only {}", operation.as_str(), has.join(", "));
        return Err(Error::bad("model", message));
    }
    // As long as no text can be too long and nothing is said of features, the body need not be read once more.
    let may_be_too_long = certain_tokens(request.size.bytes) > spec.context_max.0;
    if spec.features.is_empty() && !may_be_too_long {
        return Ok(());
    }
    let demands = request.demands();
    let lacks = |(feature, _): &&(_, _)| !spec.features.is_empty() && !spec.features.contains(feature);
    if let Some((feature, field)) = demands.features.iter().find(lacks) {
        let has: Vec<&str> = spec.features.iter().map(|feature| feature.as_str()).collect();
        let message = format!("the model `{model}` does not take {}, only {}", feature.as_str(), has.join(", "));
        return Err(Error::bad(field, message));
    }
    let tokens = demands.text_bytes.map_or(0, certain_tokens);
    if tokens > spec.context_max.0 {
        let message = format!(
            "the request has at least {tokens} tokens of text, and the model `{model}` reads at most {}",
            spec.context_max
        );
        return Err(Error::BadRequest { param: Some("messages".to_owned()), message });
    }
    Ok(())
}

/// As many tokens text of this length has at least.
const fn certain_tokens(bytes: u64) -> u64 {
    bytes / TOKEN_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use steward_events::event::{Feature, Operation};
    use steward_events::quantity::Tokens;

    use super::*;
    use crate::dialect::openai_chat::OpenAiChat;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn refused(spec: &ModelSpec, body: &Value) -> Option<(String, String)> {
        let request = OpenAiChat.read(&body.to_string().into()).unwrap();
        match check(spec, (&OpenAiChat, &request), NOW) {
            Ok(()) => None,
            Err(Error::BadRequest { param, message }) => Some((param.unwrap(), message)),
            Err(other) => panic!("{other}"),
        }
    }

    fn spec() -> ModelSpec {
        ModelSpec::of(Tokens(10), Tokens(5))
    }

    fn says(text: &str) -> Value {
        json!({ "model": "m", "messages": [{ "role": "user", "content": text }] })
    }

    #[test]
    fn a_model_of_which_nothing_is_said_takes_all() {
        let mut body = says("hi");
        body["stream"] = json!(true);
        body["tools"] = json!([{ "type": "function", "function": { "name": "f" } }]);
        assert_eq!(refused(&spec(), &body), None);
    }

    #[test]
    fn a_model_is_asked_until_its_end() {
        let until = |ends| ModelSpec { ends: Some(Timestamp(ends)), ..spec() };
        assert_eq!(refused(&until(NOW.0 + 1), &says("hi")), None);
        let (field, message) = refused(&until(NOW.0), &says("hi")).unwrap();
        assert!(field == "model" && message.contains("1970-01-01T00:00:01Z"), "{message}");
    }

    #[test]
    fn what_the_model_has_not_is_refused_by_its_field() {
        let only = |operation| ModelSpec { operations: vec![operation], ..spec() };
        assert_eq!(refused(&only(Operation::Chat), &says("hi")), None);
        assert_eq!(refused(&only(Operation::Embeddings), &says("hi")).unwrap().0, "model");
        let texts = ModelSpec { features: vec![Feature::Text], ..spec() };
        assert_eq!(refused(&texts, &says("hi")), None);
        let mut streamed = says("hi");
        streamed["stream"] = json!(true);
        let (field, message) = refused(&texts, &streamed).unwrap();
        assert!(field == "stream" && message.contains("streaming, only text"), "{message}");
        assert_eq!(
            refused(&ModelSpec { features: vec![Feature::Text, Feature::Streaming], ..spec() }, &streamed),
            None
        );
    }

    #[test]
    fn only_a_text_that_is_certainly_too_long_is_refused() {
        let of = |tokens: u64| says(&"a".repeat(usize::try_from(tokens * TOKEN_BYTES_MAX).unwrap()));
        assert_eq!(refused(&spec(), &of(10)), None, "it may be ten tokens");
        assert_eq!(refused(&spec(), &of(11)).unwrap().0, "messages");
        let mut image = says("hi");
        let url = format!("data:image/png;base64,{}", "A".repeat(20_000));
        image["messages"][0]["content"] = json!([{ "type": "image_url", "image_url": { "url": url } }]);
        assert_eq!(refused(&spec(), &image), None, "of an image nobody knows");
    }
}
