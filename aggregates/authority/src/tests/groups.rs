//! Groups: what they give, and who may put whom into one.

use proptest::prelude::*;
use proptest::sample::select;
use steward_events::command::{DefineGroup, JoinGroup, LeaveGroup, RemoveGroup};
use steward_events::event::Condition;
use steward_events::quantity::NanoDollars;
use steward_queries::{ExplainQuery, WhoCanQuery};

use super::*;

fn join(group: &str, member: &str) -> JoinGroup {
    JoinGroup { group: group.parse().unwrap(), member: member.parse().unwrap() }
}

fn leave(group: &str, member: &str) -> LeaveGroup {
    LeaveGroup { group: group.parse().unwrap(), member: member.parse().unwrap(), reason: String::new() }
}

fn remove(group: &str) -> RemoveGroup {
    RemoveGroup { group: group.parse().unwrap(), reason: String::new() }
}

#[test]
fn members_hold_what_their_group_holds_and_are_told_so() {
    let mut env = AuthorityEnv::new();
    let group = env.group("acme", "support", &["p_ana"]);
    env.grant("acme", &group, "developer", "acme/support");
    let allowed = env.may("p_ana", "model:invoke", "acme/support/mail").unwrap();
    assert_eq!(
        allowed.reason.to_string(),
        format!(
            "p_ana is in the group support: {group} is developer on acme/support (developer → agent permits model:invoke)"
        )
    );
    assert!(env.may("p_ana", "model:invoke", "acme").is_err(), "not beyond where the group holds it");
    assert!(env.may("p_bob", "model:invoke", "acme/support").is_err());
    let (why, _) = reason(env.may(&group, "model:invoke", "acme/support"));
    assert_eq!(why, format!("{group} is a group: its members act, and it does not"));
}

#[test]
fn rights_of_a_group_come_and_go_at_once() {
    let mut env = AuthorityEnv::new();
    let group = env.group("acme", "support", &["p_ana"]);
    let may = |env: &AuthorityEnv, who: &str| env.may(who, "model:invoke", "acme").is_ok();
    // Asked before each change, so that what was prepared must be forgotten.
    assert!(!may(&env, "p_ana") && !may(&env, "p_bob"));
    env.grant("acme", &group, "agent", "acme");
    assert!(may(&env, "p_ana") && !may(&env, "p_bob"));
    env.join("acme", &group.parse().unwrap(), "p_bob");
    assert!(may(&env, "p_bob"));
    let left = AccessEvent::GroupLeft {
        group: group.parse().unwrap(),
        member: "p_ana".parse().unwrap(),
        reason: String::new(),
    };
    fold(&mut env.0, &acme(), T0, left);
    assert!(!may(&env, "p_ana") && may(&env, "p_bob"));
    let grant = give(&group, "agent", "acme").id();
    fold(&mut env.0, &acme(), T0, AccessEvent::GrantRevoked { grant, reason: String::new() });
    assert!(!may(&env, "p_bob"));
    env.grant("acme", &group, "agent", "acme");
    assert!(may(&env, "p_bob"));
    let removed = AccessEvent::GroupRemoved { group: group.parse().unwrap(), reason: String::new() };
    fold(&mut env.0, &acme(), T0, removed);
    assert!(!may(&env, "p_bob"));
    // The same name again is another group, which holds nothing.
    assert_eq!(env.group("acme", "support", &["p_bob"]), group);
    assert!(!may(&env, "p_bob"));
}

#[test]
fn nobody_puts_anybody_into_a_group_that_holds_more() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "admin", "acme");
    let (owners, helpers) = (env.group("acme", "owners", &["p_bob"]), env.group("acme", "helpers", &[]));
    env.grant("acme", &owners, "owner", "acme");
    env.grant("acme", &helpers, "developer", "acme/support");
    for member in ["p_ana", "svc_bot"] {
        let (why, _) = reason(env.send("p_ana", join(&owners, member)));
        assert_eq!(
            why,
            "a right can be given or taken only by a principal that holds it: p_ana does not hold *:* at acme"
        );
        assert!(env.send("p_ana", join(&helpers, member)).is_ok());
        assert!(env.send("p_bob", join(&owners, member)).is_ok(), "members hold it, and may pass it on");
    }
    assert!(env.send("p_ana", leave(&owners, "p_bob")).is_err());
    assert!(env.send("p_bob", leave(&owners, "p_bob")).is_ok());
    assert!(env.send("p_ana", remove(&owners)).is_err());
    assert!(env.send("p_ana", remove(&helpers)).is_ok());
    assert!(env.send("p_ana", give(&owners, "owner", "acme")).is_err());
    assert!(env.send("p_ana", give(&helpers, "developer", "acme/support")).is_ok());
}

#[test]
fn what_a_group_gives_is_not_passed_on_by_other_ways() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "admin", "acme");
    let owners = env.group("acme", "owners", &["p_bob"]);
    env.grant("acme", &owners, "owner", "acme");
    // A key of a member, a rotation of one, or their mail address would do it.
    assert!(env.send("p_ana", issue("p_bob")).is_err());
    env.key("acme", |key| key.principal = "p_bob".parse().unwrap());
    let rotate = steward_events::command::RotateKey {
        key: "key_1".parse().unwrap(),
        successor: Some("key_2".parse().unwrap()),
        hash: KeyHash::of("y"),
        overlap: None,
    };
    assert!(env.send("p_ana", rotate.clone()).is_err());
    assert!(env.send("p_bob", rotate).is_ok());
    let disable =
        |who: &str| steward_events::command::DisableUser { principal: who.parse().unwrap(), reason: String::new() };
    assert!(env.send("p_ana", disable("p_bob")).is_err() && env.send("p_ana", disable("svc_bot")).is_ok());
}

