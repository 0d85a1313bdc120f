//! Queries as they come from the bus: who may ask what, and what they are told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in helpers of tests, too

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use steward_events::event::{
    AccessEvent, AggregateKind, CallOutcome, DenialEvent, DenialKind, Event, IdentityEvent, KeyHash, StepKind,
    TaskEvent, TaskInput, TaskOutput, TokenUsage, UsageEvent,
};
use steward_events::id::{AgentId, KeyId, TaskId};
use steward_events::quantity::{Epoch, NanoDollars, Position, StepNumber, Tokens, Version};
use steward_events::rejection::Rejection;
use steward_events::request::Format;
use steward_events::sealed::{KeyOwner, Sealed};
use steward_events::timestamp::Timestamp;
use steward_ports::bus::QueryService;
use steward_ports::log::{EventLog, Published};
use steward_projectors::Config;
use steward_projectors::view::cost::REPORT_ROWS_MAX;
use steward_queries::{CostReport, Explanation, Metrics, Replay, TaskList, TaskState, TaskView, Verification, WhoCan};

use company::{Company, SHARD, grant, principal};
use events::{Dice, NOON, finished, stream, tenant};

#[path = "support/company.rs"]
mod company;
#[path = "support/events.rs"]
mod events;

fn after(seconds: u64) -> Timestamp {
    NOON.plus(Duration::from_secs(seconds))
}

#[tokio::test]
async fn a_refused_query_says_why_and_what_would_help() {
    let company = Company::founded(Config::default()).await;
    for query in [
        "cost.report",
        "history.replay",
        "access.explain",
        "access.who-can",
        "task.list",
        "task.show",
        "audit.verify",
        "metrics.read",
    ] {
        // An agent of the tenant, the owner of another one, and a part of Steward that names nobody.
        for who in ["svc_a", "p_gil", "sys_gateway"] {
            let refused = company.query::<serde_json::Value>("acme", who, query, &json!({})).await.unwrap_err();
            let Rejection::Forbidden { permission, would_allow, .. } = &refused else { panic!("{query}: {refused:?}") };
            assert_eq!(permission.to_string(), query.replace('.', ":"));
            assert!(who != "svc_a" || would_allow.contains("steward grant give svc_a"), "{would_allow}");
        }
    }
    let unknown = company.query::<CostReport>("nobody", "op_root", "cost.report", &json!({})).await.unwrap_err();
    assert_eq!(unknown, Rejection::UnknownTenant { tenant: tenant("nobody") });
    let unknown = company.query::<CostReport>("acme", "p_ana", "cost.guess", &json!({})).await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no query cost.guess");
}

#[tokio::test]
async fn only_system_parts_query_on_behalf_of_others() {
    let company = Company::founded(Config::default()).await;
    let ask = |who: &str, whom: &str| {
        let mut request = company.request("acme", who, "cost.report", Format::Json, b"{}".to_vec());
        request.envelope.on_behalf_of = Some(principal(whom));
        company.projectors.answer(request)
    };
    assert!(ask("sys_gateway", "p_ana").await.unwrap().is_ok());
    assert!(ask("sys_gateway", "svc_a").await.unwrap().is_err());
    assert!(ask("svc_a", "p_ana").await.unwrap().is_err());
    assert!(ask("p_ana", "svc_a").await.unwrap().is_ok());
}

#[tokio::test]
async fn queries_are_read_strictly_and_answered_in_their_format() {
    let mut company = Company::founded(Config::default()).await;
    let journal = stream(SHARD, "acme", AggregateKind::Usage, "gw1-a");
    company.writer.write(&journal, vec![finished("acme", &mut Dice(3)).into()]).await;

    let refused = company.query::<CostReport>("acme", "p_ana", "cost.report", &json!({"colour": 1})).await.unwrap_err();
    assert!(refused.to_string().contains("colour"), "{refused}");
    for body in [&b"{"[..], b"[]", b"\"\"", b"{\"by\":[\"mood\"]}", b"{\"since\":\"yesterday\"}"] {
        let request = company.request("acme", "p_ana", "cost.report", Format::Json, body.to_vec());
        let answer = company.projectors.answer(request).await.unwrap();
        assert!(matches!(answer, Err(Rejection::Invalid { .. })), "{body:?}: {answer:?}");
    }

    let body = Format::MessagePack.write(&json!({"by": ["key"]})).unwrap();
    let request = company.request("acme", "p_ana", "cost.report", Format::MessagePack, body);
    let answer = company.projectors.answer(request).await.unwrap().unwrap();
    let report: serde_json::Value = Format::MessagePack.read(&answer).unwrap();
    assert_eq!(report["total"]["calls"], 1);
    let same: CostReport = company.query("acme", "p_ana", "cost.report", &json!({"by": ["key"]})).await.unwrap();
    assert_eq!(same.total.calls, 1);
    assert_eq!(same.rows.len(), 1);
}

