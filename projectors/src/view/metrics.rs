//! Metrics that are folded from the log, so that they survive restarts and count each event once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use serde::{Deserialize, Serialize};

use steward_events::BoxError;
use steward_events::commit::Recorded;
use steward_events::event::{AccessEvent, CallOutcome, DenialEvent, DenialKind, TaskEvent, UsageEvent};
use steward_events::id::TenantId;
use steward_events::quantity::{NanoDollars, Position, Shard};
use steward_events::timestamp::Timestamp;
use steward_queries::{Metrics as MetricsAnswer, MetricsQuery, TaskState};

use crate::engine::Engine;
use crate::engine::key::Key;
use crate::engine::projector::{Projector, reads};
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};
use crate::engine::rows::Rows;
use crate::engine::runner::Runner;
use crate::engine::view_store::Snapshot;

/// The name under which tenants beyond the limit of labels are summed.
const OTHER: &str = "other";

/// The read model.
pub struct MetricsView {
    rows: Arc<Runner<Metrics>>,
    shards: u16,
    tenants_labelled_max: usize,
}

impl MetricsView {
    /// Over the engine's log and store.
    pub fn new(engine: &Engine) -> Self {
        let (shards, tenants_labelled_max) = (engine.ports.log.shards(), engine.config.tenants_labelled_max);
        Self { rows: engine.runner(), shards, tenants_labelled_max }
    }

    /// A tenant's own sums; the reserved tenant's are those of all.
    async fn sums(&self, query: &Query<'_>) -> Result<Vec<(String, Sums)>, NoAnswer> {
        let tenant = query.tenant().clone();
        if !tenant.is_steward() {
            return Ok(self.rows.read(query.shard, None, move |rows| of_tenant(rows, &tenant)).await?);
        }
        let mut all = Vec::new();
        for shard in 0..self.shards {
            all.extend(self.rows.read(Shard(shard), None::<Position>, of_shard).await?);
        }
        Ok(all)
    }

    fn text(&self, sums: Vec<(String, Sums)>) -> Result<String, fmt::Error> {
        label(sums, self.tenants_labelled_max).text()
    }
}

#[async_trait]
impl ReadModel for MetricsView {
    fn nouns(&self) -> &'static [&'static str] {
        &["metrics"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        Some(Arc::<Runner<_>>::clone(&self.rows))
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        match query.verb() {
            "read" => {
                let MetricsQuery {} = query.read()?;
                let sums = self.sums(query).await?;
                query.write(&MetricsAnswer { text: self.text(sums).map_err(|error| NoAnswer::failed(&error))? })
            }
            _ => Err(query.unknown()),
        }
    }

    fn metrics_text(&self) -> Result<String, BoxError> {
        Ok(self.text(self.rows.peek(of_shard)?.into_iter().flatten().collect())?)
    }
}

/// The fold.
pub struct Metrics;

/// A tenant's sums, or the state of one of its unfinished tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricsRow {
    /// A tenant's sums.
    Tenant(Sums),
    /// A task that may still change its state.
    Task(TaskState),
}

/// What is counted for a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// When it was first counted: tenants are named in this order.
    pub since: Timestamp,
    /// Finished calls.
    pub calls: u64,
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// What was charged.
    pub cost: NanoDollars,
    /// Refusals, in the order of [`DenialKind::ALL`].
    pub denials: [u64; DenialKind::ALL.len()],
    /// Tasks, by state: waiting, running, finished, failed, cancelled.
    pub tasks: [u64; 5],
    /// Elevations that were approved by who asked.
    #[serde(default)]
    pub self_approvals: u64,
}

const STATES: [(TaskState, &str); 5] = [
    (TaskState::Waiting, "waiting"),
    (TaskState::Running, "running"),
    (TaskState::Finished, "finished"),
    (TaskState::Failed, "failed"),
    (TaskState::Cancelled, "cancelled"),
];

const fn place(state: TaskState) -> usize {
    match state {
        TaskState::Waiting => 0,
        TaskState::Running => 1,
        TaskState::Finished => 2,
        TaskState::Failed => 3,
        TaskState::Cancelled => 4,
    }
}

impl Projector for Metrics {
    const NAME: &'static str = "metrics-v4";
    const REPLACES: &'static [&'static str] = &["metrics-v1", "metrics-v2", "metrics-v3"];
    type Row = MetricsRow;

    reads!(Access => count_elevation, Usage => count_call, Task => count_task, Denials => count_denial);
}

