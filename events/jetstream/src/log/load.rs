//! Loading one stream: batched direct gets, page after page. No state on the server, and any replica may answer.

use async_nats::{Client, HeaderMap, Message, Subscriber};
use futures::StreamExt;
use serde::Serialize;
use steward_events::BoxError;
use steward_events::quantity::Position;
use steward_events::stream::StreamName;
use steward_ports::log::{LogError, Stored};

use super::unavailable;
use crate::ANSWER_TIME_MAX;
use crate::answer::answered;
use crate::api::StoredMessage;

/// Commits asked for at once.
const PAGE_COMMITS_MAX: u32 = 1_000;

/// Bytes that one page may have; the server ends it there.
const PAGE_BYTES_MAX: u32 = 8 * 1024 * 1024;

#[derive(Serialize)]
struct Page<'a> {
    seq: u64,
    next_by_subj: &'a str,
    batch: u32,
    max_bytes: u32,
}

/// How a page ended.
enum LoadEnd {
    /// There is nothing after it.
    OfStream,
    /// There may be more.
    OfPage,
}

/// All commits of `stream`, which stands in `holder`, after `after`.
pub(super) async fn load(
    client: &Client,
    holder: &str,
    stream: &StreamName,
    after: Position,
) -> Result<Vec<Stored>, LogError> {
    let subject = stream.to_string();
    let mut loaded: Vec<Stored> = Vec::new();
    loop {
        let last = loaded.last().map_or(after, |stored| stored.position);
        let had = loaded.len();
        let request = Page {
            seq: last.0.saturating_add(1),
            next_by_subj: &subject,
            batch: PAGE_COMMITS_MAX,
            max_bytes: PAGE_BYTES_MAX,
        };
        let page = read_page(client, holder, stream, &request, &mut loaded);
        let end = answered(client, ANSWER_TIME_MAX, page).await.map_err(unavailable)??;
        if matches!(end, LoadEnd::OfStream) {
            return Ok(loaded);
        }
        if loaded.len() == had {
            return Err(unavailable(format!("{holder} answered an empty page and says there is more")));
        }
    }
}

async fn read_page(
    client: &Client,
    holder: &str,
    stream: &StreamName,
    request: &Page<'_>,
    loaded: &mut Vec<Stored>,
) -> Result<LoadEnd, LogError> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(unavailable)?;
    let body = serde_json::to_vec(request).map_err(unavailable)?;
    let subject = format!("$JS.API.DIRECT.GET.{holder}");
    client.publish_with_reply(subject, inbox, body.into()).await.map_err(unavailable)?;
    let end = read_answers(&mut answers, holder, stream, loaded).await;
    // Dropping it would do the same, a little later.
    answers.unsubscribe().await.map_err(unavailable)?;
    end
}

async fn read_answers(
    answers: &mut Subscriber,
    holder: &str,
    stream: &StreamName,
    loaded: &mut Vec<Stored>,
) -> Result<LoadEnd, LogError> {
    let mut pending = 0;
    while let Some(message) = answers.next().await {
        match message.status.map(|status| status.as_u16()) {
            None | Some(200) => {}
            Some(404) => return Ok(LoadEnd::OfStream),
            Some(204) => {
                pending = number(&message, "Nats-Num-Pending").unwrap_or(pending);
                return Ok(if pending == 0 { LoadEnd::OfStream } else { LoadEnd::OfPage });
            }
            Some(status) => {
                let why = message.description.as_deref().unwrap_or_default();
                return Err(unavailable(format!("{holder} answered {status} {why}")));
            }
        }
        pending = number(&message, "Nats-Num-Pending").unwrap_or_default();
        let found = super::stored(stream.shard, held(holder, message)?)?;
        let last = loaded.last().map_or(Position(0), |stored| stored.position);
        if found.stream != *stream || found.position <= last {
            return Err(unavailable(format!("asked for {stream}, got {} at {}", found.stream, found.position)));
        }
        loaded.push(found);
    }
    Err(unavailable("the connection closed"))
}

fn header<'m>(headers: &'m HeaderMap, name: &'static str) -> Result<&'m str, BoxError> {
    headers.get_last(name).map(async_nats::HeaderValue::as_str).ok_or_else(|| format!("no header {name}").into())
}

fn number(message: &Message, name: &'static str) -> Option<u64> {
    header(message.headers.as_ref()?, name).ok()?.parse().ok()
}

/// A message as a direct get gives it: where it stands is in its headers.
fn held(holder: &str, message: Message) -> Result<StoredMessage, LogError> {
    let headers = message.headers.unwrap_or_default();
    let read = || -> Result<StoredMessage, BoxError> {
        let stands_in = header(&headers, "Nats-Stream")?;
        if stands_in != holder {
            return Err(format!("asked {holder}, {stands_in} answered").into());
        }
        Ok(StoredMessage {
            subject: header(&headers, "Nats-Subject")?.to_owned(),
            sequence: header(&headers, "Nats-Sequence")?.parse()?,
            stored_at: header(&headers, "Nats-Time-Stamp")?.parse()?,
            bytes: message.payload,
        })
    };
    read().map_err(unavailable)
}
