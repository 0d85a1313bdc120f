//! A tenant's batches of model calls as people see them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use steward_events::BoxError;
use steward_events::commit::Recorded;
use steward_events::event::{BatchEnd, BatchEvent, BatchMetadata, LineCounts};
use steward_events::id::{BatchId, TenantId};
use steward_events::quantity::Epoch;
use steward_events::rejection::Rejection;
use steward_events::sealed::Sealed;
use steward_ports::keys::{KeyError, Keyring};
use steward_queries::{BatchPage, BatchQuery, BatchRow, BatchState, ListBatches, Order, Page};

use crate::engine::Engine;
use crate::engine::by_age;
use crate::engine::key::Key;
use crate::engine::opening::open;
use crate::engine::projector::{Projector, reads};
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};
use crate::engine::rows::Rows;
use crate::engine::runner::Runner;
use crate::engine::view_store::Snapshot;

/// The read model.
pub struct BatchesView {
    rows: Arc<Runner<Batches>>,
    keyring: Arc<Keyring>,
}

impl BatchesView {
    /// Over the engine's log and store.
    pub fn new(engine: &Engine) -> Self {
        Self { rows: engine.runner(), keyring: Arc::clone(&engine.ports.keyring) }
    }

    async fn list(&self, query: &Query<'_>) -> Result<BatchPage, NoAnswer> {
        let asked: ListBatches = query.read()?;
        let (paging, state) = (asked.paging(), asked.state);
        let (tenant, sight) = (query.tenant().clone(), query.sight.clone());
        let (min_position, after) = (paging.min_position, paging.after.clone().unwrap_or_default());
        let read = move |rows: &Snapshot<'_>| {
            let found = |name: &str| Ok(stored(rows, &tenant, name)?.map(|batch| batch.moment));
            let is_wanted = |batch: &StoredBatch| {
                state.is_none_or(|state| state == batch.row.state)
                    && sight.covers_of(&batch.row.scope, &batch.row.submitted_by)
            };
            let wanted = |row| match row {
                BatchesRow::Came(batch) => Ok(stored(rows, &tenant, batch.as_str())?.filter(is_wanted)),
                BatchesRow::Batch(_) => Ok(None),
            };
            by_age::page(rows, (&tenant, Order::Desc), paging, found, wanted)
        };
        let page = self.rows.read(query.shard, min_position, read).await?;
        let Page { position, rows, next } = page.ok_or_else(|| Rejection::invalid("after", no_batch(&after)))?;
        let mut shown = Vec::with_capacity(rows.len());
        for batch in rows {
            shown.push(self.shown(batch).await?);
        }
        Ok(Page { position, rows: shown, next })
    }

    /// One that belongs where the caller may not see is as one that is not there.
    async fn show(&self, query: &Query<'_>) -> Result<BatchRow, NoAnswer> {
        let BatchQuery { batch, min_position } = query.read()?;
        let (tenant, id) = (query.tenant().clone(), batch.clone());
        let found = self.rows.read(query.shard, min_position, move |rows| stored(rows, &tenant, id.as_str())).await?;
        let found = found.filter(|found| query.sight.covers_of(&found.row.scope, &found.row.submitted_by));
        self.shown(found.ok_or_else(|| Rejection::not_found("batch", &batch))?).await
    }

    async fn shown(&self, batch: StoredBatch) -> Result<BatchRow, NoAnswer> {
        let StoredBatch { mut row, metadata, moment: _ } = batch;
        let Some(metadata) = &metadata else { return Ok(row) };
        match open(&self.keyring, metadata).await {
            Ok(metadata) => row.metadata = metadata.into_notes(),
            Err(KeyError::Erased(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(row)
    }
}

fn no_batch(after: &str) -> String {
    let shown: String = after.chars().take(80).collect();
    format!("there is no batch {shown}: take the id of the last batch of the page before")
}

#[async_trait]
impl ReadModel for BatchesView {
    fn nouns(&self) -> &'static [&'static str] {
        &["batch"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        Some(Arc::<Runner<_>>::clone(&self.rows))
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        match query.verb() {
            "list" => query.write(&self.list(query).await?),
            "show" => query.write(&self.show(query).await?),
            _ => Err(query.unknown()),
        }
    }
}

/// The fold.
pub struct Batches;

/// A batch, or an entry of the list by age.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchesRow {
    /// A batch.
    Batch(Box<StoredBatch>),
    /// Which batch came at the moment in the key.
    Came(BatchId),
}

/// A batch, what its owner noted still sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBatch {
    row: BatchRow,
    metadata: Option<Sealed<BatchMetadata>>,
    moment: by_age::Moment,
}

