//! How far a batch is: what came of its lines, and how much that takes.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use steward_events::event::LineCounts;

use super::outcome::Outcome;

/// How far a batch is; told with its heartbeat.
#[derive(Debug, Default)]
pub(super) struct Progress {
    completed: AtomicU32,
    failed: AtomicU32,
    bytes: AtomicUsize,
}

impl Progress {
    /// What came of the lines so far.
    pub(super) fn counts(&self) -> LineCounts {
        let read = |count: &AtomicU32| count.load(Ordering::Relaxed);
        LineCounts { completed: read(&self.completed), failed: read(&self.failed) }
    }

    /// Counts an outcome, if all of them together stay within `bytes_max`.
    pub(super) fn take(&self, outcome: Outcome, bytes_max: usize) -> Outcome {
        let before = self.bytes.fetch_add(outcome.bytes(), Ordering::Relaxed);
        let outcome = if before.saturating_add(outcome.bytes()) > bytes_max { too_large(bytes_max) } else { outcome };
        let count = if outcome.is_good() { &self.completed } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    /// True if no further answer has room.
    pub(super) fn is_full(&self, bytes_max: usize) -> bool {
        self.bytes.load(Ordering::Relaxed) > bytes_max
    }
}

/// What came of a line that has no room.
pub(super) fn too_large(bytes_max: usize) -> Outcome {
    let message = format!("the answers of this batch have more than {bytes_max} bytes: divide it into several batches");
    Outcome::Failed { code: "output_too_large", message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_room_up_to_the_bound_and_no_further() {
        let progress = Progress::default();
        let said = |bytes: usize| {
            let body = serde_json::value::RawValue::from_string(format!("\"{}\"", "a".repeat(bytes - 2))).unwrap();
            Outcome::Said { status: 200, request_id: String::new(), body }
        };
        assert!(progress.take(said(6), 10).is_good() && progress.take(said(4), 10).is_good());
        assert!(!progress.is_full(10));
        assert!(!progress.take(said(2), 10).is_good());
        assert!(progress.is_full(10));
        assert_eq!(progress.counts(), LineCounts { completed: 2, failed: 1 });
    }
}
