//! The health of a process: its parts by name, whether each is well, and why not.
//!
//! Knows names of checks and the reasons they give. Must not know what is checked, nor who asks.

use std::fmt;
use std::sync::{Mutex, PoisonError};

type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What has to be well for this process to be given work.
#[derive(Default)]
pub struct Health {
    checks: Mutex<Vec<(&'static str, Check)>>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.all()).finish()
    }
}

/// A check that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NotReady {
    /// Which.
    pub check: &'static str,
    /// Why not.
    pub reason: String,
}

impl Health {
    /// Adds a check. It is called on each request, so it must not wait: it looks at what is known already.
    pub fn check(&self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).push((name, Box::new(check)));
    }

    /// What does not hold now; nothing means ready.
    pub fn not_ready(&self) -> Vec<NotReady> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.iter().filter_map(|(check, holds)| Some(NotReady { check, reason: holds().err()? })).collect()
    }

    /// Each check, and whether it holds.
    pub(crate) fn all(&self) -> Vec<(&'static str, bool)> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.iter().map(|(check, holds)| (*check, holds().is_ok())).collect()
    }

    /// The body of `/readyz`, and whether it says yes.
    pub fn report(&self) -> (bool, serde_json::Value) {
        let not_ready = self.not_ready();
        (not_ready.is_empty(), serde_json::json!({ "ready": not_ready.is_empty(), "not_ready": not_ready }))
    }
}
