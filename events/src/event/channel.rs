//! Channels: by which people and machines are told, and how each message fared.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{Notice, NoticeKind, NoticePattern, NoticeSource};
use crate::id::{ChannelId, MessageId, SecretId};
use crate::quantity::SchemaVersion;
use crate::scope::Scope;
use crate::sealed::Sealed;
use crate::timestamp::Timestamp;

/// Events of a tenant's channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum ChannelEvent {
    /// A channel is there, or is another one.
    Set {
        /// Which.
        channel: ChannelId,
        /// What it is.
        spec: ChannelSpec,
    },
    /// A channel is gone, with all that was yet to be sent through it.
    Removed {
        /// Which.
        channel: ChannelId,
    },
    /// Its receiver said that it wants nothing any more: nothing is sent until the channel is set again.
    Disabled {
        /// Which.
        channel: ChannelId,
        /// What the receiver said.
        reason: String,
    },
    /// Somebody is to be told something.
    Noticed {
        /// What.
        notice: Notice,
        /// The event that it tells of; none for a test.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<NoticeSource>,
        /// By which messages.
        messages: Vec<Addressed>,
    },
    /// A worker sends a message: until a moment nobody else does.
    SendingStarted {
        /// Through which channel.
        channel: ChannelId,
        /// Which.
        message: MessageId,
        /// Which attempt this is, from 1.
        attempt: u32,
        /// The worker, by its run.
        worker: String,
        /// When another may try, if nothing is heard of this attempt.
        until: Timestamp,
    },
    /// The receiver has it.
    Delivered {
        /// Through which channel.
        channel: ChannelId,
        /// Which.
        message: MessageId,
        /// By which attempt.
        attempt: u32,
    },
    /// An attempt failed; another follows.
    SendingFailed {
        /// Through which channel.
        channel: ChannelId,
        /// Which.
        message: MessageId,
        /// Which attempt.
        attempt: u32,
        /// Why.
        reason: String,
        /// When the next one may begin.
        retry_at: Timestamp,
    },
    /// No further attempt is made, unless somebody asks for it.
    DeadLettered {
        /// Through which channel.
        channel: ChannelId,
        /// Which.
        message: MessageId,
        /// Why.
        reason: String,
    },
    /// A dead letter is not kept any more: there were too many.
    DeadLetterDropped {
        /// Through which channel.
        channel: ChannelId,
        /// Which.
        message: MessageId,
    },
    /// Somebody wants a dead letter to be sent after all.
    RedeliveryAsked {
        /// Through which channel.
        channel: ChannelId,
        /// Which.
        message: MessageId,
    },
}

impl ChannelEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(1);
}

/// A notice is in this message: the first makes the message, further ones join it until it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addressed {
    /// Through which channel.
    pub channel: ChannelId,
    /// Which message.
    pub message: MessageId,
    /// When it is to be sent.
    pub at: Timestamp,
}

/// What a channel is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelSpec {
    /// How it speaks.
    pub kind: ChannelKind,
    /// Where to, if that is no secret and no mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The secret that signs its messages, or that is the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretId>,
    /// Whom it writes to, by mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients: Option<Sealed<Recipients>>,
    /// The notices it wants; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<NoticePattern>,
    /// Where these belong; empty means the whole tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
    /// Whether anything is sent through it.
    #[serde(default = "is_enabled", skip_serializing_if = "Clone::clone")]
    pub enabled: bool,
}

/// What holds of a channel that says nothing of it.
const fn is_enabled() -> bool {
    true
}

impl ChannelSpec {
    /// True if it wants notices of this kind that belong here.
    pub fn wants(&self, kind: NoticeKind, scope: &Scope) -> bool {
        self.enabled
            && (self.notices.is_empty() || self.notices.iter().any(|pattern| pattern.covers(kind)))
            && (self.scopes.is_empty() || self.scopes.iter().any(|wanted| wanted.contains(scope)))
    }
}

