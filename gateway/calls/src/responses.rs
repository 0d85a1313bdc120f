//! Responses that are kept here: for later ones to build on, to be fetched, and to be made while nobody waits for them.
//!
//! Kept are what was said and what was answered, sealed, beside the log (ADR 30), only where the caller says `store: true` or
//! `background: true`; found only within the tenant and the scope of the key that asked. Each is made by a call like every
//! other. A tenant's own provider that keeps responses itself goes on doing so, unless they are made in the background.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde_json::Value;
use steward_events::event::ProviderKind;
use steward_events::id::{CorrelationId, ModelId};

use crate::access::AuthenticatedKey;
use crate::call::{Accepted, KeptPieces, Reply, ReplyBody};
use crate::calls::Calls;
use crate::config::Config;
use crate::dialect::openai_responses::OpenAiResponses;
use crate::dialect::openai_responses::kept::{Asks, Items, Said, whole};
use crate::error::Error;

mod background;
mod record;

use record::{Kept, Place, Record, State};

/// What comes of asking for a response.
#[allow(clippy::large_enum_variant)] // taken apart at once
pub enum Responded {
    /// An answer.
    Made(Reply),
    /// It is being made; this is how it stands.
    Underway(Bytes),
}

/// Which response, and who asks.
#[derive(Clone, Copy)]
pub struct OfResponse<'a> {
    /// Who.
    pub key: &'a AuthenticatedKey,
    /// Which.
    pub id: &'a str,
    /// The request's id.
    pub request: &'a CorrelationId,
}

/// A page of a list that is asked for.
#[derive(Clone, Debug)]
pub struct PageOf {
    /// At most so many.
    pub limit: usize,
    /// What comes after the item with this id.
    pub after: Option<String>,
    /// From the first on, not from the last.
    pub ascending: bool,
}

/// The kept responses of all tenants, and the making of others.
pub struct Responses {
    calls: Arc<Calls>,
    kept_for: Duration,
}

impl Responses {
    /// Made by `calls`.
    pub fn new(calls: Arc<Calls>, config: &Config) -> Arc<Self> {
        Arc::new(Self { calls, kept_for: config.responses_kept_for })
    }

    /// Makes a response, of which some are kept here. What is asked of the provider is the same whoever keeps it.
    ///
    /// # Errors
    /// Why it was not made, or got no good answer.
    pub async fn make(self: &Arc<Self>, mut accepted: Accepted) -> Result<Responded, Error> {
        let asks = Asks::read(&accepted.body)?;
        let make = |accepted| async { self.calls.make(&OpenAiResponses, accepted).await.map(Responded::Made) };
        if asks.is_nothing() {
            return make(accepted).await;
        }
        let here = asks.background || self.is_kept_here(&accepted.key, &asks.model);
        let Some(before) = self.said_before(&accepted, &asks, here).await? else { return make(accepted).await };
        let (body, said) = whole(&accepted.body, before)?;
        accepted.body = body;
        if !(here && asks.store) {
            return make(accepted).await;
        }
        let (place, now) = (self.place(&accepted.key, &accepted.request).await?, self.now());
        place.contents.check_room().await?;
        let kept =
            Record { model: asks.model.to_string(), created_at: now, previous: asks.previous, state: State::Ended };
        if asks.background {
            return background::begin(self, accepted, place, (kept, said)).await.map(Responded::Underway);
        }
        let reply = self.calls.make(&OpenAiResponses, accepted).await?;
        self.keep(place, kept, said, reply).await.map(Responded::Made)
    }

    /// A response that is kept here, as it stands.
    ///
    /// # Errors
    /// [`Error::NoSuchResponse`] if none of this id is kept for the caller.
    pub async fn show(&self, of: OfResponse<'_>) -> Result<Bytes, Error> {
        let (place, record) = self.find(of).await?;
        self.shown(&place, of.id, &record).await
    }

    /// What a response answered, item by item: a page, and whether others follow.
    ///
    /// # Errors
    /// As [`Self::show`], or if the page goes on from an item that is not there.
    pub async fn input(&self, of: OfResponse<'_>, page: PageOf) -> Result<(Vec<Value>, bool), Error> {
        let (place, _) = self.find(of).await?;
        let items = place.said(of.id).await?.listed();
        part(items, &page)
    }

