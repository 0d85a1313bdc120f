//! History: the events of a tenant as the log has them, rendered for people and machines.
//!
//! Sealed content stays sealed, and what could help to find a secret is left out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use steward_events::commit::{Commit, DecodeError, Recorded};
use steward_events::digest::CommitHash;
use steward_events::event::{CatalogEvent, Event, IdentityEvent};
use steward_events::id::TenantId;
use steward_events::provider_key::KeyPlace;
use steward_events::quantity::{Position, Shard};
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;
use steward_ports::log::{EventLog, Filter, LogError, Stored};
use steward_queries::{HistoryEvent, Replay, ReplayQuery, kinds};

use crate::engine::Engine;
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};
use crate::engine::reading;

/// The read model: the log itself.
pub struct HistoryView {
    log: Arc<dyn EventLog>,
    answer_time_max: Duration,
}

impl HistoryView {
    /// Over the engine's log.
    pub fn new(engine: &Engine) -> Self {
        Self { log: Arc::clone(&engine.ports.log), answer_time_max: engine.config.answer_time_max }
    }
}

#[async_trait]
impl ReadModel for HistoryView {
    fn nouns(&self) -> &'static [&'static str] {
        &["history"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        None
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        match query.verb() {
            "replay" => {
                let asked: ReplayQuery = query.read()?;
                let page = replay(&*self.log, query.shard, query.tenant(), &asked, self.answer_time_max);
                query.write(&page.await??)
            }
            _ => Err(query.unknown()),
        }
    }
}

/// The most events of one answer. A commit is never cut: one that holds more comes whole, alone.
pub const REPLAY_COUNT_MAX: u32 = 1_000;

/// What stands where something is left out.
const LEFT_OUT: &str = "…";

/// Answers `query` about `tenant`, which lives in `shard`.
///
/// # Errors
/// If the log cannot be read; within, [`Rejection::Invalid`] for a word that names no aggregate.
pub async fn replay(
    log: &dyn EventLog,
    shard: Shard,
    tenant: &TenantId,
    query: &ReplayQuery,
    time_max: Duration,
) -> Result<Result<Replay, Rejection>, reading::Error> {
    let kinds = match kinds(&query.kinds) {
        Ok(kinds) => kinds,
        Err(error) => return Ok(Err(Rejection::invalid("kinds", error.to_string()))),
    };
    let filter = Filter::shard(shard).tenant(tenant).kinds(&kinds);
    let span = Span { from: query.from, to: query.to };
    let count_max = place(query.count_max.unwrap_or(REPLAY_COUNT_MAX));
    let page = match query.last {
        Some(last) => last_events(log, &filter, query.after, &span, place(last).min(count_max), time_max).await?,
        None => next_events(log, &filter, query.after, &span, count_max, time_max).await?,
    };
    Ok(Ok(page))
}

fn place(count: u32) -> usize {
    usize::try_from(count.clamp(1, REPLAY_COUNT_MAX)).unwrap_or(usize::MAX)
}

/// From when to when events are asked for.
struct Span {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Span {
    fn has(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }
}

async fn next_events(
    log: &dyn EventLog,
    filter: &Filter,
    after: Position,
    span: &Span,
    count_max: usize,
    time_max: Duration,
) -> Result<Replay, reading::Error> {
    let mut page = Replay::default();
    let mut damage = None;
    let mut through = after;
    reading::each(log, filter, after, time_max, |stored| match render(&stored, span) {
        Ok(events) if !page.events.is_empty() && page.events.len() + events.len() > count_max => {
            page.next = Some(through);
            false
        }
        Ok(events) => {
            page.events.extend(events);
            through = stored.position;
            true
        }
        Err(error) => {
            damage = Some(error);
            false
        }
    })
    .await?;
    match damage {
        Some(error) => Err(LogError::Unreadable(error).into()),
        None => Ok(page),
    }
}

async fn last_events(
    log: &dyn EventLog,
    filter: &Filter,
    after: Position,
    span: &Span,
    count: usize,
    time_max: Duration,
) -> Result<Replay, reading::Error> {
    // Commits that together hold at least `count` events in the span; rendered only at the end.
    let mut commits: VecDeque<(Stored, usize)> = VecDeque::new();
    let mut held = 0;
    let mut damage = None;
    reading::each(log, filter, after, time_max, |stored| {
        let events = match Commit::decode(&stored.stream, &stored.bytes) {
            Ok(commit) => commit.recorded(stored.position).filter(|recorded| span.has(recorded.entry.at)).count(),
            Err(error) => {
                damage = Some(error);
                return false;
            }
        };
        if events > 0 {
            held += events;
            commits.push_back((stored, events));
        }
        while let Some((_, first)) = commits.front()
            && held - first >= count
        {
            held -= first;
            commits.pop_front();
        }
        true
    })
    .await?;
    if let Some(error) = damage {
        return Err(LogError::Unreadable(error).into());
    }
    let mut events = Vec::with_capacity(held);
    for (stored, _) in &commits {
        events.extend(render(stored, span).map_err(LogError::Unreadable)?);
    }
    let events = events.split_off(events.len().saturating_sub(count));
    Ok(Replay { events, next: None })
}

/// The events of a commit that lie in the span.
fn render(stored: &Stored, span: &Span) -> Result<Vec<HistoryEvent>, DecodeError> {
    let commit = Commit::decode(&stored.stream, &stored.bytes)?;
    let hash = CommitHash::of(&stored.bytes).to_string();
    let in_span = commit.recorded(stored.position).filter(|recorded| span.has(recorded.entry.at));
    Ok(in_span.map(|recorded| event(&recorded, &hash)).collect())
}

fn event(recorded: &Recorded<'_>, hash: &str) -> HistoryEvent {
    let (name, data) = readable(recorded.event);
    HistoryEvent {
        position: recorded.position,
        stream: format!("{}/{}", recorded.stream.kind, recorded.stream.id),
        version: recorded.version,
        at: recorded.entry.at,
        actor: recorded.entry.actor.clone(),
        on_behalf_of: recorded.entry.on_behalf_of.clone(),
        name,
        data,
        causation: recorded.entry.causation.clone(),
        command: recorded.entry.command.to_string(),
        correlation: recorded.entry.correlation.to_string(),
        hash: hash.to_owned(),
    }
}

/// An event's name and its details, without what could help to find a secret.
fn readable(event: &Event) -> (String, Value) {
    let mut rendered = serde_json::to_value(event).unwrap_or_default();
    let name = format!("{}.{}", event.kind(), rendered.get("type").and_then(Value::as_str).unwrap_or("unknown"));
    let mut data = rendered.get_mut("data").map(Value::take).unwrap_or_default();
    match event {
        // The hash of a key is no key, but nobody who reads history needs it.
        Event::Identity(IdentityEvent::KeyIssued { .. }) => leave_out(&mut data, "hash"),
        Event::Catalog(CatalogEvent::ProviderSet { key, url, .. }) => {
            if key.as_ref().is_some_and(|key| KeyPlace::read(key).is_none()) {
                leave_out(&mut data, "key");
            }
            if url.contains('@') {
                leave_out(&mut data, "url");
            }
        }
        _ => {}
    }
    (name, data)
}

fn leave_out(data: &mut Value, field: &str) {
    if let Some(value) = data.get_mut(field) {
        *value = Value::from(LEFT_OUT);
    }
}
