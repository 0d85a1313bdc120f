//! Keeps our own server running: when it dies, it is started again on the same port with the same streams, and clients
//! find it again by themselves.
//!
//! Knows whether the server lives. It must not know who uses it: they see a connection that is away for a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Server, ServerError};

/// How often to look whether it lives.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Before it is started again, at first; doubled at every attempt that fails or does not last.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// The longest of these pauses. It is tried for ever: without a bus there is nothing else to do.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(15);

/// After a life that long, the next death is a new trouble.
const LASTED: Duration = Duration::from_mins(1);

/// A server that is started again whenever it dies. Dropping it ends neither the server nor the supervision; only
/// [`Self::stop`] does, or the end of the runtime.
#[derive(Debug)]
pub struct Supervised {
    task: JoinHandle<Server>,
    stop: CancellationToken,
    again: Arc<Notify>,
    running: watch::Receiver<Option<u32>>,
}

impl Supervised {
    pub(super) fn begin(server: Server) -> Self {
        let stop = CancellationToken::new();
        let (tell, running) = watch::channel(Some(server.pid()));
        let again = Arc::<Notify>::default();
        let task = tokio::spawn(keep_running(server, tell, stop.clone(), Arc::clone(&again)));
        Self { task, stop, again, running }
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        *self.running.borrow()
    }

    /// Whether it runs, for readiness: looks at what is known already.
    pub fn check(&self) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let running = self.running.clone();
        move || match *running.borrow() {
            Some(_) => Ok(()),
            None => Err("nats-server has ended by itself and is being started again".to_owned()),
        }
    }

    /// Has it ended and started again, once for each call: what is acknowledged is kept, and clients find it again.
    pub fn again(&self) -> impl Fn() + Send + Sync + use<> {
        let again = Arc::clone(&self.again);
        move || again.notify_one()
    }

    /// Stops the supervision and then the server; returns when it is gone.
    ///
    /// # Errors
    /// [`ServerError`] if it does not end.
    pub async fn stop(self) -> Result<(), ServerError> {
        self.stop.cancel();
        match self.task.await {
            Ok(server) => server.stop().await,
            Err(broken) => Err(ServerError::NotReady { reason: broken.to_string(), log: String::new() }),
        }
    }
}

async fn keep_running(
    mut server: Server,
    tell: watch::Sender<Option<u32>>,
    stop: CancellationToken,
    again: Arc<Notify>,
) -> Server {
    let mut pause = RESTART_PAUSE;
    let mut began = tokio::time::Instant::now();
    loop {
        let end = tokio::select! {
            () = stop.cancelled() => return server,
            end = death(&mut server) => Some(end),
            () = again.notified() => None,
        };
        tell.send_replace(None);
        match end {
            Some(end) => {
                tracing::error!(process.pid = server.pid(), end, "nats-server has ended by itself; starting it again");
            }
            None => {
                if let Err(error) = server.process.end().await {
                    tracing::warn!(%error, "nats-server was to be started again");
                    tell.send_replace(Some(server.pid()));
                    continue;
                }
            }
        }
        if began.elapsed() >= LASTED {
            pause = RESTART_PAUSE;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return server,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RESTART_PAUSE_MAX);
            match server.start_again().await {
                Ok(()) => break,
                Err(error) => tracing::warn!(%error, "nats-server could not be started again; trying once more"),
            }
        }
        began = tokio::time::Instant::now();
        tracing::info!(process.pid = server.pid(), "nats-server runs again");
        tell.send_replace(Some(server.pid()));
    }
}

/// Returns when it is dead, with how it ended.
async fn death(server: &mut Server) -> String {
    loop {
        if let Some(end) = server.process.death().await {
            return end;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
