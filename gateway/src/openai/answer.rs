//! A whole answer, as far as it must be understood: what it used and how much text it holds.

use serde::Deserialize;
use serde_json::Value;
use steward_events::event::TokenUsage;

use super::usage;

/// A whole answer.
#[derive(Debug, Deserialize)]
pub(crate) struct WholeAnswer {
    usage: Option<Value>,
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Option<Value>,
}

impl WholeAnswer {
    /// Reads an answer's body.
    pub(crate) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// What it used, if it says so.
    pub(crate) fn usage(&self) -> Option<TokenUsage> {
        usage::read(self.usage.as_ref()?)
    }

    /// Bytes of generated text.
    pub(crate) fn text_bytes(&self) -> u64 {
        self.choices.iter().filter_map(|choice| choice.message.as_ref()).map(generated_bytes).sum()
    }
}

/// Bytes of the text that a model generated within a message or delta: contents, reasoning, tool calls; not the names
/// that the protocol adds.
pub(super) fn generated_bytes(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(generated_bytes).sum(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "role" | "id" | "type" | "index"))
            .map(|(_, value)| generated_bytes(value))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_text_is_counted_wherever_it_stands() {
        let body = br#"{"choices":[{"message":{"role":"assistant","content":"abc","reasoning_content":"de",
            "tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]}},{"message":null}]}"#;
        let answer = WholeAnswer::read(body).unwrap();
        assert_eq!(answer.text_bytes(), 3 + 2 + 1 + 2);
        assert!(answer.usage().is_none());
    }
}
