//! Guards one batch's life: one worker runs it at a time, its lines are read once, it ends once.
//!
//! Knows how many lines came to what. What they ask and what was answered stands in files.

use std::time::Duration;

use serde_json::json;
use steward_events::command::{BatchCommand, ClaimBatch, EndBatch, FailBatch, StartBatch, SubmitBatch};
use steward_events::event::{BatchEnd, BatchEvent, LineCounts};
use steward_events::id::BatchId;
use steward_events::quantity::Epoch;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};
use crate::claim::{self, Claim, Taken};
use crate::limit;

/// How long a batch has for its lines.
pub const WINDOW: Duration = Duration::from_hours(24);

/// The most problems that are recorded of one batch.
pub const PROBLEMS_MAX: usize = 20;

/// The longest code of a problem, in bytes.
const CODE_BYTES_MAX: usize = 80;

/// One batch.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    submitted: Option<BatchEvent>,
    claim: Option<Claim>,
    /// How many lines it has, once they were read.
    lines: Option<u32>,
    counts: LineCounts,
    finalizing: bool,
    cancelling: bool,
    over: Option<Over>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Over {
    Ended(Epoch, BatchEnd),
    Failed(Epoch),
}

impl Over {
    const fn word(&self) -> &'static str {
        match self {
            Self::Ended(_, BatchEnd::Completed) => "completed",
            Self::Ended(_, BatchEnd::Expired) => "expired",
            Self::Ended(_, BatchEnd::Cancelled) => "cancelled",
            Self::Failed(_) => "failed",
        }
    }
}

impl Batch {
    /// The claim that counts, lapsed or not.
    pub const fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref()
    }

    fn submit(&self, submit: &SubmitBatch, stamp: &Stamp) -> Result<Vec<BatchEvent>, Rejection> {
        let Some(batch) = submit.batch.clone() else {
            return Err(Rejection::invalid("batch", "is missing"));
        };
        let scope = submit.scope.clone().unwrap_or_else(|| Scope::tenant(&stamp.tenant));
        if let Some(BatchEvent::Submitted { scope: known, endpoint, input_file, submitted_by, .. }) = &self.submitted {
            let same = *known == scope
                && *endpoint == submit.endpoint
                && *input_file == submit.input_file
                && *submitted_by == stamp.actor;
            let taken = || Rejection::AlreadyExists { what: "batch".to_owned(), id: batch.to_string() };
            return if same { Ok(vec![]) } else { Err(taken()) };
        }
        if batch.as_task().batch().is_none() {
            return Err(Rejection::invalid("batch", "must begin with batch_; if left out, an id is made"));
        }
        if !scope.is_within(&stamp.tenant) {
            return Err(Rejection::invalid("scope", format!("{scope} is outside tenant {}", stamp.tenant)));
        }
        let metadata = match &submit.metadata {
            None => None,
            Some(metadata) => match metadata.sealed() {
                Some(sealed) => Some(sealed.clone()),
                None => return Err(Rejection::invalid("metadata", "was not sealed")),
            },
        };
        Ok(vec![BatchEvent::Submitted {
            batch,
            scope,
            endpoint: submit.endpoint,
            input_file: submit.input_file.clone(),
            expires: stamp.at.plus(WINDOW),
            metadata,
            output_kept_s: submit.output_kept_s,
            submitted_by: stamp.actor.clone(),
            submitted_with: stamp.key.clone(),
        }])
    }

    fn must_be_open(&self, batch: &BatchId) -> Result<(), Rejection> {
        match (&self.submitted, &self.over) {
            (None, _) => Err(Rejection::not_found("batch", batch)),
            (_, Some(over)) => Err(Rejection::stale(format!("the batch is {}", over.word()))),
            _ => Ok(()),
        }
    }

    /// The claim that counts, if it is `epoch`'s.
    fn must_hold(&self, batch: &BatchId, epoch: Epoch) -> Result<&Claim, Rejection> {
        self.must_be_open(batch)?;
        claim::must_hold("batch", self.claim.as_ref(), epoch)
    }

    fn take(&self, asked: &ClaimBatch, stamp: &Stamp) -> Result<Vec<BatchEvent>, Rejection> {
        self.must_be_open(&asked.batch)?;
        let wanted = (asked.worker.as_str(), asked.until);
        match claim::take("batch", self.claim.as_ref(), wanted, stamp.at)? {
            Taken::New(Claim { epoch, worker, until }) => Ok(vec![BatchEvent::Claimed { epoch, worker, until }]),
            Taken::Held(epoch) => self.extend((&asked.batch, epoch), asked.until, self.counts, stamp),
        }
    }

    fn extend(
        &self,
        (batch, epoch): (&BatchId, Epoch),
        until: Timestamp,
        counts: LineCounts,
        stamp: &Stamp,
    ) -> Result<Vec<BatchEvent>, Rejection> {
        let held = self.must_hold(batch, epoch)?;
        let until = claim::extended(held, until, stamp.at)?;
        Ok(until.map(|until| BatchEvent::ClaimExtended { epoch, until, counts }).into_iter().collect())
    }

    fn start(&self, start: &StartBatch) -> Result<Vec<BatchEvent>, Rejection> {
        let &StartBatch { ref batch, epoch, lines } = start;
        self.must_hold(batch, epoch)?;
        match self.lines {
            // Another worker read the same file.
            Some(known) if known == lines => Ok(vec![]),
            Some(known) => Err(Rejection::invalid("lines", format!("the batch has {known} lines, not {lines}"))),
            None => Ok(vec![BatchEvent::Started { epoch, lines }]),
        }
    }

    fn end(&self, end: &EndBatch) -> Result<Vec<BatchEvent>, Rejection> {
        if self.over == Some(Over::Ended(end.epoch, end.end)) {
            return Ok(vec![]);
        }
        self.must_hold(&end.batch, end.epoch)?;
        let lines = self.lines.unwrap_or(0);
        let EndBatch { batch: _, epoch, end, counts, output_file, error_file } = end.clone();
        if counts.completed.saturating_add(counts.failed) != lines {
            return Err(Rejection::invalid("counts", format!("do not add up to the {lines} lines of the batch")));
        }
        Ok(vec![BatchEvent::Ended { epoch, end, counts, output_file, error_file }])
    }

    fn fail(&self, fail: &FailBatch) -> Result<Vec<BatchEvent>, Rejection> {
        if self.over == Some(Over::Failed(fail.epoch)) {
            return Ok(vec![]);
        }
        self.must_hold(&fail.batch, fail.epoch)?;
        limit::count("problems", fail.problems.len(), PROBLEMS_MAX)?;
        for problem in &fail.problems {
            limit::text("code", &problem.code, CODE_BYTES_MAX)?;
            limit::text("message", &problem.message, limit::REASON_BYTES_MAX)?;
        }
        Ok(vec![BatchEvent::Failed { epoch: fail.epoch, problems: fail.problems.clone() }])
    }
}

