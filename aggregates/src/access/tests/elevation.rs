//! Elevation: asked, approved by another, and over in time.

use std::time::Duration;

use steward_events::command::{AllowElevation, ApproveElevation, EndElevation, RefuseElevation, RequestElevation};
use steward_events::event::{ElevationRequest, ElevationRule};

use super::*;

/// When everything here is decided, and when what was asked then is over.
const NOW: Timestamp = Timestamp(1_000_000);
const UNTIL: Timestamp = Timestamp(61_000_000);

fn allowed(self_approval: bool) -> AccessEvent {
    let rule = r#"{"role":"owner","on":"acme","askers":["p_ana"],"longest_s":3600}"#;
    let spec = ElevationRule { self_approval, ..serde_json::from_str(rule).unwrap() };
    AccessEvent::ElevationAllowed { rule: "glass".parse().unwrap(), spec }
}

fn request(duration_s: u64, self_approve: bool) -> RequestElevation {
    RequestElevation {
        elevation: Some("elv_1".parse().unwrap()),
        rule: "glass".parse().unwrap(),
        duration_s,
        reason: "fire".to_owned(),
        self_approve,
    }
}

fn requested(by: &str) -> AccessEvent {
    let request = ElevationRequest {
        rule: "glass".parse().unwrap(),
        by: by.parse().unwrap(),
        role: "owner".parse().unwrap(),
        on: "acme".parse().unwrap(),
        duration_s: 60,
        reason: "fire".to_owned(),
        lapses: NOW.plus(Duration::from_secs(24 * 3_600)),
    };
    AccessEvent::ElevationRequested { elevation: "elv_1".parse().unwrap(), request }
}

fn approved(self_approved: bool) -> AccessEvent {
    AccessEvent::ElevationApproved {
        elevation: "elv_1".parse().unwrap(),
        by: "p_ana".parse().unwrap(),
        until: UNTIL,
        self_approved,
        reason: if self_approved { "fire" } else { "" }.to_owned(),
    }
}

fn approve() -> ApproveElevation {
    ApproveElevation { elevation: "elv_1".parse().unwrap(), reason: String::new() }
}

#[test]
fn a_role_is_asked_for_by_a_rule_within_its_time() {
    given::<Access>([allowed(false)]).when(request(60, false)).then([requested("p_ana")]);
    given::<Access>([allowed(false), requested("p_ana")]).when(request(60, false)).then([]);
    let bound = Rejection::invalid("duration_s", "is from 1 to 3600 seconds by the rule glass");
    given::<Access>([allowed(false)]).when(request(3_601, false)).then_rejected(&bound);
    given::<Access>([]).when(request(60, false)).then_rejected(&Rejection::not_found("elevation rule", &"glass"));
}

#[test]
fn another_approves_what_was_asked() {
    given::<Access>([allowed(false), requested("p_bob")]).when(approve()).then([approved(false)]);
    let own = Rejection::invalid("elevation", "p_ana asked for it: somebody else has to approve it");
    given::<Access>([allowed(false), requested("p_ana")]).when(approve()).then_rejected(&own);
    given::<Access>([allowed(false), requested("p_bob"), approved(false)]).when(approve()).then([]);
    let late = NOW.plus(Duration::from_secs(24 * 3_600));
    let lapsed = Rejection::stale(format!("it lapsed at {late}: it has to be asked for again"));
    given::<Access>([allowed(false), requested("p_bob")]).at(late).when(approve()).then_rejected(&lapsed);
}

#[test]
fn in_an_emergency_the_asker_approves_and_it_shows() {
    given::<Access>([allowed(true)]).when(request(60, true)).then([requested("p_ana"), approved(true)]);
    let why = "the rule glass lets nobody approve their own: leave it out, and ask an approver";
    given::<Access>([allowed(false)]).when(request(60, true)).then_rejected(&Rejection::invalid("self_approve", why));
    let silent = RequestElevation { reason: String::new(), ..request(60, true) };
    let why = Rejection::invalid("reason", "say why; it is recorded and shown to others");
    given::<Access>([allowed(true)]).when(silent).then_rejected(&why);
}

