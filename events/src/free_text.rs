//! Text that people and programs wrote: what may be recorded of it, and how it is shown.
//!
//! Some characters are not seen, steer a terminal, or change how others are shown: a line that holds them can pass for
//! another one. Where text comes in they are refused; where it goes out they are written as escapes.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::id::CommandId;
use crate::stream::StreamName;

/// True for a character that is not seen itself: control characters, line and paragraph separators, marks of direction,
/// characters of no width, tags.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}')
        || matches!(c, '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}')
        || matches!(c, '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// True for a character that no text may hold that is recorded. Line breaks and tabs may stand in a text, and the two joiners
/// belong to words of several scripts.
pub fn is_refused(c: char) -> bool {
    is_hidden(c) && !matches!(c, '\n' | '\r' | '\t' | '\u{200c}' | '\u{200d}')
}

/// `text` as one line that shows all that is in it.
pub fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_hidden(c).then(|| c.escape_debug().collect()))
}

/// `text` with its line breaks, which were put there by who writes it; all else is shown as by [`shown`].
pub fn shown_in_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| (is_hidden(c) && c != '\n').then(|| c.escape_debug().collect()))
}

/// A JSON document that means the same and holds no hidden character but its line breaks.
pub fn shown_in_json(document: &str) -> Cow<'_, str> {
    escaped(document, |c| {
        let mut units = [0; 2];
        (is_hidden(c) && c != '\n').then(|| {
            c.encode_utf16(&mut units).iter().fold(String::new(), |mut escape, unit| {
                // To a string nothing can fail.
                let _ = write!(escape, "\\u{unit:04x}");
                escape
            })
        })
    })
}

fn escaped(text: &str, escape: impl Fn(char) -> Option<String>) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match escape(c) {
            Some(escape) => out.push_str(&escape),
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// What led to a request: a command's id, or an event as `<subject>@<position>`.
///
/// # Errors
/// What it must be.
pub fn causation(text: &str) -> Result<String, &'static str> {
    let is_event = text.rsplit_once('@').is_some_and(|(subject, position)| {
        subject.parse::<StreamName>().is_ok()
            && position.bytes().all(|b| b.is_ascii_digit())
            && position.parse::<u64>().is_ok()
    });
    if is_event || CommandId::new(text).is_ok() {
        return Ok(text.to_owned());
    }
    Err("is neither the id of a command nor an event as <subject>@<position>")
}

/// True for a W3C trace context; any other is passed over, as that standard says.
pub fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
    };
    let mut parts = text.split('-');
    let mut next = |length| parts.next().is_some_and(|part| hex(part, length));
    next(2) && next(32) && next(16) && next(2) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_shown() {
        for (text, as_shown) in [
            ("plain, groß und 漢字 😀", "plain, groß und 漢字 😀"),
            ("x\n2026-01-01 FORGED", "x\\n2026-01-01 FORGED"),
            ("\u{1b}[2Jred\u{7}", "\\u{1b}[2Jred\\u{7}"),
            ("a\u{202e}cba", "a\\u{202e}cba"),
            ("zero\u{200b}width\u{feff}", "zero\\u{200b}width\\u{feff}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{e0041}tag", "\\u{e0041}tag"),
        ] {
            assert_eq!(shown(text), as_shown);
        }
        assert_eq!(shown_in_lines("a\tb\nc"), "a\\tb\nc");
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let value = serde_json::json!({ "text": "a\u{202e}b\u{200b}c\u{9b}d\u{e0041}" });
        let document = serde_json::to_string_pretty(&value).unwrap();
        let written = shown_in_json(&document);
        assert!(!written.chars().any(|c| is_hidden(c) && c != '\n'), "{written}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), value);
    }

    #[test]
    fn what_is_refused_is_hidden_and_words_are_not() {
        for text in ["two\nlines\tand a tab", "می\u{200c}خواهم", "👩\u{200d}🚀"] {
            assert!(!text.chars().any(is_refused), "{text}");
        }
        for c in ['\u{1b}', '\u{7}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{85}', '\u{2028}'] {
            assert!(is_refused(c), "{c:?}");
        }
    }

    #[test]
    fn a_trace_context_has_one_form() {
        assert!(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for wrong in [
            "",
            "00-4bf92f35-00f067aa0ba902b7-01",
            "\u{1b}[2J",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert!(!is_traceparent(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_causation_is_a_command_or_an_event() {
        for good in ["c_1", "evt.00.acme.task.t1@7"] {
            assert_eq!(causation(good).as_deref(), Ok(good));
        }
        for bad in
            ["", "\u{1b}[2J", "evt.00.acme.task.t1", "evt.00.acme.task.t1@", "evt.00.acme.task.t1@+7", "a b", "x@y@1"]
        {
            assert!(causation(bad).is_err(), "{bad:?}");
        }
    }
}
