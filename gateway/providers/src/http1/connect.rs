//! Makes connections: resolves, connects, agrees on encryption, all within one bound of time.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use rustls_platform_verifier::ConfigVerifierExt;
use steward_events::BoxError;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tower::{Service, ServiceExt};

use super::connection::{Connection, Transport};
use super::endpoint::Endpoint;
use super::{Failed, IDLE_MAX};
use crate::public_address;

/// Encrypts for those whom the machine's certificates vouch for. They take memory, so one serves all connectors.
///
/// # Errors
/// If there are no trusted certificates.
pub(crate) fn tls() -> Result<TlsConnector, BoxError> {
    let mut config = ClientConfig::with_platform_verifier()?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Connects to endpoints.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: TlsConnector,
    time_max: Duration,
}

/// Resolves names, perhaps to public addresses only.
#[derive(Clone, Copy)]
struct Resolver {
    public_only: bool,
}

impl Connector {
    /// To anywhere, or to public addresses only; each within `time_max`.
    pub(crate) fn new(public_only: bool, tls: TlsConnector, time_max: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver { public_only });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(time_max));
        tcp.set_keepalive(Some(IDLE_MAX));
        Self { tcp, tls, time_max }
    }

    /// A new connection, within `time_max` and the connector's own bound.
    pub(super) async fn connect(&self, endpoint: &Endpoint, time_max: Duration) -> Result<Connection, Failed> {
        let connected = tokio::time::timeout(self.time_max.min(time_max), self.connect_unbounded(endpoint)).await;
        connected.unwrap_or_else(|_| Err(Failed::Unreachable("no connection in time".to_owned())))
    }

    async fn connect_unbounded(&self, endpoint: &Endpoint) -> Result<Connection, Failed> {
        let connected = self.tcp.clone().oneshot(endpoint.uri.clone()).await;
        let tcp = connected.map_err(|error| Failed::Unreachable(innermost(&error)))?.into_inner();
        let Some(server) = &endpoint.server else { return Ok(Connection::new(Transport::Plain(tcp))) };
        let agreed = self.tls.connect(server.clone(), tcp).await;
        let tls = agreed.map_err(|error| Failed::Unreachable(innermost(&error)))?;
        Ok(Connection::new(Transport::Tls(Box::new(tls))))
    }
}

/// The deepest cause: the outer ones name the address, which is nobody's business.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let public_only = self.public_only;
        Box::pin(async move {
            let found = if public_only {
                public_address::resolve(name.as_str()).await?
            } else {
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect()
            };
            Ok(found.into_iter())
        })
    }
}
