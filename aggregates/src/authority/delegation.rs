//! Nobody grants what they do not hold.
//!
//! Beside the permission to send a command, some commands need what they pass on:
//! * `grant give`, `grant revoke`: everything that the role permits, at the grant's scope and for as long;
//! * `role define`: everything that the role will permit, in the whole tenant (in `steward`: everywhere, for its roles
//!   hold in every tenant);
//! * `key issue` for somebody else: everything that they hold and the key can reach. For oneself: nothing more. What
//!   the other is granted later, the key has too, as with any key; who keeps its secret is to be trusted with that;
//! * `user disable` of somebody else: everything that they hold.
//!
//! To hold means by grants without conditions, not through a key narrowed to models, an agent or a task: a condition
//! cannot be passed on, so a principal bound by one passes nothing on.

use steward_events::command::{AccessCommand, Command, IdentityCommand, IssueKey};
use steward_events::event::GrantId;
use steward_events::id::{PrincipalId, TenantId};
use steward_events::permission::PermissionPattern;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::rights::Rights;
use super::words::forbidden;
use super::{AccessRequest, Actor, Allowed, Authority, Context, suspended, system};

/// Something that is passed on: what, where and until when.
type Passed = (PermissionPattern, Scope, Option<Timestamp>);

impl Authority {
    /// Whether `principal` may send `command` to `tenant`: the permission, and what the command passes on.
    ///
    /// # Errors
    /// As [`Self::authorise`]; [`Rejection::NotFound`] if the command is about somebody who does not exist.
    pub fn may_send(
        &self,
        tenant: &TenantId,
        principal: &PrincipalId,
        command: &Command,
        now: Timestamp,
    ) -> Result<Allowed, Rejection> {
        let request = AccessRequest {
            tenant: tenant.clone(),
            principal: principal.clone(),
            key: None,
            permission: command.spec().permission(),
            scope: command.scope(tenant),
            context: Context::default(),
        };
        let allowed = self.authorise(&request, now)?;
        if principal.is_system() {
            self.check_system(&request, command)?;
            return Ok(allowed);
        }
        let actor = self.actor(&request)?;
        self.check_people(&request, command)?;
        let passed = self.passed_on(&request, &actor, command, now);
        if passed.is_empty() {
            return Ok(allowed);
        }
        let rights = self.rights(tenant, &actor.principal);
        match passed.iter().find(|passed| !holds(&rights, &actor, passed)) {
            None => Ok(allowed),
            Some((pattern, scope, until)) => {
                let lasting = until.map_or_else(String::new, |until| format!(" until {until}"));
                let reason = format!(
                    "a right can be given only by a principal that holds it: {principal} does not hold {pattern} at {scope}{lasting}"
                );
                let would_allow = format!("ask a principal that holds {pattern} at {scope}, e.g. an owner");
                Err(forbidden(&request, reason, would_allow))
            }
        }
    }

    /// A part of Steward acts for tasks only where the table says so, and asks for no more while a tenant is suspended.
    fn check_system(&self, request: &AccessRequest, command: &Command) -> Result<(), Rejection> {
        let AccessRequest { tenant, principal, permission, .. } = request;
        let of_task = |key: &steward_events::id::KeyId| {
            self.identity(tenant).and_then(|identity| identity.key(key)).is_some_and(|key| key.task.is_some())
        };
        if system::only_for_tasks(principal, permission) && !system::is_for_a_task(command, of_task) {
            let reason = format!("{principal} may use {permission} only for tasks");
            return Err(forbidden(request, reason, "nothing: the rights of the parts of Steward are fixed".to_owned()));
        }
        if let Command::Identity(IdentityCommand::IssueKey(issue)) = command
            && let Some(reason) = self.inactive(tenant, &issue.principal)
        {
            return Err(forbidden(request, reason, "a submitter who is active".to_owned()));
        }
        match self.suspended(tenant) {
            Some(reason) if system::asks_for_more(command) => Err(suspended(tenant, reason)),
            _ => Ok(()),
        }
    }

