//! The fold of one usage journal: what a gateway run spent for one set of scopes, and what it may still start.
//!
//! Read by the holder that writes the journal, by the part that ends a lease, and by those who check the books. A
//! journal has no decider: what it says has happened.

use std::collections::BTreeMap;

use steward_events::commit::Commit;
use steward_events::event::AggregateKind;
use steward_events::event::{Event, UnsettledCall, UsageEvent};
use steward_events::id::{CallId, LeaseId};
use steward_events::id::{HolderId, InvalidId, StreamId, TenantId};
use steward_events::quantity::Shard;
use steward_events::quantity::{Amounts, Position};
use steward_events::scope::ScopeSet;
use steward_events::stream::StreamName;

/// The journal in which `holder` records what it spends for `scopes`.
///
/// # Errors
/// [`InvalidId`] if the holder's name is so long that the journal's is no id.
pub fn journal(shard: Shard, tenant: &TenantId, holder: &HolderId, scopes: &ScopeSet) -> Result<StreamName, InvalidId> {
    let id = StreamId::new(format!("{holder}-{}", scopes.digest()))?;
    Ok(StreamName { shard, tenant: tenant.clone(), kind: AggregateKind::Usage, id })
}

/// What a journal says, lease by lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    leases: BTreeMap<LeaseId, LeaseUsage>,
    through: Position,
}

/// What was spent from one lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseUsage {
    /// What finished calls used.
    pub used: Amounts,
    /// What went beyond.
    pub late: Amounts,
    /// Calls that may still cost something, with the most that they may.
    pub open: BTreeMap<CallId, OpenCall>,
    /// What was known when the lease was closed.
    pub closed: Option<AtClose>,
}

/// A lease as its journal knew it at `LeaseClosed`. Whoever ends the lease says just this: what is recorded later is
/// for corrections, so that each finish reaches the books once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtClose {
    /// Where it was closed.
    pub at: Position,
    /// What finished calls had used.
    pub used: Amounts,
    /// What had gone beyond.
    pub late: Amounts,
    /// Calls that had started and not finished, and what estimates had left open.
    pub unsettled: Vec<UnsettledCall>,
}

/// What a call may still cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenCall {
    /// The most.
    pub worst: Amounts,
    /// True if the call is over and this is what an estimate left open: only the provider can settle it.
    pub estimated: bool,
}

impl Usage {
    /// Takes in a commit that stands at `position`.
    pub fn fold(&mut self, commit: &Commit, position: Position) {
        for recorded in commit.recorded(position) {
            if let Event::Usage(event) = recorded.event {
                self.apply(event, position);
            }
        }
        self.through = self.through.max(position);
    }

    /// Takes in one event. A second finish of the same call says nothing new.
    pub fn apply(&mut self, event: &UsageEvent, position: Position) {
        self.through = self.through.max(position);
        let lease = self.leases.entry(event.lease().clone()).or_default();
        match event {
            UsageEvent::CallStarted { call, worst, .. } => {
                lease.open.insert(call.clone(), OpenCall { worst: *worst, estimated: false });
            }
            UsageEvent::CallFinished { call, used, late, outcome, .. } => {
                let Some(open) = lease.open.get(call).filter(|open| !open.estimated) else { return };
                lease.used += *used;
                lease.late += *late;
                let left = open.worst.saturating_sub(*used);
                if outcome.leaves_open() && !left.is_zero() {
                    lease.open.insert(call.clone(), OpenCall { worst: left, estimated: true });
                } else {
                    lease.open.remove(call);
                }
            }
            UsageEvent::LeaseClosed { .. } => {
                if lease.closed.is_none() {
                    let (used, late, unsettled) = (lease.used, lease.late, lease.unsettled());
                    lease.closed = Some(AtClose { at: position, used, late, unsettled });
                }
            }
        }
    }

    /// How far the journal was read.
    pub const fn through(&self) -> Position {
        self.through
    }

    /// What was spent from `lease`; none if the journal does not mention it.
    pub fn lease(&self, lease: &LeaseId) -> Option<&LeaseUsage> {
        self.leases.get(lease)
    }

    /// All leases that the journal mentions and that were not forgotten.
    pub fn leases(&self) -> impl Iterator<Item = (&LeaseId, &LeaseUsage)> {
        self.leases.iter()
    }

    /// True if nothing may start on `lease` any more.
    pub fn is_closed(&self, lease: &LeaseId) -> bool {
        self.leases.get(lease).is_some_and(|lease| lease.closed.is_some())
    }

    /// True if `call` was started on `lease` and its finish is not recorded.
    pub fn is_running(&self, lease: &LeaseId, call: &CallId) -> bool {
        self.leases.get(lease).and_then(|lease| lease.open.get(call)).is_some_and(|open| !open.estimated)
    }

