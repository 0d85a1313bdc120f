//! What one principal holds in one tenant, prepared once for many requests.
//!
//! A plain grant makes its rights ancestors of the principal, so ten thousand of them cost as much to ask as one. A
//! grant that ends or is conditional is asked for itself, with its terms as attributes.

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
    entities: Entities,
    pub(super) held: Vec<HeldRights>,
    depends: Dependence,
    answers: Answers,
}

impl Rights {
    /// Prepares what `principal` holds.
    pub(super) fn new(principal: &PrincipalId, held: Vec<HeldRights>) -> Self {
        let who = principal_uid(principal.as_str());
        let plain = held.iter().filter(|held| held.terms.is_plain()).flat_map(HeldRights::policy_rights).collect();
        let mut entities = vec![Entity::new_no_attrs(who.clone(), plain)];
        entities.extend(held.iter().filter(|held| !held.terms.is_plain()).filter_map(grant_entity));
        // Grants are numbered, and rights are no entities of their own, so there is no cycle or double.
        let entities = Entities::from_entities(entities, None).unwrap_or_else(|error| {
            tracing::error!(%error, %principal, "grants cannot be prepared; denying");
            Entities::empty()
        });
        let depends = Dependence::of(&held);
        Self { who, entities, held, depends, answers: Answers::default() }
    }

    /// Whether the principal may, in these circumstances; none if that cannot be asked.
    pub(super) fn evaluate(&self, circumstances: &Circumstances<'_>) -> Option<PolicyAnswer> {
        let Circumstances { now, permission, scope, context, .. } = *circumstances;
        self.answers.get_or(CachedRequest::new(circumstances, &self.depends), || {
            let verdict = self.put(&PolicyRequest::new(circumstances)?, permission, scope);
            let reason = match verdict {
                Verdict::Granted => granted(&self.held, permission, scope, context, now),
                Verdict::NotGranted | Verdict::Forbidden(_) => String::new(),
            };
            Some(PolicyAnswer { verdict, reason })
        })
    }

    /// Puts the request: for all plain grants at once, then for each grant with terms that might say yes.
    fn put(&self, request: &PolicyRequest, permission: &Permission, scope: &Scope) -> Verdict {
        let plain = request.evaluate(&self.who, &self.entities);
        if plain != Verdict::NotGranted {
            return plain;
        }
        let with_terms =
            self.held.iter().filter(|held| !held.terms.is_plain() && held.covers(permission, scope).is_some());
        for held in with_terms {
            if request.evaluate(&held.uid, &self.entities) == Verdict::Granted {
                return Verdict::Granted;
            }
        }
        Verdict::NotGranted
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

fn grant_entity(held: &HeldRights) -> Option<Entity> {
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
    Entity::new(held.uid.clone(), attributes, held.policy_rights().collect()).ok()
}
