//! Guards what roles mean and who holds them: no role inherits itself, nobody holds a role that is unknown.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use steward_events::command::{AccessCommand, DefineRole, GiveGrant, RevokeGrant};
use steward_events::event::{AccessEvent, Condition, GrantId};
use steward_events::id::{PrincipalId, RoleId};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};
use crate::limit::{self, MODELS_MAX};

mod groups;
pub mod role;

pub use groups::{GROUP_GRANTS_MAX, GROUPS_MAX, GROUPS_OF_MAX, Group, MEMBERSHIPS_MAX};

use groups::Groups;
use role::{RoleSpec, built_in};

/// The most roles of one tenant.
pub const ROLES_MAX: usize = 1_000;

/// The most permissions that one role names.
pub const PERMISSIONS_MAX: usize = 200;

/// The most roles that one role inherits directly.
pub const INHERITS_MAX: usize = 16;

/// The most roles on one path of inheritance, the first one included.
pub const DEPTH_MAX: usize = 8;

/// The most grants of one principal in one tenant.
pub const GRANTS_MAX: usize = 10_000;

/// The most of these that hold only under a condition.
pub const CONDITIONAL_GRANTS_MAX: usize = 100;

/// A tenant's roles, grants and groups.
#[derive(Clone, Debug, Default)]
pub struct Access {
    roles: BTreeMap<RoleId, RoleSpec>,
    grants: BTreeMap<PrincipalId, BTreeMap<(RoleId, Scope), Terms>>,
    groups: Groups,
}

/// Until when and under which condition a grant holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Until when; none is until revoked.
    pub expires: Option<Timestamp>,
    /// The grant counts only for calls that meet this condition.
    pub condition: Option<Condition>,
}

impl Terms {
    /// True if the grant holds always and for everything its role permits.
    pub const fn is_plain(&self) -> bool {
        self.expires.is_none() && self.condition.is_none()
    }

    /// True once the grant has ended by itself.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl Access {
    /// What a role that this tenant defined means.
    pub fn role(&self, role: &RoleId) -> Option<&RoleSpec> {
        self.roles.get(role)
    }

    /// All roles that this tenant defined.
    pub fn roles(&self) -> impl Iterator<Item = (&RoleId, &RoleSpec)> {
        self.roles.iter()
    }

    /// What `principal` was granted here and was not revoked, grants that have expired included.
    pub fn grants_of(&self, principal: &PrincipalId) -> impl Iterator<Item = (GrantId, &Terms)> {
        let to = principal.clone();
        self.grants
            .get(principal)
            .into_iter()
            .flatten()
            .map(move |((role, on), terms)| (GrantId { to: to.clone(), role: role.clone(), on: on.clone() }, terms))
    }

    /// Everyone who was granted something here.
    pub fn holders(&self) -> impl Iterator<Item = &PrincipalId> {
        self.grants.keys()
    }

