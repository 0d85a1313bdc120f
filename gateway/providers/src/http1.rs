//! A client of HTTP/1.1 that the call itself drives: no task and no hand-over between the call and its connection, head and
//! body in one write, and a plain step between "connected" and "written" in which it is asked whether the call may still go.
//!
//! Follows RFC 9110 and 9112. Knows bytes, connections and their bounds; it must not know what is asked or answered.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

mod body;
mod connect;
mod connection;
mod endpoint;
mod framing;
mod head;
#[cfg(test)]
mod tests;

pub(crate) use body::Body;
pub(crate) use connect::{Connector, tls};
pub(crate) use endpoint::Endpoint;
pub(crate) use framing::Next;

/// An answer whose head has come.
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body, as it comes.
    pub(crate) body: Body,
}

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// Nothing of the request can have arrived.
    #[error("{0}")]
    Unreachable(String),
    /// The check before sending said no.
    #[error("not sent")]
    NotSent,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The connection, or what came on it, broke.
    #[error("{0}")]
    Broke(String),
}

impl Failed {
    fn broke(why: impl std::fmt::Display) -> Self {
        Self::Broke(why.to_string())
    }
}

/// One request, as it goes out.
pub(crate) struct Post<'a> {
    /// To whom.
    pub(crate) endpoint: &'a Endpoint,
    /// Beside the usual ones.
    pub(crate) headers: &'a [(&'static str, String)],
    /// In JSON.
    pub(crate) body: Bytes,
}

impl Post<'_> {
    /// Sends it once `may_go` says yes, when a connection is there, which takes `connect_max` at most; returns with the head of
    /// the answer.
    ///
    /// # Errors
    /// [`Failed`]
    pub(crate) async fn send<E>(
        self,
        connector: &Connector,
        may_go: impl Future<Output = Result<(), E>>,
        (connect_max, head_by): (Duration, Instant),
    ) -> Result<Answer, Failed> {
        let Self { endpoint, headers, body } = self;
        let head =
            endpoint.head(headers, body.len()).ok_or_else(|| Failed::Unreachable("its key is no header".to_owned()))?;
        let mut connection = match endpoint.idle() {
            Some(connection) => connection,
            None => connector.connect(endpoint, connect_max).await?,
        };
        may_go.await.map_err(|_| Failed::NotSent)?;
        let exchange = async {
            let sent_whole = connection.write(head.as_bytes(), &body).await?;
            let head = connection.read_head().await?;
            Ok::<_, Failed>((sent_whole, head))
        };
        let (sent_whole, head) = tokio::time::timeout_at(head_by, exchange).await.unwrap_or(Err(Failed::TimedOut))?;
        let framing = framing::Framing::of(&head).map_err(Failed::broke)?;
        let reusable = sent_whole && head.keeps_alive;
        let home = reusable.then(|| endpoint.home());
        Ok(Answer { status: head.status, headers: head.headers, body: Body::new(connection, framing, home) })
    }
}

/// How long a connection may wait to be used again.
const IDLE_MAX: Duration = Duration::from_secs(90);
