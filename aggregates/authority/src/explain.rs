//! Explanations: which check fails, what would help, and who else may.

use std::collections::BTreeSet;

use steward_events::id::{PrincipalId, RoleId, TenantId};
use steward_events::permission::{Permission, PermissionPattern};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::sender::KeyRef;
use steward_events::timestamp::Timestamp;
use steward_queries::{ExplainQuery, Explanation, MayDo, WhoCan, WhoCanQuery};

use super::actor::Actor;
use super::held_rights::HeldRights;
use super::policy::{Policy, Verdict};
use super::rights::Rights;
use super::words::{forbidden_to, in_words, not_granted};
use super::{AccessRequest, Allowed, Authority, Context, suspended};
use steward_aggregates::access::Access;
use steward_aggregates::access::role::built_in_ids;
use steward_aggregates::identity::Key;

/// The most principals that one answer names.
pub(super) const WHO_CAN_MAX: usize = 10_000;

impl Authority {
    /// The no that `verdict` is, in words.
    pub(super) fn denied(
        &self,
        request: &AccessRequest,
        actor: &Actor<'_>,
        rights: &Rights,
        verdict: Verdict,
        now: Timestamp,
    ) -> Rejection {
        let AccessRequest { tenant, permission, scope, .. } = request;
        let principal = &actor.principal;
        let key = actor.key.as_ref().map(|held| held.key);
        let new_key = |what: &str| format!("steward key issue {} {what}", key.map_or(principal, |key| &key.principal));
        let (reason, would_allow) = match verdict {
            Verdict::Forbidden(policy) => match policy {
                Policy::TenantSuspended => return suspended(tenant, self.suspended(tenant).unwrap_or("")),
                Policy::OperatorsOnly => {
                    (format!("only operators may use {permission}"), "an operator of this installation".to_owned())
                }
                Policy::PrincipalInactive => (
                    self.inactive(tenant, principal).unwrap_or_else(|| format!("{principal} is not active")),
                    self.who_would_act(tenant, principal),
                ),
                Policy::KeyOver => ("the key was revoked or has expired".to_owned(), new_key(&format!("--on {scope}"))),
                Policy::KeyHours | Policy::KeyAddresses => match key {
                    Some(key) => self.of_the_door(policy, key, request.context.address, now),
                    None => (format!("the policy {} forbids it", policy.id()), String::new()),
                },
                Policy::KeyPermissions => (key_is_for(key), new_key(&format!("--permission {permission}"))),
                Policy::KeyScope => (
                    format!("the key reaches {} and below, not {scope}", key.map_or("", |key| key.scope.as_str())),
                    new_key(&format!("--on {scope}")),
                ),
                Policy::KeyModels => {
                    let models: Vec<&str> = key.into_iter().flat_map(|key| &key.models).map(AsRef::as_ref).collect();
                    let wanted = request.context.model.as_ref().map_or("MODEL", AsRef::as_ref);
                    (format!("the key is only for {}", models.join(", ")), new_key(&format!("--model {wanted}")))
                }
                Policy::Denied => self.denied_by(request, rights, now),
                Policy::GrantOver
                | Policy::GrantModels
                | Policy::GrantCost
                | Policy::GrantHours
                | Policy::GrantDataClasses
                | Policy::GrantTools
                | Policy::GrantArguments => (format!("the policy {} forbids it", policy.id()), String::new()),
            },
            Verdict::InDoubt => {
                ("what the policies say of it is in doubt; the log of this process says more".to_owned(), String::new())
            }
            Verdict::NotGranted | Verdict::Granted => (
                not_granted(&rights.held, request, &self.facts(request, now)),
                self.would_allow(tenant, principal, permission, scope),
            ),
        };
        let said_by = key.map_or(principal, |key| &key.principal);
        forbidden_to(said_by, request, reason, would_allow)
    }

    /// Which denial it is, and who could remove it.
    fn denied_by(&self, request: &AccessRequest, rights: &Rights, now: Timestamp) -> (String, String) {
        let denial = rights.denial(&request.permission, &request.scope, &self.facts(request, now));
        let Some(denial) = denial else { return ("a denial forbids it".to_owned(), String::new()) };
        let help = match (denial.platform, request.tenant.is_steward()) {
            (true, false) => "ask the operators of the platform".to_owned(),
            _ => format!("steward deny remove {} --tenant {}", denial.name, request.tenant),
        };
        (denial.in_words(), help)
    }

    /// The grant of the least role that would do, as a command.
    fn would_allow(
        &self,
        tenant: &TenantId,
        principal: &PrincipalId,
        permission: &Permission,
        scope: &Scope,
    ) -> String {
        let own = self.access(tenant).into_iter().flat_map(Access::roles).map(|(role, _)| role.clone());
        let permits = |role: &RoleId| self.role_permissions(tenant, role).covering(permission).is_some();
        let role = built_in_ids().chain(own).find(permits);
        match role {
            Some(role) if tenant.is_steward() => {
                format!("steward grant give {principal} {role} --on '{scope}' --tenant steward")
            }
            Some(role) => format!("steward grant give {principal} {role} --on {scope}"),
            None => "nothing: no role permits it".to_owned(),
        }
    }

