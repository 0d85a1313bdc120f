//! What one principal holds in one tenant, prepared once for many questions.
//!
//! A plain grant makes its rights ancestors of the principal, so ten thousand of them cost as much to ask as one. A
//! grant that ends or is conditional is asked for itself, with its terms as attributes.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::{Entities, Entity, EntityUid, RestrictedExpression};
use steward_events::event::GrantId;
use steward_events::id::{PrincipalId, RoleId};
use steward_events::permission::{Permission, PermissionPattern};
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::Context;
use super::answers::{Answer, Answers, Asked};
use super::explain::granted as granted_by;
use super::policy::{Circumstances, Question, Verdict, grant_uid, long, principal_uid, right_uid, texts};
use crate::access::Terms;

/// What a role permits: patterns, each with the path of inheritance that leads to it.
pub(super) type RolePermissions = Arc<Vec<(PermissionPattern, Vec<RoleId>)>>;

/// What one principal holds.
#[derive(Debug)]
pub(super) struct Rights {
    who: EntityUid,
    entities: Entities,
    pub(super) held: Vec<Held>,
    depends: Dependence,
    answers: Answers,
}

/// On which circumstances of a request the grants' terms depend.
#[derive(Debug)]
pub(super) struct Dependence {
    /// Whether any asks for the cost.
    pub(super) cost: bool,
    /// When grants end, in order.
    pub(super) expiries: Vec<Timestamp>,
}

impl Dependence {
    fn of(held: &[Held]) -> Self {
        let by_cost = |held: &Held| held.terms.condition.as_ref().is_some_and(|when| when.cost_max.is_some());
        let mut expiries: Vec<Timestamp> = held.iter().filter_map(|held| held.terms.expires).collect();
        expiries.sort_unstable();
        Self { cost: held.iter().any(by_cost), expiries }
    }
}

/// One grant with what its role permits.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) grant: GrantId,
    pub(super) terms: Terms,
    pub(super) permissions: RolePermissions,
    uid: EntityUid,
}

impl Held {
    /// The grant number `index` of its principal, as recorded or as implied. Two tenants may record the same one.
    pub(super) fn new(index: usize, grant: GrantId, terms: Terms, permissions: RolePermissions) -> Self {
        let uid = grant_uid(&format!("{index} {grant}"));
        Self { grant, terms, permissions, uid }
    }

    /// What its role permits, at its scope, in the policies' words.
    fn rights(&self) -> impl Iterator<Item = EntityUid> + '_ {
        self.permissions.iter().map(|(pattern, _)| right_uid(pattern.as_str(), &self.grant.on))
    }

    /// The pattern that permits this here, terms aside, and the roles that lead to it.
    pub(super) fn covers(&self, permission: &Permission, scope: &Scope) -> Option<&(PermissionPattern, Vec<RoleId>)> {
        let here = self.grant.on.contains(scope);
        here.then(|| self.permissions.iter().find(|(pattern, _)| pattern.covers(permission)))?
    }

    /// True if everything that `pattern` says is permitted at `scope`, until at least `until` (none: for good).
    pub(super) fn includes(&self, pattern: &PermissionPattern, scope: &Scope, until: Option<Timestamp>) -> bool {
        let lasts = match (self.terms.expires, until) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(expires), Some(until)) => expires >= until,
        };
        lasts
            && self.terms.condition.is_none()
            && self.grant.on.contains(scope)
            && self.permissions.iter().any(|(own, _)| is_part_of(pattern, own))
    }

    /// Why its terms do not hold, if they do not. The policies decide; this only says it.
    pub(super) fn terms_fail(&self, context: &Context, now: Timestamp) -> Option<String> {
        if self.terms.is_over(now) {
            return self.terms.expires.map(|expires| format!("ended at {expires}"));
        }
        let condition = self.terms.condition.as_ref()?;
        let named = |model| condition.models.contains(model);
        if !condition.models.is_empty() && !context.model.as_ref().is_some_and(named) {
            return Some(format!(
                "holds only for {}",
                condition.models.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ")
            ));
        }
        match condition.cost_max {
            Some(cost_max) if context.cost.is_none_or(|cost| cost > cost_max) => {
                Some(format!("holds only for calls that cost at most {cost_max}"))
            }
            _ => None,
        }
    }
}

/// True if `part` says nothing that `whole` does not say.
fn is_part_of(part: &PermissionPattern, whole: &PermissionPattern) -> bool {
    let split = |pattern: &PermissionPattern| {
        let (noun, verb) = pattern.as_str().split_once(':').unwrap_or_default();
        (noun.to_owned(), verb.to_owned())
    };
    let ((noun, verb), (whole_noun, whole_verb)) = (split(part), split(whole));
    (whole_noun == "*" || whole_noun == noun) && (whole_verb == "*" || whole_verb == verb)
}

impl Rights {
    /// Prepares what `principal` holds.
    pub(super) fn new(principal: &PrincipalId, held: Vec<Held>) -> Self {
        let who = principal_uid(principal.as_str());
        let plain = held.iter().filter(|held| held.terms.is_plain()).flat_map(Held::rights).collect();
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
    pub(super) fn ask(&self, circumstances: &Circumstances<'_>) -> Option<Answer> {
        let Circumstances { now, permission, scope, context, .. } = *circumstances;
        self.answers.get_or(Asked::new(circumstances, &self.depends), || {
            let verdict = self.put(&Question::new(circumstances)?, permission, scope);
            let granted = verdict == Verdict::Granted;
            let reason = if granted { granted_by(self, permission, scope, context, now) } else { String::new() };
            Some(Answer { verdict, reason })
        })
    }

    /// Puts the question: for all plain grants at once, then for each grant with terms that might say yes.
    fn put(&self, question: &Question, permission: &Permission, scope: &Scope) -> Verdict {
        let plain = question.ask(&self.who, &self.entities);
        if plain != Verdict::NotGranted {
            return plain;
        }
        let with_terms =
            self.held.iter().filter(|held| !held.terms.is_plain() && held.covers(permission, scope).is_some());
        for held in with_terms {
            if question.ask(&held.uid, &self.entities) == Verdict::Granted {
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

fn grant_entity(held: &Held) -> Option<Entity> {
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
    Entity::new(held.uid.clone(), attributes, held.rights().collect()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_part_of_a_wider_one() {
        for (part, whole, is_part) in [
            ("budget:set", "budget:set", true),
            ("budget:set", "budget:*", true),
            ("budget:*", "*:*", true),
            ("budget:*", "budget:set", false),
            ("*:*", "budget:*", false),
            ("*:set", "budget:*", false),
            ("*:set", "*:set", true),
        ] {
            assert_eq!(is_part_of(&part.parse().unwrap(), &whole.parse().unwrap()), is_part, "{part} {whole}");
        }
    }
}
