//! The log alone: nothing runs but the nats-server. Steward's append, with its hash chain, encoding and rule for doubt,
//! against publishes of the same bytes by the bare client.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use steward_events::BoxError;
use steward_events::append::append;
use steward_events::clock::{Clock, Ids, RandomIds, SystemClock};
use steward_events::commit::{Commit, CommitHash, Entry};
use steward_events::event::{AgentEvent, AgentSpec, AggregateKind, PatternKind};
use steward_events::id::{AgentId, CommandId, CommitId, CorrelationId, ModelId, PrincipalId, StreamId, TenantId};
use steward_events::log::StreamName;
use steward_events::quantity::{Position, Shard, Tokens, Version};
use steward_jetstream::{JetStreamLog, Role, baseline};
use tokio::task::JoinSet;

use super::company::MODEL;
use super::figures::Figures;
use super::sample::{Sample, nanos, rate};
use super::system::{Place, SHARDS};
use super::{Effort, Progress};
use crate::config::{Config, Durability};

/// Writers, each with a stream of its own and one append in flight.
const WRITERS: u64 = 64;

/// All of them write to one shard, so that one JetStream stream takes it all.
const SHARD: Shard = Shard(1);

/// Measures appends on a bus that has nothing else to do.
pub(super) async fn measure(
    root: &Path,
    config: &Config,
    durability: Durability,
    effort: &Effort,
    progress: &Progress,
) -> Result<Figures, BoxError> {
    let strict = durability == Durability::Strict;
    let place = Place::make(root, if strict { "log-strict" } else { "log" }, durability, config)?;
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
        let mut chain = Chain::new(&format!("appends-{run}-{number}"))?;
        writers.spawn(async move {
            let mut took = Vec::new();
            while began.elapsed() < span {
                let sent = Instant::now();
                let commit = chain.next()?;
                let appended = append(&*log, chain.end, &commit).await?;
                (chain.end, chain.hash) = (appended.position, appended.hash);
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
        let mut chain = Chain::new(&format!("bare-{run}-{number}"))?;
        // Messages of the same size, made beforehand.
        let bytes = Bytes::from(chain.next()?.encode()?);
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

/// One agent's stream and where it ends.
struct Chain {
    stream: StreamName,
    agent: AgentId,
    revision: u32,
    end: Position,
    hash: CommitHash,
    clock: SystemClock,
    ids: RandomIds,
}

impl Chain {
    fn new(agent: &str) -> Result<Self, BoxError> {
        let id = StreamId::new(agent)?;
        let stream = StreamName { shard: SHARD, tenant: TenantId::new("acme")?, kind: AggregateKind::Agent, id };
        let (clock, ids) = (SystemClock::default(), RandomIds::default());
        let (end, hash) = (Position(0), CommitHash::default());
        Ok(Self { stream, agent: AgentId::new(agent)?, revision: 0, end, hash, clock, ids })
    }

    fn next(&mut self) -> Result<Commit, BoxError> {
        self.revision += 1;
        let spec = AgentSpec {
            model: ModelId::new(MODEL)?,
            instructions: "You answer briefly.".to_owned(),
            pattern: PatternKind::Single,
            output_max: Tokens(256),
            steps_max: 8,
        };
        let event = AgentEvent::Defined { agent: self.agent.clone(), revision: self.revision, spec };
        let command = CommandId::new(self.ids.unique())?;
        let entry = Entry {
            correlation: CorrelationId::new(command.as_str())?,
            command,
            at: self.clock.now(),
            actor: PrincipalId::new("svc_bench")?,
            on_behalf_of: None,
            causation: None,
            events: vec![event.into()],
        };
        Ok(Commit {
            id: CommitId::new(self.ids.unique())?,
            stream: self.stream.clone(),
            version: Version(u64::from(self.revision)),
            prev: self.hash,
            entries: vec![entry],
        })
    }
}
