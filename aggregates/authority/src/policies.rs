//! The policies, asked: the compiled ones about every request, and Cedar about one in many too, as the judge. Where they
//! differ nobody gets through, and it is said.

use std::sync::atomic::{AtomicU64, Ordering};

use super::policy::{Asker, Circumstances, Verdict};
use super::{cedar, compiled};

/// Of so many requests one is judged, beginning with the first.
pub(super) const JUDGED_EVERY: u64 = 1_024;

type Compiled = fn(&Circumstances<'_>, &Asker<'_>) -> Verdict;

/// The policies.
#[derive(Debug)]
pub(super) struct Policies {
    requests: AtomicU64,
    /// A test puts others here.
    pub(super) compiled: Compiled,
}

impl Default for Policies {
    fn default() -> Self {
        Self { requests: AtomicU64::new(0), compiled: compiled::verdict }
    }
}

/// The policies about one request: whatever is asked about it is judged, or nothing is.
#[derive(Clone, Copy)]
pub(super) struct ForRequest {
    compiled: Compiled,
    judged: bool,
}

impl Policies {
    /// About the next request.
    pub(super) fn for_request(&self) -> ForRequest {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        ForRequest { compiled: self.compiled, judged: number.is_multiple_of(JUDGED_EVERY) }
    }
}

impl Policies {
    /// About what is only supposed: nobody gets through by it, so it is not judged.
    pub(super) const fn for_report(&self) -> ForRequest {
        ForRequest { compiled: self.compiled, judged: false }
    }
}

impl ForRequest {
    /// Whether the asker may.
    pub(super) fn verdict(self, of: &Circumstances<'_>, asker: &Asker<'_>) -> Verdict {
        let said = (self.compiled)(of, asker);
        if self.judged { judged(said, of, asker) } else { said }
    }
}

fn judged(said: Verdict, of: &Circumstances<'_>, asker: &Asker<'_>) -> Verdict {
    let cedar = cedar::verdict(of, asker);
    if cedar == Some(said) {
        return said;
    }
    tracing::error!(
        permission = %of.permission, scope = %of.scope, ?asker, compiled = ?said, ?cedar,
        "the compiled access policies and Cedar differ; denying"
    );
    Verdict::InDoubt
}
