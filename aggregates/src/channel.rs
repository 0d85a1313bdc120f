//! Guards one rule: each notice becomes one message through each channel that wants it, and of each message only one attempt
//! is made at a time, until its receiver has it or nobody tries any more.
//!
//! Notices come in the order in which what they tell of was recorded, so the place of the last one tells which were told.
//! How often a channel is used is decided here too: what comes too quickly joins a message that is yet to be sent.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::json;
use steward_events::command::{
    ChannelCommand, FinishSending, NotifyChannels, RedeliverMessage, RemoveChannel, SendingOutcome, SetChannel,
    StartSending, TestChannel,
};
use steward_events::event::{Addressed, ChannelEvent, ChannelSpec, Notice, NoticeKind, NoticeSource, Severity};
use steward_events::id::{ChannelId, MessageId};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};
use crate::claim::WORKER_BYTES_MAX;
use crate::limit;

mod fit;
mod pace;
mod spec;

use pace::Pace;

/// The most channels of a tenant.
pub const CHANNELS_MAX: usize = 20;

/// The most messages of a channel that are yet to be delivered: one more is a dead letter at once.
pub const OPEN_MAX: usize = 50;

/// The most dead letters of a channel; the oldest give way.
pub const DEAD_MAX: usize = 50;

/// The most attempts that are made for one message, whatever those who send them want.
pub const ATTEMPTS_MAX: u32 = 30;

/// The longest time that one attempt keeps others from trying.
pub const SENDING_TIME_MAX: Duration = Duration::from_mins(5);

/// The longest pause between two attempts.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_hours(24);

/// How long an alert that is a test lasts.
const TEST_TIME: Duration = Duration::from_mins(5);

/// A tenant's channels.
#[derive(Clone, Debug, Default)]
pub struct Channel {
    lines: BTreeMap<ChannelId, Line>,
    /// What was told last.
    told: Option<NoticeSource>,
    /// Messages of all channels.
    pace: Pace,
}

/// One channel, and what is to be sent through it.
#[derive(Clone, Debug)]
struct Line {
    spec: ChannelSpec,
    /// Its receiver wants nothing any more.
    disabled: bool,
    open: BTreeMap<MessageId, Open>,
    /// The oldest first.
    dead: VecDeque<(MessageId, NoticeKind)>,
    pace: Pace,
    /// When the last message of a kind is to be sent, or was.
    last_of: BTreeMap<NoticeKind, Timestamp>,
}

/// A message that its receiver does not have yet.
#[derive(Clone, Debug)]
struct Open {
    kind: NoticeKind,
    /// When it may be sent.
    at: Timestamp,
    /// Attempts so far.
    attempt: u32,
    /// Who makes the last of them, and until when nobody else tries.
    sending: Option<(String, Timestamp)>,
    /// Nobody has tried to send it yet, under any number: further notices may join it.
    is_fresh: bool,
}

impl Line {
    fn new(spec: ChannelSpec) -> Self {
        let (open, dead) = (BTreeMap::new(), VecDeque::new());
        Self { spec, disabled: false, open, dead, pace: Pace::default(), last_of: BTreeMap::new() }
    }

    const fn is_off(&self) -> bool {
        self.disabled || !self.spec.enabled
    }

    /// The message of this kind that further notices join: it is not being sent, and never was.
    fn joined(&self, kind: NoticeKind, at: Timestamp) -> Option<(&MessageId, &Open)> {
        let full = self.open.len() >= OPEN_MAX;
        self.open.iter().find(|(_, open)| open.kind == kind && open.is_fresh && (open.at > at || full))
    }
}

impl Channel {
    fn line(&self, channel: &ChannelId) -> Result<&Line, Rejection> {
        self.lines.get(channel).ok_or_else(|| Rejection::not_found("channel", channel))
    }

    fn set(&self, set: &SetChannel, stamp: &Stamp) -> Result<Vec<ChannelEvent>, Rejection> {
        let spec = spec::checked(set, stamp)?;
        match self.lines.get(&set.channel) {
            Some(line) if line.spec == spec && !line.disabled => return Ok(vec![]),
            Some(_) => {}
            None => limit::count("channel", self.lines.len() + 1, CHANNELS_MAX)?,
        }
        Ok(vec![ChannelEvent::Set { channel: set.channel.clone(), spec }])
    }

