//! How fast a tenant's people may send commands, and fill the log with them.
//!
//! Each tenant has what it may send in a second, and may save up two seconds of it. Parts of Steward are not counted: they act
//! on what was admitted.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use steward_events::id::TenantId;
use steward_events::rejection::Rejection;

/// How many tenants are counted before idle ones are forgotten.
const TENANTS_MAX: usize = 10_000;

/// For how long a tenant may save up.
const SAVED_MAX: Duration = Duration::from_secs(2);

/// What tenants may send in a second.
pub(crate) struct Pace {
    commands: f64,
    bytes: f64,
    tenants: Mutex<HashMap<TenantId, Left>>,
}

/// What a tenant may still send, as of a moment of the monotonic clock.
#[derive(Clone, Copy)]
struct Left {
    at: Duration,
    commands: f64,
    bytes: f64,
}

impl Pace {
    #[allow(clippy::cast_precision_loss)] // a pace need not be exact
    pub(crate) fn new(commands: NonZeroU32, bytes: NonZeroUsize) -> Self {
        Self { commands: f64::from(commands.get()), bytes: bytes.get() as f64, tenants: Mutex::default() }
    }

    /// Counts one more command of so many bytes.
    ///
    /// # Errors
    /// [`Rejection::Busy`] if the tenant sends too fast.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn count(&self, tenant: &TenantId, bytes: usize, now: Duration) -> Result<(), Rejection> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() >= TENANTS_MAX && !tenants.contains_key(tenant) {
            tenants.retain(|_, left| now.saturating_sub(left.at) < SAVED_MAX);
        }
        let saved = SAVED_MAX.as_secs_f64();
        let full = Left { at: now, commands: self.commands * saved, bytes: self.bytes * saved };
        let left = tenants.entry(tenant.clone()).or_insert(full);
        let passed = now.saturating_sub(left.at).as_secs_f64();
        left.at = now;
        left.commands = self.commands.mul_add(passed, left.commands).min(full.commands);
        left.bytes = self.bytes.mul_add(passed, left.bytes).min(full.bytes);
        let bytes = bytes as f64;
        // A command that is larger than all that can be saved waits until all of that is there.
        if left.commands < 1.0 || left.bytes < bytes.min(full.bytes) {
            let reason = format!("tenant {tenant} sends commands faster than it may; send it again in a moment");
            return Err(Rejection::Busy { reason });
        }
        left.commands -= 1.0;
        left.bytes -= bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    fn pace() -> Pace {
        Pace::new(NonZeroU32::new(10).unwrap(), NonZeroUsize::new(1_000).unwrap())
    }

    fn passes(pace: &Pace, tenant: &str, bytes: usize, at: Duration) -> bool {
        pace.count(&tenant.parse().unwrap(), bytes, at).is_ok()
    }

    #[test]
    fn a_tenant_sends_so_many_and_others_are_not_held_up() {
        let pace = pace();
        assert_eq!((0..100).filter(|_| passes(&pace, "acme", 1, START)).count(), 20, "two seconds' worth");
        assert!(passes(&pace, "globex", 1, START));
        let later = START + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| passes(&pace, "acme", 1, later)).count(), 10);
    }

    #[test]
    fn large_commands_use_up_what_the_log_may_take() {
        let pace = pace();
        assert_eq!((0..10).filter(|_| passes(&pace, "acme", 900, START)).count(), 2);
        let later = START + SAVED_MAX;
        assert!(passes(&pace, "acme", 5_000, later), "whatever is allowed as a body passes once");
        assert!(!passes(&pace, "acme", 1_500, later));
    }
}
