//! Answers that were given, kept for the same request: what the policies say follows from what a principal holds and
//! from the circumstances alone, and most requests of a gateway are the last one again.
//!
//! It knows all that the policies look at; what a policy newly looks at must become a part of [`CachedRequest`].

use std::sync::{Mutex, PoisonError};

use quick_cache::UnitWeighter;
use quick_cache::unsync::Cache;
use steward_events::id::ModelId;
use steward_events::permission::Permission;
use steward_events::quantity::NanoDollars;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::held_rights::HeldRights;
use super::policy::{Circumstances, Verdict};

/// The most answers kept for one principal.
pub(super) const ANSWERS_KEPT_MAX: usize = 128;

/// For how many answers memory is taken at first.
const ANSWERS_EXPECTED: usize = 8;

/// On which circumstances of a request the grants' terms depend.
#[derive(Debug)]
pub(super) struct Dependence {
    /// Whether any asks for the cost.
    pub(super) cost: bool,
    /// When grants end, in order.
    pub(super) expiries: Vec<Timestamp>,
}

impl Dependence {
    pub(super) fn of(held: &[HeldRights]) -> Self {
        let by_cost = |held: &HeldRights| held.terms.condition.as_ref().is_some_and(|when| when.cost_max.is_some());
        let mut expiries: Vec<Timestamp> = held.iter().filter_map(|held| held.terms.expires).collect();
        expiries.sort_unstable();
        Self { cost: held.iter().any(by_cost), expiries }
    }
}

/// A request, as far as its answer depends on it. The time does in two ways only: which grants are over, and whether
/// the key is.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct CachedRequest {
    permission: Permission,
    scope: Scope,
    model: Option<ModelId>,
    /// Only where a grant asks for it.
    cost: Option<NanoDollars>,
    suspended: bool,
    operator: bool,
    active: bool,
    key: Option<KeyTerms>,
    /// Grants end in a fixed order, so their number says which.
    grants_over: usize,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct KeyTerms {
    scope: Scope,
    models: Vec<ModelId>,
    over: bool,
    is_for_it: bool,
}

impl CachedRequest {
    pub(super) fn new(circumstances: &Circumstances<'_>, on: &Dependence) -> Self {
        let Circumstances { now, permission, scope, context, suspended, operator, active, key } = circumstances;
        Self {
            permission: (*permission).clone(),
            scope: (*scope).clone(),
            model: context.model.clone(),
            cost: context.cost.filter(|_| on.cost),
            suspended: *suspended,
            operator: *operator,
            active: *active,
            key: key.map(|key| KeyTerms {
                scope: key.scope.clone(),
                models: key.models.to_vec(),
                over: key.over,
                is_for_it: key.is_for_it,
            }),
            grants_over: on.expiries.partition_point(|expires| *expires <= *now),
        }
    }
}

/// What the policies say, and in words which grant allows it if one does.
#[derive(Clone, Debug)]
pub(super) struct PolicyAnswer {
    pub(super) verdict: Verdict,
    pub(super) reason: String,
}

/// What was answered; nothing if the request cannot be put.
#[derive(Debug)]
pub(super) struct Answers(Mutex<Cache<CachedRequest, Option<PolicyAnswer>>>);

impl Default for Answers {
    fn default() -> Self {
        // Many principals ask few requests: there is room for the bound, but it is not taken at once.
        let kept = Cache::with_weighter(ANSWERS_EXPECTED, ANSWERS_KEPT_MAX as u64, UnitWeighter);
        Self(Mutex::new(kept))
    }
}

impl Answers {
    /// The answer, found by `find` if it was not given before.
    pub(super) fn get_or(
        &self,
        asked: CachedRequest,
        find: impl FnOnce() -> Option<PolicyAnswer>,
    ) -> Option<PolicyAnswer> {
        if let Some(answer) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&asked) {
            return answer.clone();
        }
        let answer = find();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(asked, answer.clone());
        answer
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
