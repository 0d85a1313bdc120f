use steward_events::command::{
    Command, CreateTenant, DefineRole, DisableUser, GiveGrant, IssueKey, RenewLease, RevokeGrant, RevokeKey, SetBudget,
    SubmitTask,
};
use steward_events::event::{Condition, GrantId, KeyHash};
use steward_events::permission::{Permission, PermissionPattern};
use steward_events::quantity::NanoDollars;
use steward_events::query::{ExplainQuery, WhoCanQuery};
use steward_events::scope::Scope;
use steward_events::sender::SESSION_TIME_MAX;

use super::answers::ANSWERS_KEPT_MAX;
use super::*;
use crate::spec::fold;

const T0: Timestamp = Timestamp(1_000_000);
const T1: Timestamp = Timestamp(2_000_000);

/// Tenants `steward` with operator `op_root` and `acme` with people `p_ana`, `p_bob` and account `svc_bot`.
struct AuthorityEnv(Authority);

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

impl AuthorityEnv {
    fn new() -> Self {
        let mut env = Self(Authority::default());
        for tenant in [TenantId::steward(), acme(), "other".parse().unwrap()] {
            let created = TenantEvent::Created { tenant: tenant.clone(), timezone: "Europe/Berlin".to_owned() };
            fold(&mut env.0, &tenant, T0, created);
        }
        env.person("steward", "op_root");
        env.grant("steward", "op_root", "owner", "*");
        for person in ["p_ana", "p_bob", "svc_bot"] {
            env.person("acme", person);
        }
        env
    }

    fn person(&mut self, tenant: &str, principal: &str) {
        let event = IdentityEvent::AccountCreated { principal: principal.parse().unwrap(), name: principal.to_owned() };
        fold(&mut self.0, &tenant.parse().unwrap(), T0, event);
    }

    fn grant(&mut self, tenant: &str, to: &str, role: &str, on: &str) {
        self.grant_with(tenant, to, role, on, None, None);
    }

    fn grant_with(
        &mut self,
        tenant: &str,
        to: &str,
        role: &str,
        on: &str,
        expires: Option<Timestamp>,
        condition: Option<Condition>,
    ) {
        let grant = GrantId { to: to.parse().unwrap(), role: role.parse().unwrap(), on: on.parse().unwrap() };
        fold(&mut self.0, &tenant.parse().unwrap(), T0, AccessEvent::RoleGranted { grant, expires, condition });
    }

    fn key(&mut self, tenant: &str, change: impl FnOnce(&mut IssueKey)) -> String {
        let secret = format!("stw_{tenant}_{}", "a".repeat(26));
        let mut issue = IssueKey {
            key: Some("key_1".parse().unwrap()),
            principal: "p_ana".parse().unwrap(),
            hash: KeyHash::of(&secret),
            scope: Some(tenant.parse().unwrap()),
            models: vec![],
            expires: None,
            agent: None,
            task: None,
            permissions: vec![],
            parent: None,
        };
        change(&mut issue);
        let IssueKey { key, principal, hash, scope, models, expires, agent, task, permissions, parent } = issue;
        let (key, scope) = (key.unwrap(), scope.unwrap());
        let event =
            IdentityEvent::KeyIssued { key, principal, hash, scope, models, expires, agent, task, permissions, parent };
        fold(&mut self.0, &tenant.parse().unwrap(), T0, event);
        secret
    }

    fn suspend(&mut self) {
        fold(&mut self.0, &acme(), T0, TenantEvent::Suspended { reason: "unpaid".to_owned() });
    }

    fn may(&self, who: &str, what: &str, on: &str) -> Result<Allowed, Rejection> {
        self.0.authorise(&request(who, what, on), T1)
    }

    fn invoke(&self, who: &str, key: Option<&str>, on: &str, model: &str, cost: u64) -> Result<Allowed, Rejection> {
        let mut request = request(who, "model:invoke", on);
        request.key = key.map(|key| KeyRef { tenant: acme(), key: key.parse().unwrap() });
        request.context = Context { model: Some(model.parse().unwrap()), cost: Some(NanoDollars(cost)) };
        self.0.authorise(&request, T1)
    }

    fn send(&self, who: &str, command: impl Into<Command>) -> Result<Allowed, Rejection> {
        self.0.may_send(&acme(), &who.parse().unwrap(), &command.into(), None, T1)
    }
}

fn request(who: &str, what: &str, on: &str) -> AccessRequest {
    AccessRequest {
        tenant: acme(),
        principal: who.parse().unwrap(),
        key: None,
        permission: what.parse().unwrap(),
        scope: on.parse().unwrap(),
        context: Context::default(),
    }
}

#[track_caller]
fn reason(outcome: Result<Allowed, Rejection>) -> (String, String) {
    match outcome {
        Err(Rejection::Forbidden { reason, would_allow, .. }) => (reason, would_allow),
        other => panic!("expected a denial, got {other:?}"),
    }
}

fn give(to: &str, role: &str, on: &str) -> GiveGrant {
    let (to, role, on) = (to.parse().unwrap(), role.parse().unwrap(), on.parse().unwrap());
    GiveGrant { to, role, on, expires: None, condition: None }
}

