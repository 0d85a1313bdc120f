//! What was spent: finished calls, summed by day and by everything that a call carries.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use steward_events::BoxError;
use steward_events::commit::Recorded;
use steward_events::event::{
    CallOutcome, LedgerEvent, PriceVersion, SavingCause, Savings, TenantEvent, UnsettledCall, UsageEvent,
};
use steward_events::id::{CallId, LeaseId, TenantId};
use steward_events::quantity::{NanoDollars, Window};
use steward_events::rejection::Rejection;
use steward_events::scope::{InvalidScope, Scope, ScopeSet};
use steward_events::timestamp::Timestamp;
use steward_events::window;
use steward_queries::{CostBy, CostQuery, CostReport as Report, CostRow, CostSums, ReportDay};

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

/// The fold: one cell for each day and combination of scope, principal, key, model, agent and task; and what is needed to
/// know the days, and to book calls that a crash cut.
pub struct CostReport;

/// What is kept under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CostCell {
    /// Sums.
    Sums(Cell),
    /// The tenant's time zone.
    Zone(String),
    /// For whom an open lease pays.
    Lease(ScopeSet),
    /// A call that was cut, and stands with the most that it can have cost in the cell of this key.
    Cut(Vec<u8>, NanoDollars),
}

/// The sums of one cell, and the prices they were charged at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    sums: CostSums,
    prices: Vec<PriceVersion>,
    savings: Savings,
}

impl Projector for CostReport {
    const NAME: &'static str = "cost-report-v3";
    const REPLACES: &'static [&'static str] = &["cost-report-v2"];
    type Row = CostCell;

    reads!(Tenant => open, Ledger => book, Usage => charge);
}

/// What is counted from now on falls on days of this zone; days that were counted stay.
fn open(event: &TenantEvent, recorded: &Recorded<'_>, rows: &mut Rows<CostCell>) {
    let timezone = match event {
        TenantEvent::Created { timezone, .. } => timezone,
        TenantEvent::SettingsChanged { settings, .. } => &settings.timezone,
        // Whoever adds an event that says a time zone adds it here.
        _ => return,
    };
    *rows.row(&zone_key(&recorded.stream.tenant)) = Some(CostCell::Zone(timezone.clone()));
}

/// A call whose end was not recorded when its lease ended was cut: it stands with its worst case until its end is known.
fn book(event: &LedgerEvent, recorded: &Recorded<'_>, rows: &mut Rows<CostCell>) {
    let tenant = &recorded.stream.tenant;
    match event {
        LedgerEvent::LeaseGranted { lease, scopes, .. } => {
            *rows.row(&lease_key(tenant, lease)) = Some(CostCell::Lease(scopes.clone()));
        }
        LedgerEvent::LeaseEnded { lease, unsettled, .. } => {
            let Some(CostCell::Lease(scopes)) = rows.row(&lease_key(tenant, lease)).take() else { return };
            // What an estimate left open is no call: that is counted.
            for UnsettledCall { call, worst } in unsettled.iter().filter(|call| call.worst.calls > 0) {
                let cell = cell_key(rows, tenant, recorded.entry.at, &scopes);
                let (cost, estimated_cost) = (worst.money, worst.money);
                let cut = CostSums { calls: 1, estimated: 1, cost, estimated_cost, ..CostSums::default() };
                change_cell(rows, &cell, |cell| add(&mut cell.sums, &cut));
                *rows.row(&cut_key(tenant, call)) = Some(CostCell::Cut(cell.as_bytes().to_vec(), worst.money));
            }
        }
        LedgerEvent::LeaseCorrected { call, .. } => {
            let Some(CostCell::Cut(cell, worst)) = rows.row(&cut_key(tenant, call)).take() else { return };
            change_cell(rows, &Key::from_bytes(cell), |Cell { sums, .. }| {
                sums.calls = sums.calls.saturating_sub(1);
                sums.estimated = sums.estimated.saturating_sub(1);
                sums.cost = NanoDollars(sums.cost.0.saturating_sub(worst.0));
                sums.estimated_cost = NanoDollars(sums.estimated_cost.0.saturating_sub(worst.0));
            });
        }
        LedgerEvent::BudgetSet { .. }
        | LedgerEvent::BudgetRemoved { .. }
        | LedgerEvent::LeaseRenewed { .. }
        | LedgerEvent::LeaseRecalled { .. }
        | LedgerEvent::RequestQueued { .. }
        | LedgerEvent::RequestDequeued { .. }
        | LedgerEvent::ThresholdCrossed { .. } => {}
    }
}

fn charge(event: &UsageEvent, recorded: &Recorded<'_>, rows: &mut Rows<CostCell>) {
    match event {
        UsageEvent::CallFinished { context, tokens, cost, outcome, late, unpriced, source, saved, savings, .. } => {
            let key = cell_key(rows, &recorded.stream.tenant, recorded.entry.at, &context.scopes);
            if matches!(outcome, CallOutcome::NotBilled { .. }) {
                let attempt = CostSums { not_billed: 1, ..CostSums::default() };
                return change_cell(rows, &key, |cell| add(&mut cell.sums, &attempt));
            }
            let is_estimated = matches!(outcome, CallOutcome::Estimated { .. });
            let finished = CostSums {
                calls: 1,
                input: tokens.input.0,
                cached: tokens.cached.0,
                output: tokens.output.0,
                cost: *cost,
                estimated: u64::from(is_estimated),
                estimated_cost: if is_estimated { *cost } else { NanoDollars(0) },
                late: late.money,
                reasoning: tokens.reasoning.0,
                unpriced: u64::from(!unpriced.is_empty()),
                not_billed: 0,
            };
            change_cell(rows, &key, |cell| {
                add(&mut cell.sums, &finished);
                cell.note(&context.price);
                cell.savings.add_all(savings);
                if let Some(cause) = SavingCause::of(source) {
                    cell.savings.add(cause, (*saved).into());
                }
            });
        }
        UsageEvent::CallStarted { .. } | UsageEvent::LeaseClosed { .. } => {}
    }
}

