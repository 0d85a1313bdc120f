//! All read models together: made of their ports, run, and asked how they are.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use steward_aggregates::authority::Authority;
use steward_events::BoxError;
use steward_events::quantity::Shard;
use steward_ports::clock::Clock;
use steward_ports::keys::Keyring;
use steward_ports::live::Live;
use steward_ports::log::shared::SharedLog;
use steward_ports::log::{EventLog, LogError};
use steward_ports::placement::Placement;
use steward_ports::store::Store;

use crate::access_history::Moments;
use crate::config::Config;
use crate::cost_report::CostReport;
use crate::metrics::{self, Metrics};
use crate::progress::{Progress, Stage};
use crate::projector::Projector;
use crate::runner::Runner;
use crate::tasks::Tasks;
use crate::transparency::Transparency;

/// What read models need of the world.
#[derive(Clone)]
pub struct ProjectorPorts {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Where rows are kept.
    pub store: Arc<dyn Store>,
    /// Opens answers of tasks for those who may read them.
    pub keyring: Arc<Keyring>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// All read models.
pub struct Projectors {
    pub(crate) ports: ProjectorPorts,
    pub(crate) config: Config,
    pub(crate) placement: Placement,
    pub(crate) authority: Live<Authority>,
    pub(crate) moments: Moments<Authority>,
    pub(crate) cost: Arc<Runner<CostReport>>,
    pub(crate) tasks: Arc<Runner<Tasks>>,
    pub(crate) metrics: Arc<Runner<Metrics>>,
    pub(crate) transparency: Arc<Runner<Transparency>>,
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
        let ports = ProjectorPorts { log: shared, ..ports };
        let (log, clock) = (&ports.log, &ports.clock);
        Arc::new(Self {
            placement: Placement::new(Arc::clone(log)),
            authority: Live::start(Arc::clone(log), Arc::clone(clock)),
            moments: Moments::new(Arc::clone(log), Arc::clone(clock), config.moments_held_max),
            cost: Arc::new(Runner::new(Arc::clone(log), &ports.store, config.clone())),
            tasks: Arc::new(Runner::new(Arc::clone(log), &ports.store, config.clone())),
            metrics: Arc::new(Runner::new(Arc::clone(log), &ports.store, config.clone())),
            transparency: Arc::new(Runner::new(Arc::clone(log), &ports.store, config.clone())),
            ports,
            config,
        })
    }

    /// Keeps all views current until `shutdown`, then makes durable what they have.
    ///
    /// # Errors
    /// If that last step fails; the log rebuilds what is lost.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) -> Result<(), BoxError> {
        let mut views = JoinSet::new();
        views.spawn(Arc::clone(&self.cost).run(shutdown.clone()));
        views.spawn(Arc::clone(&self.tasks).run(shutdown.clone()));
        views.spawn(Arc::clone(&self.metrics).run(shutdown.clone()));
        views.spawn(Arc::clone(&self.transparency).run(shutdown.clone()));
        while views.join_next().await.is_some() {}
        // A view that has stopped must not end the process: the others answer, and readiness says which it is.
        shutdown.cancelled().await;
        let store = Arc::clone(&self.ports.store);
        tokio::task::spawn_blocking(move || store.flush()).await?
    }

    /// How far each view is in each shard.
    pub fn status(&self) -> Vec<Status> {
        fn of<P: Projector>(runner: &Runner<P>) -> impl Iterator<Item = Status> + '_ {
            runner.progress().map(|(shard, progress)| Status { view: P::NAME, shard, progress })
        }
        of(&self.cost).chain(of(&self.tasks)).chain(of(&self.metrics)).chain(of(&self.transparency)).collect()
    }

    /// Waits until the rows that answer questions about `view` are built. Until then other processes are to be asked.
    pub async fn built(&self, view: &str) {
        match view {
            "cost" => self.cost.built().await,
            "task" => self.tasks.built().await,
            "metrics" => self.metrics.built().await,
            "audit" => self.transparency.built().await,
            _ => {} // answered from the log itself
        }
    }

    /// How many positions each view has yet to come, over all shards.
    ///
    /// # Errors
    /// If the log does not say where it ends.
    pub async fn lag(&self) -> Result<Vec<(&'static str, u64)>, LogError> {
        let sum = |lags: Vec<(Shard, u64)>| lags.into_iter().map(|(_, lag)| lag).sum();
        Ok(vec![
            (CostReport::NAME, sum(self.cost.lag().await?)),
            (Tasks::NAME, sum(self.tasks.lag().await?)),
            (Metrics::NAME, sum(self.metrics.lag().await?)),
            (Transparency::NAME, sum(self.transparency.lag().await?)),
        ])
    }

    /// Whether questions can be answered.
    ///
    /// # Errors
    /// The first thing in the way.
    pub fn ready(&self) -> Result<(), String> {
        if let Some(reason) = self.authority.stopped() {
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
        let text = self.all_metrics().and_then(|all| Ok(metrics::label(all, self.config.tenants_labelled_max).text()?));
        text.unwrap_or_else(|error| {
            tracing::error!(%error, "projected metrics cannot be read");
            String::new()
        })
    }

    fn all_metrics(&self) -> Result<Vec<(String, metrics::Sums)>, BoxError> {
        Ok(self.metrics.peek(metrics::of_shard)?.into_iter().flatten().collect())
    }
}
