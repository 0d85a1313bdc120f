//! The role that decides.

use std::sync::Arc;
use std::time::Duration;

use steward_events::BoxError;
use steward_events::command::nouns;
use steward_handler::{Handler, HandlerPorts};
use steward_jetstream::{JetStreamLog, Role, serve};

use super::first_start::keyring;
use super::{Installation, Process};

/// The deciders of `only` these nouns, or of all.
pub async fn aggregates(installation: &Installation, process: &mut Process, only: &[String]) -> Result<(), BoxError> {
    if let Some(unknown) = only.iter().find(|noun| !nouns().contains(&noun.as_str())) {
        return Err(format!("--only {unknown}: there is no such noun; these are: {}", nouns().join(", ")).into());
    }
    let served: Vec<&'static str> =
        nouns().into_iter().filter(|noun| only.is_empty() || only.iter().any(|o| o == noun)).collect();
    let writer = installation.connect(Role::Aggregates).await?;
    let responder = installation.connect(Role::AggregatesResponder).await?;
    process.watch_connection("bus of aggregates", &writer);
    process.watch_clock(&writer);
    let ports = HandlerPorts {
        log: Arc::new(JetStreamLog::over(&writer, process.config.bus.shards)),
        keyring: keyring(&writer, &process.config)?,
        clock: Arc::clone(&process.clock),
        ids: Arc::clone(&process.ids),
    };
    let handler = Handler::new(ports, process.config.aggregates.clone());
    handler.caught_up(Duration::from_secs(60)).await?;
    let shutdown = process.core.clone();
    let serving = serve::commands(&responder, &served, handler, &process.config.bus.requests, shutdown).await?;
    process.watch("aggregates", serving);
    Ok(())
}
