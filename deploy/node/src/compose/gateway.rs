//! The role that callers reach, and the bus login.

use std::sync::{Arc, PoisonError};

use steward_events::BoxError;
use steward_gateway::{Gateway, GatewayPorts, LogCapacity, ProcessStatus};
use steward_jetstream::{JetStreamBus, JetStreamLog, Role};
use tokio::net::TcpListener;

use super::{Installation, Process, Tier};

/// The edge, and the bus login.
pub async fn gateway(
    installation: &Installation,
    process: &mut Process,
    listener: TcpListener,
) -> Result<(), BoxError> {
    let connection = installation.connect(Role::Gateway).await?;
    let login = installation.connect(Role::Login).await?;
    process.watch_connection("bus of gateway", &connection);
    let ports = GatewayPorts {
        log: Arc::new(JetStreamLog::over(&connection, process.config.bus.shards)),
        bus: Arc::new(JetStreamBus::over(&connection)),
        clock: Arc::clone(&process.clock),
        ids: Arc::clone(&process.ids),
        providers: steward_providers::all(&process.config.providers, steward_calls::Secrets::new(secret))?,
        capacity: log_capacity(process)?,
        status: process_status(process),
    };
    let gateway = Gateway::new(ports, process.config.gateway.clone());
    let authenticator = gateway.authenticator();
    let seed = installation.login_seed()?;
    let shutdown = process.core.clone();
    let serving = steward_jetstream::login::serve(&login, &seed, authenticator, shutdown).await?;
    process.watch("bus login", serving);
    let shutdown = process.edge.clone();
    process.spawn(Tier::Edge, "gateway", async move { gateway.run(listener, shutdown).await });
    Ok(())
}

/// What the own server's disk still takes; another's is not watched here.
fn log_capacity(process: &mut Process) -> Result<LogCapacity, BoxError> {
    let Some(disk) = super::bus::watched_disk(process)? else { return Ok(LogCapacity::default()) };
    let (calls, commands) = (disk.clone(), disk);
    Ok(LogCapacity {
        calls: Arc::new(move || calls.room_for_calls()),
        commands: Arc::new(move || commands.room_for_orders()),
    })
}

/// How the whole process is, for the gateway to show.
fn process_status(process: &Process) -> ProcessStatus {
    let (metrics, page) = (steward_gateway::Metrics::default(), process.metrics.clone());
    let registry = page.registry();
    metrics.register(registry.lock().unwrap_or_else(PoisonError::into_inner).sub_registry_with_prefix("steward"));
    let health = Arc::clone(&process.health);
    let readiness = move || {
        let not_ready = health.not_ready();
        not_ready.first().map_or(Ok(()), |first| Err(format!("{}: {}", first.check, first.reason)))
    };
    ProcessStatus { metrics, page: Arc::new(move || page.encode()), readiness: Arc::new(readiness) }
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
