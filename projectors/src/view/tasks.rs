//! A tenant's tasks as people see them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use steward_events::BoxError;
use steward_events::commit::Recorded;
use steward_events::event::{AggregateKind, Event, SpentStep, TaskEvent, TaskOutput, TokenUsage};
use steward_events::id::{StreamId, TaskId, TenantId};
use steward_events::quantity::{Epoch, NanoDollars, Position};
use steward_events::rejection::Rejection;
use steward_events::sealed::Sealed;
use steward_events::stream::StreamName;
use steward_ports::keys::{KeyError, Keyring};
use steward_ports::log::{EventLog, LogError};
use steward_queries::{StepView, TaskList, TaskListQuery, TaskQuery, TaskState, TaskView};

use crate::engine::Engine;
use crate::engine::key::Key;
use crate::engine::opening::open;
use crate::engine::page::ROWS_READ_MAX;
use crate::engine::projector::{Projector, reads};
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};
use crate::engine::rows::Rows;
use crate::engine::runner::Runner;
use crate::engine::view_store::Snapshot;

/// The most tasks in one list.
pub const LIST_COUNT_MAX: u32 = 1_000;

/// How many tasks a list has if the query does not say.
const LIST_COUNT: u32 = 100;

/// The read model.
pub struct TasksView {
    rows: Arc<Runner<Tasks>>,
    log: Arc<dyn EventLog>,
    keyring: Arc<Keyring>,
}

impl TasksView {
    /// Over the engine's log and store.
    pub fn new(engine: &Engine) -> Self {
        let ports = &engine.ports;
        Self { rows: engine.runner(), log: Arc::clone(&ports.log), keyring: Arc::clone(&ports.keyring) }
    }

