//! How the targets of calls are doing, as this gateway has seen: which are left alone for a while because they failed, how
//! soon each answers, and what it takes a minute. Forgotten with the process: the first calls of the next one find out again.
//!
//! It decides nothing about a call but whether a target may be asked now; the order is the route's
//! (`steward_aggregates::catalog::Course`). It must not know callers, budgets or what a caller is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use steward_aggregates::catalog::Standing;
use steward_aggregates::catalog::route::{hash, mix};
use steward_events::id::{ProviderId, TenantId};
use steward_events::quantity::Tokens;
use steward_ports::clock::Clock;

mod breaker;
mod config;
mod latency;
mod metrics;
mod minute;

use breaker::{Breaker, State};
pub use config::TargetsConfig;
use latency::Latency;
pub(crate) use metrics::TargetMetrics;
use minute::Minute;
pub(crate) use minute::Takes;

/// Targets that are remembered; beyond that all are forgotten.
const TARGETS_MAX: usize = 4_096;

/// Which target: whose catalog names it, the provider, and the model's name there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TargetName {
    pub(crate) catalog: TenantId,
    pub(crate) provider: ProviderId,
    pub(crate) model: String,
}

/// All targets of this process.
pub(crate) struct Targets {
    known: RwLock<HashMap<TargetName, Arc<Target>>>,
    shared: Arc<Shared>,
}

/// What all targets need.
struct Shared {
    config: TargetsConfig,
    clock: Arc<dyn Clock>,
    metrics: TargetMetrics,
    lots: Lots,
}

/// One target.
pub(crate) struct Target {
    name: TargetName,
    shared: Arc<Shared>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    breaker: Breaker,
    latency: Latency,
    minute: Minute,
}

/// Why a target is not asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// It is to be left alone: it failed.
    LeftAlone,
    /// It takes no more for so long.
    Full(Duration),
}

/// Numbers by lot, for what is not to happen to all at once. No secret rests on them.
pub(crate) struct Lots(AtomicU64);

impl Lots {
    /// Other ones for each seed.
    pub(crate) fn new(seed: &str) -> Self {
        Self(AtomicU64::new(hash([seed.as_bytes()])))
    }

    /// The next.
    pub(crate) fn draw(&self) -> u64 {
        mix(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

impl Targets {
    pub(crate) fn new(config: TargetsConfig, clock: Arc<dyn Clock>, metrics: TargetMetrics, lots: Lots) -> Self {
        Self { known: RwLock::default(), shared: Arc::new(Shared { config, clock, metrics, lots }) }
    }

    /// A number by lot.
    pub(crate) fn draw(&self) -> u64 {
        self.shared.lots.draw()
    }

    /// The target of this name.
    pub(crate) fn of(&self, name: &TargetName) -> Arc<Target> {
        if let Some(target) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(target);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= TARGETS_MAX {
            known.clear();
        }
        let fresh = || Target { name: name.clone(), shared: Arc::clone(&self.shared), seen: Mutex::default() };
        Arc::clone(known.entry(name.clone()).or_insert_with(|| Arc::new(fresh())))
    }
}

impl Target {
    /// How it stands now.
    pub(crate) fn standing(&self) -> Standing {
        let now = self.shared.clock.monotonic();
        let seen = self.seen();
        Standing { closed_for: seen.breaker.closed_for(now), latency: seen.latency.at(now), ..Standing::default() }
    }

    /// How soon nineteen of twenty of its answers began, of the last ones; none before there were enough.
    pub(crate) fn p95(&self) -> Option<Duration> {
        self.seen().latency.p95()
    }

    /// Begins an attempt, unless the target is to be left alone now, or takes no more. As a last resort one that failed is
    /// asked all the same: a breaker chooses among targets, it never refuses a call.
    pub(crate) fn enter(self: &Arc<Self>, takes: Takes, last_resort: bool) -> Result<Trial, Passed> {
        let now = self.shared.clock.monotonic();
        self.seen().minute.take(now, takes).map_err(Passed::Full)?;
        let may = self.change(Breaker::enter);
        if may.is_none() && !last_resort {
            self.seen().minute.give_back(now, takes);
            return Err(Passed::LeftAlone);
        }
        let is_probe = may == Some(breaker::Entry::Probe);
        Ok(Trial { target: Arc::clone(self), is_probe, is_judged: false, takes: Some(takes) })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and tells of it where that changes how the target is dealt with.
    fn change<T>(&self, change: impl FnOnce(&mut Breaker, Duration) -> T) -> T {
        let now = self.shared.clock.monotonic();
        let mut seen = self.seen();
        let before = seen.breaker.state();
        let changed = change(&mut seen.breaker, now);
        let after = seen.breaker.state();
        let closed_for = seen.breaker.closed_for(now).unwrap_or_default();
        drop(seen);
        if before != after {
            self.shared.metrics.moved(&self.name, before, after);
            let TargetName { catalog, provider, model } = &self.name;
            let seconds = closed_for.as_secs();
            match after {
                State::Open => tracing::warn!(
                    tenant.id = %catalog, provider.id = %provider, target.model = model, closed_for_s = seconds,
                    "a target is left alone because it fails"
                ),
                State::HalfOpen => {}
                State::Closed => {
                    tracing::info!(tenant.id = %catalog, provider.id = %provider, target.model = model, "a target answers again");
                }
            }
        }
        changed
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let state = self.seen().breaker.state();
        self.shared.metrics.forgotten(&self.name, state);
    }
}

/// One attempt at a target, until it is known how it went. One that ends without a word says nothing of the target.
pub(crate) struct Trial {
    target: Arc<Target>,
    is_probe: bool,
    is_judged: bool,
    /// What it took of the provider's minute, until it is known what it used.
    takes: Option<Takes>,
}

impl Trial {
    /// Its answer began, so long after it was asked.
    pub(crate) fn answered(&mut self, after: Duration) {
        self.judge(|breaker, _| breaker.answered());
        let now = self.target.shared.clock.monotonic();
        self.target.seen().latency.add(now, after);
    }

    /// It did what can be asked of a target: answered whole, or refused with reason.
    pub(crate) fn well(&mut self) {
        self.judge(|breaker, _| breaker.well());
    }

    /// It failed, and not for what the call asked. If it said when it wants to be asked again, it is left alone until then.
    pub(crate) fn failed(&mut self, ask_again: Option<Duration>) {
        let (config, lot) = (self.target.shared.config.clone(), self.target.shared.lots.draw());
        self.judge(|breaker, now| match ask_again {
            Some(wait) => breaker.wants_rest(now, wait.min(config.rest_max)),
            None => breaker.failed(now, &config, lot),
        });
    }

    /// Nothing of it went out: what it took of the provider's minute is there again.
    pub(crate) fn not_sent(&mut self) {
        if let Some(takes) = self.takes.take() {
            let now = self.target.shared.clock.monotonic();
            self.target.seen().minute.give_back(now, takes);
        }
    }

    /// It was sent, and used so many tokens.
    pub(crate) fn used(&mut self, tokens: Tokens) {
        if let Some(takes) = self.takes.take() {
            let now = self.target.shared.clock.monotonic();
            self.target.seen().minute.used(now, takes, tokens.0);
        }
    }

    fn judge(&mut self, verdict: impl FnOnce(&mut Breaker, Duration)) {
        self.is_judged = true;
        self.target.change(verdict);
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.not_sent();
        if self.is_probe && !self.is_judged {
            self.target.change(Breaker::probe_untold);
        }
    }
}

#[cfg(test)]
mod tests;
