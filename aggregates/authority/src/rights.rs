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

use super::conditions::Facts;
use super::denials::HeldDenial;
use super::held_rights::HeldRights;
use super::policies::ForRequest;
use super::policy::{Asker, Circumstances, Verdict};
use steward_aggregates::access::separation::overlap;

/// Something that is passed on: what, where and until when.
pub(super) type Passed = (PermissionPattern, Scope, Option<Timestamp>);

/// What one principal holds.
#[derive(Debug)]
pub(super) struct Rights {
    who: PrincipalId,
    pub(super) held: Vec<HeldRights>,
    /// What may be denied to the principal.
    pub(super) denials: Vec<HeldDenial>,
    /// Where in `held` the grants at each scope are.
    at_scope: HashMap<Scope, Vec<usize>>,
    /// Some are set aside for a trial.
    has_set_aside: bool,
}

impl Rights {
    /// Prepares what `principal` holds.
    pub(super) fn new(principal: &PrincipalId, held: Vec<HeldRights>, denials: Vec<HeldDenial>) -> Self {
        let mut at_scope: HashMap<Scope, Vec<usize>> = HashMap::new();
        for (index, held) in held.iter().enumerate() {
            at_scope.entry(held.grant.on.clone()).or_default().push(index);
        }
        let has_set_aside = held.iter().any(|held| held.terms.is_set_aside());
        Self { who: principal.clone(), held, denials, at_scope, has_set_aside }
    }

    /// Whether the principal may, in these circumstances; and the grant by which they may: one that is set aside for a
    /// trial only if no other allows it.
    pub(super) fn evaluate(
        &self,
        circumstances: &Circumstances<'_>,
        policies: ForRequest,
    ) -> (Verdict, Option<&HeldRights>) {
        let facts = circumstances.facts();
        let denial = self.denial(circumstances.permission, circumstances.scope, &facts).map(|denial| &denial.spec);
        let circumstances = &Circumstances { denial, ..*circumstances };
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
        let Circumstances { permission, scope, .. } = *circumstances;
        let facts = circumstances.facts();
        let among = || self.covering(permission, scope).filter(|held| held.terms.is_set_aside() == set_aside);
        let plain = among().find(|held| held.terms.is_plain());
        let verdict = policies.verdict(circumstances, &Asker::Principal(&self.who, plain));
        if verdict != Verdict::NotGranted {
            return (verdict, plain);
        }
        let with_terms = among().filter(|held| !held.terms.is_plain());
        let holding = with_terms.filter_map(|held| Some((held, held.cost_max_if_it_holds(&facts)?)));
        let Some((held, _)) = holding.max_by_key(|(_, cost_max)| *cost_max) else { return (verdict, None) };
        match policies.verdict(circumstances, &Asker::Grant(held)) {
            // What its terms lack is said of all of them together.
            Verdict::Forbidden(_) => (Verdict::NotGranted, None),
            verdict => (verdict, Some(held)),
        }
    }

    /// The first denial that stands in the way of this.
    pub(super) fn denial(&self, permission: &Permission, scope: &Scope, facts: &Facts<'_>) -> Option<&HeldDenial> {
        self.denials.iter().find(|denial| denial.denies(permission, scope, facts, &self.held))
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

    /// True if something of `pattern` at `scope`, or below, is denied to the principal and not to everyone: it cannot be
    /// passed on.
    pub(super) fn is_partly_denied(&self, pattern: &PermissionPattern, scope: &Scope, now: Timestamp) -> bool {
        self.denials.iter().any(|denial| {
            let spec = &denial.spec;
            let about = overlap(&spec.on, scope) && spec.permissions.iter().any(|denied| denied.overlaps(pattern));
            about && !spec.whom.everyone && !spec.is_over(now) && denial.concerns(&self.held, now)
        })
    }

    /// The scopes below `scope` where this is denied.
    pub(super) fn denied_below<'a>(
        &'a self,
        permission: &'a Permission,
        scope: &'a Scope,
        facts: &'a Facts<'a>,
    ) -> impl Iterator<Item = Scope> + 'a {
        let below =
            self.denials.iter().filter(move |denial| scope.contains(&denial.spec.on) && denial.spec.on != *scope);
        let denied = below.filter(move |denial| denial.denies(permission, &denial.spec.on, facts, &self.held));
        denied.map(|denial| denial.spec.on.clone())
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

/// The same rights, as they are taken: until now.
pub(super) fn taken(rights: Vec<Passed>, now: Timestamp) -> Vec<Passed> {
    rights.into_iter().map(|(pattern, scope, _)| (pattern, scope, Some(now))).collect()
}
