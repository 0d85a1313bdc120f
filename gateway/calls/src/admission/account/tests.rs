//! An account, step by step: what it appends, what it asks for, whom it admits.

use std::sync::atomic::Ordering;

use steward_aggregates::ledger::Outcome;
use steward_events::command::{GrantLease, LedgerCommand, RenewLease};
use steward_events::digest::CommitHash;
use steward_events::event::UsageEvent;
use steward_events::quantity::{Position, Tokens, Turn};
use steward_events::request::Reply;
use steward_ports::append::{AppendError, Appended};

use super::*;

mod scene;

use scene::{Scene, amount, at, closed, events, id};

#[test]
fn a_call_is_admitted_only_when_its_start_is_acknowledged() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    scene.lent(amount(1, 10));
    let (_, commit) = scene.appends(at(0)).unwrap();
    assert!(matches!(&events(&commit)[..], [UsageEvent::CallStarted { .. }]));
    assert!(!scene.was_admitted(1));
    let appended = Appended { position: Position(11), hash: CommitHash::default() };
    scene.account.appended(Ok(appended), at(0)).unwrap();
    assert!(scene.was_admitted(1));
}

#[test]
fn an_append_without_an_answer_is_resent_unchanged() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    scene.lent(amount(2, 20));
    let (_, first) = scene.appends(at(0)).unwrap();
    assert!(scene.account.appended(Err(AppendError::Unavailable("?".into())), at(1)).is_err());
    scene.reserve(2, 10, 10, at(1));
    let (_, again) = scene.appends(at(1)).unwrap();
    assert_eq!(first, again);
}

#[test]
fn a_close_conflict_requeues_starts_and_records_finishes() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    let lease = scene.lent(amount(2, 20));
    scene.append(at(0));
    scene.reserve(2, 10, 10, at(0));
    scene.finish(1, 4, CallOutcome::Completed, at(0));
    let (_, commit) = scene.appends(at(0)).unwrap();
    assert_eq!(events(&commit).len(), 2);
    scene.account.appended(Err(AppendError::Conflict), at(0)).unwrap();
    assert!(matches!(scene.account.next_job(at(0)), Some(Job::Read(..))));
    let stream = scene.account.me.journal.clone();
    scene.account.read(Ok(vec![closed(&lease, 12, &stream)])).unwrap();
    let again = scene.append(at(0));
    assert!(matches!(&again[..], [UsageEvent::CallFinished { used, .. }] if *used == amount(1, 4)));
    // The call that was not started asks for another lease.
    let Some(LedgerCommand::GrantLease(command)) = scene.command(at(0)) else { panic!("no other lease is asked for") };
    assert_eq!((command.lease.number, command.request.call), (2, id("call2")));
}

/// Found by the simulation: the grant's reply was slower than a recall, its deadline, the close, and reading of that.
#[test]
fn a_lease_closed_before_its_reply_came_is_not_used() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    let Some(LedgerCommand::GrantLease(GrantLease { lease, .. })) = scene.command(at(0)) else { panic!("no command") };
    let stream = scene.account.me.journal.clone();
    scene.account.read(Ok(vec![closed(&lease, 12, &stream)])).unwrap();
    scene.reply(Outcome::Granted, 0, amount(1, 10), false, at(1));
    assert!(scene.appends(at(1)).is_none());
    let Some(LedgerCommand::GrantLease(again)) = scene.command(at(2)) else { panic!("no other lease is asked for") };
    assert_eq!(again.lease.number, 2);
}

#[test]
fn an_acknowledgement_that_comes_too_late_lets_nothing_go() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    scene.lent(amount(1, 10));
    let (_, _) = scene.appends(at(5)).unwrap();
    let appended = Appended { position: Position(11), hash: CommitHash::default() };
    scene.account.appended(Ok(appended), at(31)).unwrap();
    assert!(!scene.was_admitted(1));
    let (_, commit) = scene.appends(at(31)).unwrap();
    let recorded = events(&commit);
    assert!(matches!(&recorded[0], UsageEvent::CallFinished { used, outcome: CallOutcome::NotBilled { .. }, .. }
        if used.is_zero()));
}

#[test]
fn a_call_without_its_caller_finishes_as_never_sent() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    scene.lent(amount(1, 10));
    let (_, _) = scene.appends(at(0)).unwrap();
    scene.gone.store(true, Ordering::Relaxed);
    let appended = Appended { position: Position(11), hash: CommitHash::default() };
    scene.account.appended(Ok(appended), at(0)).unwrap();
    assert!(matches!(&scene.append(at(0))[..], [UsageEvent::CallFinished { .. }]));
}

#[test]
fn usage_beyond_a_reservation_takes_free_amounts_then_is_late() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    scene.lent(amount(1, 13));
    scene.append(at(0));
    scene.finish(1, 18, CallOutcome::Completed, at(0));
    let recorded = scene.append(at(0));
    let UsageEvent::CallFinished { used, late, .. } = &recorded[0] else { panic!("{recorded:?}") };
    assert_eq!((*used, *late), (amount(1, 13), amount(0, 5)));
}

