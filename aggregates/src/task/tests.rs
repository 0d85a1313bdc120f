use steward_events::command::{CancelTask, ExtendClaim, FailTask, FinishTask};
use steward_events::event::{TaskInput, TaskOutput, TokenUsage};
use steward_events::sealed::{Content, DataKey, KeyOwner, Sealed};

use super::*;
use crate::claim::CLAIM_TIME_MAX;
use crate::spec::given;

const NOW: Timestamp = Timestamp(1_000_000);
const LATER: Timestamp = Timestamp(31_000_000);
const MUCH_LATER: Timestamp = Timestamp(61_000_000);

fn task() -> TaskId {
    "t_1".parse().unwrap()
}

fn sealed<T: serde::Serialize + serde::de::DeserializeOwned>(content: &T) -> Sealed<T> {
    Sealed::seal(content, KeyOwner::Tenant("acme".parse().unwrap()), &DataKey::from_bytes([7; 32]), "").unwrap()
}

fn output() -> Sealed<TaskOutput> {
    thread_local! {
        // Sealing draws a nonce, so the same sealed text is kept to compare with.
        static OUTPUT: Sealed<TaskOutput> = sealed(&TaskOutput { text: "42".to_owned() });
    }
    OUTPUT.with(Clone::clone)
}

fn submit() -> SubmitTask {
    let input = Content::Sealed(sealed(&TaskInput { prompt: "why".to_owned() }));
    SubmitTask { task: Some(task()), agent: "researcher".parse().unwrap(), input, scope: None, limit: None }
}

fn submitted() -> TaskEvent {
    TaskEvent::Submitted {
        task: task(),
        agent: "researcher".parse().unwrap(),
        scope: "acme".parse().unwrap(),
        input: sealed(&TaskInput { prompt: "why".to_owned() }),
        limit: None,
        submitted_by: "p_ana".parse().unwrap(),
        submitted_with: None,
    }
}

fn claim(worker: &str, until: Timestamp) -> TaskCommand {
    TaskCommand::ClaimTask(ClaimTask { task: task(), worker: worker.to_owned(), until })
}

fn claimed(epoch: u32, worker: &str, until: Timestamp) -> TaskEvent {
    TaskEvent::Claimed { epoch: Epoch(epoch), worker: worker.to_owned(), until }
}

fn start(epoch: u32, step: u32, kind: StepKind) -> TaskCommand {
    TaskCommand::StartStep(StartStep { task: task(), epoch: Epoch(epoch), step: StepNumber(step), kind })
}

fn started(epoch: u32, step: u32, kind: StepKind) -> TaskEvent {
    TaskEvent::StepStarted { epoch: Epoch(epoch), step: StepNumber(step), kind }
}

fn finish_step(epoch: u32, step: u32) -> TaskCommand {
    TaskCommand::FinishStep(FinishStep {
        task: task(),
        epoch: Epoch(epoch),
        step: StepNumber(step),
        kind: StepKind::Plan,
        output: Content::Sealed(output()),
        tokens: TokenUsage::default(),
        cost: NanoDollars(5),
        duration_ms: 10,
    })
}

fn step_finished(epoch: u32, step: u32) -> TaskEvent {
    TaskEvent::StepFinished {
        epoch: Epoch(epoch),
        step: StepNumber(step),
        kind: StepKind::Plan,
        output: output(),
        tokens: TokenUsage::default(),
        cost: NanoDollars(5),
        duration_ms: 10,
    }
}

fn finish(epoch: u32) -> TaskCommand {
    TaskCommand::FinishTask(FinishTask { task: task(), epoch: Epoch(epoch), output: Content::Sealed(output()) })
}

fn finished(epoch: u32) -> TaskEvent {
    TaskEvent::Finished { epoch: Epoch(epoch), output: output() }
}

fn fail(epoch: u32) -> TaskCommand {
    TaskCommand::FailTask(FailTask { task: task(), epoch: Epoch(epoch), reason: "no model".to_owned(), spent: None })
}

fn cancel() -> TaskCommand {
    TaskCommand::CancelTask(CancelTask { task: task(), reason: "unwanted".to_owned() })
}

