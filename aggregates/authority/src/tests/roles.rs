//! Roles: what they mean, who has them, and what is said of it.

use steward_events::command::{CreateTenant, DefineRole, IssueKey, RevokeKey, SetBudget};
use steward_events::event::Condition;
use steward_events::quantity::NanoDollars;
use steward_events::scope::Scope;
use steward_queries::{ExplainQuery, WhoCanQuery};

use super::*;

#[test]
fn a_changed_role_changes_its_holders_rights() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "ops", "acme");
    assert!(env.may("p_ana", "budget:set", "acme").is_err());
    let role = AccessEvent::RoleDefined {
        role: "ops".parse().unwrap(),
        permissions: vec!["budget:*".parse().unwrap()],
        inherits: vec![],
    };
    fold(&mut env.0, &acme(), T0, role);
    assert!(env.may("p_ana", "budget:set", "acme").is_ok());
}

#[test]
fn operators_reach_every_tenant_and_nobody_can_pass_for_one() {
    let mut env = AuthorityEnv::new();
    assert!(env.may("op_root", "budget:set", "acme").is_ok());
    env.person("steward", "p_ana");
    env.grant("steward", "p_ana", "owner", "*");
    assert!(env.may("p_ana", "budget:set", "acme").is_err(), "acme's p_ana is not steward's");
    let create = CreateTenant { tenant: "new".parse().unwrap(), timezone: "UTC".to_owned() };
    let sent =
        |who: &str| env.0.may_send(&TenantId::steward(), &who.parse().unwrap(), &create.clone().into(), None, T1);
    assert!(sent("op_root").is_ok());
    assert!(sent("p_bob").is_err());
}

#[test]
fn nobody_makes_a_role_mean_more_than_they_hold() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "admin", "acme");
    let define = |permission: &str, inherits: &[&str]| DefineRole {
        role: "mine".parse().unwrap(),
        permissions: vec![permission.parse().unwrap()],
        inherits: inherits.iter().map(|role| role.parse().unwrap()).collect(),
    };
    assert!(env.send("p_ana", define("budget:*", &["developer"])).is_ok());
    assert!(env.send("p_ana", define("*:*", &[])).is_err());
    assert!(env.send("p_ana", define("budget:*", &["owner"])).is_err());
    // Nor less: who holds the role would lose what the definer does not hold.
    let (role, permissions) = ("mine".parse().unwrap(), patterns(&["*:*"]));
    fold(&mut env.0, &acme(), T0, AccessEvent::RoleDefined { role, permissions, inherits: vec![] });
    assert!(env.send("p_ana", define("budget:*", &[])).is_err());
    env.grant("acme", "p_bob", "owner", "acme");
    assert!(env.send("p_bob", define("budget:*", &[])).is_ok());
}

