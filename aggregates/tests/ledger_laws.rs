//! Laws of the ledger that hold for any sequence of commands, honest or not.

#![allow(clippy::unwrap_used)] // a test may end at once

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::str::FromStr;
use std::time::Duration;

use proptest::prelude::*;
use steward_aggregates::aggregate::{Aggregate, Stamp};
use steward_aggregates::ledger::{LINE_MAX, Ledger, LedgerRow};
use steward_events::command::{
    CorrectLease, EndLease, GrantLease, LeaseRequest, LedgerCommand, RecallLease, RemoveBudget, RenewLease, SetBudget,
    WithdrawRequest,
};
use steward_events::event::{BudgetLevel, LedgerEvent, UnsettledCall};
use steward_events::id::{BudgetId, LeaseId};
use steward_events::quantity::{Amounts, Limit, NanoDollars, Position, Tokens, Turn, Unit, Window};
use steward_events::scope::{Scope, ScopeSet, Subject};
use steward_events::timestamp::Timestamp;

fn id<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn amounts() -> impl Strategy<Value = Amounts> {
    let number = || prop_oneof![8 => 0..40_u64, 1 => Just(u64::MAX)];
    (number(), number(), number()).prop_map(|(calls, tokens, money)| Amounts {
        calls,
        tokens: Tokens(tokens),
        money: NanoDollars(money),
    })
}

fn lease() -> impl Strategy<Value = LeaseId> {
    (0..2_u8, 1..6_u64).prop_map(|(holder, number)| LeaseId { holder: id(&format!("gw{holder}")), number })
}

fn scopes() -> impl Strategy<Value = ScopeSet> {
    (0..2_u8, 0..2_u8).prop_map(|(project, key)| ScopeSet {
        path: id(&format!("acme/p{project}")),
        principal: id("svc_1"),
        key: id(&format!("key_{key}")),
        model: id("m"),
        agent: None,
        task: None,
        line: None,
    })
}

fn call() -> impl Strategy<Value = String> {
    (0..8_u8).prop_map(|n| format!("call{n}"))
}

fn request() -> impl Strategy<Value = LeaseRequest> {
    (call(), amounts(), amounts(), amounts(), 0..3_u32).prop_map(|(call, need, least, want, waiting)| LeaseRequest {
        call: id(&call),
        need,
        need_min: need.min(least),
        whole_min: need.min(least),
        want,
        waiting,
    })
}

fn budget() -> impl Strategy<Value = (&'static str, Option<Subject>, Unit, Window)> {
    let scope = prop_oneof![Just("acme"), Just("acme/p0"), Just("acme/p1")];
    let subject = prop_oneof![Just(None), (0..2_u8).prop_map(|key| Some(Subject::Key(id(&format!("key_{key}")))))];
    let unit = prop_oneof![Just(Unit::Calls), Just(Unit::Tokens), Just(Unit::Money)];
    (scope, subject, unit, prop_oneof![Just(Window::Minute), Just(Window::Total)])
}

fn level() -> impl Strategy<Value = Option<BudgetLevel>> {
    let word = prop_oneof![Just(BudgetLevel::Platform), Just(BudgetLevel::Tenant), Just(BudgetLevel::Project)];
    proptest::option::of(word)
}

fn command() -> impl Strategy<Value = LedgerCommand> {
    prop_oneof![
        3 => (budget(), 0..200_u64, any::<bool>(), level()).prop_map(
            |((scope, subject, unit, per), amount, hard, level)| {
                let (scope, limit) = (id(scope), Limit { unit, amount });
                LedgerCommand::SetBudget(SetBudget { scope, subject, limit, per, hard, warn: vec![50, 100], level })
            }),
        1 => (budget(), level()).prop_map(|((scope, subject, unit, per), level)| {
            LedgerCommand::RemoveBudget(RemoveBudget { scope: id(scope), subject, unit, per, level })
        }),
        6 => (lease(), scopes(), request())
            .prop_map(|(lease, scopes, request)| LedgerCommand::GrantLease(GrantLease { lease, scopes, request })),
        8 => (lease(), 0..4_u64, amounts(), amounts(), amounts(), proptest::option::of(request())).prop_map(
            |(lease, turn, used_total, late_total, keep_total, request)| LedgerCommand::RenewLease(RenewLease {
                lease, turn: Turn(turn), through: Position(1), used_total, late_total, keep_total, request,
            })),
        3 => (lease(), amounts(), proptest::collection::vec((call(), amounts()), 0..3)).prop_map(
            |(lease, used_total, open)| LedgerCommand::EndLease(EndLease {
                lease,
                closed_at: Position(1),
                used_total,
                late_total: Amounts::ZERO,
                unsettled: open.into_iter().map(|(call, worst)| UnsettledCall { call: id(&call), worst }).collect(),
            })),
        2 => (lease(), call(), amounts(), amounts()).prop_map(|(lease, call, used, left)| {
            LedgerCommand::CorrectLease(CorrectLease { lease, call: id(&call), used, late: Amounts::ZERO, left })
        }),
        1 => lease().prop_map(|lease| LedgerCommand::RecallLease(RecallLease { lease })),
        1 => call().prop_map(|call| LedgerCommand::WithdrawRequest(WithdrawRequest { call: id(&call) })),
    ]
}

