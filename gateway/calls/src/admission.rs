//! Admission: who may call a model now, and with how much.
//!
//! A call goes upstream only with a [`Reservation`], and a reservation exists only once the log has acknowledged its
//! `CallStarted`. What is reserved comes out of a lease that this gateway holds from the tenant's ledger, so that most
//! calls ask nobody. This module knows leases, reservations and the journal; it must not know HTTP, keys or providers.
//!
//! One account a scope set: `account` is its state, pure; `actor` carries out what the state asks for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward_aggregates::usage;
use steward_events::BoxError;
use steward_events::event::{CallContext, CallOutcome, Savings, TokenUsage, UnpricedSet};
use steward_events::id::{CorrelationId, HolderId, TenantId};
use steward_events::ids::Ids;
use steward_events::quantity::{Amounts, NanoDollars, Shard};
use steward_events::rejection::Rejection;
use steward_events::scope::ScopeSet;
use steward_events::setting::Span;
use steward_events::shared::Shared;
use steward_ports::bus::CommandBus;
use steward_ports::clock::Clock;
use steward_ports::log::EventLog;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

mod account;
mod actor;
mod given;
mod held_lease;
mod ledger_follower;
mod mutations;
mod reservation;

pub use given::{Followed, Given, Sharing};
pub use reservation::Reservation;

pub(crate) use account::never_sent;
use account::{Admitted, Identity, Numbers, Waiting};
use actor::{Actor, Handle, Message};
use reservation::{Unclaimed, forget_unclaimed};

/// How admission waits and bounds.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionConfig {
    /// The longest that a call waits for others to settle before it is told to come back.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub wait_max: Duration,
    /// The most calls that wait for one set of scopes at once.
    pub line_max: usize,
    /// The most sets of scopes that have an account at once.
    pub accounts_max: usize,
    /// How long an account without calls keeps what it holds.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub idle_max: Duration,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            wait_max: Duration::from_secs(2),
            line_max: 1_024,
            accounts_max: 10_000,
            idle_max: Duration::from_secs(20),
        }
    }
}

/// What a call asks for.
#[derive(Clone, Debug)]
pub struct ReservationRequest {
    /// Whose money.
    pub tenant: TenantId,
    /// Where the tenant lives.
    pub shard: Shard,
    /// For whom, of whom, at which price.
    pub context: Shared<CallContext>,
    /// The most it can cost. It counts as one call whatever this says.
    pub worst: Amounts,
    /// The least that would do; equal to `worst` if the caller said how much output it wants.
    pub worst_min: Amounts,
    /// The caller's request.
    pub request: CorrelationId,
}

/// Why a call may not go.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A budget has no room, and would have none if all that is open came back. 402; 429 if a minute's turn helps.
    #[error(transparent)]
    Exhausted(Rejection),
    /// It might have fitted once others settled, but that took too long. 429.
    #[error("other calls hold the rest of the budget; try again in {} ms", retry_after.as_millis())]
    WaitedTooLong {
        /// When to come back.
        retry_after: Duration,
    },
    /// Nothing may start here any more: this gateway is stopping, or what the call rests on was revoked.
    #[error("no calls are admitted: {0}")]
    Closed(String),
    /// The log or the ledger does not answer.
    #[error("calls cannot be admitted now")]
    Unavailable(#[source] BoxError),
}

/// What a call used.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The tokens.
    pub tokens: TokenUsage,
    /// The cost at the reservation's price.
    pub cost: NanoDollars,
    /// Which of that price's variants was charged, from 1; 0 for its base.
    pub variant: u16,
    /// What of this the price does not name.
    pub unpriced: UnpricedSet,
    /// What was saved although the provider was asked.
    pub savings: Savings,
    /// How it ended.
    pub outcome: CallOutcome,
    /// From sending to the last byte.
    pub duration_ms: u64,
    /// Whether it bears the cost with others.
    pub sharing: Sharing,
}

/// What was recorded of a finished call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What counts against budgets.
    pub used: Amounts,
    /// What the provider billed beyond what could be covered.
    pub late: Amounts,
    /// What is left of the tightest budget in money, as far as this gateway knows.
    pub budget_left: Option<NanoDollars>,
}

