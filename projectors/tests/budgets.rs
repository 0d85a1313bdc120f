//! Budgets as listed: the rows hold what the ledger itself holds, whatever happened and however often they are rebuilt.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in helpers of tests, too

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use steward_aggregates::aggregate::{Aggregate, Stamp};
use steward_aggregates::ledger::{Ledger, LedgerRow};
use steward_events::command::{
    CorrectLease, EndLease, GrantLease, LeaseRequest, LedgerCommand, RemoveBudget, RenewLease, SetBudget,
};
use steward_events::event::{AggregateKind, BudgetLevel, Event, UnsettledCall};
use steward_events::id::{CallId, HolderId, KeyId, LeaseId, ModelId};
use steward_events::quantity::{Amounts, Limit, NanoDollars, Position, Shard, Tokens, Turn, Unit, Window};
use steward_events::scope::{ScopeSet, Subject};
use steward_events::timestamp::Timestamp;
use steward_ports::log::EventLog;
use steward_ports::store::Store;
use steward_ports::store::memory::MemoryStore;
use steward_projectors::Config;
use steward_projectors::engine::progress::Stage;
use steward_projectors::engine::projector::Projector;
use steward_projectors::engine::runner::Runner;
use steward_projectors::engine::view_store;
use steward_projectors::view::budgets::Budgets;
use steward_queries::{BudgetPage, BudgetRow};
use tokio_util::sync::CancellationToken;

use company::{Company, SHARD, principal};
use events::{Dice, NOON, dump, stream, tenant};

#[path = "support/company.rs"]
mod company;
#[path = "support/events.rs"]
mod events;

/// What the clock of the company shows when lists are asked for.
const NOW: Timestamp = Timestamp(NOON.0 + 86_400_000_000);

fn amounts(dice: &mut Dice) -> Amounts {
    Amounts { calls: dice.below(4), tokens: Tokens(dice.below(60)), money: NanoDollars(dice.below(90)) }
}

fn lease(dice: &mut Dice) -> LeaseId {
    LeaseId { holder: HolderId::new(dice.pick(&["gw1", "gw2"])).unwrap(), number: 1 + dice.below(12) }
}

fn call(dice: &mut Dice) -> CallId {
    CallId::new(dice.pick(&["call1", "call2", "call3", "call4"])).unwrap()
}

fn scopes(dice: &mut Dice) -> ScopeSet {
    ScopeSet {
        path: dice.pick(&["acme", "acme/support", "acme/sales"]).parse().unwrap(),
        principal: principal("svc_a"),
        key: KeyId::new(dice.pick(&["key_1", "key_2"])).unwrap(),
        model: ModelId::new("small").unwrap(),
        agent: None,
        task: None,
        line: None,
    }
}

fn level(dice: &mut Dice) -> Option<BudgetLevel> {
    [None, Some(BudgetLevel::Platform), Some(BudgetLevel::Tenant), None][usize::try_from(dice.below(4)).unwrap()]
}

fn budget(dice: &mut Dice) -> (&'static str, Option<Subject>, Unit, Window) {
    let scope = ["acme", "acme/support", "acme/sales"][usize::try_from(dice.below(3)).unwrap()];
    let subject = (dice.below(3) == 0).then(|| Subject::Key(KeyId::new("key_1").unwrap()));
    let unit = [Unit::Calls, Unit::Tokens, Unit::Money][usize::try_from(dice.below(3)).unwrap()];
    let window = [Window::Minute, Window::Hour, Window::Total][usize::try_from(dice.below(3)).unwrap()];
    (scope, subject, unit, window)
}

fn request(dice: &mut Dice) -> LeaseRequest {
    let need = amounts(dice);
    LeaseRequest { call: call(dice), need, need_min: need, whole_min: need, waiting: 1, want: amounts(dice) }
}

fn command(dice: &mut Dice) -> LedgerCommand {
    match dice.below(12) {
        0..=2 => {
            let (scope, subject, unit, per) = budget(dice);
            let limit = Limit { unit, amount: dice.below(400) };
            let (scope, hard, warn) = (scope.parse().unwrap(), dice.below(2) == 0, vec![50, 100]);
            LedgerCommand::SetBudget(SetBudget { scope, subject, limit, per, hard, warn, level: level(dice) })
        }
        3 => {
            let (scope, subject, unit, per) = budget(dice);
            LedgerCommand::RemoveBudget(RemoveBudget {
                scope: scope.parse().unwrap(),
                subject,
                unit,
                per,
                level: level(dice),
            })
        }
        4..=6 => {
            let (lease, scopes, request) = (lease(dice), scopes(dice), request(dice));
            LedgerCommand::GrantLease(GrantLease { lease, scopes, request })
        }
        7..=9 => LedgerCommand::RenewLease(RenewLease {
            lease: lease(dice),
            turn: Turn(1 + dice.below(3)),
            through: Position(1),
            used_total: amounts(dice),
            late_total: amounts(dice),
            keep_total: amounts(dice),
            request: (dice.below(2) == 0).then(|| request(dice)),
        }),
        10 => {
            let unsettled =
                (0..dice.below(3)).map(|_| UnsettledCall { call: call(dice), worst: amounts(dice) }).collect();
            let (lease, used_total) = (lease(dice), amounts(dice));
            let (closed_at, late_total) = (Position(1), Amounts::ZERO);
            LedgerCommand::EndLease(EndLease { lease, closed_at, used_total, late_total, unsettled })
        }
        _ => {
            let (lease, call, used, left) = (lease(dice), call(dice), amounts(dice), amounts(dice));
            LedgerCommand::CorrectLease(CorrectLease { lease, call, used, late: Amounts::ZERO, left })
        }
    }
}

