//! Commands about channels: by which people and machines are told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::{ChannelKind, Notice, NoticePattern, NoticeSource, Recipients};
use crate::id::{ChannelId, MessageId, SecretId, TenantId};
use crate::ids::Ids;
use crate::scope::Scope;
use crate::sealed::{Content, KeyOwner, Sealable};
use crate::timestamp::Timestamp;

commands! {
    ChannelCommand of Channel {
        "channel" "set" => SetChannel, Callers, "Set a channel: where its messages go, and which notices it wants";
        "channel" "remove" => RemoveChannel, Callers, "Remove a channel, with all that was yet to be sent through it";
        "channel" "test" => TestChannel, Callers, "Send a notice through a channel that says that it is a test";
        "channel" "redeliver" => RedeliverMessage, Callers, "Send a dead letter after all";
        "channel" "notify" => NotifyChannels, System, "Record what is to be told, and to whom";
        "channel" "start-sending" => StartSending, System, "Record that a worker sends a message now";
        "channel" "finish-sending" => FinishSending, System, "Record what came of an attempt to send a message";
    }
}

/// Sets a channel, or replaces it. One that its receiver has disabled is enabled by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetChannel {
    /// Name of the channel.
    pub channel: ChannelId,
    /// How it speaks: `webhook` (POST with a signature, by Standard Webhooks), `mail`, `slack` (an incoming webhook of Slack, or
    /// of what understands the same) or `alertmanager`.
    pub kind: ChannelKind,
    /// Where a webhook or an Alertmanager is, e.g. `https://example.com/hook`. It is recorded as it is: one that is a secret
    /// itself belongs into a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Name of the tenant's secret (`secret set`) that signs the messages of a webhook (`whsec_…`), or that is the URL of a
    /// Slack channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretId>,
    /// Mail addresses, at most 10; sealed before they are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients: Option<Content<Recipients>>,
    /// Notices that it wants, e.g. `budget.threshold` or `budget.*`; all if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<NoticePattern>,
    /// Scopes whose notices it wants; those of the whole tenant if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
    /// Whether anything is sent through it.
    #[serde(default = "is_enabled")]
    pub enabled: bool,
}

/// What holds if nobody says otherwise.
const fn is_enabled() -> bool {
    true
}

impl Body for SetChannel {
    fn sealed(&mut self, tenant: &TenantId) -> Vec<(&mut dyn Sealable, KeyOwner)> {
        let recipients = self.recipients.as_mut().map(|recipients| recipients as &mut dyn Sealable);
        recipients.map(|recipients| (recipients, KeyOwner::Tenant(tenant.clone()))).into_iter().collect()
    }
    /// Nobody sees that two channels write to the same people.
    fn sealed_at(&self) -> String {
        format!("channel/{}", self.channel)
    }
}

/// Removes a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveChannel {
    /// Name of the channel.
    pub channel: ChannelId,
}

impl Body for RemoveChannel {}

/// Sends a test through a channel, on the same way as everything else. How it went is in `channel show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestChannel {
    /// Name of the channel.
    pub channel: ChannelId,
    /// Id of the message; made if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
}

impl Body for TestChannel {
    fn complete(&mut self, fresh: &dyn Ids) {
        if self.message.is_none() {
            self.message = MessageId::new(format!("msg_{}", fresh.unique())).ok();
        }
    }
}

/// Has a dead letter sent after all, under the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeliverMessage {
    /// Name of the channel.
    pub channel: ChannelId,
    /// Id of the message, as in `channel dead-letters`.
    pub message: MessageId,
}

impl Body for RedeliverMessage {}

/// Records what is to be told. The channels decide whom; what was told before decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotifyChannels {
    /// What.
    pub notice: Notice,
    /// The event that it tells of.
    pub source: NoticeSource,
}

impl Body for NotifyChannels {}

/// Records that a worker sends a message. It may do so if the answer names an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartSending {
    /// Through which channel.
    pub channel: ChannelId,
    /// Which.
    pub message: MessageId,
    /// The worker, by its run.
    pub worker: String,
    /// When another may try, if nothing is heard of this attempt.
    pub until: Timestamp,
}

impl Body for StartSending {}

/// Records what came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishSending {
    /// Through which channel.
    pub channel: ChannelId,
    /// Which.
    pub message: MessageId,
    /// Which attempt.
    pub attempt: u32,
    /// What came of it.
    pub outcome: SendingOutcome,
}

impl Body for FinishSending {}

/// What came of an attempt to send a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SendingOutcome {
    /// The receiver has it.
    Delivered,
    /// The receiver wants nothing any more.
    Gone {
        /// What it said.
        reason: String,
    },
    /// It failed.
    Failed {
        /// Why.
        reason: String,
        /// When the next attempt may begin; none if there is to be no further one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
    },
}