    fn remove(&self, RemoveChannel { channel }: &RemoveChannel) -> Result<Vec<ChannelEvent>, Rejection> {
        self.line(channel)?;
        Ok(vec![ChannelEvent::Removed { channel: channel.clone() }])
    }

    fn test(&self, test: &TestChannel, stamp: &Stamp) -> Result<Vec<ChannelEvent>, Rejection> {
        let TestChannel { channel, message } = test;
        let line = self.line(channel)?;
        if line.is_off() {
            return Err(Rejection::invalid("channel", "is disabled: set it again first (channel.set)"));
        }
        let Some(message) = message else { return Err(Rejection::invalid("message", "has no id")) };
        if line.open.contains_key(message) || line.dead.iter().any(|(dead, _)| dead == message) {
            return Ok(vec![]);
        }
        let notice = Notice {
            kind: NoticeKind::Test,
            severity: Severity::Info,
            scope: Scope::tenant(&stamp.tenant),
            at: stamp.at,
            about: format!("channel {channel}"),
            title: format!("This is a test of the channel {channel}"),
            text: "Nothing has happened, and nothing is to be done.".to_owned(),
            fields: BTreeMap::from([("tested by".to_owned(), stamp.actor.to_string())]),
            act: Some(format!("steward channel show {channel} --tenant {}", stamp.tenant)),
            ends: Some(stamp.at.plus(TEST_TIME)),
        };
        let (addressed, dead) = self.address(channel, line, &notice, message.clone(), stamp.at);
        let noticed = ChannelEvent::Noticed { notice, source: None, messages: vec![addressed] };
        Ok([vec![noticed], dead].concat())
    }

    fn redeliver(&self, redeliver: &RedeliverMessage) -> Result<Vec<ChannelEvent>, Rejection> {
        let RedeliverMessage { channel, message } = redeliver;
        let line = self.line(channel)?;
        if line.open.contains_key(message) {
            return Ok(vec![]);
        }
        if !line.dead.iter().any(|(dead, _)| dead == message) {
            return Err(Rejection::not_found("dead letter", message));
        }
        if line.is_off() {
            return Err(Rejection::invalid("channel", "is disabled: set it again first (channel.set)"));
        }
        limit::count("channel", line.open.len() + 1, OPEN_MAX)?;
        Ok(vec![ChannelEvent::RedeliveryAsked { channel: channel.clone(), message: message.clone() }])
    }

    fn notify(&self, notify: &NotifyChannels, stamp: &Stamp) -> Result<Vec<ChannelEvent>, Rejection> {
        let NotifyChannels { notice, source } = notify;
        fit::check(notice)?;
        // Another worker told it, or there is nobody to be told.
        if self.told.is_some_and(|told| *source <= told) {
            return Ok(vec![]);
        }
        let wanting =
            self.lines.iter().filter(|(_, line)| !line.disabled && line.spec.wants(notice.kind, &notice.scope));
        let (mut messages, mut after) = (Vec::new(), Vec::new());
        for (channel, line) in wanting {
            let message = MessageId::of(&stamp.tenant, channel, source.position.0, source.index);
            let (addressed, dead) = self.address(channel, line, notice, message, stamp.at);
            messages.push(addressed);
            after.extend(dead);
        }
        if messages.is_empty() {
            return Ok(vec![]);
        }
        let noticed = ChannelEvent::Noticed { notice: notice.clone(), source: Some(*source), messages };
        Ok([vec![noticed], after].concat())
    }

    /// In which message of the channel a notice goes: in `fresh`, unless it joins another; and what becomes of it if there
    /// is no room.
    fn address(
        &self,
        channel: &ChannelId,
        line: &Line,
        notice: &Notice,
        fresh: MessageId,
        now: Timestamp,
    ) -> (Addressed, Vec<ChannelEvent>) {
        if let Some((message, open)) = line.joined(notice.kind, now) {
            return (Addressed { channel: channel.clone(), message: message.clone(), at: open.at }, vec![]);
        }
        let gathered = line.last_of.get(&notice.kind).map_or(now, |last| last.plus(pace::GATHER));
        let at =
            now.max(gathered).max(line.pace.next(now, pace::CHANNEL_MAX)).max(self.pace.next(now, pace::TENANT_MAX));
        let mut dead = Vec::new();
        if line.open.len() >= OPEN_MAX {
            dead = line.bury(channel, &fresh, &format!("{OPEN_MAX} messages of this channel are waiting already"));
        }
        (Addressed { channel: channel.clone(), message: fresh, at }, dead)
    }

