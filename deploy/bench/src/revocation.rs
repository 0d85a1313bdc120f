//! How long a revoked key goes on working: at another gateway than the one that revoked it, on an open connection to the
//! bus, and for a task that was submitted with it.

#![allow(clippy::cast_precision_loss)] // counts

use std::time::{Duration, Instant};

use serde_json::json;
use steward_events::BoxError;
use steward_events::id::PrincipalId;
use tokio::sync::oneshot;

use super::Progress;
use super::company::{self, Company, MODEL};
use super::figures::Figures;
use super::load::{Call, Line};
use super::sample::Sample;
use super::system::System;

mod bus;
mod tasks;

/// Between two calls with the key.
const PAUSE: Duration = Duration::from_millis(1);

/// Calls that must have been answered before the key is revoked.
const CALLS_BEFORE: u32 = 3;

/// How long a revoked key may go on working before the trial is given up.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(30);

/// Measures all three.
pub(super) async fn measure(
    system: &System,
    company: &Company,
    trials: usize,
    progress: &Progress,
) -> Result<Figures, BoxError> {
    let mut figures = over_http(system, company, trials, progress).await?;
    figures.extend(bus::measure(system, company, trials, progress).await?);
    figures.extend(tasks::measure(system, company, trials, progress).await?);
    Ok(figures)
}

/// How long it took from each acknowledgement to what `moment` names, as figures whose names begin with `name`.
fn times(name: &str, used: &[(Instant, Used)], moment: fn(&Used) -> Instant) -> Figures {
    // A key may be refused before the one who revoked it hears of it.
    let took: Vec<_> = used.iter().map(|(revoked, used)| moment(used).saturating_duration_since(*revoked)).collect();
    let (took, mut figures) = (Sample::of(took), Figures::default());
    for (quantile, of) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        figures.set(&format!("{name}_{quantile}_ms"), took.quantile_ms(of));
    }
    figures
}

/// Revokes keys at the first gateway of `system` that are in use at the second.
async fn over_http(
    system: &System,
    company: &Company,
    trials: usize,
    progress: &Progress,
) -> Result<Figures, BoxError> {
    let [_, other, ..] = system.gateways.as_slice() else { return Err("a second gateway is needed".into()) };
    let Company { operator, tenant, .. } = company;
    let (bot, scope) = (PrincipalId::service_account(tenant, "bot"), format!("{tenant}/support"));
    let (mut took, mut since_sent, mut still_worked) = (Vec::new(), Vec::new(), Vec::new());
    for trial in 1..=trials {
        progress.say(&format!("revocation: {trial} of {trials}"));
        let key = company::issue(operator, tenant, &bot, &scope).await?;
        let call = Call::chat(other.address, &key.secret, MODEL, false);
        let (in_use, used) = oneshot::channel();
        let user = tokio::spawn(use_until_refused(call, in_use));
        if used.await.is_err() {
            user.await??;
            return Err("a key was refused before it was revoked".into());
        }
        let sent = Instant::now();
        company::command(operator, tenant, "key", "revoke", &json!({ "key": key.id, "reason": "bench" })).await?;
        let acknowledged = Instant::now();
        let Used { refused, last_good } = user.await??;
        // It may be refused before the one who revoked it hears of it.
        took.push(refused.saturating_duration_since(acknowledged));
        since_sent.push(refused.saturating_duration_since(sent));
        still_worked.push(last_good.saturating_duration_since(acknowledged));
    }
    let (took, since_sent, still_worked) = (Sample::of(took), Sample::of(since_sent), Sample::of(still_worked));
    let mut figures = Figures::default();
    figures.set("revocation.p50_ms", took.quantile_ms(0.5));
    figures.set("revocation.p99_ms", took.quantile_ms(0.99));
    figures.set("revocation.max_ms", took.quantile_ms(1.0));
    figures.set("revocation.since_sent_p50_ms", since_sent.quantile_ms(0.5));
    figures.set("revocation.since_sent_p99_ms", since_sent.quantile_ms(0.99));
    figures.set("revocation.still_worked_p99_ms", still_worked.quantile_ms(0.99));
    figures.set("revocation.still_worked_max_ms", still_worked.quantile_ms(1.0));
    figures.set("revocation.trials", trials as f64);
    Ok(figures)
}

/// What became of a key in use.
struct Used {
    /// When the first refusal arrived.
    refused: Instant,
    /// When the last call that was answered had been sent: a call may wait for its refusal.
    last_good: Instant,
}

/// Calls with a key until it is refused. Says once that the key is in use.
async fn use_until_refused(call: Call, in_use: oneshot::Sender<()>) -> Result<Used, BoxError> {
    let mut line = Line::connect(call.address).await?;
    let (mut in_use, mut calls, began) = (Some(in_use), 0, Instant::now());
    let mut last_good = began;
    while began.elapsed() < REFUSAL_TIME_MAX {
        let sent = Instant::now();
        match line.call(&call.bytes).await?.status {
            200 => (calls, last_good) = (calls + 1, sent),
            401 | 403 if calls >= CALLS_BEFORE => return Ok(Used { refused: Instant::now(), last_good }),
            429 | 503 => {}         // told to come back
            401 if calls == 0 => {} // what this gateway knows may be a little older than the key
            other => return Err(format!("a call with a key was answered {other}: {}", line.body()).into()),
        }
        if calls == CALLS_BEFORE
            && let Some(in_use) = in_use.take()
        {
            // Whoever waits for it may have given up.
            _ = in_use.send(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(format!("a revoked key still worked after {REFUSAL_TIME_MAX:?}").into())
}
