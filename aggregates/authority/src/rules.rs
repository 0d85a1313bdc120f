//! Rules of access that commands meet beside permissions: who may ask for a role and approve it, which roles are kept apart,
//! and what commands about rules pass on or take away.

use std::collections::BTreeSet;
use std::time::Duration;

use steward_events::command::{AccessCommand, Command, SetDenial};
use steward_events::event::{DenialSpec, ElevationRule, GrantId};
use steward_events::id::{ElevationId, PrincipalId, RoleId, TenantId};
use steward_events::permission::PermissionPattern;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::actor::Actor;
use super::denials::holds_one;
use super::rights::Passed;
use super::words::forbidden_to;
use super::{AccessRequest, Authority};
use steward_aggregates::access::Access;
use steward_aggregates::access::elevation::Elevation;
use steward_aggregates::access::separation::{broken, overlap};

impl Authority {
    /// Where a command about a rule concerns, if that is known here.
    pub(super) fn scope_of_rule(&self, tenant: &TenantId, command: &AccessCommand) -> Option<Scope> {
        let access = self.access(tenant)?;
        let of_elevation = |id: &ElevationId| Some(access.elevation(id)?.request.on.clone());
        match command {
            AccessCommand::RemoveDenial(remove) => Some(access.denial(&remove.denial)?.on.clone()),
            AccessCommand::RemoveSeparation(remove) => {
                let mut named = access.separations().filter(|(name, _)| **name == remove.separation);
                named.next().map(|(_, spec)| spec.on.clone())
            }
            AccessCommand::DisallowElevation(disallow) => Some(access.elevation_rule(&disallow.rule)?.on.clone()),
            AccessCommand::RequestElevation(request) => Some(access.elevation_rule(&request.rule)?.on.clone()),
            AccessCommand::ApproveElevation(approve) => of_elevation(&approve.elevation),
            AccessCommand::RefuseElevation(refuse) => of_elevation(&refuse.elevation),
            AccessCommand::EndElevation(end) => of_elevation(&end.elevation),
            AccessCommand::ConfirmReviewed(confirm) => Some(access.review(&confirm.review)?.spec.on.clone()),
            AccessCommand::RevokeReviewed(revoke) => Some(access.review(&revoke.review)?.spec.on.clone()),
            AccessCommand::CloseReview(close) => Some(access.review(&close.review)?.spec.on.clone()),
            _ => None,
        }
    }

    /// What rules say to a command, beside what it passes on.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`] for who may not ask or approve, [`Rejection::Invalid`] for what rules keep from being.
    pub(super) fn check_rules(
        &self,
        request: &AccessRequest,
        actor: &Actor<'_>,
        command: &Command,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let (Command::Access(command), Some(access)) = (command, self.access(&request.tenant)) else { return Ok(()) };
        match command {
            AccessCommand::GiveGrant(give) => self.check_apart(&request.tenant, &give.id(), now),
            AccessCommand::SetDenial(set) => self.check_removable(request, &set.denial, &spec_of(set), now),
            AccessCommand::RequestElevation(asked) => match access.elevation_rule(&asked.rule) {
                Some(rule) if !self.is_one_of(request, actor, (&rule.askers, &rule.asker_roles), now) => {
                    let who = in_words(&rule.askers, &rule.asker_roles);
                    let reason = format!("the rule {} lets only {who} ask", asked.rule);
                    Err(forbidden_to(&actor.principal, request, reason, "a rule by which you may ask".to_owned()))
                }
                _ => Ok(()),
            },
            AccessCommand::ApproveElevation(approve) => self.check_approver(request, actor, &approve.elevation, now),
            AccessCommand::RefuseElevation(refuse) => self.check_approver(request, actor, &refuse.elevation, now),
            _ => Ok(()),
        }
    }

    fn check_approver(
        &self,
        request: &AccessRequest,
        actor: &Actor<'_>,
        elevation: &ElevationId,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let Some((found, rule)) = self.elevation_by_rule(&request.tenant, elevation) else { return Ok(()) };
        let own = found.request.by == actor.principal && rule.self_approval;
        let anybody = rule.approvers.is_empty() && rule.approver_roles.is_empty();
        if own || anybody || self.is_one_of(request, actor, (&rule.approvers, &rule.approver_roles), now) {
            return Ok(());
        }
        let reason = format!(
            "the rule {} lets only {} approve",
            found.request.rule,
            in_words(&rule.approvers, &rule.approver_roles)
        );
        Err(forbidden_to(&actor.principal, request, reason, "somebody whom the rule names".to_owned()))
    }

    fn elevation_by_rule(&self, tenant: &TenantId, elevation: &ElevationId) -> Option<(&Elevation, &ElevationRule)> {
        let access = self.access(tenant)?;
        let found = access.elevation(elevation)?;
        Some((found, access.elevation_rule(&found.request.rule)?))
    }

    /// True if the actor is named, or holds one of the roles now, without conditions.
    fn is_one_of(
        &self,
        request: &AccessRequest,
        actor: &Actor<'_>,
        (named, roles): (&[PrincipalId], &[RoleId]),
        now: Timestamp,
    ) -> bool {
        let rights = self.rights(&request.tenant, &actor.principal);
        let counts = |held: &super::held_rights::HeldRights| {
            // A role that is itself held for a time only opens no other.
            let lasting = held.terms.condition.is_none() && held.terms.elevation.is_none();
            lasting && !held.terms.is_over(now) && overlap(&held.grant.on, &request.scope)
        };
        named.contains(&actor.principal) || rights.held.iter().any(|held| counts(held) && holds_one(held, roles))
    }

