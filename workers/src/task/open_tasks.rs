//! Which tasks are open, and who may drive them: a fold of the log, small enough to keep in memory.
//!
//! Knows names, claims and agents. Must not know what tasks are about: sealed content stays in the log.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use steward_events::commit::Recorded;
use steward_events::event::{AgentEvent, AgentSpec, TaskEvent, TenantEvent};
use steward_events::id::{AgentId, CorrelationId, PrincipalId, TaskId, TenantId};
use steward_events::quantity::{NanoDollars, Position};
use steward_events::scope::Scope;
use steward_events::sender::KeyRef;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_events::view::Reads;

/// One task, over all tenants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskRef {
    pub(crate) tenant: TenantId,
    pub(crate) task: TaskId,
}

/// A task that is neither finished, failed nor cancelled.
#[derive(Clone, Debug)]
pub(crate) struct OpenTask {
    pub(crate) stream: StreamName,
    pub(crate) submitted_at: Position,
    pub(crate) agent: AgentId,
    pub(crate) scope: Scope,
    pub(crate) limit: Option<NanoDollars>,
    pub(crate) submitted_by: PrincipalId,
    pub(crate) submitted_with: Option<KeyRef>,
    pub(crate) correlation: CorrelationId,
    claimed_until: Option<Timestamp>,
}

/// The fold.
#[derive(Debug, Default)]
pub(crate) struct OpenTasks {
    open: HashMap<TaskRef, OpenTask>,
    unclaimed: BTreeMap<TenantId, BTreeSet<(Position, TaskId)>>,
    claimed: BTreeSet<(Timestamp, TaskRef)>,
    suspended: HashSet<TenantId>,
    agents: HashMap<(TenantId, AgentId), AgentSpec>,
}

impl OpenTasks {
    pub(crate) fn open(&self, task: &TaskRef) -> Option<&OpenTask> {
        self.open.get(task)
    }

    pub(crate) fn agent(&self, tenant: &TenantId, agent: &AgentId) -> Option<&AgentSpec> {
        self.agents.get(&(tenant.clone(), agent.clone()))
    }

    pub(crate) fn is_suspended(&self, tenant: &TenantId) -> bool {
        self.suspended.contains(tenant)
    }

    /// What nobody drives at `now`, the longest waiting first: at most `each_max` a tenant, without what `skip` says.
    pub(crate) fn claimable(
        &self,
        now: Timestamp,
        each_max: usize,
        skip: impl Fn(&TaskRef) -> bool,
    ) -> BTreeMap<TenantId, Vec<TaskRef>> {
        let mut found: BTreeMap<TenantId, Vec<TaskRef>> = BTreeMap::new();
        let lapsed = self.claimed.iter().take_while(|(until, _)| *until <= now).map(|(_, task)| task.clone());
        for task in lapsed.filter(|task| !self.is_suspended(&task.tenant) && !skip(task)) {
            let of_tenant = found.entry(task.tenant.clone()).or_default();
            if of_tenant.len() < each_max {
                of_tenant.push(task);
            }
        }
        for (tenant, waiting) in self.unclaimed.iter().filter(|(tenant, _)| !self.is_suspended(tenant)) {
            let of_tenant = found.entry(tenant.clone()).or_default();
            let waiting = waiting.iter().map(|(_, task)| TaskRef { tenant: tenant.clone(), task: task.clone() });
            let room = each_max.saturating_sub(of_tenant.len());
            of_tenant.extend(waiting.filter(|task| !skip(task)).take(room));
        }
        found.retain(|_, tasks| !tasks.is_empty());
        found
    }

    /// When the next claim lapses after `now`.
    pub(crate) fn next_lapse(&self, now: Timestamp) -> Option<Timestamp> {
        self.claimed.iter().map(|(until, _)| *until).find(|until| *until > now)
    }

    fn submit(&mut self, task: TaskRef, open: OpenTask) {
        let waiting = self.unclaimed.entry(task.tenant.clone()).or_default();
        waiting.insert((open.submitted_at, task.task.clone()));
        self.open.insert(task, open);
    }

