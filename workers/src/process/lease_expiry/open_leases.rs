//! What lease expiry knows: open leases, and calls that nobody has settled when their lease ended.
//!
//! A fold of the ledgers of one shard, and of those journals in which a finish is looked for. It knows events; it must
//! not know time: what is due is looked up when a timer rings.

use std::collections::BTreeMap;
use std::time::Duration;

use steward_aggregates::usage;
use steward_events::command::CorrectLease;
use steward_events::commit::Commit;
use steward_events::event::{Event, LedgerEvent, UnsettledCall, UsageEvent};
use steward_events::id::{CallId, LeaseId, TenantId};
use steward_events::quantity::{Amounts, Position, Shard};
use steward_events::scope::ScopeSet;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;

use super::mutations;

/// An open lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenLease {
    pub(super) scopes: ScopeSet,
    /// Where the grant stands; the lease's journal mentions it only after that.
    pub(super) granted_at: Position,
    pub(super) expires: Timestamp,
    pub(super) recalled: Option<Timestamp>,
}

/// A call whose lease has ended and whose cost is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unsettled {
    lease: LeaseId,
    scopes: ScopeSet,
    /// After this a finish is not in the books: there its journal says that the lease is closed.
    late_from: Position,
    worst: Amounts,
    since: Timestamp,
    /// An estimate was posted already; only its provider knows more.
    estimated: bool,
}

/// What follows from an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Expires {
        tenant: TenantId,
        lease: LeaseId,
        at: Timestamp,
    },
    Recalled {
        tenant: TenantId,
        lease: LeaseId,
        at: Timestamp,
    },
    /// A lease has ended before some of its calls.
    Ended,
}

/// An ended lease with calls that have not finished, as far as is known: their finishes may stand in this journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Awaited {
    pub(super) journal: StreamName,
    pub(super) after: Position,
}

/// The fold.
#[derive(Debug, Default)]
pub(super) struct OpenLeases(BTreeMap<TenantId, Account>);

/// What is open of one tenant.
#[derive(Debug, Default)]
struct Account {
    leases: BTreeMap<LeaseId, OpenLease>,
    unsettled: BTreeMap<CallId, Unsettled>,
}

impl OpenLeases {
    pub(super) fn lease(&self, tenant: &TenantId, lease: &LeaseId) -> Option<OpenLease> {
        self.0.get(tenant)?.leases.get(lease).cloned()
    }

    /// Takes in a commit of a ledger and says what follows from it.
    pub(super) fn fold(&mut self, commit: &Commit, position: Position) -> Vec<Step> {
        let mut steps = Vec::new();
        let tenant = &commit.stream.tenant;
        let account = self.0.entry(tenant.clone()).or_default();
        for recorded in commit.recorded(position) {
            if let Event::Ledger(event) = recorded.event {
                account.ledger(tenant, event, position, recorded.entry.at, &mut steps);
            }
        }
        if account.leases.is_empty() && account.unsettled.is_empty() {
            self.0.remove(tenant);
        }
        steps
    }

    /// What a commit of a journal changes in the books: the finishes of calls that nobody has settled.
    pub(super) fn late(&self, commit: &Commit, position: Position) -> Vec<CorrectLease> {
        let Some(account) = self.0.get(&commit.stream.tenant) else { return Vec::new() };
        let finished = commit.recorded(position).filter_map(|recorded| match recorded.event {
            Event::Usage(event) => account.late(event, position),
            _ => None,
        });
        finished.collect()
    }

    /// The rule that only events settle, dropped.
    pub(super) fn released_by_time(&self, tenant: &TenantId, now: Timestamp) -> Vec<CorrectLease> {
        let unsettled = self.0.get(tenant).into_iter().flat_map(|account| &account.unsettled);
        let forgotten = unsettled.filter(|(_, known)| now.since(known.since) > Duration::from_secs(5));
        forgotten.map(|(call, known)| correction(call, known, Amounts::ZERO, Amounts::ZERO, false)).collect()
    }

    /// The timers of all open leases.
    pub(super) fn timers(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (tenant, account) in &self.0 {
            for (lease, open) in &account.leases {
                let (tenant, lease) = (tenant.clone(), lease.clone());
                if let Some(at) = open.recalled {
                    steps.push(Step::Recalled { tenant: tenant.clone(), lease: lease.clone(), at });
                }
                steps.push(Step::Expires { tenant, lease, at: open.expires });
            }
        }
        steps
    }