fn cancelled() -> TaskEvent {
    TaskEvent::Cancelled { reason: "unwanted".to_owned() }
}

#[test]
fn a_task_is_submitted_once() {
    let command = submit();
    let expected = TaskEvent::Submitted {
        task: task(),
        agent: command.agent.clone(),
        scope: "acme".parse().unwrap(),
        input: command.input.sealed().unwrap().clone(),
        limit: None,
        submitted_by: "p_ana".parse().unwrap(),
        submitted_with: None,
    };
    given::<Task>([]).when(TaskCommand::SubmitTask(command)).then([expected]);
    given::<Task>([submitted()]).when(TaskCommand::SubmitTask(submit())).then([]);
    let other = SubmitTask { agent: "writer".parse().unwrap(), ..submit() };
    let taken = Rejection::AlreadyExists { what: "task".to_owned(), id: "t_1".to_owned() };
    given::<Task>([submitted()]).when(TaskCommand::SubmitTask(other)).then_rejected(&taken);
}

#[test]
fn a_task_is_booked_within_its_tenant() {
    let elsewhere = SubmitTask { scope: Some("other".parse().unwrap()), ..submit() };
    given::<Task>([])
        .when(TaskCommand::SubmitTask(elsewhere))
        .then_rejected(&Rejection::invalid("scope", "other is outside tenant acme"));
}

#[test]
fn a_task_nobody_drives_may_be_claimed() {
    given::<Task>([submitted()]).when(claim("w1", LATER)).then([claimed(1, "w1", LATER)]);
    given::<Task>([]).when(claim("w1", LATER)).then_rejected(&Rejection::not_found("task", &task()));
}

#[test]
fn a_live_claim_stays_its_holders_and_excludes_others() {
    let driven = || given::<Task>([submitted(), claimed(1, "w1", LATER)]);
    let refused = Rejection::stale(format!("w1 drives the task until {LATER}"));
    driven().when(claim("w2", LATER)).then_rejected(&refused);
    driven().when(claim("w1", LATER)).then([]);
    driven().when(claim("w1", MUCH_LATER)).then([TaskEvent::ClaimExtended { epoch: Epoch(1), until: MUCH_LATER }]);
}

#[test]
fn a_lapsed_claim_passes_on_with_the_next_epoch() {
    given::<Task>([submitted(), claimed(1, "w1", LATER)])
        .at(LATER)
        .when(claim("w2", MUCH_LATER))
        .then([claimed(2, "w2", MUCH_LATER)]);
}

#[test]
fn a_claim_ends_in_the_future_and_soon() {
    let past = Rejection::invalid("until", format!("{NOW} is not in the future"));
    given::<Task>([submitted()]).when(claim("w1", NOW)).then_rejected(&past);
    let long = NOW.plus(CLAIM_TIME_MAX);
    given::<Task>([submitted()]).when(claim("w1", long)).then([claimed(1, "w1", long)]);
    let too_long = Rejection::invalid("until", "a claim holds for at most 3600 s");
    given::<Task>([submitted()]).when(claim("w1", Timestamp(long.0 + 1))).then_rejected(&too_long);
}

#[test]
fn a_zombie_writes_nothing() {
    let passed_on = || {
        given::<Task>([
            submitted(),
            claimed(1, "w1", LATER),
            started(1, 1, StepKind::Plan),
            claimed(2, "w2", MUCH_LATER),
        ])
        .at(LATER)
    };
    let stale = Rejection::stale("the task is now under claim 2, not 1");
    let extend = TaskCommand::ExtendClaim(ExtendClaim { task: task(), epoch: Epoch(1), until: MUCH_LATER });
    for command in [extend, start(1, 1, StepKind::Plan), finish_step(1, 1), finish(1), fail(1)] {
        passed_on().when(command).then_rejected(&stale);
    }
    passed_on().when(start(2, 1, StepKind::Plan)).then([started(2, 1, StepKind::Plan)]);
}

#[test]
fn a_lapsed_claim_that_nobody_took_still_counts() {
    given::<Task>([submitted(), claimed(1, "w1", LATER), started(1, 1, StepKind::Plan)])
        .at(MUCH_LATER)
        .when(finish_step(1, 1))
        .then([step_finished(1, 1)]);
}

