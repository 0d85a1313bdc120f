//! Places of quotas are kept as what takes them: a task that has ended gives its place back, a place that was taken for nothing
//! is given back, and what was made before the tenant had a quota is counted.
//!
//! Knows which agents and open tasks there are and which places are taken. Must not know how many a tenant may have, but
//! whether that is said: without a quota nothing is counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use steward_aggregates::aggregate::Aggregate;
use steward_aggregates::tenant::Tenant;
use steward_events::command::{Command, ReturnPlace, TakePlace};
use steward_events::commit::Recorded;
use steward_events::event::{AgentEvent, AggregateKind, QuotaEvent, QuotaKind, TaskEvent, TenantEvent};
use steward_events::id::{StreamId, TenantId};
use steward_events::timestamp::Timestamp;
use steward_events::view::{Reads, View};
use steward_ports::live::{Live, NotFresh};
use tokio_util::sync::CancellationToken;

use crate::dispatch::{Cause, Dispatch};
use crate::process::Error;
use crate::{WorkerPorts, wake};

/// Commands sent at once.
const SENT_MAX: usize = 8;

/// How long a place may be taken before what it was taken for is there. A decider that is stopped for longer between the two
/// makes its thing beyond the quota; then it is counted, and the next one is refused.
const MADE_WITHIN: Duration = Duration::from_mins(2);

/// How long to wait before something that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// What there is, and what is counted.
#[derive(Debug, Default)]
struct Places {
    tenants: HashMap<TenantId, Tenant>,
    of: BTreeMap<(TenantId, QuotaKind), Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    /// Agents, or tasks that have not ended.
    there: BTreeSet<StreamId>,
    /// Since when a place is taken, and whether what it is for was ever there.
    taken: BTreeMap<StreamId, Taken>,
}

#[derive(Debug)]
struct Taken {
    at: Timestamp,
    was_there: bool,
}

impl Counted {
    fn made(&mut self, id: StreamId) {
        if let Some(taken) = self.taken.get_mut(&id) {
            taken.was_there = true;
        }
        self.there.insert(id);
    }
}

impl Places {
    fn of(&mut self, recorded: &Recorded<'_>, quota: QuotaKind) -> &mut Counted {
        self.of.entry((recorded.stream.tenant.clone(), quota)).or_default()
    }

    /// Whether the tenant has such a quota: its own, operators' or its plan's.
    fn is_bounded(&self, tenant: &TenantId, quota: QuotaKind) -> bool {
        let Some(life) = self.tenants.get(tenant) else { return false };
        let steward = self.tenants.get(&TenantId::steward());
        let plan = life.plan().and_then(|plan| steward?.plan_spec(plan));
        life.quotas(plan).limit(quota).is_some()
    }

    /// What is to be sent so that places are taken by what is there, and by nothing else.
    fn corrections(&self, now: Timestamp) -> Vec<(TenantId, Command)> {
        let mut all = Vec::new();
        for ((tenant, quota), Counted { there, taken }) in &self.of {
            let over = taken
                .iter()
                .filter(|(id, taken)| !there.contains(*id) && (taken.was_there || now.since(taken.at) > MADE_WITHIN));
            all.extend(over.map(|(id, _)| (tenant.clone(), ReturnPlace { quota: *quota, id: id.clone() }.into())));
            if there.len() > taken.len() && self.is_bounded(tenant, *quota) {
                let uncounted = there.iter().filter(|id| !taken.contains_key(*id));
                all.extend(
                    uncounted
                        .map(|id| (tenant.clone(), TakePlace { quota: *quota, id: id.clone(), limit: None }.into())),
                );
            }
        }
        all
    }
}

/// Which kinds this process manager reads.
pub const READS: &[AggregateKind] = Places::KINDS;

steward_events::view!(Places, reads TenantEvent, AgentEvent, TaskEvent, QuotaEvent);

impl Reads<TenantEvent> for Places {
    fn read(&mut self, event: &TenantEvent, recorded: &Recorded<'_>) {
        self.tenants.entry(recorded.stream.tenant.clone()).or_default().apply(event, recorded.entry.at);
    }
}

impl Reads<AgentEvent> for Places {
    fn read(&mut self, event: &AgentEvent, recorded: &Recorded<'_>) {
        let AgentEvent::Defined { .. } = event;
        self.of(recorded, QuotaKind::Agents).made(recorded.stream.id.clone());
    }
}

impl Reads<TaskEvent> for Places {
    fn read(&mut self, event: &TaskEvent, recorded: &Recorded<'_>) {
        let id = &recorded.stream.id;
        match event {
            TaskEvent::Submitted { .. } => self.of(recorded, QuotaKind::Tasks).made(id.clone()),
            TaskEvent::Finished { .. } | TaskEvent::Failed { .. } | TaskEvent::Cancelled { .. } => {
                self.of(recorded, QuotaKind::Tasks).there.remove(id);
            }
            // Whatever else happens to a task, it keeps its place until its end.
            _ => {}
        }
    }
}

impl Reads<QuotaEvent> for Places {
    fn read(&mut self, event: &QuotaEvent, recorded: &Recorded<'_>) {
        let at = recorded.entry.at;
        match event {
            QuotaEvent::PlaceTaken { quota, id } => {
                let counted = self.of(recorded, *quota);
                let was_there = counted.there.contains(id);
                counted.taken.insert(id.clone(), Taken { at, was_there });
            }
            QuotaEvent::PlaceReturned { quota, id } => _ = self.of(recorded, *quota).taken.remove(id),
        }
    }
}

/// Corrects places until told to stop.
///
/// # Errors
/// [`Error`] if the log holds what this build cannot read.
pub async fn run(ports: WorkerPorts, shutdown: CancellationToken) -> Result<(), Error> {
    let live = Live::<Places>::start(ports.log.clone(), ports.clock.clone());
    let dispatch = Dispatch::new(&ports);
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        stopped = correct_as_they_change(&live, &dispatch, &ports) => Err(stopped.into()),
    }
}

async fn correct_as_they_change(live: &Live<Places>, dispatch: &Dispatch, ports: &WorkerPorts) -> NotFresh {
    // Without the whole past, what is there would look as if it were not, and what is taken as if it were free.
    if let Err(stopped) = wake::caught_up(live).await {
        return stopped;
    }
    loop {
        let seen = live.positions();
        if let Some(why) = live.stopped() {
            return NotFresh::Stopped(why);
        }
        let corrections = live.read().corrections(ports.clock.now());
        let failed = stream::iter(corrections)
            .map(|(tenant, command)| async move { dispatch.send(&tenant, command, &Cause::default()).await.is_err() })
            .buffer_unordered(SENT_MAX)
            .fold(false, |any, failed| async move { any || failed })
            .await;
        if failed {
            tracing::warn!("places of quotas are not all corrected yet");
        }
        wake::moved(live, &seen, if failed { RETRY_PAUSE } else { wake::IDLE_MAX }).await;
    }
}

#[cfg(test)]
mod tests;
