//! Serves connections, each within bounds.
//!
//! Knows how a connection may behave. It must not know what is served on it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use steward_events::BoxError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

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
    /// Connections at once from one address; further ones are closed.
    pub(crate) per_address_max: NonZeroUsize,
    /// How long a client may take to send its headers.
    pub(crate) head_time_max: Duration,
    /// How long a client may leave what was written unread.
    pub(crate) write_stall_max: Duration,
}

/// How many connections there are from each address.
#[derive(Default)]
struct Addresses(Mutex<HashMap<IpAddr, usize>>);

/// A connection that is counted until it is dropped.
struct Counted {
    address: IpAddr,
    among: Arc<Addresses>,
}

impl Addresses {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more from `address`; none if it has as many as it may.
    fn count(among: &Arc<Self>, address: IpAddr, most: NonZeroUsize) -> Option<Counted> {
        let mut addresses = among.lock();
        let open = addresses.entry(address).or_default();
        if *open >= most.get() {
            return None;
        }
        *open += 1;
        Some(Counted { address, among: Arc::clone(among) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut addresses = self.among.lock();
        if let Some(open) = addresses.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// Answers those who come to `listener` until `shutdown`. Gives back what ends the connections that are open.
///
/// # Errors
/// None in practice: only if the bound on connections were taken away.
pub(crate) async fn serve<F: Future<Output = Response> + Send + 'static>(
    listener: TcpListener,
    answer: impl Fn(Request) -> F + Clone + Send + 'static,
    bounds: ServeBounds,
    shutdown: &CancellationToken,
) -> Result<GracefulShutdown, BoxError> {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(bounds.connections_max.get()));
    let addresses = Arc::<Addresses>::default();
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
        let Some(counted) = Addresses::count(&addresses, peer.ip(), bounds.per_address_max) else {
            tracing::debug!(client.address = %peer.ip(), "too many connections from this address; closed");
            continue;
        };
        let served = graceful.watch(connection(stream, peer.ip(), answer.clone(), bounds));
        tokio::spawn(async move {
            // A client that breaks off is no event of ours.
            let _ = served.await;
            drop((permit, counted));
        });
    }
    Ok(graceful)
}

fn connection<A, F>(
    stream: TcpStream,
    peer: IpAddr,
    answer: A,
    bounds: ServeBounds,
) -> http1::Connection<
    TokioIo<WriteStallTimeout<TcpStream>>,
    impl hyper::service::HttpService<hyper::body::Incoming, ResBody = Body, Error = std::convert::Infallible, Future: Send>
    + use<A, F>,
>
where
    A: Fn(Request) -> F + Send + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    // Else a small chunk of a stream waits for the acknowledgement of the one before: 40 ms.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let answering = answer(request.map(Body::new));
        async { Ok(answering.await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_time_max)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(WriteStallTimeout::new(stream, bounds.write_stall_max)), service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_gives_them_back() {
        let (addresses, two) = (Arc::<Addresses>::default(), NonZeroUsize::new(2).unwrap());
        let from = |last: u8| Addresses::count(&addresses, IpAddr::from([192, 0, 2, last]), two);
        let (first, second) = (from(1), from(1));
        assert!(first.is_some() && second.is_some() && from(1).is_none());
        assert!(from(2).is_some(), "another address is not held up");
        drop(first);
        assert!(from(1).is_some());
        drop(second);
        assert!(addresses.lock().is_empty(), "nothing is kept of those that are gone");
    }
}
