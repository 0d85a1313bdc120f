//! Answers of the directory, page by page.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use steward_aggregates::access::role::{built_in, built_in_ids};
use steward_events::BoxError;
use steward_events::id::{KeyId, PrincipalId, TenantId};
use steward_events::shard::STEWARD_SHARD;
use steward_events::timestamp::Timestamp;
use steward_ports::clock::Clock;
use steward_ports::keys::{KeyError, Keyring};
use steward_queries::{
    AccountPage, AccountRow, AgentPage, AgentRow, GrantPage, GrantRow, GrantState, GroupPage, GroupRow, KeyPage,
    KeyRow, KeyState, ListAccounts, ListAgents, ListGrants, ListGroups, ListKeys, ListRoles, ListUsers, Page,
    PrincipalState, RolePage, RoleRow, UserPage, UserRow,
};

use super::{
    Directory, DirectoryRow, StoredAccount, StoredGrant, StoredGroup, StoredKey, StoredPerson, StoredRole, account_key,
    accounts, agents, grants, grants_of, group_key, groups_of, keys, people, person_key, places, roles, use_key, uses,
};
use crate::engine::Engine;
use crate::engine::opening::open;
use crate::engine::page::{Part, ROWS_READ_MAX, after, part};
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};
use crate::engine::runner::Runner;
use crate::engine::view_store::Snapshot;

/// How many people's keys are asked for at once.
const OPENED_AT_ONCE: usize = 16;

/// When keys were last used in other shards than their tenant's.
pub(super) type Uses = HashMap<KeyId, Timestamp>;

/// The most keys of operators whose uses are gathered.
const OPERATORS_KEYS_MAX: usize = 10_000;

/// The read model.
pub struct DirectoryView {
    pub(super) rows: Arc<Runner<Directory>>,
    keyring: Arc<Keyring>,
    pub(super) clock: Arc<dyn Clock>,
}

impl DirectoryView {
    /// Over the engine's log and store.
    pub fn new(engine: &Engine) -> Self {
        let ports = &engine.ports;
        Self { rows: engine.runner(), keyring: Arc::clone(&ports.keyring), clock: Arc::clone(&ports.clock) }
    }
}

#[async_trait]
impl ReadModel for DirectoryView {
    fn nouns(&self) -> &'static [&'static str] {
        &["user", "account", "agent", "key", "role", "grant", "group"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        Some(Arc::<Runner<_>>::clone(&self.rows))
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        match (query.noun(), query.verb()) {
            ("user", "list") => query.write(&self.users(query).await?),
            ("account", "list") => query.write(&self.accounts(query).await?),
            ("agent", "list") => query.write(&self.agents(query).await?),
            ("key", "list") => query.write(&self.keys(query).await?),
            ("role", "list") => query.write(&self.roles(query).await?),
            ("grant", "list") => query.write(&self.grants(query).await?),
            ("group", "list") => query.write(&self.groups(query).await?),
            ("user", "show") => query.write(&self.user(query).await?),
            ("key", "show") => query.write(&self.key(query).await?),
            ("group", "show") => query.write(&self.group(query).await?),
            _ => Err(query.unknown()),
        }
    }
}

impl DirectoryView {
    /// When the keys of `tenant` were last used in other tenants. Only operators' are.
    pub(super) fn used_elsewhere(&self, tenant: &TenantId) -> Result<Uses, BoxError> {
        let mut used = Uses::new();
        if !tenant.is_steward() {
            return Ok(used);
        }
        let prefix = uses(tenant);
        self.rows.peek(|rows| {
            rows.scan(&prefix, None, |key, row| {
                let name = key.get(prefix.as_bytes().len()..).and_then(|name| std::str::from_utf8(name).ok());
                if let (Some(Ok(key)), DirectoryRow::Used(at)) =
                    (name.map(|name| name.trim_end_matches('\0').parse()), row)
                {
                    let last: &mut Timestamp = used.entry(key).or_default();
                    *last = at.max(*last);
                }
                used.len() < OPERATORS_KEYS_MAX
            })
        })?;
        Ok(used)
    }

