//! A tenant's channels as people see them: what each is, and how its messages fare.
//!
//! Knows mail addresses sealed; they are opened for who may see the channel. What a message says is not kept here.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use steward_events::commit::Recorded;
use steward_events::event::{Addressed, ChannelEvent, ChannelSpec, Notice};
use steward_events::id::{ChannelId, MessageId, PrincipalId, TenantId};
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;
use steward_ports::keys::{KeyError, Keyring};
use steward_queries::{
    ChannelPage, ChannelRow, ChannelState, ListChannels, ListDeadLetters, MessagePage, MessageRow, MessageState, Page,
    ShowChannel,
};

use crate::engine::Engine;
use crate::engine::key::Key;
use crate::engine::opening::open;
use crate::engine::page::{ROWS_READ_MAX, after, part};
use crate::engine::projector::{Projector, reads};
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};
use crate::engine::rows::Rows;
use crate::engine::runner::Runner;
use crate::engine::view_store::Snapshot;

/// So many of its last messages are shown with a channel.
const LAST_MAX: usize = 10;

/// The read model.
pub struct ChannelsView {
    rows: Arc<Runner<Channels>>,
    keyring: Arc<Keyring>,
}

impl ChannelsView {
    /// Over the engine's log and store.
    pub fn new(engine: &Engine) -> Self {
        Self { rows: engine.runner(), keyring: Arc::clone(&engine.ports.keyring) }
    }

    async fn list(&self, query: &Query<'_>) -> Result<ChannelPage, NoAnswer> {
        let asked: ListChannels = query.read()?;
        let (paging, prefix) = (asked.paging(), channels(query.tenant()));
        let after = after(&prefix, &paging)?;
        let wanted = move |row| match row {
            ChannelsRow::Channel(row) if asked.kind.is_none_or(|kind| row.spec.kind == kind) => Ok(Some(*row)),
            ChannelsRow::Channel(_) | ChannelsRow::Message(_) => Ok(None),
        };
        let bounds = (paging.limit, ROWS_READ_MAX);
        let read = move |rows: &Snapshot<'_>| part(rows, &prefix, None, after.as_ref(), bounds, wanted);
        let Page { position, rows, next } = self.rows.read(query.shard, paging.min_position, read).await?.page();
        let mut shown = Vec::with_capacity(rows.len());
        for mut row in rows {
            row.last.truncate(1);
            shown.push(self.shown(row).await?);
        }
        Ok(Page { position, rows: shown, next })
    }

    async fn show(&self, query: &Query<'_>) -> Result<ChannelRow, NoAnswer> {
        let ShowChannel { channel, min_position } = query.read()?;
        let key = channel_key(query.tenant(), &channel);
        let read = move |rows: &Snapshot<'_>| rows.get::<ChannelsRow>(&key);
        match self.rows.read(query.shard, min_position, read).await? {
            Some(ChannelsRow::Channel(row)) => self.shown(*row).await,
            Some(ChannelsRow::Message(_)) | None => Err(Rejection::not_found("channel", &channel).into()),
        }
    }

    async fn dead_letters(&self, query: &Query<'_>) -> Result<MessagePage, NoAnswer> {
        let asked: ListDeadLetters = query.read()?;
        let (paging, prefix) = (asked.paging(), messages(query.tenant()));
        let within = asked.channel.map(|channel| prefix.clone().text(channel.as_str()));
        let after = after(&prefix, &paging)?;
        let wanted = |row| match row {
            ChannelsRow::Message(row) if row.state == MessageState::Dead => Ok(Some(*row)),
            ChannelsRow::Message(_) | ChannelsRow::Channel(_) => Ok(None),
        };
        let bounds = (paging.limit, ROWS_READ_MAX);
        let read = move |rows: &Snapshot<'_>| part(rows, &prefix, within.as_ref(), after.as_ref(), bounds, wanted);
        Ok(self.rows.read(query.shard, paging.min_position, read).await?.page())
    }

