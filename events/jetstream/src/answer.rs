//! Waiting for an answer, no longer than it can still come.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use tokio::time::{Instant, timeout_at};

/// How often a wait looks whether its connection is still the one that was asked on.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// No answer; what was asked may have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    /// In the time given.
    #[error("no answer in time")]
    TimedOut,
    /// The answer would have come on a connection that is gone.
    #[error("the connection broke before an answer came")]
    Broke,
}

/// What `asked` of `client` gives, if that comes within `time_max` and on the connection that there is now. While there is
/// none, what is asked still waits to be sent.
pub(crate) async fn answered<F: Future>(
    client: &Client,
    time_max: Duration,
    asked: F,
) -> Result<F::Output, Unanswered> {
    let statistics = client.statistics();
    let connects = || statistics.connects.load(Ordering::Relaxed);
    let (before, until) = (connects(), Instant::now() + time_max);
    let mut asked = pin!(asked);
    loop {
        // One timer, for both ends: there are thousands of waits a second, and next to all of them are answered.
        let look = until.min(Instant::now() + LOOK_AGAIN);
        match timeout_at(look, asked.as_mut()).await {
            Ok(answer) => return Ok(answer),
            Err(_) if connects() != before => return Err(Unanswered::Broke),
            Err(_) if Instant::now() >= until => return Err(Unanswered::TimedOut),
            Err(_) => {}
        }
    }
}
