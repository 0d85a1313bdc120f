//! One person, service account, group or key, with all that is theirs.

use steward_events::BoxError;
use steward_events::id::{KeyId, PrincipalId, TenantId};
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;
use steward_queries::{
    AccountRow, GrantRow, GroupDetails, GroupQuery, GroupRow, KeyQuery, KeyRow, MemberRow, UserDetails, UserQuery,
};

use super::list::{DirectoryView, Uses, account_row, grant_row, group_row, key_row, principal};
use super::{
    DirectoryRow, StoredPerson, account_key, grants_of, group_key, groups_of, key_key, keys_of, members_of, owned_by,
    person_key, places,
};
use crate::engine::key::Key;
use crate::engine::read_model::{NoAnswer, Query};
use crate::engine::view_store::Snapshot;

/// The most rows of each list that is shown with one thing.
const SHOWN_MAX: usize = 1_000;

impl DirectoryView {
    /// Who may ask this may read who a person is.
    pub(super) async fn user(&self, query: &Query<'_>) -> Result<UserDetails, NoAnswer> {
        let asked: UserQuery = query.read()?;
        let of =
            Of { tenant: query.tenant().clone(), used: self.used_elsewhere(query.tenant())?, now: self.clock.now() };
        let who = asked.user.clone();
        let read = move |rows: &Snapshot<'_>| of.user(rows, &who);
        let found = self.rows.read(query.shard, asked.min_position, read).await?;
        let Some((mut details, person)) = found else {
            return Err(Rejection::not_found("principal", &asked.user).into());
        };
        if let Some(person) = person {
            let opened = self.open(person).await?;
            (details.email, details.name, details.erased) = (opened.email, opened.name, opened.erased);
        }
        Ok(details)
    }

    pub(super) async fn group(&self, query: &Query<'_>) -> Result<GroupDetails, NoAnswer> {
        let asked: GroupQuery = query.read()?;
        let of = Of { tenant: query.tenant().clone(), used: Uses::new(), now: self.clock.now() };
        let group = asked.group.clone();
        let read = move |rows: &Snapshot<'_>| of.group(rows, &group);
        let found = self.rows.read(query.shard, asked.min_position, read).await?;
        found.ok_or_else(|| Rejection::not_found("group", &asked.group).into())
    }

    pub(super) async fn key(&self, query: &Query<'_>) -> Result<KeyRow, NoAnswer> {
        let asked: KeyQuery = query.read()?;
        let of =
            Of { tenant: query.tenant().clone(), used: self.used_elsewhere(query.tenant())?, now: self.clock.now() };
        let key = asked.key.clone();
        let read = move |rows: &Snapshot<'_>| of.key(rows, &key);
        let found = self.rows.read(query.shard, asked.min_position, read).await?;
        let key = found.ok_or_else(|| Rejection::not_found("key", &asked.key))?;
        query.found(query.sight.covers(&places::home(query.tenant(), &key.scope)))?;
        Ok(key)
    }
}

/// Whose rows are read, and when.
struct Of {
    tenant: TenantId,
    used: Uses,
    now: Timestamp,
}

impl Of {
    /// The details, and the person to be opened, if it is one.
    fn user(
        &self,
        rows: &Snapshot<'_>,
        who: &PrincipalId,
    ) -> Result<Option<(UserDetails, Option<StoredPerson>)>, BoxError> {
        let (mut owner, mut known, mut reason) = (None, None, None);
        let person = match rows.get(&person_key(&self.tenant, who))? {
            Some(DirectoryRow::Person(person)) => Some(person),
            _ => None,
        };
        let since = if let Some(person) = &person {
            reason.clone_from(&person.disabled);
            person.invited_at
        } else if let Some(DirectoryRow::Account(account)) = rows.get(&account_key(&self.tenant, who))? {
            (owner, known) = (account.owner, Some(account.name));
            reason = account.disabled;
            account.created_at
        } else {
            return Ok(None);
        };
        let (_, state) = principal(rows, &self.tenant, who)?;
        let groups = self.groups(rows, who)?;
        let mut group_grants = Vec::new();
        for group in &groups {
            group_grants.append(&mut self.grants(rows, &group.group)?);
        }
        group_grants.truncate(SHOWN_MAX);
        let keys = self.keys(rows, who)?;
        let details = UserDetails {
            principal: who.clone(),
            email: None,
            name: known,
            erased: false,
            state,
            reason,
            owner,
            since,
            last_used: keys.iter().filter_map(|key| key.last_used).max(),
            grants: self.grants(rows, who)?,
            groups,
            group_grants,
            keys,
            owned: self.owned(rows, who)?,
        };
        Ok(Some((details, person)))
    }