    async fn shown(&self, row: StoredChannel) -> Result<ChannelRow, NoAnswer> {
        let StoredChannel { channel, spec, disabled, set_at, set_by, waiting, dead, last } = row;
        let recipients = match &spec.recipients {
            Some(sealed) => match open(&self.keyring, sealed).await {
                Ok(recipients) => recipients.into(),
                Err(KeyError::Erased(_)) => Vec::new(),
                Err(error) => return Err(error.into()),
            },
            None => Vec::new(),
        };
        let off = disabled.is_some() || !spec.enabled;
        Ok(ChannelRow {
            channel,
            kind: spec.kind,
            url: spec.url,
            secret: spec.secret,
            recipients,
            notices: spec.notices,
            scopes: spec.scopes,
            state: if off { ChannelState::Disabled } else { ChannelState::Active },
            reason: disabled,
            set_at,
            set_by,
            waiting,
            dead,
            messages: last,
        })
    }
}

#[async_trait]
impl ReadModel for ChannelsView {
    fn nouns(&self) -> &'static [&'static str] {
        &["channel"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        Some(Arc::<Runner<_>>::clone(&self.rows))
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        match query.verb() {
            "list" => query.write(&self.list(query).await?),
            "show" => query.write(&self.show(query).await?),
            "dead-letters" => query.write(&self.dead_letters(query).await?),
            _ => Err(query.unknown()),
        }
    }
}

/// The fold.
pub struct Channels;

/// What is kept under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelsRow {
    /// A channel.
    Channel(Box<StoredChannel>),
    /// A message that its receiver does not have.
    Message(Box<MessageRow>),
}

/// A channel, its mail addresses still sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredChannel {
    channel: ChannelId,
    spec: ChannelSpec,
    /// Why its receiver disabled it.
    disabled: Option<String>,
    set_at: Timestamp,
    set_by: PrincipalId,
    waiting: u32,
    dead: u32,
    /// Its last messages, the newest first.
    last: Vec<MessageRow>,
}

impl Projector for Channels {
    const NAME: &'static str = "channels-v1";
    type Row = ChannelsRow;

    reads!(Channel => fold);
}

fn fold(event: &ChannelEvent, recorded: &Recorded<'_>, rows: &mut Rows<ChannelsRow>) {
    let tenant = &recorded.stream.tenant;
    match event {
        ChannelEvent::Set { channel, spec } => set(channel, spec, recorded, rows),
        ChannelEvent::Removed { channel } => {
            *rows.row(&channel_key(tenant, channel)) = None;
            for key in rows.keys(&messages(tenant).text(channel.as_str())) {
                *rows.row(&key) = None;
            }
        }
        ChannelEvent::Disabled { channel, reason } => {
            change(tenant, channel, rows, |row| row.disabled = Some(reason.clone()));
        }
        ChannelEvent::Noticed { notice, messages, .. } => {
            for addressed in messages {
                noticed(notice, addressed, recorded, rows);
            }
        }
        ChannelEvent::SendingStarted { channel, message, attempt, until, .. } => {
            moved(tenant, (channel, message), rows, |row| {
                (row.state, row.attempts, row.next_at) = (MessageState::Sending, *attempt, Some(*until));
            });
        }
        ChannelEvent::SendingFailed { channel, message, reason, retry_at, .. } => {
            moved(tenant, (channel, message), rows, |row| {
                (row.state, row.next_at) = (MessageState::Waiting, Some(*retry_at));
                row.reason = Some(reason.clone());
            });
        }
        ChannelEvent::Delivered { channel, message, .. } => {
            moved(tenant, (channel, message), rows, |row| {
                (row.state, row.next_at, row.reason) = (MessageState::Delivered, None, None);
            });
            *rows.row(&message_key(tenant, channel, message)) = None;
        }
        ChannelEvent::DeadLettered { channel, message, reason } => {
            moved(tenant, (channel, message), rows, |row| {
                (row.state, row.next_at, row.reason) = (MessageState::Dead, None, Some(reason.clone()));
            });
        }
        ChannelEvent::RedeliveryAsked { channel, message } => {
            moved(tenant, (channel, message), rows, |row| {
                (row.state, row.attempts, row.next_at) = (MessageState::Waiting, 0, Some(recorded.entry.at));
            });
        }
        ChannelEvent::DeadLetterDropped { channel, message } => {
            *rows.row(&message_key(tenant, channel, message)) = None;
            change(tenant, channel, rows, |row| row.dead = row.dead.saturating_sub(1));
        }
    }
}

