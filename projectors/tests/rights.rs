//! Every query of the table, asked by somebody of one project: nothing of another project is shown, and nothing of
//! another tenant.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests

#[path = "support/company.rs"]
mod company;
#[path = "support/events.rs"]
mod events;

use company::{Company, SHARD, grant, principal};
use events::{Dice, finished, stream, tenant};
use serde_json::{Value, json};
use steward_events::digest::BodyHash;
use steward_events::event::{
    AccessEvent, AggregateKind, BatchEndpoint, BatchEvent, BudgetKey, BudgetSpec, Event, FileEvent, FileName,
    FilePurpose, IdentityEvent, KeyHash, LedgerEvent, TaskEvent, TaskInput, UsageEvent, WindowBounds,
};
use steward_events::id::{BatchId, FileId, TaskId};
use steward_events::quantity::{Unit, Window};
use steward_events::rejection::Rejection;
use steward_events::sealed::{DataKey, KeyOwner, Sealed};
use steward_events::sender::KeyRef;
use steward_events::timestamp::Timestamp;
use steward_projectors::Config;
use steward_queries::{Answers, QUERIES, QuerySpec};

/// The body of a query, about `project` where it can be. A new row needs one.
fn example(spec: &QuerySpec, project: &str) -> Value {
    match (spec.view, spec.verb) {
        ("cost", "report") => json!({ "by": ["project", "key"] }),
        ("access", "explain") => {
            json!({ "principal": format!("p_{project}"), "permission": "task:list", "scope": format!("acme/{project}") })
        }
        ("access", "who-can") => json!({ "permission": "task:list", "scope": format!("acme/{project}") }),
        ("user", "show") => json!({ "user": format!("p_{project}") }),
        ("key", "show") => json!({ "key": format!("key_{project}") }),
        ("group", "show") => json!({ "group": format!("g_{project}") }),
        ("access", "role-use") => json!({ "role": "agent" }),
        ("elevation", "show") => json!({ "elevation": format!("elv_{project}") }),
        ("access", "simulate") => json!({ "question": {
            "principal": format!("p_{project}"), "permission": "task:list", "scope": format!("acme/{project}")
        } }),
        ("access", "rehearse") => json!({ "since": "2026-11-01T00:00:00Z", "changes": [] }),
        ("access", "least") => json!({ "since": "2026-11-01T00:00:00Z" }),
        ("file", "show") => json!({ "file": format!("file-{project}") }),
        ("batch", "show") => json!({ "batch": format!("batch_{project}") }),
        ("task", "show") => json!({ "task": format!("t_{project}") }),
        ("audit", "inclusion") => json!({ "position": 1 }),
        ("audit", "consistency") => json!({ "from": 1, "to": 1 }),
        ("audit", "tile") => json!({ "level": 0, "index": 0 }),
        ("project", "show") => json!({ "project": project }),
        ("route", "explain") => json!({ "model": "small" }),
        ("audit", "due") => json!({ "shard": 1 }),
        ("channel", "show") => json!({ "channel": "ops" }),
        ("secret", "open") => json!({ "secret": "openai", "min_position": 0 }),
        (
            "history" | "task" | "file" | "batch" | "audit" | "metrics" | "user" | "account" | "agent" | "key" | "role"
            | "access" | "deny" | "separation" | "elevation-rule" | "elevation" | "review" | "data-class" | "group"
            | "grant" | "budget" | "provider" | "model" | "price" | "secret" | "channel" | "tenant" | "project"
            | "flag" | "quota" | "plan",
            _,
        ) => json!({}),
        _ => panic!("{}.{} has no example here: add one", spec.view, spec.verb),
    }
}

