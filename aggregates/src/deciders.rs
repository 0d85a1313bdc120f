//! Which aggregate decides for which kind, from THE LIST of `steward-events`: the decider of `ledger: Ledger, …` is
//! `ledger::Ledger`.

use steward_events::event::AggregateKind;

use crate::aggregate::Aggregate;

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
    use steward_events::command::Commands;
    use steward_events::event::AggregateEvents;

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
    fn each_kinds_decider_decides_commands_and_records_events() {
        for kind in AggregateKind::ALL {
            if let Some(kinds) = for_aggregate(kind, Kinds) {
                assert_eq!(kinds, [kind; 2]);
            }
        }
    }

    #[test]
    fn only_journals_have_no_decider() {
        let journals = AggregateKind::ALL.into_iter().filter(|kind| for_aggregate(*kind, Kinds).is_none());
        assert_eq!(journals.collect::<Vec<_>>(), [AggregateKind::Usage, AggregateKind::Denials, AggregateKind::Reads]);
    }
}