    fn claim(&mut self, task: TaskRef, until: Timestamp) {
        self.forget_place(&task);
        if let Some(open) = self.open.get_mut(&task) {
            open.claimed_until = Some(until);
            self.claimed.insert((until, task));
        }
    }

    fn close(&mut self, task: &TaskRef) {
        self.forget_place(task);
        self.open.remove(task);
    }

    fn forget_place(&mut self, task: &TaskRef) {
        let Some(open) = self.open.get(task) else { return };
        if let Some(until) = open.claimed_until {
            self.claimed.remove(&(until, task.clone()));
        } else if let Some(waiting) = self.unclaimed.get_mut(&task.tenant) {
            waiting.remove(&(open.submitted_at, task.task.clone()));
            if waiting.is_empty() {
                self.unclaimed.remove(&task.tenant);
            }
        }
    }
}

/// The task whose stream this is.
pub(crate) fn task_of(stream: &StreamName) -> Option<TaskRef> {
    // A task's stream bears its name.
    Some(TaskRef { tenant: stream.tenant.clone(), task: TaskId::new(stream.id.as_str()).ok()? })
}

steward_events::view!(OpenTasks, reads TenantEvent, AgentEvent, TaskEvent);

impl Reads<TenantEvent> for OpenTasks {
    fn read(&mut self, event: &TenantEvent, recorded: &Recorded<'_>) {
        let tenant = &recorded.stream.tenant;
        match event {
            TenantEvent::Suspended { .. } => _ = self.suspended.insert(tenant.clone()),
            TenantEvent::Resumed => _ = self.suspended.remove(tenant),
            // Who is erased is suspended before, and not resumed.
            TenantEvent::Created { .. }
            | TenantEvent::SettingsChanged { .. }
            | TenantEvent::ProjectCreated { .. }
            | TenantEvent::ProjectRenamed { .. }
            | TenantEvent::ProjectArchived { .. }
            | TenantEvent::ProjectRestored { .. }
            | TenantEvent::FlagSet { .. }
            | TenantEvent::FlagRemoved { .. }
            | TenantEvent::QuotaSet { .. }
            | TenantEvent::QuotaRemoved { .. }
            | TenantEvent::PlanSet { .. }
            | TenantEvent::PlanDefined { .. }
            | TenantEvent::ErasureAsked { .. }
            | TenantEvent::ErasureCancelled
            | TenantEvent::Erased
            | TenantEvent::Destroyed { .. } => {}
        }
    }
}

impl Reads<AgentEvent> for OpenTasks {
    fn read(&mut self, event: &AgentEvent, recorded: &Recorded<'_>) {
        let AgentEvent::Defined { agent, spec, .. } = event;
        self.agents.insert((recorded.stream.tenant.clone(), agent.clone()), spec.clone());
    }
}

impl Reads<TaskEvent> for OpenTasks {
    fn read(&mut self, event: &TaskEvent, recorded: &Recorded<'_>) {
        let Some(task) = task_of(recorded.stream) else { return };
        match event {
            TaskEvent::Submitted { agent, scope, limit, submitted_by, submitted_with, .. } => {
                let open = OpenTask {
                    stream: recorded.stream.clone(),
                    submitted_at: recorded.position,
                    agent: agent.clone(),
                    scope: scope.clone(),
                    limit: *limit,
                    submitted_by: submitted_by.clone(),
                    submitted_with: submitted_with.clone(),
                    correlation: recorded.entry.correlation.clone(),
                    claimed_until: None,
                };
                self.submit(task, open);
            }
            TaskEvent::Claimed { until, .. } | TaskEvent::ClaimExtended { until, .. } => self.claim(task, *until),
            TaskEvent::StepStarted { .. } | TaskEvent::StepFinished { .. } => {}
            TaskEvent::Finished { .. } | TaskEvent::Failed { .. } | TaskEvent::Cancelled { .. } => self.close(&task),
        }
    }
}