    fn start(&self, start: &StartSending, stamp: &Stamp) -> Result<Vec<ChannelEvent>, Rejection> {
        let StartSending { channel, message, worker, until } = start;
        limit::text("worker", worker, WORKER_BYTES_MAX)?;
        limit::future("until", Some(*until), stamp.at)?;
        if *until > stamp.at.plus(SENDING_TIME_MAX) {
            let reason = format!("an attempt lasts at most {} s", SENDING_TIME_MAX.as_secs());
            return Err(Rejection::invalid("until", reason));
        }
        let open = self.lines.get(channel).filter(|line| !line.is_off()).and_then(|line| line.open.get(message));
        // Over, not yet due, or another's: who asks sees it in the answer.
        let Some(open) = open.filter(|open| open.at <= stamp.at && !open.is_taken(stamp.at)) else { return Ok(vec![]) };
        Ok(vec![ChannelEvent::SendingStarted {
            channel: channel.clone(),
            message: message.clone(),
            attempt: open.attempt.saturating_add(1),
            worker: worker.clone(),
            until: *until,
        }])
    }

    fn finish(&self, finish: &FinishSending, stamp: &Stamp) -> Result<Vec<ChannelEvent>, Rejection> {
        let FinishSending { channel, message, attempt, outcome } = finish;
        let Some(line) = self.lines.get(channel) else { return Ok(vec![]) };
        let Some(open) = line.open.get(message).filter(|open| *attempt >= 1 && *attempt <= open.attempt) else {
            return Ok(vec![]);
        };
        let (channel, message) = (channel.clone(), message.clone());
        match outcome {
            // Whichever attempt it was: the receiver has it.
            SendingOutcome::Delivered => Ok(vec![ChannelEvent::Delivered { channel, message, attempt: *attempt }]),
            _ if *attempt < open.attempt || open.sending.is_none() => Ok(vec![]),
            SendingOutcome::Gone { reason } => {
                limit::reason(reason)?;
                let disabled = ChannelEvent::Disabled { channel: channel.clone(), reason: reason.clone() };
                Ok([line.bury(&channel, &message, reason), vec![disabled]].concat())
            }
            SendingOutcome::Failed { reason, retry_at } => {
                limit::reason(reason)?;
                let again = retry_at.filter(|_| *attempt < ATTEMPTS_MAX);
                let Some(retry_at) = again else { return Ok(line.bury(&channel, &message, reason)) };
                let retry_at = retry_at.min(stamp.at.plus(RETRY_PAUSE_MAX));
                let reason = reason.clone();
                Ok(vec![ChannelEvent::SendingFailed { channel, message, attempt: *attempt, reason, retry_at }])
            }
        }
    }
}

impl Open {
    fn is_taken(&self, at: Timestamp) -> bool {
        self.sending.as_ref().is_some_and(|(_, until)| *until > at)
    }
}

impl Line {
    /// The message is a dead letter, and the oldest of these gives way if there are too many.
    fn bury(&self, channel: &ChannelId, message: &MessageId, reason: &str) -> Vec<ChannelEvent> {
        let buried = ChannelEvent::DeadLettered {
            channel: channel.clone(),
            message: message.clone(),
            reason: reason.to_owned(),
        };
        let oldest = self.dead.front().filter(|_| self.dead.len() >= DEAD_MAX);
        let dropped = oldest
            .map(|(message, _)| ChannelEvent::DeadLetterDropped { channel: channel.clone(), message: message.clone() });
        [Some(buried), dropped].into_iter().flatten().collect()
    }
}

impl Aggregate for Channel {
    type Command = ChannelCommand;
    type Event = ChannelEvent;

