//! The role that turns events into effects and commands.

use std::sync::Arc;

use steward_events::BoxError;
use steward_jetstream::{JetStreamBus, JetStreamContents, JetStreamLog, JetStreamTimers, Role};
use steward_workers::config::Mail;
use steward_workers::{WorkerPorts, Workers};

use super::first_start::{keyring, notary};
use super::gateway::secret;
use super::{Installation, PACE, Process, Tier};

/// Process managers and tasks.
pub async fn workers(installation: &Installation, process: &mut Process) -> Result<(), BoxError> {
    let connection = installation.connect(Role::Workers).await?;
    process.watch_connection("bus of workers", &connection);
    process.watch_clock(&connection);
    let log = JetStreamLog::over(&connection, process.config.bus.shards);
    let ports = WorkerPorts {
        paced: Arc::new(log.clone().paced(PACE)),
        bus: Arc::new(JetStreamBus::over(&connection)),
        timers: Arc::new(JetStreamTimers::over(&connection)),
        keyring: keyring(&connection, &process.config)?,
        contents: Arc::new(JetStreamContents::over(&connection)),
        clock: Arc::clone(&process.clock),
        ids: Arc::clone(&process.ids),
        log: Arc::new(log),
        notary: Arc::new(notary(&process.config)?),
    };
    let config = steward_workers::Config {
        gateway_url: Some(process.config.gateway_url()),
        transparency: process.config.transparency.clone(),
        channels: process.config.channels.clone(),
        mail: mail(process)?,
        ..process.config.workers.clone()
    };
    let workers = Arc::new(Workers::new(ports, config)?);
    let health = Arc::clone(&workers);
    process.health.check("workers", move || health.ready());
    let shutdown = process.edge.clone();
    process.spawn(Tier::Edge, "workers", async move { workers.run(shutdown).await });
    Ok(())
}

/// The mail server, with the password that its reference leads to.
fn mail(process: &Process) -> Result<Mail, BoxError> {
    let mail = process.config.mail.clone();
    let Some(reference) = &mail.password else { return Ok(mail) };
    let found = secret(reference).ok_or_else(|| format!("mail.password: there is nothing at {reference:?}"))?;
    let secret = Some(found.parse().map_err(|error| format!("mail.password: {error}"))?);
    Ok(Mail { secret, ..mail })
}
