//! Wrapped data keys in a bucket beside the log, one message a key.
//!
//! Read at the stream's leader: "there is no such key" must be true, for it means that what the key sealed is erased.
//! A destroyed key is overwritten in the stream's file, not just marked.

use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use serde::Serialize;
use steward_events::BoxError;
use steward_ports::keys::KeyVault;

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
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, BoxError> {
        Ok(self.held(name).await?.map(|held| held.bytes.to_vec()))
    }

    async fn put_if_absent(&self, name: &str, wrapped: Vec<u8>) -> Result<Vec<u8>, BoxError> {
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_EXPECTED_STREAM, KEYS_STREAM);
        headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        let subject = subject(name)?;
        match api::publish(&self.client, &subject, headers, wrapped.clone().into(), ANSWER_TIME_MAX).await {
            Ok(_) => Ok(wrapped),
            Err(CallError::Api(error)) if error.is_wrong_sequence() => {
                self.get(name).await?.ok_or_else(|| format!("key {name} was destroyed meanwhile").into())
            }
            // It may have been kept or not; the next request finds out.
            Err(error) => Err(error.into()),
        }
    }

    async fn destroy(&self, name: &str) -> Result<(), BoxError> {
        let subject = format!("$JS.API.STREAM.MSG.DELETE.{KEYS_STREAM}");
        while let Some(held) = self.held(name).await? {
            match api::execute(&self.client, &subject, &Erase { seq: held.sequence, no_erase: false }).await {
                Ok(()) => {}
                Err(CallError::Api(error)) if error.is_not_found() || error.err_code == NOT_THERE => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// "no message with that sequence": somebody else has erased it.
const NOT_THERE: u32 = 10043;