#[test]
fn an_elevation_is_a_grant_until_its_very_end() {
    let mut access = Access::default();
    for event in [allowed(true), requested("p_bob"), approved(false)] {
        access.apply(&event, NOW);
    }
    let bob = "p_bob".parse().unwrap();
    let (grant, terms) = access.grants_of(&bob).next().unwrap();
    assert_eq!(grant.to_string(), "p_bob is owner on acme");
    assert!(!terms.is_over(Timestamp(UNTIL.0 - 1)) && terms.is_over(UNTIL) && !terms.is_plain());
    let ended = AccessEvent::ElevationEnded { elevation: "elv_1".parse().unwrap(), reason: String::new() };
    access.apply(&ended, Timestamp(2_000_000));
    assert!(access.grants_of(&bob).all(|(_, terms)| terms.is_over(Timestamp(2_000_000))));
}

#[test]
fn an_elevation_is_refused_or_ended_once() {
    let (elevation, reason) = ("elv_1".parse().unwrap(), "no".to_owned());
    let refuse = RefuseElevation { elevation, reason: reason.clone() };
    let refused = AccessEvent::ElevationRefused { elevation: "elv_1".parse().unwrap(), reason: reason.clone() };
    let asked = [allowed(false), requested("p_bob")];
    given::<Access>(asked.clone()).when(refuse.clone()).then([refused.clone()]);
    given::<Access>([asked[0].clone(), asked[1].clone(), refused.clone()]).when(refuse).then([]);
    let again = Rejection::stale("it was refused or taken back");
    given::<Access>([asked[0].clone(), asked[1].clone(), refused]).when(approve()).then_rejected(&again);
    let end = EndElevation { elevation: "elv_1".parse().unwrap(), reason: reason.clone() };
    let ended = AccessEvent::ElevationEnded { elevation: "elv_1".parse().unwrap(), reason };
    let running = [allowed(false), requested("p_bob"), approved(false)];
    given::<Access>(running.clone()).when(end.clone()).then([ended]);
    given::<Access>(running).at(UNTIL).when(end).then([]);
}

#[test]
fn a_changed_rule_approves_nothing_that_was_asked_before() {
    let mut changed = allowed(false);
    if let AccessEvent::ElevationAllowed { spec, .. } = &mut changed {
        spec.role = "admin".parse().unwrap();
    }
    let stale = Rejection::stale("the rule glass has changed since it was asked for");
    given::<Access>([allowed(false), requested("p_bob"), changed]).when(approve()).then_rejected(&stale);
}

#[test]
fn elevations_that_are_open_are_bounded() {
    let of = |n: usize| {
        let AccessEvent::ElevationRequested { request, .. } = requested("p_ana") else { unreachable!() };
        AccessEvent::ElevationRequested { elevation: format!("elv_x{n}").parse().unwrap(), request }
    };
    let ten = (0..10).map(of).chain([allowed(false)]);
    let why = Rejection::invalid("open elevations of yours", "would have 11 entries; at most 10 are allowed");
    given::<Access>(ten).when(request(60, false)).then_rejected(&why);
}

#[test]
fn a_rule_names_who_may_ask() {
    let allow: AllowElevation =
        serde_json::from_str(r#"{"rule":"glass","role":"owner","on":"acme","longest_s":3600}"#).unwrap();
    let nobody = Rejection::invalid("askers", "name who may ask: askers or asker_roles");
    given::<Access>([]).when(allow.clone()).then_rejected(&nobody);
    let asked_by_ana = AllowElevation { askers: vec!["p_ana".parse().unwrap()], ..allow.clone() };
    given::<Access>([]).when(asked_by_ana.clone()).then([allowed(false)]);
    given::<Access>([allowed(false)]).when(asked_by_ana).then([]);
    let long = AllowElevation { longest_s: 604_801, ..allow };
    given::<Access>([]).when(long).then_rejected(&Rejection::invalid("longest_s", "is from 1 to 604800 seconds"));
}
