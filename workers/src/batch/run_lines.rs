//! Calls the lines of a batch, so many at once, until each has come to something or no further one is to be called.

use std::future::Future;
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::gateway::{Attempt, LineCall};
use super::lines::Line;
use super::outcome::Outcome;
use super::progress::too_large;
use super::run::{Broken, Run};

/// The pause after the first attempt that may go better later; doubled after each further one, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

impl Run<'_> {
    /// Calls the lines until each has come to something or `over` ends; what came of each, in their order.
    pub(super) async fn call_lines(
        &self,
        lines: &[Line],
        over: impl Future<Output = ()>,
    ) -> Result<Vec<Option<Outcome>>, Broken> {
        let stop = &CancellationToken::new();
        let calling = async {
            let each = stream::iter(0..lines.len()).take_until(stop.cancelled());
            let calls = each.map(|at| async move { (at, self.line(&lines[at], stop).await) });
            let mut calls = Box::pin(calls.buffer_unordered(self.batches.config.batch_calls_max.get() as usize));
            let mut outcomes: Vec<Option<Outcome>> = std::iter::repeat_with(|| None).take(lines.len()).collect();
            while let Some((at, called)) = calls.next().await {
                let bytes_max = self.batches.config.batch_output_bytes_max;
                outcomes[at] = called?.map(|outcome| self.progress.take(outcome, bytes_max));
            }
            Ok(outcomes)
        };
        let stopping = async {
            over.await;
            stop.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            outcomes = calling => outcomes,
            () = stopping => Ok(Vec::new()),
        }
    }

    /// Calls one line. None if nothing came of it before the end of all.
    async fn line(&self, line: &Line, stop: &CancellationToken) -> Result<Option<Outcome>, Broken> {
        let bytes_max = self.batches.config.batch_output_bytes_max;
        if self.progress.is_full(bytes_max) {
            return Ok(Some(too_large(bytes_max)));
        }
        let clock = &self.batches.ports.clock;
        let (mut pause, mut gives_up_at) = (PAUSE_MIN, clock.monotonic() + self.batches.config.step_time_max);
        loop {
            // Never closed: an error would be a place too.
            let place = tokio::select! {
                place = self.batches.places.acquire() => place,
                () = stop.cancelled() => return Ok(None),
            };
            let asked_at = clock.monotonic();
            let attempt = self.attempt(line).await?;
            // Others go on while this one waits.
            drop(place);
            let now = clock.monotonic();
            let (later, said) = match attempt {
                Attempt::Over(outcome) => return Ok(Some(outcome)),
                Attempt::Suspended => return Err(Broken::Release("the tenant is suspended".to_owned())),
                Attempt::NoRoom(later) => {
                    // Others go first: that is not the line's time.
                    gives_up_at += now.saturating_sub(asked_at) + later.after.unwrap_or(pause);
                    (later, None)
                }
                Attempt::Later(later, said) => (later, said),
            };
            if now >= gives_up_at {
                let message = format!("no answer in time: {}", later.reason);
                return Ok(Some(said.unwrap_or(Outcome::Failed { code: "unanswered", message })));
            }
            tracing::debug!(line = line.number, reason = %later.reason, "a line will be called again");
            tokio::select! {
                () = tokio::time::sleep(later.after.unwrap_or(pause)) => {}
                () = stop.cancelled() => return Ok(None),
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn attempt(&self, line: &Line) -> Result<Attempt, Broken> {
        let secret = self.secret().await?;
        let call = LineCall {
            secret: &secret,
            idempotency_key: format!("{}-{}", self.batch.batch, line.number),
            endpoint: self.open.endpoint,
            body: line.body.clone(),
            time_max: self.batches.config.step_time_max,
        };
        Ok(self.batches.gateway.call(&call).await)
    }
}
