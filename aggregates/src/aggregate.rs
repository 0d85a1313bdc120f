//! What a decider is.

use steward_events::command::Commands;
use steward_events::event::{AggregateEvents, Quotas};
use steward_events::id::{CommandId, PrincipalId, TenantId};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::sender::KeyRef;
use steward_events::timestamp::Timestamp;

/// When, by whom and in what surroundings a command is decided. Stamped by the handler: a decision asks nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The command's id; new ids are derived from it.
    pub command: CommandId,
    /// Now: never before the last entry of the stream.
    pub at: Timestamp,
    /// Whose stream it is.
    pub tenant: TenantId,
    /// Who acts.
    pub actor: PrincipalId,
    /// With which key, if that is known.
    pub key: Option<KeyRef>,
    /// For whom, if not for themselves.
    pub on_behalf_of: Option<PrincipalId>,
    /// The widest scope at which the actor holds the permission for the command: `*` for operators. What is set belongs to
    /// that level.
    pub reach: Scope,
    /// IANA name of the tenant's time zone, in which budget windows turn.
    pub timezone: String,
    /// How many of its things the tenant may have, as far as that is said.
    pub quotas: Quotas,
    /// How many shards there are, to place a tenant.
    pub shards: u16,
}

/// A decider: the fold of one stream, and what may follow.
pub trait Aggregate: Default + Clone + Send + Sync + 'static {
    /// The commands it decides.
    type Command: Commands;
    /// The events it records.
    type Event: AggregateEvents;

    /// Decides `command`. Pure. An empty list means: accepted, nothing to do.
    ///
    /// # Errors
    /// [`Rejection`], and then nothing is recorded.
    fn decide(&self, command: &Self::Command, stamp: &Stamp) -> Result<Vec<Self::Event>, Rejection>;

    /// Takes in an event that was recorded at `at`. Total: what has happened cannot be refused.
    fn apply(&mut self, event: &Self::Event, at: Timestamp);

    /// What the sender of an accepted command needs to know beside the events' names, by the state after them.
    fn answer(&self, _command: &Self::Command) -> serde_json::Value {
        serde_json::Value::Null
    }
}
