//! Wrapped data keys in a bucket beside the log, one message a key.
//!
//! Read at the stream's leader: "there is no such key" must be true, for it means that what the key sealed is erased.
//! A destroyed key is overwritten in the stream's file, and a mark stands in its place, so that no other is made. Which key it
//! was is noted beside it before: whoever goes on after a crash can still tell.

use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use serde::Serialize;
use steward_events::BoxError;
use steward_events::sealed::KeyDigest;
use steward_ports::keys::{Held, KeyVault};

use crate::ANSWER_TIME_MAX;
use crate::api::{self, CallError, Get};
use crate::connection::{ConnectError, Connection, Credentials};
use crate::names::KEYS_STREAM;

/// The vault on JetStream. Cheap to clone.
#[derive(Clone)]
pub struct JetStreamVault {
    client: Client,
}

#[derive(Serialize)]
struct Erase {
    seq: u64,
    no_erase: bool,
}

impl JetStreamVault {
    /// The vault, over a connection of its own.
    pub async fn connect(credentials: &Credentials) -> Result<Self, ConnectError> {
        Ok(Self::over(&Connection::connect(credentials).await?))
    }

    /// The vault, over a connection that is there.
    pub fn over(connection: &Connection) -> Self {
        Self { client: connection.client.clone() }
    }

    async fn held(&self, name: &str) -> Result<Option<api::StoredMessage>, BoxError> {
        let subject = subject(name)?;
        let last = Get { last_by_subj: Some(&subject), ..Get::default() };
        Ok(api::get(&self.client, KEYS_STREAM, &last).await?)
    }

    /// Keeps `bytes` under `name` if nothing is there: false if something is.
    async fn put_first(&self, name: &str, bytes: Vec<u8>) -> Result<bool, BoxError> {
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_EXPECTED_STREAM, KEYS_STREAM);
        headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        match api::publish(&self.client, &subject(name)?, headers, bytes.into(), ANSWER_TIME_MAX).await {
            Ok(_) => Ok(true),
            Err(CallError::Api(error)) if error.is_wrong_sequence() => Ok(false),
            // It may have been kept or not; the next request finds out.
            Err(error) => Err(error.into()),
        }
    }

    async fn noted(&self, note: &str) -> Result<Option<KeyDigest>, BoxError> {
        let Some(held) = self.held(note).await? else { return Ok(None) };
        Ok(Some(String::from_utf8(held.bytes.to_vec())?.try_into()?))
    }
}

/// The key's place; its name may have several tokens, none of them a wildcard.
fn subject(name: &str) -> Result<String, BoxError> {
    let token =
        |token: &str| !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if name.split('.').all(token) {
        Ok(format!("$KV.{KEYS_STREAM}.{name}"))
    } else {
        Err(format!("{name:?} is no name of a key").into())
    }
}

#[async_trait]
impl KeyVault for JetStreamVault {
    async fn get(&self, name: &str) -> Result<Held, BoxError> {
        Ok(self.held(name).await?.map_or(Held::Nothing, |held| read(&held)))
    }

    async fn put_if_absent(&self, name: &str, wrapped: Vec<u8>) -> Result<Held, BoxError> {
        if self.put_first(name, wrapped.clone()).await? { Ok(Held::Key(wrapped)) } else { self.get(name).await }
    }

    async fn destroy(&self, name: &str) -> Result<Option<KeyDigest>, BoxError> {
        let (note, delete) = (format!("{DESTROYED}.{name}"), format!("$JS.API.STREAM.MSG.DELETE.{KEYS_STREAM}"));
        // Each turn is one more key that somebody made meanwhile: no more than a few can be on their way.
        let mut refused: Option<BoxError> = None;
        for _ in 0..TURNS_MAX {
            match self.held(name).await? {
                Some(held) if read(&held) == Held::Destroyed => return self.noted(&note).await,
                Some(held) => {
                    // The first counts: another is that of a rival who sealed just then, and what it sealed is lost as well.
                    _ = self.put_first(&note, KeyDigest::of(&held.bytes).to_string().into_bytes()).await?;
                    match api::execute(&self.client, &delete, &Erase { seq: held.sequence, no_erase: false }).await {
                        Ok(()) => {}
                        // A rival may have erased it just now: what is there then is looked at again.
                        Err(error @ CallError::Api(_)) => refused = Some(error.into()),
                        Err(error) => return Err(error.into()),
                    }
                }
                None => _ = self.put_first(name, MARK.to_vec()).await?,
            }
        }
        Err(refused.unwrap_or_else(|| format!("the key {name} is made again and again").into()))
    }
}

/// How often a key may be there again while it is destroyed.
const TURNS_MAX: u32 = 32;

/// What stands where a key was destroyed. A wrapped key is longer.
const MARK: &[u8] = b"destroyed";

/// Below it stands which keys were destroyed.
const DESTROYED: &str = "destroyed";

fn read(held: &api::StoredMessage) -> Held {
    if held.bytes == MARK { Held::Destroyed } else { Held::Key(held.bytes.to_vec()) }
}
