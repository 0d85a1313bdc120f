//! The gateway as a whole: what it is made of, its life from the first request to the graceful stop.
//!
//! Knows the parts and in which order they start and stop. It must not know routes or what a request means.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use steward_aggregates::catalog::Catalogs;
use steward_events::BoxError;
use steward_events::id::HolderId;
use steward_events::ids::Ids;
use steward_ports::bus::{Authenticator, CommandBus};
use steward_ports::clock::Clock;
use steward_ports::live::Live;
use steward_ports::log::EventLog;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::{Admission, AdmissionConfig, AdmissionPorts};
use crate::auth::Keys;
use crate::bus_login::BusLogin;
use crate::config::Config;
use crate::limits::Limits;
use crate::metrics::{self, Metrics, Page};
use crate::provider::Providers;
use crate::{revocation, server};

/// How long cut calls have to record their end.
const CUT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long to wait after the operating system could not give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long one attempt to catch up with the log takes at most at the start.
const CATCH_UP_TIME_MAX: Duration = Duration::from_secs(30);

/// What the gateway needs from the world.
#[derive(Clone)]
pub struct GatewayPorts {
    /// Read for keys, grants and catalogs; written for the journal of usage only.
    pub log: Arc<dyn EventLog>,
    /// Carries orders and questions.
    pub bus: Arc<dyn CommandBus>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
}

/// Tells whether something is well, or why not.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Tells whether what is asked for could still be recorded, or why not and what to do. Called on each request, so it must
/// not wait.
#[derive(Clone)]
pub struct Room {
    /// For model calls.
    pub calls: Readiness,
    /// For orders, save those that end a right.
    pub orders: Readiness,
}

impl Default for Room {
    fn default() -> Self {
        Self { calls: Arc::new(|| Ok(())), orders: Arc::new(|| Ok(())) }
    }
}

/// Everything that requests share.
pub(crate) struct Edge {
    pub(crate) bus: Arc<dyn CommandBus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) config: Config,
    pub(crate) keys: Arc<Keys>,
    pub(crate) catalogs: Live<Catalogs>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) providers: Providers,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    /// The calls that run, each of which must record its end.
    pub(crate) calls: TaskTracker,
    /// Cuts the calls that run.
    pub(crate) cut: CancellationToken,
    pub(crate) page: Page,
    /// What else has to be well in this process.
    pub(crate) readiness: Readiness,
    /// Whether the log has room.
    pub(crate) room: Room,
    /// All that was in the log at the start is known here.
    pub(crate) caught_up: AtomicBool,
    /// No new work is wanted.
    pub(crate) draining: AtomicBool,
}

/// One run of a gateway. Follows the log from its making on.
pub struct Gateway {
    edge: Arc<Edge>,
}

impl Gateway {
    /// Builds a gateway; must be called within a tokio runtime, after a rustls crypto provider was installed.
    pub fn new(ports: GatewayPorts, config: Config) -> Self {
        let GatewayPorts { log, bus, clock, ids } = ports;
        // Prefix and unique part are tokens.
        #[allow(clippy::expect_used)]
        let holder = HolderId::new(format!("gw_{}", ids.unique())).expect("a unique id is a token");
        let admission = Admission::new(
            AdmissionPorts {
                log: Arc::clone(&log),
                bus: Arc::clone(&bus),
                clock: Arc::clone(&clock),
                ids: Arc::clone(&ids),
            },
            AdmissionConfig { wait_max: config.admission_wait_max, ..AdmissionConfig::default() },
            holder,
        );
        let metrics = Metrics::default();
        let edge = Edge {
            keys: Arc::new(Keys::start(&log, &clock, &config)),
            catalogs: Live::start(log, Arc::clone(&clock)),
            admission,
            providers: Providers::new(&config),
            limits: Limits::new(&config),
            page: metrics::own_page(&metrics),
            readiness: Arc::new(|| Ok(())),
            room: Room::default(),
            metrics,
            calls: TaskTracker::new(),
            cut: CancellationToken::new(),
            caught_up: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            bus,
            clock,
            ids,
            config,
        };
        Self { edge: Arc::new(edge) }
    }

    /// What `/metrics` shows, if it is to be more than the gateway's own: see [`Self::metrics`].
    #[must_use]
    pub fn with_page(mut self, page: Page) -> Self {
        if let Some(edge) = Arc::get_mut(&mut self.edge) {
            edge.page = page;
        }
        self
    }

    /// What else has to be well for `/readyz` to say yes: other parts of the same process. Called on each question, so it
    /// must not wait.
    #[must_use]
    pub fn with_readiness(mut self, readiness: Readiness) -> Self {
        if let Some(edge) = Arc::get_mut(&mut self.edge) {
            edge.readiness = readiness;
        }
        self
    }

    /// While there is no room, calls or orders are refused with 503 before anything is reserved or decided.
    #[must_use]
    pub fn with_room(mut self, room: Room) -> Self {
        if let Some(edge) = Arc::get_mut(&mut self.edge) {
            edge.room = room;
        }
        self
    }

    /// The gateway's counters, to be registered elsewhere.
    pub fn metrics(&self) -> Metrics {
        self.edge.metrics.clone()
    }

    /// Tells the bus's login who holds a key.
    pub fn authenticator(&self) -> Arc<dyn Authenticator> {
        Arc::new(BusLogin(Arc::clone(&self.edge.keys)))
    }

    /// Serves `listener` until `shutdown`, then lets running calls end and closes its leases.
    ///
    /// # Errors
    /// If calls to providers cannot be made at all: no trusted certificates, a proxy that is no URL.
    pub async fn run(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), BoxError> {
        let edge = &self.edge;
        edge.providers.check()?;
        let router = server::router(edge);
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(edge.config.connections_max.get()));
        let catching_up = tokio::spawn(catch_up(Arc::clone(edge), shutdown.clone()));
        tokio::spawn(revocation::watch(Arc::clone(edge), shutdown.clone()));
        loop {
            let place = tokio::select! {
                () = shutdown.cancelled() => break,
                place = Arc::clone(&places).acquire_owned() => place?,
            };
            let (stream, peer) = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let served = graceful.watch(server::connection(stream, peer.ip(), router.clone(), &edge.config));
            tokio::spawn(async move {
                // A client that breaks off is no event of ours.
                let _ = served.await;
                drop(place);
            });
        }
        drop(listener);
        catching_up.abort();
        self.drain(graceful).await;
        Ok(())
    }

    async fn drain(&self, graceful: GracefulShutdown) {
        let edge = &self.edge;
        edge.draining.store(true, Ordering::Relaxed);
        edge.calls.close();
        let calm = async {
            graceful.shutdown().await;
            edge.calls.wait().await;
        };
        if tokio::time::timeout(edge.config.drain_time_max, calm).await.is_err() {
            tracing::warn!(calls = edge.calls.len(), "calls that still ran were cut");
        }
        edge.cut.cancel();
        if tokio::time::timeout(CUT_TIME_MAX, edge.calls.wait()).await.is_err() {
            tracing::error!(calls = edge.calls.len(), "calls did not record their end in time and stay unsettled");
        }
        edge.admission.drain().await;
    }
}

/// Says once when all that was in the log at the start is known here; tries until then.
async fn catch_up(edge: Arc<Edge>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let (keys, catalogs) = tokio::join!(
            edge.keys.authority().caught_up(CATCH_UP_TIME_MAX),
            edge.catalogs.caught_up(CATCH_UP_TIME_MAX)
        );
        match keys.and(catalogs) {
            Ok(()) => return edge.caught_up.store(true, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "not ready: the log is not read to its end yet"),
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
