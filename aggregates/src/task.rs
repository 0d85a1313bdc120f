//! Guards one task's life: one worker drives it at a time, its steps count once and in order, it ends once.

use serde_json::json;
use steward_events::command::{ClaimTask, FinishStep, StartStep, SubmitTask, TaskCommand};
use steward_events::digest::BodyHash;
use steward_events::event::{StepKind, TaskEvent};
use steward_events::id::{AgentId, PrincipalId, TaskId};
use steward_events::quantity::{Epoch, NanoDollars, StepNumber};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use crate::agent::STEPS_MAX;
use crate::aggregate::{Aggregate, Stamp};
use crate::claim::{self, Claim, Taken};
use crate::limit;

/// One task.
#[derive(Clone, Debug, Default)]
pub struct Task {
    submitted: Option<Submitted>,
    claim: Option<Claim>,
    /// Steps whose results count: 1 to this.
    finished: StepNumber,
    /// Under which claim the last of them was finished.
    finished_by: Epoch,
    started: Option<Started>,
    cost: NanoDollars,
    end: Option<TaskEnd>,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The task.
    pub task: TaskId,
    /// By which agent.
    pub agent: AgentId,
    /// Where its cost is booked.
    pub scope: Scope,
    /// Most dollars that the task may cost.
    pub limit: Option<NanoDollars>,
    /// Who asked.
    pub submitted_by: PrincipalId,
    /// Digest of its sealed input.
    pub input: BodyHash,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Started {
    epoch: Epoch,
    step: StepNumber,
    kind: StepKind,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    /// Done, under this claim.
    Finished(Epoch),
    /// It could not be done, under this claim.
    Failed(Epoch),
    /// Somebody did not want it any more.
    Cancelled,
}

impl TaskEnd {
    const fn word(self) -> &'static str {
        match self {
            Self::Finished(_) => "finished",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Task {
    /// What was asked for, once it was.
    pub const fn submitted(&self) -> Option<&Submitted> {
        self.submitted.as_ref()
    }

    /// The claim that counts, lapsed or not.
    pub const fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref()
    }

    /// How many steps have results that count.
    pub const fn steps_finished(&self) -> StepNumber {
        self.finished
    }

    /// What its steps cost.
    pub const fn cost(&self) -> NanoDollars {
        self.cost
    }

    /// How it ended, if it has.
    pub const fn end(&self) -> Option<TaskEnd> {
        self.end
    }

    fn submit(&self, submit: &SubmitTask, stamp: &Stamp) -> Result<Vec<TaskEvent>, Rejection> {
        let Some(task) = submit.task.clone() else {
            return Err(Rejection::invalid("task", "is missing"));
        };
        let scope = submit.scope.clone().unwrap_or_else(|| Scope::tenant(&stamp.tenant));
        let submitted_by = stamp.on_behalf_of.clone().unwrap_or_else(|| stamp.actor.clone());
        if let Some(known) = &self.submitted {
            let same = known.agent == submit.agent
                && known.scope == scope
                && known.limit == submit.limit
                && submit.input.sealed().is_some_and(|input| input.digest() == known.input)
                && known.submitted_by == submitted_by;
            let taken = || Rejection::AlreadyExists { what: "task".to_owned(), id: task.to_string() };
            return if same { Ok(vec![]) } else { Err(taken()) };
        }
        if !scope.is_within(&stamp.tenant) {
            return Err(Rejection::invalid("scope", format!("{scope} is outside tenant {}", stamp.tenant)));
        }
        if task.batch().is_some() {
            return Err(Rejection::invalid("task", "ids that begin with batch_ are those of batches: choose another"));
        }
        let Some(input) = submit.input.sealed() else {
            return Err(Rejection::invalid("input", "was not sealed"));
        };
        let (agent, input, limit) = (submit.agent.clone(), input.clone(), submit.limit);
        // A part of Steward submits for somebody, not with a key.
        let submitted_with = stamp.key.clone();
        Ok(vec![TaskEvent::Submitted { task, agent, scope, input, limit, submitted_by, submitted_with }])
    }

    fn must_be_open(&self, task: &TaskId) -> Result<(), Rejection> {
        match (&self.submitted, self.end) {
            (None, _) => Err(Rejection::not_found("task", task)),
            (_, Some(end)) => Err(Rejection::stale(format!("the task is {}", end.word()))),
            _ => Ok(()),
        }
    }

    /// The claim that counts, if it is `epoch`'s.
    fn must_hold(&self, task: &TaskId, epoch: Epoch) -> Result<&Claim, Rejection> {
        self.must_be_open(task)?;
        claim::must_hold("task", self.claim.as_ref(), epoch)
    }

    fn take(&self, asked: &ClaimTask, stamp: &Stamp) -> Result<Vec<TaskEvent>, Rejection> {
        self.must_be_open(&asked.task)?;
        let wanted = (asked.worker.as_str(), asked.until);
        match claim::take("task", self.claim.as_ref(), wanted, stamp.at)? {
            Taken::New(Claim { epoch, worker, until }) => Ok(vec![TaskEvent::Claimed { epoch, worker, until }]),
            Taken::Held(epoch) => self.extend(&asked.task, epoch, asked.until, stamp),
        }
    }

    fn extend(
        &self,
        task: &TaskId,
        epoch: Epoch,
        until: Timestamp,
        stamp: &Stamp,
    ) -> Result<Vec<TaskEvent>, Rejection> {
        let held = self.must_hold(task, epoch)?;
        let until = claim::extended(held, until, stamp.at)?;
        Ok(until.map(|until| TaskEvent::ClaimExtended { epoch, until }).into_iter().collect())
    }

    fn start_step(&self, start: &StartStep) -> Result<Vec<TaskEvent>, Rejection> {
        let &StartStep { ref task, epoch, step, kind } = start;
        self.must_hold(task, epoch)?;
        let started = Started { epoch, step, kind };
        if self.started.as_ref() == Some(&started) {
            return Ok(vec![]);
        }
        if self.started.as_ref().is_some_and(|open| open.epoch == epoch) {
            return Err(Rejection::stale(format!("step {} has begun and has not finished", self.next_step())));
        }
        if step != self.next_step() {
            return Err(Rejection::stale(format!("the next step is {}, not {step}", self.next_step())));
        }
        if step.0 > STEPS_MAX {
            return Err(Rejection::invalid("step", format!("a task has at most {STEPS_MAX} steps")));
        }
        Ok(vec![TaskEvent::StepStarted { epoch, step, kind }])
    }

    fn finish_step(&self, finish: &FinishStep) -> Result<Vec<TaskEvent>, Rejection> {
        let &FinishStep { ref task, epoch, step, kind, ref output, tokens, cost, duration_ms } = finish;
        self.must_hold(task, epoch)?;
        if step == self.finished && self.finished_by == epoch && self.started.is_none() {
            return Ok(vec![]);
        }
        if self.started != Some(Started { epoch, step, kind }) {
            return Err(Rejection::stale(format!("step {step} ({kind}) has not begun under claim {epoch}")));
        }
        let Some(output) = output.sealed().cloned() else {
            return Err(Rejection::invalid("output", "was not sealed"));
        };
        Ok(vec![TaskEvent::StepFinished { epoch, step, kind, output, tokens, cost, duration_ms }])
    }

    const fn next_step(&self) -> StepNumber {
        StepNumber(self.finished.0.saturating_add(1))
    }
}

impl Aggregate for Task {
    type Command = TaskCommand;
    type Event = TaskEvent;