    /// A grant goes to somebody who exists: a mistyped id must not wait for somebody who makes it theirs.
    fn check_people(&self, request: &AccessRequest, command: &Command) -> Result<(), Rejection> {
        let Command::Access(AccessCommand::GiveGrant(give)) = command else { return Ok(()) };
        let known = self.identity(&request.tenant).is_some_and(|identity| identity.principal(&give.to).is_some());
        if known || give.to.as_str().starts_with("agent_") {
            Ok(())
        } else {
            Err(Rejection::not_found("principal", &give.to))
        }
    }

    fn passed_on(&self, request: &AccessRequest, actor: &Actor<'_>, command: &Command, now: Timestamp) -> Vec<Passed> {
        let tenant = &request.tenant;
        match command {
            Command::Access(AccessCommand::GiveGrant(give)) => self.of_grant(tenant, &give.id(), give.expires),
            Command::Access(AccessCommand::RevokeGrant(revoke)) => self.of_grant(tenant, &revoke.id(), Some(now)),
            Command::Access(AccessCommand::DefineRole(define)) => {
                let scope = if tenant.is_steward() { Scope::everything() } else { Scope::tenant(tenant) };
                let inherited = define.inherits.iter().flat_map(|role| {
                    let permissions = self.role_permissions(tenant, role);
                    permissions.patterns().cloned().collect::<Vec<_>>()
                });
                let patterns = define.permissions.iter().cloned().chain(inherited);
                patterns.map(|pattern| (pattern, scope.clone(), None)).collect()
            }
            Command::Identity(IdentityCommand::IssueKey(issue)) if issue.principal != actor.principal => {
                self.of_key(tenant, issue, now)
            }
            Command::Identity(IdentityCommand::DisableUser(disable)) if disable.principal != actor.principal => self
                .of_principal(tenant, &disable.principal, now)
                .into_iter()
                .map(|(p, s, _)| (p, s, Some(now)))
                .collect(),
            _ => Vec::new(),
        }
    }

    fn of_grant(&self, tenant: &TenantId, grant: &GrantId, until: Option<Timestamp>) -> Vec<Passed> {
        let permissions = self.role_permissions(tenant, &grant.role);
        permissions.patterns().map(|pattern| (pattern.clone(), grant.on.clone(), until)).collect()
    }

    /// What a key of somebody else could do: their grants, where the key's scope meets them.
    fn of_key(&self, tenant: &TenantId, issue: &IssueKey, now: Timestamp) -> Vec<Passed> {
        let reach = issue.scope.clone().unwrap_or_else(|| Scope::tenant(tenant));
        let meets = |on: Scope| {
            if on.contains(&reach) {
                Some(reach.clone())
            } else if reach.contains(&on) {
                Some(on)
            } else {
                None
            }
        };
        let held = self.of_principal(tenant, &issue.principal, now).into_iter();
        let until = |expires: Option<Timestamp>| match (expires, issue.expires) {
            (Some(grant), Some(key)) => Some(grant.min(key)),
            (grant, key) => grant.or(key),
        };
        held.filter_map(|(pattern, on, expires)| Some((pattern, meets(on)?, until(expires)))).collect()
    }

    fn of_principal(&self, tenant: &TenantId, principal: &PrincipalId, now: Timestamp) -> Vec<Passed> {
        let rights = self.rights(tenant, principal);
        let current = rights.held.iter().filter(|held| !held.terms.is_over(now));
        current
            .flat_map(|held| {
                held.permissions.patterns().map(|pattern| (pattern.clone(), held.grant.on.clone(), held.terms.expires))
            })
            .collect()
    }
}

fn holds(rights: &Rights, actor: &Actor<'_>, (pattern, scope, until): &Passed) -> bool {
    let through_key = actor.key.is_none_or(|key| {
        key.models.is_empty() && key.agent.is_none() && key.task.is_none() && key.scope.contains(scope)
    });
    through_key && rights.includes(pattern, scope, *until)
}
