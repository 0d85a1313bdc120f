//! All read models together: made of their ports, run, and asked how they are.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use steward_events::BoxError;
use steward_events::event::AggregateKind;
use steward_events::id::SystemPart;
use steward_events::quantity::Shard;
use steward_ports::live::Live;
use steward_ports::log::shared::SharedLog;
use steward_ports::log::{EventLog, LogError};
use steward_ports::notes::Notes;
use steward_ports::per_minute::PerMinute;
use steward_ports::placement::Placement;

use crate::engine::config::Config;
use crate::engine::places::Places;
use crate::engine::progress::{Progress, Stage};
use crate::engine::read_model::{KeepsRows, ReadModel};
use crate::engine::{Engine, ProjectorPorts};
use crate::views::views;

/// All read models.
pub struct Projectors {
    pub(crate) engine: Arc<Engine>,
    pub(crate) placement: Placement,
    pub(crate) per_minute: PerMinute,
    pub(crate) views: Vec<Arc<dyn ReadModel>>,
    pub(crate) kept: Vec<Arc<dyn KeepsRows>>,
    /// Drops keys of those who are erased.
    _forgets: JoinSet<()>,
}

/// How far one view is in one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which view.
    pub view: &'static str,
    /// Which shard.
    pub shard: Shard,
    /// How far, and whether it may be asked.
    pub progress: Progress,
}

impl Projectors {
    /// The read models over `ports`. They answer once [`Self::run`] has caught up. Needs a tokio runtime.
    pub fn new(ports: ProjectorPorts, config: Config) -> Arc<Self> {
        // All views read the same shards to their end.
        let shared: Arc<dyn EventLog> = Arc::new(SharedLog::new(Arc::clone(&ports.log)));
        let ports = ProjectorPorts { log: Arc::clone(&shared), ..ports };
        let authority = Arc::new(Live::start(Arc::clone(&shared), Arc::clone(&ports.clock)));
        let forgets = ports.keyring.follow(&authority);
        let places = Places::new(config.reads_max, config.reads_per_tenant_max);
        let (log, clock, ids) = (Arc::clone(&shared), Arc::clone(&ports.clock), Arc::clone(&ports.ids));
        let notes = Notes::start(log, clock, ids, SystemPart::Bootstrap);
        let engine = Arc::new(Engine { ports, config, authority, places, notes });
        let views = views(&engine);
        let kept = views.iter().filter_map(|view| view.rows()).collect();
        Arc::new(Self {
            engine,
            placement: Placement::new(shared),
            per_minute: PerMinute::default(),
            views,
            kept,
            _forgets: forgets,
        })
    }

    /// Keeps all views current until `shutdown`, then makes durable what they have.
    ///
    /// # Errors
    /// If that last step fails; the log rebuilds what is lost.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) -> Result<(), BoxError> {
        let mut running = JoinSet::new();
        for rows in &self.kept {
            running.spawn(Arc::clone(rows).run(shutdown.clone()));
        }
        while running.join_next().await.is_some() {}
        // A view that has stopped must not end the process: the others answer, and readiness says which it is.
        shutdown.cancelled().await;
        let store = Arc::clone(&self.engine.ports.store);
        tokio::task::spawn_blocking(move || store.flush()).await?
    }

    /// How far each view is in each shard.
    pub fn status(&self) -> Vec<Status> {
        let of = |rows: &Arc<dyn KeepsRows>| {
            let view = rows.name();
            rows.progress().into_iter().map(move |(shard, progress)| Status { view, shard, progress })
        };
        self.kept.iter().flat_map(of).collect()
    }

    /// Which kinds of events each view reads.
    pub fn reads(&self) -> Vec<(&'static str, &'static [AggregateKind])> {
        self.kept.iter().map(|rows| (rows.name(), rows.reads())).collect()
    }

    /// Waits until the rows that answer queries of `noun` are built. Until then other processes are to be asked.
    pub async fn built(&self, noun: &str) {
        if let Some(rows) = self.view_of(noun).and_then(|view| view.rows()) {
            rows.built().await;
        }
    }

    /// How many positions each view has yet to come, over all shards.
    ///
    /// # Errors
    /// If the log does not say where it ends.
    pub async fn lag(&self) -> Result<Vec<(&'static str, u64)>, LogError> {
        let mut lags = Vec::with_capacity(self.kept.len());
        for rows in &self.kept {
            lags.push((rows.name(), rows.lag().await?));
        }
        Ok(lags)
    }

    /// Whether queries can be answered.
    ///
    /// # Errors
    /// The first thing in the way.
    pub fn ready(&self) -> Result<(), String> {
        if let Some(reason) = self.engine.authority.stopped() {
            return Err(format!("the view of permissions has stopped: {reason}"));
        }
        let hindrance = self.status().into_iter().find_map(|Status { view, shard, progress }| match progress.stage {
            Stage::Current => None,
            Stage::CatchingUp => Some(format!("{view} of shard {shard} is catching up, at {}", progress.position)),
            Stage::Stopped(reason) => Some(format!("{view} of shard {shard} has stopped: {reason}")),
        });
        hindrance.map_or(Ok(()), Err)
    }

    /// The projected metrics of all tenants as they are now, as OpenMetrics text.
    pub fn metrics_text(&self) -> String {
        let text = |view: &Arc<dyn ReadModel>| {
            view.metrics_text().unwrap_or_else(|error| {
                tracing::error!(%error, "projected metrics cannot be read");
                String::new()
            })
        };
        self.views.iter().map(text).collect()
    }

    /// The read model that answers queries of `noun`.
    pub(crate) fn view_of(&self, noun: &str) -> Option<&Arc<dyn ReadModel>> {
        self.views.iter().find(|view| view.nouns().contains(&noun))
    }
}

#[cfg(test)]
mod tests {
    use steward_events::sealed::DataKey;
    use steward_ports::clock::{RandomIds, SystemClock};
    use steward_ports::keys::{Keyring, MemoryVault};
    use steward_ports::log::memory::MemoryLog;
    use steward_ports::store::memory::MemoryStore;
    use steward_queries::QUERIES;

    use super::*;

    #[tokio::test]
    async fn every_query_has_one_view_and_every_view_has_queries() {
        let clock = Arc::new(SystemClock::default());
        let ports = ProjectorPorts {
            log: Arc::new(MemoryLog::new(1, Arc::clone(&clock) as _)),
            store: Arc::new(MemoryStore::default()),
            keyring: Arc::new(Keyring::new(DataKey::random().unwrap(), Arc::new(MemoryVault::default()))),
            clock,
            ids: Arc::new(RandomIds::default()),
        };
        let projectors = Projectors::new(ports, Config::default());
        for spec in QUERIES {
            let answers = projectors.views.iter().filter(|view| view.nouns().contains(&spec.view)).count();
            assert_eq!(answers, 1, "{}.{}", spec.view, spec.verb);
        }
        for noun in projectors.views.iter().flat_map(|view| view.nouns()) {
            assert!(QUERIES.iter().any(|spec| spec.view == *noun), "{noun} is in no row of the table");
        }
    }
}
