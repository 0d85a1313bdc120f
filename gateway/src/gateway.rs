//! The gateway as a whole: what it is made of, its life from the first request to the graceful stop.
//!
//! Knows the parts and in which order they start and stop. It must not know routes or what a request means.

use std::sync::Arc;

use steward_calls::upstream::Providers;
use steward_calls::{Access, Calls, CallsPorts, Limits, Responses};
use steward_events::BoxError;
use steward_events::id::SystemPart;
use steward_events::ids::Ids;
use steward_ports::bus::{Authenticator, CommandBus};
use steward_ports::clock::Clock;
use steward_ports::contents::ContentStore;
use steward_ports::live::Live;
use steward_ports::log::EventLog;
use steward_ports::notes::Notes;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::bus_login::BusLogin;
use crate::capacity::LogCapacity;
use crate::config::Config;
use crate::door::Door;
use crate::face::{Bundles, Management};
use crate::metrics::Metrics;
use crate::observe::Observer;
use crate::probes::Probes;
use crate::router::Routes;
use crate::serve::{ServeBounds, serve};
use crate::status::{Readiness, Status};
use crate::wrong_keys::WrongKeys;

/// What the gateway needs from the world.
#[derive(Clone)]
pub struct GatewayPorts {
    /// Read for keys, grants and catalogs; written for the journal of usage only.
    pub log: Arc<dyn EventLog>,
    /// Carries commands and queries.
    pub bus: Arc<dyn CommandBus>,
    /// Keeps contents beside the log.
    pub contents: Arc<dyn ContentStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// Whom model calls go to.
    pub providers: Providers,
    /// Whether the log can take more.
    pub capacity: LogCapacity,
    /// The gateway's counters: also shown by the probes, if they show them.
    pub metrics: Metrics,
    /// Says how the whole process is; [`Gateway::readiness`] is what the gateway adds.
    pub probes: Probes,
}

/// One run of a gateway. Follows the log from its making on.
pub struct Gateway {
    login: Arc<BusLogin>,
    calls: Arc<Calls>,
    status: Arc<Status>,
    routes: Routes,
    config: Config,
}

impl Gateway {
    /// Builds a gateway; must be called within a tokio runtime.
    pub fn new(ports: GatewayPorts, config: Config) -> Self {
        let GatewayPorts { log, bus, contents, clock, ids, providers, capacity, metrics, probes } = ports;
        let notes = Notes::start(Arc::clone(&log), Arc::clone(&clock), Arc::clone(&ids), SystemPart::Gateway);
        let access = Arc::new(Access::start(&log, &clock, &config.calls, notes.clone()));
        let catalogs = Arc::new(Live::start(Arc::clone(&log), Arc::clone(&clock)));
        let calls = CallsPorts {
            log,
            bus: Arc::clone(&bus),
            contents,
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            access: Arc::clone(&access),
            catalogs: Arc::clone(&catalogs),
            providers,
            metrics: metrics.calls.clone(),
        };
        let calls = Calls::new(calls, &config.calls);
        let status = Arc::new(Status::new(Arc::clone(&access), Arc::clone(&catalogs)));
        let wrong_keys = Arc::new(WrongKeys::new(config.wrong_keys_per_minute_max));
        let (of_access, of_clock, of_door) = (Arc::clone(&access), Arc::clone(&clock), Arc::clone(&wrong_keys));
        let door = Arc::new(Door::new(of_access, capacity.clone(), of_clock, of_door, &config));
        let management = Management {
            door: Arc::clone(&door),
            bus,
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            access: Arc::clone(&access),
            catalogs,
            files: calls.files(),
            capacity,
            waits: (&config).into(),
            watches: Limits::new(config.limits()),
        };
        let bundles = Bundles {
            door,
            calls: Arc::clone(&calls),
            responses: Responses::new(Arc::clone(&calls), &config.calls),
            management: Arc::new(management),
            files: config.files(),
            clock: Arc::clone(&clock),
        };
        let routes = Routes::new(&bundles, &probes, Observer { clock, ids, metrics, notes: notes.clone() });
        let login = Arc::new(BusLogin { access, wrong_keys, notes });
        Self { login, calls, status, routes, config }
    }

    /// Whether this gateway may be given work: a part of what the process says of itself.
    pub fn readiness(&self) -> Readiness {
        let status = Arc::clone(&self.status);
        Arc::new(move || status.ready())
    }

    /// Tells the bus's login who holds a key.
    pub fn authenticator(&self) -> Arc<dyn Authenticator> {
        Arc::clone(&self.login) as _
    }

    /// Serves `listener` until `shutdown`, then lets running calls end and closes its leases.
    ///
    /// # Errors
    /// If connections can no longer be served.
    pub async fn run(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), BoxError> {
        let status = Arc::clone(&self.status);
        let stop = shutdown.clone();
        let catching_up = tokio::spawn(async move { status.catch_up(stop).await });
        tokio::spawn(self.calls.watch_revocations(shutdown.clone()));
        tokio::spawn(self.calls.watch_erasures(shutdown.clone()));
        let bounds = ServeBounds {
            connections_max: self.config.connections_max,
            per_address_max: self.config.connections_per_address_max,
            head_time_max: self.config.receive_time_max,
            write_stall_max: self.config.calls.client_stall_max,
        };
        let routes = self.routes.clone();
        let connections = serve(listener, move |request| routes.answer(request), bounds, &shutdown).await?;
        catching_up.abort();
        self.status.drain();
        self.calls.drain(connections.shutdown(), self.config.drain_time_max).await;
        Ok(())
    }
}
