//! From where a request comes: the other end of its connection; or, behind a proxy that is trusted, whom that one names.
//!
//! What a caller writes into `x-forwarded-for` itself stands to the left of what the proxies add, so the header is read from
//! the right, and no further than to the first address that is none of the proxies'.

use std::net::IpAddr;

use http::HeaderMap;
use steward_events::event::AddressRange;

/// Where proxies say for whom they ask.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The most addresses that are read of it.
const HOPS_MAX: usize = 16;

/// The address of the caller whose connection comes from `peer`; none if a trusted proxy does not say it.
pub(crate) fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[AddressRange]) -> Option<IpAddr> {
    let is_proxy = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    if !is_proxy(peer) {
        return Some(peer.to_canonical());
    }
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    let hops = values.flat_map(|value| value.to_str().unwrap_or("-").rsplit(','));
    for hop in hops.take(HOPS_MAX) {
        // What cannot be read was written by nobody who is trusted, or by one who does not know.
        let address = hop.trim().parse::<IpAddr>().ok()?.to_canonical();
        if !is_proxy(address) {
            return Some(address);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, forwarded: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8", "::1"].map(|range| range.parse().unwrap());
        address(peer.parse().unwrap(), &headers, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn nobody_but_a_trusted_proxy_says_where_others_are() {
        assert_eq!(from("192.0.2.7", &["10.1.1.1"]).as_deref(), Some("192.0.2.7"));
        assert_eq!(from("::ffff:192.0.2.7", &[]).as_deref(), Some("192.0.2.7"));
    }

    #[test]
    fn behind_proxies_the_last_address_that_is_none_of_theirs_counts() {
        for (forwarded, caller) in [
            (&["192.0.2.7"][..], "192.0.2.7"),
            (&["203.0.113.9, 192.0.2.7"], "192.0.2.7"),
            (&["192.0.2.7, 10.3.3.3", "10.2.2.2"], "192.0.2.7"),
            (&["203.0.113.9", "192.0.2.7"], "192.0.2.7"),
            (&["nonsense, 2001:db8::1"], "2001:db8::1"),
        ] {
            assert_eq!(from("10.0.0.1", forwarded).as_deref(), Some(caller), "{forwarded:?}");
        }
    }

    #[test]
    fn a_proxy_that_does_not_say_it_leaves_it_unknown() {
        let many = vec!["10.0.0.9"; HOPS_MAX + 1].join(",");
        for forwarded in [&[][..], &["10.2.2.2"], &["unknown"], &["192.0.2.7, "], &["192.0.2.7:443"], &[&many]] {
            assert_eq!(from("10.0.0.1", forwarded), None, "{forwarded:?}");
        }
    }
}
