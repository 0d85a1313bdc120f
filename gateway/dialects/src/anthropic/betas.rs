//! The features that a caller wants beside what is in the API already. Clients say so in a header; on its way through here it is
//! the first field of the request, as it is where Anthropic's models are behind APIs that know no such header.

use bytes::Bytes;
use steward_answers::json::Json;

/// The field.
pub(super) const FIELD: &str = "anthropic_beta";

/// What a request with the field begins with.
const BEGINNING: &[u8] = b"{\"anthropic_beta\":";

/// Bytes of the header that are passed on.
const BYTES_MAX: usize = 4_096;

/// `body` with what the header says; as it is if that says nothing, or the body is no object.
pub fn with_betas(body: Bytes, header: &str) -> Bytes {
    let names = named(header.split(','));
    let Some(rest) = body.trim_ascii_start().strip_prefix(b"{").filter(|_| !names.is_empty()) else { return body };
    let mut with = Vec::with_capacity(body.len() + header.len() * 2 + BEGINNING.len());
    with.extend_from_slice(BEGINNING);
    // Names have no letter that JSON would escape.
    with.extend_from_slice(format!("[\"{}\"]", names.join("\",\"")).as_bytes());
    if !rest.trim_ascii_start().starts_with(b"}") {
        with.push(b',');
    }
    with.extend_from_slice(rest);
    with.into()
}

/// A request that was written for Anthropic: its body without the field, and the header in its place.
pub fn without_betas(body: Bytes) -> (Bytes, Option<String>) {
    let Some(rest) = body.strip_prefix(BEGINNING) else { return (body, None) };
    let Some((_, value)) = Json::begun(&body).fields().next() else { return (body, None) };
    let names: Vec<String> = value.items().filter_map(Json::text).collect();
    let header = named(names.iter().map(String::as_str)).join(",");
    let rest = rest.get(value.raw().len()..).unwrap_or_default();
    let rest = rest.strip_prefix(b",").unwrap_or(rest);
    let mut without = Vec::with_capacity(rest.len() + 1);
    without.push(b'{');
    without.extend_from_slice(rest);
    (without.into(), Some(header).filter(|header| !header.is_empty()))
}

/// Those that can be names, within bounds.
fn named<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let is_name = |name: &&str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !name.is_empty() && name.bytes().all(is_letter)
    };
    let mut room = BYTES_MAX;
    let fits = |name: &&str| {
        room = room.saturating_sub(name.len() + 1);
        room > 0
    };
    names.map(str::trim).filter(is_name).take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_header_goes_through_the_body() {
        let with = with_betas(Bytes::from_static(b" {\"model\":\"m\"}"), "a-1, b-2,,bad name,\"x\"");
        assert_eq!(with, r#"{"anthropic_beta":["a-1","b-2"],"model":"m"}"#);
        assert_eq!(without_betas(with), (Bytes::from_static(br#"{"model":"m"}"#), Some("a-1,b-2".to_owned())));
        assert_eq!(with_betas(Bytes::from_static(b"{ }"), "a"), r#"{"anthropic_beta":["a"] }"#);
        for body in ["[]", "", "{\"model\":\"m\"}"] {
            assert_eq!(with_betas(Bytes::from_static(body.as_bytes()), ""), body);
            assert_eq!(without_betas(Bytes::from_static(body.as_bytes())), (body.into(), None));
        }
        assert_eq!(with_betas(Bytes::from_static(b"[]"), "a"), "[]");
    }

    #[test]
    fn a_header_is_passed_on_within_bounds() {
        let long = vec!["beta-name"; 10_000].join(",");
        let (_, header) = without_betas(with_betas(Bytes::from_static(b"{}"), &long));
        assert!((3_000..BYTES_MAX).contains(&header.unwrap().len()));
    }

    proptest! {
        #[test]
        fn what_is_put_in_is_taken_out(name in "[a-z0-9-]{1,20}", rest in r#"("x":[0-9]{1,3})?"#) {
            let body = Bytes::from(format!("{{{rest}}}"));
            let taken = without_betas(with_betas(body.clone(), &name));
            prop_assert_eq!(taken, (body, Some(name)));
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..60), header in ".{0,40}") {
            let _ = with_betas(body.clone().into(), &header);
            let _ = without_betas([BEGINNING, &body].concat().into());
        }
    }
}
