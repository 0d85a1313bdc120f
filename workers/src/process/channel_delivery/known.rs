//! What channels there are, what is to be told and what is to be sent: a fold of the log.
//!
//! Notices of events that no channel wanted are not kept. What was told is known by its place in the tenant's shard, so this
//! holds only what is yet to be told, and of messages only those that somebody may still want to send.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use steward_events::commit::Recorded;
use steward_events::event::{
    AccessEvent, Addressed, BatchEvent, CatalogEvent, ChannelEvent, ChannelSpec, DenialEvent, IdentityEvent,
    LedgerEvent, Notice, NoticeSource, TaskEvent, TenantEvent,
};
use steward_events::id::{ChannelId, MessageId, SecretId, TenantId};
use steward_events::provider_key::SecretValue;
use steward_events::quantity::Shard;
use steward_events::sealed::Sealed;
use steward_events::timestamp::Timestamp;
use steward_events::view::Reads;

use super::outgoing::Outgoing;
use crate::notice::{self, Notices};

/// So many notices of a message are told in full; of the others the count.
pub(super) const SHOWN_MAX: usize = 10;

/// Notices of one tenant that are recorded in one turn.
const TOLD_AT_ONCE_MAX: usize = 64;

/// A webhook's messages are signed by the secret before too, for so long after it was replaced.
const BOTH_SECRETS: Duration = Duration::from_hours(24);

/// The fold.
#[derive(Debug, Default)]
pub(super) struct Known {
    tenants: HashMap<TenantId, Tenant>,
    /// Tenants with something to tell.
    telling: BTreeSet<TenantId>,
    /// Messages to be sent, by when.
    waiting: BTreeSet<(Timestamp, TenantId, ChannelId, MessageId)>,
    secrets: HashMap<(TenantId, SecretId), KnownSecret>,
    table: Notices,
}

#[derive(Debug, Default)]
struct Tenant {
    shard: Shard,
    lines: BTreeMap<ChannelId, Line>,
    due: VecDeque<(NoticeSource, Notice)>,
}

/// One channel.
#[derive(Debug)]
struct Line {
    spec: ChannelSpec,
    disabled: bool,
    messages: BTreeMap<MessageId, Message>,
}

/// A message that its receiver does not have.
#[derive(Debug)]
struct Message {
    notices: Vec<Notice>,
    more: u32,
    /// When somebody may send it; none for a dead letter.
    at: Option<Timestamp>,
    /// Where it stands in the line of what is to be sent.
    placed: Option<Timestamp>,
}

#[derive(Debug)]
struct KnownSecret {
    value: Sealed<SecretValue>,
    /// The one before, and when it was replaced.
    before: Option<(Sealed<SecretValue>, Timestamp)>,
}

/// A message that is to be sent now.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) tenant: TenantId,
    pub(super) shard: Shard,
    pub(super) channel: ChannelId,
    pub(super) message: MessageId,
}

impl Known {
    /// What is to be told and lies behind what this run has `told`, in order, at most so much as is recorded in one turn.
    pub(super) fn due(&self, told: &HashMap<TenantId, NoticeSource>) -> Vec<(TenantId, Vec<(NoticeSource, Notice)>)> {
        let of = |tenant: &TenantId| {
            let due = &self.tenants.get(tenant)?.due;
            let told = told.get(tenant);
            let new = due.iter().filter(|(source, _)| told.is_none_or(|told| source > told));
            let new: Vec<_> = new.take(TOLD_AT_ONCE_MAX).cloned().collect();
            (!new.is_empty()).then(|| (tenant.clone(), new))
        };
        self.telling.iter().filter_map(of).collect()
    }

    /// Messages to be sent now, the oldest first, one a channel that is not `busy`; and when the next is due.
    pub(super) fn ready(
        &self,
        now: Timestamp,
        busy: &HashSet<(TenantId, ChannelId)>,
    ) -> (BTreeMap<TenantId, Vec<Ready>>, Option<Timestamp>) {
        let mut ready: BTreeMap<TenantId, Vec<Ready>> = BTreeMap::new();
        for (at, tenant, channel, message) in &self.waiting {
            if *at > now {
                return (ready, Some(*at));
            }
            let Some(known) = self.tenants.get(tenant) else { continue };
            let own = ready.entry(tenant.clone()).or_default();
            let taken = busy.contains(&(tenant.clone(), channel.clone()));
            if !taken && !own.iter().any(|one| one.channel == *channel) {
                let (tenant, channel, message) = (tenant.clone(), channel.clone(), message.clone());
                own.push(Ready { tenant, shard: known.shard, channel, message });
            }
        }
        (ready, None)
    }

