//! The three steps that end a lease: close its journal, fold it up to that close, tell the ledger.

use steward_aggregates::usage::{self, AtClose, Usage};
use steward_events::BoxError;
use steward_events::command::EndLease;
use steward_events::commit::{Commit, Entry};
use steward_events::event::UsageEvent;
use steward_events::id::{CommandId, CommitId, CorrelationId, LeaseId, PrincipalId, SystemPart, TenantId};
use steward_events::quantity::{Position, Shard};
use steward_events::stream::StreamName;
use steward_ports::append::{AppendError, append};
use steward_ports::journal::{StreamEnd, read_to_end};
use steward_ports::log::{EventLog, Filter, Stored};

use super::mutations;
use super::open_leases::OpenLease;
use crate::WorkerPorts;
use crate::dispatch::{Cause, Dispatch};

/// How often the holder may write first before this attempt is given up; the timer rings again.
const RIVALS_MAX: usize = 20;

/// Ends `lease`, even while it is used: from the fence on, nothing starts.
pub(super) async fn end(
    ports: &WorkerPorts,
    dispatch: &Dispatch,
    shard: Shard,
    tenant: &TenantId,
    lease: &LeaseId,
    open: &OpenLease,
    reason: &str,
) -> Result<(), BoxError> {
    let stream = usage::journal(shard, tenant, &lease.holder, &open.scopes)?;
    let closed = if mutations::closes_the_journal() {
        close(ports, &stream, lease, open.granted_at, reason).await?
    } else {
        said_so_far(&read_to_end(&*ports.log, &stream, open.granted_at).await?, &stream, lease)?
    };
    let cause = Cause { causation: Some(format!("{stream}@{}", closed.at)), ..Cause::default() };
    let end = EndLease {
        lease: lease.clone(),
        closed_at: closed.at,
        used_total: closed.used,
        late_total: closed.late,
        unsettled: closed.unsettled,
    };
    dispatch.send(tenant, end, &cause).await?;
    tracing::info!(tenant.id = %tenant, %lease, reason, "lease ended");
    Ok(())
}

/// The journal's end and what it says since the lease was granted: before that it cannot mention the lease.
async fn read(log: &dyn EventLog, stream: &StreamName, after: Position) -> Result<(StreamEnd, Usage), BoxError> {
    let (mut end, mut usage) = (StreamEnd::default(), Usage::default());
    // In this order: where nothing stands after the grant by the second look, the first saw the journal's end. The other
    // way round, what came in between would be skipped but for its last commit, and a close with it.
    let last = log.last(&Filter::stream(stream)).await?;
    let mut tail = read_to_end(log, stream, after).await?;
    if tail.is_empty() {
        tail.extend(log.at(stream.shard, last).await?.filter(|stored| stored.stream == *stream));
    }
    for stored in tail {
        let commit = Commit::decode(stream, &stored.bytes)?;
        usage.fold(&commit, stored.position);
        end.advance(&commit, (&stored).into());
    }
    Ok((end, usage))
}

async fn close(
    ports: &WorkerPorts,
    stream: &StreamName,
    lease: &LeaseId,
    granted_at: Position,
    reason: &str,
) -> Result<AtClose, BoxError> {
    for _ in 0..RIVALS_MAX {
        let (end, mut usage) = read(&*ports.log, stream, granted_at).await?;
        if usage.is_closed(lease) {
            return closed(&usage, lease);
        }
        let commit = closing(ports, stream, &end, lease, reason)?;
        match append(&*ports.log, end.position, &commit).await {
            Ok(_) if !mutations::folds_up_to_the_close() => {
                return said_so_far(&ports.log.load(stream, granted_at).await?, stream, lease);
            }
            Ok(appended) => {
                usage.fold(&commit, appended.position);
                return closed(&usage, lease);
            }
            Err(AppendError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err("the holder always wrote first".into())
}

fn closed(usage: &Usage, lease: &LeaseId) -> Result<AtClose, BoxError> {
    let closed = usage.lease(lease).and_then(|of_lease| of_lease.closed.clone());
    closed.ok_or_else(|| "a closed lease has no close".into())
}

/// What a journal says without a close that it ends with: only for a rule that is dropped.
fn said_so_far(journal: &[Stored], stream: &StreamName, lease: &LeaseId) -> Result<AtClose, BoxError> {
    let mut said = Usage::default();
    for stored in journal {
        said.fold(&Commit::decode(stream, &stored.bytes)?, stored.position);
    }
    let said = said.lease(lease).cloned().unwrap_or_default();
    Ok(AtClose { at: Position(0), used: said.used, late: said.late, unsettled: said.unsettled() })
}

fn closing(
    ports: &WorkerPorts,
    stream: &StreamName,
    end: &StreamEnd,
    lease: &LeaseId,
    reason: &str,
) -> Result<Commit, BoxError> {
    let event = UsageEvent::LeaseClosed { lease: lease.clone(), reason: reason.to_owned() };
    let entry = Entry {
        command: CommandId::new(ports.ids.unique())?,
        at: ports.clock.now().max(end.at),
        actor: PrincipalId::system(SystemPart::Worker),
        on_behalf_of: None,
        key: None,
        causation: None,
        correlation: CorrelationId::new(ports.ids.unique())?,
        body: None,
        events: vec![event.into()],
    };
    Ok(end.next(CommitId::new(ports.ids.unique())?, stream.clone(), vec![entry]))
}
