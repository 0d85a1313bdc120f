//! How often somebody may try a key that nobody knows: so many times a minute from one address, over HTTP and on the bus
//! together.

use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Addresses that are remembered; beyond that the old ones are forgotten.
const ADDRESSES_MAX: usize = 65_536;

/// Counts wrong keys by address.
pub(crate) struct WrongKeys(DefaultKeyedRateLimiter<IpAddr>);

impl WrongKeys {
    pub(crate) fn new(per_minute_max: NonZeroU32) -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(per_minute_max)))
    }

    /// Counts one more from `address`; false if that is too many.
    pub(crate) fn count(&self, address: IpAddr) -> bool {
        if self.0.len() > ADDRESSES_MAX {
            self.0.retain_recent();
        }
        self.0.check_key(&address).is_ok()
    }
}
