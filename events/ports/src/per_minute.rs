//! How often each tenant does something in a minute, in this process.
//!
//! A minute begins with the first that is counted. It bounds one process: of several, each counts for itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use steward_events::id::{PrincipalId, TenantId};
use steward_events::rejection::Rejection;
use steward_events::sender::is_of_an_operator;

const MINUTE: Duration = Duration::from_mins(1);

/// How many tenants are counted before those whose minute is over are forgotten.
const TENANTS_MAX: usize = 10_000;

/// The counts.
#[derive(Debug, Default)]
pub struct PerMinute {
    tenants: Mutex<HashMap<TenantId, Minute>>,
}

#[derive(Debug)]
struct Minute {
    began: Duration,
    count: u64,
}

impl PerMinute {
    /// Counts one more of `what` of `sender` in `tenant`, where there is a limit. Parts of Steward are not counted: they act on what
    /// was let in; nor are operators, who must be able to raise the limit.
    ///
    /// # Errors
    /// [`Rejection::Busy`] with when to come back.
    pub fn count(
        &self,
        (tenant, sender): (&TenantId, &PrincipalId),
        what: &str,
        limit: Option<u64>,
        now: Duration,
    ) -> Result<(), Rejection> {
        let Some(limit) = limit.filter(|_| !sender.is_system() && !is_of_an_operator(sender)) else { return Ok(()) };
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() >= TENANTS_MAX && !tenants.contains_key(tenant) {
            tenants.retain(|_, minute| now.saturating_sub(minute.began) < MINUTE);
        }
        let minute = tenants.entry(tenant.clone()).or_insert(Minute { began: now, count: 0 });
        if now.saturating_sub(minute.began) >= MINUTE {
            *minute = Minute { began: now, count: 0 };
        }
        if minute.count < limit {
            minute.count += 1;
            return Ok(());
        }
        let rest = MINUTE.saturating_sub(now.saturating_sub(minute.began)).as_secs() + 1;
        let reason =
            format!("tenant {tenant} has sent the {limit} {what} that it may in a minute; send it again in {rest} s");
        Err(Rejection::Busy { reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(counts: &PerMinute, (tenant, sender): (&str, &str), limit: Option<u64>, second: u64) -> bool {
        let (tenant, sender) = (tenant.parse().unwrap(), sender.parse().unwrap());
        counts.count((&tenant, &sender), "commands", limit, Duration::from_secs(second)).is_ok()
    }

    #[test]
    fn a_tenant_has_its_number_in_each_minute() {
        let counts = PerMinute::default();
        let passed = |second| (0..10).filter(|_| passes(&counts, ("acme", "p_a"), Some(3), second)).count();
        assert_eq!((passed(0), passed(59), passed(60)), (3, 0, 3));
        assert!(passes(&counts, ("globex", "p_a"), Some(3), 60), "others have their own");
        assert!(passes(&counts, ("acme", "p_a"), None, 60), "without a limit nothing is counted");
    }

    #[test]
    fn operators_and_parts_of_steward_are_not_counted() {
        let counts = PerMinute::default();
        for sender in ["op_root", "op_key_1", "sys_worker"] {
            assert!(passes(&counts, ("acme", sender), Some(0), 0), "{sender}");
        }
        assert!(!passes(&counts, ("acme", "p_a"), Some(0), 0));
    }
}