impl Projector for Batches {
    const NAME: &'static str = "batches-v1";
    type Row = BatchesRow;

    reads!(Batch => fold);
}

fn fold(event: &BatchEvent, recorded: &Recorded<'_>, rows: &mut Rows<BatchesRow>) {
    let (tenant, id) = (&recorded.stream.tenant, recorded.stream.id.as_str());
    if let Some(begun) = begun(event, recorded) {
        for entry in by_age::entries(tenant, begun.moment) {
            *rows.row(&entry) = Some(BatchesRow::Came(begun.row.batch.clone()));
        }
        *rows.row(&batch_key(tenant, id)) = Some(BatchesRow::Batch(Box::new(begun)));
    } else if let Some(BatchesRow::Batch(stored)) = rows.row(&batch_key(tenant, id)) {
        goes_on(&mut stored.row, event, recorded);
    }
}

/// The batch that begins with this event, if one does.
fn begun(event: &BatchEvent, recorded: &Recorded<'_>) -> Option<StoredBatch> {
    let BatchEvent::Submitted {
        batch,
        scope,
        endpoint,
        input_file,
        expires,
        metadata,
        submitted_by,
        submitted_with: _,
        output_kept_s: _,
    } = event.clone()
    else {
        return None;
    };
    let row = BatchRow {
        batch,
        state: BatchState::Validating,
        endpoint,
        input_file,
        output_file: None,
        error_file: None,
        lines: 0,
        counts: LineCounts::default(),
        problems: Vec::new(),
        scope,
        submitted_by,
        submitted_at: recorded.entry.at,
        started_at: None,
        finalizing_at: None,
        cancelling_at: None,
        ended_at: None,
        expires,
        metadata: std::collections::BTreeMap::new(),
        epoch: 0,
    };
    Some(StoredBatch { row, metadata, moment: by_age::moment(recorded) })
}

fn goes_on(row: &mut BatchRow, event: &BatchEvent, recorded: &Recorded<'_>) {
    let at = Some(recorded.entry.at);
    // Whoever waits for the end of a cancelled batch sees that, whatever its worker is at.
    let but_cancelling = |state| if row.cancelling_at.is_some() { BatchState::Cancelling } else { state };
    match event.clone() {
        BatchEvent::Submitted { .. } => {}
        BatchEvent::Claimed { epoch: Epoch(epoch), .. } => row.epoch = epoch,
        BatchEvent::ClaimExtended { counts, .. } => row.counts = counts,
        BatchEvent::Started { lines, epoch: _ } => {
            row.state = but_cancelling(BatchState::InProgress);
            (row.lines, row.started_at) = (lines, at);
        }
        BatchEvent::Finalizing { counts, epoch: _ } => {
            row.state = but_cancelling(BatchState::Finalizing);
            (row.counts, row.finalizing_at) = (counts, at);
        }
        BatchEvent::Ended { end, counts, output_file, error_file, epoch: _ } => {
            row.state = match end {
                BatchEnd::Completed => BatchState::Completed,
                BatchEnd::Expired => BatchState::Expired,
                BatchEnd::Cancelled => BatchState::Cancelled,
            };
            (row.counts, row.output_file, row.error_file, row.ended_at) = (counts, output_file, error_file, at);
        }
        BatchEvent::Failed { problems, epoch: _ } => {
            (row.state, row.problems, row.ended_at) = (BatchState::Failed, problems, at);
        }
        BatchEvent::CancelAsked { reason: _ } => (row.state, row.cancelling_at) = (BatchState::Cancelling, at),
    }
}

fn batch_key(tenant: &TenantId, batch: &str) -> Key {
    Key::of(tenant).text("batch").text(batch)
}

fn stored(rows: &Snapshot<'_>, tenant: &TenantId, batch: &str) -> Result<Option<StoredBatch>, BoxError> {
    // What is no id is no batch's, and no key's part.
    if BatchId::new(batch).is_err() {
        return Ok(None);
    }
    Ok(match rows.get::<BatchesRow>(&batch_key(tenant, batch))? {
        Some(BatchesRow::Batch(batch)) => Some(*batch),
        Some(BatchesRow::Came(_)) | None => None,
    })
}
