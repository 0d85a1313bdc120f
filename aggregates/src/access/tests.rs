use steward_events::command::{DefineGroup, JoinGroup, LeaveGroup};
use steward_events::event::Condition;
use steward_events::permission::PermissionPattern;

use super::*;
use crate::spec::{given, stamp};

mod elevation;
mod review;
mod rules;

fn defined(role: &str, permissions: &[&str], inherits: &[&str]) -> AccessEvent {
    let DefineRole { role, permissions, inherits } = definition(role, permissions, inherits);
    AccessEvent::RoleDefined { role, permissions, inherits }
}

fn definition(role: &str, permissions: &[&str], inherits: &[&str]) -> DefineRole {
    DefineRole {
        role: role.parse().unwrap(),
        permissions: permissions.iter().map(|text| text.parse().unwrap()).collect(),
        inherits: inherits.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

fn define(role: &str, permissions: &[&str], inherits: &[&str]) -> AccessCommand {
    AccessCommand::DefineRole(definition(role, permissions, inherits))
}

fn to_bot(role: &str, on: &str) -> GiveGrant {
    let (to, role, on) = ("svc_bot".parse().unwrap(), role.parse().unwrap(), on.parse().unwrap());
    GiveGrant { to, role, on, expires: None, condition: None }
}

fn give(role: &str, on: &str) -> AccessCommand {
    AccessCommand::GiveGrant(to_bot(role, on))
}

fn granted(role: &str, on: &str) -> AccessEvent {
    AccessEvent::RoleGranted { grant: to_bot(role, on).id(), expires: None, condition: None }
}

fn group() -> PrincipalId {
    PrincipalId::group(&"acme".parse().unwrap(), "support")
}

fn group_defined() -> AccessEvent {
    AccessEvent::GroupDefined { group: group(), name: "support".to_owned(), description: String::new() }
}

fn bot_joined() -> AccessEvent {
    AccessEvent::GroupJoined { group: group(), member: "svc_bot".parse().unwrap() }
}

#[test]
fn a_group_is_defined_by_its_name() {
    let define = |name: &str, description: &str| {
        AccessCommand::DefineGroup(DefineGroup { name: name.to_owned(), description: description.to_owned() })
    };
    given::<Access>([]).when(define("support", "")).then([group_defined()]);
    given::<Access>([group_defined()]).when(define("support", "")).then([]);
    let changed = AccessEvent::GroupDefined {
        group: group(),
        name: "support".to_owned(),
        description: "answers customers".to_owned(),
    };
    given::<Access>([group_defined()]).when(define("support", "answers customers")).then([changed]);
    let refused = Rejection::invalid("name", "use 1 to 80 of a-z, 0-9, '_' and '-', e.g. support-team");
    given::<Access>([]).when(define("Support Team", "")).then_rejected(&refused);
}

#[test]
fn a_member_joins_once_and_leaves_once() {
    let join = |member: &str| AccessCommand::JoinGroup(JoinGroup { group: group(), member: member.parse().unwrap() });
    let leave = AccessCommand::LeaveGroup(LeaveGroup {
        group: group(),
        member: "svc_bot".parse().unwrap(),
        reason: "moved".to_owned(),
    });
    let left =
        AccessEvent::GroupLeft { group: group(), member: "svc_bot".parse().unwrap(), reason: "moved".to_owned() };
    given::<Access>([group_defined()]).when(join("svc_bot")).then([bot_joined()]);
    given::<Access>([group_defined(), bot_joined()]).when(join("svc_bot")).then([]);
    given::<Access>([group_defined(), bot_joined()]).when(leave.clone()).then([left.clone()]);
    given::<Access>([group_defined(), bot_joined(), left]).when(join("svc_bot")).then([bot_joined()]);
    given::<Access>([group_defined()]).when(leave).then_rejected(&Rejection::not_found("member", &"svc_bot"));
    given::<Access>([]).when(join("svc_bot")).then_rejected(&Rejection::not_found("group", &group()));
    let nested = Rejection::invalid("member", "is a group, and no group is in another: put in its members");
    given::<Access>([group_defined()]).when(join(group().as_str())).then_rejected(&nested);
}

#[test]
fn a_removed_group_takes_its_grants_and_members_along() {
    let to_group = GiveGrant { to: group(), ..to_bot("agent", "acme") };
    given::<Access>([])
        .when(AccessCommand::GiveGrant(to_group.clone()))
        .then_rejected(&Rejection::not_found("group", &group()));
    let mut state = Access::default();
    let granted = AccessEvent::RoleGranted { grant: to_group.id(), expires: None, condition: None };
    let removed = AccessEvent::GroupRemoved { group: group(), reason: String::new() };
    for event in [group_defined(), bot_joined(), granted, removed, group_defined()] {
        state.apply(&event, Timestamp(0));
    }
    assert_eq!(state.grants_of(&group()).count(), 0);
    assert_eq!(state.groups_of(&"svc_bot".parse().unwrap()).count(), 0);
    assert!(state.group(&group()).unwrap().members.is_empty());
}

#[test]
fn a_group_has_few_grants_and_a_member_few_groups() {
    let mut state = Access::default();
    for number in 0..GROUPS_OF_MAX {
        let group = PrincipalId::group(&"acme".parse().unwrap(), &format!("g{number}"));
        let (name, description) = (format!("g{number}"), String::new());
        state.apply(&AccessEvent::GroupDefined { group: group.clone(), name, description }, Timestamp(0));
        state.apply(&AccessEvent::GroupJoined { group, member: "svc_bot".parse().unwrap() }, Timestamp(0));
    }
    state.apply(&group_defined(), Timestamp(0));
    let join = AccessCommand::JoinGroup(JoinGroup { group: group(), member: "svc_bot".parse().unwrap() });
    let refused = |field: &str, count| {
        Err(Rejection::invalid(field, format!("would have {count} entries; at most {} are allowed", count - 1)))
    };
    assert_eq!(state.decide(&join, &stamp()), refused("groups of this member", GROUPS_OF_MAX + 1));
    let give = |number: usize| GiveGrant { to: group(), ..to_bot("agent", &format!("acme/p{number}")) };
    for number in 0..GROUP_GRANTS_MAX {
        let granted = AccessEvent::RoleGranted { grant: give(number).id(), expires: None, condition: None };
        state.apply(&granted, Timestamp(0));
    }
    let one_more = AccessCommand::GiveGrant(give(GROUP_GRANTS_MAX));
    assert_eq!(state.decide(&one_more, &stamp()), refused("grants", GROUP_GRANTS_MAX + 1));
}

#[test]
fn a_role_is_defined_and_changed() {
    let first = defined("support", &["task:submit"], &["agent"]);
    given::<Access>([]).when(define("support", &["task:submit"], &["agent"])).then([first.clone()]);
    given::<Access>([first.clone()]).when(define("support", &["task:submit"], &["agent"])).then([]);
    let changed = defined("support", &[], &["agent"]);
    given::<Access>([first]).when(define("support", &[], &["agent"])).then([changed]);
}

#[test]
fn no_role_inherits_itself_or_the_unknown() {
    let refused = |role: &str| Rejection::invalid("inherits", format!("{role} would inherit itself"));
    given::<Access>([]).when(define("a", &[], &["a"])).then_rejected(&refused("a"));
    let chain = [defined("a", &[], &[]), defined("b", &[], &["a"]), defined("c", &[], &["b"])];
    given::<Access>(chain).when(define("a", &[], &["c"])).then_rejected(&refused("a"));
    given::<Access>([]).when(define("a", &[], &["nope"])).then_rejected(&Rejection::not_found("role", &"nope"));
}

#[test]
fn built_in_roles_change_only_in_steward() {
    let refused = Rejection::invalid("role", "owner is built in; choose another name");
    given::<Access>([]).when(define("owner", &["cost:*"], &[])).then_rejected(&refused);
    let steward = Stamp { tenant: steward_events::id::TenantId::steward(), ..stamp() };
    assert_eq!(Access::default().decide(&define("owner", &["cost:*"], &[]), &steward).unwrap().len(), 1);
    let cycle = Access::default().decide(&define("agent", &[], &["admin"]), &steward);
    assert_eq!(cycle, Err(Rejection::invalid("inherits", "agent would inherit itself")));
}

#[test]
fn a_role_has_a_bounded_size() {
    let many = DefineRole {
        role: "wide".parse().unwrap(),
        permissions: vec!["cost:*".parse::<PermissionPattern>().unwrap(); PERMISSIONS_MAX + 1],
        inherits: vec![],
    };
    given::<Access>([])
        .when(AccessCommand::DefineRole(many))
        .then_rejected(&Rejection::invalid("permissions", "would have 201 entries; at most 200 are allowed"));
}

#[test]
fn a_grant_is_given_once() {
    given::<Access>([]).when(give("agent", "acme/support")).then([granted("agent", "acme/support")]);
    given::<Access>([granted("agent", "acme/support")]).when(give("agent", "acme/support")).then([]);
}

#[test]
fn a_grant_given_again_changes_its_end() {
    let expires = Some(Timestamp(9_000_000));
    let until = AccessCommand::GiveGrant(GiveGrant { expires, ..to_bot("agent", "acme") });
    let changed = AccessEvent::RoleGranted { grant: to_bot("agent", "acme").id(), expires, condition: None };
    given::<Access>([granted("agent", "acme")]).when(until.clone()).then([changed]);
    given::<Access>([])
        .at(Timestamp(9_000_000))
        .when(until)
        .then_rejected(&Rejection::invalid("expires", "1970-01-01T00:00:09Z is not in the future"));
}

#[test]
fn a_grant_names_a_known_role_within_its_tenant() {
    given::<Access>([]).when(give("nope", "acme")).then_rejected(&Rejection::not_found("role", &"nope"));
    for outside in ["other", "*", "acme2"] {
        let refused = Rejection::invalid("on", format!("{outside} is outside tenant acme"));
        given::<Access>([]).when(give("owner", outside)).then_rejected(&refused);
    }
}

#[test]
fn a_grant_is_revoked_if_it_is_there() {
    let command = RevokeGrant {
        to: "svc_bot".parse().unwrap(),
        role: "agent".parse().unwrap(),
        on: "acme".parse().unwrap(),
        reason: "left".to_owned(),
    };
    let revoked = AccessEvent::GrantRevoked { grant: command.id(), reason: "left".to_owned() };
    let revoke = AccessCommand::RevokeGrant(command.clone());
    given::<Access>([granted("agent", "acme")]).when(revoke.clone()).then([revoked]);
    given::<Access>([]).when(revoke).then_rejected(&Rejection::not_found("grant", &command.id()));
}

#[test]
fn a_role_permits_only_what_something_needs() {
    let why = "no command, query or call needs user:x0; docs/COMMANDS.md lists what there is";
    given::<Access>([])
        .when(define("mine", &["user:list", "user:x0"], &[]))
        .then_rejected(&Rejection::invalid("permissions", why));
}

#[test]
fn what_a_role_names_twice_is_recorded_once() {
    given::<Access>([]).when(define("mine", &["task:list", "task:list"], &["agent", "agent"])).then([defined(
        "mine",
        &["task:list"],
        &["agent"],
    )]);
}

#[test]
fn a_path_of_inheritance_has_a_bounded_length() {
    let name = |n: usize| format!("r{n}");
    let chain = |length: usize| (1..=length).map(|n| defined(&name(n), &[], &[&name(n - 1)])).collect::<Vec<_>>();
    let history = |length: usize| [vec![defined("r0", &[], &[])], chain(length - 1)].concat();
    let why = "9 roles or more would stand on one path; at most 8 may: inherit from fewer levels";
    let refused = Rejection::invalid("inherits", why);
    let longest = define("last", &[], &[&name(DEPTH_MAX - 2)]);
    given::<Access>(history(DEPTH_MAX - 1)).when(longest.clone()).then([defined("last", &[], &[&name(DEPTH_MAX - 2)])]);
    given::<Access>(history(DEPTH_MAX)).when(define("last", &[], &[&name(DEPTH_MAX - 1)])).then_rejected(&refused);
    // From below too: the roles that inherit this one become longer with it.
    let below = [history(DEPTH_MAX), vec![defined("base", &[], &[])]].concat();
    given::<Access>(below).when(define("r0", &[], &["base"])).then_rejected(&refused);
}

#[test]
fn conditional_grants_are_few() {
    let condition = Some(Condition { models: vec!["small".parse().unwrap()], ..Condition::default() });
    let under = |on: &str| GiveGrant { condition: condition.clone(), ..to_bot("agent", on) };
    let given_before = (0..CONDITIONAL_GRANTS_MAX).map(|n| AccessEvent::RoleGranted {
        grant: under(&format!("acme/p{n}")).id(),
        expires: None,
        condition: condition.clone(),
    });
    let why = "would have 101 entries; at most 100 are allowed";
    let history: Vec<_> = given_before.collect();
    given::<Access>(history.clone())
        .when(AccessCommand::GiveGrant(under("acme/one-more")))
        .then_rejected(&Rejection::invalid("grants with a condition", why));
    given::<Access>(history).when(give("agent", "acme")).then([granted("agent", "acme")]);
}
