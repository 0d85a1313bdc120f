//! Nobody grants what they do not hold.
//!
//! Beside the permission to send a command, some commands need what they pass on:
//! * `grant give`, `grant revoke`, `trial start`, `trial stop`: everything that the role permits, at the grant's scope and for as long;
//! * `role define`: everything that the role will permit and what it permitted, in the whole tenant (in `steward`: everywhere, for its roles
//!   hold in every tenant);
//! * `key issue` for somebody else: everything that they hold and the key can reach. What the other is granted later, the
//!   key has too, as with any key; who keeps its secret is to be trusted with that. For oneself, as for others: the new key
//!   is no more than the one that asks for it, in scope, models, permissions and end (see [`exceeds`]);
//!   `key rotate` likewise: whoever asks for it learns the secret of the new key;
//! * `key revoke` of somebody else's key, `user disable` of somebody else: everything that they hold, where the key reaches;
//!   with `user disable` and `user enable` also what the service accounts hold that they own;
//! * `user set` of somebody else, `account set-owner`: everything that they, or the account, hold;
//! * `group join`, `group remove`, and `group leave` of somebody else: everything that the group holds, whoever joins;
//! * `deny set`, `role remove`, and what ends others' grants: what is taken; `deny remove` and `elevation allow`: what may be
//!   had again, or by asking (see `authority/rules.rs`);
//! * `task submit`: the agent's model, through the key that asks for it.
//!
//! To hold means by grants without conditions, not through a key narrowed to models, an agent or a task: a condition
//! cannot be passed on, so a principal bound by one passes nothing on; nor what is denied to them.

use steward_events::command::{
    AccessCommand, BatchCommand, Command, IdentityCommand, IssueKey, RevokeKey, RotateKey, TaskCommand,
};
use steward_events::event::GrantId;
use steward_events::id::{ModelId, PrincipalId, TenantId};
use steward_events::permission::Permission;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::actor::{Actor, HeldKey, MustNameKey};
use super::key_bounds::{as_issued, exceeds};
use super::rights::{Passed, Rights, taken};
use super::words::{forbidden, forbidden_to};
use super::{AccessRequest, Allowed, Authority, Context, suspended, system};

impl Authority {
    /// Whether `principal` may send `command` to `tenant`: the permission where it concerns, and what the command passes
    /// on. `at` is where it concerns, if that is recorded in a stream and not said by the command.
    ///
    /// # Errors
    /// As [`Self::authorise`]; [`Rejection::NotFound`] if the command is about somebody who does not exist.
    pub fn may_send(
        &self,
        tenant: &TenantId,
        principal: &PrincipalId,
        command: &Command,
        at: Option<&Scope>,
        now: Timestamp,
    ) -> Result<Allowed, Rejection> {
        let request = AccessRequest {
            tenant: tenant.clone(),
            principal: principal.clone(),
            key: None,
            permission: command.spec().permission(),
            scope: at.cloned().unwrap_or_else(|| self.scope_of(tenant, command)),
            context: Context::default(),
        };
        let mut allowed = self.authorise(&request, now)?;
        if principal.is_system() {
            self.check_system(&request, command, now)?;
            return Ok(allowed);
        }
        let actor = self.actor(&request, now)?;
        self.check_people(&request, command)?;
        self.check_project(&request, command)?;
        self.check_plan(command)?;
        self.check_own_key(&request, &actor, command, now)?;
        self.check_rules(&request, &actor, command, now)?;
        let passed = self.passed_on(&request, &actor, command, now);
        if passed.is_empty() {
            return Ok(allowed);
        }
        let rights = self.rights(tenant, &actor.principal);
        match passed.iter().find(|passed| !holds(&rights, &actor, passed, now)) {
            None => {
                let set_aside = |(pattern, scope, until): &Passed| rights.included_by_set_aside(pattern, scope, *until);
                let needs = || passed.iter().find_map(|passed| Some(set_aside(passed)?.grant.clone()));
                allowed.set_aside = allowed.set_aside.or_else(needs);
                Ok(allowed)
            }
            Some((pattern, scope, until)) => {
                let (who, lasting) =
                    (&actor.principal, until.map_or_else(String::new, |until| format!(" until {until}")));
                let reason = format!(
                    "a right can be given or taken only by a principal that holds it: {who} does not hold {pattern} at {scope}{lasting}"
                );
                let would_allow = format!("ask a principal that holds {pattern} at {scope}, e.g. an owner");
                Err(forbidden_to(who, &request, reason, would_allow))
            }
        }
    }

