//! Who may do what, now and at any past moment: a fold of the tenants' lives, identities and access rules.
//!
//! Few static policies decide (`policies.cedar`), compiled, with Cedar as the judge; what Steward adds is where
//! their input comes from, and words: each yes names the grant, each no the check that failed and the command that would
//! have helped.
//! This crate must not know buses or stores: gateways and handlers keep it live, projectors fold it up to a moment.
//!
//! Rules that are easily missed:
//! * Grants that the tenant `steward` holds count in every tenant, but only for operators (`op_…`), whose ids no other
//!   tenant can make.
//! * Nobody grants what they do not hold (see `delegation.rs`), and no key makes another that is more.
//! * What a group holds, its members hold; a group itself never acts.
//! * A service account may act only while the person who owns it may.
//! * A key is looked up where its holder is, never where the request goes; it ends with the key that it was made by
//!   (see `actor.rs`).
//! * An agent acts with what both it and the key's principal, its invoker, may. Every agent holds the built-in role
//!   `agent` in its tenant; more is granted to the principal `agent_<name>`.

use std::collections::HashMap;

use steward_events::commit::Recorded;
use steward_events::event::{AccessEvent, AgentEvent, AggregateKind, IdentityEvent, QuotaEvent, TenantEvent};
use steward_events::id::{AgentId, DataClass, KeyId, ModelId, PrincipalId, TenantId};
use steward_events::rejection::Rejection;
use steward_events::sealed::KeyOwner;
use steward_events::secret::tenant_of;
use steward_events::sender::KeyRef;
use steward_events::timestamp::Timestamp;
use steward_events::view::Reads;

use steward_aggregates::access::Access;
use steward_aggregates::aggregate::Aggregate;
use steward_aggregates::identity::{Identity, Key};
use steward_aggregates::quota::Quota;
use steward_aggregates::tenant::Tenant;

mod active;
mod actor;
mod allowed;
mod cedar;
mod compiled;
mod conditions;
mod delegation;
mod denials;
mod erased;
mod ever;
mod explain;
mod held_rights;
mod key_bounds;
mod key_door;
mod least;
mod policies;
mod policy;
mod prepared;
mod request;
mod review;
mod rights;
mod rules;
mod set_for;
mod sight;
mod simulation;
mod supposed;
mod system;
mod words;

pub use active::agent_principal;
pub use allowed::{Allowed, Reason};
pub use held_rights::RolePermissions;
pub use prepared::RIGHTS_KEPT_MAX;
pub use request::{AccessRequest, Context, KeyHolder};
pub use sight::Sight;
pub use supposed::{changes_rights, read_changes};

use active::is_of_steward;
use actor::{Actor, WholeKeys};
use held_rights::HeldRights;
use policies::Policies;
use policy::{Circumstances, KeyTerms, Verdict};
use prepared::Prepared;
use words::forbidden;

/// Whose events change who may do what.
pub const CHANGES_RIGHTS: &[AggregateKind] = &[AggregateKind::Tenant, AggregateKind::Identity, AggregateKind::Access];

/// Everything that decides on access, of all tenants.
#[derive(Debug, Default)]
pub struct Authority {
    tenants: HashMap<TenantId, Rules>,
    prepared: Prepared,
    policies: Policies,
    /// Whose content was erased, in the order in which it was told.
    erased: Vec<KeyOwner>,
}

/// What one tenant's log says.
#[derive(Clone, Debug, Default)]
struct Rules {
    life: Tenant,
    identity: Identity,
    access: Access,
    whole_keys: WholeKeys,
    /// The model that each agent thinks with.
    agents: HashMap<AgentId, ModelId>,
    /// The places that are taken of its quotas.
    places: Quota,
}

