//! Guards how many agents and open tasks a tenant has: each of these has a stream of its own, which cannot count the others, so
//! each takes a place here before it is made.
//!
//! What one decider takes, every other finds taken: the expected position of this one stream is the lock. Knows ids only, not
//! what they stand for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use steward_events::command::{QuotaCommand, ReturnPlace, TakePlace};
use steward_events::event::{QuotaEvent, QuotaKind};
use steward_events::id::StreamId;
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};

/// The places that are taken.
#[derive(Clone, Debug, Default)]
pub struct Quota {
    taken: BTreeMap<QuotaKind, BTreeSet<StreamId>>,
}

impl Quota {
    /// How many places are taken.
    pub fn taken(&self, quota: QuotaKind) -> usize {
        self.taken.get(&quota).map_or(0, BTreeSet::len)
    }

    fn has(&self, quota: QuotaKind, id: &StreamId) -> bool {
        self.taken.get(&quota).is_some_and(|taken| taken.contains(id))
    }

    fn take(&self, take: &TakePlace) -> Result<Vec<QuotaEvent>, Rejection> {
        let TakePlace { quota, id, limit } = take.clone();
        if !quota.has_places() {
            return Err(Rejection::invalid("quota", format!("{quota} are counted elsewhere")));
        }
        if self.has(quota, &id) {
            return Ok(vec![]);
        }
        let taken = u64::try_from(self.taken(quota)).unwrap_or(u64::MAX);
        match limit {
            Some(limit) if taken >= limit => Err(Rejection::QuotaExceeded { quota: quota.to_string(), limit, taken }),
            _ => Ok(vec![QuotaEvent::PlaceTaken { quota, id }]),
        }
    }

    fn give_back(&self, back: &ReturnPlace) -> Vec<QuotaEvent> {
        let ReturnPlace { quota, id } = back.clone();
        if self.has(quota, &id) { vec![QuotaEvent::PlaceReturned { quota, id }] } else { vec![] }
    }
}

impl Aggregate for Quota {
    type Command = QuotaCommand;
    type Event = QuotaEvent;

    fn decide(&self, command: &QuotaCommand, _: &Stamp) -> Result<Vec<QuotaEvent>, Rejection> {
        match command {
            QuotaCommand::TakePlace(take) => self.take(take),
            QuotaCommand::ReturnPlace(back) => Ok(self.give_back(back)),
        }
    }

    fn apply(&mut self, event: &QuotaEvent, _: Timestamp) {
        match event {
            QuotaEvent::PlaceTaken { quota, id } => _ = self.taken.entry(*quota).or_default().insert(id.clone()),
            QuotaEvent::PlaceReturned { quota, id } => {
                if let Some(taken) = self.taken.get_mut(quota) {
                    taken.remove(id);
                }
            }
        }
    }

    fn answer(&self, command: &QuotaCommand) -> serde_json::Value {
        let quota = match command {
            QuotaCommand::TakePlace(TakePlace { quota, .. }) | QuotaCommand::ReturnPlace(ReturnPlace { quota, .. }) => {
                *quota
            }
        };
        json!({ "quota": quota, "taken": self.taken(quota) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::given;

    const AGENTS: QuotaKind = QuotaKind::Agents;

    fn take(id: &str, limit: Option<u64>) -> QuotaCommand {
        QuotaCommand::TakePlace(TakePlace { quota: AGENTS, id: StreamId::new(id).unwrap(), limit })
    }

    fn give_back(id: &str) -> QuotaCommand {
        QuotaCommand::ReturnPlace(ReturnPlace { quota: AGENTS, id: StreamId::new(id).unwrap() })
    }

    fn taken(id: &str) -> QuotaEvent {
        QuotaEvent::PlaceTaken { quota: AGENTS, id: StreamId::new(id).unwrap() }
    }

    fn returned(id: &str) -> QuotaEvent {
        QuotaEvent::PlaceReturned { quota: AGENTS, id: StreamId::new(id).unwrap() }
    }

    #[test]
    fn places_are_given_up_to_the_limit_and_not_beyond() {
        let full = Rejection::QuotaExceeded { quota: "agents".to_owned(), limit: 2, taken: 2 };
        given::<Quota>([]).when(take("a", Some(2))).then([taken("a")]);
        given::<Quota>([taken("a")]).when(take("b", Some(2))).then([taken("b")]);
        given::<Quota>([taken("a"), taken("b")]).when(take("c", Some(2))).then_rejected(&full);
        given::<Quota>([taken("a"), taken("b"), returned("a")]).when(take("c", Some(2))).then([taken("c")]);
        let none = Rejection::QuotaExceeded { quota: "agents".to_owned(), limit: 0, taken: 0 };
        given::<Quota>([]).when(take("a", Some(0))).then_rejected(&none);
    }

    #[test]
    fn a_thing_takes_one_place_however_often_it_asks() {
        given::<Quota>([taken("a")]).when(take("a", Some(1))).then([]);
        given::<Quota>([taken("a"), returned("a")]).when(give_back("a")).then([]);
        given::<Quota>([]).when(give_back("a")).then([]);
    }

    #[test]
    fn what_was_there_before_counts_beyond_the_limit() {
        given::<Quota>([taken("a")]).when(take("b", None)).then([taken("b")]);
    }

    #[test]
    fn only_things_with_streams_of_their_own_take_places() {
        let keys = TakePlace { quota: QuotaKind::Keys, id: StreamId::main(), limit: None };
        let refused = Rejection::invalid("quota", "keys are counted elsewhere");
        given::<Quota>([]).when(QuotaCommand::TakePlace(keys)).then_rejected(&refused);
    }
}
