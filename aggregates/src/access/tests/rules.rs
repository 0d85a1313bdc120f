//! Denials, separations, conditions and roles that go.

use steward_events::command::{RemoveDenial, RemoveRole, SetDataClass, SetDenial, SetSeparation};
use steward_events::event::{Condition, DenialSpec, OpenHours, SeparationSpec, Whom};

use super::*;

fn denial() -> SetDenial {
    serde_json::from_str(
        r#"{"denial":"no-secrets","permissions":["secret:*"],"on":"acme","whom":{"everyone":true},"reason":"audit"}"#,
    )
    .unwrap()
}

fn denied(set: &SetDenial) -> AccessEvent {
    let SetDenial { denial, permissions, on, whom, condition, unless, until, reason } = set.clone();
    let spec = DenialSpec { permissions, on, whom, condition, unless, until, reason };
    AccessEvent::DenialSet { denial, spec }
}

fn apart(roles: &[&str], allow_existing: bool) -> SetSeparation {
    SetSeparation {
        separation: "apart".parse().unwrap(),
        roles: roles.iter().map(|role| role.parse().unwrap()).collect(),
        on: None,
        allow_existing,
        reason: String::new(),
    }
}

fn separated(roles: &[&str], existing: &[&str]) -> AccessEvent {
    let SetSeparation { separation, roles, reason, .. } = apart(roles, false);
    let existing = existing.iter().map(|who| who.parse().unwrap()).collect();
    AccessEvent::SeparationSet {
        separation,
        spec: SeparationSpec { roles, on: "acme".parse().unwrap(), reason, existing },
    }
}

#[test]
fn a_denial_is_set_changed_and_removed() {
    let set = denial();
    given::<Access>([]).when(set.clone()).then([denied(&set)]);
    given::<Access>([denied(&set)]).when(set.clone()).then([]);
    let remove = RemoveDenial { denial: set.denial.clone(), reason: "over".to_owned() };
    let removed = AccessEvent::DenialRemoved { denial: set.denial.clone(), reason: "over".to_owned() };
    given::<Access>([denied(&set)]).when(remove.clone()).then([removed]);
    given::<Access>([]).when(remove).then_rejected(&Rejection::not_found("denial", &"no-secrets"));
}

#[test]
fn a_denial_says_what_to_whom_and_why() {
    let refused = |change: fn(&mut SetDenial), field: &str, why: &str| {
        let mut set = denial();
        change(&mut set);
        given::<Access>([]).when(set).then_rejected(&Rejection::invalid(field, why));
    };
    refused(|set| set.permissions.clear(), "permissions", "name what is denied, e.g. secret:*");
    refused(|set| set.whom = Whom::default(), "whom", "name principals or roles, or say everyone: true");
    refused(|set| set.reason = " ".to_owned(), "reason", "say why; it is recorded and shown to others");
    refused(|set| set.unless = true, "unless", "needs a condition that says what is not denied");
    refused(|set| set.on = "other".parse().unwrap(), "on", "other is outside tenant acme");
    refused(|set| set.until = Some(Timestamp(1)), "until", "1970-01-01T00:00:00.000001Z is not in the future");
    let cheap = |set: &mut SetDenial| {
        let cost_max = Some(steward_events::quantity::NanoDollars(1));
        set.condition = Some(Condition { cost_max, ..Condition::default() });
    };
    refused(cheap, "condition.cost_max", "would deny what is cheap; with unless: true what costs more is denied");
}

#[test]
fn hours_without_a_zone_are_recorded_in_the_tenants() {
    let hours =
        |text: &str| Some(Condition { hours: vec![text.parse::<OpenHours>().unwrap()], ..Condition::default() });
    let give = |text| GiveGrant { condition: hours(text), ..to_bot("agent", "acme") };
    let (grant, condition) = (to_bot("agent", "acme").id(), hours("08:00-18:00 UTC"));
    let recorded = AccessEvent::RoleGranted { grant, expires: None, condition };
    given::<Access>([]).when(give("08:00-18:00")).then([recorded.clone()]);
    given::<Access>([recorded]).when(give("08:00-18:00")).then([]);
}

