//! One function a role: connections with that role's credentials, ports on them, the part on the ports.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use steward_events::BoxError;
use steward_events::command::nouns;
use steward_events::event::KeyHash;
use steward_events::query::QUERIES;
use steward_gateway::{Gateway, GatewayPorts};
use steward_handler::{Handler, HandlerConfig, HandlerPorts};
use steward_jetstream::{Connection, JetStreamBus, JetStreamLog, JetStreamTimers, JetStreamVault, Role, serve};
use steward_ports::keys::Keyring;
use steward_projectors::{ProjectorPorts, Projectors};
use steward_workers::{Notary, WorkerPorts, Workers};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::compose::{Installation, Process, Tier};
use crate::config::{Config, Durability};
use crate::files;

/// How often those who need not hear at once take in what has gathered in the log.
pub(crate) const PACE: Duration = Duration::from_millis(25);

/// The pause after the bus did not take a view's subscriptions.
const SERVE_PAUSE: Duration = Duration::from_millis(500);

/// The operator's key, and whether this start made it.
pub(crate) struct Keys {
    pub(crate) operator: String,
    pub(crate) made: bool,
}

/// Makes or verifies the streams. The server's version.
pub(crate) async fn provision(installation: &Installation, config: &Config) -> Result<String, BoxError> {
    let admin = installation.connect(Role::Admin).await?;
    let options = steward_jetstream::provision::Options {
        replicas: u32::from(config.bus.replicas),
        durability: super::bus::durability(config),
        syncs_always: config.bus.url == "own" && config.durability == Durability::Strict,
    };
    let provisioned = steward_jetstream::provision::provision(&admin, config.bus.shards, options).await?;
    tracing::info!(made = provisioned.made.len(), found = provisioned.found.len(), "streams are as they must be");
    let version = admin.server_version();
    admin.close().await;
    Ok(version)
}

/// The first facts, and the keys of this installation.
pub(crate) async fn bootstrap(installation: &Installation, process: &Process) -> Result<Keys, BoxError> {
    let config = &process.config;
    files::master_key(&config.master_key_file())?;
    notary(config)?;
    let (operator, made) =
        files::read_or_make(&config.operator_key_file(), || Ok(format!("stw_steward_{}", files::random_secret()?)))?;
    let log = Arc::new(JetStreamLog::connect(&installation.credentials(Role::Aggregates)?, config.bus.shards).await?);
    steward_handler::bootstrap::first_start(
        log,
        Arc::clone(&process.clock),
        Arc::clone(&process.ids),
        config.bus.shards,
        &KeyHash::of(&operator),
    )
    .await?;
    Ok(Keys { operator, made })
}

fn keyring(connection: &Connection, config: &Config) -> Result<Arc<Keyring>, BoxError> {
    let (master, _) = files::master_key(&config.master_key_file())?;
    Ok(Arc::new(Keyring::new(master, Arc::new(JetStreamVault::over(connection)))))
}

/// Who signs the checkpoints of this installation.
pub(crate) fn notary(config: &Config) -> Result<Notary, BoxError> {
    let key = files::transparency_key(&config.transparency_key_file())?;
    let name = config.transparency.name.clone().unwrap_or_else(|| format!("steward-{}", key.fingerprint()));
    // Refused now rather than at the first signature.
    key.verifier(&name).map_err(|error| format!("transparency.name {name:?}: {error}"))?;
    Ok(Notary { key, name })
}

/// Readiness follows the connection.
fn watch_connection(process: &Process, name: &'static str, connection: &Connection) {
    let connection = connection.clone();
    process.health.check(name, move || {
        if connection.is_connected() { Ok(()) } else { Err("the bus is not connected".to_owned()) }
    });
}

