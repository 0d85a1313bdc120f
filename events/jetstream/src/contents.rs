//! Contents in a stream beside the log, one message a part. Each ends by itself: the server removes a message whose time is
//! up. Who reads asks the stream's leader, so what was acknowledged is found.

use std::time::Duration;

use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_ports::contents::{Before, CONTENT_BYTES_MAX, Content, ContentName, ContentStore, Revision};

use crate::ANSWER_TIME_MAX;
use crate::api::{self, CallError, Get};
use crate::connection::Connection;
use crate::names::CONTENTS_STREAM;

/// How long the server keeps a message, in whole seconds.
const TTL: &str = "Nats-TTL";

/// Contents on JetStream. Cheap to clone.
#[derive(Clone)]
pub struct JetStreamContents {
    client: Client,
}

#[derive(Serialize)]
struct Purge<'a> {
    filter: &'a str,
}

#[derive(Deserialize)]
struct Purged {
    purged: u64,
}

impl JetStreamContents {
    /// The store, over a connection that is there.
    pub fn over(connection: &Connection) -> Self {
        Self { client: connection.client.clone() }
    }
}

fn subject(name: &ContentName) -> String {
    format!("kept.{name}")
}

#[async_trait]
impl ContentStore for JetStreamContents {
    async fn get(&self, name: &ContentName) -> Result<Option<Content>, BoxError> {
        let subject = subject(name);
        let last = Get { last_by_subj: Some(&subject), ..Get::default() };
        let stored = api::get(&self.client, CONTENTS_STREAM, &last).await?;
        Ok(stored.map(|stored| Content { bytes: stored.bytes, revision: Revision(stored.sequence) }))
    }

    async fn put(
        &self,
        name: &ContentName,
        bytes: Bytes,
        kept_for: Duration,
        before: Before,
    ) -> Result<Option<Revision>, BoxError> {
        if bytes.len() > CONTENT_BYTES_MAX {
            return Err(format!("{name} is larger than {CONTENT_BYTES_MAX} bytes").into());
        }
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_EXPECTED_STREAM, CONTENTS_STREAM);
        headers.insert(TTL, kept_for.as_secs().max(1).to_string());
        let expected = match before {
            Before::Anything => None,
            Before::Nothing => Some(0),
            Before::Exactly(Revision(sequence)) => Some(sequence),
        };
        if let Some(expected) = expected {
            headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        }
        match api::publish(&self.client, &subject(name), headers, bytes, ANSWER_TIME_MAX).await {
            Ok(stored) => Ok(Some(Revision(stored.seq))),
            Err(CallError::Api(error)) if error.is_wrong_sequence() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn remove(&self, name: &ContentName) -> Result<(), BoxError> {
        let (api, subject) = (format!("$JS.API.STREAM.PURGE.{CONTENTS_STREAM}"), subject(name));
        Ok(api::execute(&self.client, &api, &Purge { filter: &subject }).await?)
    }

    async fn remove_all(&self, tenant: &TenantId) -> Result<u64, BoxError> {
        let (api, subject) = (format!("$JS.API.STREAM.PURGE.{CONTENTS_STREAM}"), format!("kept.{tenant}.>"));
        let Purged { purged } = api::call(&self.client, &api, &Purge { filter: &subject }).await?;
        Ok(purged)
    }
}
