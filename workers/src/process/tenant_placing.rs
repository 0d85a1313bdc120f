//! A placed tenant is opened: `TenantPlaced` in the registry leads to `tenant.open` in the tenant's own shard.
//!
//! Knows which tenants are placed and not yet open, from a fold of the log; so a restart opens just what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use steward_events::command::OpenTenant;
use steward_events::commit::Recorded;
use steward_events::event::{AggregateKind, RegistryEvent, TenantEvent};
use steward_events::id::{CorrelationId, TenantId};
use steward_events::view::{Reads, View};
use steward_ports::live::{Live, NotFresh};
use tokio_util::sync::CancellationToken;

use crate::dispatch::{Cause, Dispatch, DispatchError};
use crate::process::Error;
use crate::{WorkerPorts, wake};

/// Tenants opened at once.
const OPENING_MAX: usize = 8;
/// How long to wait before a tenant whose opening went wrong is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// A tenant that has a place and is not open.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PlacedTenant {
    open: OpenTenant,
    causation: String,
    correlation: CorrelationId,
}

/// Tenants placed and not open.
#[derive(Debug, Default)]
struct Unopened {
    waiting: BTreeMap<TenantId, PlacedTenant>,
    /// Seen open before they were seen placed: these events are in different shards, which are folded side by side.
    opened_early: BTreeSet<TenantId>,
}

/// Which kinds this process manager reads.
pub const READS: &[AggregateKind] = Unopened::KINDS;

steward_events::view!(Unopened, reads RegistryEvent, TenantEvent);

impl Reads<RegistryEvent> for Unopened {
    fn read(&mut self, event: &RegistryEvent, recorded: &Recorded<'_>) {
        let RegistryEvent::TenantPlaced { tenant, timezone, .. } = event else { return };
        if self.opened_early.remove(tenant) {
            return;
        }
        let placed = PlacedTenant {
            open: OpenTenant { timezone: timezone.clone() },
            causation: format!("{}@{}", recorded.stream, recorded.position),
            correlation: recorded.entry.correlation.clone(),
        };
        self.waiting.insert(tenant.clone(), placed);
    }
}

impl Reads<TenantEvent> for Unopened {
    fn read(&mut self, event: &TenantEvent, _: &Recorded<'_>) {
        match event {
            TenantEvent::Created { tenant, .. } => {
                if self.waiting.remove(tenant).is_none() {
                    self.opened_early.insert(tenant.clone());
                }
            }
            TenantEvent::Suspended { .. }
            | TenantEvent::Resumed
            | TenantEvent::SettingsChanged { .. }
            | TenantEvent::ProjectCreated { .. }
            | TenantEvent::ProjectRenamed { .. }
            | TenantEvent::ProjectArchived { .. }
            | TenantEvent::ProjectRestored { .. }
            | TenantEvent::FlagSet { .. }
            | TenantEvent::FlagRemoved { .. }
            | TenantEvent::QuotaSet { .. }
            | TenantEvent::QuotaRemoved { .. }
            | TenantEvent::PlanSet { .. }
            | TenantEvent::PlanDefined { .. }
            | TenantEvent::ErasureAsked { .. }
            | TenantEvent::ErasureCancelled
            | TenantEvent::Erased
            | TenantEvent::Destroyed { .. } => {}
        }
    }
}

/// Opens tenants until told to stop.
///
/// # Errors
/// [`Error`] if the log holds what this build cannot read.
pub async fn run(ports: WorkerPorts, shutdown: CancellationToken) -> Result<(), Error> {
    let live = Live::<Unopened>::start(ports.log.clone(), ports.clock.clone());
    let dispatch = Dispatch::new(&ports);
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        stopped = open_as_they_come(&live, &dispatch) => Err(stopped.into()),
    }
}

async fn open_as_they_come(live: &Live<Unopened>, dispatch: &Dispatch) -> NotFresh {
    // Without the whole past every tenant would look unopened.
    if let Err(stopped) = wake::caught_up(live).await {
        return stopped;
    }
    loop {
        let seen = live.positions();
        if let Some(why) = live.stopped() {
            return NotFresh::Stopped(why);
        }
        let waiting: Vec<(TenantId, PlacedTenant)> =
            live.read().waiting.iter().map(|(tenant, placed)| (tenant.clone(), placed.clone())).collect();
        let failed = stream::iter(waiting)
            .map(|(tenant, placed)| async move { open(dispatch, &tenant, placed).await.is_err() })
            .buffer_unordered(OPENING_MAX)
            .fold(false, |any, failed| async move { any || failed })
            .await;
        let pause = if failed { RETRY_PAUSE } else { wake::IDLE_MAX };
        wake::moved(live, &seen, pause).await;
    }
}

async fn open(dispatch: &Dispatch, tenant: &TenantId, placed: PlacedTenant) -> Result<(), DispatchError> {
    let cause = Cause { causation: Some(placed.causation), correlation: Some(placed.correlation), on_behalf_of: None };
    let reply = dispatch.send(tenant, placed.open, &cause).await.inspect_err(|error| {
        tracing::warn!(tenant.id = %tenant, error = %error, "tenant not opened yet");
    })?;
    tracing::info!(tenant.id = %tenant, position = reply.position.0, "tenant opened");
    Ok(())
}
