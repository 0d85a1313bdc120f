//! Sends a command as the caller and answers with what came of it.

use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use steward_aggregates::authority::Authority;
use steward_aggregates::catalog::Catalogs;
use steward_events::command::{Command, CommandSpec, IdentityCommand, RegistryCommand};
use steward_events::id::TenantId;
use steward_events::request::Reply;
use steward_events::view::View;

use super::caller::ManagementCaller;
use super::issue_key;
use crate::error::Error;

/// What is taken however little the log can still take.
const ENDS_A_RIGHT: &[&str] = &["revoke", "suspend", "disable", "cancel"];

/// How often to look whether a new tenant is open.
const OPEN_PAUSE: Duration = Duration::from_millis(20);

/// Sends the command `spec` with `body`.
pub(super) async fn send(
    caller: &ManagementCaller<'_>,
    spec: &'static CommandSpec,
    body: Bytes,
) -> Result<Response, Error> {
    caller.check(spec.permission())?;
    let (mut format, mut body, mut secret) = (caller.format, body, None);
    let id = caller.command_id()?;
    if (spec.noun, spec.verb) == ("key", "issue") {
        (body, secret) = issue_key::complete(caller, &id, &body)?;
        format = steward_events::request::Format::Json;
    }
    let command = Command::read(spec.noun, spec.verb, format, &body)?;
    if !ENDS_A_RIGHT.contains(&spec.verb) {
        (caller.management.capacity.commands)().map_err(Error::unavailable)?;
    }
    let request = caller.request((spec.noun, spec.verb), id, format, body)?;
    let decided = caller.management.bus.command(request).await?.into_result();
    let mut reply = decided.map_err(|why| match &command {
        Command::Identity(IdentityCommand::IssueKey(issue)) => {
            Error::Decided(issue_key::refused(caller, issue, secret.is_some(), why))
        }
        _ => Error::Decided(why),
    })?;
    show_to_own_views(caller, &command, &reply).await;
    let mut status = StatusCode::OK;
    match &command {
        Command::Registry(RegistryCommand::CreateTenant(create)) if !opened(caller, &create.tenant).await => {
            // Taken and placed; it opens by itself as soon as a worker runs.
            status = StatusCode::ACCEPTED;
        }
        Command::Identity(IdentityCommand::IssueKey(issue)) => {
            issue_key::show(&mut reply, issue, secret);
        }
        _ => {}
    }
    let written = caller.format.write(&reply).map_err(|error| Error::unanswered(error.to_string()))?;
    let mut response = caller.respond(written);
    *response.status_mut() = status;
    Ok(response)
}

/// Waits until this gateway itself knows of what was recorded, so that a caller that goes on here finds it. Not in time is
/// no failure: it was recorded, and a part that needs to be sure confirms.
async fn show_to_own_views(caller: &ManagementCaller<'_>, command: &Command, reply: &Reply) {
    let (management, kind, time_max) = (caller.management, command.aggregate(), caller.management.waits.known_max);
    let Ok(Some(shard)) = management.access.shard(&caller.tenant).await else { return };
    if Authority::KINDS.contains(&kind) {
        _ = management.access.authority().reached(shard, reply.position, time_max).await;
    } else if Catalogs::KINDS.contains(&kind) {
        _ = management.catalogs.reached(shard, reply.position, time_max).await;
    }
}

/// Whether a new tenant is open within the time that its creator waits.
async fn opened(caller: &ManagementCaller<'_>, tenant: &TenantId) -> bool {
    let is_open = async {
        while !caller.management.access.authority().read().is_open(tenant) {
            tokio::time::sleep(OPEN_PAUSE).await;
        }
    };
    tokio::time::timeout(caller.management.waits.tenant_open_max, is_open).await.is_ok()
}
