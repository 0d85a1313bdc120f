//! Which permissions were really used, by whom and on which days; and who gave each grant.
//!
//! By what was recorded: a command that decided something, a model call, a look at what people did. A command that was
//! refused or decided nothing used nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use steward_events::commit::Recorded;
use steward_events::event::{
    AccessEvent, AgentEvent, BatchEvent, CatalogEvent, CheckpointEvent, Event, FileEvent, GrantId, IdentityEvent,
    LedgerEvent, ReadEvent, RegistryEvent, TaskEvent, TenantEvent, UsageEvent,
};
use steward_events::id::{PrincipalId, TenantId};
use steward_events::permission::Permission;

use crate::engine::key::Key;
use crate::engine::projector::{Projector, reads};
use crate::engine::rows::Rows;

/// A day in microseconds.
pub const DAY: u64 = 24 * 3_600 * 1_000_000;

/// The fold.
pub struct AccessUse;

/// What is kept under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessUseRow {
    /// Who gave a grant as it is now.
    Given {
        /// Who.
        by: PrincipalId,
    },
    /// When a principal used what.
    Used(BTreeMap<Permission, Days>),
}

/// Days of use: the last one, and which of the 128 up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    /// The last day, counted from 1970-01-01.
    pub last: u32,
    /// One bit a day, that of the last the lowest: upper half, lower half.
    seen: (u64, u64),
}

impl Days {
    /// Adds a day.
    fn add(&mut self, day: u32) {
        let seen = self.seen();
        let seen = match day.checked_sub(self.last) {
            Some(later) => {
                self.last = day;
                seen.checked_shl(later).unwrap_or(0) | 1
            }
            None => seen | 1_u128.checked_shl(self.last - day).unwrap_or(0),
        };
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
        self.seen = (half(seen >> 64), half(seen));
    }

    fn seen(self) -> u128 {
        u128::from(self.seen.0) << 64 | u128::from(self.seen.1)
    }

    /// On how many of the 128 days up to the last it was used.
    pub fn count(self) -> u32 {
        self.seen().count_ones()
    }
}

/// Which permission was used when an event was recorded.
const USED: &[(&str, &str)] = &[
    ("registry.tenant_placed", "tenant:create"),
    ("tenant.suspended", "tenant:suspend"),
    ("tenant.resumed", "tenant:resume"),
    ("tenant.erasure_asked", "tenant:erase"),
    ("tenant.erasure_cancelled", "tenant:cancel-erase"),
    ("tenant.settings_changed", "tenant:set"),
    ("tenant.plan_set", "tenant:set-plan"),
    ("tenant.project_created", "project:create"),
    ("tenant.project_renamed", "project:rename"),
    ("tenant.project_archived", "project:archive"),
    ("tenant.project_restored", "project:restore"),
    ("tenant.flag_set", "flag:set"),
    ("tenant.flag_removed", "flag:remove"),
    ("tenant.quota_set", "quota:set"),
    ("tenant.quota_removed", "quota:remove"),
    ("tenant.plan_defined", "plan:define"),
    ("identity.account_created", "account:create"),
    ("identity.user_invited", "user:invite"),
    ("identity.user_disabled", "user:disable"),
    ("identity.user_changed", "user:set"),
    ("identity.user_enabled", "user:enable"),
    ("identity.user_erased", "user:erase"),
    ("identity.owner_set", "account:set-owner"),
    ("identity.key_replaced", "key:rotate"),
    ("identity.key_issued", "key:issue"),
    ("identity.key_revoked", "key:revoke"),
    ("access.role_defined", "role:define"),
    ("access.role_removed", "role:remove"),
    ("access.role_granted", "grant:give"),
    ("access.grant_revoked", "grant:revoke"),
    ("access.group_defined", "group:define"),
    ("access.group_joined", "group:join"),
    ("access.group_left", "group:leave"),
    ("access.group_removed", "group:remove"),
    ("access.trial_started", "trial:start"),
    ("access.trial_ended", "trial:stop"),
    ("access.denial_set", "deny:set"),
    ("access.denial_removed", "deny:remove"),
    ("access.separation_set", "separation:set"),
    ("access.separation_removed", "separation:remove"),
    ("access.elevation_allowed", "elevation:allow"),
    ("access.elevation_disallowed", "elevation:disallow"),
    ("access.elevation_requested", "elevation:request"),
    ("access.elevation_approved", "elevation:approve"),
    ("access.elevation_refused", "elevation:refuse"),
    ("access.elevation_ended", "elevation:end"),
    ("access.review_started", "review:start"),
    ("access.grants_confirmed", "review:confirm"),
    ("access.review_closed", "review:close"),
    ("access.data_class_set", "data-class:set"),
    ("ledger.budget_set", "budget:set"),
    ("ledger.budget_removed", "budget:remove"),
    ("catalog.provider_set", "provider:set"),
    ("catalog.model_set", "model:set"),
    ("catalog.route_set", "route:set"),
    ("catalog.price_set", "price:set"),
    ("catalog.cache_set", "cache:set"),
    ("catalog.cache_purged", "cache:purge"),
    ("catalog.prompt_set", "prompt:set"),
    ("catalog.secret_set", "secret:set"),
    ("catalog.secret_removed", "secret:remove"),
    ("agent.defined", "agent:define"),
    ("task.submitted", "task:submit"),
    ("task.cancelled", "task:cancel"),
    ("file.kept", "file:create"),
    ("file.removed", "file:remove"),
    ("batch.submitted", "batch:submit"),
    ("batch.cancel_asked", "batch:cancel"),
    ("checkpoint.requested", "checkpoint:request"),
    ("channel.set", "channel:set"),
    ("channel.removed", "channel:remove"),
    ("channel.noticed", "channel:test"),
    ("channel.redelivery_asked", "channel:redeliver"),
];

