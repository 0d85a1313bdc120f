//! What a task makes of a no.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use steward_events::command::{IssueKey, RevokeKey, SubmitTask};
use steward_events::event::{KeyHash, TaskEvent, TaskInput};
use steward_events::sealed::Content;
use steward_workers::Config;

use crate::env::{WorkersEnv, eventually};
use crate::gateway::{Call, Do, Gateway};
use crate::{left_over, plan_and_answer};

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_refusal_ends_the_task_with_its_reason() {
    for (status, code, message, reason) in [
        (
            402,
            "insufficient_quota",
            "task t_1 spent $0.01 of $0.01",
            "step 1 (plan): budget exhausted: task t_1 spent $0.01 of $0.01",
        ),
        (403, "forbidden", "p_ana may not", "step 1 (plan): not allowed: p_ana may not"),
        (404, "model_not_found", "no model small", "step 1 (plan): the model does not exist any more: no model small"),
    ] {
        let env = WorkersEnv::new(Gateway::start(move |_| Do::Refuse(status, code, message)).await).await;
        let env = env.with_tenant("acme").await;
        let _process = env.start();
        env.submit("acme", "t_1", None).await;
        assert_eq!(env.end("acme", "t_1").await, format!("failed: {reason}"));
        assert_eq!(env.gateway.calls().len(), 1, "a refusal is not asked again");
        eventually("everything is taken back", async || left_over(&env).await == (0, 0)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_without_its_budget_ends_with_the_reason() {
    let env = WorkersEnv::new(Gateway::start(plan_and_answer).await).await.with_tenant("acme").await;
    env.desk.refuse_budgets.store(true, Ordering::Relaxed);
    let _process = env.start();
    env.submit("acme", "t_1", Some("$0.01")).await;
    assert_eq!(env.end("acme", "t_1").await, "failed: no budget for the task: scope: no budgets here");
    assert!(env.gateway.calls().is_empty(), "nothing was called without a budget");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_too_long_to_record_ends_its_task_once() {
    for bytes in [200_000, 1_200_000] {
        let gateway = Gateway::start(move |_| Do::SayMuch(bytes)).await;
        let env = WorkersEnv::new(gateway).await.with_tenant("acme").await;
        let _process = env.start();
        env.submit("acme", "t_1", None).await;
        let end = env.end("acme", "t_1").await;
        assert!(end.starts_with("failed: cannot be recorded: body: has "), "{end}");
        assert_eq!(env.gateway.calls().len(), 1, "asked once, paid once");
        let Some(TaskEvent::Failed { spent: Some(spent), .. }) = env.task("acme", "t_1").await.pop() else {
            panic!("what it cost is not recorded")
        };
        assert_eq!((spent.step.0, spent.cost.0), (1, 15_000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_parts_of_an_answer_are_its_text() {
    let parts =
        r#"[{"type":"thinking","thinking":[{"type":"text","text":"let me see"}]},{"type":"text","text":"good day"}]"#;
    let env = WorkersEnv::new(Gateway::start(|_| Do::SayContent(parts)).await).await.with_tenant("acme").await;
    let _process = env.start();
    env.submit("acme", "t_1", None).await;
    assert_eq!(env.end("acme", "t_1").await, "finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_account_of_the_operators_is_not_waited_for() {
    let script = |_: &Call| Do::Refuse(502, "upstream_out_of_credit", "provider local has no credit left");
    let env = WorkersEnv::new(Gateway::start(script).await).await.with_tenant("acme").await;
    let _process = env.start();
    env.submit("acme", "t_1", None).await;
    let end = env.end("acme", "t_1").await;
    assert!(end.contains("no credit left"), "{end}");
    assert_eq!(env.gateway.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_refusals_are_waited_for() {
    let calls = Arc::new(AtomicUsize::new(0));
    let script = move |call: &Call| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Do::Refuse(429, "rate_limit_exceeded", "slow down"),
        1 => Do::Refuse(503, "unavailable", "not fresh"),
        _ => plan_and_answer(call),
    };
    let env = WorkersEnv::new(Gateway::start(script).await).await.with_tenant("acme").await;
    let _process = env.start();
    env.submit("acme", "t_1", None).await;
    assert_eq!(env.end("acme", "t_1").await, "finished");
    assert_eq!(env.gateway.calls_of("t_1-1"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_without_any_answer_ends_the_task_in_time() {
    let env = WorkersEnv::new(Gateway::start(|_| Do::Hang).await).await.with_tenant("acme").await;
    let config = Config { step_time_max: Duration::from_millis(500), ..env.config() };
    let _process = env.start_with(config, env.bus());
    env.submit("acme", "t_1", None).await;
    assert_eq!(env.end("acme", "t_1").await, "failed: step 1 (plan): no answer from the model: it took too long");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_ends_with_the_key_that_submitted_it() {
    let env = WorkersEnv::new(Gateway::start(|_| Do::Hang).await).await.with_tenant("acme").await;
    let issue = |key: &str| IssueKey {
        key: Some(key.parse().unwrap()),
        principal: "p_ana".parse().unwrap(),
        hash: KeyHash::of(key),
        scope: None,
        models: vec![],
        expires: None,
        agent: None,
        task: None,
        permissions: vec![],
        parent: None,
        addresses: vec![],
        hours: vec![],
    };
    for key in ["key_1", "key_2"] {
        env.send("acme", issue(key)).await.unwrap();
    }
    let _process = env.start();
    for (key, task) in [("key_1", "t_1"), ("key_2", "t_2")] {
        let submit = SubmitTask {
            task: Some(task.parse().unwrap()),
            agent: "researcher".parse().unwrap(),
            input: Content::Plain(TaskInput { prompt: "What?".to_owned() }),
            scope: None,
            limit: None,
        };
        env.send_as(&key.parse().unwrap(), "acme", submit).await.unwrap();
    }
    eventually("both tasks call", async || env.gateway.calls().len() == 2).await;
    let revoke = RevokeKey { key: "key_1".parse().unwrap(), reason: "lost".to_owned() };
    let revoked = Instant::now();
    env.send_as(&"key_2".parse().unwrap(), "acme", revoke).await.unwrap();
    assert_eq!(env.end("acme", "t_1").await, "failed: the key key_1 was revoked or has expired");
    assert!(revoked.elapsed() < Duration::from_secs(5), "{:?}", revoked.elapsed());
    eventually("its key is taken back", async || left_over(&env).await == (2, 0)).await;
    let other = env.task("acme", "t_2").await;
    assert!(!other.iter().any(|event| matches!(event, TaskEvent::Failed { .. })), "{other:?}");
}
