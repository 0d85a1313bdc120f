//! Admission: who may call a model now, and with how much.
//!
//! A call goes upstream only with a [`Reservation`], and a reservation exists only once the log has acknowledged its
//! `CallStarted`. What is reserved comes out of a lease that this gateway holds from the tenant's ledger, so that most
//! calls ask nobody. This module knows leases, reservations and the journal; it must not know HTTP, keys or providers.
//!
//! One account a scope set: [`account`] is its state, pure; [`actor`] carries out what the state asks for.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use steward_events::BoxError;
use steward_events::bus::CommandBus;
use steward_events::clock::{Clock, Ids};
use steward_events::event::{CallOutcome, PriceVersion, TokenUsage};
use steward_events::id::{CallId, CorrelationId, HolderId, LeaseId, ProviderId, TenantId};
use steward_events::log::EventLog;
use steward_events::quantity::{Amounts, NanoDollars, Shard};
use steward_events::rejection::Rejection;
use steward_events::scope::ScopeSet;

/// How admission waits and bounds.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionConfig {
    /// The longest that a call waits for others to settle before it is told to come back.
    #[serde(with = "humantime_serde")]
    pub wait_max: Duration,
    /// The most calls that wait for one set of scopes at once.
    pub line_max: usize,
    /// The most sets of scopes that have an account at once.
    pub accounts_max: usize,
    /// How long an account without calls keeps what it holds.
    #[serde(with = "humantime_serde")]
    pub idle_max: Duration,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            wait_max: Duration::from_secs(10),
            line_max: 1_024,
            accounts_max: 10_000,
            idle_max: Duration::from_secs(20),
        }
    }
}

/// What a call asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Whose money.
    pub tenant: TenantId,
    /// Where the tenant lives.
    pub shard: Shard,
    /// Which budgets it touches.
    pub scopes: ScopeSet,
    /// The most it can cost. It counts as one call whatever this says.
    pub worst: Amounts,
    /// The least that would do; equal to `worst` if the caller said how much output it wants.
    pub worst_min: Amounts,
    /// Which upstream.
    pub provider: ProviderId,
    /// The price it is charged at.
    pub price: PriceVersion,
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
    #[error("others hold the rest of the budget; try again in {} ms", retry_after.as_millis())]
    WaitedTooLong {
        /// When to come back.
        retry_after: Duration,
    },
    /// Nothing may start here any more: this gateway is stopping, or what the call rests on was revoked.
    #[error("admission is closed: {0}")]
    Closed(String),
    /// The log or the ledger does not answer.
    #[error("admission is not possible now")]
    Unavailable(#[source] BoxError),
}

/// What a call used.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The tokens.
    pub tokens: TokenUsage,
    /// The cost at the reservation's price.
    pub cost: NanoDollars,
    /// How it ended.
    pub outcome: CallOutcome,
    /// From sending to the last byte.
    pub duration_ms: u64,
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

/// Reserves for calls out of the leases that this gateway holds.
pub struct Admission {
    ports: AdmissionPorts,
    config: AdmissionConfig,
    holder: HolderId,
}

impl Admission {
    /// For one run of one gateway: `holder` must be new at every start.
    pub fn new(ports: AdmissionPorts, config: AdmissionConfig, holder: HolderId) -> Arc<Self> {
        Arc::new(Self { ports, config, holder })
    }

    /// Reserves for one attempt to call a provider. When it returns, the log holds `CallStarted`.
    ///
    /// # Errors
    /// [`Refusal`], and then nothing may go upstream.
    pub async fn reserve(&self, ask: Ask) -> Result<Reservation, Refusal> {
        let _ = (&self.ports.log, &self.config.wait_max, &self.holder, ask);
        Err(Refusal::Unavailable("no lease".into()))
    }

    /// Ends the leases of all sets of scopes that `concerns` tells: what they rest on was revoked. Calls on their way
    /// are still recorded when they finish.
    pub async fn close_for(&self, reason: &str, concerns: impl Fn(&TenantId, &ScopeSet) -> bool + Send) {
        let _ = (reason, concerns);
    }

    /// Stops admitting, waits for calls on their way and hands everything back. For a graceful stop.
    pub async fn drain(&self) {}
}

/// The right to make one call, acknowledged by the log.
#[must_use = "a reservation that is not finished stays charged at its worst case"]
#[derive(Debug)]
pub struct Reservation {
    /// The attempt.
    pub call: CallId,
    /// What it is paid from.
    pub lease: LeaseId,
    /// The most it may use: less than the worst case asked for if the budget is short and the caller set no limit.
    pub granted: Amounts,
}

impl Reservation {
    /// Records what the call used. Returns when the log has acknowledged it.
    ///
    /// # Errors
    /// [`FinishError`] if that takes too long; it is still tried.
    pub async fn finish(self, finish: Finish) -> Result<Settled, FinishError> {
        let _ = finish;
        Err(FinishError("no lease".into()))
    }
}
