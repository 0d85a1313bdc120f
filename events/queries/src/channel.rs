//! Channels of a tenant, and the messages that went through them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{Page, Paging, list_query};
use steward_events::event::{ChannelKind, NoticeKind, NoticePattern};
use steward_events::id::{ChannelId, MessageId, PrincipalId, SecretId};
use steward_events::quantity::Position;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

list_query! {
    /// Lists channels.
    ListChannels {
        /// Only those of this kind: `webhook`, `mail`, `slack` or `alertmanager`.
        kind: ChannelKind,
    }
}

list_query! {
    /// Lists messages that no attempt could deliver.
    ListDeadLetters {
        /// Only those of this channel.
        channel: ChannelId,
    }
}

/// Shows one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowChannel {
    /// Name of the channel.
    pub channel: ChannelId,
    /// Answer only from a state that includes this position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_position: Option<Position>,
}

/// Channels.
pub type ChannelPage = Page<ChannelRow>;

/// Messages.
pub type MessagePage = Page<MessageRow>;

/// One channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelRow {
    /// Name of the channel.
    pub channel: ChannelId,
    /// How it speaks.
    pub kind: ChannelKind,
    /// Where to, if that is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The secret it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretId>,
    /// Whom it writes to, by mail; empty also if the tenant was erased.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// The notices it wants; empty means all.
    pub notices: Vec<NoticePattern>,
    /// Where these belong; empty means the whole tenant.
    pub scopes: Vec<Scope>,
    /// Whether anything is sent through it.
    pub state: ChannelState,
    /// Why its receiver disabled it, if that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was set last.
    pub set_at: Timestamp,
    /// Who set it then.
    pub set_by: PrincipalId,
    /// Messages yet to be delivered.
    pub waiting: u32,
    /// Messages that no attempt could deliver.
    pub dead: u32,
    /// Its last messages, the newest first; a list has only the newest.
    pub messages: Vec<MessageRow>,
}

/// Whether anything is sent through a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelState {
    /// What it wants is sent.
    Active,
    /// Somebody has set it so, or its receiver wants nothing any more.
    Disabled,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageRow {
    /// Through which channel.
    pub channel: ChannelId,
    /// Its id, which its receiver sees too.
    pub message: MessageId,
    /// What it tells.
    pub kind: NoticeKind,
    /// The title of its first notice.
    pub title: String,
    /// How many notices are in it.
    pub notices: u32,
    /// How far it is.
    pub state: MessageState,
    /// Attempts so far.
    pub attempts: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// When the next attempt may begin, if there is to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// Why the last attempt failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// It is to be sent.
    Waiting,
    /// A worker sends it, or died while it did.
    Sending,
    /// Its receiver has it.
    Delivered,
    /// No attempt could deliver it.
    Dead,
}