impl Aggregate for Batch {
    type Command = BatchCommand;
    type Event = BatchEvent;

    fn decide(&self, command: &BatchCommand, stamp: &Stamp) -> Result<Vec<BatchEvent>, Rejection> {
        match command {
            BatchCommand::SubmitBatch(submit) => self.submit(submit, stamp),
            BatchCommand::CancelBatch(cancel) => {
                self.must_be_open(&cancel.batch)?;
                limit::reason(&cancel.reason)?;
                let asked = || BatchEvent::CancelAsked { reason: cancel.reason.clone() };
                Ok((!self.cancelling).then(asked).into_iter().collect())
            }
            BatchCommand::ClaimBatch(asked) => self.take(asked, stamp),
            BatchCommand::ExtendBatch(asked) => {
                self.extend((&asked.batch, asked.epoch), asked.until, asked.counts, stamp)
            }
            BatchCommand::StartBatch(start) => self.start(start),
            BatchCommand::FinalizeBatch(asked) => {
                self.must_hold(&asked.batch, asked.epoch)?;
                let finalizing = BatchEvent::Finalizing { epoch: asked.epoch, counts: asked.counts };
                Ok((!self.finalizing).then_some(finalizing).into_iter().collect())
            }
            BatchCommand::EndBatch(end) => self.end(end),
            BatchCommand::FailBatch(fail) => self.fail(fail),
        }
    }

    fn apply(&mut self, event: &BatchEvent, _: Timestamp) {
        match event.clone() {
            submitted @ BatchEvent::Submitted { .. } => self.submitted = Some(submitted),
            BatchEvent::Claimed { epoch, worker, until } => self.claim = Some(Claim { epoch, worker, until }),
            BatchEvent::ClaimExtended { epoch: _, until, counts } => {
                self.counts = counts;
                if let Some(claim) = &mut self.claim {
                    claim.until = until;
                }
            }
            BatchEvent::Started { epoch: _, lines } => self.lines = Some(lines),
            BatchEvent::Finalizing { epoch: _, counts } => {
                self.finalizing = true;
                self.counts = counts;
            }
            BatchEvent::Ended { epoch, end, .. } => self.over = Some(Over::Ended(epoch, end)),
            BatchEvent::Failed { epoch, .. } => self.over = Some(Over::Failed(epoch)),
            BatchEvent::CancelAsked { .. } => self.cancelling = true,
        }
    }

