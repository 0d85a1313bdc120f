//! Notices: what people and machines are told of. Which event makes which notice is one table, in the workers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::quantity::Position;
use crate::scope::Scope;
use crate::timestamp::Timestamp;

macro_rules! notice_kinds {
    ($($kind:ident = $name:literal, $help:literal;)+) => {
        /// What a notice tells. Recorded by name, so that one more is a line here.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        pub enum NoticeKind {
            $(#[doc = $help] #[serde(rename = $name)] $kind,)+
        }

        impl NoticeKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The name under which it is recorded and wanted.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            /// What it tells, for people.
            pub const fn help(self) -> &'static str {
                match self {
                    $(Self::$kind => $help,)+
                }
            }
        }
    };
}

notice_kinds! {
    Test = "channel.test", "Somebody tests a channel; goes to that channel only, whatever it wants";
    ChannelDisabled = "channel.disabled", "A receiver does not want a channel's messages any more; goes to the other channels";
    BudgetThreshold = "budget.threshold", "Spending passed a warning threshold of a budget for the first time in its window";
    TenantSuspended = "tenant.suspended", "The tenant was suspended: nothing of it may act";
    TenantResumed = "tenant.resumed", "The tenant may act again; ends `tenant.suspended`";
    UserDisabled = "user.disabled", "A person or service account may do nothing from now on";
    KeyIssued = "key.issued", "Somebody issued an API key; keys that workers make for tasks are left out";
    KeyRevoked = "key.revoked", "Somebody revoked an API key";
    ElevationRequested = "elevation.requested", "Somebody asks for a role for a time; somebody else has to approve it";
    ElevationApproved = "elevation.approved", "Somebody has a role for a time; critical if nobody else approved it";
    ReviewStarted = "review.started", "Grants have to be confirmed until a day";
    DenialsBurst = "denials.burst", "So many requests were refused within a second that they are not kept one by one";
    TaskFailed = "task.failed", "A task failed";
    BatchFailed = "batch.failed", "A batch of model calls failed";
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody has to act now.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// What somebody is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// What it tells.
    pub kind: NoticeKind,
    /// How much it matters.
    pub severity: Severity,
    /// Where it belongs: channels may want those of some scopes only.
    pub scope: Scope,
    /// When what it tells of was recorded.
    pub at: Timestamp,
    /// What it is about, e.g. `budget acme/support a day`: the notice that something ends is about the same.
    pub about: String,
    /// One line.
    pub title: String,
    /// More, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Details by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// A command to look further or to act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<String>,
    /// When what it tells is over by itself, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
}

/// Where the event stands that a notice tells of. All events of a tenant are in one shard, so these are in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoticeSource {
    /// The commit's place in the tenant's shard.
    pub position: Position,
    /// The event's place within the commit.
    pub index: u32,
}

/// Which notices a channel wants: `budget.threshold`, `budget.*` or `*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoticePattern(Cow<'static, str>);

/// A text that no notice is like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no notice: write `*`, or one of {all}, or the first word of one with `.*`", all = all_kinds())]
pub struct InvalidPattern(pub String);

fn all_kinds() -> String {
    NoticeKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
}

impl NoticePattern {
    /// True if notices of this kind are wanted.
    pub fn covers(&self, kind: NoticeKind) -> bool {
        match self.0.strip_suffix('*') {
            Some(group) => kind.as_str().starts_with(group),
            None => self.0 == kind.as_str(),
        }
    }
}

impl FromStr for NoticePattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let pattern = Self(Cow::Owned(text.to_owned()));
        let is_group = text.strip_suffix('*').is_none_or(|group| group.is_empty() || group.ends_with('.'));
        if is_group && NoticeKind::ALL.iter().any(|kind| pattern.covers(*kind)) {
            Ok(pattern)
        } else {
            Err(InvalidPattern(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for NoticePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NoticePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for NoticePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NoticePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer)
    }
}

impl JsonSchema for NoticePattern {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "NoticePattern".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(\\*|[a-z]+\\.(\\*|[a-z_]+))$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_one_kind_a_group_or_all() {
        for (pattern, covers) in
            [("budget.threshold", true), ("budget.*", true), ("*", true), ("task.*", false), ("task.failed", false)]
        {
            let pattern: NoticePattern = pattern.parse().unwrap();
            assert_eq!(pattern.covers(NoticeKind::BudgetThreshold), covers, "{pattern}");
        }
        for wrong in ["", "budget", "budget*", "bud*", "budget.thresholds", "nothing.*", "*.failed", "**"] {
            assert!(wrong.parse::<NoticePattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_kind_has_one_name_in_two_words() {
        for kind in NoticeKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(kind.as_str().split('.').count(), 2, "{kind}");
        }
    }
}