    /// People, opened: who may list them may read who they are.
    async fn users(&self, query: &Query<'_>) -> Result<UserPage, NoAnswer> {
        let asked: ListUsers = query.read()?;
        let (paging, prefix) = (asked.paging(), people(query.tenant()));
        let after = after(&prefix, &paging)?;
        let wanted = move |row| match row {
            DirectoryRow::Person(row) => {
                Ok(asked.state.is_none_or(|state| state == state_of(row.disabled.as_ref())).then_some(row))
            }
            _ => Ok(None),
        };
        let bounds = (paging.limit, ROWS_READ_MAX);
        let read = move |rows: &Snapshot<'_>| part(rows, &prefix, None, after.as_ref(), bounds, wanted);
        let page = self.rows.read(query.shard, paging.min_position, read).await?.page();
        let opened = stream::iter(page.rows).map(|person| self.open(person)).buffered(OPENED_AT_ONCE);
        Ok(Page { position: page.position, rows: opened.try_collect().await?, next: page.next })
    }

    pub(super) async fn open(&self, person: StoredPerson) -> Result<UserRow, KeyError> {
        let opened = match &person.profile {
            Some(profile) => open(&self.keyring, profile).await.map(Some),
            None => Ok(None),
        };
        let profile = if matches!(opened, Err(KeyError::Erased(_))) { None } else { opened? };
        let erased = profile.is_none();
        let (email, name) = profile.map(|profile| (profile.email, profile.name)).unzip();
        Ok(UserRow {
            principal: person.principal,
            email,
            name: name.filter(|name| !name.is_empty()),
            erased,
            state: state_of(person.disabled.as_ref()),
            reason: person.disabled,
            invited_at: person.invited_at,
        })
    }

