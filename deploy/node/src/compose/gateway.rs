//! The role that callers reach, and the bus login.

use std::sync::{Arc, PoisonError};

use steward_events::BoxError;
use steward_gateway::{Gateway, GatewayPorts, LogCapacity, Metrics};
use steward_jetstream::{JetStreamBus, JetStreamContents, JetStreamLog, Role};
use tokio::net::TcpListener;

use super::{Installation, Process, Tier};

/// Starts the gateway on `listener`, and the bus login.
///
/// # Errors
/// If the bus cannot be reached, or calls to providers cannot be made at all.
pub async fn gateway(
    installation: &Installation,
    process: &mut Process,
    listener: TcpListener,
) -> Result<(), BoxError> {
    let connection = installation.connect(Role::Gateway).await?;
    let login = installation.connect(Role::Login).await?;
    let sessions = installation.connect(Role::Sessions).await?;
    process.watch_connection("bus of gateway", &connection);
    process.watch_clock(&connection);
    let clock = Arc::clone(&process.clock);
    let secrets = steward_calls::Secrets::new(secret);
    let providers = steward_providers::all(&process.config.providers, secrets, Arc::new(move || clock.now()))?;
    let ports = GatewayPorts {
        log: Arc::new(JetStreamLog::over(&connection, process.config.bus.shards)),
        bus: Arc::new(JetStreamBus::over(&connection)),
        contents: Arc::new(JetStreamContents::over(&connection)),
        clock: Arc::clone(&process.clock),
        ids: Arc::clone(&process.ids),
        providers,
        capacity: log_capacity(process)?,
        metrics: counters(process),
        probes: process.probes(),
    };
    let gateway = Gateway::new(ports, process.config.gateway.clone());
    let readiness = gateway.readiness();
    process.health.check("gateway", move || readiness());
    let authenticator = gateway.authenticator();
    let seed = installation.login_seed()?;
    let shutdown = process.core.clone();
    let bounds = &process.config.bus.logins;
    let serving = steward_jetstream::login::serve(&login, &sessions, &seed, bounds, authenticator, shutdown).await?;
    process.watch("bus login", serving);
    let shutdown = process.edge.clone();
    process.spawn(Tier::Edge, "gateway", async move { gateway.run(listener, shutdown).await });
    Ok(())
}

/// What the disk of our own nats-server still takes; another machine's disk is not watched here.
fn log_capacity(process: &mut Process) -> Result<LogCapacity, BoxError> {
    let Some(disk) = super::bus::watched_disk(process)? else { return Ok(LogCapacity::default()) };
    let (calls, commands) = (disk.clone(), disk);
    Ok(LogCapacity {
        calls: Arc::new(move || calls.room_for_calls()),
        commands: Arc::new(move || commands.room_for_commands()),
    })
}

/// Counters that the process shows with its own.
fn counters(process: &Process) -> Metrics {
    let (counters, registry) = (Metrics::default(), process.metrics.registry());
    counters.register(registry.lock().unwrap_or_else(PoisonError::into_inner).sub_registry_with_prefix("steward"));
    counters
}

/// A secret by its reference, such as a provider's key: `env:NAME` or `file:PATH`.
#[allow(clippy::disallowed_methods)] // the one place that reads secrets from the environment
pub(super) fn secret(reference: &str) -> Option<String> {
    match reference.split_once(':')? {
        ("env", name) => std::env::var(name).ok(),
        ("file", path) => std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned()),
        _ => None,
    }
}