    /// Forgets a lease that is over, for a reader that needs it no more.
    pub fn forget(&mut self, lease: &LeaseId) {
        self.leases.remove(lease);
    }
}

impl LeaseUsage {
    /// The calls whose worst cases stay held out when the lease ends.
    pub fn unsettled(&self) -> Vec<UnsettledCall> {
        (self.open.iter()).map(|(call, open)| UnsettledCall { call: call.clone(), worst: open.worst }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steward_events::event::{
        AnswerSource, CallContext, CallOutcome, Operation, PriceVersion, Purpose, Saved, Savings, Tags, TokenUsage,
        UnpricedSet,
    };
    use steward_events::quantity::{NanoDollars, Tokens};
    use steward_events::timestamp::Timestamp;

    fn id<T: std::str::FromStr<Err = InvalidId>>(text: &str) -> T {
        text.parse().unwrap()
    }

    fn lease() -> LeaseId {
        LeaseId { holder: id("gw1"), number: 1 }
    }

    fn scopes() -> ScopeSet {
        ScopeSet {
            path: "acme".parse().unwrap(),
            principal: id("svc_1"),
            key: id("key_1"),
            model: id("m"),
            agent: None,
            task: None,
            line: None,
        }
    }

    fn tokens(tokens: u64) -> Amounts {
        Amounts { calls: 1, tokens: Tokens(tokens), money: NanoDollars(tokens) }
    }

    fn context() -> CallContext {
        CallContext {
            scopes: scopes(),
            operation: Operation::Chat,
            provider: id("p"),
            upstream_model: "m".to_owned(),
            price: PriceVersion { model: id("m"), from: Timestamp(0), target: None },
            purpose: Purpose::Asked,
        }
    }

    fn started(call: &str, worst: u64) -> UsageEvent {
        UsageEvent::CallStarted {
            call: id(call),
            lease: lease(),
            context: context().into(),
            worst: tokens(worst),
            request: id("r"),
            tags: Tags::default(),
        }
    }

    fn finished(call: &str, used: u64, outcome: CallOutcome) -> UsageEvent {
        UsageEvent::CallFinished {
            call: id(call),
            lease: lease(),
            context: context().into(),
            tokens: TokenUsage::default(),
            cost: NanoDollars(used),
            variant: 0,
            unpriced: UnpricedSet::default(),
            source: AnswerSource::Provider,
            saved: Saved::default(),
            savings: Savings::default(),
            used: tokens(used),
            late: Amounts::ZERO,
            outcome,
            duration_ms: 1,
            tags: Tags::default(),
        }
    }

    fn fold(events: &[UsageEvent]) -> Usage {
        let mut usage = Usage::default();
        for (at, event) in (1..).zip(events) {
            usage.apply(event, Position(at));
        }
        usage
    }

    #[test]
    fn a_finish_replaces_the_worst_case_once() {
        let finish = finished("a", 7, CallOutcome::Completed);
        let usage = fold(&[started("a", 10), started("b", 5), finish.clone(), finish]);
        let of_lease = usage.lease(&lease()).unwrap();
        assert_eq!(
            (of_lease.used, of_lease.open.values().map(|open| open.worst).sum::<Amounts>()),
            (tokens(7), tokens(5))
        );
        assert!(!usage.is_running(&lease(), &id("a")) && usage.is_running(&lease(), &id("b")));
    }

    #[test]
    fn an_estimate_leaves_the_rest_of_the_worst_case_open() {
        let cut = CallOutcome::estimated("stream cut");
        let usage = fold(&[started("a", 10), finished("a", 7, cut)]);
        let of_lease = usage.lease(&lease()).unwrap();
        assert_eq!(of_lease.used, tokens(7));
        assert_eq!(of_lease.unsettled()[0].worst, Amounts { calls: 0, ..tokens(3) });
        assert!(!usage.is_running(&lease(), &id("a")));
    }

    #[test]
    fn a_late_finish_counts_and_lowers_the_unsettled_amount() {
        let closed = UsageEvent::LeaseClosed { lease: lease(), reason: "expired".to_owned() };
        let usage = fold(&[started("a", 10), closed, finished("a", 7, CallOutcome::Completed)]);
        let of_lease = usage.lease(&lease()).unwrap();
        assert_eq!((of_lease.used, of_lease.unsettled()), (tokens(7), vec![]));
        let open = UnsettledCall { call: id("a"), worst: tokens(10) };
        let at_close = AtClose { at: Position(2), used: Amounts::ZERO, late: Amounts::ZERO, unsettled: vec![open] };
        assert_eq!(of_lease.closed, Some(at_close));
    }
}