impl Authority {
    /// Whose key `secret` is: none if there is none, it was revoked or has expired, or its principal was disabled.
    pub fn authenticate(&self, secret: &str, now: Timestamp) -> Option<KeyHolder> {
        let (tenant, id, key) = self.key_of(secret)?;
        if self.is_over(key, now) {
            return None;
        }
        let whole = !key.is_narrowed(&tenant);
        self.inactive(&tenant, &key.principal).is_none().then(|| KeyHolder {
            tenant,
            key: id.clone(),
            principal: key.principal.clone(),
            scope: key.scope.clone(),
            models: key.models.clone(),
            agent: key.agent.clone(),
            task: key.task.clone(),
            expires: key.expires,
            line: key.line.clone(),
            whole,
        })
    }

    /// True if `secret` is or was a key: then it is no guess.
    pub fn has_known(&self, secret: &str) -> bool {
        self.key_of(secret).is_some()
    }

    fn key_of(&self, secret: &str) -> Option<(TenantId, &KeyId, &Key)> {
        // The secret names its tenant, so nobody can claim it by issuing a key with the same hash elsewhere.
        let tenant = tenant_of(secret)?;
        let identity = &self.tenants.get(&tenant)?.identity;
        let id = identity.key_of_hash(&steward_events::event::KeyHash::of(secret))?;
        Some((tenant, id, identity.key(id)?))
    }

    /// Whether `request` is allowed.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`] with the check that failed and what would have helped; [`Rejection::Suspended`],
    /// [`Rejection::UnknownTenant`], [`Rejection::Invalid`] for a scope that is not the tenant's.
    pub fn authorise(&self, request: &AccessRequest, now: Timestamp) -> Result<Allowed, Rejection> {
        if request.principal.is_system() {
            return self.authorise_system(request);
        }
        self.open(&request.tenant)?;
        let actor = self.actor(request, now)?;
        self.authorise_actor(request, &actor, now)
    }

    /// The same, once it is known who really acts.
    fn authorise_actor(
        &self,
        request: &AccessRequest,
        actor: &Actor<'_>,
        now: Timestamp,
    ) -> Result<Allowed, Rejection> {
        let AccessRequest { tenant, permission, scope, .. } = request;
        if system::is_reserved(permission) {
            let reason = format!("only parts of Steward may use {permission}");
            return Err(forbidden(request, reason, "nothing: no role can have this permission".to_owned()));
        }
        let rules = self.open(tenant)?;
        if !tenant.is_steward() && !scope.is_within(tenant) {
            return Err(Rejection::invalid("scope", format!("{scope} is outside tenant {tenant}")));
        }
        self.check_archived(request)?;
        let circumstances = self.circumstances(request, actor, rules, now);
        let policies = self.policies.for_request();
        let rights = self.rights(tenant, &actor.principal);
        let set_aside = |held: &HeldRights| held.terms.is_set_aside().then(|| held.grant.clone());
        let (held, mut needs) = match rights.evaluate(&circumstances, policies) {
            (Verdict::Granted, Some(held)) => (held, set_aside(held)),
            (verdict, _) => return Err(self.denied(request, actor, &rights, verdict, now)),
        };
        let by = |agent, set_aside| Allowed {
            reason: Reason::granted(held, request, agent),
            principal: actor.principal.clone(),
            key: actor.key.as_ref().map(|held| held.named.clone()),
            set_aside,
        };
        let Some(agent) = actor.key.as_ref().and_then(|held| held.key.agent.as_ref()) else {
            return Ok(by(None, needs));
        };
        let agent = agent_principal(agent);
        let agents = self.rights(tenant, &agent);
        let (verdict, held) = agents.evaluate(&circumstances, policies);
        needs = needs.or_else(|| held.and_then(set_aside));
        if verdict != Verdict::Granted {
            let narrowed = Actor { principal: agent, key: actor.key.clone() };
            return Err(self.denied(request, &narrowed, &agents, verdict, now));
        }
        Ok(by(Some(agent), needs))
    }