#[test]
fn a_group_is_joined_by_somebody_who_exists_and_is_none() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "owner", "acme");
    let group = env.group("acme", "support", &[]);
    let unknown = |who: &str| Err(Rejection::not_found("principal", &who));
    assert_eq!(env.send("p_ana", join(&group, "p_nobody")), unknown("p_nobody"));
    assert_eq!(env.send("p_ana", join(&group, "agent_x")), unknown("agent_x"), "agents hold what is granted to them");
    assert!(env.send("p_ana", DefineGroup { name: "more".to_owned(), description: String::new() }).is_ok());
}

#[test]
fn a_group_of_one_tenant_is_nothing_in_another() {
    let mut env = AuthorityEnv::new();
    env.person("other", "p_ana");
    let group = env.group("other", "owners", &["p_ana"]);
    env.grant("other", &group, "owner", "other");
    env.grant("acme", &group, "owner", "acme");
    assert!(env.may("p_ana", "budget:set", "acme").is_err());
    let operators = env.group("steward", "operators", &["op_two"]);
    env.grant("steward", &operators, "owner", "*");
    env.person("steward", "op_two");
    assert!(env.may("op_two", "budget:set", "acme").is_ok(), "a group of operators holds everywhere");
    env.person("acme", "op_two");
    let mut impostor = AuthorityEnv::new();
    impostor.person("acme", "p_eve");
    impostor.group("steward", "operators", &["p_eve"]);
    impostor.grant("steward", &operators, "owner", "*");
    assert!(impostor.may("p_eve", "budget:set", "acme").is_err(), "and only for operators");
}

#[test]
fn who_may_do_something_includes_members_and_no_group() {
    let mut env = AuthorityEnv::new();
    let group = env.group("acme", "support", &["p_ana", "svc_bot"]);
    env.grant("acme", &group, "billing", "acme");
    let query =
        WhoCanQuery { permission: "budget:set".parse().unwrap(), scope: "acme/support".parse().unwrap(), at: None };
    let who: Vec<String> =
        env.0.who_can(&acme(), &query, T1).principals.into_iter().map(|may| may.principal.to_string()).collect();
    assert_eq!(who, ["op_root", "p_ana", "svc_bot"]);
    let explain = ExplainQuery {
        principal: group.parse().unwrap(),
        permission: "budget:set".parse().unwrap(),
        scope: "acme".parse().unwrap(),
        at: None,
        address: None,
    };
    assert!(!env.0.explain(&acme(), &explain, T1).allowed);
}

#[test]
fn a_groups_condition_binds_its_members() {
    let mut env = AuthorityEnv::new();
    let group = env.group("acme", "support", &["p_ana"]);
    let condition =
        Condition { models: vec!["small".parse().unwrap()], cost_max: Some(NanoDollars(10)), ..Condition::default() };
    env.grant_with("acme", &group, "agent", "acme", None, Some(condition));
    assert!(env.invoke("p_ana", None, "acme", "small", 10).is_ok());
    let (why, _) = reason(env.invoke("p_ana", None, "acme", "large", 10));
    assert_eq!(why, format!("p_ana is in the group support: {group} is agent on acme holds only for small"));
}

/// Who holds what, as made up: some of it through groups.
#[derive(Clone, Debug)]
struct Company {
    grants: Vec<(usize, &'static str, &'static str)>,
    members: Vec<(usize, usize)>,
}

const PEOPLE: [&str; 3] = ["p_ana", "p_bob", "svc_bot"];

fn company() -> impl Strategy<Value = Company> {
    // The first three are people, the others groups.
    let grant =
        (0..6_usize, select(vec!["agent", "billing", "developer", "admin"]), select(vec!["acme", "acme/a", "acme/b"]));
    let grants = proptest::collection::vec(grant, 0..8);
    (grants, proptest::collection::vec((0..3_usize, 0..3_usize), 0..6))
        .prop_map(|(grants, members)| Company { grants, members })
}

proptest! {
    /// To hold something through groups is to hold it.
    #[test]
    fn a_group_is_as_good_as_its_grants_to_each_member(company in company()) {
        let (mut grouped, mut flat) = (AuthorityEnv::new(), AuthorityEnv::new());
        let groups: Vec<String> = ["a", "b", "c"].iter().map(|name| grouped.group("acme", name, &[])).collect();
        for (group, member) in &company.members {
            grouped.join("acme", &groups[*group].parse().unwrap(), PEOPLE[*member]);
        }
        for (to, role, on) in &company.grants {
            match to.checked_sub(3) {
                None => {
                    grouped.grant("acme", PEOPLE[*to], role, on);
                    flat.grant("acme", PEOPLE[*to], role, on);
                }
                Some(group) => {
                    grouped.grant("acme", &groups[group], role, on);
                    for (_, member) in company.members.iter().filter(|(of, _)| *of == group) {
                        flat.grant("acme", PEOPLE[*member], role, on);
                    }
                }
            }
        }
        for who in PEOPLE {
            for what in ["model:invoke", "budget:set", "grant:give", "agent:define"] {
                for on in ["acme", "acme/a", "acme/b/x"] {
                    let of = |env: &AuthorityEnv| env.may(who, what, on).is_ok();
                    prop_assert_eq!(of(&grouped), of(&flat), "{} {} {}", who, what, on);
                }
            }
            for role in ["agent", "admin", "owner"] {
                let of = |env: &AuthorityEnv| env.send(who, give("p_ana", role, "acme/a")).is_ok();
                prop_assert_eq!(of(&grouped), of(&flat), "{} gives {}", who, role);
            }
        }
    }
}