    /// One task with its answer, if that was not erased.
    async fn show(&self, query: &Query<'_>) -> Result<TaskView, NoAnswer> {
        let TaskQuery { task, min_position } = query.read()?;
        let (tenant, id) = (query.tenant().clone(), task.clone());
        let found = self.rows.read(query.shard, min_position, move |rows| show(rows, &tenant, &id)).await?;
        let found = found.ok_or_else(|| Rejection::not_found("task", &task))?;
        query.found(query.sight.covers_of(&found.view.scope, &found.view.submitted_by))?;
        let mut view = found.view;
        view.input = self.input(query, &task).await?;
        if let Some(output) = &found.output {
            match open(&self.keyring, output).await {
                Ok(output) => view.output = Some(output.text),
                Err(KeyError::Erased(_)) => view.reason = Some("the answer was erased".to_owned()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(view)
    }
}

impl TasksView {
    /// What a task was asked, if that was not erased: its first event says it.
    async fn input(&self, query: &Query<'_>, task: &TaskId) -> Result<Option<String>, NoAnswer> {
        let (tenant, id) = (query.tenant().clone(), StreamId::new(task.as_str()).map_err(BoxError::from)?);
        let stream = StreamName { shard: query.shard, tenant, kind: AggregateKind::Task, id };
        let Some(first) = self.log.slot(&stream, Position(0)).await? else { return Ok(None) };
        let commit = first.commit().map_err(LogError::from)?;
        let mut events = commit.entries.iter().flat_map(|entry| &entry.events);
        let input = events.find_map(|event| match event {
            Event::Task(TaskEvent::Submitted { input, .. }) => Some(input),
            _ => None,
        });
        let Some(input) = input else { return Ok(None) };
        match open(&self.keyring, input).await {
            Ok(input) => Ok(Some(input.prompt)),
            Err(KeyError::Erased(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[async_trait]
impl ReadModel for TasksView {
    fn nouns(&self) -> &'static [&'static str] {
        &["task"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        Some(Arc::<Runner<_>>::clone(&self.rows))
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        match query.verb() {
            "list" => {
                let TaskListQuery { count_max, min_position } = query.read()?;
                let (tenant, count_max, sight) =
                    (query.tenant().clone(), count_max.unwrap_or(LIST_COUNT), query.sight.clone());
                let seen = move |task: &TaskView| sight.covers_of(&task.scope, &task.submitted_by);
                let read = self.rows.read(query.shard, min_position, move |rows| list(rows, &tenant, count_max, seen));
                query.write(&read.await?)
            }
            "show" => query.write(&self.show(query).await?),
            _ => Err(query.unknown()),
        }
    }
}

/// The fold.
pub struct Tasks;

/// A task, or an entry of the list of tasks by age.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TasksRow {
    /// A task.
    Task(Box<Task>),
    /// Which task was submitted at the position in the key.
    Submitted(TaskId),
}

/// A task and its answer, still sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Without the answer.
    pub view: TaskView,
    /// The answer, when it is finished.
    pub output: Option<Sealed<TaskOutput>>,
}

impl Projector for Tasks {
    const NAME: &'static str = "tasks-v1";
    type Row = TasksRow;

    reads!(Task => fold);
}

fn fold(event: &TaskEvent, recorded: &Recorded<'_>, rows: &mut Rows<TasksRow>) {
    let (tenant, id) = (&recorded.stream.tenant, recorded.stream.id.as_str());
    if let TaskEvent::Submitted { task, agent, scope, submitted_by, submitted_with: _, input: _, limit: _ } = event {
        let view = TaskView {
            task: task.clone(),
            agent: agent.clone(),
            scope: scope.clone(),
            state: TaskState::Waiting,
            submitted_at: recorded.entry.at,
            submitted_by: submitted_by.clone(),
            epoch: 0,
            worker: None,
            steps: Vec::new(),
            cost: NanoDollars(0),
            input: None,
            output: None,
            reason: None,
        };
        *rows.row(&task_key(tenant, id)) = Some(TasksRow::Task(Box::new(Task { view, output: None })));
        // Counted down, so that the newest comes first; the index, because one commit may hold several events.
        let newest_first =
            newest(tenant).number(u64::MAX - recorded.position.0).number(u64::from(u32::MAX - recorded.index));
        *rows.row(&newest_first) = Some(TasksRow::Submitted(task.clone()));
    } else if let Some(TasksRow::Task(task)) = rows.row(&task_key(tenant, id)) {
        task.apply(event);
    }
}

impl Task {
    fn apply(&mut self, event: &TaskEvent) {
        let view = &mut self.view;
        match event {
            TaskEvent::Claimed { epoch: Epoch(epoch), worker, until: _ } => {
                view.state = TaskState::Running;
                view.epoch = *epoch;
                view.worker = Some(worker.clone());
            }
            TaskEvent::Submitted { .. } | TaskEvent::ClaimExtended { .. } => {}
            TaskEvent::StepStarted { step, kind, epoch: _ } => {
                // A worker that takes over starts the unfinished step again.
                step_at(view, step.0).kind = kind.to_string();
            }
            TaskEvent::StepFinished { step, kind, tokens, cost, duration_ms, epoch: _, output: _ } => {
                let at = step_at(view, step.0);
                at.kind = kind.to_string();
                at.finished = true;
                at.tokens = *tokens;
                at.cost = *cost;
                at.duration_ms = *duration_ms;
                view.cost = sum(&view.steps);
            }
            TaskEvent::Finished { output, epoch: _ } => {
                view.state = TaskState::Finished;
                self.output = Some(output.clone());
            }
            TaskEvent::Failed { reason, spent, epoch: _ } => {
                if let Some(SpentStep { step, tokens, cost }) = spent {
                    let at = step_at(view, step.0);
                    at.tokens = *tokens;
                    at.cost = *cost;
                    view.cost = sum(&view.steps);
                }
                view.state = TaskState::Failed;
                view.reason = Some(reason.clone());
            }
            TaskEvent::Cancelled { reason } => {
                view.state = TaskState::Cancelled;
                view.reason = Some(reason.clone());
            }
        }
    }
}

fn sum(steps: &[StepView]) -> NanoDollars {
    NanoDollars(steps.iter().fold(0, |sum, step| sum.saturating_add(step.cost.0)))
}

/// The step with this number, made if it is new.
fn step_at(view: &mut TaskView, number: u32) -> &mut StepView {
    let place = view.steps.partition_point(|step| step.step < number);
    if view.steps.get(place).is_none_or(|step| step.step != number) {
        let fresh = StepView {
            step: number,
            kind: String::new(),
            finished: false,
            tokens: TokenUsage::default(),
            cost: NanoDollars(0),
            duration_ms: 0,
        };
        view.steps.insert(place, fresh);
    }
    &mut view.steps[place]
}

fn task_key(tenant: &TenantId, task: &str) -> Key {
    Key::of(tenant).text("task").text(task)
}

fn newest(tenant: &TenantId) -> Key {
    Key::of(tenant).text("newest")
}

/// One task of `tenant`, its answer still sealed.
///
/// # Errors
/// If the store cannot be read.
pub fn show(rows: &Snapshot<'_>, tenant: &TenantId, task: &TaskId) -> Result<Option<Task>, BoxError> {
    Ok(match rows.get::<TasksRow>(&task_key(tenant, task.as_str()))? {
        Some(TasksRow::Task(task)) => Some(*task),
        Some(TasksRow::Submitted(_)) | None => None,
    })
}

/// The newest tasks of `tenant` among those that are `seen`, without their answers.
///
/// # Errors
/// If the store cannot be read.
pub fn list(
    rows: &Snapshot<'_>,
    tenant: &TenantId,
    count_max: u32,
    seen: impl Fn(&TaskView) -> bool,
) -> Result<TaskList, BoxError> {
    let (mut tasks, mut read, mut failed) = (Vec::new(), 0, None);
    let count_max = usize::try_from(count_max.min(LIST_COUNT_MAX)).unwrap_or(usize::MAX);
    rows.scan::<TasksRow>(&newest(tenant), None, |_, row| {
        if tasks.len() >= count_max || read == ROWS_READ_MAX {
            return false;
        }
        read += 1;
        let TasksRow::Submitted(task) = row else { return true };
        match show(rows, tenant, &task) {
            Ok(found) => tasks.extend(found.map(|found| found.view).filter(&seen)),
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(TaskList { position: rows.position(), tasks }), Err)
}
