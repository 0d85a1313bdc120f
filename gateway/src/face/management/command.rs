//! Sends a command as the caller and answers with what came of it.

use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use steward_aggregates::catalog::Catalogs;
use steward_authority::Authority;
use steward_events::command::{Command, CommandSpec, FileCommand, IdentityCommand, RegistryCommand};
use steward_events::id::{FileId, TenantId};
use steward_events::request::Reply;
use steward_events::view::View;

use super::caller::ManagementCaller;
use super::issue_key;
use crate::error::Error;
use crate::observe::Arrival;

/// What is taken however little the log can still take.
const ENDS_A_RIGHT: &[&str] = &["revoke", "suspend", "disable", "cancel", "leave"];

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
    if let Some(field) = issue_key::names_new_key(spec) {
        (body, secret) = issue_key::complete(caller, &id, &body, field)?;
        format = steward_events::request::Format::Json;
    }
    let command = Command::read(spec.noun, spec.verb, format, &body)?;
    check_capacity(caller, spec)?;
    let request = caller.request((spec.noun, spec.verb), id, format, body)?;
    let decided = caller.management.bus.command(request).await?.into_result();
    let mut reply = decided.map_err(|why| match &command {
        Command::Identity(IdentityCommand::IssueKey(issue)) => {
            Error::Decided(issue_key::refused(caller, issue, secret.is_some(), why))
        }
        Command::Identity(IdentityCommand::RotateKey(rotate)) => {
            Error::Decided(issue_key::rotation_refused(caller, rotate, secret.is_some(), why))
        }
        _ => Error::Decided(why),
    })?;
    follow_up(caller, &command, &reply).await;
    let mut status = StatusCode::OK;
    match &command {
        Command::Registry(RegistryCommand::CreateTenant(create)) if !opened(caller, &create.tenant).await => {
            // Taken and placed; it opens by itself as soon as a worker runs.
            status = StatusCode::ACCEPTED;
        }
        Command::Identity(IdentityCommand::IssueKey(issue)) => {
            issue_key::show(&mut reply, issue.key.as_ref(), secret);
        }
        Command::Identity(IdentityCommand::RotateKey(rotate)) => {
            issue_key::show(&mut reply, rotate.successor.as_ref(), secret);
        }
        _ => {}
    }
    let written = caller.format.write(&reply).map_err(|error| Error::unanswered(error.to_string()))?;
    let mut response = caller.respond(written);
    *response.status_mut() = status;
    Ok(response)
}

/// Sends a command of a face's own making as the caller.
pub(in crate::face) async fn decide(
    caller: &ManagementCaller<'_>,
    command: impl Into<Command>,
) -> Result<Reply, Error> {
    let command = command.into();
    let spec = command.spec();
    check_capacity(caller, spec)?;
    let body = command.write(caller.format).map_err(|error| Error::unavailable(error.to_string()))?;
    let request = caller.request((spec.noun, spec.verb), caller.command_id()?, caller.format, body)?;
    let reply = caller.management.bus.command(request).await?.into_result().map_err(Error::Decided)?;
    follow_up(caller, &command, &reply).await;
    Ok(reply)
}

fn check_capacity(caller: &ManagementCaller<'_>, spec: &CommandSpec) -> Result<(), Error> {
    if ENDS_A_RIGHT.contains(&spec.verb) {
        return Ok(());
    }
    (caller.management.capacity.commands)().map_err(Error::unavailable)
}

/// What this gateway does beside the log once a command was decided.
async fn follow_up(caller: &ManagementCaller<'_>, command: &Command, reply: &Reply) {
    show_to_own_views(caller, command, reply).await;
    if let Command::File(FileCommand::RemoveFile(remove)) = command {
        forget(caller, &remove.file).await;
    }
}

/// Removes what a removed file holds. Nobody reads it any more; what cannot be removed now ends by itself.
async fn forget(caller: &ManagementCaller<'_>, file: &FileId) {
    let (management, tenant) = (caller.management, &caller.tenant);
    let Ok(Some(shard)) = management.access.shard(tenant).await else { return };
    let Ok(files) = management.files.of(tenant, shard, &Arrival::of(caller.parts).id).await else { return };
    // Why is in the log of this process.
    _ = files.remove(file).await;
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
