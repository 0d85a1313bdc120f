//! A role that goes, and what hangs on it.

use steward_events::command::RemoveRole;
use steward_events::event::{AccessEvent, GrantId};
use steward_events::id::{RoleId, RuleId};
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;

use super::role::built_in;
use super::{Access, Terms};
use crate::aggregate::Stamp;
use crate::limit;

/// The most grants that go in one commit.
pub(super) const REVOKED_MAX: usize = 1_000;

impl Access {
    /// The grants of `role`, those that have expired included.
    pub fn grants_by_role(&self, role: &RoleId) -> impl Iterator<Item = (GrantId, &Terms)> {
        self.grants.keys().flat_map(|to| self.given_to(to)).filter(move |(grant, _)| grant.role == *role)
    }

    /// The roles of this tenant that inherit `role` directly.
    pub fn heirs(&self, role: &RoleId) -> impl Iterator<Item = &RoleId> {
        self.roles.iter().filter(move |(_, spec)| spec.inherits.contains(role)).map(|(heir, _)| heir)
    }

    /// The rules that name `role`.
    pub fn rules_about(&self, role: &RoleId) -> impl Iterator<Item = &RuleId> {
        let denials = self.denials.iter().filter(move |(_, spec)| spec.whom.roles.contains(role)).map(|(name, _)| name);
        let apart = self.separations.iter().filter(move |(_, spec)| spec.roles.contains(role)).map(|(name, _)| name);
        let elevations = self.elevation_rules.iter().filter(move |(_, spec)| {
            spec.role == *role || spec.asker_roles.contains(role) || spec.approver_roles.contains(role)
        });
        denials.chain(apart).chain(elevations.map(|(name, _)| name))
    }

    /// Why `role` cannot go, however many hold it; none if it can.
    pub fn obstacle_to_removal(&self, role: &RoleId, now: Timestamp) -> Option<String> {
        if let Some(heir) = self.heirs(role).next() {
            return Some(format!("{heir} inherits it: define {heir} without it first"));
        }
        if let Some(rule) = self.rules_about(role).next() {
            return Some(format!("the rule {rule} names it: change or remove that first"));
        }
        self.elevations_to(role, now).next().map(|id| format!("the elevation {id} is to it: end that first"))
    }

    pub(super) fn remove_role(&self, remove: &RemoveRole, stamp: &Stamp) -> Result<Vec<AccessEvent>, Rejection> {
        let RemoveRole { role, revoke_grants, reason } = remove.clone();
        limit::reason(&reason)?;
        if !self.roles.contains_key(&role) {
            return match built_in(&role) {
                Some(_) => Err(Rejection::invalid("role", format!("{role} is built in and stays"))),
                None => Err(Rejection::not_found("role", &role)),
            };
        }
        if built_in(&role).is_some() {
            return Err(Rejection::invalid("role", format!("{role} is built in and stays")));
        }
        if let Some(obstacle) = self.obstacle_to_removal(&role, stamp.at) {
            return Err(Rejection::invalid("role", obstacle));
        }
        let held: Vec<GrantId> = self.grants_by_role(&role).map(|(grant, _)| grant).collect();
        if !held.is_empty() && !revoke_grants {
            let why = format!(
                "{} grants of {role} are there: see them with steward role remove {role} --plan, revoke them, or say \
                 revoke_grants",
                held.len()
            );
            return Err(Rejection::invalid("revoke_grants", why));
        }
        limit::count("grants to be revoked", held.len(), REVOKED_MAX)?;
        let because = format!("the role was removed: {reason}");
        let revoked = held.into_iter().map(|grant| AccessEvent::GrantRevoked { grant, reason: because.clone() });
        Ok(revoked.chain([AccessEvent::RoleRemoved { role, reason }]).collect())
    }
}
