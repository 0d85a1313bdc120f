//! JSON without the space between its words and, if that is wanted, without fields that say nothing. Everything else stays as
//! it was written: numbers, escapes, the order of fields.

use serde::de::IgnoredAny;
use steward_answers::json::Json;

/// How deep values may stand within each other.
const DEPTH_MAX: u32 = 64;

/// `text` without space, if it is a JSON object or list as a whole; none if it is not. `prune` leaves out fields of objects
/// that are null or empty, or are so without theirs; items of lists stay, because their places may count.
pub(super) fn compact(text: &str, prune: bool) -> Option<String> {
    let begins = text.trim_ascii_start().starts_with(['{', '[']);
    // What is read below takes more than JSON, and would lose it.
    if !begins || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return None;
    }
    let mut compact = Vec::with_capacity(text.len());
    write(Json::read(text.as_bytes())?, prune, DEPTH_MAX, &mut compact)?;
    String::from_utf8(compact).ok()
}

fn write(value: Json<'_>, prune: bool, depth: u32, to: &mut Vec<u8>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    if value.is_object() {
        to.push(b'{');
        let begin = to.len();
        for (name, value) in value.fields() {
            let before = to.len();
            if before > begin {
                to.push(b',');
            }
            to.extend_from_slice(name.raw());
            to.push(b':');
            let at = to.len();
            write(value, prune, depth, to)?;
            if prune && matches!(to.get(at..), Some(b"null" | b"\"\"" | b"{}" | b"[]")) {
                to.truncate(before);
            }
        }
        to.push(b'}');
    } else if value.is_list() {
        to.push(b'[');
        for (number, item) in value.items().enumerate() {
            if number > 0 {
                to.push(b',');
            }
            write(item, prune, depth, to)?;
        }
        to.push(b']');
    } else {
        to.extend_from_slice(value.raw());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::any_json;
    use proptest::prelude::*;

    #[test]
    fn space_goes_and_all_else_stays_as_it_was_written() {
        let text =
            " { \"b\" : [ 1.50, 1e3 , 12345678901234567890123 ],\n \"a \\u00e9\" : { \"x y\" : null }, \"b\": [] } ";
        let expected = r#"{"b":[1.50,1e3,12345678901234567890123],"a \u00e9":{"x y":null},"b":[]}"#;
        assert_eq!(compact(text, false).unwrap(), expected);
        for no_object in ["7", "\"text\"", "[1,]", "{\"a\":NaN}", "{} {}", "see: {}", ""] {
            assert_eq!(compact(no_object, false), None, "{no_object}");
        }
        let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(compact(&deep(60), false).is_some() && compact(&deep(100), false).is_none());
    }

    #[test]
    fn only_what_says_nothing_is_pruned() {
        let text = r#"{"a":null,"b":"","c":[null,"",{}],"d":{"e":{"f":null}},"g":0,"h":false,"i":{"j":1,"k":[]}}"#;
        assert_eq!(compact(text, true).unwrap(), r#"{"c":[null,"",{}],"g":0,"h":false,"i":{"j":1}}"#);
        assert_eq!(compact(text, false).unwrap(), text);
        assert_eq!(compact(r#"{"a":null,"b":1}"#, true).unwrap(), r#"{"b":1}"#);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(value in any_json(&["a", "b"])) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let said = compact(&pretty, false);
            prop_assert_eq!(said.is_some(), value.is_object() || value.is_array());
            if let Some(said) = said {
                prop_assert_eq!(&said, &value.to_string());
                let pruned = compact(&pretty, true).unwrap();
                prop_assert_eq!(compact(&pruned, true).unwrap(), pruned, "it is done once");
            }
        }
    }
}
