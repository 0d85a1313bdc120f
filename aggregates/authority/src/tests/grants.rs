//! Grants: where they hold, under which terms, and who may pass them on.

use steward_events::command::{GiveGrant, RevokeGrant};
use steward_events::event::Condition;
use steward_events::quantity::NanoDollars;

use super::*;

#[test]
fn a_grant_holds_at_its_scope_and_below() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "developer", "acme/support");
    let allowed = env.may("p_ana", "model:invoke", "acme/support/mail").unwrap();
    assert_eq!(
        allowed.reason.to_string(),
        "p_ana is developer on acme/support (developer → agent permits model:invoke)"
    );
    for on in ["acme", "acme/sales", "acme/supportive"] {
        let (why, help) = reason(env.may("p_ana", "model:invoke", on));
        assert_eq!(why, format!("no grant of model:invoke at {on} or above"));
        assert_eq!(help, format!("steward grant give p_ana agent --on {on}"));
    }
}

#[test]
fn a_scope_of_another_tenant_is_refused_for_any_rights() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "owner", "acme");
    for outside in ["other", "*", "other/x"] {
        let refused = Rejection::invalid("scope", format!("{outside} is outside tenant acme"));
        assert_eq!(env.may("p_ana", "budget:set", outside), Err(refused));
    }
}

#[test]
fn a_revoked_grant_is_gone_at_once() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "admin", "acme");
    assert!(env.may("p_ana", "budget:set", "acme").is_ok());
    let grant = give("p_ana", "admin", "acme").id();
    fold(&mut env.0, &acme(), T0, AccessEvent::GrantRevoked { grant, reason: String::new() });
    assert!(env.may("p_ana", "budget:set", "acme").is_err());
}

#[test]
fn a_grant_ends_by_itself() {
    let mut env = AuthorityEnv::new();
    env.grant_with("acme", "p_ana", "agent", "acme", Some(T1), None);
    let query = request("p_ana", "model:invoke", "acme");
    assert!(env.0.authorise(&query, T0).is_ok());
    let (why, _) = reason(env.0.authorise(&query, T1));
    assert_eq!(why, format!("p_ana is agent on acme ended at {T1}"));
}

#[test]
fn a_condition_on_unknown_values_does_not_hold() {
    let mut env = AuthorityEnv::new();
    let condition =
        Condition { models: vec!["small".parse().unwrap()], cost_max: Some(NanoDollars(10)), ..Condition::default() };
    env.grant_with("acme", "p_ana", "agent", "acme", None, Some(condition));
    assert!(env.invoke("p_ana", None, "acme", "small", 10).is_ok());
    let (why, _) = reason(env.invoke("p_ana", None, "acme", "large", 10));
    assert_eq!(why, "p_ana is agent on acme holds only for small");
    let (why, _) = reason(env.invoke("p_ana", None, "acme", "small", 11));
    assert_eq!(why, "p_ana is agent on acme holds only for calls that cost at most $0.00000001");
    assert!(env.may("p_ana", "model:invoke", "acme").is_err());
}

#[test]
fn nobody_grants_what_they_do_not_hold() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "admin", "acme/support");
    assert!(env.send("p_ana", give("p_bob", "developer", "acme/support")).is_ok());
    let (why, help) = reason(env.send("p_ana", give("p_bob", "owner", "acme/support")));
    assert_eq!(
        why,
        "a right can be given or taken only by a principal that holds it: p_ana does not hold *:* at acme/support"
    );
    assert_eq!(help, "ask a principal that holds *:* at acme/support, e.g. an owner");
    assert!(env.send("p_ana", give("p_bob", "developer", "acme")).is_err());
    let revoke = |role: &str| RevokeGrant {
        to: "p_bob".parse().unwrap(),
        role: role.parse().unwrap(),
        on: "acme/support".parse().unwrap(),
        reason: String::new(),
    };
    assert!(env.send("p_ana", revoke("developer")).is_ok());
    assert!(env.send("p_ana", revoke("owner")).is_err());
}

#[test]
fn a_temporary_grant_is_not_given_for_longer() {
    let mut env = AuthorityEnv::new();
    let end = Timestamp(10_000_000);
    env.grant_with("acme", "p_ana", "admin", "acme", Some(end), None);
    assert!(env.send("p_ana", give("p_bob", "agent", "acme")).is_err());
    assert!(env.send("p_ana", GiveGrant { expires: Some(end), ..give("p_bob", "agent", "acme") }).is_ok());
}

#[test]
fn a_grant_goes_to_somebody_who_exists() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "owner", "acme");
    let unknown = Rejection::not_found("principal", &"p_nobody");
    assert_eq!(env.send("p_ana", give("p_nobody", "agent", "acme")), Err(unknown));
    assert!(env.send("p_ana", give("agent_researcher", "agent", "acme")).is_ok());
}

#[test]
fn the_same_grant_of_two_tenants_keeps_both_terms() {
    let mut env = AuthorityEnv::new();
    let until = |end| Some(Timestamp(end));
    env.grant_with("steward", "op_two", "billing", "acme", until(5_000_000), None);
    env.grant_with("acme", "op_two", "billing", "acme", until(3_000_000), None);
    env.person("steward", "op_two");
    let ask = |now| env.0.authorise(&request("op_two", "budget:set", "acme"), Timestamp(now)).is_ok();
    assert!(ask(2_000_000) && ask(4_000_000) && !ask(5_000_000));
}

#[test]
fn thousands_of_grants_are_asked_at_once() {
    let mut env = AuthorityEnv::new();
    for project in 0..2_000 {
        env.grant("acme", "p_ana", "agent", &format!("acme/p{project}"));
    }
    for project in [0, 999, 1_999] {
        assert!(env.invoke("p_ana", None, &format!("acme/p{project}"), "small", 1).is_ok());
    }
    assert!(env.invoke("p_ana", None, "acme/p2000", "small", 1).is_err());
}

#[test]
fn of_many_conditional_grants_the_widest_is_asked() {
    let mut env = AuthorityEnv::new();
    for (place, dollars) in [3, 9, 5].into_iter().enumerate() {
        let cost_max = Some(NanoDollars(dollars * 1_000_000_000));
        let condition = Condition { models: vec!["small".parse().unwrap()], cost_max, ..Condition::default() };
        // Grants of one role at one scope replace each other, so each is at another level.
        let on = ["acme/support/chat", "acme/support", "acme"][place];
        env.grant_with("acme", "p_ana", "agent", on, None, Some(condition));
    }
    let costs = |dollars: u64| env.invoke("p_ana", None, "acme/support/chat", "small", dollars * 1_000_000_000).is_ok();
    assert!(costs(3) && costs(9) && !costs(10), "the widest holds, and only up to its bound");
    assert!(env.invoke("p_ana", None, "acme/support/chat", "big", 1).is_err());
}