impl Projector for AccessUse {
    const NAME: &'static str = "access-use-v1";
    type Row = AccessUseRow;

    reads!(
        Registry => command::<RegistryEvent>,
        Tenant => command::<TenantEvent>,
        Identity => command::<IdentityEvent>,
        Access => access,
        Ledger => ledger,
        Usage => usage,
        Catalog => command::<CatalogEvent>,
        Agent => command::<AgentEvent>,
        Task => command::<TaskEvent>,
        File => command::<FileEvent>,
        Batch => command::<BatchEvent>,
        Reads => read,
        Checkpoint => command::<CheckpointEvent>,
    );
}

/// An event that a command recorded: who sent it used its permission.
fn command<E>(_: &E, recorded: &Recorded<'_>, rows: &mut Rows<AccessUseRow>) {
    let entry = recorded.entry;
    let sender = if entry.actor.is_system() { entry.on_behalf_of.as_ref() } else { Some(&entry.actor) };
    if let Some(sender) = sender
        && let Some(permission) = used_by(recorded.event)
    {
        note(sender, &permission, recorded, rows);
    }
}

fn used_by(event: &Event) -> Option<Permission> {
    let name = event.name();
    USED.iter().find(|(event, _)| *event == name)?.1.parse().ok()
}

fn access(event: &AccessEvent, recorded: &Recorded<'_>, rows: &mut Rows<AccessUseRow>) {
    let tenant = &recorded.stream.tenant;
    match event {
        AccessEvent::RoleGranted { grant, .. } => {
            let by = recorded.entry.actor.clone();
            *rows.row(&given_key(tenant, grant)) = Some(AccessUseRow::Given { by });
        }
        AccessEvent::GrantRevoked { grant, .. } => *rows.row(&given_key(tenant, grant)) = None,
        _ => {}
    }
    command(event, recorded, rows);
}

/// Leases are asked for by gateways for every few calls: these use nothing of whoever calls.
fn ledger(event: &LedgerEvent, recorded: &Recorded<'_>, rows: &mut Rows<AccessUseRow>) {
    if !recorded.entry.actor.is_system() {
        command(event, recorded, rows);
    }
}

fn usage(event: &UsageEvent, recorded: &Recorded<'_>, rows: &mut Rows<AccessUseRow>) {
    match event {
        UsageEvent::CallFinished { context, .. } => {
            note(&context.scopes.principal, &Permission::model_invoke(), recorded, rows);
        }
        UsageEvent::CallStarted { .. } | UsageEvent::LeaseClosed { .. } => {}
    }
}

fn read(event: &ReadEvent, recorded: &Recorded<'_>, rows: &mut Rows<AccessUseRow>) {
    match event {
        ReadEvent::Read { principal, query, .. } => note(principal, query, recorded, rows),
        ReadEvent::LeftOut { principal, queries } => {
            let Some(who) = principal else { return };
            for query in queries.keys() {
                note(who, query, recorded, rows);
            }
        }
    }
}

/// A row changes once a day and permission; else it is only looked at.
fn note(who: &PrincipalId, permission: &Permission, recorded: &Recorded<'_>, rows: &mut Rows<AccessUseRow>) {
    if who.is_system() {
        return;
    }
    let key = used_key(&recorded.stream.tenant, who);
    let day = u32::try_from(recorded.entry.at.0 / DAY).unwrap_or(u32::MAX);
    if let Some(AccessUseRow::Used(used)) = rows.keep(&key)
        && used.get(permission).is_some_and(|days| days.last == day)
    {
        return;
    }
    let row = rows.row(&key);
    if let Some(AccessUseRow::Used(used)) = row {
        used.entry(permission.clone()).or_default().add(day);
    } else {
        let mut days = Days::default();
        days.add(day);
        *row = Some(AccessUseRow::Used(BTreeMap::from([(permission.clone(), days)])));
    }
}

/// Where a principal's uses are.
pub(super) fn used_key(tenant: &TenantId, principal: &PrincipalId) -> Key {
    Key::of(tenant).text("used").text(principal.as_str())
}

/// Where it is who gave a grant.
pub(super) fn given_key(tenant: &TenantId, grant: &GrantId) -> Key {
    Key::of(tenant).text("given").text(grant.to.as_str()).text(grant.role.as_str()).text(grant.on.as_str())
}

#[cfg(test)]
mod tests {
    use steward_events::command::{Audience, COMMANDS};

    use super::*;

    /// Recorded as what they do: the revoking of grants, settings that change.
    const BY_OTHERS: &[&str] = &["review:revoke", "tenant:revert"];

    #[test]
    fn every_command_of_callers_leaves_a_use() {
        for spec in COMMANDS.iter().filter(|spec| spec.audience == Audience::Callers) {
            let permission = spec.permission();
            let named = USED.iter().any(|(_, used)| *used == permission.as_str());
            assert!(named || BY_OTHERS.contains(&permission.as_str()), "{permission}: which event records it?");
        }
    }

    #[test]
    fn the_last_128_days_of_use_are_known() {
        let mut days = Days::default();
        for (day, last, count) in
            [(100, 100, 1), (100, 100, 1), (103, 103, 2), (101, 103, 3), (230, 230, 2), (900, 900, 1)]
        {
            days.add(day);
            assert_eq!((days.last, days.count()), (last, count), "{day}");
        }
        days.add(0);
        assert_eq!(days.count(), 1, "too long ago");
    }
}