    async fn accounts(&self, query: &Query<'_>) -> Result<AccountPage, NoAnswer> {
        let asked: ListAccounts = query.read()?;
        let (paging, prefix, tenant) = (asked.paging(), accounts(query.tenant()), query.tenant().clone());
        let after = after(&prefix, &paging)?;
        let bounds = (paging.limit, ROWS_READ_MAX);
        let read = move |rows: &Snapshot<'_>| {
            part(rows, &prefix, None, after.as_ref(), bounds, |row| {
                let DirectoryRow::Account(row) = row else { return Ok(None) };
                let row = account_row(rows, &tenant, row)?;
                let nobodys = row.owner.is_none() || row.state == PrincipalState::Ownerless;
                let wanted = asked.state.is_none_or(|state| state == row.state)
                    && asked.owner.as_ref().is_none_or(|owner| row.owner.as_ref() == Some(owner))
                    && asked.unowned.is_none_or(|unowned| unowned == nobodys);
                Ok(wanted.then_some(row))
            })
        };
        Ok(self.rows.read(query.shard, paging.min_position, read).await?.page())
    }

    async fn groups(&self, query: &Query<'_>) -> Result<GroupPage, NoAnswer> {
        let asked: ListGroups = query.read()?;
        let (paging, tenant) = (asked.paging(), query.tenant().clone());
        let prefix = asked.member.as_ref().map_or_else(|| places::groups(&tenant), |member| groups_of(&tenant, member));
        let after = after(&prefix, &paging)?;
        let bounds = (paging.limit, ROWS_READ_MAX);
        let read = move |rows: &Snapshot<'_>| {
            part(rows, &prefix, None, after.as_ref(), bounds, |row| match row {
                DirectoryRow::Group(group) => Ok(Some(group_row(group))),
                DirectoryRow::Member(of) => match rows.get(&group_key(&tenant, &of.group))? {
                    Some(DirectoryRow::Group(group)) => Ok(Some(group_row(group))),
                    _ => Ok(None),
                },
                _ => Ok(None),
            })
        };
        Ok(self.rows.read(query.shard, paging.min_position, read).await?.page())
    }

    async fn agents(&self, query: &Query<'_>) -> Result<AgentPage, NoAnswer> {
        let asked: ListAgents = query.read()?;
        let (paging, prefix) = (asked.paging(), agents(query.tenant()));
        let after = after(&prefix, &paging)?;
        let wanted = move |row| {
            let DirectoryRow::Agent(row) = row else { return Ok(None) };
            let (agent, revision, spec, defined_at) = (row.agent, row.revision, row.spec, row.defined_at);
            let wanted = asked.model.as_ref().is_none_or(|model| *model == spec.model);
            Ok(wanted.then_some(AgentRow { agent, revision, spec, defined_at }))
        };
        let bounds = (paging.limit, ROWS_READ_MAX);
        let read = move |rows: &Snapshot<'_>| part(rows, &prefix, None, after.as_ref(), bounds, wanted);
        Ok(self.rows.read(query.shard, paging.min_position, read).await?.page())
    }

    async fn keys(&self, query: &Query<'_>) -> Result<KeyPage, NoAnswer> {
        let asked: ListKeys = query.read()?;
        let (paging, prefix, tenant) = (asked.paging(), keys(query.tenant()), query.tenant().clone());
        let sight = query.sight.clone();
        let after = after(&prefix, &paging)?;
        let (bounds, now) = ((paging.limit, ROWS_READ_MAX), self.clock.now());
        let used = self.used_elsewhere(&tenant)?;
        let read = move |rows: &Snapshot<'_>| {
            part(rows, &prefix, None, after.as_ref(), bounds, |row| match row {
                DirectoryRow::Key(key)
                    if sight.covers(&places::home(&tenant, &key.scope)) && matches_key(&asked, &key) =>
                {
                    let row = key_row(rows, &tenant, *key, &used, now)?;
                    let unused = |since| row.issued_at < since && row.last_used.is_none_or(|last| last < since);
                    let wanted =
                        asked.state.is_none_or(|state| state == row.state) && asked.unused_since.is_none_or(unused);
                    Ok(wanted.then_some(row))
                }
                _ => Ok(None),
            })
        };
        Ok(self.rows.read(query.shard, paging.min_position, read).await?.page())
    }

    async fn grants(&self, query: &Query<'_>) -> Result<GrantPage, NoAnswer> {
        let asked: ListGrants = query.read()?;
        let (paging, prefix, tenant) = (asked.paging(), grants(query.tenant()), query.tenant().clone());
        let sight = query.sight.clone();
        let within = asked.principal.as_ref().map(|principal| grants_of(&tenant, principal));
        let after = after(&prefix, &paging)?;
        let (bounds, now) = ((paging.limit, ROWS_READ_MAX), self.clock.now());
        let read = move |rows: &Snapshot<'_>| {
            part(rows, &prefix, within.as_ref(), after.as_ref(), bounds, |row| match row {
                DirectoryRow::Grant(grant) if sight.covers(&grant.on) && matches_grant(&asked, &grant, now) => {
                    grant_row(rows, &tenant, grant, now).map(Some)
                }
                _ => Ok(None),
            })
        };
        Ok(self.rows.read(query.shard, paging.min_position, read).await?.page())
    }

    /// A tenant's own roles, and those of the platform, which no tenant can change.
    async fn roles(&self, query: &Query<'_>) -> Result<RolePage, NoAnswer> {
        let asked: ListRoles = query.read()?;
        let (paging, steward) = (asked.paging(), TenantId::steward());
        let read = |tenant: &TenantId| {
            let prefix = roles(tenant);
            let (after, bounds) = (after(&prefix, &paging)?, (paging.limit, usize::MAX));
            let wanted = |row: DirectoryRow| match row {
                DirectoryRow::Role(row) => Ok(Some(row)),
                _ => Ok(None),
            };
            let read = move |rows: &Snapshot<'_>| part(rows, &prefix, None, after.as_ref(), bounds, wanted);
            Ok::<_, NoAnswer>(read)
        };
        let own = self.rows.read(query.shard, paging.min_position, read(query.tenant())?).await?;
        let mut inherited = if query.tenant().is_steward() {
            Part::empty()
        } else {
            self.rows.read(STEWARD_SHARD, None, read(&steward)?).await?
        };
        // What the platform has not recorded means what it means by itself.
        for role in built_in_ids() {
            if let Some(spec) = built_in(&role) {
                let row = StoredRole { role: role.clone(), permissions: spec.permissions, inherits: spec.inherits };
                inherited.fill(role.as_str(), paging.after.as_deref(), row);
            }
        }
        Ok(own.merge(inherited, paging.limit, |own, inherited| {
            let is_inherited = own.is_none();
            let StoredRole { role, permissions, inherits } = own.or(inherited)?;
            Some(RoleRow { role, permissions, inherits, inherited: is_inherited })
        }))
    }
}

pub(super) const fn state_of(disabled: Option<&String>) -> PrincipalState {
    match disabled {
        Some(_) => PrincipalState::Disabled,
        None => PrincipalState::Active,
    }
}

/// A service account, and whether its owner lets it act.
pub(super) fn account_row(
    rows: &Snapshot<'_>,
    tenant: &TenantId,
    account: StoredAccount,
) -> Result<AccountRow, BoxError> {
    let mut state = state_of(account.disabled.as_ref());
    if let (PrincipalState::Active, Some(owner)) = (state, &account.owner)
        && is_disabled(rows, tenant, owner)?
    {
        state = PrincipalState::Ownerless;
    }
    let StoredAccount { principal, name, disabled: reason, owner, created_at } = account;
    Ok(AccountRow { principal, name, state, reason, owner, created_at })
}

