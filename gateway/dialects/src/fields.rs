//! A request's body as its fields, each as it came: a tree of a hostile body would take many times the body's own bytes,
//! and most of a body is only passed on.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Fields that one body may have.
const FIELDS_MAX: usize = 256;

/// The fields of a JSON object, in their order; of two with one name the later value counts, and only that goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, Bytes)>);

impl Fields {
    /// Reads `body`. The values are parts of it: nothing is copied.
    pub(super) fn read(body: &Bytes) -> Result<Self, serde_json::Error> {
        let Borrowed(found) = serde_json::from_slice(body)?;
        let mut fields = Self(Vec::with_capacity(found.len()));
        for (name, value) in found {
            fields.set(name, body.slice_ref(value.get().as_bytes()));
        }
        Ok(fields)
    }

    /// A field's value, as JSON.
    pub(super) fn get(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// A field's value, read; none if it is not there, or `null`.
    pub(super) fn read_as<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Result<Option<T>, serde_json::Error> {
        self.get(name).map_or(Ok(None), |value| serde_json::from_slice(value))
    }

    /// Sets a field to `value`, which must be JSON.
    pub(super) fn set(&mut self, name: impl Into<String> + AsRef<str>, value: Bytes) {
        match self.0.iter_mut().find(|(known, _)| known == name.as_ref()) {
            Some((_, known)) => *known = value,
            None => self.0.push((name.into(), value)),
        }
    }

    /// Takes a field away.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// Takes a field out.
    pub(super) fn take(&mut self, name: &str) -> Option<Bytes> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(place).1)
    }

    /// Names and values, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A digest of all fields but those `without`: the same for bodies that differ only in the order of their fields and in
    /// space between words. What stands within a field counts as it was written, because models are shown it so.
    pub fn digest(&self, without: &[&str]) -> [u8; blake3::OUT_LEN] {
        let mut fields: Vec<_> = self.iter().filter(|(name, _)| !without.contains(name)).collect();
        fields.sort_unstable_by_key(|(name, _)| *name);
        let mut digest = blake3::Hasher::new();
        for (name, value) in fields {
            // Both have one length, so that they cannot run into each other.
            digest.update(blake3::hash(name.as_bytes()).as_bytes());
            digest.update(without_space(value).as_bytes());
        }
        digest.finalize().into()
    }

    /// About how many bytes the object has as JSON.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|(name, value)| (name.len() + value.len() + 4) as u64).sum::<u64>() + 2
    }

    /// The object, as JSON.
    pub fn write(&self) -> Bytes {
        let mut text = Vec::with_capacity(usize::try_from(self.bytes()).unwrap_or(0));
        for (name, value) in &self.0 {
            text.push(if text.is_empty() { b'{' } else { b',' });
            // A text is always JSON, and memory takes what is written to it.
            let _ = serde_json::to_writer(&mut text, name);
            text.push(b':');
            text.extend_from_slice(value);
        }
        if text.is_empty() {
            text.push(b'{');
        }
        text.push(b'}');
        text.into()
    }
}

/// The hash of a JSON value without the space between its words.
fn without_space(value: &[u8]) -> blake3::Hash {
    let mut digest = blake3::Hasher::new();
    let (mut begin, mut within_text, mut escaped) = (0, false, false);
    for (at, byte) in value.iter().enumerate() {
        match byte {
            b'"' if !escaped => within_text = !within_text,
            b' ' | b'\t' | b'\n' | b'\r' if !within_text => {
                digest.update(value.get(begin..at).unwrap_or_default());
                begin = at + 1;
            }
            _ => {}
        }
        escaped = within_text && *byte == b'\\' && !escaped;
    }
    digest.update(value.get(begin..).unwrap_or_default());
    digest.finalize()
}

