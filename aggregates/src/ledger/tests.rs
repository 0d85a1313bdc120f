//! Given/when/then for the ledger.

use std::time::Duration;

use steward_events::command::{
    CorrectLease, EndLease, GrantLease, LeaseRequest, RecallLease, RemoveBudget, RenewLease, SetBudget, WithdrawRequest,
};
use steward_events::event::{LeaseTerms, UnsettledCall};
use steward_events::quantity::{Amounts, Limit, NanoDollars, Position, Tokens, Turn, Unit, Window};
use steward_events::scope::{ScopeSet, Subject};

use super::*;
use crate::spec::{given, stamp};

const NOW: Timestamp = Timestamp(1_000_000);

fn id<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

fn lease(number: u64) -> LeaseId {
    LeaseId { holder: id("gw1"), number }
}

fn scopes() -> ScopeSet {
    ScopeSet {
        path: id("acme"),
        principal: id("svc_1"),
        key: id("key_1"),
        model: id("m"),
        agent: None,
        task: None,
        line: None,
    }
}

fn amount(tokens: u64) -> Amounts {
    Amounts { calls: 1, tokens: Tokens(tokens), money: NanoDollars(tokens * 10) }
}

fn key(window: Window) -> BudgetKey {
    BudgetKey { scope: id("acme"), level: id("acme"), subject: None, unit: Unit::Tokens, window }
}

fn window(window: Window) -> WindowBounds {
    let (from, to) = steward_events::window::bounds(window, NOW, "UTC");
    WindowBounds { budget: budgets::budget_id(&stamp()).unwrap(), from, to }
}

fn budget_set(limit: u64, per: Window) -> LedgerEvent {
    let spec = BudgetSpec { limit, hard: true, warn_percent: vec![] };
    LedgerEvent::BudgetSet { budget: window(per).budget, key: key(per), spec, window: window(per) }
}

fn set_budget(limit: u64) -> SetBudget {
    let limit = Limit { unit: Unit::Tokens, amount: limit };
    SetBudget { scope: id("acme"), subject: None, limit, per: Window::Total, hard: true, warn: vec![], level: None }
}

fn terms(cap: Amounts, at: Timestamp) -> LeaseTerms {
    LeaseTerms { cap_total: cap, until: at.plus(LEASE_TTL), expires: at.plus(LEASE_TTL) }
}

fn granted(number: u64, cap: u64) -> LedgerEvent {
    LedgerEvent::LeaseGranted {
        lease: lease(number),
        scopes: scopes(),
        call: id(&format!("call{number}")),
        terms: terms(amount(cap), NOW),
        windows: vec![window(Window::Total)],
    }
}

fn request(call: &str, need: u64) -> LeaseRequest {
    let need = amount(need);
    LeaseRequest { call: id(call), need, need_min: need, whole_min: need, want: need, waiting: 1 }
}

fn grant(number: u64, call: &str, need: u64) -> LedgerCommand {
    LedgerCommand::GrantLease(GrantLease { lease: lease(number), scopes: scopes(), request: request(call, need) })
}

fn renew(number: u64, turn: u64, used: u64, keep: u64, request: Option<LeaseRequest>) -> LedgerCommand {
    LedgerCommand::RenewLease(RenewLease {
        lease: lease(number),
        turn: Turn(turn),
        through: Position(7),
        used_total: if used == 0 { Amounts::ZERO } else { amount(used) },
        late_total: Amounts::ZERO,
        keep_total: amount(keep),
        request,
    })
}

fn end(number: u64, used: u64, unsettled: Vec<UnsettledCall>) -> LedgerCommand {
    LedgerCommand::EndLease(EndLease {
        lease: lease(number),
        closed_at: Position(9),
        used_total: amount(used),
        late_total: Amounts::ZERO,
        unsettled,
    })
}

fn correct(call: &str, used: u64) -> LedgerCommand {
    let (used, late) = (amount(used), Amounts::ZERO);
    LedgerCommand::CorrectLease(CorrectLease { lease: lease(1), call: id(call), used, late, left: Amounts::ZERO })
}