#[tokio::test]
async fn a_report_includes_every_event_acknowledged_before_its_query() {
    let mut company = Company::founded(Config::default()).await;
    let journal = stream(SHARD, "acme", AggregateKind::Usage, "gw1-a");
    let mut cost = 0;
    for calls in 1..=30 {
        let event = finished("acme", &mut Dice(calls * 77));
        let UsageEvent::CallFinished { cost: NanoDollars(nano), .. } = &event else { unreachable!() };
        cost += nano;
        let position = company.writer.write(&journal, vec![event.into()]).await;
        let query = if calls % 2 == 0 { json!({}) } else { json!({ "min_position": position }) };
        let report: CostReport = company.query("acme", "p_max", "cost.report", &query).await.unwrap();
        assert_eq!((report.total.calls, report.total.cost), (calls, NanoDollars(cost)));
        assert_eq!(report.position, position);
    }
    let others: CostReport = company.query("globex", "p_gil", "cost.report", &json!({})).await.unwrap();
    assert_eq!(others.total.calls, 0);
}

#[tokio::test]
async fn a_report_of_too_many_rows_is_refused_with_advice() {
    let mut company = Company::founded(Config::default()).await;
    let journal = stream(SHARD, "acme", AggregateKind::Usage, "gw1-a");
    let mut write = async |from: usize, to: usize| {
        let call = |number: usize| {
            let mut event = finished("acme", &mut Dice(7));
            if let UsageEvent::CallFinished { context, .. } = &mut event {
                context.make_mut().scopes.key = KeyId::new(format!("key_{number}")).unwrap();
            }
            event.into()
        };
        for hundred in (from..to).step_by(100) {
            company.writer.write(&journal, (hundred..to.min(hundred + 100)).map(call).collect()).await;
        }
    };
    write(0, REPORT_ROWS_MAX).await;
    write(0, 0).await;
    let by_key = json!({"by": ["key"]});
    let report: CostReport = company.query("acme", "p_ana", "cost.report", &by_key).await.unwrap();
    assert_eq!(report.rows.len(), REPORT_ROWS_MAX);
    let last = vec![finished_with_key("key_one_more").into()];
    company.writer.write(&journal, last).await;
    let refused = company.query::<CostReport>("acme", "p_ana", "cost.report", &by_key).await.unwrap_err();
    assert!(refused.to_string().contains("split by fewer"), "{refused}");
    let report: CostReport = company.query("acme", "p_ana", "cost.report", &json!({})).await.unwrap();
    assert_eq!(report.total.calls, REPORT_ROWS_MAX as u64 + 1);
}

fn finished_with_key(key: &str) -> UsageEvent {
    let mut event = finished("acme", &mut Dice(7));
    if let UsageEvent::CallFinished { context, .. } = &mut event {
        context.make_mut().scopes.key = KeyId::new(key).unwrap();
    }
    event
}

