//! One stream, folded: the state its next commit is decided on and what that commit must carry.

use steward_aggregates::aggregate::Aggregate;
use steward_events::commit::{Commit, Entry};
use steward_events::event::AggregateEvents;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_ports::append::Appended;
use steward_ports::journal::StreamEnd;
use steward_ports::log::{EventLog, LogError, Stored};

use crate::idempotency::Recent;

/// The fold of one stream.
pub(crate) struct Folded<A> {
    pub(crate) name: StreamName,
    /// What is recorded.
    pub(crate) state: A,
    /// The same, and what is being decided on top of it. Kept apart so that a lost race costs one copy, not a reload.
    pub(crate) pending_state: A,
    pub(crate) end: StreamEnd,
    pub(crate) recent: Recent,
}

impl<A: Aggregate> Folded<A> {
    /// A stream of which nothing is known yet.
    pub(crate) fn empty(name: StreamName) -> Self {
        Self {
            name,
            state: A::default(),
            pending_state: A::default(),
            end: StreamEnd::default(),
            recent: Recent::default(),
        }
    }

    /// Reads what was recorded since. A replica may answer, so the newest may be missing.
    pub(crate) async fn load_tail(&mut self, log: &dyn EventLog, now: Timestamp) -> Result<(), LogError> {
        for stored in log.load(&self.name, self.end.position).await? {
            self.take(&stored, now)?;
        }
        Ok(())
    }

    /// Takes in the next commit, if the leader has one: true if it did.
    pub(crate) async fn take_next(&mut self, log: &dyn EventLog, now: Timestamp) -> Result<bool, LogError> {
        match log.slot(&self.name, self.end.position).await? {
            Some(stored) => self.take(&stored, now).map(|()| true),
            None => Ok(false),
        }
    }

    fn take(&mut self, stored: &Stored, now: Timestamp) -> Result<(), LogError> {
        let commit = Commit::decode(&stored.stream, &stored.bytes)?;
        if !self.end.is_followed_by(&commit) {
            let reason = format!("the chain of {} is broken at position {}", self.name, stored.position);
            return Err(LogError::WentBack(reason));
        }
        for (event, at) in events::<A>(&commit.entries) {
            self.pending_state.apply(event, at);
        }
        self.advance(&commit, stored.into(), now);
        Ok(())
    }

    /// Takes in a commit whose events `pending_state` holds already.
    pub(crate) fn advance(&mut self, commit: &Commit, appended: Appended, now: Timestamp) {
        for (event, at) in events::<A>(&commit.entries) {
            self.state.apply(event, at);
        }
        for entry in &commit.entries {
            self.recent.remember(entry, appended.position, now);
        }
        self.end.advance(commit, appended);
    }

    /// Forgets what was decided and not recorded.
    pub(crate) fn fall_back(&mut self) {
        self.pending_state = self.state.clone();
    }
}

fn events<A: Aggregate>(entries: &[Entry]) -> impl Iterator<Item = (&A::Event, Timestamp)> {
    let events = entries.iter().flat_map(|entry| entry.events.iter().map(|event| (event, entry.at)));
    events.filter_map(|(event, at)| A::Event::from_event(event).map(|event| (event, at)))
}