fn exhausted(requested: u64, available: u64, limit: u64) -> Rejection {
    Rejection::BudgetExhausted {
        budget: "acme in total".to_owned(),
        requested: format!("{requested} tokens"),
        available: format!("{available} tokens"),
        limit: format!("{limit} tokens"),
        resets_at: None,
    }
}

/// The state after what each command led to, with the last command's answer.
fn run(commands: &[(u64, LedgerCommand)]) -> (Ledger, Vec<Result<Vec<LedgerEvent>, Rejection>>) {
    let mut ledger = Ledger::default();
    let mut outcomes = Vec::new();
    for (number, (seconds, command)) in (1..).zip(commands) {
        let at = NOW.plus(Duration::from_secs(*seconds));
        let stamp = Stamp { at, command: id(&format!("c{number}")), ..stamp() };
        let outcome = ledger.decide(command, &stamp);
        for event in outcome.iter().flatten() {
            ledger.apply(event, at);
        }
        outcomes.push(outcome);
    }
    (ledger, outcomes)
}

fn row(ledger: &Ledger) -> LedgerRow {
    ledger.rows().next().unwrap().2.clone()
}

#[test]
fn a_lease_takes_its_need_and_a_third_at_most() {
    let cap = Amounts { calls: 2, tokens: Tokens(30 + 20), money: NanoDollars(600) };
    let want = LedgerCommand::GrantLease(GrantLease {
        lease: lease(1),
        scopes: scopes(),
        request: LeaseRequest { want: amount(30), ..request("a", 30) },
    });
    given::<Ledger>([budget_set(90, Window::Total)]).at(NOW).when(want).then([LedgerEvent::LeaseGranted {
        lease: lease(1),
        scopes: scopes(),
        call: id("a"),
        terms: terms(cap, NOW),
        windows: vec![window(Window::Total)],
    }]);
}

#[test]
fn a_lease_beyond_what_recalls_could_free_is_refused() {
    let mut left = given::<Ledger>([budget_set(100, Window::Total), granted(1, 80)]);
    left = left.at(NOW);
    left.when(grant(2, "b", 101)).then_rejected(&exhausted(101, 100, 100));
}

#[test]
fn a_lease_that_may_fit_later_queues_and_recalls_others() {
    given::<Ledger>([budget_set(100, Window::Total), granted(1, 80)]).at(NOW).when(grant(2, "b", 30)).then([
        LedgerEvent::RequestQueued { call: id("b"), scopes: scopes(), need: amount(30) },
        LedgerEvent::LeaseRecalled { lease: lease(1) },
    ]);
}

#[test]
fn later_tickets_take_nothing_that_earlier_ones_need() {
    let (ledger, outcomes) = run(&[
        (0, LedgerCommand::SetBudget(set_budget(100))),
        (0, grant(1, "a", 60)),
        (0, grant(2, "b", 70)), // waits
        (0, grant(3, "c", 20)), // would fit now, but not without taking from b
        (1, renew(1, 1, 60, 60, None)),
    ]);
    assert!(matches!(&outcomes[3].as_ref().unwrap()[..], [LedgerEvent::RequestQueued { .. }]));
    assert_eq!(ledger.line().count(), 2);
    // b asks for more than settled amounts leave, now that 60 are spent, and leaves the line.
    let (ledger, outcomes) = run(&[
        (0, LedgerCommand::SetBudget(set_budget(100))),
        (0, grant(1, "a", 60)),
        (0, grant(2, "b", 70)),
        (1, renew(1, 1, 60, 60, None)),
        (1, grant(4, "b", 70)),
    ]);
    assert_eq!(outcomes[4], Ok(vec![LedgerEvent::RequestDequeued { call: id("b") }]));
    let answer: LeaseAnswer = serde_json::from_value(ledger.answer(&grant(4, "b", 70))).unwrap();
    assert_eq!(answer.outcome, Outcome::Refused { why: exhausted(70, 40, 100) });
}

