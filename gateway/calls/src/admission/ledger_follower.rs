//! Follows the ledgers of one shard for what concerns this gateway: recalls of its leases, and moves in tenants whose
//! calls wait here.
//!
//! This makes things quick, not safe: a holder that hears nothing is closed by the fence.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt;
use steward_events::commit::Commit;
use steward_events::event::{AggregateKind, Event, LedgerEvent};
use steward_events::quantity::{Position, Shard};
use steward_ports::log::{Filter, LogError};

use super::Admission;
use super::actor::Message;

const PAUSE: Duration = Duration::from_millis(200);

/// Follows until admission is dropped.
pub(super) async fn follow(admission: Weak<Admission>, shard: Shard) {
    let mut after = None;
    while let Some(alive) = admission.upgrade() {
        let log = Arc::clone(&alive.ports.log);
        drop(alive);
        let filter = Filter::shard(shard).kinds(&[AggregateKind::Ledger]);
        let followed = async {
            let from = match after {
                Some(position) => position,
                // What was recorded before this gateway run concerns it only through replies.
                None => log.last(&filter).await?,
            };
            let mut commits = log.follow(&filter, from).await?;
            while let Some(stored) = commits.next().await {
                let stored = stored?;
                after = Some(stored.position);
                let Some(admission) = admission.upgrade() else { return Ok(()) };
                hear(&admission, &Commit::decode(&stored.stream, &stored.bytes)?, stored.position);
            }
            Ok::<(), LogError>(())
        };
        if let Err(error) = followed.await {
            tracing::warn!(%shard, %error, "the ledgers cannot be followed; trying again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn hear(admission: &Admission, commit: &Commit, position: Position) {
    let mut moved = false;
    for recorded in commit.recorded(position) {
        let Event::Ledger(event) = recorded.event else { continue };
        match event {
            LedgerEvent::LeaseRecalled { lease } if lease.holder == admission.holder => {
                admission.tell_tenant(&commit.stream.tenant, |_| true, || Message::Recalled(lease.clone()));
            }
            LedgerEvent::BudgetSet { .. }
            | LedgerEvent::BudgetRemoved { .. }
            | LedgerEvent::LeaseRenewed { .. }
            | LedgerEvent::LeaseEnded { .. }
            | LedgerEvent::LeaseCorrected { .. }
            | LedgerEvent::RequestDequeued { .. } => moved = true,
            LedgerEvent::LeaseGranted { .. }
            | LedgerEvent::RequestQueued { .. }
            | LedgerEvent::LeaseRecalled { .. }
            | LedgerEvent::ThresholdCrossed { .. } => {}
        }
    }
    if moved {
        admission.tell_tenant(&commit.stream.tenant, |waiting| waiting, || Message::Moved);
    }
}