    fn answer(&self, _: &BatchCommand) -> serde_json::Value {
        let batch = match &self.submitted {
            Some(BatchEvent::Submitted { batch, .. }) => Some(batch),
            _ => None,
        };
        json!({
            "batch": batch,
            "epoch": self.claim.as_ref().map(|claim| claim.epoch),
            "until": self.claim.as_ref().map(|claim| claim.until),
            "end": self.over.as_ref().map(Over::word),
        })
    }
}

#[cfg(test)]
mod tests {
    use steward_events::command::{CancelBatch, ExtendBatch, FinalizeBatch};
    use steward_events::event::{BatchEndpoint, BatchProblem};

    use super::*;
    use crate::spec::given;

    const NOW: Timestamp = Timestamp(1_000_000);
    const LATER: Timestamp = Timestamp(31_000_000);
    const MUCH_LATER: Timestamp = Timestamp(61_000_000);
    const TWO: LineCounts = LineCounts { completed: 1, failed: 1 };

    fn batch() -> BatchId {
        "batch_1".parse().unwrap()
    }

    fn submit() -> SubmitBatch {
        SubmitBatch {
            batch: Some(batch()),
            endpoint: BatchEndpoint::ChatCompletions,
            input_file: "file-1".parse().unwrap(),
            scope: Some("acme/support".parse().unwrap()),
            metadata: None,
            output_kept_s: None,
        }
    }

    fn submitted() -> BatchEvent {
        BatchEvent::Submitted {
            batch: batch(),
            scope: "acme/support".parse().unwrap(),
            endpoint: BatchEndpoint::ChatCompletions,
            input_file: "file-1".parse().unwrap(),
            expires: NOW.plus(WINDOW),
            metadata: None,
            output_kept_s: None,
            submitted_by: "p_ana".parse().unwrap(),
            submitted_with: None,
        }
    }

    fn claim(worker: &str, until: Timestamp) -> ClaimBatch {
        ClaimBatch { batch: batch(), worker: worker.to_owned(), until }
    }

    fn claimed(epoch: u32, worker: &str, until: Timestamp) -> BatchEvent {
        BatchEvent::Claimed { epoch: Epoch(epoch), worker: worker.to_owned(), until }
    }

    fn started(lines: u32) -> BatchEvent {
        BatchEvent::Started { epoch: Epoch(1), lines }
    }

    fn end(epoch: u32, counts: LineCounts) -> EndBatch {
        let (epoch, end) = (Epoch(epoch), BatchEnd::Completed);
        EndBatch { batch: batch(), epoch, end, counts, output_file: None, error_file: None }
    }

    fn ended() -> BatchEvent {
        let (epoch, end, counts) = (Epoch(1), BatchEnd::Completed, TWO);
        BatchEvent::Ended { epoch, end, counts, output_file: None, error_file: None }
    }

    #[test]
    fn a_batch_is_submitted_once_and_has_a_day() {
        given::<Batch>([]).when(submit()).then([submitted()]);
        given::<Batch>([submitted()]).when(submit()).then([]);
        let taken = Rejection::AlreadyExists { what: "batch".to_owned(), id: "batch_1".to_owned() };
        let other = SubmitBatch { input_file: "file-2".parse().unwrap(), ..submit() };
        given::<Batch>([submitted()]).when(other).then_rejected(&taken);
        let misnamed = SubmitBatch { batch: Some("t_1".parse().unwrap()), ..submit() };
        let wrong = Rejection::invalid("batch", "must begin with batch_; if left out, an id is made");
        given::<Batch>([]).when(misnamed).then_rejected(&wrong);
        let elsewhere = SubmitBatch { scope: Some("globex".parse().unwrap()), ..submit() };
        let outside = Rejection::invalid("scope", "globex is outside tenant acme");
        given::<Batch>([]).when(elsewhere).then_rejected(&outside);
    }

    #[test]
    fn one_worker_runs_it_at_a_time() {
        let first = claimed(1, "w_1", LATER);
        given::<Batch>([submitted()]).at(NOW).when(claim("w_1", LATER)).then([first.clone()]);
        let busy = Rejection::stale(format!("w_1 drives the batch until {LATER}"));
        given::<Batch>([submitted(), first.clone()]).at(NOW).when(claim("w_2", LATER)).then_rejected(&busy);
        let second = claimed(2, "w_2", MUCH_LATER);
        given::<Batch>([submitted(), first.clone()]).at(LATER).when(claim("w_2", MUCH_LATER)).then([second.clone()]);
        let stale = Rejection::stale("the batch is now under claim 2, not 1");
        let history = [submitted(), first, started(2), second];
        given::<Batch>(history).at(LATER).when(end(1, TWO)).then_rejected(&stale);
    }

