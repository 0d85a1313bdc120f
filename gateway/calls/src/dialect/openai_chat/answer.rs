//! A whole answer, as far as it must be understood: what it used and how much text it holds.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::generated::Generated;
use super::usage;
use crate::dialect::{Measured, Unreadable};

#[derive(Debug, Deserialize)]
struct WholeAnswer<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Option<Generated>,
}

/// Reads an answer's body.
pub(super) fn read(body: &[u8]) -> Result<Measured, Unreadable> {
    let WholeAnswer { usage, service_tier, choices } = serde_json::from_slice(body)?;
    let text_bytes = choices.iter().filter_map(|choice| choice.message).map(|Generated(bytes)| bytes).sum();
    Ok(Measured { usage: usage.and_then(|usage| usage::read(usage, service_tier)), text_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_text_is_counted_wherever_it_stands() {
        let body = br#"{"choices":[{"message":{"role":"assistant","content":"abc","reasoning_content":"de",
            "tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]}},{"message":null}]}"#;
        assert_eq!(read(body).unwrap(), Measured { usage: None, text_bytes: 3 + 2 + 1 + 2 });
    }
}
