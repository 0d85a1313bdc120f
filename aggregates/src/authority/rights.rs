//! What one principal holds in one tenant, prepared once for many requests.
//!
//! A question is put with what bears on it: of the plain grants the first that covers it, of the grants with terms the one
//! that allows the most. So ten thousand grants, or a role of many permissions, cost as much to ask as one, and nothing
//! is kept of a grant but itself.

use std::collections::HashMap;

use cedar_policy::{Entities, Entity, EntityUid, RestrictedExpression};
use steward_events::id::PrincipalId;
use steward_events::permission::{Permission, PermissionPattern};
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::answers::{Answers, CachedRequest, Dependence, PolicyAnswer};
use super::held_rights::HeldRights;
use super::policy::{Circumstances, PolicyRequest, Verdict, long, principal_uid, texts};
use super::words::granted;

/// What one principal holds.
#[derive(Debug)]
pub(super) struct Rights {
    who: EntityUid,
    pub(super) held: Vec<HeldRights>,
    /// Where in `held` the grants at each scope are.
    at_scope: HashMap<Scope, Vec<usize>>,
    depends: Dependence,
    answers: Answers,
}

impl Rights {
    /// Prepares what `principal` holds.
    pub(super) fn new(principal: &PrincipalId, held: Vec<HeldRights>) -> Self {
        let mut at_scope: HashMap<Scope, Vec<usize>> = HashMap::new();
        for (index, held) in held.iter().enumerate() {
            at_scope.entry(held.grant.on.clone()).or_default().push(index);
        }
        let depends = Dependence::of(&held);
        Self { who: principal_uid(principal.as_str()), held, at_scope, depends, answers: Answers::default() }
    }

    /// Whether the principal may, in these circumstances; none if that cannot be asked.
    pub(super) fn evaluate(&self, circumstances: &Circumstances<'_>) -> Option<PolicyAnswer> {
        let Circumstances { now, permission, scope, context, .. } = *circumstances;
        self.answers.get_or(CachedRequest::new(circumstances, &self.depends), || {
            let verdict = self.put(circumstances)?;
            let reason = match verdict {
                Verdict::Granted => granted(&self.held, permission, scope, context, now),
                Verdict::NotGranted | Verdict::Forbidden(_) => String::new(),
            };
            Some(PolicyAnswer { verdict, reason })
        })
    }

    /// Puts the request: for the plain grants, then for those with terms.
    fn put(&self, circumstances: &Circumstances<'_>) -> Option<Verdict> {
        let Circumstances { now, permission, scope, context, .. } = *circumstances;
        let request = PolicyRequest::new(circumstances)?;
        let plain = self.covering(permission, scope).find(|held| held.terms.is_plain());
        let right = plain.and_then(|held| held.policy_right(permission));
        let who = Entity::new_no_attrs(self.who.clone(), right.into_iter().collect());
        let verdict = request.evaluate(&self.who, &alone(who));
        if verdict != Verdict::NotGranted {
            return Some(verdict);
        }
        let with_terms = self.covering(permission, scope).filter(|held| !held.terms.is_plain());
        let holding = with_terms.filter_map(|held| Some((held, held.cost_max_if_it_holds(context, now)?)));
        let widest = holding.max_by_key(|(_, cost_max)| *cost_max);
        let Some((held, _)) = widest else { return Some(Verdict::NotGranted) };
        Some(match request.evaluate(&held.uid, &alone(grant_entity(held, permission)?)) {
            Verdict::Granted => Verdict::Granted,
            Verdict::NotGranted | Verdict::Forbidden(_) => Verdict::NotGranted,
        })
    }

    /// The grants that permit this there, terms aside.
    pub(super) fn covering<'a>(
        &'a self,
        permission: &'a Permission,
        scope: &'a Scope,
    ) -> impl Iterator<Item = &'a HeldRights> {
        let here = scope.ancestors().filter_map(|scope| self.at_scope.get(&scope));
        let held = here.flatten().filter_map(|index| self.held.get(*index));
        held.filter(|held| held.permissions.covering(permission).is_some())
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.answers.kept()
    }

    /// True if everything that `pattern` says is held at `scope`, until at least `until`.
    pub(super) fn includes(&self, pattern: &PermissionPattern, scope: &Scope, until: Option<Timestamp>) -> bool {
        self.held.iter().any(|held| held.includes(pattern, scope, until))
    }
}

/// The entities of a question in which only `entity` occurs.
fn alone(entity: Entity) -> Entities {
    // Rights are no entities of their own, so there is no circle or double.
    Entities::from_entities([entity], None).unwrap_or_else(|error| {
        tracing::error!(%error, "a grant cannot be put to the policies; denying");
        Entities::empty()
    })
}

fn grant_entity(held: &HeldRights, permission: &Permission) -> Option<Entity> {
    let mut attributes: HashMap<String, RestrictedExpression> = HashMap::new();
    if let Some(expires) = held.terms.expires {
        attributes.insert("expires".to_owned(), long(expires.0));
    }
    if let Some(condition) = &held.terms.condition {
        if !condition.models.is_empty() {
            attributes.insert("models".to_owned(), texts(&condition.models));
        }
        if let Some(cost_max) = condition.cost_max {
            attributes.insert("cost_max".to_owned(), long(cost_max.0));
        }
    }
    Entity::new(held.uid.clone(), attributes, held.policy_right(permission).into_iter().collect()).ok()
}
