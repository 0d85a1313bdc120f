//! Batches of model calls.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{Page, Paging, list_query};
use steward_events::event::{BatchEndpoint, BatchProblem, LineCounts};
use steward_events::id::{BatchId, FileId, PrincipalId};
use steward_events::quantity::Position;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

list_query! {
    /// Lists batches.
    ListBatches {
        /// Only those in this state.
        state: BatchState,
    }
}

/// Batches, the newest first. A page may also be asked for by the id of the batch that it begins after.
pub type BatchPage = Page<BatchRow>;

/// Asks for one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchQuery {
    /// Which.
    pub batch: BatchId,
    /// Answer only from a state that includes this position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_position: Option<Position>,
}

/// A batch's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// Its lines are not read yet.
    #[default]
    Validating,
    /// Its lines are called.
    InProgress,
    /// What came of its lines is being written to files.
    Finalizing,
    /// Each line was called.
    Completed,
    /// It cannot be done.
    Failed,
    /// Its time was over before each line was called.
    Expired,
    /// Somebody cancelled it; calls that run come to their end.
    Cancelling,
    /// It was cancelled before each line was called.
    Cancelled,
}

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchRow {
    /// Which.
    pub batch: BatchId,
    /// Its state.
    pub state: BatchState,
    /// What each line calls.
    pub endpoint: BatchEndpoint,
    /// Where its lines are.
    pub input_file: FileId,
    /// Where the answers are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_file: Option<FileId>,
    /// Where the failures are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_file: Option<FileId>,
    /// How many lines it has; 0 until they are read.
    pub lines: u32,
    /// What came of them so far.
    pub counts: LineCounts,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<BatchProblem>,
    /// Where its calls are booked.
    pub scope: Scope,
    /// Who submitted it.
    pub submitted_by: PrincipalId,
    /// When it came.
    pub submitted_at: Timestamp,
    /// When its lines were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When no further line was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalizing_at: Option<Timestamp>,
    /// When somebody asked to cancel it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelling_at: Option<Timestamp>,
    /// When it was over, however that came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// When the lines that were not called by then are given up.
    pub expires: Timestamp,
    /// What its owner noted, for those who may read it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The claim that counts, from 1; 0 before the first.
    pub epoch: u32,
}
