//! What stops when a tenant is suspended or a principal disabled, and what does not.

use steward_events::command::{DisableUser, EraseUser, RenewLease};

use super::*;

#[test]
fn a_disabled_principal_may_nothing() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "owner", "acme");
    let secret = env.key("acme", |_| {});
    let disabled = IdentityEvent::UserDisabled { principal: "p_ana".parse().unwrap(), reason: "left".to_owned() };
    fold(&mut env.0, &acme(), T0, disabled);
    assert_eq!(env.0.authenticate(&secret, T0), None);
    let (why, _) = reason(env.may("p_ana", "budget:set", "acme"));
    assert_eq!(why, "p_ana is disabled: left");
}

#[test]
fn a_suspended_tenant_can_only_be_resumed_by_operators() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "owner", "acme");
    env.suspend();
    let refused = Err(Rejection::Suspended { tenant: acme(), reason: "unpaid".to_owned() });
    assert_eq!(env.may("p_ana", "tenant:resume", "acme"), refused);
    assert_eq!(env.may("p_ana", "model:invoke", "acme"), refused);
    assert_eq!(env.may("op_root", "budget:set", "acme"), refused);
    assert!(env.may("op_root", "tenant:resume", "acme").is_ok());
    assert_eq!(env.may("p_ana", "key:issue", "acme"), refused);
    assert_eq!(env.0.suspended(&acme()), Some("unpaid"));
}

/// A suspended tenant is looked into by those who look into it otherwise, and nobody does anything there.
#[test]
fn a_suspended_tenant_can_be_audited() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "auditor", "acme");
    env.suspend();
    for query in ["history:replay", "audit:verify", "audit:commits", "checkpoint:request", "access:explain"] {
        assert!(env.may("p_ana", query, "acme").is_ok(), "{query}");
        assert!(env.may("op_root", query, "acme").is_ok(), "{query}");
        assert!(env.may("p_ben", query, "acme").is_err(), "{query}");
    }
    assert!(env.may("op_root", "key:list", "acme").is_ok());
    for spec in steward_events::command::COMMANDS {
        let (what, words) = (spec.permission(), format!("{}:{}", spec.noun, spec.verb));
        let stays =
            ["tenant:resume", "tenant:erase", "tenant:cancel-erase", "checkpoint:request"].contains(&words.as_str());
        assert_eq!(env.may("op_root", what.as_str(), "acme").is_ok(), stays, "{words}");
    }
}

#[test]
fn only_operators_erase_a_tenant() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "owner", "acme");
    for what in ["tenant:erase", "tenant:cancel-erase"] {
        let (why, _) = reason(env.may("p_ana", what, "acme"));
        assert_eq!(why, format!("only operators may use {what}"));
        assert!(env.may("op_root", what, "acme").is_ok());
    }
}

#[test]
fn nobody_erases_somebody_who_holds_more() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "admin", "acme");
    env.grant("acme", "p_bob", "owner", "acme");
    let erase = |who: &str| EraseUser { principal: who.parse().unwrap(), reason: String::new() };
    assert!(env.send("p_ana", erase("p_ana")).is_ok());
    assert!(env.send("p_ana", erase("p_bob")).is_err());
}

#[test]
fn nobody_disables_somebody_who_holds_more() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "admin", "acme");
    env.grant("acme", "p_bob", "owner", "acme");
    let disable = |who: &str| DisableUser { principal: who.parse().unwrap(), reason: String::new() };
    assert!(env.send("p_ana", disable("svc_bot")).is_ok());
    assert!(env.send("p_ana", disable("p_ana")).is_ok());
    assert!(env.send("p_ana", disable("p_bob")).is_err());
}

#[test]
fn while_suspended_steward_records_and_makes_nothing_more_possible() {
    let mut env = AuthorityEnv::new();
    env.suspend();
    assert!(env.may("sys_gateway", "lease:grant", "acme").is_err());
    assert!(env.may("sys_worker", "task:claim", "acme").is_err());
    assert!(env.may("sys_worker", "lease:end", "acme").is_ok());
    assert!(env.may("sys_worker", "task:finish-step", "acme").is_ok());
    let renew = |request: &str| {
        let zero = r#"{"calls":0,"tokens":0,"money":"$0"}"#;
        let body = format!(
            r#"{{"lease":{{"holder":"h1","number":1}},"turn":1,"through":0,"used_total":{zero},"late_total":{zero},
                "keep_total":{zero}{request}}}"#
        );
        serde_json::from_str::<RenewLease>(&body).unwrap()
    };
    assert!(env.send("sys_gateway", renew("")).is_ok());
    let zero = r#"{"calls":1,"tokens":0,"money":"$0"}"#;
    let more =
        format!(r#","request":{{"call":"c1","need":{zero},"need_min":{zero},"whole_min":{zero},"want":{zero}}}"#);
    assert!(matches!(env.send("sys_gateway", renew(&more)), Err(Rejection::Suspended { .. })));
}
