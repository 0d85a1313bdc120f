//! Waiting for an answer, no longer than it can still come.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use tokio::time::{Instant, interval_at, timeout};

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

/// What `asked` of `client` gives, if that comes within `time_max` and on the connection that there is now.
pub(crate) async fn answered<F: Future>(
    client: &Client,
    time_max: Duration,
    asked: F,
) -> Result<F::Output, Unanswered> {
    tokio::select! {
        biased;
        answer = timeout(time_max, asked) => answer.map_err(|_| Unanswered::TimedOut),
        () = connected_anew(client) => Err(Unanswered::Broke),
    }
}

/// Ends when the client has another connection than now. While it has none, what is asked still waits to be sent.
async fn connected_anew(client: &Client) {
    let statistics = client.statistics();
    let connects = || statistics.connects.load(Ordering::Relaxed);
    let before = connects();
    let mut looks = interval_at(Instant::now() + LOOK_AGAIN, LOOK_AGAIN);
    while connects() == before {
        looks.tick().await;
    }
}