#[test]
fn usage_beyond_a_reservation_is_told_to_the_ledger_at_once() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    let lease = scene.lent(amount(9, 90));
    scene.append(at(0));
    scene.finish(1, 500, CallOutcome::Completed, at(0));
    assert!(scene.command(at(0)).is_none(), "not before it is recorded");
    scene.append(at(0));
    let Some(LedgerCommand::RenewLease(RenewLease { late_total, keep_total, .. })) = scene.command(at(0)) else {
        panic!("the ledger is not told");
    };
    assert_eq!((late_total, keep_total), (amount(0, 410), amount(1, 90)), "and it gets back what is free");
    scene.reply(Outcome::Nothing, 1, amount(1, 90), false, at(0));
    assert!(!scene.account.leases[&lease].has_untold_late());
    assert!(scene.command(at(0)).is_none(), "it is told once");
}

#[test]
fn a_shrink_keeps_unacknowledged_amounts_and_returns_the_rest() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    let lease = scene.lent(amount(9, 90));
    scene.append(at(0));
    scene.finish(1, 4, CallOutcome::Completed, at(0));
    scene.account.recalled(&lease);
    let Some(LedgerCommand::RenewLease(RenewLease { used_total, keep_total, .. })) = scene.command(at(0)) else {
        panic!("the recall is not answered");
    };
    assert_eq!((used_total, keep_total), (Amounts::ZERO, amount(1, 10)));
    scene.reply(Outcome::Nothing, 1, amount(1, 10), true, at(0));
    // The finish is acknowledged: now the rest of that call goes back, too, because others still wait.
    scene.append(at(0));
    let Some(LedgerCommand::RenewLease(RenewLease { used_total, keep_total, turn, .. })) = scene.command(at(0)) else {
        panic!("what became free is not handed back");
    };
    assert_eq!((used_total, keep_total, turn), (amount(1, 4), amount(1, 4), Turn(2)));
}

#[test]
fn while_others_wait_nothing_is_taken_that_was_not_granted() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    let lease = scene.lent(amount(9, 90));
    scene.append(at(0));
    scene.account.recalled(&lease);
    scene.reserve(2, 10, 10, at(0));
    assert!(scene.appends(at(0)).is_none());
    assert!(matches!(scene.command(at(0)), Some(LedgerCommand::RenewLease(RenewLease { request: Some(_), .. }))));
    scene.reply(Outcome::Granted, 1, amount(2, 20), true, at(0));
    assert!(matches!(&scene.append(at(0))[..], [UsageEvent::CallStarted { .. }]));
}

#[test]
fn an_estimate_keeps_its_open_rest_charged() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    let lease = scene.lent(amount(9, 15));
    scene.append(at(0));
    scene.finish(1, 4, CallOutcome::estimated("cut"), at(0));
    scene.append(at(0));
    scene.reserve(2, 6, 6, at(0));
    assert!(scene.appends(at(0)).is_none(), "5 of 15 tokens are free");
    scene.account.recalled(&lease);
    let Some(LedgerCommand::RenewLease(command)) = scene.command(at(0)) else { panic!("no renewal") };
    assert_eq!((command.used_total.tokens, command.keep_total.tokens), (Tokens(4), Tokens(10)));
}

#[test]
fn a_reservation_is_cut_only_when_the_ledger_is_short() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    scene.lent(amount(9, 14));
    scene.reserve(2, 10, 2, at(0));
    assert_eq!(scene.append(at(0)).len(), 1);
    let Some(LedgerCommand::RenewLease(command)) = scene.command(at(1)) else { panic!("the ledger is not asked") };
    let request = command.request.unwrap();
    assert_eq!((request.need.tokens, request.need_min.tokens), (Tokens(6), Tokens(0)));
    scene.reply(Outcome::Granted, 1, amount(9, 14), false, at(1));
    let recorded = scene.append(at(1));
    assert!(matches!(&recorded[..], [UsageEvent::CallStarted { worst, .. }] if *worst == amount(1, 4)));
}

#[test]
fn an_unknown_outcome_keeps_the_lower_cap() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    let lease = scene.lent(amount(9, 90));
    scene.append(at(0));
    scene.account.recalled(&lease);
    assert!(scene.command(at(0)).is_some());
    scene.account.replied(Err("no answer".to_owned()), at(0));
    assert_eq!(scene.account.leases[&lease].cap, amount(1, 10));
}

