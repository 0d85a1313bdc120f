//! Where providers that a tenant set itself may be: at public addresses only. Else a tenant that may set a provider could have
//! the gateway ask machines that only the gateway can reach (metadata services, neighbours, itself).
//!
//! Names are checked as they are resolved for the very connection, so a name that changes its mind gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use steward_events::BoxError;

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
    let found = tokio::net::lookup_host((name, 0)).await?;
    let public: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
    if public.is_empty() { Err("it has no public address".into()) } else { Ok(public) }
}

/// False if `url` names, instead of a host, an address that is not public; those are never resolved.
pub(crate) fn may_be_public(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().map_or(true, is_public)
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// <https://www.iana.org/assignments/iana-ipv4-special-registry>
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b)))
}

/// <https://www.iana.org/assignments/iana-ipv6-special-registry>: only global unicast, and none that hides an IPv4.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let is_global_unicast = segments[0] & 0xe000 == 0x2000;
    // 2001::/23 holds protocols (Teredo among them), 2001:db8::/32 documentation, 2002::/16 is 6to4.
    let is_special = (segments[0] == 0x2001 && (segments[1] < 0x200 || segments[1] == 0xdb8)) || segments[0] == 0x2002;
    is_global_unicast && !is_special
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
