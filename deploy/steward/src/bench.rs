//! `steward bench`: Steward's figures, each beside its baseline of the same run.
//!
//! A mock upstream, a nats-server and Steward's roles run as processes of their own in a temporary folder, with
//! everything on: keys, permissions, a hard budget, both acknowledgements of a call awaited, projectors following. The
//! load generator is this process. One file a thing that is measured (`gateway`, `commands`, `log` …); `figures` is the
//! table of what each figure means and what it should be; `report` and `plot` show them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use steward_events::BoxError;

use crate::config::{Config, Durability};
use company::Company;
use figures::{Figures, STRICT};
use machine::Machine;
use report::Report;
use system::{Place, System, Upstream};

mod commands;
mod company;
mod figures;
mod gateway;
mod http;
mod load;
mod log;
mod machine;
pub(crate) mod part;
mod plot;
mod process;
mod report;
mod sample;
mod system;
mod upstream;

/// What can be measured, in the order in which it is.
pub(crate) const PARTS: &[(&str, &str)] = &[
    ("gateway", "model calls and streams, against the mock itself"),
    ("commands", "commands over many aggregates and on one ledger"),
    ("log", "appends, against the bare client"),
    ("process", "how soon `steward up` is ready, and its memory"),
    ("strict", "gateway and log again with durability = \"strict\""),
];

/// What to measure and how long.
pub(crate) struct Options {
    /// Names of [`PARTS`]; all but growth if empty.
    pub(crate) only: Vec<String>,
    /// Growth too, which takes long.
    pub(crate) growth: bool,
    /// Short: to see that it works.
    pub(crate) quick: bool,
    /// Where the processes keep their files; a temporary folder, removed in the end, if not given.
    pub(crate) out: Option<PathBuf>,
}

/// How long and how often.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// Runs of which medians are taken.
    runs: usize,
    /// How long one measurement of one run takes.
    span: Duration,
}

impl Effort {
    const fn new(quick: bool) -> Self {
        if quick {
            Self { runs: 1, span: Duration::from_millis(400) }
        } else {
            Self { runs: 3, span: Duration::from_secs(3) }
        }
    }
}

/// What is going on, for who waits; nothing where nobody looks.
struct Progress(ProgressBar);

impl Progress {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    fn say(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Measures what `options` say.
pub(crate) async fn run(config: &Config, options: &Options) -> Result<Report, BoxError> {
    if let Some(unknown) = options.only.iter().find(|name| !PARTS.iter().any(|(part, _)| part == name)) {
        let known: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        return Err(format!("--only {unknown}: there is no such part; these are: {}", known.join(", ")).into());
    }
    let machine = Machine::look();
    let temporary = tempfile::Builder::new().prefix("steward-bench-").tempdir()?;
    let root = options.out.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&root)?;
    let effort = Effort::new(options.quick);
    let bench = Bench { config, root: &root, effort, progress: Progress::new() };
    let wanted = |part: &str| options.only.is_empty() || options.only.iter().any(|name| name == part);
    let upstream = Upstream::start(&root).await?;
    let mut figures = Figures::default();
    if wanted("gateway") || wanted("commands") {
        let running = bench.start("roles", Durability::ProcessCrash, &upstream).await?;
        if wanted("gateway") {
            figures.extend(bench.gateway(&running, &upstream).await?);
        }
        if wanted("commands") {
            let Running { system, company } = &running;
            figures.extend(commands::measure(system, company, &effort, &bench.progress).await?);
        }
    }
    if wanted("log") {
        figures.extend(log::measure(&root, config, Durability::ProcessCrash, &effort, &bench.progress).await?);
    }
    if wanted("process") {
        figures.extend(process::measure(&root, config, &upstream, &effort, &bench.progress).await?);
    }
    if wanted("strict") {
        let running = bench.start("roles-strict", Durability::Strict, &upstream).await?;
        figures.extend(bench.gateway(&running, &upstream).await?.prefixed(STRICT));
        drop(running);
        let log = log::measure(&root, config, Durability::Strict, &effort, &bench.progress).await?;
        figures.extend(log.prefixed(STRICT));
    }
    let growth = Vec::new();
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    Ok(Report { machine, build, quick: options.quick, runs: effort.runs, figures, growth })
}

struct Bench<'a> {
    config: &'a Config,
    root: &'a Path,
    effort: Effort,
    progress: Progress,
}

/// A system with a company in it.
struct Running {
    system: System,
    company: Company,
}

impl Bench<'_> {
    /// Starts every role in a new folder `name`, and makes the company.
    async fn start(&self, name: &str, durability: Durability, upstream: &Upstream) -> Result<Running, BoxError> {
        self.progress.say("starting nats-server, aggregates, workers, projectors and gateway");
        let place = Place::make(self.root, name, durability, self.config)?;
        let system = System::start(place, 1).await?;
        let gateway = system.gateways.first().ok_or("there is no gateway")?;
        let operator = gateway.operator(&system.place)?;
        let company = Company::make(operator, upstream, "acme").await?;
        Ok(Running { system, company })
    }

    async fn gateway(&self, running: &Running, upstream: &Upstream) -> Result<Figures, BoxError> {
        gateway::measure(&running.system, upstream, &running.company, &self.effort, &self.progress).await
    }
}