    /// A message with what is needed to send it.
    pub(super) fn outgoing(
        &self,
        tenant: &TenantId,
        channel: &ChannelId,
        message: &MessageId,
        now: Timestamp,
    ) -> Option<Outgoing> {
        let line = self.tenants.get(tenant)?.lines.get(channel)?;
        let Message { notices, more, .. } = line.messages.get(message)?;
        let secret = line.spec.secret.as_ref().and_then(|secret| self.secrets.get(&(tenant.clone(), secret.clone())));
        let secrets = secret.into_iter().flat_map(|KnownSecret { value, before }| {
            let before = before.as_ref().filter(|(_, replaced)| now.since(*replaced) < BOTH_SECRETS);
            [Some(value.clone()), before.map(|(value, _)| value.clone())].into_iter().flatten()
        });
        Some(Outgoing {
            tenant: tenant.clone(),
            channel: channel.clone(),
            message: message.clone(),
            spec: line.spec.clone(),
            notices: notices.clone(),
            more: *more,
            secrets: secrets.collect(),
        })
    }

    /// If a channel wants it, it is to be told.
    fn hear(&mut self, notice: Option<Notice>, recorded: &Recorded<'_>) {
        let Some(notice) = notice else { return };
        let name = &recorded.stream.tenant;
        let Some(tenant) = self.tenants.get_mut(name) else { return };
        let wants = |line: &Line| !line.disabled && line.spec.wants(notice.kind, &notice.scope);
        if tenant.lines.values().any(wants) {
            let source = NoticeSource { position: recorded.position, index: recorded.index };
            tenant.due.push_back((source, notice::fitted(notice)));
            self.telling.insert(name.clone());
        }
    }

    /// Everything up to `source` was told.
    fn told(&mut self, name: &TenantId, source: NoticeSource) {
        let Some(tenant) = self.tenants.get_mut(name) else { return };
        while tenant.due.front().is_some_and(|(due, _)| *due <= source) {
            tenant.due.pop_front();
        }
        if tenant.due.is_empty() {
            self.telling.remove(name);
        }
    }

    /// Changes a message, and its place in the line.
    fn change(&mut self, name: &TenantId, channel: &ChannelId, message: &MessageId, change: impl FnOnce(&mut Message)) {
        let line = self.tenants.get_mut(name).and_then(|tenant| tenant.lines.get_mut(channel));
        let Some(line) = line else { return };
        let off = line.disabled || !line.spec.enabled;
        let Some(found) = line.messages.get_mut(message) else { return };
        change(found);
        let wanted = found.at.filter(|_| !off);
        let entry = |at| (at, name.clone(), channel.clone(), message.clone());
        if found.placed != wanted {
            if let Some(placed) = std::mem::replace(&mut found.placed, wanted) {
                self.waiting.remove(&entry(placed));
            }
            self.waiting.extend(wanted.map(entry));
        }
    }

    /// The channel begins or ends to send: its messages find or leave their places.
    fn replace_all(&mut self, name: &TenantId, channel: &ChannelId) {
        let line = self.tenants.get(name).and_then(|tenant| tenant.lines.get(channel));
        let messages: Vec<MessageId> = line.into_iter().flat_map(|line| line.messages.keys().cloned()).collect();
        for message in messages {
            self.change(name, channel, &message, |_| {});
        }
    }

    fn forget(&mut self, name: &TenantId, channel: &ChannelId, message: &MessageId) {
        self.change(name, channel, message, |message| message.at = None);
        if let Some(line) = self.tenants.get_mut(name).and_then(|tenant| tenant.lines.get_mut(channel)) {
            line.messages.remove(message);
        }
    }

    fn noticed(&mut self, name: &TenantId, notice: &Notice, Addressed { channel, message, at }: &Addressed) {
        let line = self.tenants.get_mut(name).and_then(|tenant| tenant.lines.get_mut(channel));
        let Some(line) = line else { return };
        let fresh = || Message { notices: Vec::new(), more: 0, at: None, placed: None };
        let known = line.messages.entry(message.clone()).or_insert_with(fresh);
        if known.notices.len() < SHOWN_MAX {
            known.notices.push(notice.clone());
        } else {
            known.more = known.more.saturating_add(1);
        }
        self.change(name, channel, message, |message| message.at = Some(*at));
    }

    fn remove(&mut self, name: &TenantId, channel: &ChannelId) {
        let line = self.tenants.get_mut(name).and_then(|tenant| tenant.lines.remove(channel));
        for (message, known) in line.into_iter().flat_map(|line| line.messages) {
            if let Some(placed) = known.placed {
                self.waiting.remove(&(placed, name.clone(), channel.clone(), message));
            }
        }
        if self.tenants.get(name).is_some_and(|tenant| tenant.lines.is_empty()) {
            self.tenants.remove(name);
            self.telling.remove(name);
        }
    }
}

steward_events::view!(
    Known,
    reads ChannelEvent, CatalogEvent, TenantEvent, IdentityEvent, AccessEvent, LedgerEvent, TaskEvent, BatchEvent,
        DenialEvent
);

