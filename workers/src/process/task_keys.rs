//! A task's key ends with the claim under which it was made: a new claim, or the end of the task, leads to `key.revoke`.
//!
//! A worker that was killed left a key behind whose secret died with it; so keys are not revoked by who made them but
//! by whoever reads the log.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use steward_events::command::RevokeKey;
use steward_events::commit::Recorded;
use steward_events::event::{AggregateKind, Event, IdentityEvent, TaskEvent};
use steward_events::id::{KeyId, TaskId, TenantId};
use steward_events::live::{Live, NotFresh, View};
use tokio_util::sync::CancellationToken;

use crate::orders::{Cause, OrderError, Orders};
use crate::process::Error;
use crate::tasks::{TaskRef, task_of};
use crate::{WorkerPorts, wake};

/// Keys revoked at once.
const REVOKING_MAX: usize = 8;
/// How long to wait before a key whose revocation went wrong is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Keys of tasks. All of a tenant is in one shard, so the order of these facts is the order in which they happened.
#[derive(Debug, Default)]
struct TaskKeys {
    open: HashSet<TaskRef>,
    in_use: HashMap<TaskRef, BTreeSet<KeyId>>,
    to_revoke: BTreeSet<(TenantId, KeyId)>,
}

impl TaskKeys {
    fn issued(&mut self, tenant: &TenantId, key: &KeyId, task: &TaskId) {
        let task = TaskRef { tenant: tenant.clone(), task: task.clone() };
        if self.open.contains(&task) {
            self.in_use.entry(task).or_default().insert(key.clone());
        } else {
            self.to_revoke.insert((task.tenant, key.clone()));
        }
    }

    fn revoked(&mut self, tenant: &TenantId, key: &KeyId) {
        self.to_revoke.remove(&(tenant.clone(), key.clone()));
        self.in_use.retain(|task, keys| {
            if task.tenant == *tenant {
                keys.remove(key);
            }
            !keys.is_empty()
        });
    }

    fn ended(&mut self, task: &TaskRef) {
        for key in self.in_use.remove(task).unwrap_or_default() {
            self.to_revoke.insert((task.tenant.clone(), key));
        }
    }
}

impl View for TaskKeys {
    const KINDS: &'static [AggregateKind] = &[AggregateKind::Task, AggregateKind::Identity];

    fn apply(&mut self, recorded: &Recorded<'_>) {
        let tenant = &recorded.stream.tenant;
        match recorded.event {
            Event::Identity(IdentityEvent::KeyIssued { key, task: Some(task), .. }) => self.issued(tenant, key, task),
            Event::Identity(IdentityEvent::KeyRevoked { key, .. }) => self.revoked(tenant, key),
            Event::Task(event) => {
                let Some(task) = task_of(recorded.stream) else { return };
                match event {
                    TaskEvent::Submitted { .. } => _ = self.open.insert(task),
                    TaskEvent::Claimed { .. } => self.ended(&task),
                    TaskEvent::Finished { .. } | TaskEvent::Failed { .. } | TaskEvent::Cancelled { .. } => {
                        self.open.remove(&task);
                        self.ended(&task);
                    }
                    TaskEvent::ClaimExtended { .. }
                    | TaskEvent::StepStarted { .. }
                    | TaskEvent::StepFinished { .. } => {}
                }
            }
            Event::Identity(
                IdentityEvent::KeyIssued { task: None, .. }
                | IdentityEvent::AccountCreated { .. }
                | IdentityEvent::UserInvited { .. }
                | IdentityEvent::UserDisabled { .. },
            )
            | Event::Registry(_)
            | Event::Tenant(_)
            | Event::Access(_)
            | Event::Ledger(_)
            | Event::Usage(_)
            | Event::Catalog(_)
            | Event::Agent(_)
            | Event::Denials(_) => {}
        }
    }
}

/// Revokes keys until told to stop.
///
/// # Errors
/// [`Error`] if the log holds what this build cannot read.
pub async fn run(ports: WorkerPorts, shutdown: CancellationToken) -> Result<(), Error> {
    let live = Live::<TaskKeys>::start(ports.log.clone(), ports.clock.clone());
    let orders = Orders::new(&ports);
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        stopped = revoke_as_they_end(&live, &orders) => Err(stopped.into()),
    }
}

async fn revoke_as_they_end(live: &Live<TaskKeys>, orders: &Orders) -> NotFresh {
    // Without the whole past, keys would look unrevoked.
    if let Err(stopped) = wake::caught_up(live).await {
        return stopped;
    }
    // Refused once is refused for good; asking again would be noise.
    let mut refused = BTreeSet::new();
    loop {
        let seen = live.positions();
        if let Some(why) = live.stopped() {
            return NotFresh::Stopped(why);
        }
        let to_revoke: Vec<_> = live.read().to_revoke.difference(&refused).cloned().collect();
        let failed: Vec<_> = stream::iter(to_revoke)
            .map(|(tenant, key)| async move {
                let outcome = revoke(orders, &tenant, &key).await;
                outcome.err().map(|error| ((tenant, key), error))
            })
            .buffer_unordered(REVOKING_MAX)
            .filter_map(|failed| async move { failed })
            .collect()
            .await;
        let pause = if failed.is_empty() { wake::IDLE_MAX } else { RETRY_PAUSE };
        for (key, error) in failed {
            tracing::warn!(tenant.id = %key.0, key.id = %key.1, error = %error, "a task's key is not revoked");
            if matches!(error, OrderError::Rejected(_)) {
                refused.insert(key);
            }
        }
        wake::moved(live, &seen, pause).await;
    }
}

async fn revoke(orders: &Orders, tenant: &TenantId, key: &KeyId) -> Result<(), OrderError> {
    let order = RevokeKey { key: key.clone(), reason: "its task has ended or passed to another worker".to_owned() };
    orders.send(tenant, order, &Cause::default()).await.map(|_| ())
}