    fn decide(&self, command: &ChannelCommand, stamp: &Stamp) -> Result<Vec<ChannelEvent>, Rejection> {
        match command {
            ChannelCommand::SetChannel(set) => self.set(set, stamp),
            ChannelCommand::RemoveChannel(remove) => self.remove(remove),
            ChannelCommand::TestChannel(test) => self.test(test, stamp),
            ChannelCommand::RedeliverMessage(redeliver) => self.redeliver(redeliver),
            ChannelCommand::NotifyChannels(notify) => self.notify(notify, stamp),
            ChannelCommand::StartSending(start) => self.start(start, stamp),
            ChannelCommand::FinishSending(finish) => self.finish(finish, stamp),
        }
    }

    fn apply(&mut self, event: &ChannelEvent, at: Timestamp) {
        match event {
            ChannelEvent::Set { channel, spec } => match self.lines.get_mut(channel) {
                Some(line) => (line.spec, line.disabled) = (spec.clone(), false),
                None => _ = self.lines.insert(channel.clone(), Line::new(spec.clone())),
            },
            ChannelEvent::Removed { channel } => _ = self.lines.remove(channel),
            ChannelEvent::Disabled { channel, .. } => self.change(channel, |line| line.disabled = true),
            ChannelEvent::Noticed { notice, source, messages } => {
                self.told = self.told.max(*source);
                for addressed in messages {
                    self.noticed(notice.kind, addressed);
                }
            }
            ChannelEvent::SendingStarted { channel, message, attempt, worker, until } => {
                self.change_open(channel, message, |open| {
                    (open.attempt, open.is_fresh) = (*attempt, false);
                    open.sending = Some((worker.clone(), *until));
                });
            }
            ChannelEvent::Delivered { channel, message, .. } => {
                self.change(channel, |line| _ = line.open.remove(message));
            }
            ChannelEvent::SendingFailed { channel, message, retry_at, .. } => {
                self.change_open(channel, message, |open| (open.at, open.sending) = (*retry_at, None));
            }
            ChannelEvent::DeadLettered { channel, message, .. } => self.change(channel, |line| {
                if let Some(open) = line.open.remove(message) {
                    line.dead.push_back((message.clone(), open.kind));
                }
            }),
            ChannelEvent::DeadLetterDropped { channel, message } => {
                self.change(channel, |line| line.dead.retain(|(dead, _)| dead != message));
            }
            ChannelEvent::RedeliveryAsked { channel, message } => self.change(channel, |line| {
                if let Some(place) = line.dead.iter().position(|(dead, _)| dead == message)
                    && let Some((_, kind)) = line.dead.remove(place)
                {
                    line.open.insert(message.clone(), Open { kind, at, attempt: 0, sending: None, is_fresh: false });
                }
            }),
        }
    }

    fn answer(&self, command: &ChannelCommand) -> serde_json::Value {
        match command {
            ChannelCommand::TestChannel(test) => json!({ "message": test.message }),
            ChannelCommand::StartSending(StartSending { channel, message, worker, until }) => {
                let open = self.lines.get(channel).and_then(|line| line.open.get(message));
                let own = open.filter(|open| open.sending.as_ref() == Some(&(worker.clone(), *until)));
                json!({ "attempt": own.map(|open| open.attempt) })
            }
            _ => serde_json::Value::Null,
        }
    }
}

impl Channel {
    fn change(&mut self, channel: &ChannelId, change: impl FnOnce(&mut Line)) {
        if let Some(line) = self.lines.get_mut(channel) {
            change(line);
        }
    }

    fn change_open(&mut self, channel: &ChannelId, message: &MessageId, change: impl FnOnce(&mut Open)) {
        self.change(channel, |line| {
            if let Some(open) = line.open.get_mut(message) {
                change(open);
            }
        });
    }

    fn noticed(&mut self, kind: NoticeKind, Addressed { channel, message, at }: &Addressed) {
        let Some(line) = self.lines.get_mut(channel) else { return };
        if line.open.contains_key(message) {
            return;
        }
        line.open.insert(message.clone(), Open { kind, at: *at, attempt: 0, sending: None, is_fresh: true });
        line.last_of.insert(kind, *at);
        line.pace.took(*at, pace::CHANNEL_MAX);
        self.pace.took(*at, pace::TENANT_MAX);
    }
}

#[cfg(test)]
mod tests;
