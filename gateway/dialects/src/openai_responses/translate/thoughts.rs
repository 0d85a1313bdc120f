//! What a model thought, as an item of a response. A provider's proof of it stands where this API has text that only the
//! provider can read, and says by its beginning what it is: only so can it be told from what another provider sealed.

use serde_json::{Value, json};

use crate::canonical::Content;

/// Before what a provider signed.
const SIGNED: &str = "signed:";
/// Before thoughts that only their provider can read.
const HIDDEN: &str = "hidden:";

/// The sealed text that stands for a signature.
pub(super) fn signed(signature: &str) -> String {
    format!("{SIGNED}{signature}")
}

/// The sealed text that stands for thoughts which only their provider can read.
pub(super) fn hidden(thoughts: &str) -> String {
    format!("{HIDDEN}{thoughts}")
}

/// The item.
pub(super) fn item(id: &str, text: &str, sealed: Option<&str>) -> Value {
    let mut item = json!({ "id": id, "type": "reasoning", "summary": [] });
    if !text.is_empty() {
        item["summary"] = json!([summary(text)]);
    }
    if let Some(sealed) = sealed {
        item["encrypted_content"] = Value::from(sealed);
    }
    item
}

/// A part of it.
pub(super) fn summary(text: &str) -> Value {
    json!({ "type": "summary_text", "text": text })
}

/// What an item says that a caller sends back. What another provider sealed is of no use here, and is left out.
pub(super) fn read(text: String, sealed: Option<&str>) -> Option<Content> {
    let signature = sealed.and_then(|sealed| sealed.strip_prefix(SIGNED));
    if let Some(hidden) = sealed.and_then(|sealed| sealed.strip_prefix(HIDDEN)) {
        return Some(Content::HiddenThinking(hidden.to_owned()));
    }
    let is_said = signature.is_some() || !text.is_empty();
    is_said.then(|| Content::Thinking { text, signature: signature.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_of_thinking_come_back_as_they_went() {
        let back = read("hm".to_owned(), Some(&signed("sig")));
        assert!(matches!(back, Some(Content::Thinking { text, signature: Some(sig) }) if text == "hm" && sig == "sig"));
        let unseen = read(String::new(), Some(&signed("sig")));
        assert!(matches!(unseen, Some(Content::Thinking { text, signature: Some(_) }) if text.is_empty()));
        let hidden = read(String::new(), Some(&hidden("xx")));
        assert!(matches!(hidden, Some(Content::HiddenThinking(thoughts)) if thoughts == "xx"));
    }

    #[test]
    fn what_another_provider_sealed_is_left_out() {
        assert!(read(String::new(), Some("gAAAA")).is_none());
        assert!(matches!(read("hm".to_owned(), Some("gAAAA")), Some(Content::Thinking { signature: None, .. })));
    }
}
