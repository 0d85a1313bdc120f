//! Keys: what they narrow, when they end, and what is made with them.

use steward_events::command::{GiveGrant, IssueKey, RevokeKey, SubmitTask};
use steward_events::event::{Condition, KeyHash};
use steward_events::permission::Permission;
use steward_events::quantity::NanoDollars;
use steward_events::scope::Scope;
use steward_events::sender::SESSION_TIME_MAX;

use super::*;

#[test]
fn a_key_narrows_its_principal() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "agent", "acme");
    env.key("acme", |key| {
        key.scope = Some("acme/support".parse().unwrap());
        key.models = vec!["small".parse().unwrap()];
    });
    assert!(env.invoke("p_ana", Some("key_1"), "acme/support", "small", 1).is_ok());
    let (why, _) = reason(env.invoke("p_ana", Some("key_1"), "acme", "small", 1));
    assert_eq!(why, "the key reaches acme/support and below, not acme");
    let (why, help) = reason(env.invoke("p_ana", Some("key_1"), "acme/support", "large", 1));
    assert_eq!(why, "the key is only for small");
    assert_eq!(help, "steward key issue p_ana --model large");
    let (why, _) = reason(env.invoke("p_bob", Some("key_1"), "acme/support", "small", 1));
    assert_eq!(why, "p_bob has no key key_1 in tenant acme");
    assert!(env.may("key_1", "task:submit", "acme/support").is_ok(), "a key's id stands for its narrowed principal");
    assert!(env.may("key_1", "task:submit", "acme").is_err());
}

#[test]
fn revoked_and_expired_keys_neither_open_nor_allow() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "agent", "acme");
    let secret = env.key("acme", |key| key.expires = Some(T1));
    assert_eq!(env.0.authenticate(&secret, T0).unwrap().principal.as_str(), "p_ana");
    assert_eq!(env.0.authenticate(&secret, T1), None);
    let (why, _) = reason(env.invoke("p_ana", Some("key_1"), "acme", "small", 1));
    assert_eq!(why, "the key was revoked or has expired");
    let revoked = IdentityEvent::KeyRevoked { key: "key_1".parse().unwrap(), reason: "lost".to_owned() };
    fold(&mut env.0, &acme(), T0, revoked);
    assert_eq!(env.0.authenticate(&secret, T0), None);
    assert!(env.0.has_known(&secret) && !env.0.has_known(&format!("{secret}x")));
}

#[test]
fn a_secret_opens_only_the_tenant_it_names() {
    let mut env = AuthorityEnv::new();
    let secret = env.key("acme", |_| {});
    env.key("other", |key| {
        key.hash = KeyHash::of(&secret);
        key.principal = "p_eve".parse().unwrap();
    });
    assert_eq!(env.0.authenticate(&secret, T0).unwrap().tenant, acme());
    for wrong in ["", "stw_", "stw_acme", "stw_acme_x", "stw_nope_x", "x"] {
        assert_eq!(env.0.authenticate(wrong, T0), None, "{wrong}");
    }
}

#[test]
fn a_key_of_another_tenant_is_refused_despite_equal_names() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "owner", "acme");
    env.key("acme", |_| {});
    env.person("other", "p_ana");
    let secret = env.key("other", |_| {});
    let holder = env.0.authenticate(&secret, T0).unwrap();
    let request = AccessRequest { key: Some(holder.key_ref()), ..request("p_ana", "budget:set", "acme") };
    let (why, _) = reason(env.0.authorise_holder(&holder, &request, T0));
    assert_eq!(why, "the key key_1 belongs to tenant other");
}

#[test]
fn an_agent_has_only_the_rights_its_invoker_shares() {
    let mut env = AuthorityEnv::new();
    env.key("acme", |key| {
        key.agent = Some("researcher".parse().unwrap());
        key.task = Some("t_1".parse().unwrap());
    });
    assert!(env.invoke("p_ana", Some("key_1"), "acme", "small", 1).is_err(), "the invoker may not");
    env.grant("acme", "p_ana", "owner", "acme");
    let allowed = env.invoke("p_ana", Some("key_1"), "acme", "small", 1).unwrap();
    assert!(
        allowed.reason.to_string().ends_with("acting through agent_researcher, which may too"),
        "{}",
        allowed.reason
    );
    let with_key = AccessRequest {
        key: Some(KeyRef { tenant: acme(), key: "key_1".parse().unwrap() }),
        ..request("p_ana", "budget:set", "acme")
    };
    assert!(env.0.authorise(&with_key, T1).is_err(), "the agent may not");
    env.grant("acme", "agent_researcher", "billing", "acme");
    assert!(env.0.authorise(&with_key, T1).is_ok());
}

