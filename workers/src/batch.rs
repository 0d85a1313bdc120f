//! Batches: the model calls that stand in a file, made line by line through the gateway, each once.
//!
//! Nothing of a batch is kept here: a line's call bears the same idempotency key whoever makes it, so a worker that takes a
//! batch over makes all calls again and gets the answers of those that were made. No provider's own batches are used.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use steward_events::id::TenantId;
use steward_events::timestamp::Timestamp;
use steward_ports::clock::Clock;
use steward_ports::live::Live;
use tokio::sync::Semaphore;
use tracing::Span;

use crate::dispatch::Dispatch;
use crate::driving::{Bounds, Claimants, Keys, Left, Stop, Work};
use crate::{Config, WorkerPorts};

mod drive;
pub(crate) mod gateway;
mod key;
mod lines;
pub(crate) mod open_batches;
mod outcome;
mod progress;
mod run;
mod run_lines;

use gateway::Gateway;
use open_batches::{BatchRef, OpenBatches};

/// What all batches of a worker share.
pub(crate) struct Batches {
    pub(crate) ports: WorkerPorts,
    pub(crate) config: Config,
    pub(crate) dispatch: Dispatch,
    pub(crate) gateway: Gateway,
    pub(crate) live: Live<OpenBatches>,
    pub(crate) authority: Arc<Keys>,
    pub(crate) claimants: Arc<Claimants>,
    /// A place for each call that may be made at once.
    pub(crate) places: Semaphore,
}

impl Work for Batches {
    type Item = BatchRef;
    type Open = OpenBatches;

    fn live(&self) -> &Live<OpenBatches> {
        &self.live
    }
    fn clock(&self) -> &Arc<dyn Clock> {
        &self.ports.clock
    }
    fn bounds(&self) -> Bounds {
        Bounds {
            concurrent_max: self.config.batches_concurrent_max.get() as usize,
            per_tenant_max: self.config.batches_per_tenant_max.get() as usize,
            drain_time_max: self.config.drain_time_max,
        }
    }
    fn tenant(batch: &BatchRef) -> &TenantId {
        &batch.tenant
    }
    fn claimable(
        open: &OpenBatches,
        now: Timestamp,
        each_max: usize,
        skip: &dyn Fn(&BatchRef) -> bool,
    ) -> BTreeMap<TenantId, Vec<BatchRef>> {
        open.claimable(now, each_max, skip)
    }
    fn next_lapse(open: &OpenBatches, now: Timestamp) -> Option<Timestamp> {
        open.next_lapse(now)
    }
    fn span(batch: &BatchRef) -> Span {
        tracing::info_span!("batch", tenant.id = %batch.tenant, batch.id = %batch.batch)
    }
    fn drive(self: Arc<Self>, batch: BatchRef, stop: Stop) -> BoxFuture<'static, Left> {
        async move { drive::drive(&self, &batch, &stop).await }.boxed()
    }
}
