//! Names of models within paths.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use steward_calls::upstream::Failure;

use crate::client::not_to_be_had;

/// What stands in a path as it is: letters, digits and these.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `text` as one part of a path.
///
/// # Errors
/// If it is none, or leads elsewhere.
pub(crate) fn segment(text: &str) -> Result<String, Failure> {
    if matches!(text, "" | "." | "..") || text.chars().any(char::is_control) {
        return Err(not_to_be_had("its name of the model cannot stand in a path"));
    }
    Ok(utf8_percent_encode(text, ENCODED).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_within_its_path() {
        for (text, expected) in [
            ("gemini-2.5_x~1", "gemini-2.5_x~1"),
            ("a/b?c#d:e%2f", "a%2Fb%3Fc%23d%3Ae%252f"),
            ("é", "%C3%A9"),
            ("...", "..."),
        ] {
            assert_eq!(segment(text).unwrap(), expected);
        }
        for text in ["", ".", "..", "a\r\nb"] {
            assert!(segment(text).is_err(), "{text}");
        }
    }
}