/// Of the rules of access only what somebody must look at at once is counted.
fn count_elevation(event: &AccessEvent, recorded: &Recorded<'_>, rows: &mut Rows<MetricsRow>) {
    if let AccessEvent::ElevationApproved { self_approved: true, .. } = event {
        count(recorded, rows, |sums| sums.self_approvals = sums.self_approvals.saturating_add(1));
    }
}

fn count_call(event: &UsageEvent, recorded: &Recorded<'_>, rows: &mut Rows<MetricsRow>) {
    match event {
        // An attempt that a provider refused is no call; the one that followed it is.
        UsageEvent::CallFinished { outcome: CallOutcome::NotBilled { .. }, .. }
        | UsageEvent::CallStarted { .. }
        | UsageEvent::LeaseClosed { .. } => {}
        UsageEvent::CallFinished { tokens, cost, .. } => count(recorded, rows, |sums| {
            sums.calls = sums.calls.saturating_add(1);
            sums.input = sums.input.saturating_add(tokens.input.0);
            sums.output = sums.output.saturating_add(tokens.output.0);
            sums.cost = NanoDollars(sums.cost.0.saturating_add(cost.0));
        }),
    }
}

fn count_denial(event: &DenialEvent, recorded: &Recorded<'_>, rows: &mut Rows<MetricsRow>) {
    count(recorded, rows, |sums| match event {
        DenialEvent::Denied { kind, .. } => sums.deny(*kind, 1),
        DenialEvent::Spared { .. } => {}
        DenialEvent::LeftOut { kinds, .. } => kinds.iter().for_each(|(kind, count)| sums.deny(*kind, *count)),
    });
}

fn count_task(event: &TaskEvent, recorded: &Recorded<'_>, rows: &mut Rows<MetricsRow>) {
    let state = match event {
        TaskEvent::Submitted { .. } => TaskState::Waiting,
        TaskEvent::Claimed { .. } => TaskState::Running,
        TaskEvent::Finished { .. } => TaskState::Finished,
        TaskEvent::Failed { .. } => TaskState::Failed,
        TaskEvent::Cancelled { .. } => TaskState::Cancelled,
        TaskEvent::ClaimExtended { .. } | TaskEvent::StepStarted { .. } | TaskEvent::StepFinished { .. } => return,
    };
    turn(recorded, rows, state);
}

fn sums_key(tenant: &TenantId) -> Key {
    Key::of(tenant).text("sums")
}

fn count(recorded: &Recorded<'_>, rows: &mut Rows<MetricsRow>, change: impl FnOnce(&mut Sums)) {
    let fresh = || MetricsRow::Tenant(Sums { since: recorded.entry.at, ..Sums::default() });
    if let MetricsRow::Tenant(sums) = rows.row(&sums_key(&recorded.stream.tenant)).get_or_insert_with(fresh) {
        change(sums);
    }
}

/// A task that has ended is not kept: nothing follows.
fn turn(recorded: &Recorded<'_>, rows: &mut Rows<MetricsRow>, to: TaskState) {
    let row = rows.row(&Key::of(&recorded.stream.tenant).text("task").text(recorded.stream.id.as_str()));
    let from = match row {
        Some(MetricsRow::Task(from)) => Some(*from),
        Some(MetricsRow::Tenant(_)) | None => None,
    };
    let ended = matches!(to, TaskState::Finished | TaskState::Failed | TaskState::Cancelled);
    *row = (!ended).then_some(MetricsRow::Task(to));
    count(recorded, rows, |sums| {
        if let Some(from) = from {
            sums.tasks[place(from)] = sums.tasks[place(from)].saturating_sub(1);
        }
        sums.tasks[place(to)] = sums.tasks[place(to)].saturating_add(1);
    });
}

impl Sums {
    fn deny(&mut self, kind: DenialKind, count: u64) {
        if let Some(at) = DenialKind::ALL.iter().position(|known| *known == kind) {
            self.denials[at] = self.denials[at].saturating_add(count);
        }
    }

