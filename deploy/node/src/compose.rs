//! Builds the parts of each role from the configuration and keeps them running together.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use steward_events::BoxError;
use steward_events::ids::Ids;
use steward_gateway::{Probes, serve_probes};
use steward_jetstream::{Connection, JetStreamLog};
use steward_observability::{Health, Metrics, Service};
use steward_ports::clock::{Clock, RandomIds, SystemClock, keep_right};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::config::Config;

mod aggregates;
mod bus;
mod disk;
mod first_start;
mod gateway;
mod probes;
mod projectors;
mod workers;

pub use self::aggregates::aggregates;
pub use self::bus::{Installation, disk, join_cluster, outlive_full_disks, own_server};
pub use self::disk::Disk;
pub use self::first_start::{Keys, bootstrap, notary, provision};
pub use self::gateway::gateway;
pub use self::probes::probes;
pub use self::projectors::projectors;
pub use self::workers::workers;

/// How often those who need not hear at once take in what has gathered in the log.
pub const PACE: Duration = Duration::from_millis(25);

/// How long each tier may take to stop once it was asked to; then it ends anyway, and the log holds what counts.
const STOP_TIME_MAX: Duration = Duration::from_secs(40);

/// What all parts of one process share.
pub struct Process {
    /// What the process was told.
    pub config: Config,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// What has to be well for this process to be given work.
    pub health: Arc<Health>,
    /// What is counted.
    pub metrics: Metrics,
    /// The disk that holds the log, once a part has asked for it.
    disk: Option<Disk>,
    /// Asks the edge to stop: gateway and workers.
    pub edge: CancellationToken,
    /// Asks the core to stop, once the edge is done: what the edge still has to say, the core decides.
    pub core: CancellationToken,
    /// Sends what is left of traces when the process ends.
    _telemetry: steward_observability::Guard,
    clock_is_watched: bool,
    edge_parts: Parts,
    core_parts: Parts,
}

type Parts = JoinSet<(&'static str, Result<(), BoxError>)>;

/// Which parts stop first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Gateway and workers: they end leases and claims, by command.
    Edge,
    /// Deciders, views, logins.
    Core,
}

impl Process {
    /// Sets up telemetry and the signals; `role` names the process in logs and traces.
    pub fn new(role: &str, config: Config) -> Result<Self, BoxError> {
        let ids: Arc<dyn Ids> = Arc::new(RandomIds::default());
        let service = Service {
            name: format!("steward-{role}"),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: ids.unique(),
        };
        let guard = steward_observability::init(&config.telemetry, &service)?;
        if let Err(error) = crate::harden::harden() {
            tracing::warn!(%error, "this process' memory may be read by a debugger or a core dump");
        }
        steward_ports::trace::install(steward_ports::trace::Propagation {
            current: steward_observability::propagate::current_traceparent,
            follow: steward_observability::propagate::follow,
            recorded: guard.sends_traces(),
        });
        let (health, metrics) = (Arc::<Health>::default(), Metrics::new(&service));
        metrics.watch(Arc::clone(&health));
        health.check("clock", || SystemClock::steady().check());
        let edge = CancellationToken::new();
        stop_on_signal(edge.clone())?;
        Ok(Self {
            config,
            clock: Arc::new(SystemClock::default()),
            ids,
            health,
            metrics,
            disk: None,
            edge,
            core: CancellationToken::new(),
            _telemetry: guard,
            clock_is_watched: false,
            edge_parts: JoinSet::new(),
            core_parts: JoinSet::new(),
        })
    }

