//! The ids of tool calls, which carry what Gemini wants back with a call: its signature of the thought behind it. Callers know
//! no such field, but they all send a call's id back as it came.

/// Where the signature begins. What stands in ids and signatures has no such thing.
const MARK: &str = "__sig_";

/// The id that callers see. It is made of letters, digits, `-` and `_` if `id` is.
pub(super) fn join(id: &str, signature: Option<&str>) -> String {
    let Some(signature) = signature.filter(|signature| !signature.is_empty()) else { return id.to_owned() };
    let plain = signature.trim_end_matches('=').chars().map(|c| match c {
        '+' => '-',
        '/' => '_',
        other => other,
    });
    [id, MARK].into_iter().flat_map(str::chars).chain(plain).collect()
}

/// Gemini's own id of a call and its signature; a call that another model made has none.
pub(super) fn split(id: &str) -> (&str, Option<String>) {
    let Some((id, plain)) = id.split_once(MARK) else { return (id, None) };
    let signature = plain.chars().map(|c| match c {
        '-' => '+',
        '_' => '/',
        other => other,
    });
    let padding = std::iter::repeat_n('=', (4 - plain.len() % 4) % 4);
    (id, Some(signature.chain(padding).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_of_another_model_has_no_signature() {
        assert_eq!(split("call_abc"), ("call_abc", None));
        assert_eq!(join("call_abc", None), "call_abc");
        assert_eq!(join("call_abc", Some("")), "call_abc");
    }

    proptest! {
        #[test]
        fn a_signature_comes_back_as_it_went(id in "[a-z0-9-]{0,12}", groups in "([A-Za-z0-9+/]{4}){1,9}", last in "[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|") {
            let signature = format!("{groups}{last}");
            let joined = join(&id, Some(&signature));
            prop_assert!(joined.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{joined}");
            prop_assert_eq!(split(&joined), (id.as_str(), Some(signature)));
        }
    }
}
