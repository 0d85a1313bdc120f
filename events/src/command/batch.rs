//! Commands about batches of model calls.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::{Body, Reference};
use crate::event::{AggregateKind, BatchEnd, BatchEndpoint, BatchMetadata, BatchProblem, LineCounts};
use crate::id::{BatchId, FileId, StreamId, TenantId};
use crate::ids::Ids;
use crate::quantity::Epoch;
use crate::scope::Scope;
use crate::sealed::{Content, KeyOwner, Sealable};
use crate::timestamp::Timestamp;

commands! {
    BatchCommand of Batch {
        "batch" "submit" => SubmitBatch, Callers, "Have the model calls in a file made within a day";
        "batch" "cancel" => CancelBatch, Callers, "Cancel a batch: calls that run end, further ones are not made";
        "batch" "claim" => ClaimBatch, System, "Claim a batch";
        "batch" "extend" => ExtendBatch, System, "Extend the claim on a batch, and say how far it is";
        "batch" "start" => StartBatch, System, "Record that a batch's lines were read";
        "batch" "finalize" => FinalizeBatch, System, "Record that no further line of a batch is called";
        "batch" "end" => EndBatch, System, "Record that a batch is over";
        "batch" "fail" => FailBatch, System, "Record that a batch cannot be done";
    }
}

fn stream_of(batch: &BatchId) -> StreamId {
    StreamId::new(batch.as_str()).unwrap_or_else(|_| StreamId::main())
}

/// Has the calls in a file made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitBatch {
    /// Id of the batch, `batch_…`; made if left out. The same id submits only once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchId>,
    /// Path that each line calls.
    pub endpoint: BatchEndpoint,
    /// Id of the file that holds the calls, one a line.
    pub input_file: FileId,
    /// Scope on which the calls are booked; the whole tenant if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Notes, at most 16; sealed before they are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Content<BatchMetadata>>,
    /// Seconds for which the files that it makes are kept; as long as other files if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_kept_s: Option<u64>,
}

impl Body for SubmitBatch {
    fn begins_in_project(&self) -> bool {
        true
    }
    fn stream(&self) -> StreamId {
        self.batch.as_ref().map_or_else(StreamId::main, stream_of)
    }
    fn scope(&self, tenant: &TenantId) -> Scope {
        self.scope.clone().unwrap_or_else(|| Scope::tenant(tenant))
    }
    fn complete(&mut self, fresh: &dyn Ids) {
        if self.batch.is_none() {
            self.batch = BatchId::of(&fresh.unique()).ok();
        }
    }
    fn sealed(&mut self, tenant: &TenantId) -> Vec<(&mut dyn Sealable, KeyOwner)> {
        let metadata = self.metadata.as_mut().map(|metadata| metadata as &mut dyn Sealable);
        metadata.map(|metadata| (metadata, KeyOwner::Tenant(tenant.clone()))).into_iter().collect()
    }
}

/// Cancels a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelBatch {
    /// Id of the batch.
    pub batch: BatchId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for CancelBatch {
    fn stream(&self) -> StreamId {
        stream_of(&self.batch)
    }
    fn concerns(&self) -> Option<Reference> {
        Some(Reference { kind: AggregateKind::Batch, id: self.stream() })
    }
}

/// A body that its batch's stream decides.
macro_rules! on_batch {
    ($($body:ident),*) => {$(
        impl Body for $body {
            fn stream(&self) -> StreamId {
                stream_of(&self.batch)
            }
        }
    )*};
}

on_batch!(ClaimBatch, ExtendBatch, StartBatch, FinalizeBatch, EndBatch, FailBatch);

/// Claims a batch that nobody runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimBatch {
    /// Which.
    pub batch: BatchId,
    /// The worker, by its run.
    pub worker: String,
    /// When the claim lapses unless it is extended.
    pub until: Timestamp,
}

/// Extends a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendBatch {
    /// Which batch.
    pub batch: BatchId,
    /// Which claim.
    pub epoch: Epoch,
    /// When it lapses now.
    pub until: Timestamp,
    /// What came of the lines so far.
    pub counts: LineCounts,
}

/// The lines were read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartBatch {
    /// Which batch.
    pub batch: BatchId,
    /// Which claim.
    pub epoch: Epoch,
    /// How many lines there are.
    pub lines: u32,
}

/// No further line is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinalizeBatch {
    /// Which batch.
    pub batch: BatchId,
    /// Which claim.
    pub epoch: Epoch,
    /// What came of the lines.
    pub counts: LineCounts,
}

/// A batch is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndBatch {
    /// Which batch.
    pub batch: BatchId,
    /// Which claim.
    pub epoch: Epoch,
    /// How it came to its end.
    pub end: BatchEnd,
    /// What came of the lines.
    pub counts: LineCounts,
    /// Where the answers are, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_file: Option<FileId>,
    /// Where the failures are, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_file: Option<FileId>,
}

/// A batch cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailBatch {
    /// Which batch.
    pub batch: BatchId,
    /// Which claim.
    pub epoch: Epoch,
    /// What is wrong.
    pub problems: Vec<BatchProblem>,
}