/// How a channel speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// A POST with a signature, by Standard Webhooks.
    Webhook,
    /// A mail through the operators' mail server.
    Mail,
    /// A POST to an incoming webhook of Slack, or of what understands the same.
    Slack,
    /// A POST to the API of an Alertmanager.
    Alertmanager,
}

impl fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Webhook => "webhook",
            Self::Mail => "mail",
            Self::Slack => "slack",
            Self::Alertmanager => "alertmanager",
        })
    }
}

/// The most mail addresses of one channel.
pub const RECIPIENTS_MAX: usize = 10;

/// The longest mail address, by RFC 5321.
const ADDRESS_BYTES_MAX: usize = 254;

/// Whom a channel writes to, by mail. Recorded sealed: they are people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Recipients(Vec<String>);

/// Texts that are no list of mail addresses. It does not say which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "recipients are 1 to {RECIPIENTS_MAX} mail addresses such as ana@example.com, each of visible ASCII characters"
)]
pub struct InvalidRecipients;

impl Recipients {
    /// The addresses.
    pub fn addresses(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<Vec<String>> for Recipients {
    type Error = InvalidRecipients;

    fn try_from(addresses: Vec<String>) -> Result<Self, InvalidRecipients> {
        let count = (1..=RECIPIENTS_MAX).contains(&addresses.len());
        if count && addresses.iter().all(|text| is_address(text)) {
            Ok(Self(addresses))
        } else {
            Err(InvalidRecipients)
        }
    }
}

/// Whether `text` has the form of a plain mail address, without a name and without quotes.
fn is_address(text: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'(' | b')' | b',' | b';' | b':' | b'"' | b'\\')
    };
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    text.len() <= ADDRESS_BYTES_MAX
        && text.bytes().all(plain)
        && !local.is_empty()
        && !local.contains('@')
        && domain.contains('.')
        && domain.split('.').all(|label| !label.is_empty())
}

impl From<Recipients> for Vec<String> {
    fn from(recipients: Recipients) -> Self {
        recipients.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_bounded_and_hold_no_header() {
        let read = |texts: &[&str]| Recipients::try_from(texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert!(read(&["ana@example.com"; RECIPIENTS_MAX]).is_ok());
        assert!(read(&["ana@example.com"; RECIPIENTS_MAX + 1]).is_err());
        assert!(read(&[]).is_err());
        let long = format!("{}@example.com", "a".repeat(ADDRESS_BYTES_MAX));
        for wrong in [
            "",
            "ana",
            "@example.com",
            "ana@",
            "ana@localhost",
            "ana@b@example.com",
            "a b@example.com",
            "ana@example.com\r\nBcc: all@example.com",
            "<ana@example.com>",
            "a,b@example.com",
            "ána@example.com",
            "ana@example..com",
            &long,
        ] {
            assert_eq!(read(&[wrong]), Err(InvalidRecipients), "{wrong:?}");
        }
    }

    #[test]
    fn a_channel_wants_kinds_and_scopes() {
        let spec = |notices: &[&str], scopes: &[&str], enabled| ChannelSpec {
            kind: ChannelKind::Webhook,
            url: None,
            secret: None,
            recipients: None,
            notices: notices.iter().map(|text| text.parse().unwrap()).collect(),
            scopes: scopes.iter().map(|text| text.parse().unwrap()).collect(),
            enabled,
        };
        let here = "acme/support".parse().unwrap();
        let wants = |spec: ChannelSpec| spec.wants(NoticeKind::TaskFailed, &here);
        assert!(wants(spec(&[], &[], true)));
        assert!(wants(spec(&["budget.*", "task.*"], &["acme/sales", "acme"], true)));
        assert!(!wants(spec(&["budget.*"], &[], true)));
        assert!(!wants(spec(&[], &["acme/sales"], true)));
        assert!(!wants(spec(&[], &[], false)));
    }
}