    /// Where something is granted.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.grants.values().flat_map(BTreeMap::keys).map(|(_, on)| on)
    }

    /// A group.
    pub fn group(&self, group: &PrincipalId) -> Option<&Group> {
        self.groups.get(group)
    }

    /// The groups that `member` is in.
    pub fn groups_of(&self, member: &PrincipalId) -> impl Iterator<Item = (&PrincipalId, &Group)> {
        self.groups.of(member)
    }

    /// Everyone who is in a group.
    pub fn members(&self) -> impl Iterator<Item = &PrincipalId> {
        self.groups.members()
    }

    fn terms(&self, grant: &GrantId) -> Option<&Terms> {
        self.grants.get(&grant.to)?.get(&(grant.role.clone(), grant.on.clone()))
    }

    fn knows(&self, role: &RoleId) -> bool {
        self.roles.contains_key(role) || built_in(role).is_some()
    }

    fn define(&self, define: &DefineRole, stamp: &Stamp) -> Result<Vec<AccessEvent>, Rejection> {
        let DefineRole { role, mut permissions, mut inherits } = define.clone();
        if !stamp.tenant.is_steward() && built_in(&role).is_some() {
            return Err(Rejection::invalid("role", format!("{role} is built in; choose another name")));
        }
        limit::count("permissions", permissions.len(), PERMISSIONS_MAX)?;
        limit::count("inherits", inherits.len(), INHERITS_MAX)?;
        let (mut named, mut roles) = (BTreeSet::new(), BTreeSet::new());
        permissions.retain(|pattern| named.insert(pattern.clone()));
        inherits.retain(|inherited| roles.insert(inherited.clone()));
        if let Some(unknown) = permissions.iter().find(|pattern| !role::means_something(pattern)) {
            let reason = format!("no command, query or call needs {unknown}; docs/COMMANDS.md lists what there is");
            return Err(Rejection::invalid("permissions", reason));
        }
        if let Some(unknown) = inherits.iter().find(|inherited| **inherited != role && !self.knows(inherited)) {
            return Err(Rejection::not_found("role", unknown));
        }
        let known = |id: &RoleId| self.roles.get(id).cloned().or_else(|| built_in(id));
        if role::reaches(&inherits, &role, known) {
            return Err(Rejection::invalid("inherits", format!("{role} would inherit itself")));
        }
        self.bounded_depth(&role, &inherits)?;
        let spec = RoleSpec { permissions, inherits };
        if self.roles.get(&role) == Some(&spec) {
            return Ok(vec![]);
        }
        limit::count("roles", self.roles.len() + usize::from(!self.roles.contains_key(&role)), ROLES_MAX)?;
        Ok(vec![AccessEvent::RoleDefined { role, permissions: spec.permissions, inherits: spec.inherits }])
    }

    /// Refuses `inherits` of `role` if a path of inheritance became too long: of this role, or of one that inherits it.
    fn bounded_depth(&self, role: &RoleId, inherits: &[RoleId]) -> Result<(), Rejection> {
        let built_in: BTreeMap<RoleId, RoleSpec> =
            role::built_in_ids().filter_map(|id| Some((id.clone(), built_in(&id)?))).collect();
        let spec = |id: &RoleId| self.roles.get(id).or_else(|| built_in.get(id));
        let below = |id: &RoleId| spec(id).map_or_else(Vec::new, |spec| spec.inherits.iter().collect());
        let of_these = inherits.iter().map(|inherited| role::depth(inherited, &below, DEPTH_MAX)).max();
        let mut heirs: BTreeMap<&RoleId, Vec<&RoleId>> = BTreeMap::new();
        for (heir, spec) in self.roles.iter().chain(built_in.iter().filter(|(id, _)| !self.roles.contains_key(id))) {
            for inherited in &spec.inherits {
                heirs.entry(inherited).or_default().push(heir);
            }
        }
        let above = role::depth(role, &|id| heirs.get(id).cloned().unwrap_or_default(), DEPTH_MAX);
        let depth = above + of_these.unwrap_or(0);
        if depth > DEPTH_MAX {
            let reason = format!(
                "{depth} roles or more would stand on one path; at most {DEPTH_MAX} may: inherit from fewer levels"
            );
            return Err(Rejection::invalid("inherits", reason));
        }
        Ok(())
    }

    fn give(&self, give: &GiveGrant, stamp: &Stamp) -> Result<Vec<AccessEvent>, Rejection> {
        let grant = give.id();
        if !self.knows(&grant.role) {
            return Err(Rejection::not_found("role", &grant.role));
        }
        if !stamp.tenant.is_steward() && !grant.on.is_within(&stamp.tenant) {
            return Err(Rejection::invalid("on", format!("{} is outside tenant {}", grant.on, stamp.tenant)));
        }
        // Beside the check of people: a group and its grants end together.
        if grant.to.is_group() && self.groups.get(&grant.to).is_none() {
            return Err(Rejection::not_found("group", &grant.to));
        }
        limit::future("expires", give.expires, stamp.at)?;
        limit::count("condition.models", give.condition.as_ref().map_or(0, |c| c.models.len()), MODELS_MAX)?;
        let terms = Terms { expires: give.expires, condition: give.condition.clone() };
        if self.terms(&grant) == Some(&terms) {
            return Ok(vec![]);
        }
        let held = self.grants.get(&grant.to).map_or(0, BTreeMap::len);
        let most = if grant.to.is_group() { GROUP_GRANTS_MAX } else { GRANTS_MAX };
        limit::count("grants", held + usize::from(self.terms(&grant).is_none()), most)?;
        if terms.condition.is_some() {
            let others =
                self.grants_of(&grant.to).filter(|(other, terms)| *other != grant && terms.condition.is_some());
            limit::count("grants with a condition", others.count() + 1, CONDITIONAL_GRANTS_MAX)?;
        }
        Ok(vec![AccessEvent::RoleGranted { grant, expires: terms.expires, condition: terms.condition }])
    }

    /// A mistyped grant must not look revoked, so what is not there is an error.
    fn revoke(&self, revoke: &RevokeGrant) -> Result<Vec<AccessEvent>, Rejection> {
        limit::reason(&revoke.reason)?;
        let grant = revoke.id();
        if self.terms(&grant).is_none() {
            return Err(Rejection::not_found("grant", &grant));
        }
        Ok(vec![AccessEvent::GrantRevoked { grant, reason: revoke.reason.clone() }])
    }
}

