//! What a model call costs: straight to the mock and through the gateway, in turns, in the same run.

#![allow(clippy::cast_precision_loss)] // rates

use std::time::{Duration, Instant};

use steward_events::BoxError;
use steward_events::quantity::Shard;
use steward_jetstream::{Connection, JetStreamLog, Role, provision};
use steward_ports::log::{EventLog, Filter};

use super::company::Company;
use super::figures::Figures;
use super::load::{Call, Line, Outcome, drive};
use super::machine;
use super::sample::{Sample, nanos};
use super::system::{Gateway, SHARDS, System, Upstream, until};
use super::{Effort, Progress};

/// Connections under full load.
pub(super) const CONNECTIONS: usize = 32;

/// Between two streams of a paced load.
const PACE: Duration = Duration::from_millis(50);

/// How long the cost report may take to show everything.
const REPORT_TIME_MAX: Duration = Duration::from_secs(60);

/// Measures one gateway of `system`.
pub(super) async fn measure(
    system: &System,
    upstream: &Upstream,
    company: &Company,
    effort: &Effort,
    progress: &Progress,
) -> Result<Figures, BoxError> {
    let gateway = system.gateways.first().ok_or("there is no gateway")?;
    let (admin, pids) = (system.place.connect(Role::Admin).await?, system.pids()?);
    let keeping = Company::keeping(gateway.operator(&system.place)?, "keeping").await?;
    kept(&keeping.call(gateway, false), upstream).await?;
    let bench = Bench { gateway, upstream, company, keeping, admin, pids, span: effort.span };
    let mut checks = Checks { books_before: calls(upstream).await?, ..Checks::default() };
    let reported_before = company.calls_reported().await?;
    // The first calls make connections and leases.
    for (stream, span) in [(false, effort.span), (true, effort.span / 2)] {
        checks.through(&drive(&company.call(gateway, stream), CONNECTIONS, span).await?);
    }
    let mut runs = Vec::new();
    for run in 1..=effort.runs {
        progress.say(&format!("gateway: run {run} of {}", effort.runs));
        runs.push(bench.run(&mut checks).await?);
    }
    let mut figures = Figures::of_runs(&runs);
    figures.set("gateway.refused", checks.refused as f64);
    // Once more under full load: how far are the projectors behind when it ends?
    checks.through(&drive(&company.call(gateway, false), CONNECTIONS, effort.span).await?);
    let ended = Instant::now();
    let wanted = reported_before + checks.through;
    let reported = until("the cost report shows all calls", REPORT_TIME_MAX, async || {
        let reported = company.calls_reported().await?;
        Ok((reported >= wanted).then_some(reported))
    });
    let reported = reported.await?;
    figures.set("projectors.lag_ms", nanos(ended.elapsed()) as f64 / 1e6);
    figures.count("checks.generator_calls", checks.through + checks.direct);
    figures.count("checks.gateway_calls", checks.through);
    figures.count("checks.upstream_calls", calls(upstream).await? - checks.books_before);
    figures.count("checks.reported_calls", reported - reported_before);
    Ok(figures)
}

/// Waits until a call is given the answer that was kept.
async fn kept(call: &Call, upstream: &Upstream) -> Result<(), BoxError> {
    until("an answer is kept", REPORT_TIME_MAX, async || {
        let mut line = Line::connect(call.address).await?;
        line.call(&call.bytes).await?;
        let before = calls(upstream).await?;
        line.call(&call.bytes).await?;
        Ok((calls(upstream).await? == before).then_some(()))
    })
    .await
}

async fn calls(upstream: &Upstream) -> Result<u64, BoxError> {
    let books = upstream.books().await?;
    Ok(books.whole + books.streamed)
}

/// What must agree in the end.
#[derive(Default)]
struct Checks {
    books_before: u64,
    direct: u64,
    through: u64,
    refused: u64,
}

impl Checks {
    fn through(&mut self, outcome: &Outcome) {
        self.through += outcome.calls;
        self.refused += outcome.refused;
    }
}

/// What calls cost.
struct Spent {
    /// Processor time of the gateway.
    gateway: Duration,
    /// Of all processes.
    all: Duration,
    /// Messages in the log.
    appends: u64,
    /// Their bytes.
    log_bytes: u64,
}

impl Spent {
    fn since(&self, before: &Self) -> Self {
        Self {
            gateway: self.gateway.saturating_sub(before.gateway),
            all: self.all.saturating_sub(before.all),
            appends: self.appends.saturating_sub(before.appends),
            log_bytes: self.log_bytes.saturating_sub(before.log_bytes),
        }
    }
}

