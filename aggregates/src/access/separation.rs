//! Separation of duties: roles of which nobody may hold two at scopes that overlap.

use std::collections::{BTreeMap, BTreeSet};

use steward_events::command::{RemoveSeparation, SetSeparation};
use steward_events::event::{AccessEvent, GrantId, SeparationSpec};
use steward_events::id::{PrincipalId, RoleId};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::Access;
use super::role::{RoleSpec, built_in, closure};
use crate::aggregate::Stamp;
use crate::limit;

/// The most separations of one tenant.
const SEPARATIONS_MAX: usize = 100;

/// The most roles of one separation.
const ROLES_MAX: usize = 8;

/// The most principals that may go on when a separation is set.
const EXISTING_MAX: usize = 1_000;

/// So many are named in a refusal.
const NAMED_MAX: usize = 10;

/// Two roles that are held together.
pub type Pair = (RoleId, RoleId);

/// The first two roles of `spec` that are held together by `held`; `reached` says what a role is, what it inherits included.
pub fn broken<'a>(
    spec: &SeparationSpec,
    held: impl IntoIterator<Item = (&'a RoleId, &'a Scope)>,
    mut reached: impl FnMut(&RoleId) -> BTreeSet<RoleId>,
) -> Option<Pair> {
    let mut at: BTreeMap<Scope, BTreeSet<RoleId>> = BTreeMap::new();
    for (role, on) in held {
        if !overlap(on, &spec.on) {
            continue;
        }
        let reached = reached(role);
        at.entry(on.clone()).or_default().extend(spec.roles.iter().filter(|role| reached.contains(*role)).cloned());
    }
    // Two scopes overlap if one is the other or above it.
    at.keys().find_map(|scope| {
        let here: BTreeSet<&RoleId> = scope.ancestors().filter_map(|above| at.get(&above)).flatten().collect();
        let mut here = here.into_iter();
        Some((here.next()?.clone(), here.next()?.clone()))
    })
}

/// True if something is at both.
pub fn overlap(one: &Scope, other: &Scope) -> bool {
    one.contains(other) || other.contains(one)
}

impl Access {
    fn reached(&self, role: &RoleId) -> BTreeSet<RoleId> {
        closure(role, |role| self.spec(role)).roles().cloned().collect()
    }

    fn spec(&self, role: &RoleId) -> Option<RoleSpec> {
        self.roles.get(role).cloned().or_else(|| built_in(role))
    }

    /// Refuses `grant` if its holder would have two roles that are kept apart; of a group's, if somebody in it would.
    pub(super) fn may_hold_too(&self, grant: &GrantId, now: Timestamp) -> Result<(), Rejection> {
        let members = self.group(&grant.to).into_iter().flat_map(|group| &group.members);
        std::iter::once(&grant.to).chain(members).try_for_each(|who| self.may_hold(who, grant, now))
    }

    /// Refuses a new member who would have two roles that are kept apart.
    pub(super) fn may_join(&self, member: &PrincipalId, group: &PrincipalId, now: Timestamp) -> Result<(), Rejection> {
        self.current(group, now).try_for_each(|grant| self.may_hold(member, &grant, now))
    }

    fn may_hold(&self, who: &PrincipalId, grant: &GrantId, now: Timestamp) -> Result<(), Rejection> {
        for (separation, spec) in self.separations.iter().filter(|(_, spec)| overlap(&spec.on, &grant.on)) {
            let new = self.reached(&grant.role);
            if !spec.roles.iter().any(|role| new.contains(role)) {
                continue;
            }
            // Only pairs of which it is one: who may go on with another pair is not held to that.
            let others = self.current(who, now).filter(|other| other != grant).chain([grant.clone()]);
            let beside = others.filter(|other| overlap(&other.on, &grant.on));
            let pair = beside.into_iter().find_map(|other| {
                let two = [(&grant.role, &grant.on), (&other.role, &other.on)];
                broken(spec, two, |role| self.reached(role))
            });
            if let Some((one, other)) = pair {
                let reason = format!("{who} would hold {one} and {other}, which {separation} keeps apart");
                return Err(Rejection::invalid("role", reason));
            }
        }
        Ok(())
    }

    /// Refuses to let `role` mean `spec` if somebody would come to hold two roles that are kept apart.
    pub(super) fn keeps_apart(&self, role: &RoleId, spec: &RoleSpec, now: Timestamp) -> Result<(), Rejection> {
        let is_new = |id: &RoleId| if id == role { Some(spec.clone()) } else { self.spec(id) };
        for (separation, of) in &self.separations {
            let before = self.breakers(of, now, |id| self.spec(id));
            let after = self.breakers(of, now, is_new);
            if let Some((who, (one, other))) = after.into_iter().find(|(who, _)| !before.contains_key(who)) {
                let reason = format!("{who} would hold {one} and {other}, which {separation} keeps apart");
                return Err(Rejection::invalid("inherits", reason));
            }
        }
        Ok(())
    }