    fn decide(&self, command: &TaskCommand, stamp: &Stamp) -> Result<Vec<TaskEvent>, Rejection> {
        match command {
            TaskCommand::SubmitTask(submit) => self.submit(submit, stamp),
            TaskCommand::CancelTask(_) if self.end == Some(TaskEnd::Cancelled) => Ok(vec![]),
            TaskCommand::CancelTask(cancel) => {
                self.must_be_open(&cancel.task)?;
                limit::reason(&cancel.reason)?;
                Ok(vec![TaskEvent::Cancelled { reason: cancel.reason.clone() }])
            }
            TaskCommand::ClaimTask(claim) => self.take(claim, stamp),
            TaskCommand::ExtendClaim(asked) => self.extend(&asked.task, asked.epoch, asked.until, stamp),
            TaskCommand::StartStep(start) => self.start_step(start),
            TaskCommand::FinishStep(finish) => self.finish_step(finish),
            TaskCommand::FinishTask(finish) if self.end == Some(TaskEnd::Finished(finish.epoch)) => Ok(vec![]),
            TaskCommand::FinishTask(finish) => {
                self.must_hold(&finish.task, finish.epoch)?;
                if let Some(open) = &self.started {
                    return Err(Rejection::stale(format!("step {} has begun and has not finished", open.step)));
                }
                let Some(output) = finish.output.sealed().cloned() else {
                    return Err(Rejection::invalid("output", "was not sealed"));
                };
                Ok(vec![TaskEvent::Finished { epoch: finish.epoch, output }])
            }
            TaskCommand::FailTask(fail) if self.end == Some(TaskEnd::Failed(fail.epoch)) => Ok(vec![]),
            TaskCommand::FailTask(fail) => {
                self.must_hold(&fail.task, fail.epoch)?;
                limit::reason(&fail.reason)?;
                Ok(vec![TaskEvent::Failed { epoch: fail.epoch, reason: fail.reason.clone(), spent: fail.spent }])
            }
        }
    }

    fn apply(&mut self, event: &TaskEvent, _: Timestamp) {
        match event.clone() {
            TaskEvent::Submitted { task, agent, scope, input, limit, submitted_by, submitted_with: _ } => {
                let input = input.digest();
                self.submitted = Some(Submitted { task, agent, scope, limit, submitted_by, input });
            }
            TaskEvent::Claimed { epoch, worker, until } => {
                self.claim = Some(Claim { epoch, worker, until });
                self.started = None; // an unfinished step of an earlier claim is begun anew
            }
            TaskEvent::ClaimExtended { epoch: _, until } => {
                if let Some(claim) = &mut self.claim {
                    claim.until = until;
                }
            }
            TaskEvent::StepStarted { epoch, step, kind } => self.started = Some(Started { epoch, step, kind }),
            TaskEvent::StepFinished { epoch, step, cost, .. } => {
                self.finished = step;
                self.finished_by = epoch;
                self.started = None;
                self.cost = NanoDollars(self.cost.0.saturating_add(cost.0));
            }
            TaskEvent::Finished { epoch, .. } => self.end = Some(TaskEnd::Finished(epoch)),
            TaskEvent::Failed { epoch, spent, .. } => {
                self.end = Some(TaskEnd::Failed(epoch));
                self.cost = NanoDollars(self.cost.0.saturating_add(spent.map_or(0, |spent| spent.cost.0)));
            }
            TaskEvent::Cancelled { .. } => self.end = Some(TaskEnd::Cancelled),
        }
    }

    fn answer(&self, _: &TaskCommand) -> serde_json::Value {
        json!({
            "task": self.submitted.as_ref().map(|submitted| &submitted.task),
            "epoch": self.claim.as_ref().map(|claim| claim.epoch),
            "until": self.claim.as_ref().map(|claim| claim.until),
            "steps_finished": self.finished,
            "end": self.end.map(TaskEnd::word),
        })
    }
}

#[cfg(test)]
mod tests;