impl Aggregate for Access {
    type Command = AccessCommand;
    type Event = AccessEvent;

    fn decide(&self, command: &AccessCommand, stamp: &Stamp) -> Result<Vec<AccessEvent>, Rejection> {
        match command {
            AccessCommand::DefineRole(define) => self.define(define, stamp),
            AccessCommand::GiveGrant(give) => self.give(give, stamp),
            AccessCommand::RevokeGrant(revoke) => self.revoke(revoke),
            AccessCommand::DefineGroup(define) => self.groups.define(define, &stamp.tenant),
            AccessCommand::JoinGroup(join) => self.groups.join(join),
            AccessCommand::LeaveGroup(leave) => self.groups.leave(leave),
            AccessCommand::RemoveGroup(remove) => self.groups.remove(remove),
        }
    }

    fn apply(&mut self, event: &AccessEvent, _: Timestamp) {
        match event.clone() {
            AccessEvent::RoleDefined { role, permissions, inherits } => {
                self.roles.insert(role, RoleSpec { permissions, inherits });
            }
            AccessEvent::RoleGranted { grant: GrantId { to, role, on }, expires, condition } => {
                self.grants.entry(to).or_default().insert((role, on), Terms { expires, condition });
            }
            AccessEvent::GrantRevoked { grant: GrantId { to, role, on }, .. } => {
                if let Some(held) = self.grants.get_mut(&to) {
                    held.remove(&(role, on));
                    if held.is_empty() {
                        self.grants.remove(&to);
                    }
                }
            }
            AccessEvent::GroupDefined { group, name, description } => self.groups.set(group, name, description),
            AccessEvent::GroupJoined { group, member } => self.groups.add(group, member),
            AccessEvent::GroupLeft { group, member, reason: _ } => self.groups.take_out(&group, &member),
            AccessEvent::GroupRemoved { group, reason: _ } => {
                self.groups.drop(&group);
                self.grants.remove(&group);
            }
        }
    }

    fn answer(&self, command: &AccessCommand) -> serde_json::Value {
        match command {
            AccessCommand::DefineRole(define) => json!({ "role": define.role }),
            AccessCommand::GiveGrant(give) => json!({ "grant": give.id() }),
            AccessCommand::RevokeGrant(revoke) => json!({ "grant": revoke.id() }),
            AccessCommand::DefineGroup(define) => {
                let named = self.groups.named(&define.name);
                json!({ "group": named, "name": define.name })
            }
            AccessCommand::JoinGroup(join) => json!({ "group": join.group, "member": join.member }),
            AccessCommand::LeaveGroup(leave) => json!({ "group": leave.group, "member": leave.member }),
            AccessCommand::RemoveGroup(remove) => json!({ "group": remove.group }),
        }
    }
}

#[cfg(test)]
mod tests;
