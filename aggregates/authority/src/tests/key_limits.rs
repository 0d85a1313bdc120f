//! From where and when keys may be used, and keys that replace others.

use std::net::IpAddr;

use steward_events::command::RotateKey;
use steward_events::event::{AddressRange, OpenHours};
use steward_queries::ExplainQuery;

use super::*;

/// 2026-11-27, a Friday, at noon.
fn noon() -> Timestamp {
    "2026-11-27T12:00:00Z".parse().unwrap()
}

fn evening() -> Timestamp {
    "2026-11-27T19:30:00Z".parse().unwrap()
}

fn office() -> Vec<OpenHours> {
    vec!["Mon-Fri 08:00-18:00 UTC".parse().unwrap()]
}

fn intranet() -> Vec<AddressRange> {
    vec!["10.0.0.0/8".parse().unwrap()]
}

#[allow(clippy::unnecessary_wraps)] // an address is not always known
fn at(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn a_key_is_admitted_from_its_addresses_only() {
    let mut env = with_key(|key| key.addresses = intranet());
    let holder = |env: &AuthorityEnv| env.0.authenticate(&format!("stw_acme_{}", "a".repeat(26)), T1).unwrap();
    let admit = |env: &AuthorityEnv, address| env.0.admit(&holder(env), address, T1);
    assert_eq!(admit(&env, at("10.1.2.3")), Ok(()));
    assert_eq!(admit(&env, at("::ffff:10.1.2.3")), Ok(()));
    let refused = |outcome: Result<(), Rejection>| reason(outcome.map(|()| unreachable!("it is refused")));
    let (why, _) = refused(admit(&env, at("192.0.2.7")));
    assert_eq!(why, "the key may be used only from 10.0.0.0/8, and this comes from 192.0.2.7");
    let (why, _) = refused(admit(&env, None));
    assert!(why.contains("the proxy in front must say it"), "{why}");
    assert!(env.may("key_1", "budget:set", "acme").is_ok(), "who decides does not know the address");
    env.key("acme", |key| key.key = Some("key_2".parse().unwrap()));
    assert_eq!(admit(&env, None), Ok(()), "a key without addresses is used from everywhere");
}

#[test]
fn outside_of_its_hours_a_key_is_good_for_nothing() {
    let env = with_key(|key| key.hours = office());
    let ask = |now| env.0.authorise(&request("key_1", "budget:set", "acme"), now);
    assert!(ask(noon()).is_ok());
    let (why, _) = reason(ask(evening()));
    assert_eq!(why, "the key may be used only Mon-Fri 08:00-18:00 UTC, and it is 2026-11-27T19:30:00Z");
    let named = KeyRef { tenant: acme(), key: "key_1".parse().unwrap() };
    assert!(env.0.is_out_of_hours(&named, evening()) && !env.0.is_out_of_hours(&named, noon()));
    assert_eq!(env.0.ended(&named, &"p_ana".parse().unwrap(), &acme(), evening()), None, "it goes on tomorrow");
}

#[test]
fn what_a_key_made_is_bound_to_its_hours_too() {
    let mut env = with_key(|key| key.hours = office());
    env.key("acme", |key| {
        key.key = Some("key_task".parse().unwrap());
        key.hash = KeyHash::of("task");
        key.task = Some("t_1".parse().unwrap());
        key.parent = Some(KeyRef { tenant: acme(), key: "key_1".parse().unwrap() });
    });
    let ask = |now| env.0.authorise(&request("key_task", "model:invoke", "acme"), now).is_ok();
    assert!(ask(noon()) && !ask(evening()));
}

#[test]
fn an_explanation_tells_the_address_that_would_do() {
    let env = with_key(|key| key.addresses = intranet());
    let explain = |address| {
        let query = ExplainQuery {
            principal: "key_1".parse().unwrap(),
            permission: "budget:set".parse().unwrap(),
            scope: "acme".parse().unwrap(),
            at: None,
            address,
        };
        env.0.explain(&acme(), &query, T1)
    };
    assert!(explain(at("10.1.2.3")).allowed && explain(None).allowed);
    assert_eq!(
        explain(at("192.0.2.7")).reason,
        "the key may be used only from 10.0.0.0/8, and this comes from 192.0.2.7"
    );
}

#[test]
fn a_bound_key_makes_none_that_is_less_bound() {
    let env = with_key(|key| (key.addresses, key.hours) = (intranet(), office()));
    let asks = |addresses: &[&str], hours: &[&str]| {
        let issue = IssueKey {
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            hours: hours.iter().map(|text| text.parse().unwrap()).collect(),
            ..issue("svc_bot")
        };
        env.0.may_send(&acme(), &"key_1".parse().unwrap(), &issue.into(), None, noon())
    };
    assert!(asks(&["10.2.0.0/16"], &["Tue 09:00-10:00 UTC"]).is_ok());
    for (addresses, hours) in [
        (&[][..], &["Tue 09:00-10:00 UTC"][..]),
        (&["10.2.0.0/16"], &[]),
        (&["10.2.0.0/16", "192.0.2.7"], &["Tue 09:00-10:00 UTC"]),
        (&["10.2.0.0/16"], &["Sat 09:00-10:00 UTC"]),
        // The tenant's time zone is Berlin's.
        (&["10.2.0.0/16"], &["Tue 09:00-10:00"]),
    ] {
        let (why, _) = reason(asks(addresses, hours));
        assert!(why.starts_with("your key may be used only"), "{addresses:?} {hours:?}: {why}");
    }
}

fn rotate(key: &str) -> RotateKey {
    RotateKey {
        key: key.parse().unwrap(),
        successor: Some("key_9".parse().unwrap()),
        hash: KeyHash::of("z"),
        overlap: None,
    }
}

#[test]
fn a_key_replaces_none_that_is_more_than_itself() {
    let mut env = with_key(|_| {});
    env.key("acme", |key| {
        key.key = Some("key_small".parse().unwrap());
        key.hash = KeyHash::of("small");
        key.scope = Some("acme/support".parse().unwrap());
    });
    assert!(env.send("key_1", rotate("key_small")).is_ok() && env.send("key_1", rotate("key_1")).is_ok());
    assert!(env.send("key_small", rotate("key_small")).is_ok(), "its own place");
    let (why, _) = reason(env.send("key_small", rotate("key_1")));
    assert!(why.contains("acme/support"), "{why}");
}

#[test]
fn the_old_and_the_new_key_both_work_until_the_old_one_ends() {
    let mut env = with_key(|_| {});
    let until = Timestamp(T1.0 + 1_000);
    let replaced = IdentityEvent::KeyReplaced { key: "key_1".parse().unwrap(), by: "key_9".parse().unwrap(), until };
    let holder = env.0.authenticate(&format!("stw_acme_{}", "a".repeat(26)), T1).unwrap();
    assert!(holder.whole);
    fold(&mut env.0, &acme(), T0, replaced);
    let ask = |now| env.0.authorise(&request("key_1", "budget:set", "acme"), now).is_ok();
    assert!(ask(T1) && !ask(until));
    let holder = env.0.authenticate(&format!("stw_acme_{}", "a".repeat(26)), T1).unwrap();
    assert!(!holder.whole && holder.expires == Some(until), "what ends speaks under its own name");
}
