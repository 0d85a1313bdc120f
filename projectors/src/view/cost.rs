//! What was spent: finished calls, summed by day and by everything that a call carries.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use steward_events::BoxError;
use steward_events::commit::Recorded;
use steward_events::event::{CallOutcome, PriceVersion, TokenUsage, UsageEvent};
use steward_events::id::TenantId;
use steward_events::quantity::NanoDollars;
use steward_events::query::{CostBy, CostQuery, CostReport as Report, CostRow, CostSums};
use steward_events::rejection::Rejection;
use steward_events::scope::{InvalidScope, Scope, ScopeSet};
use steward_events::timestamp::Timestamp;

use crate::engine::Engine;
use crate::engine::key::Key;
use crate::engine::projector::{Projector, reads};
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};
use crate::engine::rows::Rows;
use crate::engine::runner::Runner;
use crate::engine::view_store::Snapshot;

/// The most rows of one report.
pub const REPORT_ROWS_MAX: usize = 10_000;

const DAY_MICROSECONDS: u64 = 86_400_000_000;

/// The read model.
pub struct CostView {
    rows: Arc<Runner<CostReport>>,
}

impl CostView {
    /// Over the engine's log and store.
    pub fn new(engine: &Engine) -> Self {
        Self { rows: engine.runner() }
    }
}

#[async_trait]
impl ReadModel for CostView {
    fn nouns(&self) -> &'static [&'static str] {
        &["cost"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        Some(Arc::<Runner<_>>::clone(&self.rows))
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        match query.verb() {
            "report" => {
                let asked: CostQuery = query.read()?;
                let (tenant, min_position, sight) = (query.tenant().clone(), asked.min_position, query.sight.clone());
                let seen = move |scope: &Scope| sight.covers(scope);
                let read = self.rows.read(query.shard, min_position, move |rows| report(rows, &tenant, &asked, seen));
                query.write(&read.await??)
            }
            _ => Err(query.unknown()),
        }
    }
}

/// The fold: one cell for each day and combination of scope, principal, key, model, agent and task.
pub struct CostReport;

/// The sums of one cell, and the prices they were charged at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    sums: CostSums,
    prices: Vec<PriceVersion>,
}

impl Projector for CostReport {
    const NAME: &'static str = "cost-report-v2";
    type Row = Cell;

    reads!(Usage => charge);
}

fn charge(event: &UsageEvent, recorded: &Recorded<'_>, rows: &mut Rows<Cell>) {
    match event {
        UsageEvent::CallFinished { context, tokens, cost, outcome, .. } => {
            let key = key(&recorded.stream.tenant, recorded.entry.at, &context.scopes);
            rows.row(&key).get_or_insert_default().charge(tokens, *cost, &context.price, outcome);
        }
        UsageEvent::CallStarted { .. } | UsageEvent::LeaseClosed { .. } => {}
    }
}

impl Cell {
    fn charge(&mut self, tokens: &TokenUsage, cost: NanoDollars, price: &PriceVersion, outcome: &CallOutcome) {
        let estimated = matches!(outcome, CallOutcome::Estimated { .. });
        add(
            &mut self.sums,
            &CostSums {
                calls: 1,
                input: tokens.input.0,
                cached: tokens.cached.0,
                output: tokens.output.0,
                cost,
                estimated: u64::from(estimated),
            },
        );
        self.note(price);
    }

    /// Prices stand in the order of model and beginning, whatever order they came in.
    fn note(&mut self, price: &PriceVersion) {
        let place = self.prices.binary_search_by(|known| (&known.model, known.from).cmp(&(&price.model, price.from)));
        if let Err(place) = place {
            self.prices.insert(place, price.clone());
        }
    }
}

/// Saturating: a hostile provider's numbers must not wrap.
fn add(sums: &mut CostSums, more: &CostSums) {
    sums.calls = sums.calls.saturating_add(more.calls);
    sums.input = sums.input.saturating_add(more.input);
    sums.cached = sums.cached.saturating_add(more.cached);
    sums.output = sums.output.saturating_add(more.output);
    sums.cost = NanoDollars(sums.cost.0.saturating_add(more.cost.0));
    sums.estimated = sums.estimated.saturating_add(more.estimated);
}

const fn day(at: Timestamp) -> u64 {
    at.0 / DAY_MICROSECONDS
}