/// Where the sender of a command about a budget holds the right: at its scope or above. None for parts of Steward.
fn reach(command: &LedgerCommand, level: usize) -> Option<Scope> {
    let (LedgerCommand::SetBudget(SetBudget { scope, .. }) | LedgerCommand::RemoveBudget(RemoveBudget { scope, .. })) =
        command
    else {
        return None;
    };
    let held: Vec<Scope> = scope.ancestors().collect();
    held.get(level).cloned()
}

/// A budget is changed and removed by those who hold the right at its level, and is never another one.
fn check_level(ledger: &Ledger, named: &mut BTreeSet<BudgetId>, event: &LedgerEvent, reach: &Scope) {
    let known = |id: &BudgetId| ledger.budgets().find(|(known, _)| *known == id).map(|(_, budget)| budget.key.clone());
    match event {
        LedgerEvent::BudgetSet { budget, key, .. } => {
            assert!(reach.contains(&key.level) && key.level.contains(&key.scope), "{key:?} set by a right on {reach}");
            match known(budget) {
                Some(before) => assert_eq!(before, *key, "one budget is not changed in place of another"),
                None => assert!(named.insert(budget.clone()), "{budget} had a life before"),
            }
            let same = ledger.budgets().filter(|(id, other)| *id != budget && other.key == *key).count();
            assert_eq!(same, 0, "two budgets of one key");
        }
        LedgerEvent::BudgetRemoved { budget } => {
            let removed = known(budget).unwrap();
            assert!(reach.contains(&removed.level), "{removed:?} removed by a right on {reach}");
        }
        _ => {}
    }
}

fn rows(ledger: &Ledger) -> BTreeMap<(String, Timestamp), LedgerRow> {
    ledger.rows().map(|(budget, from, row)| ((budget.to_string(), from), row.clone())).collect()
}

/// An admission took from these rows: none of a hard budget may then be over its limit.
fn check_limits(ledger: &Ledger, before: &BTreeMap<(String, Timestamp), LedgerRow>, event: &LedgerEvent) {
    for (id, budget) in ledger.budgets().filter(|(_, budget)| budget.spec.hard) {
        for (_, from, row) in ledger.rows().filter(|(of, _, _)| *of == id) {
            let was = before.get(&(id.to_string(), from)).map_or(0, |row| row.leased);
            let over = row.exposure() > u128::from(budget.spec.limit);
            assert!(!(over && row.leased > was), "{event:?} brought {row:?} over {}", budget.spec.limit);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_commands_overspends_reopens_or_shrinks(
        commands in proptest::collection::vec((command(), 0..30_000_u64, 0..4_usize), 1..60)
    ) {
        let (mut ledger, mut history) = (Ledger::default(), Vec::new());
        let mut opened = BTreeSet::new();
        let mut at = Timestamp(1_790_000_000_000_000);
        let mut named = BTreeSet::new();
        for (number, (command, later, level)) in commands.into_iter().enumerate() {
            at = at.plus(Duration::from_millis(later + 1));
            let reach = reach(&command, level);
            let stamp = Stamp {
                // Ids of commands are their senders' choice: here they are often the same.
                command: id(&format!("c{}", number % 3)),
                at,
                tenant: id("acme"),
                actor: if reach.is_some() { id("p_ana") } else { id("sys_gateway") },
                key: None,
                on_behalf_of: None,
                reach: reach.clone().unwrap_or_else(Scope::everything),
                timezone: "UTC".to_owned(),
                quotas: steward_events::event::Quotas::default(),
                shards: 1,
            };
            let decided = ledger.decide(&command, &stamp);
            prop_assert_eq!(&decided, &ledger.decide(&command, &stamp), "a decision is pure");
            for event in decided.into_iter().flatten() {
                let before = rows(&ledger);
                check_level(&ledger, &mut named, &event, &stamp.reach);
                if let LedgerEvent::LeaseGranted { lease, .. } = &event {
                    prop_assert!(opened.insert(lease.clone()), "{} was opened twice", lease);
                }
                ledger.apply(&event, at);
                if matches!(event, LedgerEvent::LeaseGranted { .. } | LedgerEvent::LeaseRenewed { call: Some(_), .. }) {
                    check_limits(&ledger, &before, &event);
                }
                for (key, row) in rows(&ledger) {
                    let was = before.get(&key).map_or(0, |row| row.posted);
                    prop_assert!(row.posted >= was, "posted shrank in {:?} by {:?}", key, event);
                }
                history.push((event, at));
            }
            let _answers_do_not_panic = ledger.answer(&command);
            prop_assert!(ledger.line().count() <= LINE_MAX);
        }
        // Any history replays, and gives the same.
        let mut again = Ledger::default();
        for (event, at) in &history {
            again.apply(event, *at);
        }
        prop_assert_eq!(&again, &ledger);
        // What is open comes back: nothing stays leased once every lease has ended.
        let open: Vec<LeaseId> = ledger.leases().map(|(lease, _)| lease.clone()).collect();
        for lease in open {
            let end = LedgerEvent::LeaseEnded {
                used_total: ledger.lease(&lease).unwrap().used,
                late_total: ledger.lease(&lease).unwrap().late,
                lease,
                closed_at: Position(1),
                unsettled: vec![],
            };
            ledger.apply(&end, at);
        }
        for (budget, _, row) in ledger.rows() {
            prop_assert_eq!(row.leased, 0, "{} has something left leased", budget);
        }
    }
}