#[test]
fn a_ticket_lapses_unless_its_holder_asks_again() {
    let before = [
        (0, LedgerCommand::SetBudget(set_budget(100))),
        (0, grant(1, "a", 60)),
        (0, grant(2, "b", 70)),
        (2, grant(3, "b", 70)),
    ];
    let (ledger, outcomes) = run(&before);
    assert!(matches!(&outcomes[3].as_ref().unwrap()[0], LedgerEvent::RequestQueued { call, .. } if *call == id("b")));
    let stamp = |seconds| Stamp { at: NOW.plus(Duration::from_secs(seconds)), ..stamp() };
    let still = ledger.decide(&grant(5, "c", 20), &stamp(5)).unwrap();
    assert!(matches!(&still[0], LedgerEvent::RequestQueued { .. }));
    let void = ledger.decide(&grant(5, "c", 20), &stamp(6)).unwrap();
    assert_eq!(void[0], LedgerEvent::RequestDequeued { call: id("b") });
    assert!(matches!(&void[1], LedgerEvent::LeaseGranted { .. }));
}

#[test]
fn the_line_is_bounded() {
    let mut commands = vec![(0, LedgerCommand::SetBudget(set_budget(100))), (0, grant(1, "a", 60))];
    commands.extend((0..=LINE_MAX as u64).map(|n| (0, grant(n + 2, &format!("w{n}"), 90))));
    let (ledger, _) = run(&commands);
    assert_eq!(ledger.line().count(), LINE_MAX);
    let last = commands.last().unwrap();
    let answer: LeaseAnswer = serde_json::from_value(ledger.answer(&last.1)).unwrap();
    assert_eq!(answer.outcome, Outcome::LineFull);
    let withdraw = LedgerCommand::WithdrawRequest(WithdrawRequest { call: id("w0") });
    assert_eq!(ledger.decide(&withdraw, &stamp()), Ok(vec![LedgerEvent::RequestDequeued { call: id("w0") }]));
}

#[test]
fn an_ended_or_older_lease_is_never_opened_again() {
    let (ledger, outcomes) = run(&[
        (0, grant(2, "a", 10)),
        (0, end(2, 5, vec![])),
        (0, grant(2, "a", 10)),
        (0, grant(1, "a", 10)),
        (0, end(2, 5, vec![])),
    ]);
    assert_eq!(outcomes[2..], [Ok(vec![]), Ok(vec![]), Ok(vec![])]);
    let answer: LeaseAnswer = serde_json::from_value(ledger.answer(&grant(2, "a", 10))).unwrap();
    assert_eq!((answer.outcome, answer.lease), (Outcome::Ended, None));
}

#[test]
fn only_the_next_turn_is_decided_with_cumulative_report() {
    let (ledger, outcomes) = run(&[
        (0, LedgerCommand::SetBudget(set_budget(100))),
        (0, grant(1, "a", 60)),
        (1, renew(1, 1, 20, 40, None)),
        (2, renew(1, 1, 20, 40, None)), // a duplicate
        (3, renew(1, 3, 50, 60, None)), // out of turn
        (4, renew(1, 2, 30, 40, None)),
    ]);
    assert_eq!(outcomes[3..5], [Ok(vec![]), Ok(vec![])]);
    assert_eq!((row(&ledger).posted, row(&ledger).leased), (30, 10));
}

#[test]
fn asking_for_the_place_in_line_takes_no_turn() {
    let (ledger, outcomes) = run(&[
        (0, LedgerCommand::SetBudget(set_budget(100))),
        (0, grant(1, "a", 40)),
        (0, grant(2, "b", 40)),
        (0, renew(1, 1, 20, 40, Some(request("c", 70)))),
        (0, renew(1, 2, 20, 40, Some(request("c", 70)))),
        (0, renew(1, 2, 20, 40, Some(request("d", 90)))),
    ]);
    assert!(matches!(outcomes[3].as_ref().unwrap()[0], LedgerEvent::RequestQueued { .. }));
    assert_eq!(outcomes[4], Ok(vec![]));
    assert_eq!(outcomes[5], Err(exhausted(90, 80, 100)));
    assert_eq!(ledger.lease(&lease(1)).unwrap().turn, Turn(1));
    let answer = ledger.answer(&renew(1, 2, 20, 40, Some(request("c", 70))));
    assert_eq!(serde_json::from_value::<LeaseAnswer>(answer).unwrap().outcome, Outcome::Queued);
}

