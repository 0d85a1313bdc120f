//! Drives one batch: claim it, read its lines, have them called, keep what came of them, until it is over.
//!
//! Knows the order of things. Must not know how a line is called ([`super::run_lines`]) or whether a record is allowed.

use std::time::Duration;

use bytes::Bytes;
use steward_events::command::{ClaimBatch, EndBatch, ExtendBatch, FailBatch, FinalizeBatch, StartBatch};
use steward_events::event::{BatchEnd, BatchProblem};
use steward_events::id::FileId;
use steward_events::quantity::{Epoch, Position};
use tokio_util::sync::CancellationToken;

use super::Batches;
use super::gateway::FileError;
use super::key::BatchKeys;
use super::lines::{self, Line};
use super::open_batches::{BatchRef, OpenBatch};
use super::outcome::{Files, Outcome};
use super::progress::Progress;
use super::run::{Broken, Run, problem};
use crate::dispatch::Cause;
use crate::driving::claim::{self, Claim};
use crate::driving::ending::{Submitter, ended};
use crate::driving::{Left, Stop};
use crate::wake;

/// The longest input file that is read, in bytes.
const INPUT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long to wait before a file is asked for or kept again.
const FILE_PAUSE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

/// How long after the end of a batch's time it is tried to keep what came of it.
const GRACE: Duration = Duration::from_hours(1);

/// Drives `batch` until it is over, lost or given up.
pub(super) async fn drive(batches: &Batches, batch: &BatchRef, stop: &Stop) -> Left {
    let Some(open) = batches.live.read().open(batch).cloned() else { return Left::Closed };
    let cause = Cause {
        causation: Some(format!("{}@{}", open.stream, open.submitted_at)),
        correlation: Some(open.correlation.clone()),
        on_behalf_of: Some(open.submitted_by.clone()),
    };
    let timeout = batches.config.claim_timeout;
    let (dispatch, clock, tenant) = (&batches.dispatch, &batches.ports.clock, &batch.tenant);
    let (claimant, held_since) = (batches.claimants.next(), clock.monotonic());
    let claimed = claim::request(dispatch, clock, tenant, &cause, timeout, |until| {
        ClaimBatch { batch: batch.batch.clone(), worker: claimant.clone(), until }.into()
    });
    let claimed = match claimed.await {
        Ok(position) => epoch(batches, batch, (&open, position), &claimant).await,
        Err(error) => {
            tracing::debug!(error = %error, "the batch is not to be had");
            None
        }
    };
    let Some(epoch) = claimed else { return Left::NotHad };
    let progress = Progress::default();
    let extends =
        |epoch, until| ExtendBatch { batch: batch.batch.clone(), epoch, until, counts: progress.counts() }.into();
    let claim = Claim { dispatch, clock, tenant, cause: &cause, timeout, epoch, held_since, extends: &extends };
    tracing::info!(epoch = epoch.0, "batch claimed");
    let (principal, key) = (&open.submitted_by, open.submitted_with.as_ref());
    let submitter = Submitter { tenant, shard: open.stream.shard, principal, key };
    let keys = BatchKeys::default();
    let run = Run { batches, batch, open: &open, progress: &progress, epoch, keys, cause: &cause };
    let left = tokio::select! {
        biased;
        () = claim.keep() => Left::Lost,
        () = stop.now.cancelled() => Left::Released,
        why = ended(&batches.authority, &**clock, submitter) => run.fail(vec![problem("key_ended", &why)]).await,
        left = run.to_its_end(&stop.drain) => left,
    };
    if left == Left::Released {
        claim.release().await;
    }
    tracing::info!(epoch = epoch.0, left = ?left, "batch left");
    left
}

/// The number of the claim that was made at `position`, if it is this worker's.
async fn epoch(
    batches: &Batches,
    batch: &BatchRef,
    (open, position): (&OpenBatch, Position),
    claimant: &str,
) -> Option<Epoch> {
    let reached = batches.live.reached(open.stream.shard, position, batches.config.claim_timeout).await;
    if let Err(error) = reached {
        tracing::warn!(error = %error, "the claimed batch cannot be read; its claim will lapse");
        return None;
    }
    let open = batches.live.read();
    let claim = open.open(batch)?.claim.as_ref()?;
    (claim.worker == claimant).then_some(claim.epoch)
}

