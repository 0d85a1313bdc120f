//! Keys of providers: where one is found, and one itself while it travels: to be sealed, and to where it is used.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::id::SecretId;

/// The longest secret that is kept, in bytes.
pub const SECRET_BYTES_MAX: usize = 4_096;

/// Where a provider's key is found: what a reference such as `env:NAME` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace<'a> {
    /// `env:NAME`: in a variable of the gateway's environment.
    Environment(&'a str),
    /// `file:PATH`: in a file that the gateway reads.
    File(&'a str),
    /// `secret:NAME`: sealed, in the catalog in which the provider is.
    Secret(SecretId),
}

impl<'a> KeyPlace<'a> {
    /// Reads a reference; none if it is none, and then the text may be a key that was put there by mistake.
    pub fn read(reference: &'a str) -> Option<Self> {
        match reference.split_once(':')? {
            ("env", name) => {
                let begins = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
                let is_name = begins && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                is_name.then_some(Self::Environment(name))
            }
            ("file", path) => (!path.is_empty()).then_some(Self::File(path)),
            ("secret", name) => SecretId::new(name).ok().map(Self::Secret),
            _ => None,
        }
    }
}

/// A text is no secret. It does not say which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret is 1 to {SECRET_BYTES_MAX} visible ASCII characters, without spaces and line breaks")]
pub struct InvalidSecret;

/// A secret itself. It is written in full only where it is asked for; nothing that prints it shows more than that it is
/// there, and its memory is overwritten when it is dropped.
///
/// Events hold it sealed, commands within [`Content`](crate::sealed::Content): there is no other way into the log.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// The secret as text, to be put into a header.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretValue {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let fits = (1..=SECRET_BYTES_MAX).contains(&text.len());
        let sound = fits && text.bytes().all(|byte| byte.is_ascii_graphic());
        if sound { Ok(Self(Zeroizing::new(text.to_owned()))) } else { Err(InvalidSecret) }
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

impl Serialize for SecretValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

/// What is no text is refused without being repeated, as errors of serde would.
impl<'de> Deserialize<'de> for SecretValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl Visitor<'_> for Reading {
            type Value = SecretValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<SecretValue, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_bool<E: Error>(self, _: bool) -> Result<SecretValue, E> {
                Err(E::custom(InvalidSecret))
            }
            fn visit_i64<E: Error>(self, _: i64) -> Result<SecretValue, E> {
                Err(E::custom(InvalidSecret))
            }
            fn visit_u64<E: Error>(self, _: u64) -> Result<SecretValue, E> {
                Err(E::custom(InvalidSecret))
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<SecretValue, E> {
                Err(E::custom(InvalidSecret))
            }
            fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<SecretValue, E> {
                Err(E::custom(InvalidSecret))
            }
        }

        deserializer.deserialize_any(Reading)
    }
}

impl JsonSchema for SecretValue {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "SecretValue".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": SECRET_BYTES_MAX, "format": "password" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Format;

    #[test]
    fn a_reference_says_where_a_key_is_found() {
        assert_eq!(KeyPlace::read("env:OPENAI_API_KEY"), Some(KeyPlace::Environment("OPENAI_API_KEY")));
        assert_eq!(KeyPlace::read("file:/run/secrets/key"), Some(KeyPlace::File("/run/secrets/key")));
        assert_eq!(KeyPlace::read("secret:openai"), Some(KeyPlace::Secret("openai".parse().unwrap())));
        for wrong in
            ["", "sk-abc", "env:", "env:1A", "env:A B", "file:", "http://x", "secret:", "secret:A", "secret:a.b"]
        {
            assert_eq!(KeyPlace::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_bounded_and_visible() {
        for sound in ["x", "sk-ABC_123", &"a".repeat(SECRET_BYTES_MAX)] {
            assert_eq!(sound.parse::<SecretValue>().unwrap().expose(), sound);
        }
        for wrong in ["", "a b", "a\n", "clé", "\u{7f}", &"a".repeat(SECRET_BYTES_MAX + 1)] {
            assert_eq!(wrong.parse::<SecretValue>(), Err(InvalidSecret), "{wrong:?}");
        }
    }

    #[test]
    fn a_secret_is_repeated_by_no_error_and_no_debug_output() {
        let secret: SecretValue = "sk-marker".parse().unwrap();
        assert_eq!(format!("{secret:?}"), "SecretValue(…)");
        let spaced = format!("\"sk-marker{}\"", " ");
        for body in [&spaced, "4711", "-4711", "47.11", "true"] {
            let refused = Format::Json.read::<SecretValue>(body.as_bytes()).unwrap_err();
            assert!(refused.starts_with("a secret is 1 to 4096 visible"), "{refused}");
            assert!(!refused.contains("marker") && !refused.contains("4711"), "{refused}");
        }
        for format in [Format::Json, Format::MessagePack] {
            assert_eq!(format.read::<SecretValue>(&format.write(&secret).unwrap()).unwrap(), secret);
        }
    }
}