#[test]
fn an_unsettled_call_stays_charged_until_its_finish_is_recorded() {
    let open = UnsettledCall { call: id("a"), worst: amount(30) };
    let (ledger, outcomes) = run(&[
        (0, LedgerCommand::SetBudget(set_budget(100))),
        (0, grant(1, "a", 50)),
        (1, correct("a", 10)), // too early: the end comes first
        (1, end(1, 20, vec![open])),
        (2, correct("a", 10)),
        (3, correct("a", 10)),
    ]);
    assert!(matches!(outcomes[2], Err(Rejection::Stale { .. })));
    assert_eq!(outcomes[5], Ok(vec![]));
    assert_eq!((row(&ledger).posted, row(&ledger).unsettled, row(&ledger).leased), (30, 0, 0));
}

#[test]
fn an_estimate_that_comes_late_leaves_the_rest_unsettled() {
    let open = UnsettledCall { call: id("a"), worst: amount(30) };
    let late = CorrectLease { lease: lease(1), call: id("a"), used: amount(10), late: Amounts::ZERO, left: amount(99) };
    let (ledger, _) = run(&[
        (0, LedgerCommand::SetBudget(set_budget(100))),
        (0, grant(1, "a", 50)),
        (1, end(1, 20, vec![open])),
        (2, LedgerCommand::CorrectLease(late.clone())),
        (3, LedgerCommand::CorrectLease(late)), // a duplicate
    ]);
    assert_eq!((row(&ledger).posted, row(&ledger).unsettled), (30, 20));
}

#[test]
fn a_new_budget_counts_leases_already_granted_below_it() {
    let open = UnsettledCall { call: id("a"), worst: amount(30) };
    let (ledger, _) = run(&[
        (0, grant(1, "a", 20)),
        (0, end(1, 20, vec![open])),
        (0, grant(2, "b", 25)),
        (1, LedgerCommand::SetBudget(set_budget(100))),
    ]);
    // Nothing bound the first lease, so it got what it wanted on top.
    assert_eq!((row(&ledger).leased, row(&ledger).unsettled, row(&ledger).posted), (50, 30, 0));
}

fn named(event: &LedgerEvent) -> Option<BudgetId> {
    match event {
        LedgerEvent::BudgetSet { budget, .. } => Some(budget.clone()),
        _ => None,
    }
}

#[test]
fn a_budget_removed_and_set_again_is_another() {
    let remove = RemoveBudget { scope: id("acme"), subject: None, unit: Unit::Tokens, per: Window::Total, level: None };
    let (ledger, outcomes) = run(&[
        (0, LedgerCommand::SetBudget(set_budget(100))),
        (0, grant(1, "a", 60)),
        (0, LedgerCommand::RemoveBudget(remove.clone())),
        (0, LedgerCommand::RemoveBudget(remove)),
        (0, LedgerCommand::SetBudget(set_budget(100))),
        (0, LedgerCommand::SetBudget(set_budget(100))),
    ]);
    assert!(matches!(outcomes[3], Err(Rejection::NotFound { .. })));
    assert_eq!(outcomes[5], Ok(vec![]));
    let names: Vec<_> = outcomes.iter().flatten().flatten().filter_map(named).collect();
    assert_eq!(names.len(), 2);
    assert_ne!(names[0], names[1]);
    assert_eq!(ledger.budgets().next().unwrap().0, &names[1]);
    assert_eq!(row(&ledger).leased, 73);
}

#[test]
fn lowering_a_limit_recalls_and_admits_nothing_more() {
    let (ledger, outcomes) = run(&[
        (0, LedgerCommand::SetBudget(set_budget(100))),
        (0, grant(1, "a", 60)),
        (0, LedgerCommand::SetBudget(set_budget(50))),
        (0, grant(2, "b", 10)),
    ]);
    assert!(outcomes[2].as_ref().unwrap().contains(&LedgerEvent::LeaseRecalled { lease: lease(1) }));
    assert_eq!(ledger.leases().count(), 1);
}

