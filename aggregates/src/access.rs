//! Guards what roles mean and who holds them: no role inherits itself, nobody holds a role that is unknown, nor two that are
//! kept apart. Beside grants it holds what else decides on access: denials, elevations, reviews, classes of data.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use steward_events::command::{AccessCommand, DefineRole, GiveGrant, RevokeGrant};
use steward_events::event::{AccessEvent, DenialSpec, ElevationRule, GrantId, SeparationSpec};
use steward_events::id::{DataClass, ElevationId, PrincipalId, ReviewId, RoleId, RuleId};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};
use crate::limit;

mod condition;
mod data_class;
mod denial;
pub mod elevation;
mod groups;
mod removal;
pub mod review;
pub mod role;
pub mod separation;
mod terms;
mod trial;

pub use groups::{GROUP_GRANTS_MAX, GROUPS_MAX, GROUPS_OF_MAX, Group, MEMBERSHIPS_MAX};

pub use terms::Terms;

use elevation::Elevation;
use groups::Groups;
use review::Review;
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
    denials: BTreeMap<RuleId, DenialSpec>,
    separations: BTreeMap<RuleId, SeparationSpec>,
    elevation_rules: BTreeMap<RuleId, ElevationRule>,
    elevations: BTreeMap<ElevationId, Elevation>,
    reviews: BTreeMap<ReviewId, Review>,
    classes: BTreeMap<Scope, DataClass>,
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

    /// What `principal` was granted here and was not revoked, grants that have expired and elevations included.
    pub fn grants_of(&self, principal: &PrincipalId) -> impl Iterator<Item = (GrantId, &Terms)> {
        self.given_to(principal).chain(self.elevated(principal))
    }

    /// The same without elevations.
    fn given_to(&self, principal: &PrincipalId) -> impl Iterator<Item = (GrantId, &Terms)> + use<'_> {
        let to = principal.clone();
        self.grants
            .get(principal)
            .into_iter()
            .flatten()
            .map(move |((role, on), terms)| (GrantId { to: to.clone(), role: role.clone(), on: on.clone() }, terms))
    }

    /// Everyone who was granted something here; who was given a role for a time may come twice.
    pub fn holders(&self) -> impl Iterator<Item = &PrincipalId> {
        self.grants.keys().chain(self.elevated_principals())
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

    /// Denials by name, those that have ended included.
    pub fn denials(&self) -> impl Iterator<Item = (&RuleId, &DenialSpec)> {
        self.denials.iter()
    }

    /// Separations of duties by name.
    pub fn separations(&self) -> impl Iterator<Item = (&RuleId, &SeparationSpec)> {
        self.separations.iter()
    }

    /// What may be asked for, by the rule's name.
    pub fn elevation_rules(&self) -> impl Iterator<Item = (&RuleId, &ElevationRule)> {
        self.elevation_rules.iter()
    }

    /// The scopes that have a class of data of their own.
    pub fn data_classes(&self) -> impl Iterator<Item = (&Scope, &DataClass)> {
        self.classes.iter()
    }

    /// The terms of a grant that was given by hand.
    pub fn terms(&self, grant: &GrantId) -> Option<&Terms> {
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
        self.keeps_apart(&role, &spec, stamp.at)?;
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
        within("on", &grant.on, stamp)?;
        // Beside the check of people: a group and its grants end together.
        if grant.to.is_group() && self.groups.get(&grant.to).is_none() {
            return Err(Rejection::not_found("group", &grant.to));
        }
        limit::future("expires", give.expires, stamp.at)?;
        let condition = condition::checked(give.condition.as_ref(), &stamp.timezone)?;
        let terms = Terms { expires: give.expires, condition, given_at: stamp.at, ..Terms::default() };
        let is_same = |held: &Terms| (held.expires, &held.condition) == (terms.expires, &terms.condition);
        let is_plain_again = |held: &Terms| is_same(held) && held.review_due.is_none() && !held.is_set_aside();
        if self.terms(&grant).is_some_and(is_plain_again) {
            return Ok(vec![]);
        }
        self.may_hold_too(&grant, stamp.at)?;
        let held = self.grants.get(&grant.to).map_or(0, BTreeMap::len);
        let most = if grant.to.is_group() { GROUP_GRANTS_MAX } else { GRANTS_MAX };
        limit::count("grants", held + usize::from(self.terms(&grant).is_none()), most)?;
        if terms.condition.is_some() {
            let others = self.given_to(&grant.to).filter(|(other, terms)| *other != grant && terms.condition.is_some());
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

/// Refuses a scope that is not the tenant's; those of `steward` reach every tenant.
fn within(field: &str, scope: &Scope, stamp: &Stamp) -> Result<(), Rejection> {
    if stamp.tenant.is_steward() || scope.is_within(&stamp.tenant) {
        return Ok(());
    }
    Err(Rejection::invalid(field, format!("{scope} is outside tenant {}", stamp.tenant)))
}

impl Aggregate for Access {
    type Command = AccessCommand;
    type Event = AccessEvent;

    fn decide(&self, command: &AccessCommand, stamp: &Stamp) -> Result<Vec<AccessEvent>, Rejection> {
        match command {
            AccessCommand::DefineRole(define) => self.define(define, stamp),
            AccessCommand::RemoveRole(remove) => self.remove_role(remove, stamp),
            AccessCommand::GiveGrant(give) => self.give(give, stamp),
            AccessCommand::RevokeGrant(revoke) => self.revoke(revoke),
            AccessCommand::DefineGroup(define) => self.groups.define(define, &stamp.tenant),
            AccessCommand::JoinGroup(join) => {
                let events = self.groups.join(join)?;
                if !events.is_empty() {
                    self.may_join(&join.member, &join.group, stamp.at)?;
                }
                Ok(events)
            }
            AccessCommand::LeaveGroup(leave) => self.groups.leave(leave),
            AccessCommand::RemoveGroup(remove) => self.groups.remove(remove),
            AccessCommand::SetDenial(set) => self.set_denial(set, stamp),
            AccessCommand::RemoveDenial(remove) => self.remove_denial(remove),
            AccessCommand::SetSeparation(set) => self.set_separation(set, stamp),
            AccessCommand::RemoveSeparation(remove) => self.remove_separation(remove),
            AccessCommand::AllowElevation(allow) => self.allow_elevation(allow, stamp),
            AccessCommand::DisallowElevation(disallow) => self.disallow_elevation(disallow),
            AccessCommand::RequestElevation(request) => self.request_elevation(request, stamp),
            AccessCommand::ApproveElevation(approve) => self.approve_elevation(approve, stamp),
            AccessCommand::RefuseElevation(refuse) => self.refuse_elevation(refuse, stamp),
            AccessCommand::EndElevation(end) => self.end_elevation(end, stamp),
            AccessCommand::StartReview(start) => self.start_review(start, stamp),
            AccessCommand::ConfirmReviewed(confirm) => self.confirm_reviewed(confirm, stamp),
            AccessCommand::RevokeReviewed(revoke) => self.revoke_reviewed(revoke, stamp),
            AccessCommand::CloseReview(close) => self.close_review(close, stamp),
            AccessCommand::SetDataClass(set) => self.set_data_class(set, stamp),
            AccessCommand::StartTrial(start) => self.start_trial(start, stamp),
            AccessCommand::StopTrial(stop) => self.stop_trial(stop),
            AccessCommand::NeedTrial(need) => Ok(self.need_trial(need)),
            AccessCommand::EndTrial(end) => Ok(self.end_trial(end, stamp)),
        }
    }

    fn apply(&mut self, event: &AccessEvent, at: Timestamp) {
        match event.clone() {
            AccessEvent::RoleDefined { role, permissions, inherits } => {
                self.roles.insert(role, RoleSpec { permissions, inherits });
            }
            AccessEvent::RoleRemoved { role, .. } => _ = self.roles.remove(&role),
            AccessEvent::RoleGranted { grant: GrantId { to, role, on }, expires, condition } => {
                let terms = Terms { expires, condition, given_at: at, ..Terms::default() };
                self.grants.entry(to).or_default().insert((role, on), terms);
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
            AccessEvent::GroupDefined { group, name, description } => self.groups.set(group, name, description),
            AccessEvent::GroupJoined { group, member } => self.groups.add(group, member),
            AccessEvent::GroupLeft { group, member, reason: _ } => self.groups.take_out(&group, &member),
            AccessEvent::GroupRemoved { group, reason: _ } => {
                self.groups.drop(&group);
                self.grants.remove(&group);
            }
            AccessEvent::DenialSet { denial, spec } => _ = self.denials.insert(denial, spec),
            AccessEvent::DenialRemoved { denial, .. } => _ = self.denials.remove(&denial),
            AccessEvent::SeparationSet { separation, spec } => _ = self.separations.insert(separation, spec),
            AccessEvent::SeparationRemoved { separation, .. } => _ = self.separations.remove(&separation),
            AccessEvent::DataClassSet { scope, class: Some(class) } => _ = self.classes.insert(scope, class),
            AccessEvent::DataClassSet { scope, class: None } => _ = self.classes.remove(&scope),
            AccessEvent::ElevationAllowed { .. }
            | AccessEvent::ElevationDisallowed { .. }
            | AccessEvent::ElevationRequested { .. }
            | AccessEvent::ElevationApproved { .. }
            | AccessEvent::ElevationRefused { .. }
            | AccessEvent::ElevationEnded { .. } => self.apply_elevation(event, at),
            AccessEvent::ReviewStarted { .. }
            | AccessEvent::GrantsConfirmed { .. }
            | AccessEvent::ReviewClosed { .. } => self.apply_review(event, at),
        }
    }

    fn answer(&self, command: &AccessCommand) -> serde_json::Value {
        match command {
            AccessCommand::DefineRole(DefineRole { role, .. }) => json!({ "role": role }),
            AccessCommand::RemoveRole(remove) => json!({ "role": remove.role }),
            AccessCommand::GiveGrant(give) => json!({ "grant": give.id() }),
            AccessCommand::RevokeGrant(revoke) => json!({ "grant": revoke.id() }),
            AccessCommand::DefineGroup(define) => {
                let named = self.groups.named(&define.name);
                json!({ "group": named, "name": define.name })
            }
            AccessCommand::JoinGroup(join) => json!({ "group": join.group, "member": join.member }),
            AccessCommand::LeaveGroup(leave) => json!({ "group": leave.group, "member": leave.member }),
            AccessCommand::RemoveGroup(remove) => json!({ "group": remove.group }),
            AccessCommand::SetDenial(set) => json!({ "denial": set.denial }),
            AccessCommand::RemoveDenial(remove) => json!({ "denial": remove.denial }),
            AccessCommand::SetSeparation(set) => json!({ "separation": set.separation }),
            AccessCommand::RemoveSeparation(remove) => json!({ "separation": remove.separation }),
            AccessCommand::AllowElevation(allow) => json!({ "rule": allow.rule }),
            AccessCommand::DisallowElevation(disallow) => json!({ "rule": disallow.rule }),
            AccessCommand::RequestElevation(request) => self.told_elevation(request.elevation.as_ref()),
            AccessCommand::ApproveElevation(approve) => self.told_elevation(Some(&approve.elevation)),
            AccessCommand::RefuseElevation(refuse) => self.told_elevation(Some(&refuse.elevation)),
            AccessCommand::EndElevation(end) => self.told_elevation(Some(&end.elevation)),
            AccessCommand::StartReview(start) => self.told_review(&start.review),
            AccessCommand::ConfirmReviewed(confirm) => self.told_review(&confirm.review),
            AccessCommand::RevokeReviewed(revoke) => self.told_review(&revoke.review),
            AccessCommand::CloseReview(close) => self.told_review(&close.review),
            AccessCommand::SetDataClass(set) => json!({ "scope": set.scope }),
            AccessCommand::StartTrial(start) => json!({ "grant": start.id(), "until": start.until }),
            AccessCommand::StopTrial(stop) => json!({ "grant": stop.id() }),
            AccessCommand::NeedTrial(_) | AccessCommand::EndTrial(_) => serde_json::Value::Null,
        }
    }
}

#[cfg(test)]
mod tests;
