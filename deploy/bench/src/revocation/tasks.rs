//! How long a task goes on after the key by which it was submitted was revoked: while it waits for a model that does not
//! answer.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use steward_events::BoxError;
use steward_events::id::{PrincipalId, TenantId};
use steward_node::client::Client;
use tokio::net::TcpListener;

use super::{Used, times};
use crate::Progress;
use crate::company::{self, Company};
use crate::figures::Figures;
use crate::system::System;

/// The model that does not answer.
const SILENT: &str = "silent";

/// How often a task is looked at.
const PAUSE: Duration = Duration::from_millis(2);

/// How long a task may take to begin, and to end, before the trial is given up.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Revokes keys of tasks that are at work.
pub(super) async fn measure(
    system: &System,
    company: &Company,
    trials: usize,
    progress: &Progress,
) -> Result<Figures, BoxError> {
    let gateway = system.gateways.first().ok_or("there is no gateway")?;
    let Company { operator, tenant, .. } = company;
    let address = never_answer().await?;
    let steward = TenantId::steward();
    let price = json!({ "input": 1_000_000, "cached": 1_000_000, "output": 1_000_000 });
    for (of, noun, verb, body) in [
        (
            &steward,
            "provider",
            "set",
            json!({ "provider": SILENT, "kind": "openai", "url": format!("http://{address}/v1") }),
        ),
        (&steward, "model", "set", json!({ "model": SILENT, "spec": { "context_max": 8192, "output_max": 64 } })),
        (
            &steward,
            "route",
            "set",
            json!({ "model": SILENT, "targets": [{ "provider": SILENT, "upstream_model": SILENT }] }),
        ),
        (&steward, "price", "set", json!({ "model": SILENT, "from": "2026-01-01T00:00:00Z", "price": price })),
        (tenant, "agent", "define", json!({ "agent": SILENT, "spec": { "model": SILENT, "instructions": "Wait." } })),
    ] {
        company::command(operator, of, noun, verb, &body).await?;
    }
    let (bot, scope) = (PrincipalId::service_account(tenant, "bot"), format!("{tenant}/support"));
    let mut used = Vec::new();
    for trial in 1..=trials {
        progress.say(&format!("revocation of a task's key: {trial} of {trials}"));
        let key = company::issue(operator, tenant, &bot, &scope).await?;
        let submit = json!({ "agent": SILENT, "input": { "prompt": "Wait." }, "scope": scope });
        let holder = Client::new(&format!("http://{}", gateway.address), key.secret.clone(), None)?;
        let reply = company::command(&holder, tenant, "task", "submit", &submit).await?;
        let task = reply.answer.get("task").cloned().ok_or("task.submit answers without a task")?;
        wait_for_state(company, &task, |task| task.pointer("/steps/0").is_some()).await?;
        company::command(operator, tenant, "key", "revoke", &json!({ "key": key.id, "reason": "bench" })).await?;
        let acknowledged = Instant::now();
        wait_for_state(company, &task, |task| task.get("state").is_some_and(|state| state == "failed")).await?;
        used.push((acknowledged, Used { refused: Instant::now(), last_good: acknowledged }));
    }
    Ok(times("revocation.task", &used, |used| used.refused))
}

async fn wait_for_state(company: &Company, task: &Value, is_so: impl Fn(&Value) -> bool) -> Result<(), BoxError> {
    let since = Instant::now();
    while since.elapsed() < WAIT_MAX {
        let shown: Value = company.operator.query(&company.tenant, "task", "show", &json!({ "task": task })).await?;
        if is_so(&shown) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(format!("task {task} is not as expected after {WAIT_MAX:?}").into())
}

/// Takes connections and says nothing.
async fn never_answer() -> Result<std::net::SocketAddr, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    Ok(address)
}