/// The deciders of `only` these nouns, or of all.
pub(crate) async fn aggregates(
    installation: &Installation,
    process: &mut Process,
    only: &[String],
) -> Result<(), BoxError> {
    if let Some(unknown) = only.iter().find(|noun| !nouns().contains(&noun.as_str())) {
        return Err(format!("--only {unknown}: there is no such noun; these are: {}", nouns().join(", ")).into());
    }
    let served: Vec<&'static str> =
        nouns().into_iter().filter(|noun| only.is_empty() || only.iter().any(|o| o == noun)).collect();
    let writer = installation.connect(Role::Aggregates).await?;
    let responder = installation.connect(Role::AggregatesResponder).await?;
    watch_connection(process, "bus of aggregates", &writer);
    let ports = HandlerPorts {
        log: Arc::new(JetStreamLog::over(&writer, process.config.bus.shards)),
        keyring: keyring(&writer, &process.config)?,
        clock: Arc::clone(&process.clock),
        ids: Arc::clone(&process.ids),
    };
    let handler = Handler::new(ports, HandlerConfig::default());
    handler.caught_up(Duration::from_secs(60)).await?;
    let shutdown = process.core.clone();
    let serving = serve::commands(&responder, &served, handler, shutdown).await?;
    process.watch("aggregates", serving);
    Ok(())
}

/// The read models, in `store` or in the data folder. Answers how many views have yet to be built and asked.
pub(crate) async fn projectors(
    installation: &Installation,
    process: &mut Process,
    store: Option<PathBuf>,
) -> Result<watch::Receiver<usize>, BoxError> {
    let reader = installation.connect(Role::Projectors).await?;
    let responder = installation.connect(Role::ProjectorsResponder).await?;
    watch_connection(process, "bus of projectors", &reader);
    let folder = store.unwrap_or_else(|| process.config.data.join("views"));
    let store = steward_sled::SledStore::open(&folder, &steward_sled::Options::default())?;
    let ports = ProjectorPorts {
        log: Arc::new(JetStreamLog::over(&reader, process.config.bus.shards).paced(PACE)),
        store: Arc::new(store),
        keyring: keyring(&reader, &process.config)?,
        clock: Arc::clone(&process.clock),
    };
    let projectors = Projectors::new(ports, steward_projectors::Config::default());
    let (health, page) = (Arc::clone(&projectors), Arc::clone(&projectors));
    process.health.check("views", move || health.ready());
    process.metrics.append(move || page.metrics_text());
    let shutdown = process.core.clone();
    let runner = Arc::clone(&projectors);
    process.spawn(Tier::Core, "views", async move { runner.run(shutdown).await });
    let mut views: Vec<&'static str> = QUERIES.iter().map(|spec| spec.view).collect();
    views.dedup();
    let (yet_to_ask, asked) = watch::channel(views.len());
    let waiting = asked.clone();
    process.health.check("queries", move || match *waiting.borrow() {
        0 => Ok(()),
        count => Err(format!("{count} views are not asked yet")),
    });
    for view in views {
        let (projectors, responder) = (Arc::clone(&projectors), responder.clone());
        let (yet_to_ask, shutdown) = (yet_to_ask.clone(), process.core.clone());
        process.spawn(Tier::Core, "queries", async move {
            // A view in the making must get no question that another process could answer.
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = projectors.built(view) => {}
            }
            let Some(serving) = serve_view(&responder, view, projectors, shutdown).await else { return Ok(()) };
            yet_to_ask.send_modify(|count| *count -= 1);
            serving.await.map_err(BoxError::from)
        });
    }
    Ok(asked)
}

