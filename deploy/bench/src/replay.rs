//! How fast the cost report is rebuilt from the log while nothing else runs, rows on disk as always, against a bare read
//! of the same messages.

#![allow(clippy::cast_precision_loss)] // rates

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use steward_events::BoxError;
use steward_events::quantity::Position;
use steward_jetstream::{JetStreamLog, Role, baseline};
use steward_ports::log::{EventLog, Filter};
use steward_ports::store::Store;
use steward_projectors::engine::progress::Stage;
use steward_projectors::engine::runner::Runner;
use steward_projectors::view::cost::CostReport;
use tokio_util::sync::CancellationToken;

use super::chain::{SHARD, write_calls};
use super::figures::Figures;
use super::sample::rate;
use super::system::{InstallationFolder, SHARDS, until};
use super::{Effort, Progress};
use steward_node::compose;
use steward_node::config::{Config, Durability};

/// Events of one commit, about as many as a gateway under load has.
pub(super) const EVENTS_A_COMMIT: u64 = 8;

/// How long one replay may take.
const REPLAY_TIME_MAX: Duration = Duration::from_secs(300);

/// Measures replays of logs with many and with single events a commit.
pub(super) async fn measure(
    root: &Path,
    config: &Config,
    quick: bool,
    effort: &Effort,
    progress: &Progress,
) -> Result<Figures, BoxError> {
    let events = if quick { 10_240 } else { 409_600 };
    let grouped = one_log(root, config, "replay", events, EVENTS_A_COMMIT, effort, progress).await?;
    let single = one_log(root, config, "replay-single", events / 4, 1, effort, progress).await?;
    let mut figures = Figures::default();
    figures.set("replay.raw_events_per_s", grouped.0);
    figures.set("replay.events_per_s", grouped.1);
    figures.set("replay.raw_single_events_per_s", single.0);
    figures.set("replay.single_events_per_s", single.1);
    Ok(figures)
}

/// Events a second of bare reads and of replays of one log.
async fn one_log(
    root: &Path,
    config: &Config,
    name: &str,
    events: u64,
    a_commit: u64,
    effort: &Effort,
    progress: &Progress,
) -> Result<(f64, f64), BoxError> {
    let place = InstallationFolder::make(root, name, Durability::ProcessCrash, config)?;
    let _bus = place.start_bus().await?;
    progress.say(&format!("replay: writing {events} events"));
    let writer: Arc<dyn EventLog> = Arc::new(place.log(Role::Aggregates).await?);
    let commits = write_calls(&writer, "gw", events, a_commit).await?;
    let events = commits * a_commit;
    let mut runs = Vec::new();
    for run in 1..=effort.runs {
        progress.say(&format!("replay: run {run} of {} over {events} events", effort.runs));
        let reader = place.connect(Role::Projectors).await?;
        let began = Instant::now();
        let read = baseline::read(&reader, SHARD, Position(0), commits).await;
        read.map_err(|error| format!("the bare client's read: {error}"))?;
        let raw = rate(events, began.elapsed());
        let mut figures = Figures::default();
        figures.set("replay.raw_events_per_s", raw);
        figures.set("replay.events_per_s", rate(events, replay(&place, run).await?));
        runs.push(figures);
    }
    let middle = Figures::of_runs(&runs);
    let get = |name| middle.get(name).ok_or("a replay was not measured");
    Ok((get("replay.raw_events_per_s")?, get("replay.events_per_s")?))
}

/// How long the cost report takes from nothing to the end of the log.
async fn replay(place: &InstallationFolder, run: usize) -> Result<Duration, BoxError> {
    let log = JetStreamLog::over(&place.connect(Role::Projectors).await?, SHARDS).paced(compose::PACE);
    let log: Arc<dyn EventLog> = Arc::new(log);
    let folder = place.folder.join(format!("views-{run}"));
    let store: Arc<dyn Store> = Arc::new(steward_sled::SledStore::open(&folder, &steward_sled::Config::default())?);
    let end = log.last(&Filter::shard(SHARD)).await?;
    let runner = Arc::new(Runner::<CostReport>::new(log, &store, steward_projectors::Config::default()));
    let stop = CancellationToken::new();
    let began = Instant::now();
    let running = tokio::spawn(Arc::clone(&runner).run(stop.clone()));
    let done = until("the cost report is rebuilt", REPLAY_TIME_MAX, async || {
        let there = runner
            .progress()
            .all(|(shard, progress)| progress.stage == Stage::Current && (shard != SHARD || progress.position >= end));
        Ok(there.then(|| began.elapsed()))
    });
    let took = done.await;
    stop.cancel();
    running.await?;
    took
}