#[test]
fn steps_come_one_at_a_time_and_in_order() {
    let driven = || vec![submitted(), claimed(1, "w1", LATER)];
    let with = |more: Vec<TaskEvent>| given::<Task>([driven(), more].concat());
    with(vec![]).when(start(1, 1, StepKind::Plan)).then([started(1, 1, StepKind::Plan)]);
    with(vec![]).when(start(1, 2, StepKind::Plan)).then_rejected(&Rejection::stale("the next step is 1, not 2"));
    let open = || vec![started(1, 1, StepKind::Plan)];
    with(open()).when(start(1, 1, StepKind::Plan)).then([]);
    with(open())
        .when(start(1, 2, StepKind::Answer))
        .then_rejected(&Rejection::stale("step 1 has begun and has not finished"));
    with(open()).when(finish(1)).then_rejected(&Rejection::stale("step 1 has begun and has not finished"));
    let done = || [open(), vec![step_finished(1, 1)]].concat();
    with(done()).when(finish_step(1, 1)).then([]);
    with(done()).when(start(1, 1, StepKind::Plan)).then_rejected(&Rejection::stale("the next step is 2, not 1"));
    with(done()).when(start(1, 2, StepKind::Answer)).then([started(1, 2, StepKind::Answer)]);
    with(vec![]).when(finish_step(1, 1)).then_rejected(&Rejection::stale("step 1 (plan) has not begun under claim 1"));
}

#[test]
fn a_task_has_a_bounded_number_of_steps() {
    let last = || vec![submitted(), claimed(1, "w1", LATER), step_finished(1, STEPS_MAX)];
    given::<Task>(last())
        .when(start(1, STEPS_MAX + 1, StepKind::Plan))
        .then_rejected(&Rejection::invalid("step", "a task has at most 1000 steps"));
}

#[test]
fn a_task_ends_once() {
    let driven = || vec![submitted(), claimed(1, "w1", LATER)];
    given::<Task>(driven()).when(finish(1)).then([finished(1)]);
    let done = || [driven(), vec![finished(1)]].concat();
    given::<Task>(done()).when(finish(1)).then([]);
    given::<Task>(done()).when(fail(1)).then_rejected(&Rejection::stale("the task is finished"));
    given::<Task>(done()).when(cancel()).then_rejected(&Rejection::stale("the task is finished"));
    given::<Task>(done()).when(claim("w2", MUCH_LATER)).then_rejected(&Rejection::stale("the task is finished"));
}

#[test]
fn a_cancelled_task_stops_its_worker() {
    let gone = || vec![submitted(), claimed(1, "w1", LATER), cancelled()];
    given::<Task>(gone()).when(cancel()).then([]);
    for command in [start(1, 1, StepKind::Plan), finish(1), fail(1)] {
        given::<Task>(gone()).when(command).then_rejected(&Rejection::stale("the task is cancelled"));
    }
}

#[test]
fn the_answer_names_task_and_epoch() {
    let mut state = Task::default();
    for event in [submitted(), claimed(3, "w1", LATER)] {
        state.apply(&event, NOW);
    }
    let answer = state.answer(&claim("w1", LATER));
    assert_eq!((answer["task"].as_str(), answer["epoch"].as_u64()), (Some("t_1"), Some(3)));
}

#[test]
fn a_released_claim_is_free_at_once_for_other_workers() {
    let give_up =
        |epoch| TaskCommand::ExtendClaim(ExtendClaim { task: task(), epoch: Epoch(epoch), until: Timestamp(0) });
    let free = TaskEvent::ClaimExtended { epoch: Epoch(1), until: NOW };
    given::<Task>([submitted(), claimed(1, "w1", LATER)]).at(NOW).when(give_up(1)).then([free.clone()]);
    given::<Task>([submitted(), claimed(1, "w1", LATER), free.clone()]).at(NOW).when(give_up(1)).then([]);
    given::<Task>([submitted(), claimed(1, "w1", LATER), free])
        .at(NOW)
        .when(claim("w2", LATER))
        .then([claimed(2, "w2", LATER)]);
}
