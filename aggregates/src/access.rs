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

pub mod role;
mod trial;

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

/// A tenant's roles and grants.
#[derive(Clone, Debug, Default)]
pub struct Access {
    roles: BTreeMap<RoleId, RoleSpec>,
    grants: BTreeMap<PrincipalId, BTreeMap<(RoleId, Scope), Terms>>,
}

/// Until when and under which condition a grant holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Until when; none is until revoked.
    pub expires: Option<Timestamp>,
    /// The grant counts only for calls that meet this condition.
    pub condition: Option<Condition>,
    /// Until when the grant is set aside: it counts only for what nothing else allows, and is given back then.
    pub trial: Option<Timestamp>,
}

impl Terms {
    /// True if the grant holds always and for everything its role permits.
    pub const fn is_plain(&self) -> bool {
        self.expires.is_none() && self.condition.is_none()
    }

    /// True while the grant is set aside for a trial.
    pub const fn is_set_aside(&self) -> bool {
        self.trial.is_some()
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
        limit::future("expires", give.expires, stamp.at)?;
        limit::count("condition.models", give.condition.as_ref().map_or(0, |c| c.models.len()), MODELS_MAX)?;
        let terms = Terms { expires: give.expires, condition: give.condition.clone(), trial: None };
        if self.terms(&grant) == Some(&terms) {
            return Ok(vec![]);
        }
        let held = self.grants.get(&grant.to).map_or(0, BTreeMap::len);
        limit::count("grants", held + usize::from(self.terms(&grant).is_none()), GRANTS_MAX)?;
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
            AccessCommand::StartTrial(start) => self.start_trial(start, stamp),
            AccessCommand::StopTrial(stop) => self.stop_trial(stop),
            AccessCommand::NeedTrial(need) => Ok(self.need_trial(need)),
            AccessCommand::EndTrial(end) => Ok(self.end_trial(end, stamp)),
        }
    }

    fn apply(&mut self, event: &AccessEvent, _: Timestamp) {
        match event.clone() {
            AccessEvent::RoleDefined { role, permissions, inherits } => {
                self.roles.insert(role, RoleSpec { permissions, inherits });
            }
            AccessEvent::RoleGranted { grant: GrantId { to, role, on }, expires, condition } => {
                self.grants.entry(to).or_default().insert((role, on), Terms { expires, condition, trial: None });
            }
            AccessEvent::TrialStarted { grant, until } => self.set_trial(&grant, Some(until)),
            AccessEvent::TrialEnded { grant, .. } => self.set_trial(&grant, None),
            AccessEvent::GrantRevoked { grant: GrantId { to, role, on }, .. } => {
                if let Some(held) = self.grants.get_mut(&to) {
                    held.remove(&(role, on));
                    if held.is_empty() {
                        self.grants.remove(&to);
                    }
                }
            }
        }
    }

    fn answer(&self, command: &AccessCommand) -> serde_json::Value {
        match command {
            AccessCommand::DefineRole(define) => json!({ "role": define.role }),
            AccessCommand::GiveGrant(give) => json!({ "grant": give.id() }),
            AccessCommand::RevokeGrant(revoke) => json!({ "grant": revoke.id() }),
            AccessCommand::StartTrial(start) => json!({ "grant": start.id(), "until": start.until }),
            AccessCommand::StopTrial(stop) => json!({ "grant": stop.id() }),
            AccessCommand::NeedTrial(_) | AccessCommand::EndTrial(_) => serde_json::Value::Null,
        }
    }
}

#[cfg(test)]
mod tests;
