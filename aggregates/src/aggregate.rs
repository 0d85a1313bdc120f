//! What a decider is, and which one decides for which kind.

use steward_events::command::Commands;
use steward_events::event::{AggregateKind, Facts};
use steward_events::id::{CommandId, PrincipalId, TenantId};
use steward_events::rejection::Rejection;
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
    /// For whom, if not for themselves.
    pub on_behalf_of: Option<PrincipalId>,
    /// IANA name of the tenant's time zone, in which budget windows turn.
    pub timezone: String,
    /// How many shards there are, to place a tenant.
    pub shards: u16,
}

/// A decider: the fold of one stream, and what may follow.
pub trait Aggregate: Default + Clone + Send + Sync + 'static {
    /// The commands it decides.
    type Command: Commands;
    /// The events it records.
    type Event: Facts;

    /// Decides `command`. Pure. An empty list means: accepted, nothing to do.
    ///
    /// # Errors
    /// [`Rejection`], and then nothing is recorded.
    fn decide(&self, command: &Self::Command, stamp: &Stamp) -> Result<Vec<Self::Event>, Rejection>;

    /// Takes in a fact that was recorded at `at`. Total: what has happened cannot be refused.
    fn apply(&mut self, event: &Self::Event, at: Timestamp);

    /// What the sender of an accepted command needs to know beside the facts' names, by the state after them.
    fn answer(&self, _command: &Self::Command) -> serde_json::Value {
        serde_json::Value::Null
    }
}

/// Something that is done in the same way for every aggregate.
pub trait ForAggregate {
    /// What comes of it.
    type Output;

    /// Does it for `A`.
    fn run<A: Aggregate>(self) -> Self::Output;
}

macro_rules! decider {
    ($work:ident, $aggregate:path, $commands:ident) => {
        Some($work.run::<$aggregate>())
    };
    ($work:ident, $journal:path) => {
        None
    };
}

macro_rules! deciders {
    ($($(#[$doc:meta])+ $module:ident: $kind:ident, $events:ident $(, $commands:ident)?;)+) => {
        /// Does `work` for the aggregate of `kind`; none if that is a journal, where nothing is decided.
        pub fn for_aggregate<W: ForAggregate>(kind: AggregateKind, work: W) -> Option<W::Output> {
            match kind {
                $(AggregateKind::$kind => decider!(work, crate::$module::$kind $(, $commands)?),)+
            }
        }
    };
}

steward_events::aggregates!(deciders);

#[cfg(test)]
mod tests {
    use super::*;

    /// Which kind the events and commands of an aggregate say that they are of.
    struct Kinds;

    impl ForAggregate for Kinds {
        type Output = [AggregateKind; 2];

        fn run<A: Aggregate>(self) -> [AggregateKind; 2] {
            [A::Event::KIND, A::Command::KIND]
        }
    }

    #[test]
    fn the_decider_of_a_kind_decides_its_commands_and_records_its_events() {
        for kind in AggregateKind::ALL {
            if let Some(kinds) = for_aggregate(kind, Kinds) {
                assert_eq!(kinds, [kind; 2]);
            }
        }
    }

    #[test]
    fn only_journals_have_no_decider() {
        let journals = AggregateKind::ALL.into_iter().filter(|kind| for_aggregate(*kind, Kinds).is_none());
        assert_eq!(journals.collect::<Vec<_>>(), [AggregateKind::Usage, AggregateKind::Denials]);
    }
}