/// A ledger after `count` commands, whose events are in the company's log.
async fn ledger(company: &mut Company, seed: u64, count: u64) -> Ledger {
    let (mut ledger, mut dice, mut at) = (Ledger::default(), Dice(seed | 1), NOON);
    let own = stream(SHARD, "acme", AggregateKind::Ledger, "main");
    for number in 0..count {
        at = at.plus(Duration::from_millis(dice.below(20_000)));
        let stamp = Stamp {
            command: format!("c{number}").parse().unwrap(),
            at,
            tenant: tenant("acme"),
            actor: principal("sys_gateway"),
            key: None,
            on_behalf_of: None,
            reach: steward_events::scope::Scope::everything(),
            timezone: "UTC".to_owned(),
            quotas: steward_events::event::Quotas::default(),
            shards: 2,
        };
        let events = ledger.decide(&command(&mut dice), &stamp).unwrap_or_default();
        for event in &events {
            ledger.apply(event, at);
        }
        company.writer.at = at;
        if !events.is_empty() {
            company.writer.write(&own, events.into_iter().map(Event::from).collect()).await;
        }
    }
    ledger
}

/// What the ledger's books hold of the budget's present window.
fn expected(ledger: &Ledger, row: &BudgetRow) -> (u128, u128) {
    let window = ledger.rows().find(|(id, from, _)| **id == row.budget && *from == row.window.from);
    let sums = |row: &LedgerRow| (row.posted + row.late, row.leased + row.unsettled);
    window.map_or((0, 0), |(_, _, row)| sums(row))
}

#[tokio::test]
async fn a_budget_list_equals_the_ledger() {
    let mut spent_somewhere = false;
    for seed in [3, 77, 901, 4_242] {
        let mut company = Company::founded(Config::default()).await;
        let ledger = ledger(&mut company, seed * 7_919, 400).await;
        let page: BudgetPage = company.query("acme", "p_max", "budget.list", &json!({ "limit": 1_000 })).await.unwrap();
        let budgets: BTreeMap<_, _> = ledger.budgets().collect();
        assert_eq!(page.rows.len(), budgets.len(), "seed {seed}");
        for row in &page.rows {
            let known = budgets[&row.budget];
            assert_eq!(
                (row.limit.amount, row.hard, &row.warn),
                (known.spec.limit, known.spec.hard, &known.spec.warn_percent)
            );
            assert_eq!((&row.scope, &row.subject, row.per), (&known.key.scope, &known.key.subject, known.key.window));
            assert_eq!((&row.set_at, row.level), (&known.key.level, BudgetLevel::of(&known.key.level)));
            assert!(row.window.from <= NOW && row.window.to.is_none_or(|to| NOW < to), "{row:?}");
            let (spent, held) = expected(&ledger, row);
            let left = u128::from(known.spec.limit).saturating_sub(spent + held);
            let found = [row.window.spent, row.window.held, row.window.free].map(|limit| u128::from(limit.amount));
            assert_eq!(found, [spent, held, left], "seed {seed}: {row:?}");
            spent_somewhere |= spent > 0 && held > 0;
        }
    }
    assert!(spent_somewhere, "the histories are worth comparing");
}

#[tokio::test]
async fn budgets_are_filtered_by_scope_and_unit() {
    let mut company = Company::founded(Config::default()).await;
    let ledger = ledger(&mut company, 99, 300).await;
    for (filter, scope, unit) in [
        (json!({ "scope": "acme/support" }), "acme/support", None),
        (json!({ "scope": "acme", "unit": "money" }), "acme", Some(Unit::Money)),
    ] {
        let page: BudgetPage = company.query("acme", "p_max", "budget.list", &filter).await.unwrap();
        let is_wanted = |key: &steward_events::event::BudgetKey| {
            key.scope.as_str().starts_with(scope) && unit.is_none_or(|unit| unit == key.unit)
        };
        assert_eq!(page.rows.len(), ledger.budgets().filter(|(_, budget)| is_wanted(&budget.key)).count(), "{filter}");
        assert!(!page.rows.is_empty(), "{filter}");
    }
    let others: BudgetPage = company.query("globex", "p_gil", "budget.list", &json!({})).await.unwrap();
    assert_eq!(others.rows, []);
}

#[tokio::test]
async fn rows_built_in_other_batches_are_the_same_bytes() {
    let mut company = Company::founded(Config::default()).await;
    ledger(&mut company, 5, 300).await;
    let mut built = Vec::new();
    for batch in [1, 7, 1_000] {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let batch_commits_max = NonZeroUsize::new(batch).unwrap();
        let config = Config { batch_commits_max, rows_held_max: 3, ..Config::default() };
        let log: Arc<dyn EventLog> = Arc::new(company.log.clone());
        let runner = Arc::new(Runner::<Budgets>::new(log, &store, config));
        let (shutdown, running) = (CancellationToken::new(), Arc::clone(&runner));
        let running = tokio::spawn(running.run(shutdown.clone()));
        while runner.progress().any(|(_, progress)| progress.stage != Stage::Current)
            || runner.lag().await.unwrap().iter().any(|(_, lag)| *lag > 0)
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        shutdown.cancel();
        running.await.unwrap();
        built.push(dump(&*store, &view_store::name(Budgets::NAME, Shard(SHARD))));
    }
    assert!(built[0].len() > 5);
    assert!(built.iter().all(|rows| *rows == built[0]));
}
