use steward_events::commit::Entry;
use steward_events::event::{BudgetKey, BudgetSpec, Event, PlanSpec, WindowBounds};
use steward_events::id::{CommandId, CorrelationId, StreamId};
use steward_events::quantity::{Position, Shard, Version};
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;

use super::*;

/// Of which tenant, by whom, what.
type Happened = (&'static str, &'static str, Event);

fn after(events: impl IntoIterator<Item = Happened>) -> Plans {
    let mut plans = Plans::default();
    for (tenant, actor, event) in events {
        let stream =
            StreamName { shard: Shard(1), tenant: tenant.parse().unwrap(), kind: event.kind(), id: StreamId::main() };
        let entry = Entry {
            command: CommandId::new("c1").unwrap(),
            at: Timestamp(1_000_000),
            actor: actor.parse().unwrap(),
            on_behalf_of: None,
            causation: None,
            correlation: CorrelationId::new("r1").unwrap(),
            body: None,
            key: None,
            events: vec![event],
        };
        let event = entry.events.first().unwrap();
        plans.apply(&Recorded {
            stream: &stream,
            position: Position(1),
            version: Version(1),
            index: 0,
            entry: &entry,
            event,
        });
    }
    plans
}

fn plan(limits: &[&str]) -> Happened {
    let budgets = limits.iter().map(|limit| PlanBudget { limit: limit.parse().unwrap(), per: Window::Month }).collect();
    let spec = PlanSpec { budgets, ..PlanSpec::default() };
    let event = TenantEvent::PlanDefined { plan: "starter".parse().unwrap(), revision: 1, spec };
    ("steward", "op_root", event.into())
}

fn on(plan: Option<&str>) -> Happened {
    ("acme", "op_root", TenantEvent::PlanSet { plan: plan.map(|plan| plan.parse().unwrap()) }.into())
}

fn budget(by: &'static str, limit: &str) -> Happened {
    let (limit, budget): (Limit, BudgetId) = (limit.parse().unwrap(), "b_1".parse().unwrap());
    let event = LedgerEvent::BudgetSet {
        budget: budget.clone(),
        key: BudgetKey {
            scope: "acme".parse().unwrap(),
            level: Scope::everything(),
            subject: None,
            unit: limit.unit,
            window: Window::Month,
        },
        spec: BudgetSpec { limit: limit.amount, hard: true, warn_percent: vec![] },
        window: WindowBounds { budget, from: Timestamp(0), to: None },
    };
    ("acme", by, event.into())
}

fn sent(plans: &Plans) -> Vec<String> {
    let text = |command: &Command| match command {
        Command::Ledger(steward_events::command::LedgerCommand::SetBudget(set)) => format!("set {}", set.limit),
        other => other.name().1.to_owned(),
    };
    plans.all_corrections().iter().map(|(_, command)| text(command)).collect()
}

#[test]
fn a_plan_gives_its_budgets_once() {
    assert_eq!(sent(&after([plan(&["$5"]), on(Some("starter"))])), ["set $5.00"]);
    assert_eq!(sent(&after([on(Some("starter")), plan(&["$5"])])), ["set $5.00"], "whichever is heard of first");
    assert!(sent(&after([plan(&["$5"]), on(Some("starter")), budget("sys_worker", "$5")])).is_empty());
}

#[test]
fn a_plan_that_changes_or_is_left_changes_its_budgets() {
    let given = || [plan(&["$5"]), on(Some("starter")), budget("sys_worker", "$5")];
    assert_eq!(sent(&after(given().into_iter().chain([plan(&["$9"])]))), ["set $9.00"]);
    assert_eq!(sent(&after(given().into_iter().chain([on(None)]))), ["remove"]);
}

#[test]
fn a_budget_that_an_operator_set_is_left_alone() {
    let own = || [plan(&["$5"]), on(Some("starter")), budget("op_root", "$7")];
    assert!(sent(&after(own())).is_empty());
    assert!(sent(&after(own().into_iter().chain([on(None)]))).is_empty());
}