#[test]
fn an_issued_key_carries_no_more_than_its_issuer_holds() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "developer", "acme");
    env.grant("acme", "p_bob", "owner", "acme");
    env.grant("acme", "svc_bot", "agent", "acme/support");
    assert!(env.send("p_ana", issue("svc_bot")).is_ok());
    assert!(env.send("p_ana", issue("p_ana")).is_ok());
    assert!(env.send("p_ana", issue("p_bob")).is_err());
    assert!(env.send("p_bob", issue("p_ana")).is_ok());
    let elsewhere = IssueKey { scope: Some("acme/sales".parse().unwrap()), ..issue("svc_bot") };
    assert!(env.send("p_ana", elsewhere).is_ok(), "there it can do nothing");
}

#[test]
fn a_narrowed_key_passes_nothing_on() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "owner", "acme");
    env.key("acme", |key| key.models = vec!["small".parse().unwrap()]);
    assert!(env.send("p_ana", give("p_bob", "agent", "acme")).is_ok());
    assert!(env.send("key_1", give("p_bob", "agent", "acme")).is_err());
}

#[test]
fn who_could_call_no_model_at_all_is_told_before_a_request() {
    let mut env = AuthorityEnv::new();
    let condition =
        Condition { models: vec!["small".parse().unwrap()], cost_max: Some(NanoDollars(5)), ..Condition::default() };
    env.grant_with("acme", "p_ana", "agent", "acme", Some(T1), Some(condition));
    env.grant("acme", "p_bob", "billing", "acme");
    let mut holder = |who: &str| {
        let change = |issue: &mut IssueKey| {
            (issue.key, issue.principal) = (Some(format!("key_{who}").parse().unwrap()), who.parse().unwrap());
        };
        let secret = env.key("acme", change);
        env.0.authenticate(&secret, T0).unwrap()
    };
    let (ana, bob) = (holder("p_ana"), holder("p_bob"));
    let invoke = Permission::model_invoke();
    assert_eq!(env.0.may_ever(&ana, &invoke, T0), Ok(()), "for some model, at some cost");
    assert!(env.0.may_ever(&ana, &invoke, T1).is_err(), "the grant is over");
    assert!(matches!(env.0.may_ever(&bob, &invoke, T0), Err(Rejection::Forbidden { .. })));
    env.suspend();
    assert!(matches!(env.0.may_ever(&ana, &invoke, T0), Err(Rejection::Suspended { .. })));
}

#[test]
fn a_key_makes_no_key_that_is_more() {
    type Change = fn(&mut IssueKey);
    let end = Some(Timestamp(9_000_000));
    let own: [(&str, Change); 4] = [
        ("scope", |key| key.scope = Some("acme/support".parse().unwrap())),
        ("models", |key| {
            (key.models, key.permissions) = (models(&["small", "mid"]), patterns(&["key:issue", "task:*"]));
        }),
        ("end", |key| key.expires = Some(Timestamp(9_000_000))),
        ("permissions", |key| key.permissions = patterns(&["key:issue", "budget:*"])),
    ];
    let support: Option<Scope> = Some("acme/support".parse().unwrap());
    let new = |scope: &Option<Scope>, names: &[&str], expires, permissions: &[&str]| IssueKey {
        scope: scope.clone(),
        models: models(names),
        expires,
        permissions: patterns(permissions),
        ..issue("p_ana")
    };
    let below: Option<Scope> = Some("acme/support/mail".parse().unwrap());
    for (what, change) in own {
        let env = with_key(change);
        let (good, bad): (Vec<IssueKey>, Vec<IssueKey>) = match what {
            "scope" => (
                vec![new(&support, &[], None, &[]), new(&below, &["small"], end, &[])],
                vec![new(&None, &[], None, &[]), new(&Some("acme/sales".parse().unwrap()), &[], None, &[])],
            ),
            "models" => (
                vec![new(&None, &["small"], None, &["task:submit"]), new(&None, &["mid", "small"], None, &["task:*"])],
                vec![
                    new(&None, &[], None, &["task:submit"]),
                    new(&None, &["small", "large"], None, &["task:submit"]),
                    new(&None, &["small"], None, &[]),
                    new(&None, &["small"], None, &["budget:set"]),
                ],
            ),
            "end" => (
                vec![new(&None, &[], end, &[]), new(&support, &[], Some(Timestamp(8_000_000)), &[])],
                vec![new(&None, &[], None, &[]), new(&None, &[], Some(Timestamp(9_000_001)), &[])],
            ),
            _ => (
                vec![new(&None, &[], None, &["budget:set"]), new(&None, &["small"], None, &["budget:*", "key:issue"])],
                vec![
                    new(&None, &[], None, &[]),
                    new(&None, &["small"], None, &[]),
                    new(&None, &[], None, &["budget:set", "key:revoke"]),
                    new(&None, &[], None, &["*:set"]),
                ],
            ),
        };
        for key in good {
            assert!(env.send("key_1", key.clone()).is_ok(), "{what}: {key:?}");
            assert!(env.send("key_1", IssueKey { principal: "svc_bot".parse().unwrap(), ..key }).is_ok(), "{what}");
        }
        for key in bad {
            assert!(env.send("key_1", key.clone()).is_err(), "{what}: {key:?}");
            assert!(env.send("key_1", IssueKey { principal: "svc_bot".parse().unwrap(), ..key }).is_err(), "{what}");
        }
    }
}

