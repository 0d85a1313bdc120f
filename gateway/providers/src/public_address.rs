//! Where providers that a tenant set itself may be: at public addresses only. Else a tenant that may set a provider could have
//! the gateway ask machines that only the gateway can reach (metadata services, neighbours, itself).
//!
//! Names are checked as they are resolved for the very connection, so a name that changes its mind gains nothing.

use std::net::SocketAddr;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use steward_events::BoxError;
use steward_events::public_address::{self, public_only};

/// Resolves names to public addresses only.
pub(crate) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move { Ok(Box::new(resolve(name.as_str()).await?.into_iter()) as Addrs) })
    }
}

/// The public addresses of `name`.
///
/// # Errors
/// If it has none.
pub(crate) async fn resolve(name: &str) -> Result<Vec<SocketAddr>, BoxError> {
    Ok(public_only(tokio::net::lookup_host((name, 0)).await?)?)
}

/// False if `url` names, instead of a host, an address that is not public; those are never resolved.
pub(crate) fn may_be_public(url: &Url) -> bool {
    url.host_str().is_some_and(public_address::may_be_public)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_only_the_gateway_reaches_are_not_public() {
        for url in [
            "http://127.0.0.1:8080/v1",
            "http://0x7f000001/v1",
            "http://2130706433/",
            "http://169.254.169.254/latest",
            "http://10.1.2.3/",
            "http://100.64.0.1/",
            "http://0.0.0.0/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
        ] {
            assert!(!may_be_public(&url.parse().unwrap()), "{url}");
        }
        for url in ["https://api.openai.com/v1", "http://8.8.8.8/", "http://[2606:4700::1111]/", "http://localhost/"] {
            assert!(may_be_public(&url.parse().unwrap()), "{url}: an address, or a name yet to be resolved");
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_not_resolved() {
        assert!(PublicOnly.resolve("localhost".parse().unwrap()).await.is_err());
    }
}
