//! Queries about the proof of a history: which rows, or which part of the log, answers each.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use steward_events::digest::CommitHash;
use steward_events::id::TenantId;
use steward_events::quantity::{Position, Shard};
use steward_events::rejection::Rejection;
use steward_events::shard::STEWARD_SHARD;
use steward_ports::log::{Filter, Stored};
use steward_queries::{
    CheckpointsQuery, Commits, CommitsQuery, ConsistencyQuery, Due, DueQuery, InclusionProof, InclusionQuery,
    SignedCheckpoint, StoredCommit, TileQuery, TreeQuery, Verification, VerifyQuery,
};

use crate::engine::Engine;
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};
use crate::engine::reading;
use crate::engine::runner::Runner;
use crate::engine::view_store::Snapshot;

pub mod transparency;
pub mod verify;

use transparency::Transparency;

/// The most commits of one answer.
const COMMITS_MAX: u32 = 1_000;

/// The most bytes of commits of one answer; one commit that is larger comes alone.
const COMMITS_BYTES_MAX: usize = 1024 * 1024;

/// The most signed checkpoints that a check of the log itself meets, the newest ones; an export is checked with all.
const SIGNED_MAX: u64 = 1_000;

/// The read model: trees of commits as rows, and the log itself.
pub struct AuditView {
    engine: Arc<Engine>,
    trees: Arc<Runner<Transparency>>,
}

impl AuditView {
    /// Over the engine's log and store.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self { trees: engine.runner(), engine: Arc::clone(engine) }
    }
}

#[async_trait]
impl ReadModel for AuditView {
    fn nouns(&self) -> &'static [&'static str] {
        &["audit"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        Some(Arc::<Runner<_>>::clone(&self.trees))
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        let (tenant, shard, trees) = (query.tenant().clone(), query.shard, &self.trees);
        match query.verb() {
            "verify" => {
                let VerifyQuery {} = query.read()?;
                query.write(&self.verify(query).await?)
            }
            "checkpoints" => {
                let asked: CheckpointsQuery = query.read()?;
                let min_position = asked.min_position;
                let page = move |rows: &Snapshot<'_>| transparency::checkpoints(rows, &tenant, &asked);
                query.write(&trees.read(STEWARD_SHARD, min_position, page).await?)
            }
            "tree" => {
                let asked: TreeQuery = query.read()?;
                let min_position = asked.min_position;
                let state = move |rows: &Snapshot<'_>| transparency::tree_state(rows, &tenant, &asked);
                query.write(&trees.read(shard, min_position, state).await??)
            }
            "tile" => {
                let asked: TileQuery = query.read()?;
                let tile = move |rows: &Snapshot<'_>| transparency::tile(rows, &tenant, &asked);
                query.write(&trees.read(shard, None, tile).await??)
            }
            "inclusion" => {
                let asked: InclusionQuery = query.read()?;
                query.write(&self.inclusion(tenant, shard, asked).await?)
            }
            "consistency" => {
                let asked: ConsistencyQuery = query.read()?;
                let proof = move |rows: &Snapshot<'_>| transparency::consistency(rows, &tenant, &asked);
                query.write(&trees.read(shard, None, proof).await??)
            }
            "commits" => {
                let asked: CommitsQuery = query.read()?;
                query.write(&self.commits(&tenant, shard, &asked).await?)
            }
            "due" => {
                let asked: DueQuery = query.read()?;
                if !tenant.is_steward() {
                    return Err(Rejection::invalid("tenant", "this query is only for the tenant steward").into());
                }
                query.write(&self.due(asked).await?)
            }
            _ => Err(query.unknown()),
        }
    }
}

impl AuditView {
    async fn verify(&self, query: &Query<'_>) -> Result<Verification, NoAnswer> {
        let (tenant, shard) = (query.tenant(), query.shard);
        let cursor = |rows: &Arc<dyn KeepsRows>| (rows.name(), rows.cursor(shard));
        let views: Vec<_> = query.kept.iter().map(cursor).collect();
        let signed = self.newest_signed(tenant).await?;
        let witnessed = verify::Witnessed { views: &views, signed: &signed };
        Ok(verify::verify(&*self.engine.ports.log, shard, tenant, &witnessed, self.engine.config.answer_time_max)
            .await?)
    }