#[tokio::test]
async fn history_pages_show_every_event_once_and_no_secret() {
    let mut company = Company::founded(Config::default()).await;
    let hash = KeyHash::of("stw_acme_secret");
    let issued = IdentityEvent::KeyIssued {
        key: KeyId::new("key_1").unwrap(),
        principal: principal("svc_a"),
        hash: hash.clone(),
        scope: "acme".parse().unwrap(),
        models: vec![],
        expires: None,
        agent: None,
        task: None,
        permissions: vec![],
        parent: None,
        addresses: vec![],
        hours: vec![],
        line: None,
    };
    company.writer.write(&stream(SHARD, "acme", AggregateKind::Identity, "main"), vec![issued.into()]).await;
    submit(&mut company, "t_1", "find the thief").await;
    let journal = stream(SHARD, "acme", AggregateKind::Usage, "gw1-a");
    let mut dice = Dice(5);
    for _ in 0..10 {
        company.writer.at.0 += 1_000_000;
        let calls = (0..3).map(|_| finished("acme", &mut dice).into()).collect();
        company.writer.write(&journal, calls).await;
    }

    // All but the notes of these looks themselves.
    let kinds = json!(["tenant", "identity", "access", "task", "usage"]);
    let all: Replay = company.query("acme", "p_max", "history.replay", &json!({"kinds": kinds})).await.unwrap();
    assert_eq!(all.next, None);
    assert_eq!(all.events.len(), 1 + 3 * 2 + 1 + 1 + 30);
    assert!(all.events.is_sorted_by_key(|event| event.position));
    let text = serde_json::to_string(&all.events).unwrap();
    assert!(!text.contains(&String::from(hash)), "the hash of a key is shown");
    assert!(!text.contains("thief") && text.contains("\"sealed, "), "{text}");
    assert!(!text.contains("p_gil"), "another tenant's events are shown");

    for count_max in [1, 2, 3, 4, 7, 100] {
        let (mut events, mut after) = (Vec::new(), Position(0));
        loop {
            let query = json!({"after": after, "count_max": count_max, "kinds": kinds});
            let page: Replay = company.query("acme", "p_max", "history.replay", &query).await.unwrap();
            // A commit of three events is never cut.
            assert!(page.events.len() <= count_max.max(3), "{} of {count_max}", page.events.len());
            events.extend(page.events);
            let Some(next) = page.next else { break };
            assert!(next > after);
            after = next;
        }
        assert_eq!(events, all.events, "pages of {count_max}");
    }

    let query = json!({"last": 4, "kinds": kinds});
    let last: Replay = company.query("acme", "p_max", "history.replay", &query).await.unwrap();
    assert_eq!(last.events, all.events[all.events.len() - 4..]);
    let tasks: Replay = company.query("acme", "p_max", "history.replay", &json!({"kinds": ["task"]})).await.unwrap();
    assert_eq!(tasks.events.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["task.submitted"]);
    let span = json!({"from": after(3), "to": after(5), "kinds": ["usage"]});
    let some: Replay = company.query("acme", "p_max", "history.replay", &span).await.unwrap();
    assert_eq!(some.events.len(), 6);
    assert!(some.events.iter().all(|event| event.at >= after(3) && event.at < after(5)));
    let last: Replay = company
        .query("acme", "p_max", "history.replay", &json!({"from": after(3), "to": after(5), "last": 2}))
        .await
        .unwrap();
    assert_eq!(last.events, some.events[4..]);
    let wrong = company.query::<Replay>("acme", "p_max", "history.replay", &json!({"kinds": ["moods"]})).await;
    assert_eq!(
        wrong.unwrap_err(),
        Rejection::invalid("kinds", "\"moods\" is not a kind of event such as ledger or task")
    );
}

#[tokio::test]
async fn access_is_explained_now_and_as_it_was() {
    let mut company = Company::founded(Config::default()).await;
    let access = stream(SHARD, "acme", AggregateKind::Access, "main");
    company.writer.at = after(100);
    let granted =
        AccessEvent::RoleGranted { grant: grant("svc_a", "billing", "acme/support"), expires: None, condition: None };
    company.writer.write(&access, vec![granted.into()]).await;
    company.writer.at = after(200);
    let revoked =
        AccessEvent::GrantRevoked { grant: grant("svc_a", "billing", "acme/support"), reason: "moved on".to_owned() };
    company.writer.write(&access, vec![revoked.into()]).await;

    for (at, allowed) in [(None, false), (Some(after(99)), false), (Some(after(100)), true), (Some(after(199)), true)]
        .into_iter()
        .chain([(Some(after(200)), false), (Some(after(100)), true)])
    {
        let mut query = json!({"principal": "svc_a", "permission": "budget:set", "scope": "acme/support"});
        let mut who = json!({"permission": "budget:set", "scope": "acme/support"});
        if let Some(at) = at {
            query["at"] = json!(at);
            who["at"] = json!(at);
        }
        let told: Explanation = company.query("acme", "p_max", "access.explain", &query).await.unwrap();
        assert_eq!(told.allowed, allowed, "{at:?}: {told:?}");
        assert_eq!(told.would_allow.is_some(), !allowed, "{told:?}");
        let can: WhoCan = company.query("acme", "p_max", "access.who-can", &who).await.unwrap();
        let can: BTreeSet<String> = can.principals.iter().map(|may| may.principal.to_string()).collect();
        let mut expected = BTreeSet::from(["op_root".to_owned(), "p_ana".to_owned()]);
        expected.extend(allowed.then(|| "svc_a".to_owned()));
        assert_eq!(can, expected, "{at:?}");
    }
    let before = json!({"permission": "budget:set", "scope": "acme", "at": "2026-11-22"});
    let can: WhoCan = company.query("acme", "p_max", "access.who-can", &before).await.unwrap();
    assert_eq!(can.principals, [], "before anybody was there");
    let future = json!({"permission": "budget:set", "scope": "acme", "at": "2100-01-01"});
    let refused = company.query::<WhoCan>("acme", "p_max", "access.who-can", &future).await.unwrap_err();
    assert!(refused.to_string().contains("in the future"), "{refused}");
}

