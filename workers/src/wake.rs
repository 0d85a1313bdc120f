//! Waiting until there may be something new to do.

use std::time::Duration;

use futures::future;
use steward_events::quantity::{Position, Shard};
use steward_events::view::View;
use steward_ports::live::{Live, NotFresh};

/// How long to wait without any sign before looking again all the same.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(10);
/// How long the log may take to say where its end is before it is asked again.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);
/// The pause before it is.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until the view has moved on from `seen` in any shard, at most `time_max`.
pub(crate) async fn moved<V: View>(live: &Live<V>, seen: &[Position], time_max: Duration) {
    let waits =
        (0_u16..).zip(seen).map(|(shard, at)| Box::pin(live.reached(Shard(shard), Position(at.0 + 1), time_max)));
    let waits: Vec<_> = waits.collect();
    if waits.is_empty() {
        tokio::time::sleep(time_max).await;
    } else {
        // Whatever it says, in time, too late or stopped: it is time to look.
        let _ = future::select_all(waits).await;
    }
}

/// Waits until the view has folded all that was recorded when this was called, however long that takes; an error means
/// that it never will.
pub(crate) async fn caught_up<V: View>(live: &Live<V>) -> Result<(), NotFresh> {
    loop {
        match live.caught_up(CATCH_UP_MAX).await {
            Ok(()) => return Ok(()),
            Err(NotFresh::Stopped(why)) => return Err(NotFresh::Stopped(why)),
            Err(error @ (NotFresh::NoAnswer(_) | NotFresh::Behind)) => {
                tracing::warn!(error = %error, "a view of the log is not complete yet");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