#[test]
fn a_new_limit_below_leased_amounts_recalls_them() {
    let recalled = LedgerEvent::LeaseRecalled { lease: lease(1) };
    let (before, _) = run(&[(0, grant(1, "a", 60))]);
    let out = before.lease(&lease(1)).unwrap().held().tokens.0;
    for (limit, asks_back) in [(out - 1, true), (out, false)] {
        let commands = [(0, grant(1, "a", 60)), (0, LedgerCommand::SetBudget(set_budget(limit)))];
        let (ledger, outcomes) = run(&commands);
        assert_eq!(outcomes[1].as_ref().unwrap().contains(&recalled), asks_back, "{limit}");
        assert_eq!(ledger.lease(&lease(1)).unwrap().recalled.is_some(), asks_back, "{limit}");
    }
    let soft = SetBudget { hard: false, ..set_budget(1) };
    let (_, outcomes) = run(&[(0, grant(1, "a", 60)), (0, LedgerCommand::SetBudget(soft))]);
    assert!(!outcomes[1].as_ref().unwrap().contains(&recalled));
}

#[test]
fn a_renewal_answers_a_recall_and_repeats_change_nothing() {
    let recall = || LedgerCommand::RecallLease(RecallLease { lease: lease(1) });
    let (ledger, outcomes) =
        run(&[(0, grant(1, "a", 60)), (0, recall()), (0, recall()), (1, renew(1, 1, 0, 60, None))]);
    assert_eq!(outcomes[2], Ok(vec![]));
    let lease = ledger.lease(&lease(1)).unwrap();
    assert_eq!((lease.recalled, lease.answered), (None, Some(NOW.plus(Duration::from_secs(1)))));
}

#[test]
fn a_call_that_may_be_cut_gets_its_share() {
    let cuttable = LeaseRequest { need_min: amount(1), whole_min: amount(1), waiting: 9, ..request("a", 1_000) };
    let command = GrantLease { lease: lease(1), scopes: scopes(), request: cuttable };
    let (ledger, _) = run(&[(0, LedgerCommand::SetBudget(set_budget(900))), (0, LedgerCommand::GrantLease(command))]);
    assert_eq!(ledger.lease(&lease(1)).unwrap().terms.cap_total.tokens, Tokens(100));
}

#[test]
fn a_lease_ends_with_its_first_window_to_end() {
    let minute = SetBudget { per: Window::Minute, ..set_budget(100) };
    let (ledger, outcomes) = run(&[
        (0, LedgerCommand::SetBudget(minute)),
        (58, grant(1, "a", 100)),
        (59, renew(1, 1, 100, 100, Some(request("b", 50)))), // 60 s past 1970: the window has turned
        (59, grant(2, "b", 50)),
    ]);
    let of_first = ledger.lease(&lease(1)).unwrap();
    assert_eq!(of_first.terms.until, Timestamp(60_000_000));
    assert!(of_first.terms.expires > of_first.terms.until);
    let answer: LeaseAnswer =
        serde_json::from_value(ledger.answer(&renew(1, 1, 100, 100, Some(request("b", 50))))).unwrap();
    assert_eq!(answer.outcome, Outcome::Turned);
    assert!(matches!(outcomes[3].as_ref().unwrap()[..], [LedgerEvent::LeaseGranted { .. }]));
    let exposures: Vec<u128> = ledger.rows().map(|(_, _, row)| row.exposure()).collect();
    assert_eq!(exposures[0], 100);
    assert!((50..=66).contains(&exposures[1]));
}

#[test]
fn ended_rows_are_forgotten_once_nothing_refers_to_them() {
    let minute = SetBudget { per: Window::Minute, ..set_budget(100) };
    let mut commands = vec![(0, LedgerCommand::SetBudget(minute))];
    for n in 1..50 {
        commands.push((n * 60, grant(n, "a", 10)));
        commands.push((n * 60, end(n, 5, vec![])));
    }
    assert_eq!(run(&commands).0.rows().count(), 1);
}