async fn submit(company: &mut Company, id: &str, prompt: &str) {
    let owner = KeyOwner::Tenant(tenant("acme"));
    let key = company.keyring.find_or_make(&owner).await.unwrap();
    let submitted = TaskEvent::Submitted {
        task: TaskId::new(id).unwrap(),
        agent: AgentId::new("researcher").unwrap(),
        scope: "acme/support".parse().unwrap(),
        input: Sealed::seal(&TaskInput { prompt: prompt.to_owned() }, owner, &key, "").unwrap(),
        limit: Some(NanoDollars(10_000_000)),
        submitted_by: principal("p_ana"),
        submitted_with: None,
    };
    company.writer.write(&stream(SHARD, "acme", AggregateKind::Task, id), vec![submitted.into()]).await;
}

async fn on_task(company: &mut Company, id: &str, event: TaskEvent) {
    company.writer.at.0 += 1_000_000;
    company.writer.write(&stream(SHARD, "acme", AggregateKind::Task, id), vec![event.into()]).await;
}

async fn task_output(company: &Company, text: &str) -> Sealed<TaskOutput> {
    let owner = KeyOwner::Tenant(tenant("acme"));
    let key = company.keyring.find_or_make(&owner).await.unwrap();
    Sealed::seal(&TaskOutput { text: text.to_owned() }, owner, &key, "").unwrap()
}

