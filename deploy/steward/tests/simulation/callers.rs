//! Gateways with the real admission, callers that use them, and providers that bill.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use steward_calls::admission::{
    Admission, AdmissionConfig, AdmissionPorts, Finish, Refusal, Reservation, ReservationRequest, Sharing,
};
use steward_events::event::{
    CallContext, CallOutcome, Operation, PriceVersion, Purpose, Savings, TokenUsage, UnpricedSet,
};
use steward_events::id::HolderId;
use steward_events::ids::Ids;
use steward_events::quantity::{Amounts, NanoDollars, Shard, Tokens};
use steward_events::scope::ScopeSet;
use steward_events::shared::Shared;
use steward_events::timestamp::Timestamp;
use steward_ports::clock::Clock;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::broker::{Broker, LogPort};
use crate::env::{Surroundings, tenant};
use crate::process::Process;
use crate::replica::BusPort;
use crate::variant::Port;

/// How long a call of the simulation waits for budget.
const ADMISSION_WAIT_MAX: Duration = Duration::from_secs(10);

/// One run of one gateway.
pub(crate) struct Gateway {
    around: Arc<Surroundings>,
    broker: Arc<Broker>,
    pub(crate) process: Arc<Process>,
    holder: HolderId,
    admission: Arc<Admission>,
    calls: JoinSet<()>,
}

/// What one call is and what will come of it.
struct Plan {
    wanted: ReservationRequest,
    bill: Amounts,
    takes: Duration,
    end: CallEnd,
    /// After a first attempt that may have been billed, another one.
    again: bool,
    /// In calm, a call that fits must be admitted.
    calm: bool,
}

#[derive(Clone, Copy)]
enum CallEnd {
    Completed,
    NotBilled,
    Cut,
}

/// Counts a call as answered, whatever becomes of its task.
struct Unresolved(Arc<Surroundings>);

impl Drop for Unresolved {
    fn drop(&mut self) {
        self.0.unresolved.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gateway {
    pub(crate) fn start(
        around: &Arc<Surroundings>,
        broker: &Arc<Broker>,
        place: usize,
        incarnation: u64,
        process: Arc<Process>,
    ) -> Self {
        let holder: HolderId = format!("gw{place}-{incarnation}").parse().expect("a literal");
        let ports = AdmissionPorts {
            log: LogPort::new(Arc::clone(broker), Arc::clone(&process)),
            bus: Arc::new(BusPort { around: Arc::clone(around), process: Arc::clone(&process) }),
            clock: Arc::clone(&process) as Arc<dyn Clock>,
            ids: Arc::clone(&around.ids) as Arc<dyn Ids>,
        };
        let admission = Admission::new(
            ports,
            AdmissionConfig { wait_max: ADMISSION_WAIT_MAX, ..AdmissionConfig::default() },
            holder.clone(),
        );
        let (around, broker) = (Arc::clone(around), Arc::clone(broker));
        Self { around, broker, process, holder, admission, calls: JoinSet::new() }
    }

    /// It is gone in this moment; what it had on its way to others still arrives.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
        self.broker.checker().killed.insert(self.holder.clone());
        self.calls.abort_all();
    }

    pub(crate) async fn drain(&self) {
        self.admission.drain().await;
    }

    /// Someone calls a model.
    pub(crate) fn call(&mut self, hostile: bool) {
        let plan = self.plan(hostile);
        self.around.unresolved.fetch_add(1, Ordering::Relaxed);
        let unresolved = Unresolved(Arc::clone(&self.around));
        let caller = SimCaller {
            around: Arc::clone(&self.around),
            broker: Arc::clone(&self.broker),
            process: Arc::clone(&self.process),
            admission: Arc::clone(&self.admission),
        };
        self.calls.spawn(async move {
            let _unresolved = unresolved;
            caller.call(plan).await;
        });
        while self.calls.try_join_next().is_some() {}
    }

    fn plan(&self, hostile: bool) -> Plan {
        let rng = &self.around.rng;
        let amounts =
            |tokens: u64, price: u64| Amounts { calls: 1, tokens: Tokens(tokens), money: NanoDollars(tokens * price) };
        let worst = 1 + rng.below(6);
        let price = if rng.percent(30) { 4 } else { 1 };
        let beyond = if hostile && rng.percent(8) { 1 + rng.below(3) } else { 0 };
        let bill = if beyond > 0 { worst + beyond } else { rng.below(worst + 1) };
        let least = if rng.percent(25) { 1 } else { worst };
        let end = match rng.below(20) {
            0 | 1 => CallEnd::NotBilled,
            2 if hostile => CallEnd::Cut,
            _ => CallEnd::Completed,
        };
        let key = if rng.percent(50) { "key_a" } else { "key_b" };
        let wanted = ReservationRequest {
            tenant: tenant(),
            shard: Shard(0),
            context: Shared::new(CallContext {
                scopes: ScopeSet {
                    path: "acme".parse().expect("a literal"),
                    principal: "svc_1".parse().expect("a literal"),
                    key: key.parse().expect("a literal"),
                    model: "m".parse().expect("a literal"),
                    agent: None,
                    task: None,
                    line: None,
                },
                operation: Operation::Chat,
                provider: "p".parse().expect("a literal"),
                upstream_model: "m".to_owned(),
                price: PriceVersion { model: "m".parse().expect("a literal"), from: Timestamp(0), target: None },
                purpose: Purpose::Asked,
            }),
            worst: amounts(worst, price),
            worst_min: amounts(least, price),
            request: self.around.ids.unique().parse().expect("an id"),
        };
        let takes = if hostile { rng.skewed_millis(25_000) } else { rng.millis(1, 80) };
        let again = hostile && rng.percent(15);
        let bill = if matches!(end, CallEnd::NotBilled) { Amounts::ZERO } else { amounts(bill, price) };
        Plan { wanted, bill, takes, end, again, calm: !hostile }
    }
}

struct SimCaller {
    around: Arc<Surroundings>,
    broker: Arc<Broker>,
    process: Arc<Process>,
    admission: Arc<Admission>,
}

impl SimCaller {
    async fn call(&self, plan: Plan) {
        let worst = plan.wanted.worst;
        let calm = plan.calm;
        let crowded = if calm { self.wants(&plan) } else { None };
        match self.admission.reserve(plan.wanted.clone()).await {
            Ok(reservation) => self.make(reservation, plan).await,
            Err(refusal) => self.refused(&refusal, &plan, crowded),
        }
        if calm {
            let mut wanted = self.around.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.0 = wanted.0.saturating_sub(worst);
        }
    }

