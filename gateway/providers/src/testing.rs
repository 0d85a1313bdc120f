//! A server for one request, to hear what a provider's client says.

use std::future::{Future, ready};

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use steward_calls::dialect::Speaks;
use steward_calls::dialect::openai_chat::LimitField;
use steward_calls::upstream::{Failure, Outgoing, TimeMax, UpstreamAnswer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What was heard of a request, and what came of it.
pub(crate) struct Heard {
    /// The request's head, in small letters.
    pub(crate) head: String,
    /// Its body.
    pub(crate) body: String,
    /// The events of the answer; one if it is whole.
    pub(crate) events: Result<Vec<Bytes>, Failure>,
}

/// A request as the pipeline would send it.
pub(crate) fn outgoing(url: String, model: &str, key: Option<&str>) -> Outgoing {
    Outgoing {
        url,
        key: key.map(str::to_owned),
        speaks: Speaks::OpenAiChat { limit_field: LimitField::MaxTokens, only_that: false, stream_options: true },
        model: model.to_owned(),
        body: Bytes::from_static(b"{}"),
        stream: false,
        trusted: true,
        time_max: TimeMax::default(),
        pre_send_check: ready(Ok(())).boxed(),
    }
}

/// Sends to a server that answers with `body`, of this type.
pub(crate) async fn served<F: Future<Output = Result<UpstreamAnswer, Failure>>>(
    media_type: &'static str,
    body: &'static [u8],
    send: impl FnOnce(String) -> F,
) -> Heard {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
        while !heard.ends_with(b"}") {
            match peer.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(read) => heard.extend_from_slice(&piece[..read]),
            }
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n", body.len());
        peer.write_all(head.as_bytes()).await.unwrap();
        peer.write_all(body).await.unwrap();
        String::from_utf8(heard).unwrap()
    });
    let events = match send(url).await {
        Ok(UpstreamAnswer::Whole(body)) => Ok(vec![body]),
        Ok(UpstreamAnswer::Stream(events)) => events.collect::<Vec<_>>().await.into_iter().collect(),
        Err(failure) => Err(failure),
    };
    let heard = server.await.unwrap();
    let (head, body) = heard.split_once("\r\n\r\n").unwrap();
    Heard { head: format!("{}\r\n", head.to_ascii_lowercase()), body: body.to_owned(), events }
}