struct Borrowed<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Borrowed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Borrowed<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Borrowed<'de>, A::Error> {
                let mut found = Vec::with_capacity(8);
                while let Some(field) = fields.next_entry::<String, &RawValue>()? {
                    if found.len() == FIELDS_MAX {
                        return Err(A::Error::custom(format!("more than {FIELDS_MAX} fields")));
                    }
                    found.push(field);
                }
                Ok(Borrowed(found))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;
    use crate::testing::any_json;

    fn read(text: &str) -> Result<Fields, serde_json::Error> {
        Fields::read(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn values_stay_as_they_came() {
        let fields = read(r#" { "b" : [1, 2.50] , "a\n":{"x":"\u0041"}, "b": null } "#).unwrap();
        assert_eq!(fields.write(), r#"{"b":null,"a\n":{"x":"\u0041"}}"#, "of two with one name the later counts");
        assert_eq!(fields.get("a\n").unwrap(), r#"{"x":"\u0041"}"#);
        assert_eq!(fields.read_as::<u64>("b").unwrap(), None);
        assert_eq!(Fields::default().write(), "{}");
    }

    #[test]
    fn a_body_may_have_so_many_fields() {
        let body =
            |count: usize| format!("{{{}}}", (0..count).map(|n| format!("\"f{n}\":1")).collect::<Vec<_>>().join(","));
        assert!(read(&body(FIELDS_MAX)).is_ok());
        assert!(read(&body(FIELDS_MAX + 1)).unwrap_err().to_string().contains("more than 256 fields"));
    }

    #[test]
    fn a_digest_tells_apart_what_a_model_could() {
        let digest = |text: &str| read(text).unwrap().digest(&["user"]);
        let one = digest(r#"{"a":"x y","b":[1,{"c":2,"d":3}],"user":"ana"}"#);
        for same in [
            r#"{"b":[1,{"c":2,"d":3}],"a":"x y"}"#,
            "{ \"user\" : \"bob\", \"b\" :\n[1, { \"c\":2,\t\"d\":3}], \"a\":\r\"x y\"}",
            r#"{"a":"other","b":[1,{"c":2,"d":3}],"a":"x y"}"#,
        ] {
            assert_eq!(digest(same), one, "{same}");
        }
        for other in [
            r#"{"a":"xy","b":[1,{"c":2,"d":3}]}"#,
            r#"{"a":"х y","b":[1,{"c":2,"d":3}]}"#,
            r#"{"a":"x\u0020y","b":[1,{"c":2,"d":3}]}"#,
            r#"{"a":"x y","b":[1,{"d":3,"c":2}]}"#,
            r#"{"a":"x y","b":[1,{"c":2,"c":2,"d":3}]}"#,
            r#"{"a":"x y","b":[1.0,{"c":2,"d":3}]}"#,
            r#"{"a":[1,{"c":2,"d":3}],"b":"x y"}"#,
            r#"{"a":"x y","b":[1,{"c":2,"d":3}],"User":"ana"}"#,
            r#"{"a":"x y","b":[1,{"c":2,"d":3}],"c":null}"#,
            r#"{"a":"x y"}"#,
        ] {
            assert_ne!(digest(other), one, "{other}");
        }
        assert_ne!(digest(r#"{"a":"\\ "}"#), digest(r#"{"a":"\\"}"#));
        assert_ne!(digest(r#"{"a":"\" "}"#), digest(r#"{"a":"\""}"#));
    }

    proptest! {
        #[test]
        fn a_digest_is_of_words_and_not_of_space(value in any_json(&["x"]), spaces in prop::collection::vec(0..3_usize, 1..9)) {
            let body = Value::from_iter([("v", value)]);
            let (mut spaces, mut wide) = (spaces.iter().cycle(), String::new());
            // Between words only: the pretty form breaks lines nowhere else.
            for line in serde_json::to_string_pretty(&body).unwrap().lines() {
                wide.push_str(&" ".repeat(*spaces.next().unwrap()));
                wide.push_str(line);
                wide.push('\n');
            }
            prop_assert_eq!(read(&wide).unwrap().digest(&[]), read(&body.to_string()).unwrap().digest(&[]));
        }

        #[test]
        fn what_is_written_is_what_a_tree_would_write(
            names in prop::collection::vec("[a-c\"é]{0,2}", 0..6),
            value in prop::sample::select(vec!["null", "7", r#"{"x":[1,"}"]}"#, "\"é\\\"\"", "true"]),
        ) {
            let text = names.iter().map(|name| format!("{}: {value} ", Value::from(name.as_str())));
            let text = format!("{{{}}}", text.collect::<Vec<_>>().join(" ,"));
            let tree: Map<String, Value> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read(&text).unwrap().write(), &Bytes::from(Value::Object(tree).to_string()));
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Fields::read(&Bytes::from(body));
        }
    }
}
