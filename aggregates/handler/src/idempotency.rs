//! Which commands a stream has decided lately: the same id from the same sender is decided once, by any replica.
//!
//! Rebuilt from the log, so there is no table to keep or lose. Commands of Steward's own parts are not remembered: they
//! are idempotent by nature (lease and turn, epoch and step, key id).

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use steward_events::commit::Entry;
use steward_events::digest::BodyHash;
use steward_events::event::Event;
use steward_events::id::{CommandId, PrincipalId, TenantId};
use steward_events::quantity::Position;
use steward_events::timestamp::Timestamp;

/// How long after it was issued a command may be sent again.
pub(crate) const ISSUED_AGO_MAX: Duration = Duration::from_mins(10);

/// How far ahead of ours the sender's clock may be. Short, because what may have been forgotten is refused up to that much
/// later: with [`REMEMBERED_MAX`] it bounds the commands a second that one stream decides for long, to forty thousand.
pub(crate) const ISSUED_AHEAD_MAX: Duration = Duration::from_secs(10);

/// How long decided commands are remembered: as long as anyone may still send them.
const REMEMBER: Duration = ISSUED_AGO_MAX.saturating_add(ISSUED_AHEAD_MAX);

/// The most commands that one stream remembers, at some hundred bytes each. Beyond, the oldest are forgotten, and what may
/// be as old is refused.
const REMEMBERED_MAX: usize = 400_000;

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The names of its events.
    pub(crate) events: Arc<[String]>,
    /// Where they stand.
    pub(crate) position: Position,
    /// What was asked.
    pub(crate) body: Option<BodyHash>,
}

/// A command and its sender, as 128 bits under keys of this process that nobody else knows: no two meet.
type Fingerprint = (u64, u64);

/// The commands of one stream that may still be sent again.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    keys: (RandomState, RandomState),
    seen: HashMap<Fingerprint, Seen>,
    order: VecDeque<(Timestamp, Fingerprint)>,
    /// The names of the last events: those of the next command are mostly the same, and then kept once.
    names: Arc<[String]>,
    forgotten_until: Option<Timestamp>,
}

impl Recent {
    /// Remembers a recorded entry, unless it is of no more use at `now`.
    pub(crate) fn remember(&mut self, entry: &Entry, position: Position, now: Timestamp) {
        self.forget(now);
        if entry.actor.is_system() || entry.at.plus(REMEMBER) < now {
            return;
        }
        let names: Vec<String> = entry.events.iter().map(Event::name).collect();
        if *self.names != *names {
            self.names = names.into();
        }
        let id = self.fingerprint(&entry.command, &entry.actor);
        if self.seen.insert(id, Seen { events: Arc::clone(&self.names), position, body: entry.body }).is_none() {
            self.order.push_back((entry.at, id));
        }
        if self.order.len() > REMEMBERED_MAX {
            self.forgotten_until = self.forget_first();
        }
    }

    /// What came of this command, if it was decided here.
    pub(crate) fn find(&self, command: &CommandId, actor: &PrincipalId) -> Option<&Seen> {
        self.seen.get(&self.fingerprint(command, actor))
    }

    fn fingerprint(&self, command: &CommandId, actor: &PrincipalId) -> Fingerprint {
        (self.keys.0.hash_one((command, actor)), self.keys.1.hash_one((command, actor)))
    }

    /// True if a command issued then may have been decided and forgotten.
    pub(crate) fn may_be_forgotten(&self, issued_at: Timestamp) -> bool {
        self.forgotten_until.is_some_and(|until| issued_at <= until.plus(ISSUED_AHEAD_MAX))
    }

    fn forget(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|(at, _)| at.plus(REMEMBER) < now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) -> Option<Timestamp> {
        let (at, id) = self.order.pop_front()?;
        self.seen.remove(&id);
        Some(at)
    }
}

/// The commands of all streams that this process saw decided: a stream knows only its own, and an id is used for one
/// command, wherever that belongs. Best effort, as other replicas know of others; no stream's own answer rests on it.
pub(crate) struct Decided(Cache<BodyHash, BodyHash>);

/// How many commands are kept, at some hundred bytes each.
const DECIDED_MAX: usize = 50_000;

impl Default for Decided {
    fn default() -> Self {
        Self(Cache::new(DECIDED_MAX))
    }
}

impl Decided {
    /// The name of a command: its sender and its id.
    pub(crate) fn name(tenant: &TenantId, actor: &PrincipalId, id: &CommandId) -> BodyHash {
        BodyHash::of(format!("{tenant}\0{actor}\0{id}").as_bytes())
    }

    /// True if the command of this name asked for something else.
    pub(crate) fn is_another(&self, name: &BodyHash, body: BodyHash) -> bool {
        self.0.get(name).is_some_and(|known| known != body)
    }

    /// Remembers it.
    pub(crate) fn remember(&self, name: BodyHash, body: BodyHash) {
        self.0.insert(name, body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steward_events::event::TenantEvent;

    fn entry(command: &str, actor: &str, at: Timestamp) -> Entry {
        Entry {
            command: command.parse().unwrap(),
            at,
            actor: actor.parse().unwrap(),
            on_behalf_of: None,
            key: None,
            causation: None,
            correlation: "r1".parse().unwrap(),
            body: None,
            events: vec![TenantEvent::Resumed.into()],
        }
    }

    fn find<'a>(recent: &'a Recent, command: &str, actor: &str) -> Option<&'a Seen> {
        recent.find(&command.parse().unwrap(), &actor.parse().unwrap())
    }

    #[test]
    fn a_command_is_remembered_for_its_sender_and_its_time() {
        let mut recent = Recent::default();
        recent.remember(&entry("c1", "p_ana", Timestamp(0)), Position(7), Timestamp(0));
        let seen = Seen { events: ["tenant.resumed".to_owned()].into(), position: Position(7), body: None };
        assert_eq!(find(&recent, "c1", "p_ana"), Some(&seen));
        assert_eq!(find(&recent, "c1", "p_eve"), None);
        let end = Timestamp(0).plus(REMEMBER);
        recent.remember(&entry("c2", "p_ana", end), Position(8), end);
        assert!(find(&recent, "c1", "p_ana").is_some());
        let after = Timestamp(end.0 + 1);
        recent.remember(&entry("c3", "p_ana", after), Position(9), after);
        assert_eq!(find(&recent, "c1", "p_ana"), None);
        assert!(!recent.may_be_forgotten(Timestamp(0)), "too old to be sent again, so nobody needs to ask");
    }

    #[test]
    fn the_oldest_beyond_the_bound_are_forgotten_and_refused() {
        let mut recent = Recent::default();
        let at = |second: usize| Timestamp(second as u64);
        for number in 0..=REMEMBERED_MAX {
            recent.remember(&entry(&format!("c{number}"), "p_ana", at(number)), Position(1), at(number));
        }
        assert_eq!(find(&recent, "c0", "p_ana"), None);
        assert!(find(&recent, "c1", "p_ana").is_some());
        assert!(recent.may_be_forgotten(Timestamp(0)));
        assert!(!recent.may_be_forgotten(Timestamp(1).plus(ISSUED_AHEAD_MAX)));
    }
}
