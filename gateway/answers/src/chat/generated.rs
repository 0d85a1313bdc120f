//! How much text a model generated within a message or delta: contents, reasoning, tool calls; not the names that the
//! protocol adds.

use crate::json::Json;

/// How deep texts are looked for one by one; what is deeper counts as it stands.
const DEPTH_MAX: usize = 24;

/// Bytes of generated text.
pub(crate) fn bytes(message: Json<'_>) -> u64 {
    within(message, DEPTH_MAX)
}

fn within(json: Json<'_>, depth: usize) -> u64 {
    if let Some(bytes) = json.text_bytes() {
        return bytes;
    }
    let Some(depth) = depth.checked_sub(1) else { return json.raw().len() as u64 };
    if json.is_list() {
        return json.items().map(|item| within(item, depth)).sum();
    }
    let is_counted = |name: Json<'_>| !["role", "id", "type", "index"].iter().any(|protocol| name.is(protocol));
    json.fields().filter(|(name, _)| is_counted(*name)).map(|(_, value)| within(value, depth)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &str) -> u64 {
        bytes(Json::read(text.as_bytes()).unwrap())
    }

    #[test]
    fn generated_text_is_counted_wherever_it_stands() {
        let message = r#"{"role":"assistant","content":"abc","reasoning_content":"de",
            "tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}],"n":7}"#;
        assert_eq!(counted(message), 3 + 2 + 1 + 2);
        assert_eq!(counted(r#"{"reasoning":"hm","reasoning":"hm","content":"é"}"#), 6);
    }

    #[test]
    fn depth_does_no_harm() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(counted(&deep) > 0);
    }
}
