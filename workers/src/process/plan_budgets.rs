//! What a plan gives of budgets stands in the ledger of each tenant on it: set when the tenant comes to the plan or the plan
//! changes, removed when it leaves.
//!
//! A budget of the platform that somebody else set last is theirs: it is neither set back nor removed. Knows plans, who is on
//! which, and budgets of whole tenants.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use steward_aggregates::aggregate::Aggregate;
use steward_aggregates::tenant::Tenant;
use steward_events::command::{Command, RemoveBudget, SetBudget};
use steward_events::commit::Recorded;
use steward_events::event::{AggregateKind, BudgetLevel, LedgerEvent, PlanBudget, TenantEvent};
use steward_events::id::{BudgetId, PrincipalId, SystemPart, TenantId};
use steward_events::quantity::{Limit, Unit, Window};
use steward_events::scope::Scope;
use steward_events::view::{Reads, View};
use steward_ports::live::{Live, NotFresh};
use tokio_util::sync::CancellationToken;

use crate::dispatch::{Cause, Dispatch};
use crate::process::Error;
use crate::{WorkerPorts, wake};

/// Commands sent at once.
const SENT_MAX: usize = 8;

/// How long to wait before something that failed is tried again: a suspended tenant gets its budgets when it is resumed.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// What tells a plan's budgets of one tenant from each other.
type Counts = (Unit, Window);

/// Plans, tenants, and the platform's budgets over whole tenants.
#[derive(Debug, Default)]
struct Plans {
    tenants: HashMap<TenantId, Tenant>,
    budgets: HashMap<TenantId, Budgets>,
    /// Of which something has changed.
    changed: BTreeSet<TenantId>,
}

#[derive(Debug, Default)]
struct Budgets {
    standing: BTreeMap<Counts, Standing>,
    named: HashMap<BudgetId, Counts>,
}

#[derive(Debug)]
struct Standing {
    limit: u64,
    /// Set last by this process manager.
    of_plan: bool,
}

impl Plans {
    /// What the tenant's plan gives.
    fn wanted(&self, tenant: &TenantId) -> &[PlanBudget] {
        let steward = self.tenants.get(&TenantId::steward());
        let plan = self.tenants.get(tenant).and_then(Tenant::plan).and_then(|plan| steward?.plan_spec(plan));
        plan.map_or(&[], |plan| &plan.budgets)
    }

    /// What is to be sent so that the ledger has what the plan gives.
    fn corrections(&self, tenant: &TenantId) -> Vec<Command> {
        let none = Budgets::default();
        let standing = &self.budgets.get(tenant).unwrap_or(&none).standing;
        let wanted = self.wanted(tenant);
        let set = wanted.iter().filter(|budget| {
            let known = standing.get(&(budget.limit.unit, budget.per));
            known.is_none_or(|known| known.of_plan && known.limit != budget.limit.amount)
        });
        let over = standing.iter().filter(|((unit, per), known)| {
            known.of_plan && !wanted.iter().any(|budget| (budget.limit.unit, budget.per) == (*unit, *per))
        });
        let set = set.map(|budget| set_budget(tenant, budget.limit, budget.per));
        set.chain(over.map(|((unit, per), _)| remove_budget(tenant, *unit, *per))).collect()
    }

    /// Everything that has to be sent, tenant by tenant.
    fn all_corrections(&self) -> Vec<(TenantId, Command)> {
        let of = |tenant: &TenantId| {
            let tenant = tenant.clone();
            self.corrections(&tenant).into_iter().map(move |command| (tenant.clone(), command)).collect::<Vec<_>>()
        };
        self.changed.iter().flat_map(of).collect()
    }
}

fn set_budget(tenant: &TenantId, limit: Limit, per: Window) -> Command {
    let (scope, level) = (Scope::tenant(tenant), Some(BudgetLevel::Platform));
    SetBudget { scope, subject: None, limit, per, hard: true, warn: Vec::new(), level }.into()
}

fn remove_budget(tenant: &TenantId, unit: Unit, per: Window) -> Command {
    RemoveBudget { scope: Scope::tenant(tenant), subject: None, unit, per, level: Some(BudgetLevel::Platform) }.into()
}

