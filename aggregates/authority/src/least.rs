//! The smaller grants that would have done: what was used, held against what is held.
//!
//! What reads is not recorded, so a grant that was not used may yet be looked through; a trial finds out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use steward_events::event::Condition;
use steward_events::id::{ModelId, PrincipalId, RoleId, TenantId};
use steward_events::permission::Permission;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;
use steward_queries::{Change, LeastRow, UsedGrant, UsedRight};

use super::Authority;
use super::held_rights::HeldRights;
use super::simulation::permissions;
use steward_aggregates::access::Access;
use steward_aggregates::access::role::{Closure, built_in_ids};
use steward_aggregates::limit::MODELS_MAX;

/// What was used of one grant.
#[derive(Default)]
struct Use<'a> {
    times: u64,
    last: Option<Timestamp>,
    permissions: BTreeSet<&'a Permission>,
    models: BTreeSet<&'a ModelId>,
    scopes: BTreeSet<&'a Scope>,
}

impl<'a> Use<'a> {
    fn add(&mut self, right: &'a UsedRight) {
        self.times += right.times;
        self.last = self.last.max(Some(right.last));
        self.permissions.insert(&right.permission);
        self.models.extend(&right.model);
        self.scopes.insert(&right.scope);
    }

    /// The narrowest scope that holds all of them.
    fn scope(&self) -> Option<Scope> {
        let mut scopes = self.scopes.iter();
        let first: &Scope = scopes.next()?;
        first.ancestors().find(|above| self.scopes.iter().all(|scope| above.contains(scope)))
    }

    /// True if calls of models are all that it was used for.
    fn is_of_calls(&self) -> bool {
        self.permissions.iter().all(|used| **used == Permission::model_invoke())
    }
}

impl Authority {
    /// What everyone who holds a grant of `tenant` used of it, and the smaller grants that would have done.
    pub fn least(
        &self,
        tenant: &TenantId,
        used: &[UsedRight],
        only: Option<&PrincipalId>,
        now: Timestamp,
    ) -> Vec<LeastRow> {
        let mut by_principal: BTreeMap<&PrincipalId, Vec<&UsedRight>> = BTreeMap::new();
        for right in used {
            by_principal.entry(&right.principal).or_default().push(right);
        }
        let meanings = self.breadths(tenant);
        let holders = self.access(tenant).into_iter().flat_map(Access::holders);
        let asked = holders.filter(|holder| only.is_none_or(|only| only == *holder));
        asked
            .map(|holder| {
                let used = by_principal.get(holder).map_or(&[][..], Vec::as_slice);
                LeastRow {
                    principal: holder.clone(),
                    name: self.name(tenant, holder),
                    grants: self.used_grants(tenant, holder, used, &meanings, now),
                }
            })
            .collect()
    }

    fn used_grants(
        &self,
        tenant: &TenantId,
        holder: &PrincipalId,
        used: &[&UsedRight],
        roles: &[Breadth],
        now: Timestamp,
    ) -> Vec<UsedGrant> {
        let rights = self.rights(tenant, holder);
        let current: Vec<&HeldRights> = rights.held.iter().filter(|held| !held.terms.is_over(now)).collect();
        let mut uses: Vec<Use<'_>> = current.iter().map(|_| Use::default()).collect();
        let is_asked = !used.is_empty();
        let breadths: Vec<usize> =
            current.iter().map(|held| if is_asked { permitted(&held.permissions).len() } else { 0 }).collect();
        for right in used {
            let of_it = |(_, held): &(usize, &&HeldRights)| allows(held, right);
            // The narrowest of those that allow it, so that what is wider is seen not to be needed.
            let narrowest = current.iter().enumerate().filter(of_it).min_by_key(|(place, held)| {
                (std::cmp::Reverse(held.grant.on.as_str().len()), breadths.get(*place).copied())
            });
            if let Some(taken) = narrowest.and_then(|(place, _)| uses.get_mut(place)) {
                taken.add(right);
            }
        }
        let here = self.access(tenant).into_iter().flat_map(|access| access.grants_of(holder));
        let own: BTreeSet<_> = here.map(|(grant, _)| grant).collect();
        let told = current.iter().zip(uses).filter(|(held, _)| own.contains(&held.grant));
        told.map(|(held, used)| used_grant(held, &used, roles)).collect()
    }