    #[test]
    fn a_claim_that_is_extended_says_how_far_the_batch_is() {
        let extend = ExtendBatch { batch: batch(), epoch: Epoch(1), until: MUCH_LATER, counts: TWO };
        let extended = BatchEvent::ClaimExtended { epoch: Epoch(1), until: MUCH_LATER, counts: TWO };
        given::<Batch>([submitted(), claimed(1, "w_1", LATER)]).at(NOW).when(extend).then([extended]);
    }

    #[test]
    fn lines_are_read_once_and_are_the_same_for_every_worker() {
        let start = |epoch, lines| StartBatch { batch: batch(), epoch: Epoch(epoch), lines };
        given::<Batch>([submitted(), claimed(1, "w_1", LATER)]).when(start(1, 2)).then([started(2)]);
        let history = [submitted(), claimed(1, "w_1", LATER), started(2), claimed(2, "w_2", MUCH_LATER)];
        given::<Batch>(history.clone()).when(start(2, 2)).then([]);
        let other = Rejection::invalid("lines", "the batch has 2 lines, not 3");
        given::<Batch>(history).when(start(2, 3)).then_rejected(&other);
    }

    #[test]
    fn a_batch_ends_once_and_with_every_line() {
        let history = || vec![submitted(), claimed(1, "w_1", LATER), started(2)];
        given::<Batch>(history()).when(end(1, TWO)).then([ended()]);
        let after = || [history(), vec![ended()]].concat();
        given::<Batch>(after()).when(end(1, TWO)).then([]);
        let lost = Rejection::invalid("counts", "do not add up to the 2 lines of the batch");
        given::<Batch>(history()).when(end(1, LineCounts { completed: 1, failed: 0 })).then_rejected(&lost);
        let over = Rejection::stale("the batch is completed");
        given::<Batch>(after()).when(claim("w_2", LATER)).then_rejected(&over);
        given::<Batch>(after()).when(CancelBatch { batch: batch(), reason: String::new() }).then_rejected(&over);
    }

    #[test]
    fn a_batch_is_cancelled_once_and_its_worker_ends_it() {
        let cancel = CancelBatch { batch: batch(), reason: "wrong file".to_owned() };
        let asked = BatchEvent::CancelAsked { reason: "wrong file".to_owned() };
        given::<Batch>([submitted()]).when(cancel.clone()).then([asked.clone()]);
        given::<Batch>([submitted(), asked.clone()]).when(cancel.clone()).then([]);
        given::<Batch>([]).when(cancel).then_rejected(&Rejection::not_found("batch", &batch()));
        let cancelled = EndBatch { end: BatchEnd::Cancelled, ..end(1, LineCounts::default()) };
        let (epoch, counts) = (Epoch(1), LineCounts::default());
        let expected =
            BatchEvent::Ended { epoch, end: BatchEnd::Cancelled, counts, output_file: None, error_file: None };
        given::<Batch>([submitted(), asked, claimed(1, "w_1", LATER)]).when(cancelled).then([expected]);
    }

    #[test]
    fn finalizing_is_said_once() {
        let finalize = FinalizeBatch { batch: batch(), epoch: Epoch(1), counts: TWO };
        let finalizing = BatchEvent::Finalizing { epoch: Epoch(1), counts: TWO };
        let history = vec![submitted(), claimed(1, "w_1", LATER), started(2)];
        given::<Batch>(history.clone()).when(finalize.clone()).then([finalizing.clone()]);
        given::<Batch>([history, vec![finalizing]].concat()).when(finalize).then([]);
    }

    #[test]
    fn no_more_problems_are_recorded_than_people_read() {
        let problem =
            BatchProblem { code: "invalid_json_line".to_owned(), message: "no JSON".to_owned(), line: Some(2) };
        let fail = |count| FailBatch { batch: batch(), epoch: Epoch(1), problems: vec![problem.clone(); count] };
        let failed = |count| BatchEvent::Failed { epoch: Epoch(1), problems: vec![problem.clone(); count] };
        let history = || [submitted(), claimed(1, "w_1", LATER)];
        given::<Batch>(history()).when(fail(PROBLEMS_MAX)).then([failed(PROBLEMS_MAX)]);
        let too_many = Rejection::invalid("problems", "would have 21 entries; at most 20 are allowed");
        given::<Batch>(history()).when(fail(PROBLEMS_MAX + 1)).then_rejected(&too_many);
    }
}