/// In each project: an owner, a key, a budget, a task, a call; all of them named after it.
async fn founded() -> Company {
    let mut company = Company::founded(Config::default()).await;
    let owner = KeyOwner::Tenant(tenant("acme"));
    let data_key = company.keyring.find_or_make(&owner).await.unwrap();
    for project in ["support", "sales"] {
        let who = format!("p_{project}");
        let scope = format!("acme/{project}");
        company.person(SHARD, "acme", &who, "owner", &scope).await;
        let role = AccessEvent::RoleGranted { grant: grant("svc_a", "agent", &scope), expires: None, condition: None };
        company.writer.write(&stream(SHARD, "acme", AggregateKind::Access, "main"), vec![role.into()]).await;
        let key = IdentityEvent::KeyIssued {
            key: format!("key_{project}").parse().unwrap(),
            principal: principal(&who),
            hash: KeyHash::of(project),
            scope: scope.parse().unwrap(),
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
        company.writer.write(&stream(SHARD, "acme", AggregateKind::Identity, "main"), vec![key.into()]).await;
        let budget = LedgerEvent::BudgetSet {
            budget: format!("b_{project}").parse().unwrap(),
            key: BudgetKey {
                scope: scope.parse().unwrap(),
                level: steward_events::scope::Scope::everything(),
                subject: None,
                unit: Unit::Calls,
                window: Window::Total,
            },
            spec: BudgetSpec { limit: 10, hard: true, warn_percent: vec![] },
            window: WindowBounds { budget: format!("b_{project}").parse().unwrap(), from: events::NOON, to: None },
        };
        company.writer.write(&stream(SHARD, "acme", AggregateKind::Ledger, "main"), vec![budget.into()]).await;
        write_rules(&mut company, project).await;
        let task: TaskId = format!("t_{project}").parse().unwrap();
        let submitted = TaskEvent::Submitted {
            task: task.clone(),
            agent: "researcher".parse().unwrap(),
            scope: scope.parse().unwrap(),
            input: Sealed::seal(&TaskInput { prompt: "why".to_owned() }, owner.clone(), &data_key, "").unwrap(),
            limit: None,
            submitted_by: principal(&who),
            submitted_with: None,
        };
        let own = stream(SHARD, "acme", AggregateKind::Task, task.as_str());
        company.writer.write(&own, vec![submitted.into()]).await;
        write_file_and_batch(&mut company, project, &data_key).await;
        let mut call = finished("acme", &mut Dice(7));
        if let UsageEvent::CallFinished { context, .. } = &mut call {
            let scopes = &mut context.make_mut().scopes;
            (scopes.path, scopes.key) = (scope.parse().unwrap(), format!("key_{project}").parse().unwrap());
        }
        let journal = stream(SHARD, "acme", AggregateKind::Usage, &format!("gw-{project}"));
        company.writer.write(&journal, vec![Event::from(call)]).await;
    }
    company
}

/// A rule of access of each kind, about this project.
async fn write_rules(company: &mut Company, project: &str) {
    let scope = format!("acme/{project}");
    let rules = json!([
        { "type": "denial_set", "data": { "denial": format!("no-{project}"), "spec": {
            "permissions": ["price:set"], "on": scope, "whom": { "principals": ["svc_a"] }, "reason": project } } },
        { "type": "separation_set", "data": { "separation": format!("apart-{project}"), "spec": {
            "roles": ["billing", "admin"], "on": scope, "reason": project } } },
        { "type": "elevation_allowed", "data": { "rule": format!("glass-{project}"), "spec": {
            "role": "agent", "on": scope, "askers": ["svc_a"], "longest_s": 60 } } },
        { "type": "elevation_requested", "data": { "elevation": format!("elv_{project}"), "request": {
            "rule": format!("glass-{project}"), "by": "svc_a", "role": "agent", "on": scope, "duration_s": 60,
            "reason": project, "lapses": "2999-01-01T00:00:00Z" } } },
        { "type": "review_started", "data": { "review": format!("q4-{project}"), "spec": {
            "on": scope, "due": "2999-01-01T00:00:00Z" } } },
        { "type": "data_class_set", "data": { "scope": scope, "class": "public" } },
    ]);
    let rules: Vec<AccessEvent> = serde_json::from_value(rules).unwrap();
    let rules = rules.into_iter().map(Event::from).collect();
    company.writer.write(&stream(SHARD, "acme", AggregateKind::Access, "main"), rules).await;
}

/// A file and a batch of this project.
async fn write_file_and_batch(company: &mut Company, project: &str, data_key: &DataKey) {
    let (owner, scope) = (KeyOwner::Tenant(tenant("acme")), format!("acme/{project}"));
    let file: FileId = format!("file-{project}").parse().unwrap();
    let kept = FileEvent::Kept {
        file: file.clone(),
        scope: scope.parse().unwrap(),
        purpose: FilePurpose::Batch,
        bytes: 7,
        digest: BodyHash::of(project.as_bytes()),
        name: Sealed::seal(&FileName(format!("{project}.jsonl")), owner, data_key, "").unwrap(),
        // Views go by the real time.
        expires: Timestamp(u64::MAX / 2),
        kept_by: principal(&format!("p_{project}")),
        kept_with: KeyRef { tenant: tenant("acme"), key: format!("key_{project}").parse().unwrap() },
    };
    company.writer.write(&stream(SHARD, "acme", AggregateKind::File, "main"), vec![kept.into()]).await;
    let batch: BatchId = format!("batch_{project}").parse().unwrap();
    let submitted = BatchEvent::Submitted {
        batch: batch.clone(),
        scope: scope.parse().unwrap(),
        endpoint: BatchEndpoint::Embeddings,
        input_file: file,
        expires: events::NOON,
        metadata: None,
        output_kept_s: None,
        submitted_by: principal(&format!("p_{project}")),
        submitted_with: None,
    };
    company.writer.write(&stream(SHARD, "acme", AggregateKind::Batch, batch.as_str()), vec![submitted.into()]).await;
}

/// What `who` is answered, as text; once the views have all that was written.
async fn ask(company: &Company, of: &str, who: &str, spec: &QuerySpec, about: &str) -> Result<String, Rejection> {
    let (name, body) = (format!("{}.{}", spec.view, spec.verb), example(spec, about));
    company.query::<Value>(of, who, &name, &body).await.map(|answer| answer.to_string())
}

async fn current(company: &Company) {
    while company.projectors.ready().is_err() || company.projectors.lag().await.unwrap().iter().any(|(_, lag)| *lag > 0)
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn no_query_shows_anything_of_a_sibling_project() {
    let company = founded().await;
    current(&company).await;
    for spec in QUERIES {
        let name = format!("{}.{}", spec.view, spec.verb);
        let own = ask(&company, "acme", "p_support", spec, "support").await;
        let siblings = ask(&company, "acme", "p_support", spec, "sales").await;
        match spec.answers {
            Answers::OfTheTenant => {
                assert!(matches!(own, Err(Rejection::Forbidden { .. })), "{name}: {own:?}");
            }
            // Of flags whoever may read them at all is told their own; no project is in that.
            Answers::ByScope if name == "flag.read" => {
                assert!(own.is_ok_and(|own| own.contains("p_support")), "{name}");
                continue;
            }
            Answers::ByScope => {
                let own = own.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(!own.contains("sales"), "{name} shows a sibling's: {own}");
                assert!(own.contains("support"), "{name} does not show what is one's own: {own}");
            }
        }
        if let Ok(siblings) = siblings {
            assert!(!siblings.contains("sales"), "{name} shows a sibling's: {siblings}");
        }
        if spec.answers == Answers::ByScope {
            let all = ask(&company, "acme", "p_ana", spec, "sales").await;
            assert!(all.unwrap_or_else(|error| panic!("{name}: {error}")).contains("sales"), "{name}");
        }
    }
}

#[tokio::test]
async fn no_query_is_answered_to_another_tenant_or_to_nobody() {
    let company = founded().await;
    current(&company).await;
    for spec in QUERIES {
        for who in ["p_gil", "p_nobody", "key_gil", "op_key_nobody", "svc_a"] {
            let answer = ask(&company, "acme", who, spec, "support").await;
            let name = format!("{}.{}", spec.view, spec.verb);
            // An agent of the tenant reads its own flags.
            if (who, name.as_str()) == ("svc_a", "flag.read") {
                continue;
            }
            assert!(matches!(answer, Err(Rejection::Forbidden { .. })), "{name} to {who}: {answer:?}");
        }
    }
}