/// Changes the cell at this key, which is made if there is none.
fn change_cell(rows: &mut Rows<CostCell>, key: &Key, change: impl FnOnce(&mut Cell)) {
    if let CostCell::Sums(cell) = rows.row(key).get_or_insert_with(|| CostCell::Sums(Cell::default())) {
        change(cell);
    }
}

impl Cell {
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
    let plus = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
    plus(&mut sums.calls, more.calls);
    plus(&mut sums.input, more.input);
    plus(&mut sums.cached, more.cached);
    plus(&mut sums.output, more.output);
    plus(&mut sums.cost.0, more.cost.0);
    plus(&mut sums.estimated, more.estimated);
    plus(&mut sums.estimated_cost.0, more.estimated_cost.0);
    plus(&mut sums.late.0, more.late.0);
    plus(&mut sums.reasoning, more.reasoning);
    plus(&mut sums.unpriced, more.unpriced);
    plus(&mut sums.not_billed, more.not_billed);
}

fn zone_key(tenant: &TenantId) -> Key {
    Key::of(tenant).text("zone")
}

fn lease_key(tenant: &TenantId, lease: &LeaseId) -> Key {
    Key::of(tenant).text("lease").text(&lease.to_string())
}

fn cut_key(tenant: &TenantId, call: &CallId) -> Key {
    Key::of(tenant).text("cut").text(call.as_str())
}

/// The number of the day in that time zone, 1970-01-01 being 0.
fn day(at: Timestamp, zone: &str) -> u64 {
    const SECONDS: i64 = 86_400;
    let Some(zone) = (zone != "UTC").then(|| TimeZone::get(zone).ok()).flatten() else {
        return at.0 / DAY_MICROSECONDS;
    };
    let moment = at.to_jiff();
    let local = moment.as_second().saturating_add(i64::from(zone.to_offset(moment).seconds()));
    u64::try_from(local.div_euclid(SECONDS)).unwrap_or(0)
}

/// Days begin with a number, whose first byte is zero; names of other rows with a letter.
fn cell_key(rows: &mut Rows<CostCell>, tenant: &TenantId, at: Timestamp, scopes: &ScopeSet) -> Key {
    let day = day(at, rows.keep(&zone_key(tenant)).map_or("UTC", zone_of));
    Key::of(tenant)
        .number(day)
        .text(scopes.path.as_str())
        .text(scopes.principal.as_str())
        .text(scopes.key.as_str())
        .text(scopes.model.as_str())
        .text(scopes.agent.as_ref().map_or("", AsRef::as_ref))
        .text(scopes.task.as_ref().map_or("", AsRef::as_ref))
}

fn zone_of(row: &CostCell) -> &str {
    if let CostCell::Zone(zone) = row { zone } else { "UTC" }
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

/// The day that a report begins or ends with. A moment within a day is refused: the sums are by day, and no report is of
/// another span than was asked for.
fn number_of(field: &str, asked: ReportDay, zone: &str) -> Result<u64, Rejection> {
    let moment = match asked {
        ReportDay::Day(date) => {
            let hours = date.duration_since(Date::constant(1970, 1, 1)).as_hours();
            return Ok(u64::try_from(hours / 24).unwrap_or(0));
        }
        ReportDay::Moment(moment) => moment,
    };
    let (begins, next) = window::bounds(Window::Day, moment, zone);
    if begins == moment {
        return Ok(day(moment, zone));
    }
    let next = next.map_or_else(String::new, |next| format!(" or {next}"));
    let reason = format!(
        "is within a day, and costs are summed by whole days of the tenant ({zone}): write a day such as 2026-11-30, or the \
         moment at which one begins, here {begins}{next}"
    );
    Err(Rejection::invalid(field, reason))
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
    let (mut total, mut savings) = (CostSums::default(), Savings::default());
    let mut too_many = false;
    let tenants = Key::of(tenant);
    let zone = rows.get::<CostCell>(&zone_key(tenant))?;
    let zone = zone.as_ref().map_or("UTC", zone_of);
    let bound = |field: &str, day: Option<ReportDay>| day.map(|day| number_of(field, day, zone)).transpose();
    let (since, until) = match (bound("since", query.since), bound("until", query.until)) {
        (Ok(since), Ok(until)) => (since, until),
        (Err(rejection), _) | (_, Err(rejection)) => return Ok(Err(rejection)),
    };
    let after = since.and_then(|day| day.checked_sub(1)).map(|before| Key::of(tenant).number(before).end());
    rows.scan::<CostCell>(&tenants, after.as_ref(), |key, row| {
        // Behind the days stand rows of other kinds.
        let (CostCell::Sums(cell), Some(parts)) = (row, Parts::of(key, tenant)) else { return false };
        if until.is_some_and(|until| parts.day >= until) {
            return false;
        }
        if !parts.scope().is_ok_and(|scope| seen(&scope)) {
            return true;
        }
        add(&mut total, &cell.sums);
        savings.add_all(&cell.savings);
        let group = groups.entry(query.by.iter().map(|by| parts.value(*by)).collect()).or_default();
        add(&mut group.sums, &cell.sums);
        group.savings.add_all(&cell.savings);
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
            savings: cell.savings,
        })
        .collect();
    // Stable: rows that cost the same stay in the order of their values.
    report_rows.sort_by_key(|row| std::cmp::Reverse(row.sums.cost));
    Ok(Ok(Report { position: rows.position(), rows: report_rows, total, savings }))
}