    fn group(&self, rows: &Snapshot<'_>, group: &PrincipalId) -> Result<Option<GroupDetails>, BoxError> {
        let Some(DirectoryRow::Group(known)) = rows.get(&group_key(&self.tenant, group))? else { return Ok(None) };
        let members = first(rows, &members_of(&self.tenant, group), |row| {
            let DirectoryRow::Member(row) = row else { return Ok(None) };
            let (name, state) = principal(rows, &self.tenant, &row.member)?;
            Ok(Some(MemberRow { member: row.member, name, state, joined_at: row.joined_at }))
        })?;
        Ok(Some(GroupDetails { group: group_row(known), members, grants: self.grants(rows, group)? }))
    }

    fn key(&self, rows: &Snapshot<'_>, key: &KeyId) -> Result<Option<KeyRow>, BoxError> {
        match rows.get(&key_key(&self.tenant, key))? {
            Some(DirectoryRow::Key(key)) => key_row(rows, &self.tenant, *key, &self.used, self.now).map(Some),
            _ => Ok(None),
        }
    }

    fn groups(&self, rows: &Snapshot<'_>, member: &PrincipalId) -> Result<Vec<GroupRow>, BoxError> {
        first(rows, &groups_of(&self.tenant, member), |row| {
            let DirectoryRow::Member(row) = row else { return Ok(None) };
            match rows.get(&group_key(&self.tenant, &row.group))? {
                Some(DirectoryRow::Group(group)) => Ok(Some(group_row(group))),
                _ => Ok(None),
            }
        })
    }

    fn grants(&self, rows: &Snapshot<'_>, to: &PrincipalId) -> Result<Vec<GrantRow>, BoxError> {
        first(rows, &grants_of(&self.tenant, to), |row| match row {
            DirectoryRow::Grant(grant) => grant_row(rows, &self.tenant, grant, self.now).map(Some),
            _ => Ok(None),
        })
    }

    fn keys(&self, rows: &Snapshot<'_>, holder: &PrincipalId) -> Result<Vec<KeyRow>, BoxError> {
        first(rows, &keys_of(&self.tenant, holder), |row| match row {
            DirectoryRow::Belongs(key) => self.key(rows, &key.parse()?),
            _ => Ok(None),
        })
    }

    fn owned(&self, rows: &Snapshot<'_>, owner: &PrincipalId) -> Result<Vec<AccountRow>, BoxError> {
        first(rows, &owned_by(&self.tenant, owner), |row| {
            let DirectoryRow::Belongs(account) = row else { return Ok(None) };
            match rows.get(&account_key(&self.tenant, &account.parse()?))? {
                Some(DirectoryRow::Account(account)) => account_row(rows, &self.tenant, account).map(Some),
                _ => Ok(None),
            }
        })
    }
}

/// What `made` makes of the first rows under `prefix`.
fn first<T>(
    rows: &Snapshot<'_>,
    prefix: &Key,
    mut made: impl FnMut(DirectoryRow) -> Result<Option<T>, BoxError>,
) -> Result<Vec<T>, BoxError> {
    let (mut found, mut failed) = (Vec::new(), None);
    rows.scan(prefix, None, |_, row| {
        match made(row) {
            Ok(row) => found.extend(row),
            Err(error) => failed = Some(error),
        }
        failed.is_none() && found.len() < SHOWN_MAX
    })?;
    failed.map_or(Ok(found), Err)
}