fn issue(principal: &str) -> IssueKey {
    IssueKey {
        key: Some("key_9".parse().unwrap()),
        principal: principal.parse().unwrap(),
        hash: KeyHash::of("x"),
        scope: None,
        models: vec![],
        expires: None,
        agent: None,
        task: None,
        permissions: vec![],
        parent: None,
    }
}

#[test]
fn a_grant_holds_at_its_scope_and_below() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "developer", "acme/support");
    let allowed = env.may("p_ana", "model:invoke", "acme/support/mail").unwrap();
    assert_eq!(allowed.reason, "p_ana is developer on acme/support (developer → agent permits model:invoke)");
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
    let condition = Condition { models: vec!["small".parse().unwrap()], cost_max: Some(NanoDollars(10)) };
    env.grant_with("acme", "p_ana", "agent", "acme", None, Some(condition));
    assert!(env.invoke("p_ana", None, "acme", "small", 10).is_ok());
    let (why, _) = reason(env.invoke("p_ana", None, "acme", "large", 10));
    assert_eq!(why, "p_ana is agent on acme holds only for small");
    let (why, _) = reason(env.invoke("p_ana", None, "acme", "small", 11));
    assert_eq!(why, "p_ana is agent on acme holds only for calls that cost at most $0.00000001");
    assert!(env.may("p_ana", "model:invoke", "acme").is_err());
}

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
        let stays = ["tenant:resume", "checkpoint:request"].contains(&words.as_str());
        assert_eq!(env.may("op_root", what.as_str(), "acme").is_ok(), stays, "{words}");
    }
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
    assert!(allowed.reason.ends_with("acting through agent_researcher, which may too"), "{}", allowed.reason);
    let with_key = AccessRequest {
        key: Some(KeyRef { tenant: acme(), key: "key_1".parse().unwrap() }),
        ..request("p_ana", "budget:set", "acme")
    };
    assert!(env.0.authorise(&with_key, T1).is_err(), "the agent may not");
    env.grant("acme", "agent_researcher", "billing", "acme");
    assert!(env.0.authorise(&with_key, T1).is_ok());
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
fn a_narrowed_key_passes_nothing_on() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "owner", "acme");
    env.key("acme", |key| key.models = vec!["small".parse().unwrap()]);
    assert!(env.send("p_ana", give("p_bob", "agent", "acme")).is_ok());
    assert!(env.send("key_1", give("p_bob", "agent", "acme")).is_err());
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
    let condition = Condition { models: vec![], cost_max: Some(NanoDollars(1_000_000_000)) };
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
fn answers_to_the_same_request_are_kept_within_bounds() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "agent", "acme");
    let kept = |env: &AuthorityEnv| env.0.rights(&acme(), &"p_ana".parse().unwrap()).kept();
    for cost in 0..10 {
        assert!(env.invoke("p_ana", None, "acme", "small", cost).is_ok());
    }
    assert_eq!(kept(&env), 1, "no grant asks for the cost");
    for model in 0..2 * ANSWERS_KEPT_MAX {
        assert!(env.invoke("p_ana", None, "acme", &format!("m{model}"), 1).is_ok());
        assert!(kept(&env) <= ANSWERS_KEPT_MAX);
    }
    env.grant_with("acme", "p_ana", "developer", "acme", Some(T1), None);
    assert_eq!(kept(&env), 0, "another grant is another answer");
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
fn of_many_conditional_grants_the_widest_is_asked() {
    let mut env = AuthorityEnv::new();
    for (place, dollars) in [3, 9, 5].into_iter().enumerate() {
        let cost_max = Some(NanoDollars(dollars * 1_000_000_000));
        let condition = Condition { models: vec!["small".parse().unwrap()], cost_max };
        // Grants of one role at one scope replace each other, so each is at another level.
        let on = ["acme/support/chat", "acme/support", "acme"][place];
        env.grant_with("acme", "p_ana", "agent", on, None, Some(condition));
    }
    let costs = |dollars: u64| env.invoke("p_ana", None, "acme/support/chat", "small", dollars * 1_000_000_000).is_ok();
    assert!(costs(3) && costs(9) && !costs(10), "the widest holds, and only up to its bound");
    assert!(env.invoke("p_ana", None, "acme/support/chat", "big", 1).is_err());
}

#[test]
fn who_could_call_no_model_at_all_is_told_before_a_request() {
    let mut env = AuthorityEnv::new();
    let condition = Condition { models: vec!["small".parse().unwrap()], cost_max: Some(NanoDollars(5)) };
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

/// A key `key_<n>` of `p_ana`, who owns acme.
fn with_key(change: impl FnOnce(&mut IssueKey)) -> AuthorityEnv {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "owner", "acme");
    env.key("acme", change);
    env
}

fn patterns(texts: &[&str]) -> Vec<PermissionPattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn models(names: &[&str]) -> Vec<ModelId> {
    names.iter().map(|name| name.parse().unwrap()).collect()
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