/// Which kinds this process manager reads.
pub const READS: &[AggregateKind] = Plans::KINDS;

steward_events::view!(Plans, reads TenantEvent, LedgerEvent);

impl Reads<TenantEvent> for Plans {
    fn read(&mut self, event: &TenantEvent, recorded: &Recorded<'_>) {
        let tenant = &recorded.stream.tenant;
        match event {
            TenantEvent::PlanSet { .. } => _ = self.changed.insert(tenant.clone()),
            TenantEvent::PlanDefined { plan, .. } => {
                let on_it = self.tenants.iter().filter(|(_, life)| life.plan() == Some(plan));
                self.changed.extend(on_it.map(|(tenant, _)| tenant.clone()));
            }
            TenantEvent::ErasureAsked { .. }
            | TenantEvent::ErasureCancelled
            | TenantEvent::Erased
            | TenantEvent::Destroyed { .. }
            | TenantEvent::Created { .. }
            | TenantEvent::Suspended { .. }
            | TenantEvent::Resumed
            | TenantEvent::SettingsChanged { .. }
            | TenantEvent::ProjectCreated { .. }
            | TenantEvent::ProjectRenamed { .. }
            | TenantEvent::ProjectArchived { .. }
            | TenantEvent::ProjectRestored { .. }
            | TenantEvent::FlagSet { .. }
            | TenantEvent::FlagRemoved { .. }
            | TenantEvent::QuotaSet { .. }
            | TenantEvent::QuotaRemoved { .. } => {}
        }
        self.tenants.entry(tenant.clone()).or_default().apply(event, recorded.entry.at);
    }
}

impl Reads<LedgerEvent> for Plans {
    fn read(&mut self, event: &LedgerEvent, recorded: &Recorded<'_>) {
        let tenant = &recorded.stream.tenant;
        match event {
            LedgerEvent::BudgetSet { budget, key, spec, .. } => {
                let whole = key.scope == Scope::tenant(tenant) && key.subject.is_none();
                if !whole || BudgetLevel::of(&key.level) != BudgetLevel::Platform {
                    return;
                }
                let budgets = self.budgets.entry(tenant.clone()).or_default();
                let of_plan = recorded.entry.actor == PrincipalId::system(SystemPart::Worker);
                let counts = (key.unit, key.window);
                budgets.named.insert(budget.clone(), counts);
                budgets.standing.insert(counts, Standing { limit: spec.limit, of_plan });
            }
            LedgerEvent::BudgetRemoved { budget } => {
                let Some(budgets) = self.budgets.get_mut(tenant) else { return };
                if let Some(counts) = budgets.named.remove(budget) {
                    budgets.standing.remove(&counts);
                    // What the plan gives is given again.
                    self.changed.insert(tenant.clone());
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

/// Gives tenants their plans' budgets until told to stop.
///
/// # Errors
/// [`Error`] if the log holds what this build cannot read.
pub async fn run(ports: WorkerPorts, shutdown: CancellationToken) -> Result<(), Error> {
    let live = Live::<Plans>::start(ports.log.clone(), ports.clock.clone());
    let dispatch = Dispatch::new(&ports);
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        stopped = give_as_they_change(&live, &dispatch) => Err(stopped.into()),
    }
}

async fn give_as_they_change(live: &Live<Plans>, dispatch: &Dispatch) -> NotFresh {
    // Without the whole past, what was given would be given again.
    if let Err(stopped) = wake::caught_up(live).await {
        return stopped;
    }
    loop {
        let seen = live.positions();
        if let Some(why) = live.stopped() {
            return NotFresh::Stopped(why);
        }
        let corrections = live.read().all_corrections();
        let failed = stream::iter(corrections)
            .map(|(tenant, command)| async move {
                let sent = dispatch.send(&tenant, command, &Cause::default()).await;
                let failed = sent.inspect_err(|error| {
                    tracing::warn!(tenant.id = %tenant, %error, "a plan's budget is not given yet");
                });
                failed.is_err()
            })
            .buffer_unordered(SENT_MAX)
            .fold(false, |any, failed| async move { any || failed })
            .await;
        wake::moved(live, &seen, if failed { RETRY_PAUSE } else { wake::IDLE_MAX }).await;
    }
}

#[cfg(test)]
mod tests;
