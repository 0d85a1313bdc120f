//! Reads what happened in a tenant since a moment, beside who may do what at each moment: one pass over the log, in parts
//! that each end within their time.

use std::collections::VecDeque;
use std::time::Duration;

use steward_authority::Authority;
use steward_events::commit::Commit;
use steward_events::event::AggregateKind;
use steward_events::id::TenantId;
use steward_events::quantity::{Position, Shard};
use steward_events::shard::STEWARD_SHARD;
use steward_events::timestamp::Timestamp;
use steward_events::view::View;
use steward_ports::log::{Filter, LogError, Stored};

use crate::engine::Engine;
use crate::engine::read_model::NoAnswer;
use crate::engine::reading;

/// How far the clock of the log may be apart from those of the handlers.
const SKEW: Duration = Duration::from_hours(1);

/// A search for a moment ends when so few positions are left.
const NEAR: u64 = 512;

/// A part takes no more than this share of the time for an answer; the rest is for what comes before and after.
const SHARE: u32 = 3;

/// What is read, and of whom.
pub(super) struct Scan<'a> {
    pub(super) engine: &'a Engine,
    pub(super) shard: Shard,
    pub(super) tenant: &'a TenantId,
    /// Beside those of the authority.
    pub(super) kinds: &'a [AggregateKind],
}

/// What takes in one commit after another, and the rights of its moment.
pub(super) trait Takes: Send {
    /// Rights change: events of the tenant come with [`Self::take`].
    fn authority(&mut self) -> &mut Authority;
    /// Takes in what steward recorded before `at`.
    fn inherit(&mut self, commit: &Commit);
    /// Takes in a commit; false if the part is to end after it.
    fn take(&mut self, commit: &Commit, position: Position) -> bool;
}

impl Scan<'_> {
    /// Where to begin, so that nothing is left out that was recorded at `moment` or later.
    pub(super) async fn begin(&self, moment: Timestamp) -> Result<Position, LogError> {
        let log = &*self.engine.ports.log;
        let (mut before, mut after) = (0, log.last(&Filter::shard(self.shard)).await?.0);
        let early = Timestamp(moment.0.saturating_sub(u64::try_from(SKEW.as_micros()).unwrap_or(u64::MAX)));
        while after.saturating_sub(before) > NEAR {
            let middle = before + (after - before) / 2;
            match log.at(self.shard, Position(middle)).await? {
                Some(stored) if stored.stored_at < early => before = middle,
                Some(_) => after = middle,
                // Nothing stands there: what is before it is known to be early, no more.
                None => break,
            }
        }
        Ok(Position(before))
    }

    /// Reads on after `start`. Gives the position where the part ended, if the log goes on.
    pub(super) async fn part(
        &self,
        start: Position,
        until: Option<Timestamp>,
        takes: &mut impl Takes,
    ) -> Result<Option<Position>, NoAnswer> {
        let time_max = self.engine.config.answer_time_max;
        let clock = &self.engine.ports.clock;
        let mut inherited = self.inherited().await?;
        self.rights_before(start, takes).await?;
        let filter = Filter::shard(self.shard).tenant(self.tenant).kinds(&self.all_kinds());
        let ends = clock.monotonic() + time_max / SHARE;
        let over = until.map(|until| until.plus(SKEW));
        let (mut damage, mut next) = (None, None);
        reading::each(&*self.engine.ports.log, &filter, start, time_max, |stored: Stored| {
            if over.is_some_and(|over| stored.stored_at > over) {
                return false;
            }
            let commit = match stored.commit() {
                Ok(commit) => commit,
                Err(error) => {
                    damage = Some(error);
                    return false;
                }
            };
            let at = commit.entries.first().map_or(Timestamp(0), |entry| entry.at);
            while inherited.front().is_some_and(|commit| is_before(commit, at))
                && let Some(commit) = inherited.pop_front()
            {
                takes.inherit(&commit);
            }
            let goes_on = takes.take(commit, stored.position) && clock.monotonic() < ends;
            if !goes_on {
                next = Some(stored.position);
            }
            goes_on
        })
        .await?;
        damage.map_or(Ok(next), |error| Err(LogError::Unreadable(error).into()))
    }

    fn all_kinds(&self) -> Vec<AggregateKind> {
        AggregateKind::ALL
            .into_iter()
            .filter(|kind| self.kinds.contains(kind) || Authority::KINDS.contains(kind))
            .collect()
    }

    /// What steward recorded about rights, in the order of its shard; it counts in every tenant.
    async fn inherited(&self) -> Result<VecDeque<Commit>, NoAnswer> {
        let mut commits = VecDeque::new();
        if self.tenant.is_steward() {
            return Ok(commits);
        }
        let filter = Filter::shard(STEWARD_SHARD).tenant(&TenantId::steward()).kinds(Authority::KINDS);
        self.each(&filter, Position(0), |commit, _| {
            commits.push_back(commit);
            true
        })
        .await?;
        Ok(commits)
    }

    /// The tenant's rights up to where the part begins.
    async fn rights_before(&self, start: Position, takes: &mut impl Takes) -> Result<(), NoAnswer> {
        let filter = Filter::shard(self.shard).tenant(self.tenant).kinds(Authority::KINDS);
        if start == Position(0) {
            return Ok(());
        }
        self.each(&filter, Position(0), |commit, position| {
            if position > start {
                return false;
            }
            for recorded in commit.recorded(position) {
                takes.authority().apply(&recorded);
            }
            true
        })
        .await
    }

    async fn each(
        &self,
        filter: &Filter,
        after: Position,
        mut each: impl FnMut(Commit, Position) -> bool + Send,
    ) -> Result<(), NoAnswer> {
        let mut damage = None;
        let time_max = self.engine.config.answer_time_max;
        reading::each(&*self.engine.ports.log, filter, after, time_max, |stored| {
            match Commit::decode(&stored.stream, &stored.bytes) {
                Ok(commit) => each(commit, stored.position),
                Err(error) => {
                    damage = Some(error);
                    false
                }
            }
        })
        .await?;
        damage.map_or(Ok(()), |error| Err(LogError::Unreadable(error).into()))
    }
}

fn is_before(commit: &Commit, at: Timestamp) -> bool {
    commit.entries.first().is_none_or(|entry| entry.at <= at)
}