    /// The same that the aggregate looks at, but by all that the holder has, however it is held, and by what roles mean to
    /// this tenant now.
    fn check_apart(&self, tenant: &TenantId, grant: &GrantId, now: Timestamp) -> Result<(), Rejection> {
        let Some(access) = self.access(tenant) else { return Ok(()) };
        let rights = self.rights(tenant, &grant.to);
        let reached = |role: &RoleId| self.role_permissions(tenant, role).roles().cloned().collect::<BTreeSet<_>>();
        for (name, spec) in access.separations() {
            let others = rights.held.iter().filter(|held| held.grant != *grant && !held.terms.is_over(now));
            let others = others.map(|held| (&held.grant.role, &held.grant.on)).chain([(&grant.role, &grant.on)]);
            let beside = others.filter(|(_, on)| overlap(on, &grant.on));
            let pair = beside.into_iter().find_map(|other| broken(spec, [(&grant.role, &grant.on), other], reached));
            if let Some((one, other)) = pair {
                let reason = format!("{} would hold {one} and {other}, which {name} keeps apart", grant.to);
                return Err(Rejection::invalid("role", reason));
            }
        }
        Ok(())
    }

    /// What commands about rules pass on, or take from others.
    pub(super) fn passed_on_by_rule(
        &self,
        tenant: &TenantId,
        actor: &PrincipalId,
        command: &AccessCommand,
        now: Timestamp,
    ) -> Vec<Passed> {
        let Some(access) = self.access(tenant) else { return Vec::new() };
        let whole = if tenant.is_steward() { Scope::everything() } else { Scope::tenant(tenant) };
        let of_denial = |spec: &DenialSpec, until| -> Vec<Passed> {
            spec.permissions.iter().map(|pattern| (pattern.clone(), spec.on.clone(), until)).collect()
        };
        match command {
            AccessCommand::RemoveRole(remove) => self.of_role(tenant, &remove.role, &whole, Some(now)),
            AccessCommand::SetDenial(set) => {
                let lifted = access.denial(&set.denial).map(|before| of_denial(before, None));
                lifted.into_iter().flatten().chain(of_denial(&spec_of(set), Some(now))).collect()
            }
            AccessCommand::RemoveDenial(remove) => {
                access.denial(&remove.denial).map_or_else(Vec::new, |before| of_denial(before, None))
            }
            AccessCommand::AllowElevation(allow) => self.of_role(tenant, &allow.role, &allow.on, None),
            AccessCommand::ApproveElevation(approve) => {
                let Some((found, rule)) = self.elevation_by_rule(tenant, &approve.elevation) else { return Vec::new() };
                let asked = &found.request;
                if rule.approvers.contains(actor) || (asked.by == *actor && rule.self_approval) {
                    return Vec::new();
                }
                let until = now.plus(Duration::from_secs(asked.duration_s));
                self.of_role(tenant, &asked.role, &asked.on, Some(until))
            }
            AccessCommand::EndElevation(end) => match access.elevation(&end.elevation) {
                Some(found) if found.request.by != *actor => {
                    self.of_role(tenant, &found.request.role, &found.request.on, Some(now))
                }
                _ => Vec::new(),
            },
            AccessCommand::StartReview(start) if start.revoke_unreviewed || !start.reviewers.is_empty() => {
                let roles = roles_within(access, &start.on);
                roles.iter().flat_map(|role| self.of_role(tenant, role, &start.on, Some(now))).collect()
            }
            AccessCommand::ConfirmReviewed(confirm) => {
                let by_name = access.review(&confirm.review).is_some_and(|open| !open.spec.reviewers.is_empty());
                let kept = confirm.grants.iter().filter(|_| !by_name);
                let until = |grant: &GrantId| access.terms(grant).and_then(|terms| terms.expires);
                kept.flat_map(|grant| self.of_role(tenant, &grant.role, &grant.on, until(grant))).collect()
            }
            AccessCommand::RevokeReviewed(revoke) => {
                let by_name = access.review(&revoke.review).is_some_and(|open| !open.spec.reviewers.is_empty());
                let ended = revoke.grants.iter().filter(|_| !by_name);
                ended.flat_map(|grant| self.of_role(tenant, &grant.role, &grant.on, Some(now))).collect()
            }
            _ => Vec::new(),
        }
    }

    fn of_role(&self, tenant: &TenantId, role: &RoleId, on: &Scope, until: Option<Timestamp>) -> Vec<Passed> {
        let permissions = self.role_permissions(tenant, role);
        let patterns: Vec<PermissionPattern> = permissions.patterns().cloned().collect();
        patterns.into_iter().map(|pattern| (pattern, on.clone(), until)).collect()
    }
}

/// The denial that a command sets, as far as who may be denied what depends on it.
fn spec_of(set: &SetDenial) -> DenialSpec {
    let SetDenial { permissions, on, whom, condition, unless, until, reason, .. } = set.clone();
    DenialSpec { permissions, on, whom, condition, unless, until, reason }
}

/// The roles that somebody holds at `on` and below.
fn roles_within(access: &Access, on: &Scope) -> BTreeSet<RoleId> {
    let holders: BTreeSet<&PrincipalId> = access.holders().collect();
    let grants = holders.into_iter().flat_map(|holder| access.grants_of(holder));
    grants.filter(|(grant, _)| on.contains(&grant.on)).map(|(grant, _)| grant.role).collect()
}

fn in_words(named: &[PrincipalId], roles: &[RoleId]) -> String {
    let named = named.iter().map(ToString::to_string);
    let words: Vec<String> = named.chain(roles.iter().map(|role| format!("holders of {role}"))).collect();
    words.join(", ")
}
