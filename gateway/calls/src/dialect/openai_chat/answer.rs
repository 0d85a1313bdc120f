//! A whole answer, as far as it must be understood: what it used and how much text it holds.

use serde::Deserialize;
use serde_json::value::RawValue;
use steward_events::event::TokenUsage;

use super::generated::Generated;
use super::usage;

/// A whole answer.
#[derive(Debug, Deserialize)]
pub(crate) struct WholeAnswer<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Option<Generated>,
}

impl<'a> WholeAnswer<'a> {
    /// Reads an answer's body.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// What it used, if it says so.
    pub(crate) fn usage(&self) -> Option<TokenUsage> {
        usage::read(self.usage?)
    }

    /// Bytes of generated text.
    pub(crate) fn text_bytes(&self) -> u64 {
        self.choices.iter().filter_map(|choice| choice.message.as_ref()).map(|Generated(bytes)| bytes).sum()
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