impl Run<'_> {
    async fn to_its_end(&self, drain: &CancellationToken) -> Left {
        match self.steps(drain).await {
            Ok(()) => Left::Closed,
            Err(Broken::Release(reason)) => {
                tracing::info!(%reason, "batch given up for now");
                Left::Released
            }
            Err(Broken::Lose(reason)) => {
                tracing::warn!(%reason, "batch lost");
                Left::Lost
            }
            Err(Broken::Fail(problems)) => self.fail(problems).await,
        }
    }

    async fn steps(&self, drain: &CancellationToken) -> Result<(), Broken> {
        if self.is_cancelling() && !self.open.started {
            return self.end(BatchEnd::Cancelled, Files::default()).await;
        }
        let file = self.input(drain).await?;
        let read = lines::read(&file, self.open.endpoint, self.batches.config.batch_lines_max.get());
        let lines = read.map_err(Broken::Fail)?;
        drop(file);
        let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        let (batch, epoch) = (self.batch.batch.clone(), self.epoch);
        self.record(StartBatch { batch: batch.clone(), epoch, lines: count }).await?;
        let outcomes = self.call_lines(&lines, self.over(drain)).await?;
        if drain.is_cancelled() {
            return Err(Broken::Release("the worker stops".to_owned()));
        }
        let (end, files) = self.sum_up(&lines, outcomes)?;
        self.record(FinalizeBatch { batch, epoch, counts: files.counts }).await?;
        let stopped = || Broken::Release("the worker stops".to_owned());
        tokio::select! {
            ended = self.end(end, files) => ended,
            () = drain.cancelled() => Err(stopped()),
        }
    }

    /// What the lines came to, and how the batch came to its end.
    fn sum_up(&self, lines: &[Line], outcomes: Vec<Option<Outcome>>) -> Result<(BatchEnd, Files), Broken> {
        let all = outcomes.iter().all(Option::is_some);
        let (end, code, why) = if all {
            (BatchEnd::Completed, "", "")
        } else if self.is_cancelling() {
            (BatchEnd::Cancelled, "batch_cancelled", "the batch was cancelled before this line was called")
        } else {
            (BatchEnd::Expired, "batch_expired", "the time of the batch was over before this line was called")
        };
        let mut files = Files::default();
        for (line, outcome) in lines.iter().zip(outcomes) {
            let outcome = outcome.unwrap_or_else(|| Outcome::Failed { code, message: why.to_owned() });
            let added = files.add(&self.batch.batch, line, &outcome);
            added.map_err(|error| Broken::Lose(format!("what came of a line cannot be written: {error}")))?;
        }
        Ok((end, files))
    }

    /// Keeps what came of the lines, and records the end.
    async fn end(&self, end: BatchEnd, Files { answers, failures, counts }: Files) -> Result<(), Broken> {
        let output_file = self.keep("output", answers).await?;
        let error_file = self.keep("error", failures).await?;
        let (batch, epoch) = (self.batch.batch.clone(), self.epoch);
        self.record(EndBatch { batch, epoch, end, counts, output_file, error_file }).await?;
        tracing::info!(end = ?end, completed = counts.completed, failed = counts.failed, "batch over");
        Ok(())
    }

    /// Waits until no further line is to be called.
    async fn over(&self, drain: &CancellationToken) {
        let clock = &self.batches.ports.clock;
        let expired = tokio::time::sleep(self.open.expires.since(clock.now()));
        let unwanted = async {
            loop {
                let seen = self.batches.live.positions();
                if self.is_cancelling() || self.batches.live.read().is_suspended(&self.batch.tenant) {
                    return;
                }
                wake::moved(&self.batches.live, &seen, wake::IDLE_MAX).await;
            }
        };
        tokio::select! {
            () = drain.cancelled() => {}
            () = expired => {}
            () = unwanted => {}
        }
    }

    fn is_cancelling(&self) -> bool {
        self.batches.live.read().open(self.batch).is_some_and(|open| open.cancelling)
    }

    /// The lines as they stand in the file.
    async fn input(&self, drain: &CancellationToken) -> Result<Bytes, Broken> {
        let mut pause = FILE_PAUSE[0];
        loop {
            let secret = self.secret().await?;
            match self.batches.gateway.read(&secret, &self.open.input_file, INPUT_BYTES_MAX).await {
                Ok(bytes) => return Ok(bytes),
                Err(FileError::Refused(why)) => return Err(Broken::Fail(vec![problem("input_file_not_read", &why)])),
                Err(FileError::Later(why)) => tracing::warn!(%why, "the batch's file cannot be read yet"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(FILE_PAUSE[1]),
                () = drain.cancelled() => return Err(Broken::Release("the worker stops".to_owned())),
            }
        }
    }

    /// Keeps a file that the batch made; waits for room, since what it says was paid for. None if it is empty.
    async fn keep(&self, what: &str, bytes: Vec<u8>) -> Result<Option<FileId>, Broken> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let (bytes, clock) = (Bytes::from(bytes), &self.batches.ports.clock);
        let mut pause = FILE_PAUSE[0];
        loop {
            let (secret, name) = (self.secret().await?, format!("{}_{what}.jsonl", self.batch.batch));
            let kept = self.batches.gateway.keep(&secret, (name, bytes.clone()), self.open.output_kept_s).await;
            let why = match kept {
                Ok(file) => return Ok(Some(file)),
                Err(why) => why.to_string(),
            };
            if clock.now() > self.open.expires.plus(GRACE) {
                return Err(Broken::Fail(vec![problem("output_not_kept", &why)]));
            }
            tracing::warn!(%why, "what came of a batch cannot be kept yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(FILE_PAUSE[1]);
        }
    }

    /// Records that it cannot be done.
    async fn fail(&self, problems: Vec<BatchProblem>) -> Left {
        let code = problems.first().map_or("", |problem| problem.code.as_str());
        tracing::warn!(%code, "batch failed");
        match self.record(FailBatch { batch: self.batch.batch.clone(), epoch: self.epoch, problems }).await {
            Ok(()) => Left::Closed,
            Err(Broken::Release(_)) => Left::Released,
            Err(_) => Left::Lost,
        }
    }
}
