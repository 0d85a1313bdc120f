//! How this gateway is. It must not know how the process around it is, nor who is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use steward_aggregates::catalog::Catalogs;
use steward_calls::Access;
use steward_ports::live::Live;
use tokio_util::sync::CancellationToken;

/// How long one attempt to catch up with the log takes at most at the start.
const CATCH_UP_TIME_MAX: Duration = Duration::from_secs(30);
/// Between two attempts.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(50);

/// Tells whether a part is well, or why not. Must not wait.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What is known of the gateway.
pub(crate) struct Status {
    access: Arc<Access>,
    catalogs: Arc<Live<Catalogs>>,
    /// All that was in the log at the start is known here.
    caught_up: AtomicBool,
    /// No new work is wanted.
    draining: AtomicBool,
}

impl Status {
    pub(crate) fn new(access: Arc<Access>, catalogs: Arc<Live<Catalogs>>) -> Self {
        Self { access, catalogs, caught_up: AtomicBool::new(false), draining: AtomicBool::new(false) }
    }

    /// No new work is wanted from now on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Notes when all that was in the log at the start is known here; tries until then.
    pub(crate) async fn catch_up(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let (keys, catalogs) = tokio::join!(
                self.access.authority().caught_up(CATCH_UP_TIME_MAX),
                self.catalogs.caught_up(CATCH_UP_TIME_MAX)
            );
            match keys.and(catalogs) {
                Ok(()) => return self.caught_up.store(true, Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "not ready: the log is not read to its end yet"),
            }
            tokio::time::sleep(CATCH_UP_PAUSE).await;
        }
    }

    /// Whether the gateway may be given work.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn ready(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("draining".to_owned());
        }
        if let Some(why) = self.access.authority().stopped().or_else(|| self.catalogs.stopped()) {
            return Err(format!("a view has stopped: {why}"));
        }
        if !self.caught_up.load(Ordering::Relaxed) {
            return Err("the log has not been read to its end yet".to_owned());
        }
        Ok(())
    }
}
