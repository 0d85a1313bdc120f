//! A company in which access is asked for, and by subject what is asked.

use steward_events::command::{Command, GiveGrant, IssueKey};
use steward_events::event::{Condition, GrantId, KeyHash};
use steward_events::permission::PermissionPattern;
use steward_events::quantity::NanoDollars;

use super::*;
use steward_aggregates::spec::fold;

mod conditions;
mod grants;
mod groups;
mod judge;
mod key_limits;
mod keys;
mod owners;
mod projects;
mod roles;
mod rules;
mod suspension;

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
            addresses: vec![],
            hours: vec![],
        };
        change(&mut issue);
        let IssueKey {
            key,
            principal,
            hash,
            scope,
            models,
            expires,
            agent,
            task,
            permissions,
            parent,
            addresses,
            hours,
        } = issue;
        let event = IdentityEvent::KeyIssued {
            key: key.unwrap(),
            principal,
            hash,
            scope: scope.unwrap(),
            models,
            expires,
            agent,
            task,
            permissions,
            parent,
            addresses,
            hours,
            line: None,
        };
        fold(&mut self.0, &tenant.parse().unwrap(), T0, event);
        secret
    }

    fn group(&mut self, tenant: &str, name: &str, members: &[&str]) -> String {
        let of: TenantId = tenant.parse().unwrap();
        let group = PrincipalId::group(&of, name);
        let (name, description) = (name.to_owned(), String::new());
        fold(&mut self.0, &of, T0, AccessEvent::GroupDefined { group: group.clone(), name, description });
        for member in members {
            self.join(tenant, &group, member);
        }
        group.to_string()
    }

    fn join(&mut self, tenant: &str, group: &PrincipalId, member: &str) {
        let joined = AccessEvent::GroupJoined { group: group.clone(), member: member.parse().unwrap() };
        fold(&mut self.0, &tenant.parse().unwrap(), T0, joined);
    }

    fn disable(&mut self, principal: &str) {
        let event = IdentityEvent::UserDisabled { principal: principal.parse().unwrap(), reason: "left".to_owned() };
        fold(&mut self.0, &acme(), T0, event);
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
        let (model, cost) = (Some(model.parse().unwrap()), Some(NanoDollars(cost)));
        request.context = Context { model, cost, ..Context::default() };
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
        addresses: vec![],
        hours: vec![],
    }
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