#[test]
fn a_key_that_ends_hands_on_nothing_that_lasts() {
    let end = Timestamp(9_000_000);
    let env = with_key(|key| key.expires = Some(end));
    assert!(env.send("key_1", give("p_bob", "agent", "acme")).is_err());
    assert!(env.send("key_1", GiveGrant { expires: Some(end), ..give("p_bob", "agent", "acme") }).is_ok());
    assert!(
        env.send("key_1", GiveGrant { expires: Some(Timestamp(end.0 + 1)), ..give("p_bob", "agent", "acme") }).is_err()
    );
}

#[test]
fn a_key_that_names_models_is_for_calls_and_own_tasks() {
    let env = with_key(|key| key.models = models(&["small"]));
    assert!(env.invoke("p_ana", Some("key_1"), "acme", "small", 1).is_ok());
    for may in ["task:submit", "task:list", "task:show"] {
        assert!(env.may("key_1", may, "acme").is_ok(), "{may}");
    }
    for may_not in ["task:cancel", "budget:set", "agent:define", "key:issue", "user:disable", "history:replay"] {
        let (why, _) = reason(env.may("key_1", may_not, "acme"));
        assert_eq!(why, "the key names models, so it is only for calls and its holder's own tasks", "{may_not}");
    }
    let env = with_key(|key| (key.models, key.permissions) = (models(&["small"]), patterns(&["budget:*"])));
    assert!(env.may("key_1", "budget:set", "acme").is_ok());
    assert_eq!(reason(env.may("key_1", "task:submit", "acme")).0, "the key is only for budget:*");
    assert!(env.invoke("p_ana", Some("key_1"), "acme", "small", 1).is_err());
}

#[test]
fn a_key_is_looked_up_where_its_holder_is() {
    let mut env = AuthorityEnv::new();
    env.key("steward", |key| (key.principal, key.scope) = ("op_root".parse().unwrap(), Some("*".parse().unwrap())));
    env.key("acme", |key| key.principal = "svc_bot".parse().unwrap());
    env.grant("acme", "p_ana", "owner", "acme");
    assert!(env.may("op_key_1", "budget:set", "acme").is_ok(), "acme's key of the same id takes nothing from it");
    assert!(env.may("key_1", "budget:set", "acme").is_err(), "and gets nothing by it");
    let allowed = env.may("op_key_1", "budget:set", "acme").unwrap();
    assert_eq!((allowed.principal.as_str(), allowed.key.unwrap().tenant), ("op_root", TenantId::steward()));
    // A person of steward is nobody elsewhere, whoever has the same id there.
    env.person("steward", "p_ana");
    env.key("steward", |key| key.scope = Some("*".parse().unwrap()));
    assert!(env.may("op_key_1", "budget:set", "acme").is_err());
}

#[test]
fn nobody_revokes_a_key_of_somebody_who_holds_more() {
    let mut env = with_key(|_| {});
    env.grant("acme", "p_bob", "admin", "acme");
    let revoke = RevokeKey { key: "key_1".parse().unwrap(), reason: String::new() };
    assert!(env.send("p_bob", revoke.clone()).is_err());
    assert!(env.send("p_ana", revoke.clone()).is_ok());
    env.key("acme", |key| key.principal = "svc_bot".parse().unwrap());
    assert!(env.send("p_bob", revoke.clone()).is_ok());
    let unknown = RevokeKey { key: "key_2".parse().unwrap(), ..revoke };
    assert!(env.send("p_bob", unknown).is_ok(), "that there is none is said where it is decided");
}

#[test]
fn a_key_is_revoked_where_it_reaches() {
    let mut env = with_key(|key| {
        (key.principal, key.scope) = ("svc_bot".parse().unwrap(), Some("acme/support".parse().unwrap()));
    });
    env.person("acme", "p_sup");
    let revoke = || RevokeKey { key: "key_1".parse().unwrap(), reason: String::new() };
    env.grant("acme", "p_bob", "admin", "acme/sales");
    assert!(env.send("p_bob", revoke()).is_err());
    env.grant("acme", "p_sup", "admin", "acme/support");
    assert!(env.send("p_sup", revoke()).is_ok());
    env.key("acme", |key| key.principal = "svc_bot".parse().unwrap());
    assert!(env.send("p_sup", revoke()).is_err(), "it reaches the whole tenant");
}