    /// What each role permits, and how much that is.
    fn breadths(&self, tenant: &TenantId) -> Vec<Breadth> {
        let own = self.access(tenant).into_iter().flat_map(Access::roles).map(|(role, _)| role.clone());
        let all: BTreeSet<RoleId> = built_in_ids().chain(own).collect();
        let meaning = |role: RoleId| {
            let permissions = self.role_permissions(tenant, &role);
            let permitted = permitted(&permissions);
            Breadth { role, permitted }
        };
        all.into_iter().map(meaning).collect()
    }
}

/// One role, and all that callers can do by it.
struct Breadth {
    role: RoleId,
    permitted: BTreeSet<Permission>,
}

fn permitted(permissions_of: &Closure) -> BTreeSet<Permission> {
    permissions().into_iter().filter(|permission| permissions_of.covering(permission).is_some()).collect()
}

fn allows(held: &HeldRights, right: &UsedRight) -> bool {
    let named = |condition: &Condition| {
        condition.models.is_empty() || right.model.as_ref().is_some_and(|model| condition.models.contains(model))
    };
    held.covers(&right.permission, &right.scope).is_some() && held.terms.condition.as_ref().is_none_or(named)
}

fn used_grant(held: &HeldRights, used: &Use<'_>, roles: &[Breadth]) -> UsedGrant {
    let (instead, because) = smaller(held, used, roles);
    UsedGrant {
        role: held.grant.role.clone(),
        on: held.grant.on.clone(),
        times: used.times,
        last: used.last,
        used: used.permissions.iter().copied().cloned().collect(),
        models: used.models.iter().copied().cloned().collect(),
        trial: held.terms.trial,
        instead,
        because,
    }
}

/// The commands that put a smaller grant in the place of this one, and why.
fn smaller(held: &HeldRights, used: &Use<'_>, roles: &[Breadth]) -> (Vec<Change>, String) {
    let old = change("grant.revoke", json!({ "to": held.grant.to, "role": held.grant.role, "on": held.grant.on }));
    let Some(scope) = used.scope() else {
        let because = "nothing that is recorded needed it; what reads is not recorded, so try it with a trial";
        return (vec![old], because.to_owned());
    };
    let now_permitted = permitted(&held.permissions).len();
    let does = |role: &&Breadth| used.permissions.iter().all(|permission| role.permitted.contains(*permission));
    let least = roles.iter().filter(does).min_by_key(|role| (role.permitted.len(), &role.role));
    let role = least.filter(|role| role.permitted.len() < now_permitted).map_or(&held.grant.role, |role| &role.role);
    let on = if held.grant.on.contains(&scope) { scope } else { held.grant.on.clone() };
    let condition = narrowed(held, used);
    if *role == held.grant.role && on == held.grant.on && condition == held.terms.condition {
        return (Vec::new(), "it is as small as it can be".to_owned());
    }
    let mut body = json!({ "to": held.grant.to, "role": role, "on": on });
    if let Some(fields) = body.as_object_mut() {
        fields.extend(held.terms.expires.map(|expires| ("expires".to_owned(), json!(expires))));
        fields.extend(condition.map(|condition| ("condition".to_owned(), json!(condition))));
    }
    let is_another = *role != held.grant.role || on != held.grant.on;
    let commands = [change("grant.give", body)].into_iter().chain(is_another.then_some(old)).collect();
    let because = format!("{} permissions of {now_permitted} were used, at {on} and below", used.permissions.len());
    (commands, because)
}

/// The condition that what was used needs, if it was calls and nothing else.
fn narrowed(held: &HeldRights, used: &Use<'_>) -> Option<Condition> {
    let before = held.terms.condition.clone();
    if !used.is_of_calls() || used.models.is_empty() || used.models.len() > MODELS_MAX {
        return before;
    }
    let models = used.models.iter().copied().cloned().collect();
    Some(Condition { models, ..before.unwrap_or_default() })
}

fn change(command: &str, body: Value) -> Change {
    Change { command: command.to_owned(), body }
}
