//! How long a revoked key's open connection to the bus goes on commanding.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use steward_events::BoxError;
use steward_events::id::PrincipalId;
use steward_jetstream::{Connection, Credentials, JetStreamBus};
use tokio::sync::oneshot;

use super::{CALLS_BEFORE, Used, times};
use crate::Progress;
use crate::commands::Sender;
use crate::company::{self, Company, MODEL};
use crate::figures::Figures;
use crate::system::System;

/// How long a command may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// How often it is looked whether the connection still stands. A command under way when it ends gets no answer.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Revokes keys whose connections command without a pause.
pub(super) async fn measure(
    system: &System,
    company: &Company,
    trials: usize,
    progress: &Progress,
) -> Result<Figures, BoxError> {
    let Company { operator, tenant, .. } = company;
    let (admin, _) = company.administrator(&system.place).await?;
    let mut used = Vec::new();
    for trial in 1..=trials {
        progress.say(&format!("revocation on the bus: {trial} of {trials}"));
        let key = company::issue(operator, tenant, &admin.principal, tenant.as_str()).await?;
        // As the key, so that whoever decides knows by which it comes.
        let speaker = PrincipalId::new(&key.id)?;
        let credentials = Credentials::caller(system.place.bus_url(), tenant, &speaker, key.secret.clone());
        let connection = Connection::connect(&credentials).await?;
        let bus = JetStreamBus::over(&connection).with_time_max(ANSWER_TIME_MAX);
        let sender = Sender::new(Arc::new(bus), tenant.clone(), speaker);
        let (in_use, ready) = oneshot::channel();
        let commanding = tokio::spawn(command_until_refused(connection, sender, in_use));
        if ready.await.is_err() {
            commanding.await??;
            return Err("a connection was refused before its key was revoked".into());
        }
        company::command(operator, tenant, "key", "revoke", &json!({ "key": key.id, "reason": "bench" })).await?;
        let acknowledged = Instant::now();
        used.push((acknowledged, commanding.await??));
    }
    let mut figures = times("revocation.bus", &used, |used| used.refused);
    figures.extend(times("revocation.bus_still_worked", &used, |used| used.last_good));
    Ok(figures)
}

/// Sends commands that each change something until one is not accepted or the connection is ended.
async fn command_until_refused(
    connection: Connection,
    sender: Sender,
    in_use: oneshot::Sender<()>,
) -> Result<Used, BoxError> {
    let (mut in_use, mut turn) = (Some(in_use), 0);
    let mut last_good = Instant::now();
    loop {
        turn += 1;
        let spec = json!({ "model": MODEL, "instructions": format!("You answer briefly, {turn}.") });
        let sent = Instant::now();
        let body = json!({ "agent": "hurried", "spec": spec });
        let answered = tokio::select! {
            answered = sender.send("agent", "define", &body) => answered,
            () = ended(&connection) => Err("the connection was ended".into()),
        };
        match answered {
            Ok(()) => last_good = sent,
            Err(_) if turn > CALLS_BEFORE => return Ok(Used { refused: Instant::now(), last_good }),
            Err(error) => return Err(error),
        }
        if turn == CALLS_BEFORE
            && let Some(in_use) = in_use.take()
        {
            // Whoever waits for it may have given up.
            _ = in_use.send(());
        }
    }
}

/// Returns when the server is no longer at the other end.
async fn ended(connection: &Connection) {
    while connection.is_connected() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
