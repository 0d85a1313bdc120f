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

use company::Company;
use figures::{Figures, STRICT};
use growth::Growth;
use machine::{Busy, Machine};
use plot::Series;
use steward_node::config::{Config, Durability};
use system::{InstallationFolder, System, Upstream};

mod authorise;
mod chain;
mod commands;
mod company;
mod figures;
mod gateway;
mod growth;
mod http;
mod load;
mod log;
mod machine;
mod neighbour;
mod page;
mod part;
mod peers;
mod plot;
mod process;
mod replay;
mod report;
mod revocation;
mod sample;
mod system;
mod unit;
mod upstream;

pub use part::become_part;
pub use report::Report;

/// What can be measured, in the order in which it is.
pub const PARTS: &[(&str, &str)] = &[
    ("gateway", "model calls and streams, against the mock itself"),
    ("commands", "commands over many aggregates and on one ledger"),
    ("revocation", "how long a revoked key still works at another gateway"),
    ("neighbour", "a slow caller beside the full load of another tenant"),
    ("log", "appends, against the bare client"),
    ("replay", "the cost report rebuilt from the log, against a bare read"),
    ("authorise", "one decision on access at 10,000 grants"),
    ("process", "how soon `steward up` is ready, and its memory"),
    ("strict", "gateway and log again with durability = \"strict\""),
    ("peers", "nginx and TensorZero bare over the same mock, where they are found; only if named"),
    ("growth", "many tenants, keys, grants, events and gateways; takes long, so only if named"),
];

/// What to measure and how long.
pub struct Options {
    /// Names of [`PARTS`]; all but growth and peers if empty.
    pub only: Vec<String>,
    /// Growth too, which takes long.
    pub growth: bool,
    /// Other gateways beside Steward, and programs of theirs that are used before those that are found.
    pub peers: Option<Vec<PathBuf>>,
    /// Short: to see that it works.
    pub quick: bool,
    /// Where the processes keep their files; a temporary folder, removed in the end, if not given.
    pub out: Option<PathBuf>,
    /// A page to write tables into, with plots beside it.
    pub write: Option<PathBuf>,
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
pub async fn run(config: &Config, options: &Options) -> Result<Report, BoxError> {
    if let Some(unknown) = options.only.iter().find(|name| !PARTS.iter().any(|(part, _)| part == name)) {
        let known: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        return Err(format!("--only {unknown}: there is no such part; these are: {}", known.join(", ")).into());
    }
    let (mut machine, busy) = (Machine::look(), Busy::look());
    let temporary = tempfile::Builder::new().prefix("steward-bench-").tempdir()?;
    let root = options.out.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&root)?;
    let effort = Effort::new(options.quick);
    let bench = Bench { config, root: &root, options, effort, progress: Progress::new() };
    // Everything that was started has ended when this has, so that its processor time is known to be ours.
    let (figures, growth, notes) = bench.measure().await?;
    machine.others = busy.others_since(machine.cores);
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let report = Report { machine, build, quick: options.quick, runs: effort.runs, figures, growth, notes };
    if let Some(page) = &options.write {
        page::write(&report, page)?;
    }
    Ok(report)
}

struct Bench<'a> {
    config: &'a Config,
    root: &'a Path,
    options: &'a Options,
    effort: Effort,
    progress: Progress,
}

/// A system with a company in it.
struct Running {
    system: System,
    company: Company,
}

impl Bench<'_> {
    async fn measure(&self) -> Result<(Figures, Vec<Series>, Vec<String>), BoxError> {
        let Self { config, root, effort, progress, .. } = self;
        let quick = self.options.quick;
        let upstream = Upstream::start(root).await?;
        let (mut figures, mut notes) = (Figures::default(), Vec::new());
        let of_one_system = ["gateway", "commands", "revocation", "neighbour"];
        if self.wants_peers() || of_one_system.into_iter().any(|part| self.wants(part)) {
            figures.extend(self.running(&upstream, &mut notes).await?);
        }
        if self.wants("log") {
            figures.extend(log::measure(root, config, Durability::ProcessCrash, effort, progress).await?);
        }
        if self.wants("replay") {
            figures.extend(replay::measure(root, config, quick, effort, progress).await?);
        }
        if self.wants("authorise") {
            figures.extend(authorise::measure()?);
        }
        if self.wants("process") {
            figures.extend(process::measure(root, config, &upstream, effort, progress).await?);
        }
        if self.wants("strict") {
            let running = self.start("roles-strict", Durability::Strict, &upstream).await?;
            figures.extend(self.gateway(&running, &upstream).await?.prefixed(STRICT));
            drop(running);
            let log = log::measure(root, config, Durability::Strict, effort, progress).await?;
            figures.extend(log.prefixed(STRICT));
        }
        if !self.options.growth && !self.options.only.iter().any(|part| part == "growth") {
            return Ok((figures, Vec::new(), notes));
        }
        let growth = Growth { root, config, upstream: &upstream, effort: *effort, quick, progress };
        let (more, series) = growth.measure().await?;
        figures.extend(more);
        Ok((figures, series, notes))
    }

    fn wants(&self, part: &str) -> bool {
        let only = &self.options.only;
        only.is_empty() || only.iter().any(|name| name == part)
    }

    fn wants_peers(&self) -> bool {
        self.options.peers.is_some() || self.options.only.iter().any(|name| name == "peers")
    }

    /// What is measured of one system with every role.
    async fn running(&self, upstream: &Upstream, notes: &mut Vec<String>) -> Result<Figures, BoxError> {
        let Self { effort, progress, .. } = self;
        let mut figures = Figures::default();
        let mut running = self.start("roles", Durability::ProcessCrash, upstream).await?;
        if self.wants("gateway") {
            figures.extend(self.gateway(&running, upstream).await?);
        }
        let Running { system, company } = &mut running;
        if self.wants_peers() {
            let named = self.options.peers.as_deref().unwrap_or_default();
            let measured = peers::measure(self.root, named, (&*system, upstream, &*company), effort, progress).await?;
            figures.extend(measured.0);
            notes.extend(measured.1);
        }
        if self.wants("commands") {
            // In a tenant of its own: its budgets are no burden to the calls of others.
            let gateway = system.gateways.first().ok_or("there is no gateway")?;
            let busy = Company::add(gateway.operator(&system.place)?, "busy").await?;
            figures.extend(commands::measure(system, &busy, effort, progress).await?);
        }
        if self.wants("neighbour") {
            let gateway = system.gateways.first().ok_or("there is no gateway")?;
            let quiet = Company::add(gateway.operator(&system.place)?, "quiet").await?;
            figures.extend(neighbour::measure(system, company, &quiet, effort, progress).await?);
        }
        if self.wants("revocation") {
            system.ensure_gateways(2).await?;
            let trials = if self.options.quick { 20 } else { 200 };
            figures.extend(revocation::measure(system, company, trials, progress).await?);
        }
        Ok(figures)
    }

    /// Starts every role in a new folder `name`, and makes the company.
    async fn start(&self, name: &str, durability: Durability, upstream: &Upstream) -> Result<Running, BoxError> {
        self.progress.say("starting nats-server, aggregates, workers, projectors and gateway");
        let place = InstallationFolder::make(self.root, name, durability, self.config)?;
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
