//! Serves connections, each within bounds.
//!
//! Knows how a connection may behave. It must not know what is served on it.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use steward_events::BoxError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::write_stall::WriteStallTimeout;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// How long to wait after the operating system could not give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where a connection comes from.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// How connections may behave.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_field_names)] // each is a bound, and is named as bounds are
pub(crate) struct ServeBounds {
    /// Connections at once; further ones wait in the operating system's queue.
    pub(crate) connections_max: NonZeroUsize,
    /// How long a client may take to send its headers.
    pub(crate) head_time_max: Duration,
    /// How long a client may leave what was written unread.
    pub(crate) write_stall_max: Duration,
}

/// Serves `router` to those who come to `listener` until `shutdown`. Gives back what ends the connections that are open.
///
/// # Errors
/// None in practice: only if the bound on connections were taken away.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: ServeBounds,
    shutdown: &CancellationToken,
) -> Result<GracefulShutdown, BoxError> {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(bounds.connections_max.get()));
    loop {
        let permit = tokio::select! {
            () = shutdown.cancelled() => break,
            permit = Arc::clone(&permits).acquire_owned() => permit?,
        };
        let (stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let served = graceful.watch(connection(stream, peer.ip(), router.clone(), bounds));
        tokio::spawn(async move {
            // A client that breaks off is no event of ours.
            let _ = served.await;
            drop(permit);
        });
    }
    Ok(graceful)
}

fn connection(
    stream: TcpStream,
    peer: IpAddr,
    router: Router,
    bounds: ServeBounds,
) -> http1::Connection<
    TokioIo<WriteStallTimeout<TcpStream>>,
    impl hyper::service::HttpService<hyper::body::Incoming, ResBody = Body, Error = std::convert::Infallible, Future: Send>
    + use<>,
> {
    // Else a small chunk of a stream waits for the acknowledgement of the one before: 40 ms.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().call(request.map(Body::new))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_time_max)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(WriteStallTimeout::new(stream, bounds.write_stall_max)), service)
}