    /// What bears on a request beside what its sender holds.
    fn circumstances<'a>(
        &'a self,
        request: &'a AccessRequest,
        actor: &'a Actor<'_>,
        rules: &Rules,
        now: Timestamp,
    ) -> Circumstances<'a> {
        let AccessRequest { tenant, permission, scope, context, .. } = request;
        let operator = self.is_operator(&actor.principal);
        Circumstances {
            now,
            permission,
            scope,
            context,
            data_class: self.data_class(request),
            denial: None,
            suspended: rules.life.suspended().is_some() && !policy::audits(permission, operator),
            operator,
            active: self.inactive(tenant, &actor.principal).is_none(),
            key: actor.key.as_ref().map(|held| KeyTerms {
                scope: &held.key.scope,
                models: &held.key.models,
                addresses: &held.key.addresses,
                over: held.over,
                closed: self.is_closed(held.key, now),
                is_for_it: self.is_for(held.key, permission),
            }),
        }
    }

    /// The same for the holder of a key who acts in `tenant`: their own, or any for operators.
    ///
    /// # Errors
    /// As [`Self::authorise`].
    pub fn authorise_holder(
        &self,
        holder: &KeyHolder,
        request: &AccessRequest,
        now: Timestamp,
    ) -> Result<Allowed, Rejection> {
        check_reach(holder, request)?;
        self.authorise(request, now)
    }

    /// Why what was begun with `key` by `principal` in `tenant` must end; none while it may go on.
    pub fn ended(&self, key: &KeyRef, principal: &PrincipalId, tenant: &TenantId, now: Timestamp) -> Option<String> {
        let Some(known) = self.key(key) else { return Some(format!("there is no key {key}")) };
        if self.is_over(known, now) {
            return Some(format!("the key {} was revoked or has expired", key.key));
        }
        self.inactive(tenant, principal)
    }

    /// Why the tenant is suspended, if it is.
    pub fn suspended(&self, tenant: &TenantId) -> Option<&str> {
        self.tenants.get(tenant)?.life.suspended()
    }

    /// True once the tenant may be used.
    pub fn is_open(&self, tenant: &TenantId) -> bool {
        self.tenants.get(tenant).is_some_and(|rules| rules.life.is_open())
    }

    /// IANA name of the tenant's time zone; `UTC` if it is not open.
    pub fn timezone(&self, tenant: &TenantId) -> &str {
        self.tenants.get(tenant).map_or("UTC", |rules| rules.life.timezone())
    }

    /// What the tenant's log says of its life.
    pub fn tenant(&self, tenant: &TenantId) -> Option<&Tenant> {
        self.tenants.get(tenant).map(|rules| &rules.life)
    }

    /// A tenant's people, service accounts and keys.
    pub fn identity(&self, tenant: &TenantId) -> Option<&Identity> {
        self.tenants.get(tenant).map(|rules| &rules.identity)
    }

    /// A tenant's own roles and grants.
    pub fn access(&self, tenant: &TenantId) -> Option<&Access> {
        self.tenants.get(tenant).map(|rules| &rules.access)
    }

    /// The class of data that a request is about: as it says, else as its scope says, else unclassified.
    fn data_class<'a>(&'a self, request: &'a AccessRequest) -> &'a DataClass {
        let of_scope = || self.access(&request.tenant)?.data_class(&request.scope);
        request.context.data_class.as_ref().or_else(of_scope).unwrap_or_else(|| DataClass::unclassified())
    }

    /// What conditions of a request are about.
    fn facts<'a>(&'a self, request: &'a AccessRequest, now: Timestamp) -> conditions::Facts<'a> {
        conditions::Facts { now, context: &request.context, data_class: self.data_class(request) }
    }

    fn authorise_system(&self, request: &AccessRequest) -> Result<Allowed, Rejection> {
        let AccessRequest { tenant, principal, permission, .. } = request;
        if !system::may(principal, permission) {
            let reason = format!("{principal} is a part of Steward that has no permission {permission}");
            return Err(forbidden(request, reason, "nothing: the rights of the parts of Steward are fixed".to_owned()));
        }
        match self.suspended(tenant) {
            Some(reason) if !system::may_while_suspended(principal, permission) => Err(suspended(tenant, reason)),
            _ => Ok(Allowed {
                reason: Reason::part_of_steward(principal, permission),
                principal: principal.clone(),
                key: None,
                set_aside: None,
            }),
        }
    }

    fn open(&self, tenant: &TenantId) -> Result<&Rules, Rejection> {
        let rules = self.tenants.get(tenant).filter(|rules| rules.life.is_open());
        rules.ok_or_else(|| Rejection::UnknownTenant { tenant: tenant.clone() })
    }

    fn is_operator(&self, principal: &PrincipalId) -> bool {
        let known = || self.tenants.get(&TenantId::steward())?.identity.principal(principal);
        is_of_steward(principal) && known().is_some()
    }
}

