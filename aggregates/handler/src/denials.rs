//! Refusals worth keeping: a journal a run of this handler and tenant, written behind the replies, at a bounded rate.
//!
//! A reply does not wait for it: a denial rests on keys and grants, which are recorded; the journal is what people look
//! through afterwards. So a full queue or an unavailable log loses entries, and the next one says how many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steward_events::commit::Entry;
use steward_events::event::{AggregateKind, DenialEvent};
use steward_events::id::{CommitId, PrincipalId, StreamId, TenantId};
use steward_events::ids::Ids;
use steward_events::permission::Permission;
use steward_events::quantity::Shard;
use steward_events::rejection::Rejection;
use steward_events::request::Envelope;
use steward_events::scope::Scope;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_ports::append::append;
use steward_ports::clock::Clock;
use steward_ports::journal::StreamEnd;
use steward_ports::log::EventLog;
use tokio::sync::mpsc;

/// The same denial is kept once in this time; others are counted.
const SAME_AGAIN: Duration = Duration::from_secs(10);

/// The most denials of one tenant that are kept in a second.
const KEPT_A_SECOND_MAX: u32 = 10;

/// How many different denials are remembered, to count what is left out.
const REMEMBERED_MAX: usize = 10_000;

/// How many wait to be written.
const QUEUE_MAX: usize = 1_024;

/// The most entries of one commit.
const BATCH_MAX: usize = 128;

/// The longest reason that is kept, in characters.
const REASON_MAX: usize = 500;

type Same = (TenantId, PrincipalId, Permission, Scope);

/// Notes denials.
pub(crate) struct Denials {
    rate: Mutex<Rate>,
    queue: mpsc::Sender<Denial>,
}

/// One, on its way to the journal.
struct Denial {
    tenant: TenantId,
    shard: Shard,
    entry: Entry,
}

#[derive(Default)]
struct Rate {
    same: HashMap<Same, (Timestamp, u64)>,
    seconds: HashMap<TenantId, (u64, u32)>,
}

impl Rate {
    /// How many were left out before this one, if this one is to be kept.
    fn keep(&mut self, same: Same, now: Timestamp) -> Option<u64> {
        if self.same.len() >= REMEMBERED_MAX && !self.same.contains_key(&same) {
            self.same.retain(|_, (kept_at, _)| now.since(*kept_at) < SAME_AGAIN);
            if self.same.len() >= REMEMBERED_MAX {
                return None;
            }
        }
        let second = now.0 / 1_000_000;
        if self.seconds.len() >= REMEMBERED_MAX && !self.seconds.contains_key(&same.0) {
            self.seconds.retain(|_, (current, _)| *current == second);
            if self.seconds.len() >= REMEMBERED_MAX {
                return None;
            }
        }
        let (current, kept) = self.seconds.entry(same.0.clone()).or_default();
        if *current != second {
            (*current, *kept) = (second, 0);
        }
        let room = *kept < KEPT_A_SECOND_MAX;
        let (kept_at, more) = self.same.entry(same).or_default();
        let due = kept_at.0 == 0 || now.since(*kept_at) >= SAME_AGAIN;
        if !(room && due) {
            *more += 1;
            return None;
        }
        *kept += 1;
        *kept_at = now;
        Some(std::mem::take(more))
    }
}

impl Denials {
    /// Starts the writer; it ends with this.
    pub(crate) fn start(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let (queue, denials) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(Writer { log, clock, journal: ids.unique(), ids, ends: HashMap::new() }.run(denials));
        Self { rate: Mutex::default(), queue }
    }

