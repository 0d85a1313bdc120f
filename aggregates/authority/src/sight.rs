//! Where somebody may see: what a list or report may show them.

use std::collections::BTreeSet;

use steward_events::event::GrantId;
use steward_events::id::PrincipalId;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::actor::Actor;
use super::{AccessRequest, Allowed, Authority};

/// The most scopes that one sight is made of; who holds a right at more places is shown the first of them.
const SCOPES_MAX: usize = 1_000;

/// Where somebody may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// At these scopes and below.
    scopes: Vec<Scope>,
    /// But not at these and below.
    denied: Vec<Scope>,
    /// Only what is this principal's own.
    own: Option<PrincipalId>,
    /// Who looks.
    principal: PrincipalId,
    /// The grant that is set aside for a trial and by which alone they see.
    set_aside: Option<GrantId>,
}

impl Sight {
    /// Who really looks.
    pub const fn principal(&self) -> &PrincipalId {
        &self.principal
    }

    /// The grant that is set aside for a trial and by which alone they see, if there is one.
    pub const fn set_aside(&self) -> Option<&GrantId> {
        self.set_aside.as_ref()
    }

    /// True if what belongs to `scope` is shown.
    pub fn covers(&self, scope: &Scope) -> bool {
        self.scopes.iter().any(|seen| seen.contains(scope)) && !self.denied.iter().any(|denied| denied.contains(scope))
    }

    /// True if what belongs to `scope` and was begun by `owner` is shown.
    pub fn covers_of(&self, scope: &Scope, owner: &PrincipalId) -> bool {
        self.own.as_ref().is_none_or(|own| own == owner) && self.covers(scope)
    }
}

impl Authority {
    /// The same for what is shown whole or not at all.
    ///
    /// # Errors
    /// As [`Self::authorise`].
    pub fn whole_sight(&self, request: &AccessRequest, now: Timestamp) -> Result<Sight, Rejection> {
        let Allowed { principal, set_aside, .. } = self.authorise(request, now)?;
        Ok(Sight { scopes: vec![request.scope.clone()], denied: Vec::new(), own: None, principal, set_aside })
    }

    /// Where the permission asked for is held, from the scope asked for downwards.
    ///
    /// # Errors
    /// As [`Self::authorise`] at that scope, if it is held nowhere.
    pub fn sight(&self, request: &AccessRequest, now: Timestamp) -> Result<Sight, Rejection> {
        if request.principal.is_system() {
            return self.whole_sight(request, now);
        }
        self.open(&request.tenant)?;
        let actor = self.actor(request, now)?;
        let for_calling = actor.key.as_ref().is_some_and(|held| held.key.is_for_calling());
        let principal = actor.principal.clone();
        let own = for_calling.then(|| principal.clone());
        let rights = self.rights(&request.tenant, &principal);
        let denied = rights.denied_below(&request.permission, &request.scope, &self.facts(request, now)).collect();
        let refused = match self.authorise_actor(request, &actor, now) {
            Ok(Allowed { set_aside, .. }) => {
                return Ok(Sight { scopes: vec![request.scope.clone()], denied, own, principal, set_aside });
            }
            Err(refused) => refused,
        };
        let (mut scopes, mut needs): (Vec<Scope>, _) = (Vec::new(), None);
        for scope in self.candidates(request, &actor) {
            // In order, so a scope comes after those that contain it.
            if scopes.iter().any(|seen| seen.contains(&scope)) {
                continue;
            }
            let there = AccessRequest { scope: scope.clone(), ..request.clone() };
            if let Ok(Allowed { set_aside, .. }) = self.authorise_actor(&there, &actor, now) {
                scopes.push(scope);
                needs = needs.or(set_aside);
            }
            if scopes.len() == SCOPES_MAX {
                break;
            }
        }
        if scopes.is_empty() { Err(refused) } else { Ok(Sight { scopes, denied, own, principal, set_aside: needs }) }
    }

    /// Where it might be held: where something is granted, and where the key begins.
    fn candidates(&self, request: &AccessRequest, actor: &Actor<'_>) -> BTreeSet<Scope> {
        let rights = self.rights(&request.tenant, &actor.principal);
        let granted = rights.held.iter().filter(|held| held.covers(&request.permission, &held.grant.on).is_some());
        let granted = granted.map(|held| held.grant.on.clone());
        let keys = actor.key.as_ref().map(|held| held.key.scope.clone());
        granted.chain(keys).filter(|scope| request.scope.contains(scope)).collect()
    }
}