    /// Whether someone may do something in `tenant`, why, and what would allow it. Conditions are told, not tested.
    pub fn explain(&self, tenant: &TenantId, query: &ExplainQuery, now: Timestamp) -> Explanation {
        let ExplainQuery { principal, permission, scope, at: _, address } = query;
        let request = AccessRequest {
            tenant: tenant.clone(),
            principal: principal.clone(),
            key: None,
            permission: permission.clone(),
            scope: scope.clone(),
            context: Context { address: *address, ..Context::default() },
        };
        match self.authorise_as_such(&request, now) {
            Ok(allowed) => Explanation { allowed: true, reason: allowed.reason.to_string(), would_allow: None },
            Err(rejection) => match self.may_under_conditions(&request, now) {
                Some(reason) => Explanation { allowed: true, reason, would_allow: None },
                None => explained(rejection),
            },
        }
    }

    /// Whether `request` is allowed to somebody as such: through no key, unless one is named.
    ///
    /// # Errors
    /// As [`Self::authorise`].
    pub fn authorise_as_such(&self, request: &AccessRequest, now: Timestamp) -> Result<Allowed, Rejection> {
        let AccessRequest { tenant, principal, key, .. } = request;
        if principal.is_system() || key.is_some() || KeyRef::spoken(principal, tenant).is_some() {
            return self.authorise(request, now);
        }
        self.authorise_actor(request, &Actor { principal: principal.clone(), key: None }, now)
    }

    /// Whether the request would be allowed if the right conditions held: of a refusal the log says nothing of these.
    pub fn allowed_under_conditions(&self, request: &AccessRequest, now: Timestamp) -> Option<String> {
        self.may_under_conditions(request, now)
    }

    /// The conditional grant that allows it where its condition holds. Only conditions may stand in the way.
    fn may_under_conditions(&self, request: &AccessRequest, now: Timestamp) -> Option<String> {
        let AccessRequest { tenant, principal, permission, scope, .. } = request;
        let rules = self.tenants.get(tenant).filter(|rules| rules.life.is_open())?;
        let bound = rules.life.suspended().is_some() || self.inactive(tenant, principal).is_some();
        if bound || (!tenant.is_steward() && !scope.is_within(tenant)) {
            return None;
        }
        let rights = self.rights(tenant, principal);
        if rights.denial(permission, scope, &self.facts(request, now)).is_some() {
            return None;
        }
        let allows = |held: &&HeldRights| held.covers(permission, scope).is_some() && !held.terms.is_over(now);
        rights.held.iter().find(allows).map(|held| in_words(held, permission, scope))
    }

    /// Everyone who may do something at a scope of `tenant`, operators included.
    pub fn who_can(&self, tenant: &TenantId, query: &WhoCanQuery, now: Timestamp) -> WhoCan {
        let WhoCanQuery { permission, scope, at: _ } = query;
        let steward = TenantId::steward();
        let holders: BTreeSet<&PrincipalId> = [tenant, &steward]
            .into_iter()
            .filter_map(|of| self.access(of))
            .flat_map(Access::holders)
            .filter(|holder| !holder.as_str().starts_with("agent_") && !holder.is_group())
            .chain([tenant, &steward].into_iter().filter_map(|of| self.access(of)).flat_map(Access::members))
            .collect();
        let may = |principal: &&PrincipalId| {
            let query = ExplainQuery {
                principal: (*principal).clone(),
                permission: permission.clone(),
                scope: scope.clone(),
                at: None,
                address: None,
            };
            let explanation = self.explain(tenant, &query, now);
            explanation.allowed.then(|| MayDo {
                principal: (*principal).clone(),
                name: self.name(tenant, principal),
                reason: explanation.reason,
            })
        };
        WhoCan { principals: holders.iter().filter_map(may).take(WHO_CAN_MAX).collect() }
    }

    /// A service account's name.
    pub fn name(&self, tenant: &TenantId, principal: &PrincipalId) -> Option<String> {
        let of = |tenant: &TenantId| self.identity(tenant)?.principal(principal)?.name.clone();
        of(tenant).or_else(|| of(&TenantId::steward()))
    }
}

/// What the key is for.
fn key_is_for(key: Option<&Key>) -> String {
    match key {
        Some(key) if !key.is_for_calling() => {
            let named: Vec<&str> = key.permissions.iter().map(PermissionPattern::as_str).collect();
            format!("the key is only for {}", named.join(", "))
        }
        _ => "the key names models, so it is only for calls and its holder's own tasks".to_owned(),
    }
}

pub(super) fn explained(rejection: Rejection) -> Explanation {
    match rejection {
        Rejection::Forbidden { reason, would_allow, .. } => {
            let would_allow = Some(would_allow).filter(|command| !command.is_empty());
            Explanation { allowed: false, reason, would_allow }
        }
        other => Explanation { allowed: false, reason: other.to_string(), would_allow: None },
    }
}