impl Reads<ChannelEvent> for Known {
    fn read(&mut self, event: &ChannelEvent, recorded: &Recorded<'_>) {
        let name = &recorded.stream.tenant;
        match event {
            ChannelEvent::Set { channel, spec } => {
                let tenant = self.tenants.entry(name.clone()).or_default();
                tenant.shard = recorded.stream.shard;
                let line = tenant.lines.entry(channel.clone());
                let fresh = || Line { spec: spec.clone(), disabled: false, messages: BTreeMap::new() };
                let line = line.or_insert_with(fresh);
                (line.spec, line.disabled) = (spec.clone(), false);
                self.replace_all(name, channel);
            }
            ChannelEvent::Removed { channel } => self.remove(name, channel),
            ChannelEvent::Disabled { channel, .. } => {
                if let Some(line) = self.tenants.get_mut(name).and_then(|tenant| tenant.lines.get_mut(channel)) {
                    line.disabled = true;
                }
                self.replace_all(name, channel);
            }
            ChannelEvent::Noticed { notice, source, messages } => {
                for addressed in messages {
                    self.noticed(name, notice, addressed);
                }
                if let Some(source) = source {
                    self.told(name, *source);
                }
            }
            ChannelEvent::SendingStarted { channel, message, until, .. } => {
                self.change(name, channel, message, |message| message.at = Some(*until));
            }
            ChannelEvent::SendingFailed { channel, message, retry_at, .. } => {
                self.change(name, channel, message, |message| message.at = Some(*retry_at));
            }
            ChannelEvent::DeadLettered { channel, message, .. } => {
                self.change(name, channel, message, |message| message.at = None);
            }
            ChannelEvent::RedeliveryAsked { channel, message } => {
                self.change(name, channel, message, |message| message.at = Some(recorded.entry.at));
            }
            ChannelEvent::Delivered { channel, message, .. } | ChannelEvent::DeadLetterDropped { channel, message } => {
                self.forget(name, channel, message);
            }
        }
        self.hear(notice::channel(event, recorded), recorded);
    }
}

impl Reads<CatalogEvent> for Known {
    fn read(&mut self, event: &CatalogEvent, recorded: &Recorded<'_>) {
        let name = |secret: &SecretId| (recorded.stream.tenant.clone(), secret.clone());
        match event {
            CatalogEvent::SecretSet { secret, value } if !secret.is_system() => {
                let before = self.secrets.remove(&name(secret)).map(|known| (known.value, recorded.entry.at));
                self.secrets.insert(name(secret), KnownSecret { value: value.clone(), before });
            }
            CatalogEvent::SecretRemoved { secret } => _ = self.secrets.remove(&name(secret)),
            CatalogEvent::SecretSet { .. }
            | CatalogEvent::ProviderSet { .. }
            | CatalogEvent::ModelSet { .. }
            | CatalogEvent::RouteSet { .. }
            | CatalogEvent::PriceSet { .. }
            | CatalogEvent::CacheSet { .. }
            | CatalogEvent::CachePurged { .. }
            | CatalogEvent::PromptSet { .. } => {}
        }
    }
}

impl Reads<TenantEvent> for Known {
    fn read(&mut self, event: &TenantEvent, recorded: &Recorded<'_>) {
        self.hear(notice::tenant(event, recorded), recorded);
    }
}

impl Reads<IdentityEvent> for Known {
    fn read(&mut self, event: &IdentityEvent, recorded: &Recorded<'_>) {
        self.hear(notice::identity(event, recorded), recorded);
    }
}

impl Reads<AccessEvent> for Known {
    fn read(&mut self, event: &AccessEvent, recorded: &Recorded<'_>) {
        let notice = self.table.access(event, recorded);
        self.hear(notice, recorded);
    }
}

impl Reads<LedgerEvent> for Known {
    fn read(&mut self, event: &LedgerEvent, recorded: &Recorded<'_>) {
        let notice = self.table.ledger(event, recorded);
        self.hear(notice, recorded);
    }
}

impl Reads<TaskEvent> for Known {
    fn read(&mut self, event: &TaskEvent, recorded: &Recorded<'_>) {
        let notice = self.table.task(event, recorded);
        self.hear(notice, recorded);
    }
}

impl Reads<BatchEvent> for Known {
    fn read(&mut self, event: &BatchEvent, recorded: &Recorded<'_>) {
        let notice = self.table.batch(event, recorded);
        self.hear(notice, recorded);
    }
}

impl Reads<DenialEvent> for Known {
    fn read(&mut self, event: &DenialEvent, recorded: &Recorded<'_>) {
        self.hear(notice::denials(event, recorded), recorded);
    }
}

#[cfg(test)]
mod tests;
