//! The three steps that end a lease: close its journal, fold it until that very message, tell the ledger.

use steward_aggregates::sabotage::{Rule, drops};
use steward_aggregates::usage::{self, Usage};
use steward_events::BoxError;
use steward_events::append::{AppendError, append};
use steward_events::clock::Timestamp;
use steward_events::command::EndLease;
use steward_events::commit::{Commit, CommitHash, Entry};
use steward_events::event::UsageEvent;
use steward_events::id::{CommandId, CommitId, CorrelationId, LeaseId, PrincipalId, SystemPart, TenantId};
use steward_events::log::{EventLog, StreamName};
use steward_events::quantity::{Position, Shard, Version};

use super::books::Open;
use super::journal;
use crate::WorkerPorts;
use crate::orders::{Cause, Orders};

/// How often the holder may write first before this attempt is given up; the timer rings again.
const RIVALS_MAX: usize = 20;

/// Ends `lease`, whoever may be using it: from the fence on, nothing starts.
pub(super) async fn end(
    ports: &WorkerPorts,
    orders: &Orders,
    shard: Shard,
    tenant: &TenantId,
    lease: &LeaseId,
    open: &Open,
    reason: &str,
) -> Result<(), BoxError> {
    let stream = usage::journal(shard, tenant, &lease.holder, &open.scopes)?;
    let (said, closed_at) = if drops(Rule::NoFence) {
        (read(&*ports.log, &stream, open.granted_at).await?.usage, Position(0))
    } else {
        close(ports, &stream, lease, open.granted_at, reason).await?
    };
    let of_lease = said.lease(lease).cloned().unwrap_or_default();
    let order = EndLease {
        lease: lease.clone(),
        closed_at,
        used_total: of_lease.used,
        late_total: of_lease.late,
        unsettled: of_lease.unsettled(),
    };
    let cause = Cause { causation: Some(format!("{stream}@{closed_at}")), ..Cause::default() };
    orders.send(tenant, order, &cause).await?;
    tracing::info!(tenant.id = %tenant, %lease, reason, "lease ended");
    Ok(())
}

/// The journal's end and what it says since the lease was granted: before that it cannot mention the lease.
struct Read {
    usage: Usage,
    last: Position,
    version: Version,
    hash: CommitHash,
    at: Timestamp,
}

async fn read(log: &dyn EventLog, stream: &StreamName, after: Position) -> Result<Read, BoxError> {
    let mut read = Read {
        usage: Usage::default(),
        last: Position(0),
        version: Version(0),
        hash: CommitHash::default(),
        at: Timestamp(0),
    };
    let mut tail =
        if drops(Rule::StaleFold) { log.load(stream, after).await? } else { journal::tail(log, stream, after).await? };
    if tail.is_empty() {
        let last = log.last(&steward_events::log::Filter::stream(stream)).await?;
        tail.extend(log.at(stream.shard, last).await?.filter(|stored| stored.stream == *stream));
    }
    for stored in tail {
        let commit = Commit::decode(stream, &stored.bytes)?;
        read.usage.fold(&commit, stored.position);
        read.last = stored.position;
        read.version = commit.version;
        read.hash = CommitHash::of(&stored.bytes);
        read.at = commit.entries.last().map_or(Timestamp(0), |entry| entry.at);
    }
    Ok(read)
}

async fn close(
    ports: &WorkerPorts,
    stream: &StreamName,
    lease: &LeaseId,
    granted_at: Position,
    reason: &str,
) -> Result<(Usage, Position), BoxError> {
    for _ in 0..RIVALS_MAX {
        let mut read = read(&*ports.log, stream, granted_at).await?;
        if let Some(closed_at) = read.usage.lease(lease).and_then(|of_lease| of_lease.closed_at) {
            return Ok((read.usage, closed_at));
        }
        let commit = closing(ports, stream, &read, lease, reason)?;
        match append(&*ports.log, read.last, &commit).await {
            Ok(appended) => {
                read.usage.fold(&commit, appended.position);
                return Ok((read.usage, appended.position));
            }
            Err(AppendError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err("the holder always wrote first".into())
}

fn closing(
    ports: &WorkerPorts,
    stream: &StreamName,
    read: &Read,
    lease: &LeaseId,
    reason: &str,
) -> Result<Commit, BoxError> {
    let event = UsageEvent::LeaseClosed { lease: lease.clone(), reason: reason.to_owned() };
    let entry = Entry {
        command: CommandId::new(ports.ids.unique())?,
        at: ports.clock.now().max(read.at),
        actor: PrincipalId::system(SystemPart::Worker),
        on_behalf_of: None,
        causation: None,
        correlation: CorrelationId::new(ports.ids.unique())?,
        events: vec![event.into()],
    };
    Ok(Commit {
        id: CommitId::new(ports.ids.unique())?,
        stream: stream.clone(),
        version: read.version.next(),
        prev: read.hash,
        entries: vec![entry],
    })
}