#[tokio::test]
async fn only_showing_a_task_opens_its_sealed_answer() {
    let mut company = Company::founded(Config::default()).await;
    for id in ["t_1", "t_2", "t_3"] {
        submit(&mut company, id, "three facts").await;
    }
    let until = after(60);
    let claimed = |epoch| TaskEvent::Claimed { epoch: Epoch(epoch), worker: format!("w{epoch}"), until };
    on_task(&mut company, "t_2", claimed(1)).await;
    on_task(&mut company, "t_2", TaskEvent::StepStarted { epoch: Epoch(1), step: StepNumber(1), kind: StepKind::Plan })
        .await;
    // The worker dies; another takes over and does the step again.
    on_task(&mut company, "t_2", claimed(2)).await;
    on_task(&mut company, "t_2", TaskEvent::ClaimExtended { epoch: Epoch(2), until: after(90) }).await;
    let tokens = TokenUsage { input: Tokens(10), output: Tokens(5), ..TokenUsage::default() };
    for (number, kind) in [(1, StepKind::Plan), (2, StepKind::Answer)] {
        let step = StepNumber(number);
        on_task(&mut company, "t_2", TaskEvent::StepStarted { epoch: Epoch(2), step, kind }).await;
        let output = task_output(&company, "half-done").await;
        let cost = NanoDollars(u64::from(number) * 100);
        let finished = TaskEvent::StepFinished { epoch: Epoch(2), step, kind, output, tokens, cost, duration_ms: 800 };
        on_task(&mut company, "t_2", finished).await;
    }
    let output = task_output(&company, "NATS is quick").await;
    on_task(&mut company, "t_2", TaskEvent::Finished { epoch: Epoch(2), output }).await;
    on_task(&mut company, "t_1", TaskEvent::Cancelled { reason: "no longer needed".to_owned() }).await;

    let shown: TaskView = company.query("acme", "p_max", "task.show", &json!({"task": "t_2"})).await.unwrap();
    assert_eq!(shown.state, TaskState::Finished);
    assert_eq!(shown.output.as_deref(), Some("NATS is quick"));
    assert_eq!((shown.epoch, shown.worker.as_deref()), (2, Some("w2")));
    assert_eq!(shown.cost, NanoDollars(300));
    let steps: Vec<_> = shown.steps.iter().map(|s| (s.step, s.kind.as_str(), s.finished, s.tokens)).collect();
    assert_eq!(steps, [(1, "plan", true, tokens), (2, "answer", true, tokens)]);

    let list: TaskList = company.query("acme", "p_max", "task.list", &json!({})).await.unwrap();
    let listed: Vec<_> = list.tasks.iter().map(|task| (task.task.as_str(), task.state)).collect();
    let expected = [("t_3", TaskState::Waiting), ("t_2", TaskState::Finished), ("t_1", TaskState::Cancelled)];
    assert_eq!(listed, expected, "the newest first");
    assert!(list.tasks.iter().all(|task| task.output.is_none()), "a list opens nothing");
    assert_eq!(list.tasks[2].reason.as_deref(), Some("no longer needed"));
    let list: TaskList = company.query("acme", "p_max", "task.list", &json!({"count_max": 2})).await.unwrap();
    assert_eq!(list.tasks.len(), 2);

    let missing = company.query::<TaskView>("acme", "p_max", "task.show", &json!({"task": "t_9"})).await.unwrap_err();
    assert_eq!(missing.to_string(), "there is no task t_9");
    let others = company.query::<TaskView>("globex", "p_gil", "task.show", &json!({"task": "t_2"})).await.unwrap_err();
    assert_eq!(others.to_string(), "there is no task t_2");

    company.keyring.destroy(&KeyOwner::Tenant(tenant("acme"))).await.unwrap();
    let erased: TaskView = company.query("acme", "p_max", "task.show", &json!({"task": "t_2"})).await.unwrap();
    assert_eq!((erased.output, erased.reason.as_deref()), (None, Some("the answer was erased")));
}

type Alter = fn(&mut steward_events::commit::Commit);

#[tokio::test]
async fn whole_chains_verify_and_each_kind_of_break_is_found() {
    let mut company = Company::founded(Config::default()).await;
    let journal = stream(SHARD, "acme", AggregateKind::Usage, "gw1-a");
    for seed in 1..20 {
        company.writer.at.0 += 1_000_000;
        company.writer.write(&journal, vec![finished("acme", &mut Dice(seed)).into()]).await;
    }
    let found: Verification = company.query("acme", "p_max", "audit.verify", &json!({})).await.unwrap();
    assert_eq!(found.broken, []);
    // Its life, identities, access and journal in its shard; its place in the registry.
    assert_eq!((found.commits, found.chains), (1 + 3 + 3 + 19 + 1, 5));

    // Each break in a journal of its own, after one good commit.
    let breaks: [(&str, Alter); 3] = [
        ("follows version", |commit| commit.version = Version(9)),
        ("with the hash", |commit| commit.prev = steward_events::digest::CommitHash::from_bytes([1; 32])),
        ("an entry of", |commit| commit.entries[0].at.0 -= 1_000_000),
    ];
    for (number, (_, alter)) in breaks.iter().enumerate() {
        let broken = stream(SHARD, "acme", AggregateKind::Usage, &format!("broken{number}"));
        company.writer.write(&broken, vec![finished("acme", &mut Dice(2)).into()]).await;
        let (mut commit, expected) = company.writer.next(&broken, vec![finished("acme", &mut Dice(3)).into()]);
        alter(&mut commit);
        let bytes = commit.encode().unwrap().into();
        assert!(matches!(company.log.publish(&broken, expected, &commit.id, bytes).await, Published::Stored(_)));
    }
    let found: Verification = company.query("acme", "p_max", "audit.verify", &json!({})).await.unwrap();
    assert_eq!(found.broken.len(), breaks.len(), "{:?}", found.broken);
    for ((number, (reason, _)), broken) in breaks.iter().enumerate().zip(&found.broken) {
        assert_eq!(broken.stream, format!("usage/broken{number}"));
        assert!(broken.reason.contains(reason), "{broken:?}");
    }

    // Bytes that are no commit, and a commit of another tenant.
    let foreign = stream(SHARD, "acme", AggregateKind::Usage, "foreign");
    let (mut commit, _) = company.writer.next(&foreign, vec![finished("acme", &mut Dice(4)).into()]);
    commit.stream.tenant = tenant("globex");
    let bytes = commit.encode().unwrap().into();
    company.log.publish(&foreign, Position(0), &commit.id, bytes).await;
    let found: Verification = company.query("acme", "p_max", "audit.verify", &json!({})).await.unwrap();
    let last = found.broken.last().unwrap();
    assert!(last.reason.contains("belongs to globex"), "{last:?}");
    // Nothing of this concerns the other tenant.
    let found: Verification = company.query("globex", "p_gil", "audit.verify", &json!({})).await.unwrap();
    assert_eq!(found.broken, []);
}

