//! A task from its submission to its end.

use std::time::{Duration, Instant};

use steward_events::command::{CancelTask, IssueKey, ResumeTenant, SetBudget, SuspendTenant};
use steward_events::event::{StepKind, TaskEvent};
use steward_events::quantity::{Epoch, NanoDollars, StepNumber, Tokens};
use steward_events::request::Format;
use steward_events::scope::Subject;
use steward_workers::Config;

use crate::env::{WorkersEnv, eventually};
use crate::gateway::{Call, Do, Gateway};
use crate::{kinds, left_over, plan_and_answer};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_with_its_own_key_and_budget() {
    let env = WorkersEnv::new(Gateway::start(plan_and_answer).await).await.with_tenant("acme").await;
    let process = env.start();
    env.submit("acme", "t_1", Some("$0.01")).await;
    assert_eq!(env.end("acme", "t_1").await, "finished");

    let events = env.task("acme", "t_1").await;
    let expected = ["submitted", "claimed", "started", "step finished", "started", "step finished", "finished"];
    assert_eq!(kinds(&events), expected);
    let steps: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            TaskEvent::StepFinished { epoch, step, kind, tokens, cost, .. } => {
                Some((*epoch, *step, *kind, tokens.input, tokens.cached, tokens.output, *cost))
            }
            _ => None,
        })
        .collect();
    let cost = NanoDollars(15_000);
    assert_eq!(
        steps,
        [
            (Epoch(1), StepNumber(1), StepKind::Plan, Tokens(10), Tokens(2), Tokens(5), cost),
            (Epoch(1), StepNumber(2), StepKind::Answer, Tokens(10), Tokens(2), Tokens(5), cost),
        ]
    );
    let Some(TaskEvent::Finished { output, .. }) = events.last() else { panic!("{events:?}") };
    let key = env.keyring.find(output.owner()).await.unwrap();
    assert_eq!(output.open(&key).unwrap().text, "A bus.");

    let calls = env.gateway.calls();
    let asked: Vec<&str> = calls.iter().map(|call| call.idempotency_key.as_str()).collect();
    assert_eq!(asked, ["t_1-1", "t_1-2"]);
    for call in &calls {
        assert_eq!((call.body["model"].as_str(), call.body["max_tokens"].as_u64()), (Some("small"), Some(32)));
        assert_eq!(call.body["messages"][0]["content"], "Be brief.");
        assert_eq!(call.body["messages"][1]["content"], "What is t_1?");
        assert_eq!(call.secret, calls[0].secret, "one claim, one key");
    }
    assert!(calls[1].body["messages"].to_string().contains("I look it up."), "the answer follows the plan");

    let asked = env.desk.asked.lock().await.clone();
    let place = |name: &str| asked.iter().position(|request| format!("{}.{}", request.noun, request.verb) == name);
    let (budget_set, key_issue) = (place("budget.set").unwrap(), place("key.issue").unwrap());
    assert!(budget_set < key_issue, "the budget is there before the key is");
    let budget: SetBudget = Format::MessagePack.read(&asked[budget_set].body).unwrap();
    assert_eq!(budget.subject, Some(Subject::Task("t_1".parse().unwrap())));
    assert_eq!((budget.limit.to_string().as_str(), budget.hard), ("$0.01", true));
    let issue: IssueKey = Format::MessagePack.read(&asked[key_issue].body).unwrap();
    assert!(issue.hash.matches(&calls[0].secret) && calls[0].secret.starts_with("stw_acme_"));
    assert_eq!(issue.principal.as_str(), "p_ana", "it acts as the submitter");
    assert_eq!(issue.scope.unwrap().as_str(), "acme/research");
    assert_eq!((issue.models.len(), issue.models[0].as_str()), (1, "small"));
    assert_eq!((issue.agent.unwrap().as_str(), issue.task.unwrap().as_str()), ("researcher", "t_1"));
    for request in &asked {
        let said = String::from_utf8_lossy(&request.body);
        assert!(!said.contains(&calls[0].secret), "the secret is in {}", request.command_subject());
    }
    eventually("everything is taken back", async || left_over(&env).await == (0, 0)).await;
    assert_eq!(process.workers.ready(), Ok(()));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_stops_the_call_in_flight_and_revokes_the_key() {
    let env = WorkersEnv::new(Gateway::start(|_| Do::Hang).await).await.with_tenant("acme").await;
    // So long a claim that no heartbeat could tell the worker.
    let config = Config { claim_timeout: Duration::from_mins(10), ..env.config() };
    let process = env.start_with(config, env.bus());
    env.submit("acme", "t_1", None).await;
    eventually("the call", async || env.gateway.open() == 1).await;
    let began = Instant::now();
    env.send("acme", CancelTask { task: "t_1".parse().unwrap(), reason: "never mind".into() }).await.unwrap();
    eventually("the call is broken off", async || env.gateway.open() == 0).await;
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    eventually("everything is taken back", async || left_over(&env).await == (0, 0)).await;
    process.stop().await;
    assert_eq!(kinds(&env.task("acme", "t_1").await), ["submitted", "claimed", "started", "cancelled"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenants_tasks_wait_until_it_is_resumed() {
    let env = WorkersEnv::new(Gateway::start(plan_and_answer).await).await.with_tenant("acme").await;
    env.submit("acme", "t_1", None).await;
    env.send_as(&env.desk.operator, "acme", SuspendTenant { reason: "unpaid".into() }).await.unwrap();
    let _process = env.start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(kinds(&env.task("acme", "t_1").await), ["submitted"]);
    env.send_as(&env.desk.operator, "acme", ResumeTenant {}).await.unwrap();
    assert_eq!(env.end("acme", "t_1").await, "finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_suspended_during_a_call_loses_no_task() {
    let script = |call: &Call| match call.idempotency_key.as_str() {
        "t_1-1" => Do::SayAfter(Duration::from_millis(300), "I look it up."),
        _ => plan_and_answer(call),
    };
    let env = WorkersEnv::new(Gateway::start(script).await).await.with_tenant("acme").await;
    let _process = env.start();
    env.submit("acme", "t_1", None).await;
    eventually("the call", async || env.gateway.open() == 1).await;
    env.send_as(&env.desk.operator, "acme", SuspendTenant { reason: "unpaid".into() }).await.unwrap();
    // What was paid for is recorded; nothing new begins.
    eventually("the step's result", async || kinds(&env.task("acme", "t_1").await).len() == 4).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(kinds(&env.task("acme", "t_1").await), ["submitted", "claimed", "started", "step finished"]);
    env.send_as(&env.desk.operator, "acme", ResumeTenant {}).await.unwrap();
    assert_eq!(env.end("acme", "t_1").await, "finished");
    assert_eq!(env.gateway.calls_of("t_1-1"), 1);
}
