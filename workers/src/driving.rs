//! Driving what is durable, tasks and batches: who drives what, for how long, and when it is left.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use steward_authority::Authority;
use steward_events::id::TenantId;
use steward_events::timestamp::Timestamp;
use steward_events::view::View;
use steward_ports::clock::Clock;
use steward_ports::live::Live;
use tokio_util::sync::CancellationToken;
use tracing::Span;

pub(crate) mod claim;
pub(crate) mod ending;
pub(crate) mod fairness;
pub(crate) mod worker;

/// A kind of durable work, and all that is open of it.
pub(crate) trait Work: Send + Sync + 'static {
    /// The name of one piece of it, over all tenants.
    type Item: Clone + Eq + Hash + Debug + Send + Sync + 'static;
    /// What is open.
    type Open: View;

    /// What is open, kept current.
    fn live(&self) -> &Live<Self::Open>;
    /// Time.
    fn clock(&self) -> &Arc<dyn Clock>;
    /// How much of it at once.
    fn bounds(&self) -> Bounds;
    /// Whose it is.
    fn tenant(item: &Self::Item) -> &TenantId;
    /// What nobody drives at `now`, the longest waiting first: at most `each_max` a tenant, without what `skip` says.
    fn claimable(
        open: &Self::Open,
        now: Timestamp,
        each_max: usize,
        skip: &dyn Fn(&Self::Item) -> bool,
    ) -> BTreeMap<TenantId, Vec<Self::Item>>;
    /// When the next claim lapses after `now`.
    fn next_lapse(open: &Self::Open, now: Timestamp) -> Option<Timestamp>;
    /// What is logged while it is driven.
    fn span(item: &Self::Item) -> Span;
    /// Drives it until it is closed, lost or given up.
    fn drive(self: Arc<Self>, item: Self::Item, stop: Stop) -> BoxFuture<'static, Left>;
}

/// How much of one kind of work a process does at once.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_field_names)] // each is a bound, and is named as bounds are
pub(crate) struct Bounds {
    pub(crate) concurrent_max: usize,
    pub(crate) per_tenant_max: usize,
    /// How long a stopping process goes on with it.
    pub(crate) drain_time_max: Duration,
}

/// Names for claims: if this process asks for the same twice, the two cannot be taken for each other.
pub(crate) struct Claimants {
    /// This worker, by its run.
    worker: String,
    /// How many claims it has asked for.
    claims: AtomicU64,
}

impl Claimants {
    pub(crate) const fn new(worker: String) -> Self {
        Self { worker, claims: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> String {
        format!("{}.{}", self.worker, self.claims.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Whose keys work: what is driven ends with the one by which it was submitted.
pub(crate) type Keys = Live<Authority>;

/// How a worker came to leave what it drove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing is left to do: done, failed or cancelled.
    Closed,
    /// It was somebody else's, or cannot be had now.
    NotHad,
    /// Given up, for the next worker.
    Released,
    /// The claim has passed on; nothing was written since.
    Lost,
}

/// Told from outside to stop.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    /// Begin nothing further.
    pub(crate) drain: CancellationToken,
    /// Break off what was begun.
    pub(crate) now: CancellationToken,
}