    /// Where a command concerns, as far as it says so itself or is known here.
    fn scope_of(&self, tenant: &TenantId, command: &Command) -> Scope {
        let of_key = match command {
            Command::Identity(
                IdentityCommand::RevokeKey(RevokeKey { key, .. }) | IdentityCommand::RotateKey(RotateKey { key, .. }),
            ) => self.identity(tenant).and_then(|id| id.key(key)),
            Command::Access(about) => {
                return self.scope_of_rule(tenant, about).unwrap_or_else(|| command.scope(tenant));
            }
            _ => None,
        };
        of_key.map_or_else(|| command.scope(tenant), |key| key.scope.clone())
    }

    /// What a key makes is no more than itself: another key, or a task, which acts through a key of its own.
    fn check_own_key(
        &self,
        request: &AccessRequest,
        actor: &Actor<'_>,
        command: &Command,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let refused = |reason, would_allow| Err(forbidden_to(&actor.principal, request, reason, would_allow));
        let held = actor.key.as_ref();
        match (command, held) {
            (Command::Identity(IdentityCommand::IssueKey(issue)), Some(held)) => {
                match exceeds(held.key, issue, &request.tenant, self.timezone(&request.tenant)) {
                    Some(reason) => refused(reason, "a key that is no more than yours".to_owned()),
                    None => Ok(()),
                }
            }
            (Command::Identity(IdentityCommand::RotateKey(rotate)), Some(held)) => {
                let replaced = self.identity(&request.tenant).and_then(|identity| identity.key(&rotate.key));
                let more = replaced.and_then(|key| {
                    exceeds(held.key, &as_issued(key), &request.tenant, self.timezone(&request.tenant))
                });
                match more {
                    Some(reason) => refused(reason, "a key that is no less than the one it replaces".to_owned()),
                    None => Ok(()),
                }
            }
            (Command::Task(TaskCommand::SubmitTask(submit)), Some(held)) => {
                let agent = &submit.agent;
                let model = self.tenants.get(&request.tenant).and_then(|rules| rules.agents.get(agent));
                match model.and_then(|model| self.cannot_think(held, model)) {
                    Some(why) => refused(
                        format!("agent {agent} could do nothing for you: {why}"),
                        "a key that may call the agent's model".to_owned(),
                    ),
                    None => Ok(()),
                }
            }
            (_, None) => match self.must_name_key(request, now) {
                Some(MustNameKey { doubtful: true, send_as }) if outlasts(command) => {
                    let reason =
                        format!("a key of {} was revoked a moment ago, and this may come by it", actor.principal);
                    refused(reason, send_as)
                }
                Some(MustNameKey { send_as, .. }) if ends_with_its_key(command) => {
                    let what = command.spec().noun;
                    let reason = format!(
                        "a {what} ends with the key by which it was submitted; {} has several",
                        actor.principal
                    );
                    refused(reason, send_as)
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Why an agent may not call its model for somebody with this key, if so.
    fn cannot_think(&self, HeldKey { key, .. }: &HeldKey<'_>, model: &ModelId) -> Option<String> {
        if !key.models.is_empty() && !key.models.contains(model) {
            let models: Vec<&str> = key.models.iter().map(AsRef::as_ref).collect();
            return Some(format!("it thinks with {model}, and the key is only for {}", models.join(", ")));
        }
        let invoke = Permission::model_invoke();
        (!self.is_for(key, &invoke)).then(|| format!("the key is not for {invoke}"))
    }

    /// The widest scope at which `principal` could send `command`: `*` for operators and parts of Steward. Asked only of
    /// commands to which it matters: of the others, their own scope.
    pub fn reach(&self, tenant: &TenantId, principal: &PrincipalId, command: &Command, now: Timestamp) -> Scope {
        let scope = command.scope(tenant);
        if !command.body().has_level() {
            return scope;
        }
        let at = |scope: &Scope| AccessRequest {
            tenant: tenant.clone(),
            principal: principal.clone(),
            key: None,
            permission: command.spec().permission(),
            scope: scope.clone(),
            context: Context::default(),
        };
        let of_platform =
            principal.is_system() || self.actor(&at(&scope), now).is_ok_and(|actor| self.is_operator(&actor.principal));
        if of_platform {
            return Scope::everything();
        }
        let above = scope.ancestors().filter(|at| at.is_within(tenant));
        above.filter(|above| self.authorise(&at(above), now).is_ok()).last().unwrap_or(scope)
    }

    /// A part of Steward acts for tasks only where the table says so, and asks for no more while a tenant is suspended.
    fn check_system(&self, request: &AccessRequest, command: &Command, now: Timestamp) -> Result<(), Rejection> {
        let AccessRequest { tenant, principal, permission, .. } = request;
        let of_task = |key: &steward_events::id::KeyId| {
            self.identity(tenant).and_then(|identity| identity.key(key)).is_some_and(|key| key.task.is_some())
        };
        let of_plan = system::is_of_a_plan(command, &Scope::tenant(tenant));
        if system::only_for_tasks(principal, permission) && !of_plan && !system::is_for_a_task(command, of_task) {
            let reason = format!("{principal} may use {permission} only for tasks and plans");
            return Err(forbidden(request, reason, "nothing: the rights of the parts of Steward are fixed".to_owned()));
        }
        if let Command::Identity(IdentityCommand::IssueKey(issue)) = command
            && let Some(reason) = self.submitter_gone(tenant, issue, now)
        {
            return Err(forbidden(request, reason, "a submitter who is active, by a key that works".to_owned()));
        }
        match self.suspended(tenant) {
            Some(reason) if system::asks_for_more(command) => Err(suspended(tenant, reason)),
            _ => Ok(()),
        }
    }

    /// Why nothing is done for the submitter of a task any more, or not this; none if it may be.
    fn submitter_gone(&self, tenant: &TenantId, issue: &IssueKey, now: Timestamp) -> Option<String> {
        let inactive = self.inactive(tenant, &issue.principal);
        let Some(parent) = inactive.is_none().then_some(issue.parent.as_ref()).flatten() else { return inactive };
        let Some(key) = self.key(parent).filter(|key| key.principal == issue.principal) else {
            return Some(format!("{} has no key {parent}", issue.principal));
        };
        if self.is_over(key, now) {
            return Some(format!(
                "the key by which the task was submitted, {}, was revoked or has expired",
                parent.key
            ));
        }
        let scope = issue.scope.clone().unwrap_or_else(|| Scope::tenant(tenant));
        if !key.scope.contains(&scope) || (issue.models.is_empty() && !key.models.is_empty()) {
            return Some(format!("the key by which it was submitted, {}, is for less", parent.key));
        }
        let held = HeldKey { named: parent.clone(), key, over: false };
        issue.models.iter().find_map(|model| self.cannot_think(&held, model))
    }

    /// A grant goes to somebody who exists: a mistyped id must not wait for somebody who makes it theirs.
    fn check_people(&self, request: &AccessRequest, command: &Command) -> Result<(), Rejection> {
        let who = match command {
            // Of groups the aggregate itself knows.
            Command::Access(AccessCommand::GiveGrant(give)) if !give.to.is_group() => &give.to,
            Command::Access(AccessCommand::JoinGroup(join)) if !join.member.is_group() => &join.member,
            _ => return Ok(()),
        };
        let known = self.identity(&request.tenant).is_some_and(|identity| identity.principal(who).is_some());
        let agent =
            who.as_str().starts_with("agent_") && matches!(command, Command::Access(AccessCommand::GiveGrant(_)));
        if known || agent { Ok(()) } else { Err(Rejection::not_found("principal", who)) }
    }

    fn passed_on(&self, request: &AccessRequest, actor: &Actor<'_>, command: &Command, now: Timestamp) -> Vec<Passed> {
        let tenant = &request.tenant;
        match command {
            Command::Access(AccessCommand::GiveGrant(give)) => self.of_grant(tenant, &give.id(), give.expires),
            Command::Access(AccessCommand::RevokeGrant(revoke)) => self.of_grant(tenant, &revoke.id(), Some(now)),
            Command::Access(AccessCommand::StartTrial(start)) => self.of_grant(tenant, &start.id(), Some(now)),
            Command::Access(AccessCommand::StopTrial(stop)) => self.of_grant(tenant, &stop.id(), Some(now)),
            Command::Access(AccessCommand::DefineRole(define)) => {
                let scope = if tenant.is_steward() { Scope::everything() } else { Scope::tenant(tenant) };
                let inherited = define.inherits.iter().flat_map(|role| {
                    let permissions = self.role_permissions(tenant, role);
                    permissions.patterns().cloned().collect::<Vec<_>>()
                });
                let patterns = define.permissions.iter().cloned().chain(inherited);
                let given = patterns.map(|pattern| (pattern, scope.clone(), None));
                let before = self.role_permissions(tenant, &define.role);
                let taken = before.patterns().map(|pattern| (pattern.clone(), scope.clone(), Some(now)));
                given.chain(taken).collect()
            }
            Command::Access(AccessCommand::JoinGroup(join)) => self.of_principal(tenant, &join.group, now),
            Command::Access(AccessCommand::LeaveGroup(leave)) if leave.member != actor.principal => {
                taken(self.of_principal(tenant, &leave.group, now), now)
            }
            Command::Access(AccessCommand::RemoveGroup(remove)) => {
                taken(self.of_principal(tenant, &remove.group, now), now)
            }
            Command::Access(about) => self.passed_on_by_rule(tenant, &actor.principal, about, now),
            Command::Identity(command) => self.by_identity(tenant, actor, command, now),
            _ => Vec::new(),
        }
    }

    /// What a command about somebody and their keys passes on.
    fn by_identity(
        &self,
        tenant: &TenantId,
        actor: &Actor<'_>,
        command: &IdentityCommand,
        now: Timestamp,
    ) -> Vec<Passed> {
        let others_key = |key| {
            let key = self.identity(tenant).and_then(|identity| identity.key(key));
            key.filter(|key| key.principal != actor.principal)
        };
        match command {
            IdentityCommand::IssueKey(issue) if issue.principal != actor.principal => {
                let reach = issue.scope.clone().unwrap_or_else(|| Scope::tenant(tenant));
                self.of_principal_at(tenant, &issue.principal, &reach, issue.expires, now)
            }
            IdentityCommand::RotateKey(rotate) => others_key(&rotate.key).map_or_else(Vec::new, |key| {
                self.of_principal_at(tenant, &key.principal, &key.scope, key.expires, now)
            }),
            IdentityCommand::RevokeKey(revoke) => others_key(&revoke.key)
                .map_or_else(Vec::new, |key| self.of_principal_at(tenant, &key.principal, &key.scope, Some(now), now)),
            IdentityCommand::DisableUser(disable) if disable.principal != actor.principal => {
                taken(self.with_owned(tenant, &disable.principal, now), now)
            }
            IdentityCommand::EnableUser(enable) => self.with_owned(tenant, &enable.principal, now),
            IdentityCommand::EraseUser(erase) if erase.principal != actor.principal => {
                taken(self.with_owned(tenant, &erase.principal, now), now)
            }
            // Who has another mail address may be taken for somebody else where people sign in.
            IdentityCommand::SetUser(set) if set.principal != actor.principal => {
                taken(self.of_principal(tenant, &set.principal, now), now)
            }
            IdentityCommand::SetOwner(set) => self.of_principal(tenant, &set.account, now),
            _ => Vec::new(),
        }
    }

    /// What somebody holds, and the accounts that act only while they may.
    fn with_owned(&self, tenant: &TenantId, principal: &PrincipalId, now: Timestamp) -> Vec<Passed> {
        let owned = self.identity(tenant).into_iter().flat_map(|identity| identity.owned_by(principal));
        std::iter::once(principal).chain(owned).flat_map(|of| self.of_principal(tenant, of, now)).collect()
    }

    fn of_grant(&self, tenant: &TenantId, grant: &GrantId, until: Option<Timestamp>) -> Vec<Passed> {
        let permissions = self.role_permissions(tenant, &grant.role);
        permissions.patterns().map(|pattern| (pattern.clone(), grant.on.clone(), until)).collect()
    }

    /// What somebody could do through a key: their grants, where the key's scope meets them, until it ends.
    fn of_principal_at(
        &self,
        tenant: &TenantId,
        principal: &PrincipalId,
        reach: &Scope,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Vec<Passed> {
        let meets = |on: Scope| {
            if on.contains(reach) {
                Some(reach.clone())
            } else if reach.contains(&on) {
                Some(on)
            } else {
                None
            }
        };
        let held = self.of_principal(tenant, principal, now).into_iter();
        let until = |expires: Option<Timestamp>| match (expires, until) {
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

/// What makes or changes who may do what, or works on by itself: it would outlast the connection that it came by.
const fn outlasts(command: &Command) -> bool {
    matches!(command, Command::Identity(_) | Command::Access(_)) || ends_with_its_key(command)
}

/// What works on as the one who submitted it.
const fn ends_with_its_key(command: &Command) -> bool {
    matches!(command, Command::Task(TaskCommand::SubmitTask(_)) | Command::Batch(BatchCommand::SubmitBatch(_)))
}

fn holds(rights: &Rights, actor: &Actor<'_>, (pattern, scope, until): &Passed, now: Timestamp) -> bool {
    let through_key = actor.key.as_ref().is_none_or(|HeldKey { key, .. }| {
        let whole = key.models.is_empty() && key.agent.is_none() && key.task.is_none();
        let lasts = key.expires.is_none_or(|end| until.is_some_and(|until| until <= end));
        whole && lasts && key.scope.contains(scope) && key.is_for_all_of(pattern)
    });
    through_key && rights.includes(pattern, scope, *until) && !rights.is_partly_denied(pattern, scope, now)
}