#[tokio::test]
async fn metrics_count_each_event_once_and_sum_excess_tenants() {
    let config = Config { tenants_labelled_max: 1, ..Config::default() };
    let mut company = Company::founded(config).await;
    let mut cost = [0_u64; 2];
    for (place, of) in ["acme", "globex"].into_iter().enumerate() {
        for seed in 0..=place as u64 {
            let event = finished(of, &mut Dice(seed + 1));
            let UsageEvent::CallFinished { cost: NanoDollars(nano), .. } = &event else { unreachable!() };
            cost[place] += nano;
            company.writer.write(&stream(SHARD, of, AggregateKind::Usage, "gw1-a"), vec![event.into()]).await;
        }
    }
    let mut refused = finished("acme", &mut Dice(9));
    if let UsageEvent::CallFinished { outcome, .. } = &mut refused {
        *outcome = CallOutcome::NotBilled { reason: "status 429".to_owned() };
    }
    company.writer.write(&stream(SHARD, "acme", AggregateKind::Usage, "gw1-b"), vec![refused.into()]).await;
    let denied = DenialEvent::Denied {
        kind: DenialKind::Forbidden,
        principal: Some(principal("svc_a")),
        address: None,
        permission: Some("budget:set".parse().unwrap()),
        scope: Some("acme".parse().unwrap()),
        reason: "no grant".to_owned(),
    };
    let left_out = DenialEvent::LeftOut {
        principal: Some(principal("svc_a")),
        address: None,
        kinds: [(DenialKind::Forbidden, 4), (DenialKind::WrongKey, 2)].into(),
        permissions: vec![],
        scopes: vec![],
    };
    let denials = vec![Event::from(denied), Event::from(left_out)];
    company.writer.write(&stream(SHARD, "acme", AggregateKind::Denials, "gw1"), denials).await;
    submit(&mut company, "t_1", "x").await;
    submit(&mut company, "t_2", "x").await;
    let claimed = TaskEvent::Claimed { epoch: Epoch(1), worker: "w1".to_owned(), until: after(60) };
    on_task(&mut company, "t_1", claimed.clone()).await;
    on_task(&mut company, "t_2", claimed).await;
    on_task(&mut company, "t_2", TaskEvent::Failed { epoch: Epoch(1), reason: "no model".to_owned(), spent: None })
        .await;

    let own: Metrics = company.query("acme", "p_max", "metrics.read", &json!({})).await.unwrap();
    let dollars = |nano: u64| NanoDollars(nano).as_dollars_f64();
    for line in [
        "steward_calls_total{tenant=\"acme\"} 1".to_owned(),
        "steward_denials_total{tenant=\"acme\",kind=\"forbidden\"} 5".to_owned(),
        "steward_denials_total{tenant=\"acme\",kind=\"wrong_key\"} 2".to_owned(),
        "steward_tasks{tenant=\"acme\",state=\"waiting\"} 0".to_owned(),
        "steward_tasks{tenant=\"acme\",state=\"running\"} 1".to_owned(),
        "steward_tasks{tenant=\"acme\",state=\"failed\"} 1".to_owned(),
        "# TYPE steward_tasks gauge".to_owned(),
        "# TYPE steward_calls counter".to_owned(),
    ] {
        assert!(own.text.lines().any(|found| found == line), "{line} is not in\n{}", own.text);
    }
    assert!(own.text.contains("steward_tokens_total{tenant=\"acme\",direction=\"input\"}"));
    assert!(own.text.contains(&format!("steward_cost_dollars_total{{tenant=\"acme\"}} {}", dollars(cost[0]))));
    assert!(!own.text.contains("globex") && !own.text.contains("other"));

    let all: Metrics = company.query("steward", "op_root", "metrics.read", &json!({})).await.unwrap();
    assert!(all.text.contains("steward_calls_total{tenant=\"acme\"} 1\n"), "{}", all.text);
    assert!(all.text.contains("steward_calls_total{tenant=\"other\"} 2\n"), "{}", all.text);
    assert!(!all.text.contains("globex"));
    assert_eq!(company.projectors.metrics_text(), all.text);
}

