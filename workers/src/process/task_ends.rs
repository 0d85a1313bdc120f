//! What was made for a task or a batch ends with it: its keys with the claim under which they were made, its budgets with the task.
//!
//! A worker that was killed left behind a key whose secret died with it; so these are not taken back by who made them
//! but by the reader of the log. Knows keys and budgets of tasks. Must not know what tasks are about.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use steward_events::command::{Command, RemoveBudget, RevokeKey};
use steward_events::commit::Recorded;
use steward_events::event::{AggregateKind, BatchEvent, BudgetKey, BudgetLevel, IdentityEvent, LedgerEvent, TaskEvent};
use steward_events::id::{BudgetId, KeyId, TaskId, TenantId};
use steward_events::scope::Subject;
use steward_events::view::{Reads, View};
use steward_ports::live::{Live, NotFresh};
use tokio_util::sync::CancellationToken;

use crate::dispatch::{Cause, Dispatch, DispatchError};
use crate::process::Error;
use crate::task::open_tasks::{TaskRef, task_of};
use crate::{WorkerPorts, wake};

/// Resources taken back at once.
const TAKING_BACK_MAX: usize = 8;
/// How long to wait before something that could not be taken back is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Something made for a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Resource {
    Key(KeyId),
    Budget(BudgetKey),
}

impl Resource {
    fn take_back(&self) -> Command {
        match self.clone() {
            Self::Key(key) => {
                RevokeKey { key, reason: "its task has ended or passed to another worker".to_owned() }.into()
            }
            Self::Budget(BudgetKey { scope, level, subject, unit, window }) => {
                RemoveBudget { scope, subject, unit, per: window, level: Some(BudgetLevel::of(&level)) }.into()
            }
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "key {key}"),
            Self::Budget(key) => write!(f, "budget {key}"),
        }
    }
}

/// What tasks have. All of a tenant is in one shard, so these events are folded in the order in which they happened.
#[derive(Debug, Default)]
struct TaskResources {
    open: HashSet<TaskRef>,
    of_task: HashMap<TaskRef, BTreeSet<Resource>>,
    owner: HashMap<(TenantId, Resource), TaskRef>,
    budgets: HashMap<(TenantId, BudgetId), BudgetKey>,
    due: BTreeSet<(TenantId, Resource)>,
}

impl TaskResources {
    fn made(&mut self, tenant: &TenantId, task: &TaskId, resource: Resource, by_a_worker: bool) {
        let task = TaskRef { tenant: tenant.clone(), task: task.clone() };
        if by_a_worker && !self.open.contains(&task) {
            // By a worker that had not yet seen the task's end.
            self.due.insert((task.tenant, resource));
            return;
        }
        // A caller may set a budget for a task that is yet to be submitted.
        self.owner.insert((tenant.clone(), resource.clone()), task.clone());
        self.of_task.entry(task).or_default().insert(resource);
    }

    fn gone(&mut self, tenant: &TenantId, resource: Resource) {
        let named = (tenant.clone(), resource);
        self.due.remove(&named);
        if let Some(task) = self.owner.remove(&named)
            && let Some(resources) = self.of_task.get_mut(&task)
        {
            resources.remove(&named.1);
            if resources.is_empty() {
                self.of_task.remove(&task);
            }
        }
    }

    /// These of the task's resources are to be taken back.
    fn end(&mut self, task: &TaskRef, ends: impl Fn(&Resource) -> bool) {
        let (ending, staying) = self.of_task.remove(task).unwrap_or_default().into_iter().partition(ends);
        for resource in ending {
            let named = (task.tenant.clone(), resource);
            self.owner.remove(&named);
            self.due.insert(named);
        }
        if !BTreeSet::is_empty(&staying) {
            self.of_task.insert(task.clone(), staying);
        }
    }
}

/// Which kinds this process manager reads.
pub const READS: &[AggregateKind] = TaskResources::KINDS;

steward_events::view!(TaskResources, reads TaskEvent, BatchEvent, IdentityEvent, LedgerEvent);

impl Reads<TaskEvent> for TaskResources {
    fn read(&mut self, event: &TaskEvent, recorded: &Recorded<'_>) {
        let Some(task) = task_of(recorded.stream) else { return };
        match event {
            TaskEvent::Submitted { .. } => _ = self.open.insert(task),
            TaskEvent::Claimed { .. } => self.end(&task, |resource| matches!(resource, Resource::Key(_))),
            TaskEvent::Finished { .. } | TaskEvent::Failed { .. } | TaskEvent::Cancelled { .. } => {
                self.open.remove(&task);
                self.end(&task, |_| true);
            }
            TaskEvent::ClaimExtended { .. } | TaskEvent::StepStarted { .. } | TaskEvent::StepFinished { .. } => {}
        }
    }
}