#[test]
fn a_rule_for_an_argument_says_which_and_what() {
    for (rule, why) in [
        (r#"{"at":"path","max":1}"#, "\"path\" is no JSON pointer: write e.g. /path"),
        (r#"{"at":"/path"}"#, "/path needs one_of, prefix or max"),
    ] {
        let condition =
            Some(Condition { arguments: vec![serde_json::from_str(rule).unwrap()], ..Condition::default() });
        given::<Access>([])
            .when(GiveGrant { condition, ..to_bot("agent", "acme") })
            .then_rejected(&Rejection::invalid("condition.arguments", why));
    }
}

#[test]
fn separated_roles_are_not_held_together() {
    let history = [separated(&["billing", "agent"], &[]), granted("billing", "acme")];
    let refused = Rejection::invalid("role", "svc_bot would hold agent and billing, which apart keeps apart");
    given::<Access>(history.clone()).when(give("agent", "acme/support")).then_rejected(&refused);
    // Also through a role that inherits one of them.
    given::<Access>(history.clone()).when(give("developer", "acme")).then_rejected(&refused);
    given::<Access>(history).when(give("auditor", "acme")).then([granted("auditor", "acme")]);
    // Beside each other, not one above the other.
    let beside = [separated(&["billing", "agent"], &[]), granted("billing", "acme/sales")];
    given::<Access>(beside).when(give("agent", "acme/support")).then([granted("agent", "acme/support")]);
}

#[test]
fn one_role_that_is_both_is_not_given() {
    let both = Rejection::invalid("role", "svc_bot would hold agent and billing, which apart keeps apart");
    given::<Access>([separated(&["billing", "agent"], &[])]).when(give("admin", "acme")).then_rejected(&both);
}

#[test]
fn a_role_does_not_come_to_join_what_is_apart() {
    let history = [defined("mine", &[], &["billing"]), separated(&["billing", "agent"], &[]), granted("mine", "acme")];
    let refused = Rejection::invalid("inherits", "svc_bot would hold agent and billing, which apart keeps apart");
    given::<Access>(history.clone()).when(define("mine", &[], &["billing", "agent"])).then_rejected(&refused);
    given::<Access>(history).when(define("mine", &[], &["agent"])).then([defined("mine", &[], &["agent"])]);
}

#[test]
fn who_holds_both_already_is_named_or_may_go_on() {
    let history = [granted("billing", "acme"), granted("agent", "acme/support")];
    let why = "are held together by svc_bot (agent and billing): revoke a grant of each, or say allow_existing to let \
               them go on";
    given::<Access>(history.clone())
        .when(apart(&["billing", "agent"], false))
        .then_rejected(&Rejection::invalid("roles", why));
    given::<Access>(history)
        .when(apart(&["billing", "agent"], true))
        .then([separated(&["billing", "agent"], &["svc_bot"])]);
    given::<Access>([])
        .when(apart(&["billing"], false))
        .then_rejected(&Rejection::invalid("roles", "name two roles or more"));
    let heir = Rejection::invalid("roles", "developer inherits agent: who holds the one holds both");
    given::<Access>([]).when(apart(&["agent", "developer"], false)).then_rejected(&heir);
}

#[test]
fn a_role_goes_with_its_grants_or_not_at_all() {
    let remove = |revoke_grants| RemoveRole { role: "mine".parse().unwrap(), revoke_grants, reason: "old".to_owned() };
    let removed = AccessEvent::RoleRemoved { role: "mine".parse().unwrap(), reason: "old".to_owned() };
    let unused = [defined("mine", &[], &[])];
    given::<Access>(unused.clone()).when(remove(false)).then([removed.clone()]);
    let held = [unused[0].clone(), granted("mine", "acme"), granted("agent", "acme")];
    let why = "1 grants of mine are there: see them with steward role remove mine --plan, revoke them, or say \
               revoke_grants";
    given::<Access>(held.clone()).when(remove(false)).then_rejected(&Rejection::invalid("revoke_grants", why));
    let reason = "the role was removed: old".to_owned();
    let revoked = AccessEvent::GrantRevoked { grant: to_bot("mine", "acme").id(), reason };
    given::<Access>(held).when(remove(true)).then([revoked, removed]);
    given::<Access>([]).when(remove(true)).then_rejected(&Rejection::not_found("role", &"mine"));
    let owner = RemoveRole { role: "owner".parse().unwrap(), ..remove(true) };
    given::<Access>([]).when(owner).then_rejected(&Rejection::invalid("role", "owner is built in and stays"));
}

#[test]
fn a_role_that_others_need_stays() {
    let remove = RemoveRole { role: "mine".parse().unwrap(), revoke_grants: true, reason: String::new() };
    let refused = |why: &str| Rejection::invalid("role", why);
    let heir = [defined("mine", &[], &[]), defined("heir", &[], &["mine"])];
    given::<Access>(heir)
        .when(remove.clone())
        .then_rejected(&refused("heir inherits it: define heir without it first"));
    let apart = [defined("mine", &[], &[]), separated(&["mine", "agent"], &[])];
    given::<Access>(apart).when(remove).then_rejected(&refused("the rule apart names it: change or remove that first"));
}

#[test]
fn a_class_of_data_is_that_of_the_nearest_scope() {
    let set = |scope: &str, class: Option<&str>| AccessEvent::DataClassSet {
        scope: scope.parse().unwrap(),
        class: class.map(|class| class.parse().unwrap()),
    };
    let mut access = Access::default();
    for event in [set("acme", Some("internal")), set("acme/support", Some("secret"))] {
        access.apply(&event, Timestamp(0));
    }
    let class = |access: &Access, at: &str| access.data_class(&at.parse().unwrap()).map(ToString::to_string);
    assert_eq!(class(&access, "acme/support/mail").as_deref(), Some("secret"));
    assert_eq!(class(&access, "acme/sales").as_deref(), Some("internal"));
    let none = SetDataClass { scope: "acme/support".parse().unwrap(), class: None };
    given::<Access>([set("acme/support", Some("secret"))]).when(none.clone()).then([set("acme/support", None)]);
    given::<Access>([]).when(none).then([]);
}
