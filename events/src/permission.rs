//! Permission words, shared by decisions and by the edge: `noun:verb`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::is_token;

/// What somebody wants to do, e.g. `budget:set`, `model:invoke`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission(Cow<'static, str>);

/// A permission, or many: `budget:*`, `*:read`, `*:*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermissionPattern(Cow<'static, str>);

/// Why a text is no permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a permission: write noun:verb, e.g. budget:set; '*' may stand for either in a role")]
pub struct InvalidPermission(pub String);

impl Permission {
    /// Calling a model; not a command, so not in the command table.
    pub const MODEL_INVOKE: &'static str = "model:invoke";

    /// Keeping a file; the bytes come to the gateway, which records the file itself.
    pub const FILE_CREATE: &'static str = "file:create";

    /// The permission `noun:verb`.
    ///
    /// # Errors
    /// [`InvalidPermission`] unless both are tokens.
    pub fn new(noun: &str, verb: &str) -> Result<Self, InvalidPermission> {
        format!("{noun}:{verb}").parse()
    }

    /// Calling a model.
    pub fn model_invoke() -> Self {
        Self(Cow::Borrowed(Self::MODEL_INVOKE))
    }

    /// Keeping a file.
    pub const fn file_create() -> Self {
        Self(Cow::Borrowed(Self::FILE_CREATE))
    }

    /// Those that stand in no table: the gateway asks for them itself.
    pub fn of_the_gateway() -> [Self; 2] {
        [Self::model_invoke(), Self::file_create()]
    }

    /// Reading feature flags, as they are for the one who reads.
    pub const fn flag_read() -> Self {
        Self(Cow::Borrowed("flag:read"))
    }

    /// Using a key at all: asked where a key comes in, before it is known for what.
    pub const fn key_use() -> Self {
        Self(Cow::Borrowed("key:use"))
    }

    /// Reading all that is recorded.
    pub const fn history_replay() -> Self {
        Self(Cow::Borrowed("history:replay"))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The noun and the verb.
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or((&self.0, ""))
    }
}

impl PermissionPattern {
    /// `*:*`.
    pub const fn everything() -> Self {
        Self(Cow::Borrowed("*:*"))
    }

    /// True if `permission` is among what this says.
    pub fn covers(&self, permission: &Permission) -> bool {
        let (noun, verb) = permission.parts();
        let (own_noun, own_verb) = self.0.split_once(':').unwrap_or((&self.0, ""));
        (own_noun == "*" || own_noun == noun) && (own_verb == "*" || own_verb == verb)
    }

    /// True if this says nothing that `whole` does not say.
    pub fn is_part_of(&self, whole: &Self) -> bool {
        let (noun, verb) = self.0.split_once(':').unwrap_or((&self.0, ""));
        let (whole_noun, whole_verb) = whole.0.split_once(':').unwrap_or((&whole.0, ""));
        (whole_noun == "*" || whole_noun == noun) && (whole_verb == "*" || whole_verb == verb)
    }

    /// True if some permission is said by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (noun, verb) = self.0.split_once(':').unwrap_or((&self.0, ""));
        let (other_noun, other_verb) = other.0.split_once(':').unwrap_or((&other.0, ""));
        let meet = |one: &str, other: &str| one == "*" || other == "*" || one == other;
        meet(noun, other_noun) && meet(verb, other_verb)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn parse(text: &str, valid: impl Fn(&str) -> bool) -> Result<Cow<'static, str>, InvalidPermission> {
    match text.split_once(':') {
        Some((noun, verb)) if valid(noun) && valid(verb) => Ok(Cow::Owned(text.to_owned())),
        _ => Err(InvalidPermission(text.chars().take(80).collect())),
    }
}

macro_rules! text_form {
    ($name:ident, $pattern:literal, $valid:expr) => {
        impl FromStr for $name {
            type Err = InvalidPermission;
            fn from_str(text: &str) -> Result<Self, InvalidPermission> {
                parse(text, $valid).map(Self)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::text::read(deserializer)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

text_form!(Permission, "^[a-z0-9_-]+:[a-z0-9_-]+$", is_token);
text_form!(PermissionPattern, "^([a-z0-9_-]+|\\*):([a-z0-9_-]+|\\*)$", |part: &str| part == "*" || is_token(part));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_nouns_verbs_or_all() {
        let set: Permission = "budget:set".parse().unwrap();
        for (pattern, covers) in
            [("budget:set", true), ("budget:*", true), ("*:set", true), ("*:*", true), ("budget:remove", false)]
        {
            assert_eq!(pattern.parse::<PermissionPattern>().unwrap().covers(&set), covers, "{pattern}");
        }
        for (part, whole, is_part) in [
            ("budget:set", "budget:set", true),
            ("budget:set", "budget:*", true),
            ("budget:*", "*:*", true),
            ("budget:*", "budget:set", false),
            ("*:*", "budget:*", false),
            ("*:set", "budget:*", false),
            ("*:set", "*:set", true),
        ] {
            let pattern = |text: &str| text.parse::<PermissionPattern>().unwrap();
            assert_eq!(pattern(part).is_part_of(&pattern(whole)), is_part, "{part} {whole}");
        }
        for (one, other, overlap) in [
            ("budget:*", "*:set", true),
            ("*:*", "budget:set", true),
            ("budget:*", "cost:*", false),
            ("*:set", "*:remove", false),
        ] {
            let pattern = |text: &str| text.parse::<PermissionPattern>().unwrap();
            assert_eq!(pattern(one).overlaps(&pattern(other)), overlap, "{one} {other}");
            assert_eq!(pattern(other).overlaps(&pattern(one)), overlap, "{other} {one}");
        }
        assert!("budget:*".parse::<Permission>().is_err());
        assert!("budget".parse::<PermissionPattern>().is_err());
    }
}
