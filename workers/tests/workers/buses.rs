//! Buses on which things go wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_events::request::{Reply, Request};
use steward_ports::bus::{BusError, CommandBus};
use tokio_util::sync::CancellationToken;

/// Its sender dies at one of the commands that drive a task: nothing is answered from then on.
pub(crate) struct Dying {
    pub(crate) inner: Arc<dyn CommandBus>,
    /// At which command, from 0; those of process managers and heartbeats do not count.
    pub(crate) at: usize,
    /// Whether that command is still decided.
    pub(crate) after: bool,
    pub(crate) sent: AtomicUsize,
    pub(crate) dead: CancellationToken,
    /// Which command it was.
    pub(crate) last_words: std::sync::Mutex<String>,
}

#[async_trait]
impl CommandBus for Dying {
    async fn command(&self, request: Request) -> Result<Reply, BusError> {
        let name = format!("{}.{}", request.noun, request.verb);
        let drives = request.noun == "task" && request.verb != "extend" || name == "key.issue" || name == "budget.set";
        if self.dead.is_cancelled() {
            return std::future::pending().await;
        }
        if drives && self.sent.fetch_add(1, Ordering::SeqCst) == self.at {
            *self.last_words.lock().unwrap() = name;
            let (inner, dead, after) = (Arc::clone(&self.inner), self.dead.clone(), self.after);
            // What is under way goes on when its sender does not.
            tokio::spawn(async move {
                if after {
                    let _ = inner.command(request).await;
                }
                dead.cancel();
            });
            return std::future::pending().await;
        }
        self.inner.command(request).await
    }

    async fn query(&self, request: Request) -> Result<Result<Bytes, Rejection>, BusError> {
        self.inner.query(request).await
    }
}

/// Its sender believes that every heartbeat counts, and none does.
pub(crate) struct Deluded(pub(crate) Arc<dyn CommandBus>);

#[async_trait]
impl CommandBus for Deluded {
    async fn command(&self, request: Request) -> Result<Reply, BusError> {
        if request.noun == "task" && request.verb == "extend" {
            let nothing = Reply::refused(Rejection::Expired, Position(0));
            return Ok(Reply { accepted: true, rejection: None, message: None, ..nothing });
        }
        self.0.command(request).await
    }

    async fn query(&self, request: Request) -> Result<Result<Bytes, Rejection>, BusError> {
        self.0.query(request).await
    }
}