/// Takes questions about `view`. The bus may be away just then: that must not end the process, so it is tried again until
/// `shutdown`; none if that comes first.
async fn serve_view(
    responder: &Connection,
    view: &'static str,
    projectors: Arc<Projectors>,
    shutdown: CancellationToken,
) -> Option<JoinHandle<()>> {
    loop {
        match serve::queries(responder, &[view], Arc::clone(&projectors) as _, shutdown.clone()).await {
            Ok(serving) => return Some(serving),
            Err(error) => tracing::warn!(view, error, "questions cannot be taken yet; trying again"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(SERVE_PAUSE) => {}
        }
    }
}

/// Process managers and tasks.
pub(crate) async fn workers(installation: &Installation, process: &mut Process) -> Result<(), BoxError> {
    let connection = installation.connect(Role::Workers).await?;
    watch_connection(process, "bus of workers", &connection);
    let log = JetStreamLog::over(&connection, process.config.bus.shards);
    let ports = WorkerPorts {
        journals: Arc::new(log.clone().paced(PACE)),
        bus: Arc::new(JetStreamBus::over(&connection)),
        timers: Arc::new(JetStreamTimers::over(&connection)),
        keyring: keyring(&connection, &process.config)?,
        clock: Arc::clone(&process.clock),
        ids: Arc::clone(&process.ids),
        log: Arc::new(log),
        notary: Arc::new(notary(&process.config)?),
    };
    let config = steward_workers::Config {
        gateway_url: process.config.gateway_url(),
        tasks_concurrent_max: process
            .config
            .workers
            .tasks_concurrent_max
            .try_into()
            .map_err(|_| "workers.tasks_concurrent_max must be at least 1")?,
        claim_timeout: process.config.workers.claim_timeout,
        transparency: steward_workers::config::Transparency {
            checkpoint_every: process.config.transparency.checkpoint_every,
            witnesses: process.config.transparency.witnesses.clone(),
        },
        ..steward_workers::Config::default()
    };
    let workers = Arc::new(Workers::new(ports, config)?);
    let health = Arc::clone(&workers);
    process.health.check("workers", move || health.ready());
    let shutdown = process.edge.clone();
    process.spawn(Tier::Edge, "workers", async move { workers.run(shutdown).await });
    Ok(())
}

/// The edge, and the bus login.
pub(crate) async fn gateway(
    installation: &Installation,
    process: &mut Process,
    listener: TcpListener,
) -> Result<(), BoxError> {
    let connection = installation.connect(Role::Gateway).await?;
    let login = installation.connect(Role::Login).await?;
    watch_connection(process, "bus of gateway", &connection);
    let ports = GatewayPorts {
        log: Arc::new(JetStreamLog::over(&connection, process.config.bus.shards)),
        bus: Arc::new(JetStreamBus::over(&connection)),
        clock: Arc::clone(&process.clock),
        ids: Arc::clone(&process.ids),
    };
    let config = steward_gateway::Config {
        admission_wait_max: process.config.gateway.admission_wait_max,
        receive_time_max: process.config.gateway.receive_time_max,
        bodies_bytes_max: process.config.gateway.bodies_bytes_max,
        upstream: steward_gateway::Upstream {
            first_byte_time_max: process.config.gateway.first_byte_time_max,
            idle_time_max: process.config.gateway.idle_time_max,
            client_stall_max: process.config.gateway.client_stall_max,
            ..steward_gateway::Upstream::default()
        },
        secrets: steward_gateway::Secrets::new(secret),
        ..steward_gateway::Config::default()
    };
    let mut gateway = Gateway::new(ports, config);
    if let Some(disk) = super::bus::watched_disk(process)? {
        let (calls, orders) = (disk.clone(), disk);
        gateway = gateway.with_room(steward_gateway::Room {
            calls: Arc::new(move || calls.room_for_calls()),
            orders: Arc::new(move || orders.room_for_orders()),
        });
    }
    let metrics = process.metrics.clone();
    let registry = metrics.registry();
    gateway
        .metrics()
        .register(registry.lock().unwrap_or_else(PoisonError::into_inner).sub_registry_with_prefix("steward"));
    let health = Arc::clone(&process.health);
    let gateway = gateway.with_page(Arc::new(move || metrics.encode())).with_readiness(Arc::new(move || {
        let not_ready = health.not_ready();
        not_ready.first().map_or(Ok(()), |first| Err(format!("{}: {}", first.check, first.reason)))
    }));
    let authenticator = gateway.authenticator();
    let seed = installation.login_seed()?;
    let shutdown = process.core.clone();
    let serving = steward_jetstream::login::serve(&login, &seed, authenticator, shutdown).await?;
    process.watch("bus login", serving);
    let shutdown = process.edge.clone();
    process.spawn(Tier::Edge, "gateway", async move { gateway.run(listener, shutdown).await });
    Ok(())
}

/// A provider's key by its reference: `env:NAME` or `file:PATH`.
#[allow(clippy::disallowed_methods)] // the one place that reads secrets from the environment
fn secret(reference: &str) -> Option<String> {
    match reference.split_once(':')? {
        ("env", name) => std::env::var(name).ok(),
        ("file", path) => std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned()),
        _ => None,
    }
}