/// What is made for a batch names it where that of a task names the task.
impl Reads<BatchEvent> for TaskResources {
    fn read(&mut self, event: &BatchEvent, recorded: &Recorded<'_>) {
        let Some(batch) = task_of(recorded.stream) else { return };
        match event {
            BatchEvent::Submitted { .. } => _ = self.open.insert(batch),
            BatchEvent::Claimed { .. } => self.end(&batch, |resource| matches!(resource, Resource::Key(_))),
            BatchEvent::Ended { .. } | BatchEvent::Failed { .. } => {
                self.open.remove(&batch);
                self.end(&batch, |_| true);
            }
            BatchEvent::ClaimExtended { .. }
            | BatchEvent::Started { .. }
            | BatchEvent::Finalizing { .. }
            | BatchEvent::CancelAsked { .. } => {}
        }
    }
}

impl Reads<IdentityEvent> for TaskResources {
    fn read(&mut self, event: &IdentityEvent, recorded: &Recorded<'_>) {
        let tenant = &recorded.stream.tenant;
        match event {
            IdentityEvent::KeyIssued { key, task: Some(task), .. } => {
                self.made(tenant, task, Resource::Key(key.clone()), recorded.entry.actor.is_system());
            }
            IdentityEvent::KeyRevoked { key, .. } => self.gone(tenant, Resource::Key(key.clone())),
            IdentityEvent::KeyIssued { task: None, .. }
            | IdentityEvent::KeyReplaced { .. }
            | IdentityEvent::AccountCreated { .. }
            | IdentityEvent::OwnerSet { .. }
            | IdentityEvent::UserInvited { .. }
            | IdentityEvent::UserChanged { .. }
            | IdentityEvent::UserEnabled { .. }
            | IdentityEvent::UserDisabled { .. }
            | IdentityEvent::UserErased { .. }
            | IdentityEvent::UserKeyDestroyed { .. } => {}
        }
    }
}

impl Reads<LedgerEvent> for TaskResources {
    fn read(&mut self, event: &LedgerEvent, recorded: &Recorded<'_>) {
        let tenant = &recorded.stream.tenant;
        match event {
            LedgerEvent::BudgetSet { budget, key, .. } => {
                if let Some(Subject::Task(task)) = &key.subject {
                    self.budgets.insert((tenant.clone(), budget.clone()), key.clone());
                    self.made(tenant, task, Resource::Budget(key.clone()), recorded.entry.actor.is_system());
                }
            }
            LedgerEvent::BudgetRemoved { budget } => {
                if let Some(key) = self.budgets.remove(&(tenant.clone(), budget.clone())) {
                    self.gone(tenant, Resource::Budget(key));
                }
            }
            LedgerEvent::LeaseGranted { .. }
            | LedgerEvent::LeaseRenewed { .. }
            | LedgerEvent::LeaseEnded { .. }
            | LedgerEvent::LeaseCorrected { .. }
            | LedgerEvent::RequestQueued { .. }
            | LedgerEvent::RequestDequeued { .. }
            | LedgerEvent::LeaseRecalled { .. }
            | LedgerEvent::ThresholdCrossed { .. } => {}
        }
    }
}

/// Takes resources back until told to stop.
///
/// # Errors
/// [`Error`] if the log holds what this build cannot read.
pub async fn run(ports: WorkerPorts, shutdown: CancellationToken) -> Result<(), Error> {
    let live = Live::<TaskResources>::start(ports.log.clone(), ports.clock.clone());
    let dispatch = Dispatch::new(&ports);
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        stopped = take_back_as_they_end(&live, &dispatch) => Err(stopped.into()),
    }
}

async fn take_back_as_they_end(live: &Live<TaskResources>, dispatch: &Dispatch) -> NotFresh {
    // Without the whole past, everything ever made would look as if it were still there.
    if let Err(stopped) = wake::caught_up(live).await {
        return stopped;
    }
    // Refused once is refused for good (another worker was quicker); asking again would be noise.
    let mut refused = BTreeSet::new();
    loop {
        let seen = live.positions();
        if let Some(why) = live.stopped() {
            return NotFresh::Stopped(why);
        }
        let due = live.read().due.clone();
        refused = due.intersection(&refused).cloned().collect();
        let failed: Vec<_> = stream::iter(due.difference(&refused).cloned().collect::<Vec<_>>())
            .map(|(tenant, resource)| async move {
                let taken = dispatch.send(&tenant, resource.take_back(), &Cause::default()).await;
                taken.err().map(|error| ((tenant, resource), error))
            })
            .buffer_unordered(TAKING_BACK_MAX)
            .filter_map(|failed| async move { failed })
            .collect()
            .await;
        let pause = if failed.is_empty() { wake::IDLE_MAX } else { RETRY_PAUSE };
        for (named, error) in failed {
            if matches!(error, DispatchError::Rejected(_)) {
                tracing::debug!(tenant.id = %named.0, resource = %named.1, error = %error, "not taken back");
                refused.insert(named);
            } else {
                tracing::warn!(tenant.id = %named.0, resource = %named.1, error = %error, "not taken back yet");
            }
        }
        wake::moved(live, &seen, pause).await;
    }
}