#[test]
fn parts_of_steward_do_what_the_table_says() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "agent", "acme");
    assert!(env.may("sys_gateway", "lease:grant", "acme").is_ok());
    assert!(env.may("sys_gateway", "task:claim", "acme").is_err());
    assert!(env.may("sys_worker", "task:claim", "acme").is_ok());
    assert!(env.may("sys_worker", "lease:grant", "acme").is_err());
    assert!(env.may("p_ana", "lease:grant", "acme").is_err());

    let for_task = IssueKey { task: Some("t_1".parse().unwrap()), ..issue("p_ana") };
    assert!(env.send("sys_worker", for_task.clone()).is_ok());
    assert!(env.send("sys_worker", issue("p_ana")).is_err());
    assert!(env.send("sys_worker", IssueKey { principal: "p_nobody".parse().unwrap(), ..for_task }).is_err());
    let revoke = RevokeKey { key: "key_1".parse().unwrap(), reason: String::new() };
    env.key("acme", |_| {});
    assert!(env.send("sys_worker", revoke.clone()).is_err());
    env.key("acme", |key| key.task = Some("t_1".parse().unwrap()));
    assert!(env.send("sys_worker", revoke).is_ok());
    let budget = |body: &str| serde_json::from_str::<SetBudget>(body).unwrap();
    assert!(env.send("sys_worker", budget(r#"{"scope":"acme","limit":"$1"}"#)).is_err());
    assert!(env.send("sys_worker", budget(r#"{"scope":"acme","limit":"$1","subject":{"task":"t_1"}}"#)).is_ok());
}

#[test]
fn explaining_says_what_asking_says() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "billing", "acme/support");
    let explain = |who: &str, on: &str| {
        let query = ExplainQuery {
            principal: who.parse().unwrap(),
            permission: "budget:set".parse().unwrap(),
            scope: on.parse().unwrap(),
            at: None,
            address: None,
        };
        env.0.explain(&acme(), &query, T1)
    };
    let yes = explain("p_ana", "acme/support");
    assert_eq!((yes.allowed, yes.would_allow), (true, None));
    assert_eq!(yes.reason, "p_ana is billing on acme/support (billing permits budget:*)");
    let no = explain("p_ana", "acme");
    assert_eq!((no.allowed, no.would_allow.unwrap()), (false, "steward grant give p_ana billing --on acme".to_owned()));
    assert_eq!(explain("p_nobody", "acme").reason, "there is no principal p_nobody in tenant acme");
}

#[test]
fn who_can_names_all_holders_and_their_conditions() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "billing", "acme");
    let condition = Condition { cost_max: Some(NanoDollars(1_000_000_000)), ..Condition::default() };
    env.grant_with("acme", "svc_bot", "billing", "acme/support", None, Some(condition));
    env.grant_with("acme", "p_bob", "billing", "acme", Some(T0), None);
    let query =
        WhoCanQuery { permission: "budget:set".parse().unwrap(), scope: "acme/support".parse().unwrap(), at: None };
    let who = env.0.who_can(&acme(), &query, T1).principals;
    let names: Vec<&str> = who.iter().map(|may| may.principal.as_str()).collect();
    assert_eq!(names, ["op_root", "p_ana", "svc_bot"]);
    assert_eq!(
        who[2].reason,
        "svc_bot is billing on acme/support (billing permits budget:*), only for calls that cost at most $1.00"
    );
    assert_eq!(who[2].name.as_deref(), Some("svc_bot"));
}

#[test]
fn an_unknown_tenant_is_unknown() {
    let env = AuthorityEnv::new();
    let request = AccessRequest { tenant: "nope".parse().unwrap(), ..request("op_root", "budget:set", "nope") };
    let unknown = Rejection::UnknownTenant { tenant: "nope".parse().unwrap() };
    assert_eq!(env.0.authorise(&request, T1), Err(unknown));
}

#[test]
fn the_longest_agent_name_has_a_principal() {
    let longest: AgentId = "a".repeat(80).parse().unwrap();
    assert!(agent_principal(&longest).as_str().starts_with("agent_aaa"));
    assert_eq!(agent_principal(&"researcher".parse().unwrap()).as_str(), "agent_researcher");
}

#[test]
fn holders_of_a_role_share_its_meaning() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "admin", "acme");
    env.grant("acme", "p_bob", "admin", "acme/support");
    let meaning = |env: &AuthorityEnv, who: &str| {
        let rights = env.0.rights(&acme(), &who.parse().unwrap());
        std::sync::Arc::as_ptr(&rights.held[0].permissions)
    };
    assert_eq!(meaning(&env, "p_ana"), meaning(&env, "p_bob"));
}

#[test]
fn somebody_sees_where_they_hold_the_permission() {
    let mut env = with_key(|_| {});
    env.grant("acme", "p_bob", "developer", "acme/support");
    env.grant("acme", "p_bob", "agent", "acme/sales");
    let sight = |env: &AuthorityEnv, who: &str| env.0.sight(&request(who, "task:list", "acme"), T1);
    let scope = |text: &str| text.parse::<Scope>().unwrap();
    let seen = sight(&env, "p_bob").unwrap();
    for (on, sees) in [("acme/support", true), ("acme/support/mail", true), ("acme", false), ("acme/sales", false)] {
        assert_eq!(seen.covers(&scope(on)), sees, "{on}");
    }
    assert!(sight(&env, "p_ana").unwrap().covers(&scope("acme")));
    assert!(sight(&env, "svc_bot").is_err());
    env.key("acme", |key| {
        key.scope = Some(scope("acme/sales/mail"));
        key.models = models(&["small"]);
    });
    let narrowed = sight(&env, "key_1").unwrap();
    let (ana, bob) = ("p_ana".parse().unwrap(), "p_bob".parse().unwrap());
    assert!(narrowed.covers_of(&scope("acme/sales/mail"), &ana));
    assert!(!narrowed.covers_of(&scope("acme/sales"), &ana) && !narrowed.covers_of(&scope("acme/sales/mail"), &bob));
}
