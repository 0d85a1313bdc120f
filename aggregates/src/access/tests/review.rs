//! Reviews: what is confirmed stays, what is not is shown, or ends.

use steward_events::command::{CloseReview, ConfirmReviewed, RevokeReviewed, StartReview};
use steward_events::event::ReviewSpec;

use super::*;

const DUE: Timestamp = Timestamp(9_000_000);

fn start(revoke_unreviewed: bool) -> StartReview {
    let (review, on) = ("q4".parse().unwrap(), "acme/support".parse().unwrap());
    StartReview { review, on, due: DUE, reviewers: vec![], revoke_unreviewed }
}

fn started(revoke_unreviewed: bool) -> AccessEvent {
    let StartReview { review, on, due, reviewers, revoke_unreviewed } = start(revoke_unreviewed);
    AccessEvent::ReviewStarted { review, spec: ReviewSpec { on, due, reviewers, revoke_unreviewed } }
}

fn confirm(role: &str, on: &str) -> ConfirmReviewed {
    let (review, grants) = ("q4".parse().unwrap(), vec![to_bot(role, on).id()]);
    ConfirmReviewed { review, grants, reason: String::new() }
}

fn confirmed(role: &str, on: &str) -> AccessEvent {
    let ConfirmReviewed { review, grants, reason } = confirm(role, on);
    AccessEvent::GrantsConfirmed { review, grants, reason }
}

fn closed(unreviewed: u32) -> AccessEvent {
    AccessEvent::ReviewClosed { review: "q4".parse().unwrap(), unreviewed, reason: String::new() }
}

fn close() -> CloseReview {
    CloseReview { review: "q4".parse().unwrap(), reason: String::new() }
}

fn held(history: impl IntoIterator<Item = AccessEvent>) -> Access {
    let mut access = Access::default();
    history.into_iter().for_each(|event| access.apply(&event, Timestamp(0)));
    access
}

#[test]
fn a_review_is_started_once_and_has_an_end() {
    given::<Access>([]).when(start(true)).then([started(true)]);
    given::<Access>([started(true)]).when(start(true)).then([]);
    let due = StartReview { due: Timestamp(1), ..start(false) };
    let past = Rejection::invalid("due", "1970-01-01T00:00:00.000001Z is not in the future");
    given::<Access>([]).when(due).then_rejected(&past);
    let other = StartReview { review: "q5".parse().unwrap(), ..start(true) };
    let rival = Rejection::invalid("revoke_unreviewed", "the review q4 revokes there too: close it first");
    given::<Access>([started(true)]).when(other).then_rejected(&rival);
}

#[test]
fn a_grant_of_the_review_is_confirmed_once() {
    let history = [granted("agent", "acme/support"), granted("agent", "acme/sales"), started(false)];
    given::<Access>(history.clone()).when(confirm("agent", "acme/support")).then([confirmed("agent", "acme/support")]);
    let twice = [&history[..], &[confirmed("agent", "acme/support")]].concat();
    given::<Access>(twice).when(confirm("agent", "acme/support")).then([]);
    let elsewhere = "svc_bot is agent on acme/sales is not of this review: it is of another scope, or was given since";
    given::<Access>(history)
        .when(confirm("agent", "acme/sales"))
        .then_rejected(&Rejection::invalid("grants", elsewhere));
}

#[test]
fn nobody_confirms_what_they_hold_themselves() {
    let mut own = to_bot("agent", "acme/support");
    own.to = "p_ana".parse().unwrap();
    let granted = AccessEvent::RoleGranted { grant: own.id(), expires: None, condition: None };
    let confirm = ConfirmReviewed { grants: vec![own.id()], ..confirm("agent", "acme/support") };
    let why = "p_ana is agent on acme/support: nobody confirms what they hold themselves";
    given::<Access>([granted, started(false)]).when(confirm).then_rejected(&Rejection::invalid("grants", why));
}

#[test]
fn only_its_reviewers_look_at_a_review() {
    let mut of_bob = started(false);
    if let AccessEvent::ReviewStarted { spec, .. } = &mut of_bob {
        spec.reviewers = vec!["p_bob".parse().unwrap()];
    }
    let refused = Rejection::invalid("review", "is looked at by p_bob only");
    let history = [granted("agent", "acme/support"), of_bob];
    given::<Access>(history.clone()).when(confirm("agent", "acme/support")).then_rejected(&refused);
    given::<Access>(history).when(close()).then_rejected(&refused);
}

#[test]
fn what_nobody_confirmed_ends_when_the_review_is_due() {
    let history = [granted("agent", "acme/support"), granted("billing", "acme/support"), started(true)];
    let access = held([&history[..], &[confirmed("agent", "acme/support")]].concat());
    let over = |role: &str, at: u64| {
        let terms = access.terms(&to_bot(role, "acme/support").id()).unwrap();
        terms.is_over(Timestamp(at))
    };
    assert!(!over("billing", DUE.0 - 1) && over("billing", DUE.0), "it ends at the very moment");
    assert!(!over("agent", DUE.0));
    // One that only shows lets them be.
    let shown = held([granted("agent", "acme/support"), started(false)]);
    assert!(shown.terms(&to_bot("agent", "acme/support").id()).unwrap().is_plain());
}

#[test]
fn closing_a_review_records_what_ended_with_it() {
    let history = [granted("agent", "acme/support"), started(true)];
    given::<Access>(history.clone()).when(close()).then([closed(1)]);
    let reason = format!("review q4: nobody confirmed it until {DUE}");
    let revoked = AccessEvent::GrantRevoked { grant: to_bot("agent", "acme/support").id(), reason };
    given::<Access>(history).at(DUE).when(close()).then([revoked, closed(1)]);
    let kept = held([granted("agent", "acme/support"), started(true), closed(1)]);
    assert!(kept.terms(&to_bot("agent", "acme/support").id()).unwrap().is_plain(), "closed before it was due");
}

#[test]
fn many_grants_are_revoked_in_one_go() {
    let history = [granted("agent", "acme/support"), granted("billing", "acme/support"), started(false)];
    let grants = ["agent", "billing"].map(|role| to_bot(role, "acme/support").id());
    let (review, reason) = ("q4".parse().unwrap(), "unused".to_owned());
    let revoke = RevokeReviewed { review, grants: grants.to_vec(), reason };
    let because = "review q4: unused".to_owned();
    let revoked = grants.map(|grant| AccessEvent::GrantRevoked { grant, reason: because.clone() });
    given::<Access>(history).when(revoke).then(revoked);
}