fn set(channel: &ChannelId, spec: &ChannelSpec, recorded: &Recorded<'_>, rows: &mut Rows<ChannelsRow>) {
    let row = rows.row(&channel_key(&recorded.stream.tenant, channel));
    let (waiting, dead, last) = match row.take() {
        Some(ChannelsRow::Channel(before)) => (before.waiting, before.dead, before.last),
        Some(ChannelsRow::Message(_)) | None => (0, 0, Vec::new()),
    };
    *row = Some(ChannelsRow::Channel(Box::new(StoredChannel {
        channel: channel.clone(),
        spec: spec.clone(),
        disabled: None,
        set_at: recorded.entry.at,
        set_by: recorded.entry.actor.clone(),
        waiting,
        dead,
        last,
    })));
}

fn noticed(notice: &Notice, addressed: &Addressed, recorded: &Recorded<'_>, rows: &mut Rows<ChannelsRow>) {
    let (tenant, Addressed { channel, message, at }) = (&recorded.stream.tenant, addressed);
    let key = message_key(tenant, channel, message);
    if rows.keep(&key).is_some() {
        moved(tenant, (channel, message), rows, |row| row.notices = row.notices.saturating_add(1));
        return;
    }
    let made = MessageRow {
        channel: channel.clone(),
        message: message.clone(),
        kind: notice.kind,
        title: notice.title.clone(),
        notices: 1,
        state: MessageState::Waiting,
        attempts: 0,
        made_at: recorded.entry.at,
        next_at: Some(*at),
        reason: None,
    };
    *rows.row(&key) = Some(ChannelsRow::Message(Box::new(made.clone())));
    change(tenant, channel, rows, |row| {
        row.waiting = row.waiting.saturating_add(1);
        row.last.insert(0, made);
        row.last.truncate(LAST_MAX);
    });
}

fn change(
    tenant: &TenantId,
    channel: &ChannelId,
    rows: &mut Rows<ChannelsRow>,
    change: impl FnOnce(&mut StoredChannel),
) {
    if let Some(ChannelsRow::Channel(row)) = rows.row(&channel_key(tenant, channel)) {
        change(row);
    }
}

/// Changes a message, where it stands with its channel too, and what that counts.
fn moved(
    tenant: &TenantId,
    (channel, message): (&ChannelId, &MessageId),
    rows: &mut Rows<ChannelsRow>,
    change_it: impl FnOnce(&mut MessageRow),
) {
    let Some(ChannelsRow::Message(row)) = rows.row(&message_key(tenant, channel, message)) else { return };
    let before = row.state;
    change_it(row);
    let now = row.as_ref().clone();
    change(tenant, channel, rows, |row| {
        let is_open = |state| matches!(state, MessageState::Waiting | MessageState::Sending);
        row.waiting = row.waiting.saturating_sub(is_open(before).into()).saturating_add(is_open(now.state).into());
        let is_dead = |state| state == MessageState::Dead;
        row.dead = row.dead.saturating_sub(is_dead(before).into()).saturating_add(is_dead(now.state).into());
        if let Some(shown) = row.last.iter_mut().find(|shown| shown.message == now.message) {
            *shown = now;
        }
    });
}

fn channels(tenant: &TenantId) -> Key {
    Key::of(tenant).text("channel")
}

fn channel_key(tenant: &TenantId, channel: &ChannelId) -> Key {
    channels(tenant).text(channel.as_str())
}

fn messages(tenant: &TenantId) -> Key {
    Key::of(tenant).text("message")
}

fn message_key(tenant: &TenantId, channel: &ChannelId, message: &MessageId) -> Key {
    messages(tenant).text(channel.as_str()).text(message.as_str())
}
