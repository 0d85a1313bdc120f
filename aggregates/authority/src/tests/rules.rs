//! Denials, separations, elevations and reviews, as they are met by requests and commands.

use steward_events::command::{
    AllowElevation, ApproveElevation, EndElevation, RemoveDenial, RequestElevation, SetDenial, StartReview,
};
use steward_queries::ExplainQuery;

use super::*;

fn told(env: &mut AuthorityEnv, of: &str, event: &str) {
    let event: AccessEvent = serde_json::from_str(event).unwrap();
    fold(&mut env.0, &of.parse().unwrap(), T0, event);
}

/// What is denied in a tenant, as JSON without its name and reason.
fn denied(env: &mut AuthorityEnv, of: &str, spec: &str) {
    let event = format!(r#"{{"type":"denial_set","data":{{"denial":"no","spec":{{{spec},"reason":"audit"}}}}}}"#);
    told(env, of, &event);
}

fn set(name: &str, permission: &str, whom: &str) -> SetDenial {
    let text =
        format!(r#"{{"denial":"{name}","permissions":["{permission}"],"on":"acme","whom":{whom},"reason":"audit"}}"#);
    serde_json::from_str(&text).unwrap()
}

fn owners() -> AuthorityEnv {
    let mut env = AuthorityEnv::new();
    for who in ["p_ana", "p_bob"] {
        env.grant("acme", who, "owner", "acme");
    }
    env
}

#[test]
fn a_denial_wins_over_every_grant_and_says_its_name() {
    let mut env = owners();
    denied(&mut env, "acme", r#""permissions":["budget:*"],"on":"acme/support","whom":{"principals":["p_ana"]}"#);
    let (why, help) = reason(env.may("p_ana", "budget:set", "acme/support/mail"));
    assert_eq!(why, "the denial no forbids it: audit");
    assert_eq!(help, "steward deny remove no --tenant acme");
    for (who, what, on) in [
        ("p_bob", "budget:set", "acme/support"),
        ("p_ana", "budget:set", "acme/sales"),
        ("p_ana", "cost:report", "acme/support"),
    ] {
        assert!(env.may(who, what, on).is_ok(), "{who} {what} {on}");
    }
    let query = ExplainQuery {
        principal: "p_ana".parse().unwrap(),
        permission: "budget:set".parse().unwrap(),
        scope: "acme/support".parse().unwrap(),
        at: None,
        address: None,
    };
    assert_eq!(env.0.explain(&acme(), &query, T1).reason, "the denial no forbids it: audit");
}

#[test]
fn a_denial_by_role_ends_with_the_role() {
    let mut env = owners();
    env.grant_with("acme", "p_ana", "developer", "acme/x", Some(T1), None);
    denied(&mut env, "acme", r#""permissions":["budget:*"],"on":"acme","whom":{"roles":["agent"]}"#);
    let ask = |at| env.0.authorise(&request("p_ana", "budget:set", "acme"), at);
    assert!(ask(T0).is_err(), "a developer is an agent too");
    assert!(ask(T1).is_ok());
    assert!(env.may("p_bob", "budget:set", "acme").is_ok());
}

#[test]
fn a_denial_has_its_terms() {
    let mut env = owners();
    let spec = r#""permissions":["model:invoke"],"on":"acme","whom":{"everyone":true},"#;
    denied(&mut env, "acme", &format!(r#"{spec}"condition":{{"models":["large"]}}"#));
    assert!(env.invoke("p_ana", None, "acme", "large", 1).is_err());
    assert!(env.invoke("p_ana", None, "acme", "small", 1).is_ok());
    denied(&mut env, "acme", &format!(r#"{spec}"condition":{{"cost_max":"$0.000000005"}},"unless":true"#));
    assert!(env.invoke("p_ana", None, "acme", "large", 5).is_ok());
    let (why, _) = reason(env.invoke("p_ana", None, "acme", "large", 6));
    assert!(why.contains("what is not denied: only for calls that cost at most"), "{why}");
    denied(&mut env, "acme", &format!(r#"{spec}"until":"{T1}""#));
    let ask = |at| env.0.authorise(&request("p_ana", "model:invoke", "acme"), at);
    assert!(ask(T0).is_err() && ask(T1).is_ok());
}

#[test]
fn the_platform_denies_everybody_and_a_tenant_no_operator() {
    let mut env = owners();
    denied(&mut env, "acme", r#""permissions":["*:*"],"on":"acme","whom":{"everyone":true}"#);
    assert!(env.may("p_ana", "budget:set", "acme").is_err());
    assert!(env.may("op_root", "budget:set", "acme").is_ok(), "who can help must be able to");
    let mut env = owners();
    denied(&mut env, "steward", r#""permissions":["secret:*"],"on":"acme","whom":{"everyone":true}"#);
    let (why, help) = reason(env.may("p_ana", "secret:set", "acme"));
    assert_eq!(why, "the denial no of the platform forbids it: audit");
    assert_eq!(help, "ask the operators of the platform");
    assert!(env.may("op_root", "secret:set", "acme").is_err());
}

#[test]
fn what_is_denied_cannot_be_passed_on() {
    let mut env = owners();
    denied(&mut env, "acme", r#""permissions":["budget:set"],"on":"acme/support","whom":{"principals":["p_ana"]}"#);
    assert!(env.send("p_ana", give("svc_bot", "billing", "acme")).is_err());
    assert!(env.send("p_ana", give("svc_bot", "billing", "acme/sales")).is_ok());
    assert!(env.send("p_bob", give("svc_bot", "billing", "acme")).is_ok());
    let remove = RemoveDenial { denial: "no".parse().unwrap(), reason: String::new() };
    assert!(env.send("p_ana", remove.clone()).is_err(), "who it is for does not lift it");
    assert!(env.send("p_bob", remove).is_ok());
}

#[test]
fn nothing_is_shown_where_seeing_is_denied() {
    let mut env = owners();
    denied(&mut env, "acme", r#""permissions":["task:list"],"on":"acme/support","whom":{"principals":["p_ana"]}"#);
    let sight = env.0.sight(&request("p_ana", "task:list", "acme"), T1).unwrap();
    let covers = |on: &str| sight.covers(&on.parse().unwrap());
    assert!(covers("acme/sales") && !covers("acme/support") && !covers("acme/support/mail"));
}

#[test]
fn nobody_denies_the_last_one_who_could_remove_it() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "owner", "acme");
    let everyone = set("no", "*:*", r#"{"everyone":true}"#);
    let Err(Rejection::Invalid { field, reason }) = env.send("p_ana", everyone.clone()) else { panic!("a lockout") };
    assert_eq!(field, "whom");
    assert!(reason.starts_with("nobody could remove the denial on acme any more"), "{reason}");
    let for_a_day = SetDenial { until: Some(Timestamp(9_000_000)), ..everyone };
    assert!(env.send("p_ana", for_a_day).is_ok(), "it ends by itself");
    assert!(env.send("p_ana", set("no", "secret:*", r#"{"everyone":true}"#)).is_ok());
    env.grant("acme", "p_bob", "owner", "acme");
    assert!(env.send("p_ana", set("no", "deny:*", r#"{"principals":["p_ana"]}"#)).is_ok(), "p_bob can remove it");
    denied(&mut env, "acme", r#""permissions":["deny:*"],"on":"acme","whom":{"principals":["p_ana"]}"#);
    assert!(
        env.send("p_bob", set("second", "deny:*", r#"{"principals":["p_bob"]}"#)).is_err(),
        "nor the first one then"
    );
}

#[test]
fn an_operator_denies_where_none_of_the_tenant_could_remove_it_before() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "developer", "acme");
    let everything = set("no", "*:*", r#"{"everyone":true}"#);
    assert!(env.send("op_root", everything.clone()).is_ok(), "an operator can remove it, as ever");
    env.grant("acme", "p_bob", "owner", "acme");
    assert!(env.send("op_root", everything).is_err(), "now it would take that from p_bob");
}

#[test]
fn nobody_denies_what_they_do_not_hold() {
    let mut env = owners();
    let role = r#"{"type":"role_defined","data":{"role":"guard","permissions":["deny:*","cost:*"],"inherits":[]}}"#;
    told(&mut env, "acme", role);
    env.grant("acme", "svc_bot", "guard", "acme");
    assert!(env.send("svc_bot", set("no", "cost:report", r#"{"principals":["p_ana"]}"#)).is_ok());
    assert!(env.send("svc_bot", set("no", "user:*", r#"{"principals":["p_ana"]}"#)).is_err());
}

const RULE: &str = r#"{"type":"elevation_allowed","data":{"rule":"glass","spec":{"role":"owner","on":"acme",
    "asker_roles":["developer"],"approvers":["svc_bot"],"approver_roles":["admin"],"longest_s":60}}}"#;

fn elevation(state: &str) -> String {
    let requested = r#"{"type":"elevation_requested","data":{"elevation":"elv_1","request":{"rule":"glass",
        "by":"p_bob","role":"owner","on":"acme","duration_s":60,"reason":"fire","lapses":"1970-01-02T00:00:00Z"}}}"#;
    if state == "requested" {
        return requested.to_owned();
    }
    format!(r#"{{"type":"elevation_approved","data":{{"elevation":"elv_1","by":"p_ana","until":"{T1}","reason":""}}}}"#)
}

#[test]
fn who_may_ask_and_approve_is_as_the_rule_says() {
    let mut env = AuthorityEnv::new();
    for (who, role) in [("p_ana", "admin"), ("p_bob", "developer")] {
        env.grant("acme", who, role, "acme");
    }
    env.grant("acme", "svc_bot", "admin", "acme/support");
    told(&mut env, "acme", RULE);
    told(&mut env, "acme", &elevation("requested"));
    let ask: RequestElevation =
        serde_json::from_str(r#"{"elevation":"elv_2","rule":"glass","duration_s":60,"reason":"fire"}"#).unwrap();
    assert!(env.send("p_bob", ask.clone()).is_ok());
    let approve = ApproveElevation { elevation: "elv_1".parse().unwrap(), reason: String::new() };
    // By role: only what one holds oneself. By name: also what one does not hold, where one may approve.
    let (why, _) = reason(env.send("p_ana", approve.clone()));
    assert!(why.contains("does not hold *:* at acme"), "{why}");
    assert!(env.send("svc_bot", approve.clone()).is_err(), "it may approve on acme/support only");
    env.grant("acme", "svc_bot", "admin", "acme");
    assert!(env.send("svc_bot", approve.clone()).is_ok());
    assert!(env.send("p_bob", approve).is_err());
    let (why, _) = reason(env.send("op_root", ask));
    assert_eq!(why, "the rule glass lets only holders of developer ask");
}

#[test]
fn an_elevation_gives_rights_until_its_end_and_nothing_beyond() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_bob", "developer", "acme");
    told(&mut env, "acme", RULE);
    told(&mut env, "acme", &elevation("requested"));
    assert!(env.0.authorise(&request("p_bob", "budget:set", "acme"), T0).is_err());
    told(&mut env, "acme", &elevation("approved"));
    let ask = |at: u64| env.0.authorise(&request("p_bob", "budget:set", "acme"), Timestamp(at));
    let allowed = ask(T1.0 - 1).unwrap();
    assert!(allowed.reason.to_string().contains("by the elevation elv_1, until"), "{}", allowed.reason);
    let (why, _) = reason(ask(T1.0));
    assert_eq!(why, format!("p_bob is owner on acme ended at {T1}"));
    // Nothing that is given outlives it, nor does a rule that would let it be had again.
    let may = |command: Command| env.0.may_send(&acme(), &"p_bob".parse().unwrap(), &command, None, T0);
    let expires = Some(T1);
    assert!(may(GiveGrant { expires, ..give("svc_bot", "billing", "acme") }.into()).is_ok());
    assert!(may(give("svc_bot", "billing", "acme").into()).is_err());
    let again: AllowElevation =
        serde_json::from_str(r#"{"rule":"mine","role":"owner","on":"acme","askers":["p_bob"],"longest_s":60}"#)
            .unwrap();
    assert!(may(again.into()).is_err());
    let end = EndElevation { elevation: "elv_1".parse().unwrap(), reason: String::new() };
    assert!(may(end.into()).is_ok());
}

#[test]
fn roles_that_are_apart_are_so_by_all_that_one_holds() {
    let mut env = owners();
    let apart = r#"{"type":"separation_set","data":{"separation":"apart","spec":{"roles":["billing","agent"],"on":"acme",
        "reason":""}}}"#;
    told(&mut env, "acme", apart);
    env.grant("acme", "svc_bot", "billing", "acme");
    let refused = Rejection::invalid("role", "svc_bot would hold agent and billing, which apart keeps apart");
    assert_eq!(env.send("p_ana", give("svc_bot", "developer", "acme/support")), Err(refused));
    assert_eq!(env.0.broken_by(&acme(), &"svc_bot".parse().unwrap(), T1), vec![]);
    env.grant("acme", "svc_bot", "agent", "acme");
    assert_eq!(env.0.broken_by(&acme(), &"svc_bot".parse().unwrap(), T1), ["apart".parse().unwrap()]);
}

#[test]
fn who_starts_a_review_that_ends_grants_holds_them() {
    let mut env = owners();
    env.grant("acme", "svc_bot", "admin", "acme");
    let start = |revoke_unreviewed| StartReview {
        review: "q4".parse().unwrap(),
        on: "acme".parse().unwrap(),
        due: Timestamp(9_000_000),
        reviewers: vec![],
        revoke_unreviewed,
    };
    assert!(env.send("svc_bot", start(true)).is_err(), "owners would lose what an admin cannot give");
    assert!(env.send("svc_bot", start(false)).is_ok());
    assert!(env.send("p_ana", start(true)).is_ok());
}

#[test]
fn what_a_grant_alone_gives_is_its_loss() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "agent", "acme");
    env.grant("acme", "p_ana", "developer", "acme/support");
    let loss = |role: &str, on: &str| env.0.loss(&acme(), &give("p_ana", role, on).id());
    assert_eq!(loss("agent", "acme"), patterns(&["model:invoke", "task:submit", "flag:read"]));
    assert!(!loss("developer", "acme/support").contains(&"model:invoke".parse().unwrap()));
    assert!(loss("developer", "acme/support").contains(&"agent:*".parse().unwrap()));
}