fn key(tenant: &TenantId, at: Timestamp, scopes: &ScopeSet) -> Key {
    Key::of(tenant)
        .number(day(at))
        .text(scopes.path.as_str())
        .text(scopes.principal.as_str())
        .text(scopes.key.as_str())
        .text(scopes.model.as_str())
        .text(scopes.agent.as_ref().map_or("", AsRef::as_ref))
        .text(scopes.task.as_ref().map_or("", AsRef::as_ref))
}

/// What a key says, after the tenant.
struct Parts<'a> {
    day: u64,
    texts: [&'a str; 6],
}

impl<'a> Parts<'a> {
    fn of(key: &'a [u8], tenant: &TenantId) -> Option<Self> {
        let (day, texts) = key.get(tenant.as_str().len() + 1..)?.split_first_chunk::<8>()?;
        let mut rest = std::str::from_utf8(texts).ok()?.split('\0');
        let mut texts = [""; 6];
        for text in &mut texts {
            *text = rest.next()?;
        }
        Some(Self { day: u64::from_be_bytes(*day), texts })
    }

    /// Where its calls were booked.
    fn scope(&self) -> Result<Scope, InvalidScope> {
        self.texts[0].parse()
    }

    fn value(&self, by: CostBy) -> String {
        let [scope, principal, key, model, agent, task] = self.texts;
        let text = match by {
            CostBy::Day => {
                let midnight = Timestamp(self.day.saturating_mul(DAY_MICROSECONDS)).to_string();
                return midnight.split('T').next().unwrap_or_default().to_owned();
            }
            CostBy::Project => scope.split('/').nth(1).unwrap_or(""),
            CostBy::Principal => principal,
            CostBy::Key => key,
            CostBy::Model => model,
            CostBy::Agent => agent,
            CostBy::Task => task,
        };
        if text.is_empty() { "-".to_owned() } else { text.to_owned() }
    }
}

const fn word(by: CostBy) -> &'static str {
    match by {
        CostBy::Project => "project",
        CostBy::Principal => "principal",
        CostBy::Key => "key",
        CostBy::Model => "model",
        CostBy::Agent => "agent",
        CostBy::Task => "task",
        CostBy::Day => "day",
    }
}

/// Answers `query` about `tenant` from the rows of the scopes that are `seen`.
///
/// # Errors
/// If the store cannot be read; within, [`Rejection::Invalid`] for a report of too many rows.
pub fn report(
    rows: &Snapshot<'_>,
    tenant: &TenantId,
    query: &CostQuery,
    seen: impl Fn(&Scope) -> bool,
) -> Result<Result<Report, Rejection>, BoxError> {
    let mut groups: BTreeMap<Vec<String>, Cell> = BTreeMap::new();
    let mut total = CostSums::default();
    let mut too_many = false;
    let tenants = Key::of(tenant);
    let since = query.since.map(day).and_then(|day| day.checked_sub(1));
    let after = since.map(|before| Key::of(tenant).number(before).end());
    let until = query.until.map(day);
    rows.scan::<Cell>(&tenants, after.as_ref(), |key, cell| {
        let Some(parts) = Parts::of(key, tenant) else { return true };
        if until.is_some_and(|until| parts.day >= until) {
            return false;
        }
        if !parts.scope().is_ok_and(|scope| seen(&scope)) {
            return true;
        }
        add(&mut total, &cell.sums);
        let group = groups.entry(query.by.iter().map(|by| parts.value(*by)).collect()).or_default();
        add(&mut group.sums, &cell.sums);
        cell.prices.iter().for_each(|price| group.note(price));
        too_many = groups.len() > REPORT_ROWS_MAX;
        !too_many
    })?;
    if too_many {
        let reason =
            format!("the report has more than {REPORT_ROWS_MAX} rows: split by fewer parts, or choose fewer days");
        return Ok(Err(Rejection::invalid("by", reason)));
    }
    let mut report_rows: Vec<CostRow> = groups
        .into_iter()
        .map(|(values, cell)| CostRow {
            by: query.by.iter().map(|by| word(*by).to_owned()).zip(values).collect(),
            sums: cell.sums,
            prices: cell.prices.iter().map(ToString::to_string).collect(),
        })
        .collect();
    // Stable: rows that cost the same stay in the order of their values.
    report_rows.sort_by_key(|row| std::cmp::Reverse(row.sums.cost));
    Ok(Ok(Report { position: rows.position(), rows: report_rows, total }))
}