#[test]
fn the_line_is_bounded_and_a_wait_has_an_end() {
    let mut scene = Scene::new();
    for number in 1..=5 {
        scene.reserve(number, 10, 10, at(0));
    }
    let refused = |scene: &Scene, number| {
        matches!(scene.told.lock().unwrap().get(&number), Some(Err(Refusal::WaitedTooLong { .. })))
    };
    assert!(refused(&scene, 5) && !refused(&scene, 4), "the line holds 4");
    scene.account.step(at(9));
    assert!(!refused(&scene, 1));
    scene.account.step(at(10));
    assert!((1..=4).all(|number| refused(&scene, number)));
}

#[test]
fn a_refusal_holds_for_all_calls_needing_as_much() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    scene.reserve(2, 12, 12, at(0));
    scene.reserve(3, 4, 4, at(0));
    assert!(scene.command(at(0)).is_some());
    let why = Rejection::BudgetExhausted {
        budget: "acme in total".to_owned(),
        requested: "10 tokens".to_owned(),
        available: "5 tokens".to_owned(),
        limit: "100 tokens".to_owned(),
        resets_at: None,
    };
    scene.account.replied(Ok(Reply::refused(why, Position(1))), at(0));
    let told = scene.told.lock().unwrap();
    assert!(matches!(
        (told.get(&1), told.get(&2)),
        (Some(Err(Refusal::Exhausted(_))), Some(Err(Refusal::Exhausted(_))))
    ));
    assert!(!told.contains_key(&3));
}

#[test]
fn an_idle_account_closes_its_lease_and_ends() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    scene.lent(amount(9, 90));
    scene.append(at(0));
    scene.finish(1, 4, CallOutcome::Completed, at(1));
    scene.append(at(1));
    assert!(scene.appends(at(20)).is_none());
    assert!(matches!(&scene.append(at(21))[..], [UsageEvent::LeaseClosed { .. }]));
    let Some(LedgerCommand::EndLease(end)) = scene.command(at(21)) else { panic!("the lease is not ended") };
    assert_eq!((end.used_total, end.unsettled), (amount(1, 4), vec![]));
    assert!(!scene.account.is_over(at(21)));
    scene.reply(Outcome::Nothing, 0, Amounts::ZERO, false, at(21));
    scene.account.forget_over();
    assert!(scene.account.is_over(at(21)));
}

/// The events of calls that were given an answer: start and finish of each, at no cost.
fn given_events(events: &[UsageEvent]) -> usize {
    let starts =
        events.iter().filter(|event| matches!(event, UsageEvent::CallStarted { worst, .. } if worst.is_zero()));
    let finishes = events.iter().filter(|event| {
        matches!(event, UsageEvent::CallFinished { source, used, saved, .. }
            if !source.is_provider() && used.is_zero() && saved.tokens == Tokens(7))
    });
    assert_eq!(starts.count(), finishes.clone().count());
    finishes.count()
}

#[test]
fn a_given_answer_is_recorded_at_once_and_takes_nothing() {
    let mut scene = Scene::new();
    scene.give(1, at(0));
    let Some(LedgerCommand::GrantLease(GrantLease { request, .. })) = scene.command(at(0)) else { panic!() };
    assert!(request.need.is_zero() && request.whole_min.is_zero(), "no budget is too small for it");
    scene.reply(Outcome::Granted, 0, amount(0, 0), false, at(0));
    assert!(!scene.was_admitted(1));
    assert_eq!(given_events(&scene.append(at(0))), 1);
    assert!(scene.was_admitted(1));
    scene.give(2, at(1));
    scene.give(3, at(1));
    assert_eq!(given_events(&scene.append(at(1))), 2, "one commit takes several");
    assert!(scene.appends(at(1)).is_none(), "nothing is left to be finished");
}

#[test]
fn a_given_answer_waits_for_no_budget() {
    let mut scene = Scene::new();
    scene.reserve(1, 10, 10, at(0));
    scene.lent(amount(1, 10));
    scene.append(at(0));
    for number in 2..=4 {
        scene.reserve(number, 10, 10, at(0));
    }
    scene.give(5, at(0));
    assert_eq!(given_events(&scene.append(at(0))), 1, "those before it wait for the ledger");
    assert!(scene.was_admitted(5) && !scene.was_admitted(2));
}

#[test]
fn a_given_answer_finds_another_lease_when_its_own_was_closed() {
    let mut scene = Scene::new();
    scene.give(1, at(0));
    let lease = scene.lent(amount(0, 0));
    scene.appends(at(0)).unwrap();
    scene.account.appended(Err(AppendError::Conflict), at(0)).unwrap();
    assert!(matches!(scene.account.next_job(at(0)), Some(Job::Read(..))));
    let stream = scene.account.me.journal.clone();
    scene.account.read(Ok(vec![closed(&lease, 12, &stream)])).unwrap();
    assert!(scene.appends(at(0)).is_none() && !scene.was_admitted(1));
    scene.lent(amount(0, 0));
    assert_eq!(given_events(&scene.append(at(0))), 1);
    assert!(scene.was_admitted(1));
}
