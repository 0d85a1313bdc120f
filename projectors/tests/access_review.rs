//! Reviews of access at the size of a large company, and what they tell.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

#[path = "support/company.rs"]
mod company;
#[path = "support/events.rs"]
mod events;

use std::time::Instant;

use company::{Company, SHARD, grant, principal};
use events::stream;
use serde_json::json;
use steward_events::event::{AccessEvent, AggregateKind, Event, IdentityEvent};
use steward_projectors::Config;
use steward_queries::ReviewedPage;

const PRINCIPALS: usize = 10_000;

/// So many events a commit.
const AT_ONCE: usize = 500;

async fn current(company: &Company) {
    while company.projectors.ready().is_err() || company.projectors.lag().await.unwrap().iter().any(|(_, lag)| *lag > 0)
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// All rows, page by page.
async fn all(company: &Company, mut body: serde_json::Value) -> Vec<steward_queries::ReviewedGrant> {
    let mut rows = Vec::new();
    body["limit"] = json!(1_000);
    loop {
        let page: ReviewedPage = company.query("acme", "p_ana", "access.review", &body).await.unwrap();
        rows.extend(page.rows);
        let Some(next) = page.next else { return rows };
        body["after"] = json!(next);
    }
}

#[tokio::test]
async fn ten_thousand_principals_are_reviewed_in_time() {
    let mut company = Company::founded(Config::default()).await;
    let names: Vec<String> = (0..PRINCIPALS).map(|n| format!("svc_many{n:05}")).collect();
    for names in names.chunks(AT_ONCE) {
        let accounts = names
            .iter()
            .map(|name| Event::from(IdentityEvent::AccountCreated { principal: principal(name), name: name.clone() }));
        company.writer.write(&stream(SHARD, "acme", AggregateKind::Identity, "main"), accounts.collect()).await;
        let grants = names.iter().map(|name| {
            let grant = grant(name, "agent", "acme/support");
            Event::from(AccessEvent::RoleGranted { grant, expires: None, condition: None })
        });
        company.writer.write(&stream(SHARD, "acme", AggregateKind::Access, "main"), grants.collect()).await;
    }
    current(&company).await;
    let began = Instant::now();
    let rows = all(&company, json!({ "role": "agent" })).await;
    let took = began.elapsed();
    println!("{} grants of {PRINCIPALS} principals in {took:?}", rows.len());
    assert_eq!(rows.len(), PRINCIPALS + 1, "those, and svc_a");
    assert!(rows.iter().all(|row| row.given_by == Some(principal("p_ana")) && row.unreviewed.is_none()));
    // A debug build on a busy machine takes longer than what is promised of a release.
    let most = if cfg!(debug_assertions) { 20 } else { 2 };
    assert!(took.as_secs() < most, "{took:?}");
}

#[tokio::test]
async fn a_grant_was_last_used_when_its_permissions_were() {
    let mut company = Company::founded(Config::default()).await;
    let given = AccessEvent::RoleGranted { grant: grant("svc_a", "billing", "acme"), expires: None, condition: None };
    company.writer.write(&stream(SHARD, "acme", AggregateKind::Access, "main"), vec![given.into()]).await;
    current(&company).await;
    let rows = all(&company, json!({})).await;
    let used = |who: &str, role: &str| {
        let row = rows.iter().find(|row| row.to == principal(who) && row.role.as_str() == role).unwrap();
        row.last_used.map(|at| at.to_string()[..10].to_owned())
    };
    // All was recorded as sent by p_ana: accounts made, grants given.
    assert_eq!(used("p_ana", "owner").as_deref(), Some(&events::NOON.to_string()[..10]));
    assert_eq!((used("svc_a", "agent"), used("svc_a", "billing")), (None, None));
    let unused = all(&company, json!({ "unused_days": 1 })).await;
    assert!(unused.iter().any(|row| row.to == principal("svc_a")));
    let of_one = all(&company, json!({ "principal": "p_max" })).await;
    assert_eq!(of_one.len(), 1);
}