    fn add(&mut self, more: &Self) {
        self.calls = self.calls.saturating_add(more.calls);
        self.input = self.input.saturating_add(more.input);
        self.output = self.output.saturating_add(more.output);
        self.cost = NanoDollars(self.cost.0.saturating_add(more.cost.0));
        self.self_approvals = self.self_approvals.saturating_add(more.self_approvals);
        for (sum, more) in self.denials.iter_mut().zip(more.denials) {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in self.tasks.iter_mut().zip(more.tasks) {
            *sum = sum.saturating_add(more);
        }
    }
}

/// The sums of one tenant.
///
/// # Errors
/// If the store cannot be read.
pub fn of_tenant(rows: &Snapshot<'_>, tenant: &TenantId) -> Result<Vec<(String, Sums)>, BoxError> {
    Ok(match rows.get(&sums_key(tenant))? {
        Some(MetricsRow::Tenant(sums)) => vec![(tenant.to_string(), sums)],
        Some(MetricsRow::Task(_)) | None => Vec::new(),
    })
}

/// The sums of every tenant of a shard.
///
/// # Errors
/// If the store cannot be read.
pub fn of_shard(rows: &Snapshot<'_>) -> Result<Vec<(String, Sums)>, BoxError> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    while let Some(tenant) = rows.next_tenant(after.as_deref())? {
        if let Ok(tenant) = TenantId::new(&tenant) {
            all.extend(of_tenant(rows, &tenant)?);
        }
        after = Some(tenant);
    }
    Ok(all)
}

/// Names the tenants that were there first and sums the others, so that a tenant keeps its label while others come.
pub fn label(mut all: Vec<(String, Sums)>, tenants_labelled_max: usize) -> Labelled {
    all.sort_by(|(a, sums_a), (b, sums_b)| (sums_a.since, a).cmp(&(sums_b.since, b)));
    let mut labelled: BTreeMap<String, Sums> = BTreeMap::new();
    for (place, (tenant, sums)) in all.into_iter().enumerate() {
        let name = if place < tenants_labelled_max { tenant } else { OTHER.to_owned() };
        labelled.entry(name).or_default().add(&sums);
    }
    Labelled(Arc::new(labelled))
}

/// Sums by the value of the label `tenant`; a part of any registry.
#[derive(Clone, Debug)]
pub struct Labelled(Arc<BTreeMap<String, Sums>>);

impl Labelled {
    /// In the text format of OpenMetrics, which Prometheus reads.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Labelled {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        encode(&mut encoder, "steward_calls", "Finished calls", |one| {
            self.0.iter().try_for_each(|(tenant, sums)| one(&[("tenant", tenant)], Value::Count(sums.calls)))
        })?;
        encode(&mut encoder, "steward_tokens", "Tokens of finished calls", |one| {
            self.0.iter().try_for_each(|(tenant, sums)| {
                one(&[("tenant", tenant), ("direction", "input")], Value::Count(sums.input))?;
                one(&[("tenant", tenant), ("direction", "output")], Value::Count(sums.output))
            })
        })?;
        encode(&mut encoder, "steward_cost_dollars", "What finished calls were charged", |one| {
            self.0
                .iter()
                .try_for_each(|(tenant, sums)| one(&[("tenant", tenant)], Value::Dollars(sums.cost.as_dollars_f64())))
        })?;
        encode(&mut encoder, "steward_denials", "Refusals, those left out of the journal included", |one| {
            self.0.iter().try_for_each(|(tenant, sums)| {
                let kinds = DenialKind::ALL.iter().zip(sums.denials);
                kinds.into_iter().try_for_each(|(kind, count)| {
                    one(&[("tenant", tenant), ("kind", kind.as_str())], Value::Count(count))
                })
            })
        })?;
        encode(&mut encoder, "steward_self_approvals", "Elevations that were approved by who asked", |one| {
            let approved = self.0.iter().filter(|(_, sums)| sums.self_approvals > 0);
            approved
                .into_iter()
                .try_for_each(|(tenant, sums)| one(&[("tenant", tenant)], Value::Count(sums.self_approvals)))
        })?;
        encode(&mut encoder, "steward_tasks", "Tasks by state", |one| {
            self.0.iter().try_for_each(|(tenant, sums)| {
                STATES.iter().try_for_each(|(state, word)| {
                    one(&[("tenant", tenant), ("state", word)], Value::Level(sums.tasks[place(*state)]))
                })
            })
        })
    }
}

enum Value {
    Count(u64),
    Dollars(f64),
    Level(u64),
}

/// One value with its labels.
type One<'a> = &'a mut dyn FnMut(&[(&str, &str)], Value) -> fmt::Result;

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl FnOnce(One<'_>) -> fmt::Result,
) -> fmt::Result {
    use prometheus_client::metrics::MetricType;
    let kind = if name == "steward_tasks" { MetricType::Gauge } else { MetricType::Counter };
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    values(&mut |labels, value| {
        let one = family.encode_family(&labels)?;
        match value {
            Value::Count(count) => ConstCounter::new(count).encode(one),
            Value::Dollars(dollars) => ConstCounter::new(dollars).encode(one),
            Value::Level(level) => ConstGauge::new(i64::try_from(level).unwrap_or(i64::MAX)).encode(one),
        }
    })
}