    /// Who holds two roles of `of` together.
    fn breakers(
        &self,
        of: &SeparationSpec,
        now: Timestamp,
        known: impl Fn(&RoleId) -> Option<RoleSpec>,
    ) -> BTreeMap<PrincipalId, Pair> {
        let mut meanings: BTreeMap<RoleId, BTreeSet<RoleId>> = BTreeMap::new();
        let mut reached = |role: &RoleId| {
            let meaning = || closure(role, &known).roles().cloned().collect();
            meanings.entry(role.clone()).or_insert_with(meaning).clone()
        };
        let holders: BTreeSet<&PrincipalId> = self.holders().chain(self.members()).collect();
        let mut pair = |holder: &PrincipalId| {
            let held: Vec<GrantId> = self.current(holder, now).collect();
            broken(of, held.iter().map(|grant| (&grant.role, &grant.on)), &mut reached)
        };
        holders.into_iter().filter_map(|holder| Some((holder.clone(), pair(holder)?))).collect()
    }

    /// What somebody holds, what the groups hold that they are in included.
    fn current(&self, holder: &PrincipalId, now: Timestamp) -> impl Iterator<Item = GrantId> {
        let through = self.groups_of(holder).flat_map(|(group, _)| self.grants_of(group));
        self.grants_of(holder).chain(through).filter(move |(_, terms)| !terms.is_over(now)).map(|(grant, _)| grant)
    }

    /// Who breaks a separation now, as far as the tenant's own log says.
    pub fn who_breaks(&self, of: &SeparationSpec, now: Timestamp) -> BTreeMap<PrincipalId, Pair> {
        self.breakers(of, now, |role| self.spec(role))
    }

    pub(super) fn set_separation(&self, set: &SetSeparation, stamp: &Stamp) -> Result<Vec<AccessEvent>, Rejection> {
        let SetSeparation { separation, roles, on, allow_existing, reason } = set.clone();
        let on = on.unwrap_or_else(|| Scope::tenant(&stamp.tenant));
        super::within("on", &on, stamp)?;
        limit::reason(&reason)?;
        let mut named = BTreeSet::new();
        let roles: Vec<RoleId> = roles.into_iter().filter(|role| named.insert(role.clone())).collect();
        limit::count("roles", roles.len(), ROLES_MAX)?;
        if roles.len() < 2 {
            return Err(Rejection::invalid("roles", "name two roles or more"));
        }
        if let Some(unknown) = roles.iter().find(|role| !self.knows(role)) {
            return Err(Rejection::not_found("role", unknown));
        }
        if let Some((heir, inherited)) = self.inherits_another(&roles) {
            let reason = format!("{heir} inherits {inherited}: who holds the one holds both");
            return Err(Rejection::invalid("roles", reason));
        }
        let mut spec = SeparationSpec { roles, on, reason, existing: vec![] };
        let breakers = self.who_breaks(&spec, stamp.at);
        if !breakers.is_empty() && !allow_existing {
            return Err(Rejection::invalid("roles", are_held_together(&breakers)));
        }
        limit::count("existing", breakers.len(), EXISTING_MAX)?;
        spec.existing = breakers.into_keys().collect();
        if self.separations.get(&separation) == Some(&spec) {
            return Ok(vec![]);
        }
        let more = usize::from(!self.separations.contains_key(&separation));
        limit::count("separations", self.separations.len() + more, SEPARATIONS_MAX)?;
        Ok(vec![AccessEvent::SeparationSet { separation, spec }])
    }

    fn inherits_another(&self, roles: &[RoleId]) -> Option<Pair> {
        roles.iter().find_map(|heir| {
            let reached = self.reached(heir);
            let other = roles.iter().find(|other| *other != heir && reached.contains(*other))?;
            Some((heir.clone(), other.clone()))
        })
    }

    pub(super) fn remove_separation(&self, remove: &RemoveSeparation) -> Result<Vec<AccessEvent>, Rejection> {
        let RemoveSeparation { separation, reason } = remove.clone();
        limit::reason(&reason)?;
        if !self.separations.contains_key(&separation) {
            return Err(Rejection::not_found("separation", &separation));
        }
        Ok(vec![AccessEvent::SeparationRemoved { separation, reason }])
    }
}

fn are_held_together(breakers: &BTreeMap<PrincipalId, Pair>) -> String {
    let named = breakers.iter().take(NAMED_MAX).map(|(who, (one, other))| format!("{who} ({one} and {other})"));
    let named: Vec<String> = named.collect();
    let more = match breakers.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "are held together by {}{more}: revoke a grant of each, or say allow_existing to let them go on",
        named.join(", ")
    )
}