    /// Counts a call of the calm among those who want something; tells how often, so far, that was too much, unless it
    /// is too much now.
    fn wants(&self, plan: &Plan) -> Option<u64> {
        let mut wanted = self.around.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.0 += plan.wanted.worst;
        if !self.broker.checker().would_fit(wanted.0, self.around.time.now()) {
            wanted.1 += 1;
            return None;
        }
        Some(wanted.1)
    }

    /// Law 6: told to come back although all who want something together would have fitted all the time.
    fn refused(&self, refusal: &Refusal, plan: &Plan, crowded: Option<u64>) {
        let now = self.around.time.now();
        let mut checker = self.broker.checker();
        checker.trace(|| format!("{now} {:?} for {:?} is told: {refusal}", plan.wanted.request, plan.wanted.worst));
        let crowded_now = self.around.wanted.lock().unwrap_or_else(PoisonError::into_inner).1;
        // A rate that is used up is told at once; only a wait that came to its end was in vain.
        let in_vain = match refusal {
            Refusal::WaitedTooLong { retry_after } => *retry_after == Duration::from_secs(1),
            Refusal::Unavailable(_) => true,
            Refusal::Exhausted(_) | Refusal::Closed(_) => false,
        };
        if in_vain && crowded == Some(crowded_now) {
            checker.fail(format!("law 6: starved: {:?} for {:?}: {refusal}", plan.wanted.request, plan.wanted.worst));
        }
    }

    async fn make(&self, reservation: Reservation, plan: Plan) {
        // A pause may come between the reservation and the request.
        self.process.running().await;
        let bill = match plan.end {
            _ if reservation.granted != plan.wanted.worst => plan.bill.min(reservation.granted),
            CallEnd::NotBilled => Amounts::ZERO,
            CallEnd::Completed | CallEnd::Cut => plan.bill,
        };
        if !self.attempt(&reservation, bill, plan.takes).await {
            return;
        }
        let mut plan = plan;
        if plan.again {
            plan.again = false;
            if self.around.drops(Port::SharedAttempts) {
                if !self.attempt(&reservation, bill, plan.takes).await {
                    return;
                }
            } else {
                // The first attempt is finished as what it was; the next one reserves anew.
                self.finish(reservation, bill, plan.end).await;
                if let Ok(second) = self.admission.reserve(plan.wanted.clone()).await {
                    Box::pin(self.make(second, plan)).await;
                }
                return;
            }
        }
        self.finish(reservation, bill, plan.end).await;
    }

    /// The provider works and bills, even if no caller is left.
    async fn attempt(&self, reservation: &Reservation, bill: Amounts, takes: Duration) -> bool {
        let attempt = self.broker.checker().upstream(&reservation.call, &reservation.lease, reservation.granted);
        let (told, hears) = oneshot::channel();
        let broker = Arc::clone(&self.broker);
        tokio::spawn(async move {
            tokio::time::sleep(takes).await;
            broker.checker().billed(attempt, bill);
            let _ = told.send(());
        });
        hears.await.is_ok()
    }

    async fn finish(&self, reservation: Reservation, bill: Amounts, end: CallEnd) {
        self.process.running().await;
        let (outcome, metered) = match end {
            CallEnd::Completed => (CallOutcome::Completed, bill),
            CallEnd::NotBilled => (CallOutcome::NotBilled { reason: "refused".to_owned() }, Amounts::ZERO),
            CallEnd::Cut => {
                let metered = bill.zip(bill, |all, _| all / 2);
                (CallOutcome::estimated("cut"), metered)
            }
        };
        let finish = Finish {
            tokens: TokenUsage { output: metered.tokens, ..TokenUsage::default() },
            cost: metered.money,
            variant: 0,
            unpriced: UnpricedSet::default(),
            savings: Savings::default(),
            outcome,
            duration_ms: 1,
            sharing: Sharing::Alone,
        };
        // A finish that is late is still being recorded; the audit sees whether it was.
        let _ = reservation.finish(finish).await;
    }
}