    /// The newest checkpoints, not more than [`SIGNED_MAX`].
    async fn newest_signed(&self, tenant: &TenantId) -> Result<Vec<SignedCheckpoint>, NoAnswer> {
        let tenant = tenant.clone();
        let read = move |rows: &Snapshot<'_>| {
            let mut newest = std::collections::VecDeque::new();
            let mut asked = CheckpointsQuery::default();
            loop {
                let page = transparency::checkpoints(rows, &tenant, &asked)?;
                for signed in page.checkpoints {
                    newest.push_back(signed);
                    if newest.len() as u64 > SIGNED_MAX {
                        newest.pop_front();
                    }
                }
                match page.next {
                    Some(next) => asked.after = next,
                    None => return Ok(Vec::from(newest)),
                }
            }
        };
        Ok(self.trees.read(STEWARD_SHARD, None, read).await?)
    }

    async fn inclusion(
        &self,
        tenant: TenantId,
        shard: Shard,
        asked: InclusionQuery,
    ) -> Result<InclusionProof, NoAnswer> {
        let InclusionQuery { position, size } = asked;
        let of = tenant.clone();
        let newest = move |rows: &Snapshot<'_>| transparency::newest_checkpoint(rows, &of);
        let newest = self.trees.read(STEWARD_SHARD, None, newest).await?;
        // A proof to a signed root is worth more than one to the newest.
        let signed = newest.filter(|signed| match size {
            Some(size) => signed.size == size,
            None => signed.position >= position,
        });
        let size = size.or(signed.as_ref().map(|signed| signed.size));
        let proof = move |rows: &Snapshot<'_>| transparency::inclusion(rows, &tenant, position, size);
        let mut proof = self.trees.read(shard, None, proof).await??;
        let stored = self.engine.ports.log.at(shard, position).await?;
        let stored = stored.ok_or_else(|| Rejection::not_found("commit", &position))?;
        proof.commit = CommitHash::of(&stored.bytes).to_string();
        proof.checkpoint = signed.map(|signed| signed.note);
        Ok(proof)
    }

    async fn commits(&self, tenant: &TenantId, shard: Shard, asked: &CommitsQuery) -> Result<Commits, NoAnswer> {
        let count_max = asked.count_max.unwrap_or(COMMITS_MAX).clamp(1, COMMITS_MAX);
        let count_max = usize::try_from(count_max).unwrap_or(usize::MAX);
        let (mut page, mut bytes) = (Commits::default(), 0);
        let filter = Filter::shard(shard).tenant(tenant);
        let each = |stored: Stored| {
            bytes += stored.bytes.len();
            if page.commits.len() == count_max || bytes > COMMITS_BYTES_MAX && !page.commits.is_empty() {
                page.next = page.commits.last().map(|last: &StoredCommit| last.position);
                return false;
            }
            page.commits.push(StoredCommit {
                subject: stored.stream.to_string(),
                position: stored.position,
                bytes: STANDARD.encode(&stored.bytes),
            });
            true
        };
        reading::each(&*self.engine.ports.log, &filter, asked.after, self.engine.config.answer_time_max, each).await?;
        Ok(page)
    }

    async fn due(&self, asked: DueQuery) -> Result<Due, NoAnswer> {
        let (shard, now) = (Shard(asked.shard), Some(Position(0)));
        let grown = move |rows: &Snapshot<'_>| transparency::grown(rows, &asked);
        let (trees, next) = self.trees.read(shard, now, grown).await?;
        let due = move |rows: &Snapshot<'_>| transparency::due(rows, trees, next);
        Ok(self.trees.read(STEWARD_SHARD, now, due).await?)
    }
}
