//! How figures change when there is more of something: tenants, keys, grants, events, gateways.

#![allow(clippy::cast_precision_loss)] // figures for people

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::json;
use steward_events::BoxError;
use steward_events::id::{PrincipalId, TenantId};
use steward_jetstream::Role;
use steward_ports::log::EventLog;

use super::chain::write_calls;
use super::company::{self, Company};
use super::figures::Figures;
use super::gateway::{CONNECTIONS, end};
use super::load::drive;
use super::plot::Series;
use super::process::Up;
use super::replay::EVENTS_A_COMMIT;
use super::sample::{median, nanos};
use super::system::{InstallationFolder, System, Upstream};
use super::{Effort, Progress};
use steward_node::config::{Config, Durability};

/// Commands in flight while a company grows.
const COMMANDS_AT_ONCE: usize = 32;

/// Accounts that grants are spread over.
const ACCOUNTS: u64 = 100;

/// What a company may have more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holding {
    Tenants,
    Keys,
    Grants,
}

/// Everything that growth is measured with.
pub(super) struct Growth<'a> {
    /// Where folders are made.
    pub(super) root: &'a Path,
    /// Of this process: which nats-server.
    pub(super) config: &'a Config,
    /// The mock.
    pub(super) upstream: &'a Upstream,
    /// How long and how often.
    pub(super) effort: Effort,
    /// True for small numbers.
    pub(super) quick: bool,
    /// For who waits.
    pub(super) progress: &'a Progress,
}

/// Lines of one picture.
type Lines = Vec<(String, Vec<(f64, f64)>)>;