/// How long the first bytes of streams took that are so far apart that processors sleep in between; the two in turns.
async fn paced(calls: [&Call; 2], span: Duration) -> Result<(Sample, Sample), BoxError> {
    let mut lines = [Line::connect(calls[0].address).await?, Line::connect(calls[1].address).await?];
    let mut took = [Vec::new(), Vec::new()];
    let (began, mut pace) = (Instant::now(), tokio::time::interval(PACE));
    while began.elapsed() < span {
        for ((call, line), took) in calls.iter().zip(&mut lines).zip(&mut took) {
            pace.tick().await;
            let answer = line.call(&call.bytes).await?;
            if answer.status != 200 {
                return Err(format!("a paced stream was answered {}: {}", answer.status, line.body()).into());
            }
            took.push(nanos(answer.first_byte));
        }
    }
    let [straight, through] = took;
    Ok((Sample::of_nanos(straight), Sample::of_nanos(through)))
}

struct Bench<'a> {
    gateway: &'a Gateway,
    upstream: &'a Upstream,
    company: &'a Company,
    /// One of which equal calls get the answer that was kept.
    keeping: Company,
    admin: Connection,
    pids: Vec<u32>,
    span: Duration,
}

impl Bench<'_> {
    async fn run(&self, checks: &mut Checks) -> Result<Figures, BoxError> {
        let mut figures = Figures::default();
        let direct = |stream| Call::chat(self.upstream.address, "none", "mock", stream);
        let through = |stream| self.company.call(self.gateway, stream);

        let straight = drive(&direct(false), CONNECTIONS, self.span).await?;
        let before = self.spent().await?;
        let loaded = drive(&through(false), CONNECTIONS, self.span).await?;
        let spent = self.spent().await?.since(&before);
        let a_call = |sum: f64| sum / loaded.calls.max(1) as f64;
        figures.set("gateway.direct_per_s", straight.per_s());
        figures.set("gateway.calls_per_s", loaded.per_s());
        figures.set("gateway.cpu_us_per_call", a_call(nanos(spent.gateway) as f64 / 1e3));
        figures.set("gateway.system_cpu_us_per_call", a_call(nanos(spent.all) as f64 / 1e3));
        figures.set("gateway.appends_per_call", a_call(spent.appends as f64));
        figures.set("gateway.log_bytes_per_call", a_call(spent.log_bytes as f64));
        figures.set("gateway.p50_us_at_32", loaded.whole.quantile_us(0.5));
        figures.set("gateway.p99_us_at_32", loaded.whole.quantile_us(0.99));
        checks.direct += straight.calls;
        checks.through(&loaded);

        let straight = drive(&direct(false), 1, self.span / 2).await?;
        let single = drive(&through(false), 1, self.span / 2).await?;
        let added = |quantile| single.whole.quantile_us(quantile) - straight.whole.quantile_us(quantile);
        figures.set("gateway.direct_p50_us", straight.whole.quantile_us(0.5));
        figures.set("gateway.added_p50_us", added(0.5));
        figures.set("gateway.added_p99_us", added(0.99));
        checks.direct += straight.calls;
        checks.through(&single);

        let kept = self.keeping.call(self.gateway, false);
        let given = drive(&kept, CONNECTIONS, self.span).await?;
        figures.set("gateway.kept_per_s", given.per_s());
        let given = drive(&kept, 1, self.span / 2).await?;
        figures.set("gateway.kept_p50_us", given.whole.quantile_us(0.5));
        figures.set("gateway.p50_us", single.whole.quantile_us(0.5));

        let straight = drive(&direct(true), CONNECTIONS, self.span).await?;
        let streams = drive(&through(true), CONNECTIONS, self.span).await?;
        figures.set("gateway.direct_streams_per_s", straight.per_s());
        figures.set("gateway.streams_per_s", streams.per_s());
        checks.direct += straight.calls;
        checks.through(&streams);

        let straight = drive(&direct(true), 1, self.span / 2).await?;
        let single = drive(&through(true), 1, self.span / 2).await?;
        let added = |quantile| single.first_byte.quantile_us(quantile) - straight.first_byte.quantile_us(quantile);
        figures.set("gateway.added_first_byte_p50_us", added(0.5));
        figures.set("gateway.added_first_byte_p99_us", added(0.99));
        checks.direct += straight.calls;
        checks.through(&single);

        let (straight, single) = paced([&direct(true), &through(true)], self.span * 2).await?;
        let added = single.quantile_us(0.5) - straight.quantile_us(0.5);
        figures.set("gateway.added_paced_first_byte_p50_us", added);
        checks.direct += straight.count();
        checks.through += single.count();
        Ok(figures)
    }

    /// What was spent so far.
    async fn spent(&self) -> Result<Spent, BoxError> {
        let states = provision::states(&self.admin).await?;
        let log = || states.iter().filter(|state| state.name.starts_with("EVT_"));
        Ok(Spent {
            gateway: machine::cpu(self.gateway.pid())?,
            all: machine::cpu_of(&self.pids)?,
            appends: log().map(|state| state.last).sum(),
            log_bytes: log().map(|state| state.bytes).sum(),
        })
    }
}

/// How many messages `log` holds, over all shards.
pub(super) async fn end(log: &JetStreamLog) -> Result<u64, BoxError> {
    let mut sum = 0;
    for shard in 0..SHARDS {
        sum += log.last(&Filter::shard(Shard(shard))).await?.0;
    }
    Ok(sum)
}
