//! Drives one task: claim it, do what its history says is next, record that, until nothing is next.
//!
//! Knows the order of things. Must not know what a step asks ([`crate::pattern`]) or whether a record is allowed.

use steward_events::command::{
    ClaimTask, Command, ExtendClaim, FailTask, FinishStep, FinishTask, SetBudget, StartStep,
};
use steward_events::event::{AgentSpec, SpentStep, StepKind, TaskOutput};
use steward_events::quantity::{Limit, Position, Shard, StepNumber, Unit, Window};
use steward_events::rejection::Rejection;
use steward_events::scope::Subject;
use steward_events::sealed::Content;
use steward_ports::keys::KeyError;
use steward_ports::live::Live;
use tokio_util::sync::CancellationToken;

use crate::dispatch::{Cause, DispatchError};
use crate::driving::claim::{self, Claim};
use crate::driving::ending::{Submitter, ended};
use crate::driving::{Left, Stop};
use crate::pattern::{self, Done, Message, Next, Progress};
use crate::step::model::{CallError, ModelAnswer, ModelRequest};
use crate::task::Tasks;
use crate::task::history::{ContentError, History};
use crate::task::key::TaskKey;
use crate::task::open_tasks::{OpenTask, OpenTasks, TaskRef};
use crate::wake;

/// The longest reason that is recorded, in characters: at most 1,000 bytes are allowed.
const REASON_CHARS_MAX: usize = 250;

/// Why the steps end before the task does.
enum Broken {
    /// Leave it for later, or for others.
    Release(String),
    /// The claim does not count any more, or nobody can say.
    Lose(String),
    /// It cannot be done; this is recorded.
    Fail(String),
    /// The same, although a step was paid.
    FailPaid(String, Box<SpentStep>),
}

/// Drives `task` until it is closed, lost or given up.
pub(crate) async fn drive(shared: &Tasks, task: &TaskRef, stop: &Stop) -> Left {
    let Some(open) = shared.live.read().open(task).cloned() else { return Left::Closed };
    let cause = Cause {
        causation: Some(format!("{}@{}", open.stream, open.submitted_at)),
        correlation: Some(open.correlation.clone()),
        on_behalf_of: Some(open.submitted_by.clone()),
    };
    let timeout = shared.config.claim_timeout;
    let (dispatch, clock) = (&shared.dispatch, &shared.ports.clock);
    let (claimant, held_since) = (shared.claimants.next(), clock.monotonic());
    let claimed = claim::request(dispatch, clock, &task.tenant, &cause, timeout, |until| {
        ClaimTask { task: task.task.clone(), worker: claimant.clone(), until }.into()
    });
    let claimed = claimed.await;
    let history = match claimed {
        Ok(position) => History::load(&*shared.ports.log, &open.stream, position).await,
        Err(error) => {
            tracing::debug!(error = %error, "the task is not to be had");
            return Left::NotHad;
        }
    };
    let history = match history {
        Ok(history) => history,
        Err(error) => {
            tracing::warn!(error = %error, "the claimed task cannot be read; its claim will lapse");
            return Left::NotHad;
        }
    };
    let Some((epoch, holder)) = &history.claim else { return Left::NotHad };
    if *holder != claimant {
        return Left::Lost;
    }
    let extends = |epoch, until| ExtendClaim { task: task.task.clone(), epoch, until }.into();
    let (tenant, epoch) = (&task.tenant, *epoch);
    let claim = Claim { dispatch, clock, tenant, cause: &cause, timeout, epoch, held_since, extends: &extends };
    tracing::info!(epoch = epoch.0, "task claimed");
    let (principal, key) = (&open.submitted_by, open.submitted_with.as_ref());
    let submitter = Submitter { tenant, shard: open.stream.shard, principal, key };
    let drive = Drive { shared, task, open: &open, claim: &claim, cause: &cause };
    let left = tokio::select! {
        biased;
        () = closed(&shared.live, task, open.stream.shard) => Left::Closed,
        () = claim.keep() => Left::Lost,
        () = stop.now.cancelled() => Left::Released,
        why = ended(&shared.authority, &**clock, submitter) => drive.fail(&why, None).await,
        left = drive.to_its_end(&history, &stop.drain) => left,
    };
    if left == Left::Released {
        claim.release().await;
    }
    tracing::info!(epoch = epoch.0, left = ?left, "task left");
    left
}