    /// Forgets a response.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub async fn forget(&self, of: OfResponse<'_>) -> Result<(), Error> {
        let (place, _) = self.find(of).await?;
        place.forget(of.id).await
    }

    /// Stops a response that is made in the background. One that has ended stays as it is.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub async fn cancel(&self, of: OfResponse<'_>) -> Result<Bytes, Error> {
        let (place, record) = self.find(of).await?;
        let record = match record.state {
            State::Running { .. } => place.cancel(of.id).await?,
            _ => record,
        };
        self.shown(&place, of.id, &record).await
    }

    /// True if no provider keeps what this model's responses say: theirs are everybody's account, or they know no responses.
    fn is_kept_here(&self, key: &AuthenticatedKey, model: &ModelId) -> bool {
        let catalogs = self.calls.catalogs.read();
        let Some(offer) = catalogs.offer(&key.holder.tenant, model) else { return true };
        let keeps = |kind| matches!(kind, ProviderKind::Openai | ProviderKind::Azure);
        offer.of_platform || !offer.targets.iter().all(|(_, provider)| keeps(provider.kind))
    }

    /// What was said before this request; none if the provider knows that.
    async fn said_before(&self, accepted: &Accepted, asks: &Asks, here: bool) -> Result<Option<Items>, Error> {
        let Some(previous) = &asks.previous else { return Ok(here.then(Items::default)) };
        let of = OfResponse { key: &accepted.key, id: previous, request: &accepted.request };
        match self.find(of).await {
            Ok((place, record)) if record.state == State::Ended => {
                let Kept { answer, said } = place.kept(previous).await?;
                Ok(Some(Items::read(&said).unwrap_or_default().and(Items::of_answer(&answer.into()))))
            }
            Ok(_) => {
                let why = format!("the response `{previous}` is not complete: wait until it is");
                Err(Error::bad("previous_response_id", why))
            }
            Err(Error::NoSuchResponse(_)) if here => Err(Error::bad(
                "previous_response_id",
                format!(
                    "no response `{previous}` is kept here for this key: make it with `store: true`, or send what was said again"
                ),
            )),
            Err(Error::NoSuchResponse(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn place(&self, key: &AuthenticatedKey, request: &CorrelationId) -> Result<Place, Error> {
        let holder = &key.holder;
        let contents = self.calls.contents.of(&holder.tenant, key.shard, request).await?;
        Ok(Place { contents, scope: holder.scope.to_string(), kept_for: self.kept_for })
    }

    async fn find(&self, OfResponse { key, id, request }: OfResponse<'_>) -> Result<(Place, Record), Error> {
        self.calls.access.may_call_something(key).await?;
        let place = self.place(key, request).await?;
        let (record, _) = place.find(id).await?.ok_or_else(|| Error::NoSuchResponse(id.to_owned()))?;
        Ok((place, record))
    }

    async fn shown(&self, place: &Place, id: &str, record: &Record) -> Result<Bytes, Error> {
        match record.state {
            State::Ended => Ok(place.kept(id).await?.answer.into()),
            _ => Ok(record.unanswered(id, self.now())),
        }
    }

    /// Keeps the answer of `reply`, before its last byte goes out.
    async fn keep(&self, place: Place, record: Record, said: Items, reply: Reply) -> Result<Reply, Error> {
        let Reply { summary, body } = reply;
        // A provider's ids are of its own making, and may come twice.
        let id = format!("resp_{}", summary.call);
        let of = Said { id, previous: record.previous.clone(), background: false };
        let body = match body {
            ReplyBody::Whole(answer, settled) => {
                let answer = of.restate(&answer);
                place.end(&of.id, &record, &said, &answer).await;
                ReplyBody::Whole(answer, settled)
            }
            ReplyBody::Stream(pieces) => ReplyBody::Kept(kept_pieces(pieces.boxed(), place, record, said, of)),
            kept @ ReplyBody::Kept(_) => kept,
        };
        Ok(Reply { summary, body })
    }

    /// In seconds.
    fn now(&self) -> u64 {
        self.calls.clock.now().0 / 1_000_000
    }
}

/// The same pieces; what the last one tells is kept before it goes out.
fn kept_pieces(pieces: KeptPieces, place: Place, record: Record, said: Items, of: Said) -> KeptPieces {
    let all = Arc::new((place, record, said, of));
    let kept = pieces.then(move |piece| {
        let all = Arc::clone(&all);
        async move {
            let (place, record, said, of) = &*all;
            let (piece, last) = of.restate_piece(&piece?);
            if let Some(answer) = last {
                place.end(&of.id, record, said, &answer).await;
            }
            Ok(piece)
        }
    });
    kept.boxed()
}

/// The items of a page, and whether others follow. A page that goes on from an item which is not there is none.
fn part(mut items: Vec<Value>, PageOf { limit, after, ascending }: &PageOf) -> Result<(Vec<Value>, bool), Error> {
    if !ascending {
        items.reverse();
    }
    if let Some(after) = after {
        let place = items.iter().position(|item| item["id"].as_str() == Some(after));
        let place = place.ok_or_else(|| {
            let shown: String = after.chars().take(80).collect();
            Error::bad("after", format!("there is no item {shown:?}: take the id of the last item of the page before"))
        })?;
        items.drain(..=place);
    }
    let has_more = items.len() > *limit;
    items.truncate(*limit);
    Ok((items, has_more))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_go_on_where_the_one_before_ended() {
        let items = || (0..5).map(|number| json!({ "id": format!("i{number}") })).collect::<Vec<_>>();
        let page = |limit, after: Option<&str>, ascending| {
            let (items, more) = part(items(), &PageOf { limit, after: after.map(str::to_owned), ascending })?;
            let ids: Vec<_> = items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
            Ok::<_, Error>((ids.join(" "), more))
        };
        assert_eq!(page(2, None, true).unwrap(), ("i0 i1".to_owned(), true));
        assert_eq!(page(3, Some("i1"), true).unwrap(), ("i2 i3 i4".to_owned(), false));
        assert_eq!(page(2, Some("i3"), false).unwrap(), ("i2 i1".to_owned(), true));
        assert!(matches!(page(2, Some("i9"), true), Err(Error::BadRequest { .. })));
    }
}
