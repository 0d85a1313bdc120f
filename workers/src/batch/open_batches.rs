//! Which batches are open, and who runs them: a fold of the log, small enough to keep in memory.

use std::collections::{BTreeMap, HashSet};

use steward_events::commit::Recorded;
use steward_events::event::{BatchEndpoint, BatchEvent, TenantEvent};
use steward_events::id::{BatchId, CorrelationId, FileId, PrincipalId, TenantId};
use steward_events::quantity::{Epoch, Position};
use steward_events::scope::Scope;
use steward_events::sender::KeyRef;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_events::view::Reads;

/// One batch, over all tenants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BatchRef {
    pub(crate) tenant: TenantId,
    pub(crate) batch: BatchId,
}

/// A batch that is not over.
#[derive(Clone, Debug)]
pub(crate) struct OpenBatch {
    pub(crate) stream: StreamName,
    pub(crate) submitted_at: Position,
    pub(crate) scope: Scope,
    pub(crate) endpoint: BatchEndpoint,
    pub(crate) input_file: FileId,
    pub(crate) expires: Timestamp,
    pub(crate) output_kept_s: Option<u64>,
    pub(crate) submitted_by: PrincipalId,
    pub(crate) submitted_with: Option<KeyRef>,
    pub(crate) correlation: CorrelationId,
    /// Somebody does not want it any more.
    pub(crate) cancelling: bool,
    /// Its lines were read, by whomever.
    pub(crate) started: bool,
    pub(crate) claim: Option<HeldClaim>,
}

/// The claim that counts, lapsed or not.
#[derive(Clone, Debug)]
pub(crate) struct HeldClaim {
    pub(crate) epoch: Epoch,
    pub(crate) worker: String,
    until: Timestamp,
}

/// The fold.
#[derive(Debug, Default)]
pub(crate) struct OpenBatches {
    open: BTreeMap<BatchRef, OpenBatch>,
    suspended: HashSet<TenantId>,
}

impl OpenBatches {
    pub(crate) fn open(&self, batch: &BatchRef) -> Option<&OpenBatch> {
        self.open.get(batch)
    }

    pub(crate) fn is_suspended(&self, tenant: &TenantId) -> bool {
        self.suspended.contains(tenant)
    }

    /// What nobody runs at `now`, the longest waiting first: at most `each_max` a tenant, without what `skip` says.
    pub(crate) fn claimable(
        &self,
        now: Timestamp,
        each_max: usize,
        skip: impl Fn(&BatchRef) -> bool,
    ) -> BTreeMap<TenantId, Vec<BatchRef>> {
        let is_free = |open: &OpenBatch| open.claim.as_ref().is_none_or(|claim| claim.until <= now);
        let mut free: Vec<_> = self.open.iter().filter(|(_, open)| is_free(open)).collect();
        free.sort_by_key(|(_, open)| open.submitted_at);
        let mut found: BTreeMap<TenantId, Vec<BatchRef>> = BTreeMap::new();
        for (batch, _) in free {
            if self.is_suspended(&batch.tenant) || skip(batch) {
                continue;
            }
            let of_tenant = found.entry(batch.tenant.clone()).or_default();
            if of_tenant.len() < each_max {
                of_tenant.push(batch.clone());
            }
        }
        found
    }

    /// When the next claim lapses after `now`.
    pub(crate) fn next_lapse(&self, now: Timestamp) -> Option<Timestamp> {
        let claims = self.open.values().filter_map(|open| open.claim.as_ref());
        claims.map(|claim| claim.until).filter(|until| *until > now).min()
    }
}

/// The batch whose stream this is.
pub(crate) fn batch_of(stream: &StreamName) -> Option<BatchRef> {
    // A batch's stream bears its name.
    Some(BatchRef { tenant: stream.tenant.clone(), batch: BatchId::new(stream.id.as_str()).ok()? })
}

steward_events::view!(OpenBatches, reads TenantEvent, BatchEvent);

impl Reads<TenantEvent> for OpenBatches {
    fn read(&mut self, event: &TenantEvent, recorded: &Recorded<'_>) {
        let tenant = &recorded.stream.tenant;
        match event {
            TenantEvent::Suspended { .. } => _ = self.suspended.insert(tenant.clone()),
            TenantEvent::Resumed => _ = self.suspended.remove(tenant),
            // Who is erased is suspended before, and not resumed.
            TenantEvent::Created { .. }
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

impl Reads<BatchEvent> for OpenBatches {
    fn read(&mut self, event: &BatchEvent, recorded: &Recorded<'_>) {
        let Some(batch) = batch_of(recorded.stream) else { return };
        if let BatchEvent::Submitted {
            batch: _,
            scope,
            endpoint,
            input_file,
            expires,
            metadata: _,
            output_kept_s,
            submitted_by,
            submitted_with,
        } = event.clone()
        {
            let open = OpenBatch {
                stream: recorded.stream.clone(),
                submitted_at: recorded.position,
                scope,
                endpoint,
                input_file,
                expires,
                output_kept_s,
                submitted_by,
                submitted_with,
                correlation: recorded.entry.correlation.clone(),
                cancelling: false,
                started: false,
                claim: None,
            };
            self.open.insert(batch, open);
            return;
        }
        let Some(open) = self.open.get_mut(&batch) else { return };
        match event.clone() {
            BatchEvent::Claimed { epoch, worker, until } => open.claim = Some(HeldClaim { epoch, worker, until }),
            BatchEvent::ClaimExtended { until, .. } => {
                if let Some(claim) = &mut open.claim {
                    claim.until = until;
                }
            }
            BatchEvent::Started { .. } => open.started = true,
            BatchEvent::CancelAsked { .. } => open.cancelling = true,
            BatchEvent::Submitted { .. } | BatchEvent::Finalizing { .. } => {}
            BatchEvent::Ended { .. } | BatchEvent::Failed { .. } => _ = self.open.remove(&batch),
        }
    }
}
