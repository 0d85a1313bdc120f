//! Whether the log could still take what a request would record.

use std::sync::Arc;

/// Tells whether it could, or why not and what to do.
type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Tells whether what is asked for could still be recorded; while it could not, it is refused with 503 before anything is
/// reserved or decided. Called on each request, so it must not wait.
#[derive(Clone)]
pub struct LogCapacity {
    /// For model calls.
    pub calls: Check,
    /// For commands, save those that end a right.
    pub commands: Check,
}

impl Default for LogCapacity {
    /// There is always enough.
    fn default() -> Self {
        Self { calls: Arc::new(|| Ok(())), commands: Arc::new(|| Ok(())) }
    }
}
