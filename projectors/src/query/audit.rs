//! Questions about the proof of a history: which rows, or which part of the log, answers each.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use steward_events::digest::CommitHash;
use steward_events::id::TenantId;
use steward_events::quantity::{Position, Shard};
use steward_events::query::{
    CheckpointsQuestion, Commits, CommitsQuestion, ConsistencyQuestion, Due, DueQuestion, InclusionProof,
    InclusionQuestion, SignedCheckpoint, StoredCommit, TileQuestion, TreeQuestion, Verification, VerifyQuestion,
};
use steward_events::rejection::Rejection;
use steward_events::request::Request;
use steward_events::shard::STEWARD_SHARD;
use steward_ports::log::{Filter, Stored};

use super::{No, read, write};
use crate::cost_report::CostReport;
use crate::metrics::Metrics;
use crate::projector::Projector;
use crate::projectors::Projectors;
use crate::tasks::Tasks;
use crate::transparency::{self, Transparency};
use crate::tree::Snapshot;
use crate::{reading, verify};

/// The most commits of one answer.
const COMMITS_MAX: u32 = 1_000;

/// The most bytes of commits of one answer; one commit that is larger comes alone.
const COMMITS_BYTES_MAX: usize = 1024 * 1024;

/// The most signed checkpoints that a check of the log itself meets, the newest ones; an export is checked with all.
const SIGNED_MAX: u64 = 1_000;

impl Projectors {
    pub(super) async fn audit(&self, request: &Request, shard: Shard, verb: &str) -> Result<Bytes, No> {
        let (tenant, trees) = (request.tenant.clone(), &self.transparency);
        match verb {
            "verify" => {
                let VerifyQuestion {} = read(request)?;
                write(request, &self.verify(&tenant, shard).await?)
            }
            "checkpoints" => {
                let question: CheckpointsQuestion = read(request)?;
                let min_position = question.min_position;
                let page = move |rows: &Snapshot<'_>| transparency::checkpoints(rows, &tenant, &question);
                write(request, &trees.read(STEWARD_SHARD, min_position, page).await?)
            }
            "tree" => {
                let question: TreeQuestion = read(request)?;
                let min_position = question.min_position;
                let state = move |rows: &Snapshot<'_>| transparency::tree_state(rows, &tenant, &question);
                write(request, &trees.read(shard, min_position, state).await??)
            }
            "tile" => {
                let question: TileQuestion = read(request)?;
                let tile = move |rows: &Snapshot<'_>| transparency::tile(rows, &tenant, &question);
                write(request, &trees.read(shard, None, tile).await??)
            }
            "inclusion" => {
                let question: InclusionQuestion = read(request)?;
                write(request, &self.inclusion(tenant, shard, question).await?)
            }
            "consistency" => {
                let question: ConsistencyQuestion = read(request)?;
                let proof = move |rows: &Snapshot<'_>| transparency::consistency(rows, &tenant, &question);
                write(request, &trees.read(shard, None, proof).await??)
            }
            "commits" => {
                let question: CommitsQuestion = read(request)?;
                write(request, &self.commits(&tenant, shard, &question).await?)
            }
            "due" => {
                let question: DueQuestion = read(request)?;
                if !tenant.is_steward() {
                    return Err(Rejection::invalid("tenant", "only the tenant steward is asked about all trees").into());
                }
                write(request, &self.due(question).await?)
            }
            _ => Err(Rejection::not_found("query", &format!("audit.{verb}")).into()),
        }
    }

    async fn verify(&self, tenant: &TenantId, shard: Shard) -> Result<Verification, No> {
        let views = [
            (CostReport::NAME, self.cost.checkpoint(shard)?),
            (Tasks::NAME, self.tasks.checkpoint(shard)?),
            (Metrics::NAME, self.metrics.checkpoint(shard)?),
            (Transparency::NAME, self.transparency.checkpoint(shard)?),
        ];
        let signed = self.newest_signed(tenant).await?;
        let witnessed = verify::Witnessed { views: &views, signed: &signed };
        Ok(verify::verify(&*self.ports.log, shard, tenant, &witnessed, self.config.answer_time_max).await?)
    }

    /// The newest checkpoints, not more than [`SIGNED_MAX`].
    async fn newest_signed(&self, tenant: &TenantId) -> Result<Vec<SignedCheckpoint>, No> {
        let tenant = tenant.clone();
        let read = move |rows: &Snapshot<'_>| {
            let mut newest = std::collections::VecDeque::new();
            let mut question = CheckpointsQuestion::default();
            loop {
                let page = transparency::checkpoints(rows, &tenant, &question)?;
                for signed in page.checkpoints {
                    newest.push_back(signed);
                    if newest.len() as u64 > SIGNED_MAX {
                        newest.pop_front();
                    }
                }
                match page.next {
                    Some(next) => question.after = next,
                    None => return Ok(Vec::from(newest)),
                }
            }
        };
        Ok(self.transparency.read(STEWARD_SHARD, None, read).await?)
    }

    async fn inclusion(
        &self,
        tenant: TenantId,
        shard: Shard,
        question: InclusionQuestion,
    ) -> Result<InclusionProof, No> {
        let InclusionQuestion { position, size } = question;
        let of = tenant.clone();
        let newest = move |rows: &Snapshot<'_>| transparency::newest_checkpoint(rows, &of);
        let newest = self.transparency.read(STEWARD_SHARD, None, newest).await?;
        // A proof to a signed root is worth more than one to the newest.
        let signed = newest.filter(|signed| match size {
            Some(size) => signed.size == size,
            None => signed.position >= position,
        });
        let size = size.or(signed.as_ref().map(|signed| signed.size));
        let proof = move |rows: &Snapshot<'_>| transparency::inclusion(rows, &tenant, position, size);
        let mut proof = self.transparency.read(shard, None, proof).await??;
        let stored = self.ports.log.at(shard, position).await?;
        let stored = stored.ok_or_else(|| Rejection::not_found("commit", &position))?;
        proof.commit = CommitHash::of(&stored.bytes).to_string();
        proof.checkpoint = signed.map(|signed| signed.note);
        Ok(proof)
    }

    async fn commits(&self, tenant: &TenantId, shard: Shard, question: &CommitsQuestion) -> Result<Commits, No> {
        let count_max = question.count_max.unwrap_or(COMMITS_MAX).clamp(1, COMMITS_MAX);
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
        reading::each(&*self.ports.log, &filter, question.after, self.config.answer_time_max, each).await?;
        Ok(page)
    }

    async fn due(&self, question: DueQuestion) -> Result<Due, No> {
        let (shard, now) = (Shard(question.shard), Some(Position(0)));
        let grown = move |rows: &Snapshot<'_>| transparency::grown(rows, &question);
        let (trees, next) = self.transparency.read(shard, now, grown).await?;
        let due = move |rows: &Snapshot<'_>| transparency::due(rows, trees, next);
        Ok(self.transparency.read(STEWARD_SHARD, now, due).await?)
    }
}