impl Growth<'_> {
    /// Measures all of it.
    pub(super) async fn measure(&self) -> Result<(Figures, Vec<Series>), BoxError> {
        let (mut calls, mut times, mut memory) = (Lines::new(), Lines::new(), Lines::new());
        for (holding, name) in [(Holding::Tenants, "tenants"), (Holding::Keys, "keys"), (Holding::Grants, "grants")] {
            let points = self.holding(holding, name).await?;
            let line = |value: fn(&Point) -> f64| {
                (name.to_owned(), points.iter().map(|point| (point.count as f64, value(point))).collect())
            };
            calls.push(line(|point| point.calls_per_s));
            times.push(line(|point| point.p50_us));
            memory.push(line(|point| point.rss_mib));
        }
        let (figures, ready) = self.events().await?;
        let gateways = self.gateways().await?;
        let count = "tenants, keys or grants";
        let mut all = vec![
            series("calls", "Calls a second at 32 connections", count, "calls/s", calls),
            series("times", "A call at one connection, p50", count, "µs", times),
            series("memory", "Memory of the gateway", count, "MiB", memory),
            series("ready", "`steward up` until ready", "events in the log", "ms", ready),
        ];
        let about = [
            ("gateways-calls", "Calls a second over all gateways, 32 connections", "calls/s"),
            ("gateways-cpu", "Processor time of the gateways a call", "µs"),
            ("gateways-appends", "Appends to the log a call", "appends"),
        ];
        for ((name, title, unit), points) in about.into_iter().zip(gateways) {
            let line = (unit.to_owned(), points);
            all.push(Series { by_factors: false, ..series(name, title, "gateways", unit, vec![line]) });
        }
        Ok((figures, all))
    }

    /// What a call costs when there is more and more of `holding`.
    async fn holding(&self, holding: Holding, name: &str) -> Result<Vec<Point>, BoxError> {
        let levels: &[u64] = if self.quick { &[10, 40] } else { &[10, 100, 1_000, 10_000] };
        let (system, company) = self.start(&format!("growth-{name}")).await?;
        let gateway = system.gateways.first().ok_or("there is no gateway")?;
        let (mut there, mut points) = (0, Vec::new());
        for &count in levels {
            self.progress.say(&format!("growth: {count} {name}"));
            self.add(&company, holding, there..count).await?;
            there = count;
            let call = company.call(gateway, false);
            drive(&call, CONNECTIONS, self.effort.span / 2).await?;
            let (mut rates, mut times) = (Vec::new(), Vec::new());
            for _ in 0..self.effort.runs {
                rates.push(drive(&call, CONNECTIONS, self.effort.span / 2).await?.per_s());
                times.push(drive(&call, 1, self.effort.span / 4).await?.whole.quantile_us(0.5));
            }
            let rss_mib = super::machine::rss_mib(gateway.pid())?;
            points.push(Point { count, calls_per_s: median(rates), p50_us: median(times), rss_mib });
        }
        Ok(points)
    }

    /// Makes those of `holding` with these numbers.
    async fn add(&self, company: &Company, holding: Holding, numbers: std::ops::Range<u64>) -> Result<(), BoxError> {
        let Company { operator, tenant, .. } = company;
        if holding == Holding::Grants && numbers.start == 0 {
            let accounts = stream::iter(0..ACCOUNTS).map(|number| async move {
                let body = json!({ "name": format!("bot-{number}") });
                company::command(operator, tenant, "account", "create", &body).await
            });
            accounts.buffer_unordered(COMMANDS_AT_ONCE).try_collect::<Vec<_>>().await?;
        }
        let commands = stream::iter(numbers).map(|number| async move {
            match holding {
                Holding::Tenants => {
                    let body = json!({ "tenant": format!("t{number}"), "timezone": "UTC" });
                    company::command(operator, &TenantId::steward(), "tenant", "create", &body).await?;
                }
                Holding::Keys => {
                    let bot = PrincipalId::service_account(tenant, "bot");
                    company::issue(operator, tenant, &bot, &format!("{tenant}/support")).await?;
                }
                Holding::Grants => {
                    let to = PrincipalId::service_account(tenant, &format!("bot-{}", number % ACCOUNTS));
                    let on = format!("{tenant}/project-{}", number / ACCOUNTS);
                    let body = json!({ "to": to, "role": "agent", "on": on });
                    company::command(operator, tenant, "grant", "give", &body).await?;
                }
            }
            Ok::<_, BoxError>(())
        });
        commands.buffer_unordered(COMMANDS_AT_ONCE).try_collect().await
    }

    /// How soon `steward up` is ready on a longer and longer log, with its views and without.
    async fn events(&self) -> Result<(Figures, Lines), BoxError> {
        let levels: &[u64] = if self.quick { &[1_024, 10_240] } else { &[10_240, 102_400, 1_003_520] };
        let (mut rebuilt, mut kept, mut figures) = (Vec::new(), Vec::new(), Figures::default());
        for &count in levels {
            self.progress.say(&format!("growth: {count} events"));
            let place = InstallationFolder::make(
                self.root,
                &format!("growth-events-{count}"),
                Durability::ProcessCrash,
                self.config,
            )?;
            let bus = place.start_bus().await?;
            let log: Arc<dyn EventLog> = Arc::new(place.log(Role::Aggregates).await?);
            write_calls(&log, "gw", count, EVENTS_A_COMMIT).await?;
            drop((log, bus));
            let mut ready = |points: &mut Vec<_>, name: &str, ms: f64| {
                points.push((count as f64, ms));
                if count > 1_000_000 {
                    figures.set(name, ms);
                }
            };
            let without_views = Up::start(&place).await?.ready_ms;
            ready(&mut rebuilt, "process.ready_million_rebuild_ms", without_views);
            let with_views = Up::start(&place).await?.ready_ms;
            ready(&mut kept, "process.ready_million_ms", with_views);
        }
        Ok((figures, vec![("with its views".to_owned(), kept), ("rebuilding its views".to_owned(), rebuilt)]))
    }

    /// Calls a second, processor time and appends a call with 1, 2 and 4 gateways.
    async fn gateways(&self) -> Result<[Vec<(f64, f64)>; 3], BoxError> {
        let (mut system, company) = self.start("growth-gateways").await?;
        let log = system.place.log(Role::Projectors).await?;
        let mut points: [Vec<(f64, f64)>; 3] = Default::default();
        for count in if self.quick { vec![1, 2] } else { vec![1, 2, 4] } {
            self.progress.say(&format!("growth: {count} gateways"));
            system.ensure_gateways(count).await?;
            load_all(&system, &company, self.effort.span / 2).await?;
            let mut runs: [Vec<f64>; 3] = Default::default();
            for _ in 0..self.effort.runs {
                let (cpu, appends) = (cpu(&system)?, end(&log).await?);
                let (calls, per_s) = load_all(&system, &company, self.effort.span).await?;
                let (cpu, appends) = (self::cpu(&system)?.saturating_sub(cpu), end(&log).await? - appends);
                let calls = calls.max(1) as f64;
                let values = [per_s, nanos(cpu) as f64 / 1e3 / calls, appends as f64 / calls];
                runs.iter_mut().zip(values).for_each(|(run, value)| run.push(value));
            }
            for (line, run) in points.iter_mut().zip(runs) {
                line.push((count as f64, median(run)));
            }
        }
        Ok(points)
    }

    async fn start(&self, name: &str) -> Result<(System, Company), BoxError> {
        let place = InstallationFolder::make(self.root, name, Durability::ProcessCrash, self.config)?;
        let system = System::start(place, 1).await?;
        let operator = system.gateways.first().ok_or("there is no gateway")?.operator(&system.place)?;
        let company = Company::make(operator, self.upstream, "acme").await?;
        Ok((system, company))
    }
}

/// What a call cost when there were so many.
struct Point {
    count: u64,
    calls_per_s: f64,
    p50_us: f64,
    rss_mib: f64,
}

/// The processor time that all gateways have used.
fn cpu(system: &System) -> Result<Duration, BoxError> {
    system.gateways.iter().map(|gateway| super::machine::cpu(gateway.pid())).sum()
}

/// Calls through all gateways at once, their connections shared out; how many, and how many a second.
async fn load_all(system: &System, company: &Company, span: Duration) -> Result<(u64, f64), BoxError> {
    let each = (CONNECTIONS / system.gateways.len()).max(1);
    let loads = system.gateways.iter().map(|gateway| {
        let call = company.call(gateway, false);
        async move { drive(&call, each, span).await }
    });
    let outcomes = futures::future::try_join_all(loads).await?;
    Ok((outcomes.iter().map(|one| one.calls).sum(), outcomes.iter().map(super::load::Outcome::per_s).sum()))
}

fn series(name: &str, title: &str, x: &str, y: &str, lines: Lines) -> Series {
    let [name, title, x, y] = [name, title, x, y].map(str::to_owned);
    Series { name, title, x, y, by_factors: true, lines }
}
