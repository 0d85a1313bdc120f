//! A message on its way, and what may go wrong with it.

use std::time::Duration;

use steward_events::event::{ChannelSpec, Notice};
use steward_events::id::{ChannelId, MessageId, TenantId};
use steward_events::provider_key::SecretValue;
use steward_events::sealed::Sealed;

/// A message, with all that is needed to send it.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) tenant: TenantId,
    pub(super) channel: ChannelId,
    pub(super) message: MessageId,
    pub(super) spec: ChannelSpec,
    /// The first notices of it; never empty.
    pub(super) notices: Vec<Notice>,
    /// How many more there are.
    pub(super) more: u32,
    /// The channel's secret and the one it replaced not long ago, if there are.
    pub(super) secrets: Vec<Sealed<SecretValue>>,
}

/// Why a message was not delivered. The words are shown to those who may see the channel: no secret and no answer of the
/// receiver is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The receiver wants nothing any more.
    Gone(String),
    /// It will not go better.
    Never(String),
    /// It may go better; after this pause, if the receiver said so.
    Later(String, Option<Duration>),
}

impl Failure {
    pub(super) fn later(reason: impl Into<String>) -> Self {
        Self::Later(reason.into(), None)
    }
}