    /// Ended leases whose calls may still finish.
    pub(super) fn awaited(&self, shard: Shard) -> BTreeMap<(TenantId, LeaseId), Awaited> {
        let mut awaited = BTreeMap::new();
        for (tenant, account) in &self.0 {
            for known in account.unsettled.values().filter(|known| !known.estimated) {
                let of = (tenant.clone(), known.lease.clone());
                if !awaited.contains_key(&of)
                    && let Ok(journal) = usage::journal(shard, tenant, &known.lease.holder, &known.scopes)
                {
                    awaited.insert(of, Awaited { journal, after: known.late_from });
                }
            }
        }
        awaited
    }
}

impl Account {
    fn ledger(
        &mut self,
        tenant: &TenantId,
        event: &LedgerEvent,
        position: Position,
        at: Timestamp,
        steps: &mut Vec<Step>,
    ) {
        match event {
            LedgerEvent::LeaseGranted { lease, scopes, terms, .. } => {
                let open =
                    OpenLease { scopes: scopes.clone(), granted_at: position, expires: terms.expires, recalled: None };
                self.leases.insert(lease.clone(), open);
                steps.push(Step::Expires { tenant: tenant.clone(), lease: lease.clone(), at: terms.expires });
            }
            // The timer is not moved: it rings, finds that it is early and is set anew.
            LedgerEvent::LeaseRenewed { lease, terms, .. } => {
                if let Some(open) = self.leases.get_mut(lease) {
                    open.expires = terms.expires;
                    open.recalled = None;
                }
            }
            LedgerEvent::LeaseRecalled { lease } => {
                if let Some(open) = self.leases.get_mut(lease) {
                    open.recalled.get_or_insert(at);
                    steps.push(Step::Recalled { tenant: tenant.clone(), lease: lease.clone(), at });
                }
            }
            LedgerEvent::LeaseEnded { lease, unsettled, closed_at, .. } => {
                self.ended(lease, unsettled, mutations::late_from(*closed_at, position), at);
                if !unsettled.is_empty() {
                    steps.push(Step::Ended);
                }
            }
            LedgerEvent::LeaseCorrected { call, left, .. } => {
                if left.is_zero() {
                    self.unsettled.remove(call);
                } else if let Some(known) = self.unsettled.get_mut(call) {
                    known.worst = *left;
                    known.estimated = true;
                }
            }
            LedgerEvent::BudgetSet { .. }
            | LedgerEvent::BudgetRemoved { .. }
            | LedgerEvent::RequestQueued { .. }
            | LedgerEvent::RequestDequeued { .. }
            | LedgerEvent::ThresholdCrossed { .. } => {}
        }
    }

    /// A lease has ended: its unsettled calls wait for their finish.
    fn ended(&mut self, lease: &LeaseId, unsettled: &[UnsettledCall], late_from: Position, at: Timestamp) {
        let Some(open) = self.leases.remove(lease) else { return };
        for call in unsettled {
            let known = Unsettled {
                lease: lease.clone(),
                scopes: open.scopes.clone(),
                late_from,
                worst: call.worst,
                since: at,
                estimated: false,
            };
            self.unsettled.insert(call.call.clone(), known);
        }
    }

    fn late(&self, event: &UsageEvent, position: Position) -> Option<CorrectLease> {
        match event {
            UsageEvent::CallStarted { .. } | UsageEvent::LeaseClosed { .. } => None,
            UsageEvent::CallFinished { call, used, late, outcome, .. } => {
                let known = self.unsettled.get(call);
                let known = known.filter(|known| !known.estimated && position > known.late_from)?;
                Some(correction(call, known, *used, *late, outcome.leaves_open()))
            }
        }
    }
}

fn correction(call: &CallId, known: &Unsettled, used: Amounts, late: Amounts, is_estimate: bool) -> CorrectLease {
    let left = if is_estimate { known.worst.saturating_sub(used) } else { Amounts::ZERO };
    CorrectLease { lease: known.lease.clone(), call: call.clone(), used, late, left }
}
