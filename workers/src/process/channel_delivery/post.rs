//! Messages that are posted. What a tenant names is reached at public addresses over TLS only, unless the operators allow
//! more; the operators' own channels may be anywhere.
//!
//! A redirect is not followed and no answer is read: what is behind an address cannot be learned through a channel.

use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use steward_events::BoxError;
use steward_events::public_address::{may_be_public, public_only};

use super::outgoing::Failure;

/// Resolves names to public addresses only, for the very connection.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(public_only(found)?.into_iter()) as Addrs)
        })
    }
}

/// Posts.
pub(super) struct Poster {
    public: Client,
    anywhere: Client,
}

impl Poster {
    /// # Errors
    /// If nothing can be posted at all: no trusted certificates.
    pub(super) fn new(time_max: Duration) -> Result<Self, BoxError> {
        let client = || {
            Client::builder()
                .no_proxy()
                .redirect(Policy::none())
                .connect_timeout(time_max)
                .timeout(time_max)
                // Nothing is kept open to receivers that are rarely told anything.
                .pool_max_idle_per_host(0)
                .user_agent(concat!("steward/", env!("CARGO_PKG_VERSION")))
        };
        let public = client().https_only(true).dns_resolver(PublicOnly).build()?;
        Ok(Self { public, anywhere: client().build()? })
    }

    /// Posts `body`. The address may be a secret: no failure repeats it.
    pub(super) async fn post(
        &self,
        url: &str,
        anywhere: bool,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<(), Failure> {
        let url: Url = url.parse().map_err(|_| Failure::later("the URL is no URL"))?;
        let host = url.host_str().ok_or_else(|| Failure::later("the URL names no host"))?;
        if !anywhere && (url.scheme() != "https" || !may_be_public(host)) {
            return Err(Failure::later("the URL must begin with https:// and be at a public address"));
        }
        let mut map = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|_| Failure::later("a header cannot be written"))?;
            map.insert(HeaderName::from_static(name), value);
        }
        let client = if anywhere { &self.anywhere } else { &self.public };
        let answer = client.post(url).headers(map).body(body).send().await.map_err(|error| unreachable(&error))?;
        judge(answer.status(), answer.headers())
    }
}

fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    if status == StatusCode::GONE {
        return Err(Failure::Gone("it answered 410 Gone".to_owned()));
    }
    let more = if status.is_redirection() { ", and redirects are not followed" } else { "" };
    let wanted = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    Err(Failure::Later(format!("it answered {status}{more}"), wanted))
}

/// Without the address, and without what only we can know of it.
fn unreachable(error: &reqwest::Error) -> Failure {
    let mut cause: &dyn std::error::Error = error;
    let mut not_public = false;
    while let Some(source) = cause.source() {
        not_public |= source.is::<steward_events::public_address::NoPublicAddress>();
        cause = source;
    }
    Failure::later(if error.is_timeout() {
        "no answer in time"
    } else if not_public {
        "the URL must be at a public address"
    } else if error.is_connect() {
        "it cannot be connected to"
    } else {
        "the connection broke"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poster() -> Poster {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Poster::new(Duration::from_secs(2)).unwrap()
    }

    #[tokio::test]
    async fn a_tenants_channel_reaches_no_private_address() {
        let refused = |reason: &str| Err(Failure::later(reason));
        let poster = poster();
        for url in ["http://example.com/", "https://127.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/"] {
            let said = poster.post(url, false, &[], vec![]).await;
            assert_eq!(said, refused("the URL must begin with https:// and be at a public address"), "{url}");
        }
        let said = poster.post("https://localhost/", false, &[], vec![]).await;
        assert_eq!(said, refused("the URL must be at a public address"), "a name that resolves to this machine");
    }

    #[test]
    fn only_success_delivers_and_only_gone_ends() {
        let of = |status: u16| judge(StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
        assert_eq!((of(200), of(204)), (Ok(()), Ok(())));
        assert!(matches!(of(410), Err(Failure::Gone(_))));
        for status in [301, 307, 400, 404, 429, 500, 503] {
            assert!(matches!(of(status), Err(Failure::Later(_, None))), "{status}");
        }
        let later = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("120"))]);
        let said = judge(StatusCode::SERVICE_UNAVAILABLE, &later);
        assert!(matches!(said, Err(Failure::Later(_, Some(pause))) if pause == Duration::from_secs(120)), "{said:?}");
    }
}
