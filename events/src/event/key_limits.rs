//! From where a key may be used: ranges of addresses, written as text, in the log as well: `10.0.0.0/8`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::quantity::InvalidQuantity;

/// Addresses that begin alike: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange(IpNet);

impl AddressRange {
    /// True if `address` is one of these. An IPv4 address that is written as IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// True if every address of `other` is one of these.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Every range that holds `address`, from that of all addresses to that of itself alone.
    pub fn all_of(address: IpAddr) -> impl Iterator<Item = Self> {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (0..=bits).filter_map(move |length| Some(Self(IpNet::new(address, length).ok()?.trunc())))
    }
}

impl FromStr for AddressRange {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let wrong = |expected| InvalidQuantity { text: text.chars().take(60).collect(), expected };
        let alone = || text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
        let range = text.parse::<IpNet>().ok().or_else(alone).ok_or_else(|| {
            wrong("a range of addresses such as 10.0.0.0/8 or 2001:db8::/32, or one address such as 192.0.2.7")
        })?;
        if range.trunc() != range {
            return Err(wrong("a range whose address ends in zeros behind its length, such as 10.0.0.0/8"));
        }
        if matches!(range, IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() && v6.prefix_len() > 0) {
            return Err(wrong("a range of IPv4 addresses written as such: 10.0.0.0/8"));
        }
        Ok(Self(range))
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for AddressRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AddressRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer)
    }
}

impl JsonSchema for AddressRange {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AddressRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"] })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_is_read_as_people_write_it() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "::/0"] {
            assert_eq!(range(text).to_string(), text);
        }
        assert_eq!(range("192.0.2.7").to_string(), "192.0.2.7/32");
        for text in ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "::ffff:10.0.0.0/104", "localhost", "10.0.0.0/8 "] {
            assert!(text.parse::<AddressRange>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_is_one_however_it_is_written() {
        let ours = range("10.0.0.0/8");
        for (address, within) in [("10.255.0.1", true), ("::ffff:10.1.2.3", true), ("11.0.0.0", false), ("::1", false)]
        {
            assert_eq!(ours.contains(address.parse().unwrap()), within, "{address}");
        }
        assert!(ours.covers(&range("10.2.0.0/16")) && !ours.covers(&range("0.0.0.0/0")));
        assert!(!range("::/0").covers(&ours), "what is no IPv4 address is none of ours");
    }

    proptest! {
        #[test]
        fn an_address_is_in_the_ranges_that_are_its_own(bits in any::<u32>(), other in any::<u32>(), length in 0_u8..=32) {
            let (address, other) = (IpAddr::V4(bits.into()), IpAddr::V4(other.into()));
            let range = AddressRange(IpNet::new(other, length).unwrap().trunc());
            prop_assert_eq!(range.contains(address), AddressRange::all_of(address).any(|of| of == range));
        }
    }
}
