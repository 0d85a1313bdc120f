//! How many commands a second are decided: over NATS, in JSON, as a caller with a key, the log's acknowledgement awaited.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};
use steward_events::BoxError;
use steward_events::id::{CommandId, CorrelationId, PrincipalId, TenantId};
use steward_events::ids::Ids;
use steward_events::request::{Envelope, Format, Request};
use steward_jetstream::JetStreamBus;
use steward_ports::bus::CommandBus;
use steward_ports::clock::{Clock, RandomIds, SystemClock};

use super::company::{Company, MODEL};
use super::figures::Figures;
use super::sample::{Sample, nanos, rate};
use super::system::System;
use super::{Effort, Progress};

/// Commands in flight.
const IN_FLIGHT: u64 = 64;

/// Aggregates that each of them goes around.
const AGENTS_EACH: u64 = 16;

/// Measures commands in the tenant of `company`.
pub(super) async fn measure(
    system: &System,
    company: &Company,
    effort: &Effort,
    progress: &Progress,
) -> Result<Figures, BoxError> {
    let (key, credentials) = company.administrator(&system.place).await?;
    let bus = JetStreamBus::connect(&credentials).await?;
    let sender = Sender::new(Arc::new(bus), company.tenant.clone(), key.principal);
    // Each change is one: what is set to what it is decides nothing.
    let turn = Arc::new(AtomicU64::new(1));
    let tenant = company.tenant.to_string();
    let define = move |lane: u64, turn: u64| {
        let agent = format!("agent-{lane}-{}", turn % AGENTS_EACH);
        let spec = json!({ "model": MODEL, "instructions": format!("You answer briefly, {turn}.") });
        ("agent", "define", json!({ "agent": agent, "spec": spec }))
    };
    let limit = move |lane: u64, turn: u64| {
        let scope = format!("{tenant}/project-{lane}");
        ("budget", "set", json!({ "scope": scope, "limit": format!("{} calls", 1_000 + turn), "per": "day" }))
    };
    keep_sending(&sender, effort.span / 2, &turn, define).await?;
    let mut runs = Vec::new();
    for run in 1..=effort.runs {
        progress.say(&format!("commands: run {run} of {}", effort.runs));
        let mut figures = Figures::default();
        let many = keep_sending(&sender, effort.span, &turn, define).await?;
        figures.set("commands.per_s", many.0);
        figures.set("commands.p50_us", many.1.quantile_us(0.5));
        let hot = keep_sending(&sender, effort.span, &turn, limit.clone()).await?;
        figures.set("commands.hot_ledger_per_s", hot.0);
        figures.set("commands.hot_ledger_p50_us", hot.1.quantile_us(0.5));
        runs.push(figures);
    }
    Ok(Figures::of_runs(&runs))
}

/// Sends commands as one principal.
#[derive(Clone)]
pub(super) struct Sender {
    bus: Arc<JetStreamBus>,
    tenant: TenantId,
    principal: PrincipalId,
    clock: Arc<SystemClock>,
    ids: Arc<RandomIds>,
}

impl Sender {
    /// Over a connection as `principal`.
    pub(super) fn new(bus: Arc<JetStreamBus>, tenant: TenantId, principal: PrincipalId) -> Self {
        Self { bus, tenant, principal, clock: Arc::new(SystemClock::default()), ids: Arc::new(RandomIds::default()) }
    }

    /// Sends a command that changes something.
    pub(super) async fn send(&self, noun: &str, verb: &str, body: &Value) -> Result<(), BoxError> {
        let command = CommandId::new(self.ids.unique())?;
        let request = Request {
            tenant: self.tenant.clone(),
            principal: self.principal.clone(),
            noun: noun.to_owned(),
            verb: verb.to_owned(),
            envelope: Envelope {
                correlation: CorrelationId::new(command.as_str())?,
                command,
                issued_at: self.clock.now(),
                on_behalf_of: None,
                causation: None,
                traceparent: None,
            },
            format: Format::Json,
            body: body.to_string().into(),
        };
        let reply = self.bus.command(request).await?.into_result()?;
        if reply.events.is_empty() {
            return Err(format!("{noun}.{verb} decided nothing, so it measures nothing").into());
        }
        Ok(())
    }
}

/// Commands a second, and how long each took. `body` makes one of its lane and turn.
async fn keep_sending(
    sender: &Sender,
    span: Duration,
    turn: &Arc<AtomicU64>,
    body: impl Fn(u64, u64) -> (&'static str, &'static str, Value) + Clone + Send + 'static,
) -> Result<(f64, Sample), BoxError> {
    let began = Instant::now();
    let lanes = FuturesUnordered::new();
    for lane in 0..IN_FLIGHT {
        let (sender, body, turn) = (sender.clone(), body.clone(), Arc::clone(turn));
        lanes.push(async move {
            let mut took = Vec::new();
            while began.elapsed() < span {
                let (noun, verb, body) = body(lane, turn.fetch_add(1, Ordering::Relaxed));
                let sent = Instant::now();
                sender.send(noun, verb, &body).await?;
                took.push(nanos(sent.elapsed()));
            }
            Ok::<_, BoxError>(took)
        });
    }
    // One task for all lanes: waking one for each answer would make the load cost as much as what is measured.
    let took: Vec<Vec<u64>> = tokio::spawn(lanes.try_collect()).await??;
    let took = took.concat();
    Ok((rate(took.len() as u64, began.elapsed()), Sample::of_nanos(took)))
}