/// Waits until the log says that the task is closed, by whomever.
async fn closed(live: &Live<OpenTasks>, task: &TaskRef, shard: Shard) {
    loop {
        let at = live.positions().get(usize::from(shard.0)).copied().unwrap_or_default();
        if live.read().open(task).is_none() {
            return;
        }
        if live.stopped().is_some() {
            // Nothing will be seen any more; the claim still guards every write.
            std::future::pending::<()>().await;
        }
        let _ = live.reached(shard, Position(at.0 + 1), wake::IDLE_MAX).await;
    }
}

struct Drive<'a> {
    shared: &'a Tasks,
    task: &'a TaskRef,
    open: &'a OpenTask,
    claim: &'a Claim<'a>,
    cause: &'a Cause,
}

impl Drive<'_> {
    async fn to_its_end(&self, history: &History, drain: &CancellationToken) -> Left {
        let broken = match self.steps(history, drain).await {
            Ok(()) => return Left::Closed,
            Err(broken) => broken,
        };
        match broken {
            Broken::Release(reason) => {
                tracing::info!(%reason, "task given up for now");
                Left::Released
            }
            Broken::Lose(reason) => {
                tracing::warn!(%reason, "task lost");
                Left::Lost
            }
            Broken::Fail(reason) => self.fail(&reason, None).await,
            Broken::FailPaid(reason, spent) => self.fail(&reason, Some(*spent)).await,
        }
    }

    /// Records that it cannot be done.
    async fn fail(&self, reason: &str, spent: Option<SpentStep>) -> Left {
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        tracing::warn!(%reason, "task failed");
        let fail = FailTask { task: self.task.task.clone(), epoch: self.claim.epoch, reason, spent };
        match self.record(fail).await {
            Ok(_) => Left::Closed,
            Err(Broken::Release(_)) => Left::Released,
            Err(_) => Left::Lost,
        }
    }

    async fn steps(&self, history: &History, drain: &CancellationToken) -> Result<(), Broken> {
        let agent = self.agent()?;
        let mut progress = history.open(&self.shared.ports.keyring).await?;
        let pattern = pattern::of(agent.pattern);
        let mut key = None;
        loop {
            if drain.is_cancelled() {
                return Err(Broken::Release("the worker stops".to_owned()));
            }
            if self.shared.live.read().is_suspended(&self.task.tenant) {
                return Err(Broken::Release("the tenant is suspended".to_owned()));
            }
            match pattern.next(&agent, &progress) {
                Next::Finish(text) => {
                    let output = Content::Plain(TaskOutput { text });
                    let epoch = self.claim.epoch;
                    self.record(FinishTask { task: self.task.task.clone(), epoch, output }).await?;
                    tracing::info!(steps = progress.done.len(), "task finished");
                    return Ok(());
                }
                Next::CallModel { kind, messages } => {
                    let number = self.next_number(&agent, &progress)?;
                    let secret = self.secret(&mut key, &agent).await?;
                    let text = self.step(number, kind, &agent, &messages, secret).await?;
                    progress.done.push(Done { kind, text });
                }
            }
        }
    }

    fn agent(&self) -> Result<AgentSpec, Broken> {
        let agent = self.shared.live.read().agent(&self.task.tenant, &self.open.agent).cloned();
        agent.ok_or_else(|| Broken::Fail(format!("there is no agent {}", self.open.agent)))
    }

    fn next_number(&self, agent: &AgentSpec, progress: &Progress) -> Result<StepNumber, Broken> {
        let done = u32::try_from(progress.done.len()).unwrap_or(u32::MAX);
        if done >= agent.steps_max {
            let reason = format!("agent {} may take at most {} steps, which were not enough", self.open.agent, done);
            return Err(Broken::Fail(reason));
        }
        Ok(StepNumber(done + 1))
    }

    /// The secret of a key that outlasts the next step. The first one follows the task's budget, which binds it.
    async fn secret<'k>(&self, key: &'k mut Option<TaskKey>, agent: &AgentSpec) -> Result<&'k str, Broken> {
        let (clock, ids) = (&*self.shared.ports.clock, &*self.shared.ports.ids);
        let kept = key.take().filter(|key| key.outlasts(clock.now(), self.shared.config.step_time_max));
        let good = if let Some(kept) = kept {
            kept
        } else {
            self.set_budget().await?;
            let config = &self.shared.config;
            let lifetime = config.key_lifetime.max(2 * config.step_time_max);
            let (dispatch, about) = (&self.shared.dispatch, (self.task, self.open));
            let made = TaskKey::issue(dispatch, (clock, ids), about, agent, lifetime, self.cause).await;
            made.map_err(|error| broken_by(error, "no key for the task"))?
        };
        Ok(&key.insert(good).secret)
    }

    async fn set_budget(&self) -> Result<(), Broken> {
        let Some(limit) = self.open.limit else { return Ok(()) };
        let command = SetBudget {
            scope: self.open.scope.clone(),
            subject: Some(Subject::Task(self.task.task.clone())),
            limit: Limit { unit: Unit::Money, amount: limit.0 },
            per: Window::Total,
            hard: true,
            warn: Vec::new(),
            level: None,
        };
        let sent = self.shared.dispatch.send(&self.task.tenant, command, self.cause).await;
        sent.map(|_| ()).map_err(|error| broken_by(error, "no budget for the task"))
    }

    async fn step(
        &self,
        step: StepNumber,
        kind: StepKind,
        agent: &AgentSpec,
        messages: &[Message],
        secret: &str,
    ) -> Result<String, Broken> {
        let (task, epoch) = (&self.task.task, self.claim.epoch);
        self.record(StartStep { task: task.clone(), epoch, step, kind }).await?;
        let clock = &self.shared.ports.clock;
        let began = clock.monotonic();
        let request = ModelRequest {
            secret,
            idempotency_key: format!("{task}-{step}"),
            model: &agent.model,
            messages,
            output_max: agent.output_max,
        };
        let answered = self.shared.models.call(&request, self.shared.config.step_time_max).await;
        let ModelAnswer { text, tokens, cost } = answered.map_err(|error| self.failed_call(step, kind, &error))?;
        let taken = clock.monotonic().saturating_sub(began);
        let duration_ms = u64::try_from(taken.as_millis()).unwrap_or(u64::MAX);
        let output = Content::Plain(TaskOutput { text: text.clone() });
        let finish = FinishStep { task: task.clone(), epoch, step, kind, output, tokens, cost, duration_ms };
        self.record(finish).await.map_err(|broken| match broken {
            Broken::Fail(reason) => Broken::FailPaid(reason, Box::new(SpentStep { step, tokens, cost })),
            other => other,
        })?;
        tracing::info!(step = step.0, kind = %kind, duration_ms, cost = %cost, "step finished");
        Ok(text)
    }

    fn failed_call(&self, step: StepNumber, kind: StepKind, error: &CallError) -> Broken {
        if self.shared.live.read().is_suspended(&self.task.tenant) {
            return Broken::Release("the tenant is suspended".to_owned());
        }
        let reason = format!("step {step} ({kind}): {error}");
        match *error {
            CallError::Paid { tokens, cost, .. } => {
                Broken::FailPaid(reason, Box::new(SpentStep { step, tokens, cost }))
            }
            _ => Broken::Fail(reason),
        }
    }

    /// Records something in the task's stream, under the claim.
    async fn record(&self, command: impl Into<Command>) -> Result<Position, Broken> {
        match self.shared.dispatch.send(&self.task.tenant, command, self.cause).await {
            Ok(reply) => Ok(reply.position),
            Err(DispatchError::Rejected(Rejection::Suspended { reason, .. })) => Err(Broken::Release(reason)),
            // Passed on or closed: this worker has no more to say about the task.
            Err(DispatchError::Rejected(rejection @ (Rejection::Stale { .. } | Rejection::NotFound { .. }))) => {
                Err(Broken::Lose(rejection.to_string()))
            }
            // Too long an answer, for one. The next worker would fare no better.
            Err(DispatchError::Rejected(rejection)) => Err(Broken::Fail(format!("cannot be recorded: {rejection}"))),
            Err(error) => Err(Broken::Lose(error.to_string())),
        }
    }
}

/// What it means that something other than the task's own record could not be had.
fn broken_by(error: DispatchError, what: &str) -> Broken {
    match error {
        DispatchError::Rejected(Rejection::Suspended { reason, .. }) => Broken::Release(reason),
        DispatchError::Rejected(rejection) => Broken::Fail(format!("{what}: {rejection}")),
        DispatchError::Unanswered { .. } | DispatchError::Unwritable(_) => Broken::Release(format!("{what}: {error}")),
    }
}

impl From<ContentError> for Broken {
    fn from(error: ContentError) -> Self {
        match error {
            // Not the task's fault: another worker, or this one later, may open it.
            ContentError::Key(KeyError::Unavailable(_) | KeyError::WrongMasterKey(..)) => {
                Self::Release(error.to_string())
            }
            ContentError::Key(KeyError::Erased(_)) | ContentError::Sealed(_) | ContentError::NoInput => {
                Self::Fail(error.to_string())
            }
        }
    }
}