    /// Notes a denial, if it is one and worth keeping.
    pub(crate) fn note(
        &self,
        tenant: &TenantId,
        shard: Shard,
        envelope: &Envelope,
        rejection: &Rejection,
        now: Timestamp,
    ) {
        let Rejection::Forbidden { principal, permission, scope, reason, .. } = rejection else { return };
        let same = (tenant.clone(), principal.clone(), permission.clone(), scope.clone());
        let more = self.rate.lock().unwrap_or_else(PoisonError::into_inner).keep(same.clone(), now);
        let Some(more) = more else { return };
        let denied = DenialEvent::Denied {
            principal: principal.clone(),
            permission: permission.clone(),
            scope: scope.clone(),
            reason: reason.chars().take(REASON_MAX).collect(),
            more,
        };
        let entry = Entry {
            command: envelope.command.clone(),
            at: now,
            actor: principal.clone(),
            on_behalf_of: None,
            causation: envelope.causation.clone(),
            correlation: envelope.correlation.clone(),
            events: vec![denied.into()],
        };
        if self.queue.try_send(Denial { tenant: tenant.clone(), shard, entry }).is_err() {
            let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, left_out)) = rate.same.get_mut(&same) {
                *left_out += more + 1;
            }
        }
    }
}

struct Writer {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    /// The id of this run's journals.
    journal: String,
    /// Where each tenant's journal ends.
    ends: HashMap<TenantId, StreamEnd>,
}

impl Writer {
    async fn run(mut self, mut denials: mpsc::Receiver<Denial>) {
        let mut batch = Vec::new();
        while denials.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let mut by_tenant: HashMap<(TenantId, Shard), Vec<Entry>> = HashMap::new();
            for denial in batch.drain(..) {
                by_tenant.entry((denial.tenant, denial.shard)).or_default().push(denial.entry);
            }
            for ((tenant, shard), entries) in by_tenant {
                let count = entries.len();
                if let Err(error) = self.write(&tenant, shard, entries).await {
                    tracing::warn!(tenant.id = %tenant, denials = count, %error, "denials not kept");
                    // What may yet land there must not be built on: the journal goes on under another name.
                    self.ends.clear();
                    self.journal = self.ids.unique();
                }
            }
        }
    }

    async fn write(
        &mut self,
        tenant: &TenantId,
        shard: Shard,
        mut entries: Vec<Entry>,
    ) -> Result<(), steward_events::BoxError> {
        let mut end = self.ends.get(tenant).copied().unwrap_or_default();
        let mut at = end.at.max(self.clock.now());
        for entry in &mut entries {
            at = at.max(entry.at);
            entry.at = at;
        }
        let (kind, id) = (AggregateKind::Denials, StreamId::new(&self.journal)?);
        let stream = StreamName { shard, tenant: tenant.clone(), kind, id };
        let commit = end.next(CommitId::new(self.ids.unique())?, stream, entries);
        let appended = append(&*self.log, end.position, &commit).await?;
        end.advance(&commit, appended);
        self.ends.insert(tenant.clone(), end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(scope: &str) -> Same {
        ("acme".parse().unwrap(), "p_ana".parse().unwrap(), "budget:set".parse().unwrap(), scope.parse().unwrap())
    }

    #[test]
    fn repeated_denials_are_kept_at_intervals_and_otherwise_counted() {
        let mut rate = Rate::default();
        let start = Timestamp(1_000_000);
        assert_eq!(rate.keep(same("acme"), start), Some(0));
        for _ in 0..3 {
            assert_eq!(rate.keep(same("acme"), start), None);
        }
        assert_eq!(rate.keep(same("acme"), start.plus(SAME_AGAIN)), Some(3));
    }

    #[test]
    fn a_tenant_keeps_no_more_than_its_share() {
        let mut rate = Rate::default();
        let now = Timestamp(1_000_000);
        let kept = (0..100).filter(|n| rate.keep(same(&format!("acme/p{n}")), now).is_some()).count();
        assert_eq!(kept, usize::try_from(KEPT_A_SECOND_MAX).unwrap());
        assert_eq!(rate.keep(same("acme/p50"), now.plus(Duration::from_secs(1))), Some(1));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut rate = Rate::default();
        for n in 0..REMEMBERED_MAX + 10 {
            rate.keep(same(&format!("acme/p{n}")), Timestamp(1_000_000 + n as u64 * 100_000 / 1_000));
        }
        assert!(rate.same.len() <= REMEMBERED_MAX);
    }
}