/// A finish could not be recorded in time. The call stays charged at its worst case; recording goes on trying.
#[derive(Debug, thiserror::Error)]
#[error("what the call used could not be recorded yet")]
pub struct FinishError(#[source] pub BoxError);

/// What admission needs from the world.
#[derive(Clone)]
pub struct AdmissionPorts {
    /// Where the journal is written.
    pub log: Arc<dyn EventLog>,
    /// Where leases are asked for.
    pub bus: Arc<dyn CommandBus>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Ids of calls, commands and commits.
    pub ids: Arc<dyn Ids>,
}

/// Reserves for calls out of the leases that this gateway holds. Its tasks end when it is dropped.
pub struct Admission {
    ports: AdmissionPorts,
    config: AdmissionConfig,
    holder: HolderId,
    numbers: Numbers,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<(TenantId, ScopeSet), Handle>,
    followed: BTreeMap<Shard, AbortHandle>,
    tasks: JoinSet<()>,
    stopping: bool,
}

/// How often a request is given to an account that is just going away before it is given up.
const HAND_OVERS_MAX: usize = 5;

/// How long a graceful stop waits until the leases are handed back. What cannot be by then ends by its time to live.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

impl Admission {
    /// For one run of one gateway: `holder` must be new at every start.
    pub fn new(ports: AdmissionPorts, config: AdmissionConfig, holder: HolderId) -> Arc<Self> {
        Arc::new(Self { ports, config, holder, numbers: Numbers::default(), state: Mutex::default() })
    }

    /// Reserves for one attempt to call a provider. When it returns, the log holds `CallStarted`.
    ///
    /// # Errors
    /// [`Refusal`], and then nothing may go upstream.
    pub async fn reserve(self: &Arc<Self>, wanted: ReservationRequest) -> Result<Reservation, Refusal> {
        let wanted = ReservationRequest {
            worst: Amounts { calls: 1, ..wanted.worst },
            worst_min: Amounts { calls: 1, ..wanted.worst_min.min(wanted.worst) },
            ..wanted
        };
        self.admit(Arc::new(wanted), None).await
    }

    async fn admit(
        self: &Arc<Self>,
        wanted: Arc<ReservationRequest>,
        given: Option<Given>,
    ) -> Result<Reservation, Refusal> {
        let since = self.ports.clock.monotonic();
        for _ in 0..HAND_OVERS_MAX {
            let handle = self.account(&wanted)?;
            let (told, hears) = oneshot::channel::<Result<Unclaimed, Refusal>>();
            let told = Arc::new(Mutex::new(Some(told)));
            let (asks, inbox) = (Arc::clone(&told), handle.inbox.clone());
            let answer = move |outcome: Result<Admitted, Refusal>| {
                let sender = told.lock().unwrap_or_else(PoisonError::into_inner).take();
                let outcome = outcome.map(|admitted| Unclaimed(Some(Reservation::new(admitted, inbox))));
                sender.is_some_and(|sender| sender.send(outcome).map_err(forget_unclaimed).is_ok())
            };
            let is_wanted = move || {
                asks.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|asks| !asks.is_closed())
            };
            let waiting = Waiting {
                call: given.as_ref().map_or_else(|| self.new_call(), |given| given.call.clone()),
                given: given.clone(),
                wanted: Arc::clone(&wanted),
                since,
                answer: Box::new(answer),
                is_wanted: Box::new(is_wanted),
                span: tracing::Span::current(),
            };
            // An account that is going away drops what it did not take; another one is made.
            if handle.inbox.send(Message::Reserve(waiting)).is_err() {
                continue;
            }
            if let Ok(outcome) = hears.await {
                return outcome?.claim();
            }
        }
        Err(Refusal::Unavailable("the account is going away".into()))
    }

    /// Ends the leases of all sets of scopes that `concerns` tells: what they rest on was revoked. Calls on their way
    /// are still recorded when they finish.
    pub fn close_for(&self, reason: &'static str, concerns: impl Fn(&TenantId, &ScopeSet) -> bool + Send) {
        for ((tenant, scopes), handle) in &self.state().accounts {
            if concerns(tenant, scopes) {
                // An account that has just ended holds nothing to close.
                let _ = handle.inbox.send(Message::Revoke(reason));
            }
        }
    }

    /// How many percent are left of the tightest hard budget that `scopes` touch, as the ledger said when it was last asked for
    /// them; none if they touch none, or it was not asked lately.
    pub(crate) fn left_percent(&self, tenant: &TenantId, scopes: &ScopeSet) -> Option<u8> {
        let state = self.state();
        let handle = state.accounts.get(&(tenant.clone(), scopes.clone()))?;
        Some(handle.left_percent.load(Ordering::Relaxed)).filter(|percent| *percent <= 100 && !handle.inbox.is_closed())
    }

    /// Stops admitting and hands everything back, for a graceful stop once calls have ended.
    pub async fn drain(&self) {
        let open: Vec<Handle> = {
            let mut state = self.state();
            state.stopping = true;
            state.accounts.values().cloned().collect()
        };
        for handle in &open {
            // An account that has just ended has handed everything back.
            let _ = handle.inbox.send(Message::Drain);
        }
        let all = async {
            for handle in open {
                handle.inbox.closed().await;
            }
        };
        if tokio::time::timeout(DRAIN_TIME_MAX, all).await.is_err() {
            tracing::warn!("leases were not handed back before the gateway stopped; they end by their time to live");
        }
    }

    /// The account for `wanted`, made if there is none.
    fn account(self: &Arc<Self>, wanted: &ReservationRequest) -> Result<Handle, Refusal> {
        let mut state = self.state();
        if state.stopping {
            return Err(Refusal::Closed("this gateway is stopping".to_owned()));
        }
        let scopes = &wanted.context.scopes;
        let key = (wanted.tenant.clone(), scopes.clone());
        if let Some(handle) = state.accounts.get(&key).filter(|handle| !handle.inbox.is_closed()) {
            return Ok(handle.clone());
        }
        state.accounts.retain(|_, handle| !handle.inbox.is_closed());
        while state.tasks.try_join_next().is_some() {}
        if state.accounts.len() >= self.config.accounts_max {
            return Err(Refusal::Unavailable("too many sets of scopes are in use at once".into()));
        }
        let journal = usage::journal(wanted.shard, &wanted.tenant, &self.holder, scopes)
            .map_err(|invalid| Refusal::Unavailable(invalid.into()))?;
        let me =
            Identity { tenant: wanted.tenant.clone(), scopes: scopes.clone(), holder: self.holder.clone(), journal };
        let (sender, inbox) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicBool::new(false));
        let left_percent = Arc::new(AtomicU8::new(u8::MAX));
        let free = Arc::new(Mutex::new(Amounts::ZERO));
        let handle = Handle {
            inbox: sender,
            waiting: Arc::clone(&waiting),
            left_percent: Arc::clone(&left_percent),
            free: Arc::clone(&free),
        };
        let actor = Actor {
            ports: self.ports.clone(),
            me,
            config: self.config.clone(),
            numbers: self.numbers.clone(),
            inbox,
            waiting,
            left_percent,
            free,
        };
        state.tasks.spawn(actor.run());
        state.accounts.insert(key, handle.clone());
        if !state.followed.contains_key(&wanted.shard) {
            let follower = state.tasks.spawn(ledger_follower::follow(Arc::downgrade(self), wanted.shard));
            state.followed.insert(wanted.shard, follower);
        }
        Ok(handle)
    }

    /// True if this gateway holds so much for these scopes that a call of `worst` would go at once, as far as is known: what
    /// is free may be taken by another call before this one asks.
    pub fn has_room(&self, tenant: &TenantId, scopes: &ScopeSet, worst: Amounts) -> bool {
        let key = (tenant.clone(), scopes.clone());
        let free = self.state().accounts.get(&key).map(|handle| Arc::clone(&handle.free));
        free.is_some_and(|free| worst.fits(*free.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Tells the accounts of `tenant`; `which` may leave out those in which nobody waits.
    fn tell_tenant(&self, tenant: &TenantId, which: impl Fn(bool) -> bool, message: impl Fn() -> Message) {
        for ((of, _), handle) in &self.state().accounts {
            if of == tenant && which(handle.waiting.load(Ordering::Relaxed)) {
                // An account that has just ended needs to be told nothing.
                let _ = handle.inbox.send(message());
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
