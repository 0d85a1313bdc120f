//! The log alone: nothing runs but the nats-server. Steward's append, with its hash chain, encoding and rule for doubt,
//! against publishes of the same bytes by the bare client.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use steward_events::BoxError;
use steward_events::event::AggregateKind;
use steward_jetstream::{JetStreamLog, Role, baseline};
use tokio::task::JoinSet;

use super::chain::{Chain, defined};
use super::figures::Figures;
use super::sample::{Sample, nanos, rate};
use super::system::{InstallationFolder, SHARDS};
use super::{Effort, Progress};
use steward_node::config::{Config, Durability};

/// Writers, each with a stream of its own and one append in flight.
const WRITERS: u64 = 64;

/// Measures appends on a bus that has nothing else to do.
pub(super) async fn measure(
    root: &Path,
    config: &Config,
    durability: Durability,
    effort: &Effort,
    progress: &Progress,
) -> Result<Figures, BoxError> {
    let strict = durability == Durability::Strict;
    let place = InstallationFolder::make(root, if strict { "log-strict" } else { "log" }, durability, config)?;
    let _bus = place.start_bus().await?;
    let connection = place.connect(Role::Aggregates).await?;
    let log = Arc::new(JetStreamLog::over(&connection, SHARDS));
    let publisher = baseline::Publisher::over(&connection);
    let mut runs = Vec::new();
    // The first one makes the streams' files.
    steward_appends(&log, 0, effort.span / 2).await?;
    for run in 1..=effort.runs {
        progress.say(&format!("log: run {run} of {}", effort.runs));
        let mut figures = Figures::default();
        let (per_s, took) = raw_publishes(&publisher, run, effort.span).await?;
        figures.set("log.raw_append_per_s", per_s);
        figures.set("log.raw_append_p50_us", took.quantile_us(0.5));
        let (per_s, took) = steward_appends(&log, run, effort.span).await?;
        figures.set("log.append_per_s", per_s);
        figures.set("log.append_p50_us", took.quantile_us(0.5));
        runs.push(figures);
    }
    Ok(Figures::of_runs(&runs))
}

async fn steward_appends(log: &Arc<JetStreamLog>, run: usize, span: Duration) -> Result<(f64, Sample), BoxError> {
    let began = Instant::now();
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let log = Arc::clone(log);
        let agent = format!("appends-{run}-{number}");
        let mut chain = Chain::new(AggregateKind::Agent, &agent)?;
        writers.spawn(async move {
            let (mut took, mut revision) = (Vec::new(), 0);
            while began.elapsed() < span {
                let sent = Instant::now();
                revision += 1;
                chain.append(&*log, vec![defined(&agent, revision)?]).await?;
                took.push(nanos(sent.elapsed()));
            }
            Ok::<_, BoxError>(took)
        });
    }
    joined(writers, began).await
}

async fn raw_publishes(publisher: &baseline::Publisher, run: usize, span: Duration) -> Result<(f64, Sample), BoxError> {
    let began = Instant::now();
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let publisher = publisher.clone();
        let agent = format!("bare-{run}-{number}");
        let mut chain = Chain::new(AggregateKind::Agent, &agent)?;
        // Messages of the same size, made beforehand.
        let bytes = Bytes::from(chain.next(vec![defined(&agent, 1)?])?.encode()?);
        writers.spawn(async move {
            let mut took = Vec::new();
            while began.elapsed() < span {
                let sent = Instant::now();
                chain.end = publisher.publish(&chain.stream, chain.end, bytes.clone()).await?;
                took.push(nanos(sent.elapsed()));
            }
            Ok::<_, BoxError>(took)
        });
    }
    joined(writers, began).await
}

async fn joined(mut writers: JoinSet<Result<Vec<u64>, BoxError>>, began: Instant) -> Result<(f64, Sample), BoxError> {
    let mut took = Vec::new();
    while let Some(writer) = writers.join_next().await {
        took.append(&mut writer??);
    }
    Ok((rate(took.len() as u64, began.elapsed()), Sample::of_nanos(took)))
}
