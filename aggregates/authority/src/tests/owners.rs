//! Service accounts and their owners; people who come back.

use steward_events::command::{DisableUser, EnableUser, SetOwner, SetUser};
use steward_events::event::Profile;
use steward_events::sealed::Content;
use steward_queries::ExplainQuery;

use super::*;

fn owned(env: &mut AuthorityEnv, owner: &str) {
    let event = IdentityEvent::OwnerSet { account: "svc_bot".parse().unwrap(), owner: owner.parse().unwrap() };
    fold(&mut env.0, &acme(), T0, event);
}

fn enable(env: &mut AuthorityEnv, who: &str) {
    let event = IdentityEvent::UserEnabled { principal: who.parse().unwrap(), reason: String::new() };
    fold(&mut env.0, &acme(), T0, event);
}

#[test]
fn an_account_acts_only_while_its_owner_may() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "svc_bot", "agent", "acme");
    let secret = env.key("acme", |key| key.principal = "svc_bot".parse().unwrap());
    let acts = |env: &AuthorityEnv| {
        (env.may("svc_bot", "model:invoke", "acme").is_ok(), env.0.authenticate(&secret, T1).is_some())
    };
    assert_eq!(acts(&env), (true, true), "nobody needs to own it");
    owned(&mut env, "p_ana");
    assert_eq!(acts(&env), (true, true));
    env.disable("p_ana");
    assert_eq!(acts(&env), (false, false));
    let (why, help) = reason(env.may("svc_bot", "model:invoke", "acme"));
    assert_eq!(why, "svc_bot may act only while its owner p_ana may, who is disabled");
    assert_eq!(help, "steward account set-owner svc_bot PERSON");
    let told = env.0.ownerless(&secret, T1).unwrap();
    assert!(told.to_string().contains("its owner p_ana"), "{told}");
    let explain = ExplainQuery {
        principal: "svc_bot".parse().unwrap(),
        permission: "model:invoke".parse().unwrap(),
        scope: "acme".parse().unwrap(),
        at: None,
        address: None,
    };
    assert_eq!(env.0.explain(&acme(), &explain, T1).reason, why);
    owned(&mut env, "p_bob");
    assert_eq!(acts(&env), (true, true), "another owner answers for it");
    owned(&mut env, "p_ana");
    enable(&mut env, "p_ana");
    assert_eq!(acts(&env), (true, true), "the owner came back");
    assert_eq!(env.0.ownerless(&secret, T1), None);
}

#[test]
fn who_sets_an_owner_holds_what_the_account_holds() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "admin", "acme");
    env.grant("acme", "svc_bot", "owner", "acme");
    let set = SetOwner { account: "svc_bot".parse().unwrap(), owner: "p_bob".parse().unwrap() };
    assert!(env.send("p_ana", set.clone()).is_err(), "its owner could be disabled, or bring it back");
    env.grant("acme", "p_ana", "owner", "acme");
    assert!(env.send("p_ana", set).is_ok());
}

#[test]
fn disabling_and_enabling_reach_the_accounts_that_are_owned() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "admin", "acme");
    let disable = || DisableUser { principal: "p_bob".parse().unwrap(), reason: String::new() };
    let enable = || EnableUser { principal: "p_bob".parse().unwrap(), reason: String::new() };
    assert!(env.send("p_ana", disable()).is_ok() && env.send("p_ana", enable()).is_ok());
    env.grant("acme", "svc_bot", "owner", "acme");
    owned(&mut env, "p_bob");
    assert!(env.send("p_ana", disable()).is_err(), "it would stop an account that holds more");
    assert!(env.send("p_ana", enable()).is_err());
}

#[test]
fn who_comes_back_holds_what_they_held_and_no_revoked_key() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "agent", "acme");
    let secret = env.key("acme", |_| {});
    env.disable("p_ana");
    assert_eq!(env.0.authenticate(&secret, T1), None);
    enable(&mut env, "p_ana");
    assert!(env.0.authenticate(&secret, T1).is_some() && env.may("p_ana", "model:invoke", "acme").is_ok());
    let revoked = IdentityEvent::KeyRevoked { key: "key_1".parse().unwrap(), reason: String::new() };
    fold(&mut env.0, &acme(), T0, revoked);
    env.disable("p_ana");
    enable(&mut env, "p_ana");
    assert_eq!(env.0.authenticate(&secret, T1), None);
}

#[test]
fn only_who_holds_as_much_changes_anothers_profile() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "admin", "acme");
    let set = |who: &str| SetUser {
        principal: who.parse().unwrap(),
        profile: Content::Plain(Profile { email: "ana@acme.example".to_owned(), name: String::new() }),
    };
    assert!(env.send("p_ana", set("p_bob")).is_ok());
    env.grant("acme", "p_bob", "owner", "acme");
    assert!(env.send("p_ana", set("p_bob")).is_err(), "who has another's mail address signs in as them");
    assert!(env.send("p_bob", set("p_bob")).is_ok());
}