#[test]
fn thresholds_are_told_once_a_window() {
    let warned = SetBudget { warn: vec![80, 50, 80], ..set_budget(100) };
    let (_, outcomes) = run(&[
        (0, LedgerCommand::SetBudget(warned)),
        (0, grant(1, "a", 90)),
        (0, renew(1, 1, 50, 90, None)),
        (0, renew(1, 2, 60, 90, None)),
        (0, end(1, 90, vec![])),
    ]);
    let told = |at: usize| -> Vec<u8> {
        (outcomes[at].iter().flatten())
            .filter_map(|event| match event {
                LedgerEvent::ThresholdCrossed { percent, .. } => Some(*percent),
                _ => None,
            })
            .collect()
    };
    assert_eq!((told(2), told(3), told(4)), (vec![50], vec![], vec![80]));
}

#[test]
fn a_soft_budget_only_tells() {
    let soft = SetBudget { hard: false, warn: vec![100], ..set_budget(10) };
    let (ledger, outcomes) =
        run(&[(0, LedgerCommand::SetBudget(soft)), (0, grant(1, "a", 90)), (0, end(1, 90, vec![]))]);
    assert!(matches!(outcomes[2].as_ref().unwrap()[1], LedgerEvent::ThresholdCrossed { percent: 100, .. }));
    assert_eq!(row(&ledger).posted, 90);
}

#[test]
fn a_budget_of_one_key_does_not_bind_another() {
    let of_key = SetBudget { subject: Some(Subject::Key(id("key_2"))), ..set_budget(0) };
    let (ledger, _) = run(&[(0, LedgerCommand::SetBudget(of_key)), (0, grant(1, "a", 90))]);
    assert_eq!(ledger.leases().count(), 1);
}

#[test]
fn hostile_numbers_neither_wrap_nor_panic() {
    let all = LeaseRequest { want: Amounts::MAX, need: Amounts::MAX, need_min: Amounts::MAX, ..request("a", 0) };
    let soft = SetBudget { hard: false, ..set_budget(u64::MAX) };
    let command =
        |number| LedgerCommand::GrantLease(GrantLease { lease: lease(number), scopes: scopes(), request: all.clone() });
    let (ledger, _) = run(&[
        (0, LedgerCommand::SetBudget(soft)),
        (0, command(1)),
        (0, command(2)),
        (0, renew(1, 1, u64::MAX / 10, 1, None)),
        (0, end(1, 0, vec![UnsettledCall { call: id("x"), worst: Amounts::MAX }])),
        (0, command(u64::MAX)),
        (0, end(2, 0, vec![])),
        (0, end(u64::MAX, 0, vec![])),
    ]);
    assert_eq!(row(&ledger).leased, 0);
    assert_eq!(row(&ledger).posted, u128::from(u64::MAX / 10));
}

#[test]
fn budgets_are_validated_and_bounded() {
    let rejects = |command: SetBudget| {
        let refused = Ledger::default().decide(&LedgerCommand::SetBudget(command), &stamp());
        assert!(matches!(refused, Err(Rejection::Invalid { .. })), "{refused:?}");
    };
    rejects(SetBudget { scope: id("other"), ..set_budget(1) });
    rejects(SetBudget { scope: id("*"), ..set_budget(1) });
    rejects(SetBudget { warn: vec![0], ..set_budget(1) });
    rejects(SetBudget { warn: (1..12).collect(), ..set_budget(1) });
    let many: Vec<_> = (0..BUDGETS_MAX)
        .map(|n| (0, LedgerCommand::SetBudget(SetBudget { scope: id(&format!("acme/p{n}")), ..set_budget(1) })))
        .chain([(0, LedgerCommand::SetBudget(set_budget(1)))])
        .collect();
    let (ledger, outcomes) = run(&many);
    assert_eq!(ledger.budgets().count(), BUDGETS_MAX);
    assert!(matches!(outcomes.last().unwrap(), Err(Rejection::Invalid { .. })));
}
