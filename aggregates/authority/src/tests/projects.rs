//! Projects: where something new may begin; and what a tenant gets from its plan.

use steward_events::command::{SetBudget, SetPlan};
use steward_events::event::{BudgetLevel, PlanFlag, PlanQuota, PlanSpec, QuotaKind};

use super::*;

impl AuthorityEnv {
    fn tell(&mut self, tenant: &str, event: TenantEvent) {
        fold(&mut self.0, &tenant.parse().unwrap(), T0, event);
    }

    fn project(&mut self, project: &str) {
        self.tell("acme", TenantEvent::ProjectCreated { project: project.parse().unwrap(), name: project.to_owned() });
    }

    fn archive(&mut self, project: &str) {
        let reason = "moved".to_owned();
        self.tell("acme", TenantEvent::ProjectArchived { project: project.parse().unwrap(), reason });
    }
}

fn budget(on: &str) -> SetBudget {
    SetBudget {
        scope: on.parse().unwrap(),
        subject: None,
        limit: "$1".parse().unwrap(),
        per: steward_events::quantity::Window::Total,
        hard: true,
        warn: vec![],
        level: None,
    }
}

fn owner() -> AuthorityEnv {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "owner", "acme");
    env
}

#[test]
fn a_tenant_without_projects_takes_every_name() {
    let env = owner();
    assert!(env.send("p_ana", budget("acme/support")).is_ok());
    assert!(env.send("p_ana", give("p_bob", "agent", "acme/sales")).is_ok());
}

#[test]
fn a_project_that_does_not_exist_is_refused_once_there_are_some() {
    let mut env = owner();
    env.project("support");
    assert!(env.send("p_ana", budget("acme/support")).is_ok());
    assert!(env.send("p_ana", budget("acme/support/mail")).is_ok(), "below it nothing is created");
    assert!(env.send("p_ana", budget("acme")).is_ok());
    let why = "there is no project suport in tenant acme; create it first: steward project create suport --tenant acme";
    let unknown = || Rejection::invalid("scope", why);
    assert_eq!(env.send("p_ana", budget("acme/suport")), Err(unknown()));
    assert_eq!(env.send("p_ana", give("p_bob", "agent", "acme/suport")), Err(unknown()));
}

#[test]
fn what_keys_and_grants_named_before_counts_as_there() {
    let mut env = owner();
    env.grant("acme", "p_bob", "agent", "acme/old/mail");
    env.key("acme", |key| key.scope = Some("acme/older".parse().unwrap()));
    env.project("support");
    assert!(env.send("p_ana", budget("acme/old")).is_ok());
    assert!(env.send("p_ana", budget("acme/older")).is_ok());
    let implicit = env.0.implicit_projects(&acme());
    assert_eq!(implicit.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["old", "older"]);
}

#[test]
fn nothing_begins_in_an_archived_project_and_what_is_there_ends() {
    let mut env = owner();
    env.project("support");
    env.archive("support");
    let (why, help) = reason(env.invoke("p_ana", None, "acme/support/mail", "small", 1));
    assert_eq!(why, "the project acme/support is archived: moved");
    assert_eq!(help, "steward project restore support --tenant acme");
    for begins in ["key:issue", "grant:give", "budget:set", "task:submit", "batch:submit", "file:create"] {
        assert!(env.may("p_ana", begins, "acme/support").is_err(), "{begins}");
        assert!(env.may("p_ana", begins, "acme").is_ok(), "{begins} elsewhere");
    }
    for goes_on in ["key:revoke", "grant:revoke", "budget:remove", "task:cancel", "task:list", "cost:report"] {
        assert!(env.may("p_ana", goes_on, "acme/support").is_ok(), "{goes_on}");
    }
    env.tell("acme", TenantEvent::ProjectRestored { project: "support".parse().unwrap() });
    assert!(env.invoke("p_ana", None, "acme/support", "small", 1).is_ok());
}

#[test]
fn a_tenant_is_put_only_on_a_plan_that_there_is() {
    let mut env = owner();
    let set = || SetPlan { plan: Some("starter".parse().unwrap()) };
    let unknown = Rejection::not_found("plan", &"starter");
    assert_eq!(env.send("op_root", set()), Err(unknown));
    let spec = PlanSpec::default();
    env.tell("steward", TenantEvent::PlanDefined { plan: "starter".parse().unwrap(), revision: 1, spec });
    assert!(env.send("op_root", set()).is_ok());
}

#[test]
fn a_plan_gives_quotas_and_flags_unless_they_are_set() {
    let mut env = owner();
    let spec = PlanSpec {
        quotas: vec![PlanQuota { quota: QuotaKind::Agents, limit: 2 }, PlanQuota { quota: QuotaKind::Keys, limit: 9 }],
        flags: vec![PlanFlag { flag: "search".parse().unwrap(), state: "on".parse().unwrap() }],
        budgets: vec![],
    };
    env.tell("steward", TenantEvent::PlanDefined { plan: "starter".parse().unwrap(), revision: 1, spec });
    assert_eq!(env.0.quotas(&acme()).limit(QuotaKind::Agents), None);
    env.tell("acme", TenantEvent::PlanSet { plan: Some("starter".parse().unwrap()) });
    env.tell("acme", TenantEvent::QuotaSet { quota: QuotaKind::Keys, level: BudgetLevel::Platform, limit: 20 });
    let quotas = env.0.quotas(&acme());
    assert_eq!((quotas.limit(QuotaKind::Agents), quotas.limit(QuotaKind::Keys)), (Some(2), Some(20)));
    assert_eq!(env.0.flags_of(&acme(), &"p_ana".parse().unwrap()), [("search".parse().unwrap(), true)]);
    assert_eq!(env.0.quotas(&"other".parse().unwrap()).limit(QuotaKind::Agents), None);
}
