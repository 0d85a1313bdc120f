//! The nearest of the names that would have been right.

/// Below this likeness a name is no help.
const LIKENESS_MIN: f64 = 0.5;

/// Of an error that says ``unknown field `bugdet`, expected `budget` or `grant` ``: the expected name that is most like the
/// one that was found.
pub(super) fn nearest_to(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("unknown ")?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let found = quoted.next()?;
    let alike = |name: &str| strsim::normalized_damerau_levenshtein(found, name);
    let best = quoted.max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    (alike(best) >= LIKENESS_MIN).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::nearest_to;

    #[test]
    fn the_nearest_of_the_expected_names_is_found() {
        let message = "unknown field `bugdet`, expected `budget` or `grant`";
        assert_eq!(nearest_to(message), Some("budget"));
        assert_eq!(nearest_to("unknown field `zzz`, expected `budget` or `grant`"), None);
        assert_eq!(nearest_to("invalid type: integer `3`, expected a string"), None);
    }
}
