//! Which addresses are public. What a tenant names is asked at public addresses only: else it could have Steward ask
//! machines that only Steward can reach (metadata services, neighbours, itself).
//!
//! Knows the rule. Who resolves a name does so for the very connection, and keeps what [`public_only`] leaves: so a name
//! that changes its mind gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// None of a name's addresses is public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has no public address")]
pub struct NoPublicAddress;

/// The public ones of the addresses of a name.
///
/// # Errors
/// [`NoPublicAddress`] if there is none.
pub fn public_only(found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, NoPublicAddress> {
    let public: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
    if public.is_empty() { Err(NoPublicAddress) } else { Ok(public) }
}

/// False if the host of a URL is, instead of a name, an address that is not public; those are never resolved.
pub fn may_be_public(host: &str) -> bool {
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
    fn a_name_keeps_its_public_addresses_only() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mixed = ["127.0.0.1:0", "8.8.8.8:0", "[::1]:0"].map(address);
        assert_eq!(public_only(mixed.into_iter()), Ok(vec![address("8.8.8.8:0")]));
        assert_eq!(public_only([address("169.254.169.254:0")].into_iter()), Err(NoPublicAddress));
    }

    #[test]
    fn addresses_that_hide_another_are_not_public() {
        for host in
            ["127.0.0.1", "10.1.2.3", "100.64.0.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"]
        {
            assert!(!may_be_public(host), "{host}");
        }
        for host in ["example.com", "8.8.8.8", "[2606:4700::1111]", "localhost"] {
            assert!(may_be_public(host), "{host}: an address, or a name yet to be resolved");
        }
    }
}
