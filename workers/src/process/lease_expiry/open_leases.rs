//! What lease expiry knows: open leases, calls that nobody has settled, and finishes that came after the close.
//!
//! A fold of ledgers and usage journals of one shard, in the order in which they were recorded. It knows events; it
//! must not know time: what is due is looked up when a timer rings.

use std::collections::BTreeMap;

use steward_aggregates::usage;
use steward_events::command::CorrectLease;
use steward_events::commit::Commit;
use steward_events::event::{AggregateKind, Event, LedgerEvent, UnsettledCall, UsageEvent, may_close_a_lease};
use steward_events::id::{CallId, LeaseId, TenantId};
use steward_events::quantity::{Amounts, Position, Shard};
use steward_events::scope::ScopeSet;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_ports::log::Stored;

use super::mutations;

/// An open lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenLease {
    pub(super) scopes: ScopeSet,
    /// Where the grant stands; the lease's journal mentions it only after that.
    pub(super) granted_at: Position,
    pub(super) expires: Timestamp,
    pub(super) recalled: Option<Timestamp>,
    closed_at: Option<Position>,
    /// Finishes recorded after the close: the lease's end says what was known at the close.
    late: BTreeMap<CallId, Finish>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Finish {
    used: Amounts,
    late: Amounts,
    estimated: bool,
}

/// A call whose lease has ended and whose cost is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unsettled {
    lease: LeaseId,
    scopes: ScopeSet,
    closed_at: Position,
    worst: Amounts,
    since: Timestamp,
    /// An estimate was posted already; only its provider knows more.
    estimated: bool,
}

/// What follows from an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Expires { tenant: TenantId, lease: LeaseId, at: Timestamp },
    Recalled { tenant: TenantId, lease: LeaseId, at: Timestamp },
    Correct { tenant: TenantId, correction: CorrectLease },
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

    /// False if a commit changes nothing here: it starts and finishes calls of leases that nobody has closed. Most do, and
    /// need not be decoded.
    pub(super) fn concern(&self, stored: &Stored) -> bool {
        let waits = |account: &Account| {
            account.leases.values().any(|open| open.closed_at.is_some())
                || account.unsettled.values().any(|call| !call.estimated)
        };
        stored.stream.kind != AggregateKind::Usage
            || may_close_a_lease(&stored.bytes)
            || self.0.get(&stored.stream.tenant).is_some_and(waits)
    }

    /// Takes in a commit and says what follows from it.
    pub(super) fn fold(&mut self, commit: &Commit, position: Position) -> Vec<Step> {
        let mut steps = Vec::new();
        let tenant = &commit.stream.tenant;
        let account = self.0.entry(tenant.clone()).or_default();
        for recorded in commit.recorded(position) {
            match recorded.event {
                Event::Ledger(event) => account.ledger(tenant, event, position, recorded.entry.at, &mut steps),
                Event::Usage(event) => account.usage(tenant, event, position, &mut steps),
                // No other kind is followed.
                _ => {}
            }
        }
        if account.leases.is_empty() && account.unsettled.is_empty() {
            self.0.remove(tenant);
        }
        steps
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

    /// The journals that may say more of open leases and unsettled calls, and from where.
    pub(super) fn journals(&self, shard: Shard) -> BTreeMap<StreamName, Position> {
        let mut journals = BTreeMap::new();
        for (tenant, account) in &self.0 {
            let open = account.leases.iter().map(|(lease, open)| (lease, &open.scopes, open.granted_at));
            let ended = account.unsettled.values().map(|known| (&known.lease, &known.scopes, known.closed_at));
            for (lease, scopes, after) in open.chain(ended) {
                if let Ok(stream) = usage::journal(shard, tenant, &lease.holder, scopes) {
                    let from = journals.entry(stream).or_insert(after);
                    *from = after.min(*from);
                }
            }
        }
        journals
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
                let open = OpenLease {
                    scopes: scopes.clone(),
                    granted_at: position,
                    expires: terms.expires,
                    recalled: None,
                    closed_at: None,
                    late: BTreeMap::new(),
                };
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
                steps.extend(self.ended(tenant, lease, unsettled, *closed_at, at));
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
        if !mutations::settles_by_finishes_alone() {
            self.release_by_time(tenant, at, steps);
        }
    }

    /// A lease has ended: its unsettled calls wait for their finish, and those that have one already are corrected.
    fn ended(
        &mut self,
        tenant: &TenantId,
        lease: &LeaseId,
        unsettled: &[UnsettledCall],
        closed_at: Position,
        at: Timestamp,
    ) -> Vec<Step> {
        let Some(open) = self.leases.remove(lease) else { return Vec::new() };
        let mut steps = Vec::new();
        for call in unsettled {
            let known = Unsettled {
                lease: lease.clone(),
                scopes: open.scopes.clone(),
                closed_at,
                worst: call.worst,
                since: at,
                estimated: false,
            };
            if let Some(finish) = open.late.get(&call.call) {
                steps.push(correction(tenant, &call.call, &known, finish));
            }
            self.unsettled.insert(call.call.clone(), known);
        }
        steps
    }

    fn usage(&mut self, tenant: &TenantId, event: &UsageEvent, position: Position, steps: &mut Vec<Step>) {
        let lease = self.leases.get_mut(event.lease());
        match event {
            UsageEvent::CallStarted { .. } => {}
            UsageEvent::LeaseClosed { .. } => {
                if let Some(open) = lease {
                    open.closed_at.get_or_insert(position);
                }
            }
            UsageEvent::CallFinished { call, lease: of, used, late, outcome, .. } => {
                let estimated = outcome.leaves_open();
                let finish = Finish { used: *used, late: *late, estimated };
                match lease {
                    Some(open) if open.closed_at.is_some_and(|closed_at| position > closed_at) => {
                        if mutations::keeps_late_finishes() {
                            open.late.insert(call.clone(), finish);
                        } else {
                            let (lease, call, left) = (of.clone(), call.clone(), Amounts::ZERO);
                            let correction = CorrectLease { lease, call, used: *used, late: *late, left };
                            steps.push(Step::Correct { tenant: tenant.clone(), correction });
                        }
                    }
                    Some(_) => {}
                    None => {
                        let known = self.unsettled.get(call);
                        if let Some(known) = known.filter(|known| !known.estimated && position > known.closed_at) {
                            steps.push(correction(tenant, call, known, &finish));
                        }
                    }
                }
            }
        }
    }

    /// The rule that only events settle, dropped.
    fn release_by_time(&self, tenant: &TenantId, now: Timestamp, steps: &mut Vec<Step>) {
        for (call, known) in &self.unsettled {
            if now.since(known.since) > std::time::Duration::from_secs(5) {
                let nothing = Finish { used: Amounts::ZERO, late: Amounts::ZERO, estimated: false };
                steps.push(correction(tenant, call, known, &nothing));
            }
        }
    }
}

fn correction(tenant: &TenantId, call: &CallId, known: &Unsettled, finish: &Finish) -> Step {
    let left = if finish.estimated { known.worst.saturating_sub(finish.used) } else { Amounts::ZERO };
    let correction =
        CorrectLease { lease: known.lease.clone(), call: call.clone(), used: finish.used, late: finish.late, left };
    Step::Correct { tenant: tenant.clone(), correction }
}
