//! What a request demands of a model beside an answer in text, each with the field that says so, and how much text it gives
//! it to read at least. For models of which it is known what they can do.

use serde_json::Value;
use steward_events::event::Feature;

use crate::ModelRequest;

/// Fields that hold what was said, in one dialect or another.
const SAID: [&str; 4] = ["messages", "input", "system", "instructions"];

/// Fields that say in which form the answer is wanted, and where in them the kind of form stands.
const FORMS: [(&str, &str); 4] = [
    ("response_format", "/type"),
    ("text", "/format/type"),
    ("output_format", "/type"),
    ("output_config", "/format/type"),
];

/// Fields by which a provider is asked to leave out what is too long.
const SHORTENED: [&str; 3] = ["truncation", "transforms", "context_management"];

/// Lists within lists that are looked into.
const DEPTH_MAX: usize = 8;

/// What a request demands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// Each with the field that says so.
    pub features: Vec<(Feature, &'static str)>,
    /// Bytes of text that the model must read; none if its provider may leave some out.
    pub text_bytes: Option<u64>,
}

impl ModelRequest {
    /// What it demands. It reads the body once more: ask only where the answer matters.
    pub fn demands(&self) -> Demands {
        let field = |name: &str| self.body.get(name).and_then(|value| serde_json::from_slice::<Value>(value).ok());
        let mut seen = Seen::default();
        for name in SAID {
            if let Some(said) = field(name) {
                seen.look(&said, name, DEPTH_MAX);
            }
        }
        for name in ["tools", "functions"] {
            if field(name).is_some_and(|tools| tools.as_array().is_some_and(|tools| !tools.is_empty())) {
                seen.add(Feature::Tools, name);
            }
        }
        for (name, kind) in FORMS {
            let is_schema = |form: Value| form.pointer(kind).and_then(Value::as_str) == Some("json_schema");
            if field(name).is_some_and(is_schema) {
                seen.add(Feature::JsonSchema, name);
            }
        }
        if self.stream {
            seen.add(Feature::Streaming, "stream");
        }
        let is_shortened = SHORTENED.iter().any(|name| self.body.get(name).is_some());
        Demands { features: seen.features, text_bytes: (!is_shortened).then_some(seen.text_bytes) }
    }
}

#[derive(Default)]
struct Seen {
    features: Vec<(Feature, &'static str)>,
    text_bytes: u64,
}

impl Seen {
    fn add(&mut self, feature: Feature, field: &'static str) {
        if !self.features.iter().any(|(known, _)| *known == feature) {
            self.features.push((feature, field));
        }
    }

    /// Looks at what was said: a text, a list, or a message or part with content of its own.
    fn look(&mut self, said: &Value, field: &'static str, depth: usize) {
        match said {
            Value::String(text) => self.read(text),
            Value::Array(all) if depth > 0 => all.iter().for_each(|one| self.look(one, field, depth - 1)),
            Value::Object(part) if depth > 0 => {
                match part.get("type").and_then(Value::as_str).unwrap_or_default() {
                    "image_url" | "input_image" | "image" => self.add(Feature::Image, field),
                    "input_audio" => self.add(Feature::Audio, field),
                    "text" | "input_text" | "output_text" => {
                        self.read(part.get("text").and_then(Value::as_str).unwrap_or_default());
                    }
                    _ => {}
                }
                // Of a message, of a tool's result, or of an item of a response's input.
                for within in ["content", "output"] {
                    if let Some(content) = part.get(within) {
                        self.look(content, field, depth - 1);
                    }
                }
            }
            _ => {}
        }
    }

    fn read(&mut self, text: &str) {
        self.text_bytes = self.text_bytes.saturating_add(text.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Dialect;
    use crate::anthropic::Anthropic;
    use crate::openai_chat::OpenAiChat;
    use crate::openai_responses::OpenAiResponses;

    fn demands(dialect: &dyn Dialect, body: &Value) -> Demands {
        dialect.read(&body.to_string().into()).unwrap().demands()
    }

    #[test]
    fn a_plain_chat_demands_nothing_but_to_be_read() {
        let body = json!({ "model": "m", "messages": [
            { "role": "system", "content": "1234" },
            { "role": "user", "content": [{ "type": "text", "text": "56789" }] },
        ]});
        assert_eq!(demands(&OpenAiChat, &body), Demands { features: vec![], text_bytes: Some(9) });
        let mut shortened = body;
        shortened["transforms"] = json!(["middle-out"]);
        assert_eq!(demands(&OpenAiChat, &shortened).text_bytes, None);
    }

    #[test]
    fn every_dialects_words_for_a_demand_are_known() {
        let schema = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": {} } });
        let tool = json!([{ "type": "function", "function": { "name": "f", "parameters": {} } }]);
        let image = json!({ "type": "image_url", "image_url": { "url": "https://example.org/a.png" } });
        let audio = json!({ "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } });
        let chat = json!({ "model": "m", "stream": true, "tools": tool, "response_format": schema,
                           "messages": [{ "role": "user", "content": [image, audio] }] });
        let expected = [
            (Feature::Image, "messages"),
            (Feature::Audio, "messages"),
            (Feature::Tools, "tools"),
            (Feature::JsonSchema, "response_format"),
            (Feature::Streaming, "stream"),
        ];
        assert_eq!(demands(&OpenAiChat, &chat).features, expected);
        let response = json!({ "model": "m", "text": { "format": { "type": "json_schema", "name": "n", "schema": {} } },
            "input": [{ "role": "user", "content": [{ "type": "input_image", "image_url": "https://example.org/a.png" }] }] });
        let expected = [(Feature::Image, "input"), (Feature::JsonSchema, "text")];
        assert_eq!(demands(&OpenAiResponses, &response).features, expected);
        let source = json!({ "type": "base64", "media_type": "image/png", "data": "AAAA" });
        let result =
            json!({ "type": "tool_result", "tool_use_id": "t", "content": [{ "type": "image", "source": source }] });
        let message = json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": [result] }] });
        assert_eq!(demands(&Anthropic, &message).features, [(Feature::Image, "messages")]);
    }
}