/// True of a person who was disabled. The first operator was recorded as an account.
fn is_disabled(rows: &Snapshot<'_>, tenant: &TenantId, owner: &PrincipalId) -> Result<bool, BoxError> {
    if let Some(DirectoryRow::Person(person)) = rows.get(&person_key(tenant, owner))? {
        return Ok(person.disabled.is_some());
    }
    let account = rows.get(&account_key(tenant, owner))?;
    Ok(matches!(account, Some(DirectoryRow::Account(account)) if account.disabled.is_some()))
}

/// What is known of a principal: the name of a service account or group, and whether it may act.
pub(super) fn principal(
    rows: &Snapshot<'_>,
    tenant: &TenantId,
    principal: &PrincipalId,
) -> Result<(Option<String>, PrincipalState), BoxError> {
    if principal.is_group() {
        let group = rows.get(&group_key(tenant, principal))?;
        let name = if let Some(DirectoryRow::Group(group)) = group { Some(group.name) } else { None };
        return Ok((name, PrincipalState::Active));
    }
    if let Some(DirectoryRow::Account(account)) = rows.get(&account_key(tenant, principal))? {
        let AccountRow { name, state, .. } = account_row(rows, tenant, account)?;
        return Ok((Some(name), state));
    }
    match rows.get(&person_key(tenant, principal))? {
        Some(DirectoryRow::Person(person)) => Ok((None, state_of(person.disabled.as_ref()))),
        _ => Ok((None, PrincipalState::Active)),
    }
}

fn matches_key(asked: &ListKeys, key: &StoredKey) -> bool {
    asked.principal.as_ref().is_none_or(|principal| *principal == key.principal)
        && asked.agent.as_ref().is_none_or(|agent| key.agent.as_ref() == Some(agent))
        && asked.task.as_ref().is_none_or(|task| key.task.as_ref() == Some(task))
        && asked.scope.as_ref().is_none_or(|scope| scope.contains(&key.scope))
}

pub(super) fn key_row(
    rows: &Snapshot<'_>,
    tenant: &TenantId,
    key: StoredKey,
    used: &Uses,
    now: Timestamp,
) -> Result<KeyRow, BoxError> {
    let (name, holder) = principal(rows, tenant, &key.principal)?;
    let here = rows.get(&use_key(tenant, &key.key))?;
    let here = if let Some(DirectoryRow::Used(at)) = here { Some(at) } else { None };
    let last_used = here.max(used.get(&key.key).copied());
    let state = match holder {
        _ if key.revoked.is_some() => KeyState::Revoked,
        _ if key.expires.is_some_and(|expires| expires <= now) => KeyState::Expired,
        PrincipalState::Disabled | PrincipalState::Ownerless => KeyState::Disabled,
        PrincipalState::Active => KeyState::Active,
    };
    Ok(KeyRow {
        key: key.key,
        principal: key.principal,
        name,
        scope: key.scope,
        models: key.models,
        expires: key.expires,
        agent: key.agent,
        task: key.task,
        permissions: key.permissions,
        parent: key.parent.map(|parent| parent.key),
        addresses: key.addresses,
        hours: key.hours,
        replaced_by: key.replaced_by,
        last_used,
        state,
        reason: key.revoked,
        issued_at: key.issued_at,
    })
}

pub(super) fn group_row(group: StoredGroup) -> GroupRow {
    let StoredGroup { group, name, description, members, defined_at } = group;
    GroupRow { group, name, description, members, defined_at }
}

fn grant_state(grant: &StoredGrant, now: Timestamp) -> GrantState {
    if grant.expires.is_some_and(|expires| expires <= now) { GrantState::Expired } else { GrantState::Active }
}

fn matches_grant(asked: &ListGrants, grant: &StoredGrant, now: Timestamp) -> bool {
    asked.role.as_ref().is_none_or(|role| *role == grant.role)
        && asked.scope.as_ref().is_none_or(|scope| scope.contains(&grant.on))
        && asked.state.is_none_or(|state| state == grant_state(grant, now))
}

pub(super) fn grant_row(
    rows: &Snapshot<'_>,
    tenant: &TenantId,
    grant: StoredGrant,
    now: Timestamp,
) -> Result<GrantRow, BoxError> {
    let (name, _) = principal(rows, tenant, &grant.to)?;
    let state = grant_state(&grant, now);
    let StoredGrant { to, role, on, expires, condition, given_at, trial } = grant;
    Ok(GrantRow { to, name, role, on, expires, condition, state, given_at, trial })
}
