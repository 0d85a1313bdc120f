//! Workers that die, hang or stop, and those who go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use steward_events::command::ClaimTask;
use steward_events::event::TaskEvent;
use steward_events::id::{PrincipalId, SystemPart};
use steward_events::quantity::{Epoch, StepNumber};
use steward_workers::Config;
use tokio_util::sync::CancellationToken;

use crate::buses::{Deluded, Dying};
use crate::env::{WorkersEnv, eventually, now, within};
use crate::gateway::{Call, Do, Gateway};
use crate::{is_plan, kinds, left_over, plan_and_answer};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_workers_finished_steps_are_never_done_again() {
    let cases = (0..8).flat_map(|at| [(at, false), (at, true)]);
    let ends = join_all(cases.map(|(at, after)| async move {
        let env = WorkersEnv::new(Gateway::start(plan_and_answer).await).await.with_tenant("acme").await;
        let dying = Arc::new(Dying {
            inner: env.bus(),
            at,
            after,
            sent: AtomicUsize::new(0),
            dead: CancellationToken::new(),
            last_words: std::sync::Mutex::default(),
        });
        let first = env.start_with(env.config(), dying.clone());
        env.submit("acme", "t_1", Some("$0.01")).await;
        within("the kill", dying.dead.cancelled()).await;
        drop(first);
        let second = env.start();
        assert_eq!(env.end("acme", "t_1").await, "finished", "killed at {at} {after}");
        eventually("everything is taken back", async || left_over(&env).await == (0, 0)).await;
        second.stop().await;

        let last_words = dying.last_words.lock().unwrap().clone();
        let events = env.task("acme", "t_1").await;
        let finished: Vec<StepNumber> = events
            .iter()
            .filter_map(|event| if let TaskEvent::StepFinished { step, .. } = event { Some(*step) } else { None })
            .collect();
        assert_eq!(finished, [StepNumber(1), StepNumber(2)], "killed at {last_words}");
        // A step is asked again only if its result was not recorded.
        let again = |step: usize| usize::from(last_words == "task.finish-step" && !after && at == 2 * step + 2);
        for step in 1..=2 {
            let calls = env.gateway.calls_of(&format!("t_1-{step}"));
            assert_eq!(calls, 1 + again(step), "step {step}, killed at {last_words}, decided: {after}");
        }
        last_words
    }))
    .await;
    let order = ["task.claim", "budget.set", "key.issue", "task.start-step", "task.finish-step"];
    let order = order.into_iter().chain(["task.start-step", "task.finish-step", "task.finish"]);
    assert_eq!(ends, order.flat_map(|name| [name, name]).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_workers_call_is_repeated_with_another_key() {
    let calls = AtomicUsize::new(0);
    let script = move |call: &Call| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Do::Hang,
        1 => Do::SayAfter(Duration::from_secs(1), "I look it up."),
        _ => plan_and_answer(call),
    };
    let env = WorkersEnv::new(Gateway::start(script).await).await.with_tenant("acme").await;
    let first = env.start();
    env.submit("acme", "t_1", None).await;
    eventually("the call", async || env.gateway.open() == 1).await;
    drop(first);
    eventually("the call is broken off", async || env.gateway.open() == 0).await;
    let _second = env.start();
    eventually("the second call", async || env.gateway.open() == 1).await;
    eventually("the dead worker's key ends", async || left_over(&env).await == (1, 0)).await;
    assert_eq!(env.gateway.open(), 1, "before the task does");
    assert_eq!(env.end("acme", "t_1").await, "finished");
    let calls = env.gateway.calls();
    assert_ne!(calls[0].secret, calls[1].secret, "the dead worker's key is not used by another");
    eventually("everything is taken back", async || left_over(&env).await == (0, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_claim_has_passed_on_writes_nothing() {
    // The first worker is asked to wait for its plan until the second one has finished the task.
    let calls = Arc::new(AtomicUsize::new(0));
    let script = move |call: &Call| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Do::SayAfter(Duration::from_secs(4), "A zombie's plan."),
        _ => plan_and_answer(call),
    };
    let env = WorkersEnv::new(Gateway::start(script).await).await.with_tenant("acme").await;
    let zombie = env.start_with(env.config(), Arc::new(Deluded(env.bus())));
    env.submit("acme", "t_1", None).await;
    eventually("the zombie's call", async || env.gateway.open() == 1).await;
    let second = env.start();
    eventually("the second claim", async || {
        env.task("acme", "t_1").await.iter().any(|event| matches!(event, TaskEvent::Claimed { epoch: Epoch(2), .. }))
    })
    .await;
    assert_eq!(env.end("acme", "t_1").await, "finished");
    eventually("the zombie's answer", async || env.gateway.open() == 0).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for event in env.task("acme", "t_1").await {
        if let TaskEvent::StepFinished { epoch, .. } | TaskEvent::Finished { epoch, .. } = event {
            assert_eq!(epoch, Epoch(2));
        }
    }
    drop((zombie, second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_write_under_a_stale_claim_stops_the_worker() {
    let env = WorkersEnv::new(Gateway::start(|_| Do::SayAfter(Duration::from_secs(4), "Late.")).await).await;
    let env = env.with_tenant("acme").await;
    let zombie = env.start_with(env.config(), Arc::new(Deluded(env.bus())));
    env.submit("acme", "t_1", None).await;
    eventually("the zombie's call", async || env.gateway.open() == 1).await;
    // Somebody else claims it as soon as that is possible, and does nothing with it.
    eventually("a rival claim", async || {
        let until = now().plus(Duration::from_mins(10));
        let claim = ClaimTask { task: "t_1".parse().unwrap(), worker: "rival".into(), until };
        env.send_as(&PrincipalId::system(SystemPart::Worker), "acme", claim).await.is_ok()
    })
    .await;
    eventually("the zombie's write", async || env.desk.asked("task.finish-step").await.len() == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(env.desk.asked("task.finish-step").await.len(), 1, "it does not insist");
    let events = env.task("acme", "t_1").await;
    assert_eq!(kinds(&events), ["submitted", "claimed", "started", "claimed"], "and nothing was written");
    assert!(env.desk.asked("task.fail").await.is_empty(), "a zombie does not fail the task either");
    drop(zombie);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_worker_finishes_its_step_and_releases_its_claim() {
    let script = |call: &Call| {
        if is_plan(call) { Do::SayAfter(Duration::from_millis(400), "I look it up.") } else { plan_and_answer(call) }
    };
    let env = WorkersEnv::new(Gateway::start(script).await).await.with_tenant("acme").await;
    let config =
        Config { claim_timeout: Duration::from_mins(10), drain_time_max: Duration::from_secs(10), ..env.config() };
    let first = env.start_with(config.clone(), env.bus());
    env.submit("acme", "t_1", None).await;
    eventually("the call", async || env.gateway.open() == 1).await;
    first.stop().await;
    assert_eq!(kinds(&env.task("acme", "t_1").await), ["submitted", "claimed", "started", "step finished"]);
    let _second = env.start_with(config, env.bus());
    assert_eq!(env.end("acme", "t_1").await, "finished", "without waiting ten minutes for the claim to lapse");
    assert_eq!(env.gateway.calls_of("t_1-1"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_worker_breaks_off_long_steps() {
    let hangs = Arc::new(AtomicBool::new(true));
    let now_hangs = Arc::clone(&hangs);
    let script = move |call: &Call| if now_hangs.load(Ordering::SeqCst) { Do::Hang } else { plan_and_answer(call) };
    let env = WorkersEnv::new(Gateway::start(script).await).await.with_tenant("acme").await;
    let config = Config { claim_timeout: Duration::from_mins(10), ..env.config() };
    let first = env.start_with(config.clone(), env.bus());
    env.submit("acme", "t_1", None).await;
    eventually("the call", async || env.gateway.open() == 1).await;
    let began = Instant::now();
    first.stop().await;
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    eventually("the call is broken off", async || env.gateway.open() == 0).await;
    hangs.store(false, Ordering::SeqCst);
    let _second = env.start_with(config, env.bus());
    assert_eq!(env.end("acme", "t_1").await, "finished");
}