/// That a key may be used in the tenant asked for: its own, or any for operators. Ids of people and of keys may be the same
/// in two tenants.
///
/// # Errors
/// [`Rejection::Forbidden`].
pub fn check_reach(holder: &KeyHolder, request: &AccessRequest) -> Result<(), Rejection> {
    let anywhere = holder.tenant.is_steward() && is_of_steward(&holder.principal);
    if holder.tenant == request.tenant || anywhere {
        return Ok(());
    }
    let reason = format!("the key {} belongs to tenant {}", holder.key, holder.tenant);
    Err(forbidden(request, reason, format!("a key of tenant {}", request.tenant)))
}

fn suspended(tenant: &TenantId, reason: &str) -> Rejection {
    Rejection::Suspended { tenant: tenant.clone(), reason: reason.to_owned() }
}

impl Authority {
    fn rules_of(&mut self, recorded: &Recorded<'_>) -> &mut Rules {
        self.tenants.entry(recorded.stream.tenant.clone()).or_default()
    }
}

steward_events::view!(Authority, reads TenantEvent, IdentityEvent, AccessEvent, AgentEvent, QuotaEvent);

impl Reads<TenantEvent> for Authority {
    fn read(&mut self, event: &TenantEvent, recorded: &Recorded<'_>) {
        self.rules_of(recorded).life.apply(event, recorded.entry.at);
        if matches!(event, TenantEvent::Erased) {
            self.erased.push(KeyOwner::Tenant(recorded.stream.tenant.clone()));
        }
    }
}

impl Reads<IdentityEvent> for Authority {
    fn read(&mut self, event: &IdentityEvent, recorded: &Recorded<'_>) {
        let Rules { identity, whole_keys, .. } = self.rules_of(recorded);
        identity.apply(event, recorded.entry.at);
        whole_keys.read(event, identity, &recorded.stream.tenant, recorded.entry.at);
        if let IdentityEvent::UserErased { principal, .. } = event {
            self.erased.push(KeyOwner::Person(recorded.stream.tenant.clone(), principal.clone()));
        }
        // Steward's principals hold in other tenants only while they are known in steward.
        if recorded.stream.tenant.is_steward() {
            self.prepared.clear();
        }
    }
}

impl Reads<AccessEvent> for Authority {
    fn read(&mut self, event: &AccessEvent, recorded: &Recorded<'_>) {
        // First: who was in a group is not known when it is gone. Nobody asks in between.
        self.forget_prepared(&recorded.stream.tenant, event);
        self.rules_of(recorded).access.apply(event, recorded.entry.at);
    }
}

impl Reads<AgentEvent> for Authority {
    fn read(&mut self, event: &AgentEvent, recorded: &Recorded<'_>) {
        let AgentEvent::Defined { agent, spec, .. } = event;
        self.rules_of(recorded).agents.insert(agent.clone(), spec.model.clone());
    }
}

impl Reads<QuotaEvent> for Authority {
    fn read(&mut self, event: &QuotaEvent, recorded: &Recorded<'_>) {
        self.rules_of(recorded).places.apply(event, recorded.entry.at);
    }
}

#[cfg(test)]
mod tests;