#[test]
fn a_tasks_key_ends_with_the_one_that_submitted_it() {
    let mut env = with_key(|_| {});
    let revoked = |key: &str| IdentityEvent::KeyRevoked { key: key.parse().unwrap(), reason: String::new() };
    let parent = |key: &str| Some(KeyRef { tenant: acme(), key: key.parse().unwrap() });
    for (child, of) in [("key_2", "key_1"), ("key_3", "key_2")] {
        env.key("acme", |key| {
            (key.key, key.hash) = (Some(child.parse().unwrap()), KeyHash::of(child));
            (key.task, key.parent) = (Some("t_1".parse().unwrap()), parent(of));
        });
    }
    assert!(env.invoke("p_ana", Some("key_3"), "acme", "small", 1).is_ok());
    let for_task = |of: &str| IssueKey {
        task: Some("t_1".parse().unwrap()),
        models: models(&["small"]),
        parent: parent(of),
        ..issue("p_ana")
    };
    assert!(env.send("sys_worker", for_task("key_1")).is_ok());
    assert!(env.send("sys_worker", for_task("key_9")).is_err());
    assert!(env.send("sys_worker", IssueKey { principal: "p_bob".parse().unwrap(), ..for_task("key_1") }).is_err());
    fold(&mut env.0, &acme(), T0, revoked("key_1"));
    for key in ["key_1", "key_2", "key_3"] {
        let (why, _) = reason(env.invoke("p_ana", Some(key), "acme", "small", 1));
        assert_eq!(why, "the key was revoked or has expired", "{key}");
        assert!(env.send("sys_worker", for_task(key)).is_err(), "{key}");
    }
}

#[test]
fn a_task_is_submitted_only_by_a_key_that_may_call_its_model() {
    let submit = || {
        let body = r#"{"agent":"researcher","input":{"prompt":"why"},"scope":"acme/support"}"#;
        serde_json::from_str::<SubmitTask>(body).unwrap()
    };
    let spec = r#"{"model":"large","instructions":""}"#;
    let defined = AgentEvent::Defined {
        agent: "researcher".parse().unwrap(),
        revision: 1,
        spec: serde_json::from_str(spec).unwrap(),
    };
    for (names, permissions, may) in [
        (vec![], vec![], true),
        (vec!["large", "small"], vec![], true),
        (vec!["small"], vec![], false),
        (vec![], vec!["task:submit"], false),
        (vec![], vec!["task:submit", "model:invoke"], true),
    ] {
        let mut env = with_key(|key| (key.models, key.permissions) = (models(&names), patterns(&permissions)));
        fold(&mut env.0, &acme(), T0, defined.clone());
        let sent = env.send("key_1", submit());
        assert_eq!(sent.is_ok(), may, "{names:?} {permissions:?}: {sent:?}");
    }
}

#[test]
fn under_its_name_a_principal_speaks_through_a_key_that_works() {
    let mut env = with_key(|_| {});
    let allowed = env.may("p_ana", "budget:set", "acme").unwrap();
    assert_eq!(allowed.key.unwrap().key.as_str(), "key_1", "it can be no other");
    env.key("acme", |key| (key.key, key.hash) = (Some("key_2".parse().unwrap()), KeyHash::of("2")));
    assert_eq!(env.may("p_ana", "budget:set", "acme").unwrap().key, None, "it can be either");
    let revoked = IdentityEvent::KeyRevoked { key: "key_1".parse().unwrap(), reason: String::new() };
    fold(&mut env.0, &acme(), T0, revoked);
    let (why, help) = reason(env.send("p_ana", issue("p_ana")));
    assert_eq!(why, "a key of p_ana was revoked a moment ago, and this may come by it");
    assert_eq!(help, "send it as your key, e.g. cmd.<tenant>.key_2.<noun>.<verb>");
    assert!(env.send("p_ana", give("p_bob", "agent", "acme")).is_err());
    assert!(
        env.send("key_2", give("p_bob", "agent", "acme")).is_ok() && env.may("p_ana", "budget:set", "acme").is_ok()
    );
    let revoked = IdentityEvent::KeyRevoked { key: "key_2".parse().unwrap(), reason: String::new() };
    fold(&mut env.0, &acme(), T0, revoked);
    let (why, _) = reason(env.may("p_ana", "budget:set", "acme"));
    assert_eq!(why, "the key of p_ana was revoked, and this may come by it");
    let later = T0.plus(2 * SESSION_TIME_MAX);
    assert!(env.0.authorise(&request("p_ana", "budget:set", "acme"), later).is_ok(), "no connection is that old");
}
