//! Groups: each holds grants, and whoever is in it holds them too. No group is in another.

use std::collections::{BTreeMap, BTreeSet};

use steward_events::command::{DefineGroup, JoinGroup, LeaveGroup, RemoveGroup};
use steward_events::event::AccessEvent;
use steward_events::id::{PrincipalId, TenantId, is_token};
use steward_events::rejection::Rejection;

use crate::limit::{self, REASON_BYTES_MAX};

/// The most groups of one tenant.
pub const GROUPS_MAX: usize = 1_000;

/// The most groups that one principal is in.
pub const GROUPS_OF_MAX: usize = 50;

/// The most grants of one group: with [`GROUPS_OF_MAX`] as many as a principal may have of its own.
pub const GROUP_GRANTS_MAX: usize = 200;

/// The most members of all groups of one tenant together.
pub const MEMBERSHIPS_MAX: usize = 200_000;

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name, unique in the tenant.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who is in it.
    pub members: BTreeSet<PrincipalId>,
}

/// A tenant's groups, and who is in which.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    known: BTreeMap<PrincipalId, Group>,
    of: BTreeMap<PrincipalId, BTreeSet<PrincipalId>>,
    memberships: usize,
}

impl Groups {
    pub(super) fn get(&self, group: &PrincipalId) -> Option<&Group> {
        self.known.get(group)
    }

    pub(super) fn of(&self, member: &PrincipalId) -> impl Iterator<Item = (&PrincipalId, &Group)> {
        self.of.get(member).into_iter().flatten().filter_map(|group| self.known.get_key_value(group))
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &PrincipalId> {
        self.of.keys()
    }

    pub(super) fn named(&self, name: &str) -> Option<&PrincipalId> {
        self.known.iter().find(|(_, group)| group.name == name).map(|(id, _)| id)
    }

    fn defined(&self, group: &PrincipalId) -> Result<&Group, Rejection> {
        self.get(group).ok_or_else(|| Rejection::not_found("group", group))
    }

    pub(super) fn define(&self, define: &DefineGroup, tenant: &TenantId) -> Result<Vec<AccessEvent>, Rejection> {
        let DefineGroup { name, description } = define.clone();
        if !is_token(&name) {
            return Err(Rejection::invalid("name", "use 1 to 80 of a-z, 0-9, '_' and '-', e.g. support-team"));
        }
        limit::text("description", &description, REASON_BYTES_MAX)?;
        let group = PrincipalId::group(tenant, &name);
        match self.get(&group) {
            Some(known) if known.description == description => return Ok(vec![]),
            Some(_) => {}
            None => limit::count("groups", self.known.len() + 1, GROUPS_MAX)?,
        }
        Ok(vec![AccessEvent::GroupDefined { group, name, description }])
    }

    /// Whether the member exists is known where the command is authorised, as for grants.
    pub(super) fn join(&self, join: &JoinGroup) -> Result<Vec<AccessEvent>, Rejection> {
        let JoinGroup { group, member } = join.clone();
        let known = self.defined(&group)?;
        if member.is_group() {
            return Err(Rejection::invalid("member", "is a group, and no group is in another: put in its members"));
        }
        if known.members.contains(&member) {
            return Ok(vec![]);
        }
        limit::count("memberships", self.memberships + 1, MEMBERSHIPS_MAX)?;
        limit::count("groups of this member", self.of.get(&member).map_or(0, BTreeSet::len) + 1, GROUPS_OF_MAX)?;
        Ok(vec![AccessEvent::GroupJoined { group, member }])
    }

    /// A mistyped member must not look as if they had left, so who is not in it is an error.
    pub(super) fn leave(&self, leave: &LeaveGroup) -> Result<Vec<AccessEvent>, Rejection> {
        limit::reason(&leave.reason)?;
        let LeaveGroup { group, member, reason } = leave.clone();
        if !self.defined(&group)?.members.contains(&member) {
            return Err(Rejection::not_found("member", &member));
        }
        Ok(vec![AccessEvent::GroupLeft { group, member, reason }])
    }

    pub(super) fn remove(&self, remove: &RemoveGroup) -> Result<Vec<AccessEvent>, Rejection> {
        limit::reason(&remove.reason)?;
        self.defined(&remove.group)?;
        Ok(vec![AccessEvent::GroupRemoved { group: remove.group.clone(), reason: remove.reason.clone() }])
    }

    pub(super) fn set(&mut self, group: PrincipalId, name: String, description: String) {
        let members = self.known.remove(&group).map(|known| known.members).unwrap_or_default();
        self.known.insert(group, Group { name, description, members });
    }

    pub(super) fn add(&mut self, group: PrincipalId, member: PrincipalId) {
        let Some(known) = self.known.get_mut(&group) else { return };
        if known.members.insert(member.clone()) {
            self.memberships += 1;
        }
        self.of.entry(member).or_default().insert(group);
    }

    pub(super) fn take_out(&mut self, group: &PrincipalId, member: &PrincipalId) {
        if self.known.get_mut(group).is_some_and(|known| known.members.remove(member)) {
            self.forget(group, member);
        }
    }

    pub(super) fn drop(&mut self, group: &PrincipalId) {
        let Some(known) = self.known.remove(group) else { return };
        for member in &known.members {
            self.forget(group, member);
        }
    }

    fn forget(&mut self, group: &PrincipalId, member: &PrincipalId) {
        self.memberships = self.memberships.saturating_sub(1);
        if let Some(of) = self.of.get_mut(member) {
            of.remove(group);
            if of.is_empty() {
                self.of.remove(member);
            }
        }
    }
}
