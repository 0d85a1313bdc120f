//! The role that callers reach, and the bus login.

use std::sync::{Arc, PoisonError};

use steward_events::BoxError;
use steward_gateway::{Gateway, GatewayPorts};
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
    };
    let secrets = steward_gateway::Secrets::new(secret);
    let config = steward_gateway::Config { secrets, ..process.config.gateway.clone() };
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
