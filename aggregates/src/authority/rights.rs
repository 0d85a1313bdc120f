//! What one principal holds in one tenant, prepared once for many requests.
//!
//! A question is put with what bears on it: of the plain grants the first that covers it, of the grants with terms the one
//! that allows the most. So ten thousand grants, or a role of many permissions, cost as much to ask as one, and nothing
//! is kept of a grant but itself.

use std::collections::HashMap;

use steward_events::id::PrincipalId;
use steward_events::permission::{Permission, PermissionPattern};
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::held_rights::HeldRights;
use super::policies::ForRequest;
use super::policy::{Asker, Circumstances, Verdict};

/// What one principal holds.
#[derive(Debug)]
pub(super) struct Rights {
    who: PrincipalId,
    pub(super) held: Vec<HeldRights>,
    /// Where in `held` the grants at each scope are.
    at_scope: HashMap<Scope, Vec<usize>>,
    /// Some are set aside for a trial.
    has_set_aside: bool,
}

impl Rights {
    /// Prepares what `principal` holds.
    pub(super) fn new(principal: &PrincipalId, held: Vec<HeldRights>) -> Self {
        let mut at_scope: HashMap<Scope, Vec<usize>> = HashMap::new();
        for (index, held) in held.iter().enumerate() {
            at_scope.entry(held.grant.on.clone()).or_default().push(index);
        }
        let has_set_aside = held.iter().any(|held| held.terms.is_set_aside());
        Self { who: principal.clone(), held, at_scope, has_set_aside }
    }

    /// Whether the principal may, in these circumstances; and the grant by which they may: one that is set aside for a
    /// trial only if no other allows it.
    pub(super) fn evaluate(
        &self,
        circumstances: &Circumstances<'_>,
        policies: ForRequest,
    ) -> (Verdict, Option<&HeldRights>) {
        let (verdict, held) = self.evaluate_among(circumstances, policies, false);
        if verdict != Verdict::NotGranted || !self.has_set_aside {
            return (verdict, held);
        }
        self.evaluate_among(circumstances, policies, true)
    }

    /// The same, among the grants that are set aside or those that are not.
    fn evaluate_among(
        &self,
        circumstances: &Circumstances<'_>,
        policies: ForRequest,
        set_aside: bool,
    ) -> (Verdict, Option<&HeldRights>) {
        let Circumstances { now, permission, scope, context, .. } = *circumstances;
        let among = || self.covering(permission, scope).filter(|held| held.terms.is_set_aside() == set_aside);
        let plain = among().find(|held| held.terms.is_plain());
        let verdict = policies.verdict(circumstances, &Asker::Principal(&self.who, plain));
        if verdict != Verdict::NotGranted {
            return (verdict, plain);
        }
        let with_terms = among().filter(|held| !held.terms.is_plain());
        let holding = with_terms.filter_map(|held| Some((held, held.cost_max_if_it_holds(context, now)?)));
        let Some((held, _)) = holding.max_by_key(|(_, cost_max)| *cost_max) else { return (verdict, None) };
        match policies.verdict(circumstances, &Asker::Grant(held)) {
            // What its terms lack is said of all of them together.
            Verdict::Forbidden(_) => (Verdict::NotGranted, None),
            verdict => (verdict, Some(held)),
        }
    }

    /// The grants that permit this there, terms aside.
    pub(super) fn covering<'a, 'b>(
        &'a self,
        permission: &'b Permission,
        scope: &'b Scope,
    ) -> impl Iterator<Item = &'a HeldRights> + use<'a, 'b> {
        let here = scope.ancestor_paths().filter_map(|path| self.at_scope.get(path));
        let held = here.flatten().filter_map(|index| self.held.get(*index));
        held.filter(|held| held.permissions.covering(permission).is_some())
    }

    /// True if everything that `pattern` says is held at `scope`, until at least `until`.
    pub(super) fn includes(&self, pattern: &PermissionPattern, scope: &Scope, until: Option<Timestamp>) -> bool {
        self.held.iter().any(|held| held.includes(pattern, scope, until))
    }

    /// The grant that is set aside and by which alone that is so; none if another includes it too.
    pub(super) fn included_by_set_aside(
        &self,
        pattern: &PermissionPattern,
        scope: &Scope,
        until: Option<Timestamp>,
    ) -> Option<&HeldRights> {
        let including = || self.held.iter().filter(|held| held.includes(pattern, scope, until));
        let first = including().next().filter(|_| self.has_set_aside)?;
        including().all(|held| held.terms.is_set_aside()).then_some(first)
    }
}