    /// Runs a part beside the others. A part that ends before it was asked to ends the process.
    pub fn spawn<E>(
        &mut self,
        tier: Tier,
        name: &'static str,
        part: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: Into<BoxError> + Send + 'static,
    {
        let parts = if tier == Tier::Edge { &mut self.edge_parts } else { &mut self.core_parts };
        parts.spawn(async move { (name, part.await.map_err(Into::into)) });
    }

    /// Readiness follows the connection.
    pub(crate) fn watch_connection(&self, name: &'static str, connection: &Connection) {
        let connection = connection.clone();
        self.health.check(name, move || {
            if connection.is_connected() { Ok(()) } else { Err("the bus is not connected".to_owned()) }
        });
    }

    /// Compares the clock of this process with the log's, over the first connection that it has.
    pub(crate) fn watch_clock(&mut self, connection: &Connection) {
        if std::mem::replace(&mut self.clock_is_watched, true) {
            return;
        }
        let (log, shutdown) = (JetStreamLog::over(connection, self.config.bus.shards), self.core.clone());
        self.spawn(Tier::Core, "clock", async move {
            keep_right(SystemClock::steady(), &log, &shutdown).await;
            Ok::<_, BoxError>(())
        });
    }

    /// Watches a part of the core that runs already.
    pub fn watch(&mut self, name: &'static str, part: JoinHandle<()>) {
        self.spawn(Tier::Core, name, async move { part.await.map_err(BoxError::from) });
    }

    /// What this process answers of itself.
    pub fn probes(&self) -> Probes {
        probes(Arc::clone(&self.health), self.metrics.clone())
    }

    /// Serves health and metrics to those who watch, where the configuration says.
    pub async fn serve_health(&mut self) -> Result<(), BoxError> {
        let Some(address) = self.config.telemetry.listen else { return Ok(()) };
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|error| format!("cannot listen on {address} for health: {error}"))?;
        let part = serve_probes(listener, self.probes(), self.core.clone());
        self.spawn(Tier::Core, "health", part);
        Ok(())
    }

    /// Waits until asked to stop or until a part fails, then stops all parts, the edge first. Meanwhile `tell` is run,
    /// which may wait for the parts.
    pub async fn run(mut self, tell: impl Future<Output = ()>) -> Result<(), BoxError> {
        let mut tell = pin!(tell.fuse());
        let ended = loop {
            tokio::select! {
                // First: a part that was asked to end has not ended by itself.
                biased;
                () = self.edge.cancelled() => break None,
                Some(ended) = self.edge_parts.join_next() => break Some(ended),
                Some(ended) = self.core_parts.join_next() => break Some(ended),
                () = &mut tell => {}
            }
        };
        let failed = ended.map(|ended| -> BoxError {
            match ended {
                Ok((name, Ok(()))) => format!("{name} ended by itself").into(),
                Ok((name, Err(error))) => format!("{name}: {}", chain(&*error)).into(),
                Err(panicked) => format!("a part of the process broke: {panicked}").into(),
            }
        });
        self.edge.cancel();
        join(&mut self.edge_parts).await;
        self.core.cancel();
        join(&mut self.core_parts).await;
        failed.map_or(Ok(()), Err)
    }
}

/// Waits for parts that were asked to stop.
async fn join(parts: &mut Parts) {
    let rest = async {
        while let Some(ended) = parts.join_next().await {
            match ended {
                Ok((_, Ok(()))) => {}
                Ok((name, Err(error))) => tracing::warn!(part = name, error = %error, "did not stop cleanly"),
                Err(panicked) => tracing::error!(error = %panicked, "a part broke while stopping"),
            }
        }
    };
    if tokio::time::timeout(STOP_TIME_MAX, rest).await.is_err() {
        tracing::warn!("some parts did not stop in time; what counts is in the log");
    }
}

/// An error and its causes, in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Signals that come within this time of the first are the same wish.
const SIGNALS_AT_ONCE: Duration = Duration::from_millis(300);

/// Ctrl-C and SIGTERM ask for a clean stop; a second one ends at once.
fn stop_on_signal(shutdown: CancellationToken) -> Result<(), BoxError> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        let once = async |interrupt: &mut tokio::signal::unix::Signal, terminate: &mut tokio::signal::unix::Signal| {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        };
        once(&mut interrupt, &mut terminate).await;
        tracing::info!("stopping; once more to stop at once");
        shutdown.cancel();
        // Supervisors and dying parents send several at once: those are one.
        tokio::time::sleep(SIGNALS_AT_ONCE).await;
        while once(&mut interrupt, &mut terminate).now_or_never().is_some() {}
        once(&mut interrupt, &mut terminate).await;
        std::process::exit(130);
    });
    Ok(())
}