#[tokio::test]
async fn readiness_and_lag_follow_the_views() {
    let company = Company::founded(Config::default()).await;
    tokio::time::timeout(Duration::from_secs(10), async {
        while company.projectors.ready().is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(company.projectors.status().len(), company.projectors.reads().len() * 2, "each view in each shard");
    assert!(company.projectors.lag().await.unwrap().iter().all(|(_, lag)| *lag == 0));

    // A usage commit that nobody can read stops two of the views, and readiness says so.
    let journal = stream(SHARD, "acme", AggregateKind::Usage, "gw1-a");
    let id = steward_events::id::CommitId::new("garbage").unwrap();
    company.log.publish(&journal, Position(0), &id, b"garbage".to_vec().into()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let reason = company.projectors.ready().unwrap_err();
    assert!(reason.contains("has stopped: not a commit of evt.01.acme.usage.gw1-a"), "{reason}");
    let request = company.request("acme", "p_ana", "cost.report", Format::Json, b"{}".to_vec());
    let failure = company.projectors.answer(request).await.unwrap_err();
    assert!(failure.to_string().contains("has stopped"), "{failure}");
    let list: TaskList = company.query("acme", "p_ana", "task.list", &json!({})).await.unwrap();
    assert_eq!(list.tasks, [], "the other views go on");
}

#[tokio::test]
async fn looks_at_what_people_did_and_refusals_are_on_record() {
    let company = Company::founded(Config::default()).await;
    let _: Replay = company.query("acme", "p_max", "history.replay", &json!({"last": 1})).await.unwrap();
    company.query::<Replay>("acme", "svc_a", "history.replay", &json!({})).await.unwrap_err();
    company
        .query::<steward_queries::TaskView>("acme", "p_max", "task.show", &json!({"task": "t_9"}))
        .await
        .unwrap_err();
    // They are written behind the answers.
    let noted = async {
        loop {
            let query = json!({"kinds": ["denials", "reads"]});
            let page: Replay = company.query("acme", "p_ana", "history.replay", &query).await.unwrap();
            let by = |name: &str, who: &str| page.events.iter().any(|e| e.name == name && e.actor.as_str() == who);
            let refused = |kind: &str| {
                page.events.iter().any(|event| event.name == "denials.denied" && event.data["kind"] == kind)
            };
            if by("reads.read", "p_max") && refused("forbidden") && refused("not_found") {
                break page;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let page = tokio::time::timeout(std::time::Duration::from_secs(10), noted).await.unwrap();
    let look = page.events.iter().find(|event| event.actor.as_str() == "p_max" && event.name == "reads.read").unwrap();
    assert_eq!(
        (look.data["query"].as_str(), look.data["asked"].as_str()),
        (Some("history:replay"), Some("{\"last\":1}"))
    );
}

#[tokio::test]
async fn a_position_beyond_the_logs_end_is_refused_at_once() {
    let company = Company::founded(Config::default()).await;
    let began = std::time::Instant::now();
    let query = json!({"min_position": 999_999_999});
    let refused = company.query::<CostReport>("acme", "p_ana", "cost.report", &query).await.unwrap_err();
    assert!(matches!(&refused, Rejection::Invalid { field, .. } if field == "min_position"), "{refused:?}");
    assert!(began.elapsed() < Config::default().position_wait_max / 2, "it was waited for");
}
