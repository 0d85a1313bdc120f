//! The role that keeps read models and answers queries.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use steward_events::BoxError;
use steward_jetstream::{Connection, JetStreamLog, Role, serve};
use steward_projectors::{ProjectorPorts, Projectors};
use steward_queries::QUERIES;
use steward_sled::SledStore;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::first_start::keyring;
use super::{Installation, PACE, Process, Tier};

/// The pause after the bus did not take a view's subscriptions.
const SERVE_PAUSE: Duration = Duration::from_millis(500);

/// The read models, in `store` or in the data folder. Answers how many views have yet to be built and asked.
pub async fn projectors(
    installation: &Installation,
    process: &mut Process,
    store: Option<PathBuf>,
) -> Result<watch::Receiver<usize>, BoxError> {
    let reader = installation.connect(Role::Projectors).await?;
    let responder = installation.connect(Role::ProjectorsResponder).await?;
    process.watch_connection("bus of projectors", &reader);
    process.watch_clock(&reader);
    let folder = store.unwrap_or_else(|| process.config.data.join("views"));
    let store = SledStore::open(&folder, &process.config.store)?;
    let ports = ProjectorPorts {
        log: Arc::new(JetStreamLog::over(&reader, process.config.bus.shards).paced(PACE)),
        store: Arc::new(store),
        keyring: keyring(&reader, &process.config)?,
        clock: Arc::clone(&process.clock),
        ids: Arc::clone(&process.ids),
    };
    let projectors = Projectors::new(ports, process.config.projectors.clone());
    let (health, page) = (Arc::clone(&projectors), Arc::clone(&projectors));
    process.health.check("views", move || health.ready());
    process.metrics.append(move || page.metrics_text());
    let shutdown = process.core.clone();
    let runner = Arc::clone(&projectors);
    process.spawn(Tier::Core, "views", async move { runner.run(shutdown).await });
    let mut views: Vec<&'static str> = QUERIES.iter().map(|spec| spec.view).collect();
    views.dedup();
    let (yet_to_ask, asked) = watch::channel(views.len());
    let waiting = asked.clone();
    process.health.check("queries", move || match *waiting.borrow() {
        0 => Ok(()),
        count => Err(format!("{count} views are not asked yet")),
    });
    for view in views {
        let (projectors, responder) = (Arc::clone(&projectors), responder.clone());
        let bounds = process.config.bus.requests.clone();
        let (yet_to_ask, shutdown) = (yet_to_ask.clone(), process.core.clone());
        process.spawn(Tier::Core, "queries", async move {
            // A view in the making must get no query that another process could answer.
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = projectors.built(view) => {}
            }
            let Some(serving) = serve_view(&responder, view, projectors, &bounds, shutdown).await else {
                return Ok(());
            };
            yet_to_ask.send_modify(|count| *count -= 1);
            serving.await.map_err(BoxError::from)
        });
    }
    Ok(asked)
}

/// Takes queries about `view`. The bus may be away just then: that must not end the process, so it is tried again until
/// `shutdown`; none if that comes first.
async fn serve_view(
    responder: &Connection,
    view: &'static str,
    projectors: Arc<Projectors>,
    bounds: &serve::Requests,
    shutdown: CancellationToken,
) -> Option<JoinHandle<()>> {
    loop {
        match serve::queries(responder, &[view], Arc::clone(&projectors) as _, bounds, shutdown.clone()).await {
            Ok(serving) => return Some(serving),
            Err(error) => tracing::warn!(view, error, "queries cannot be taken yet; trying again"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(SERVE_PAUSE) => {}
        }
    }
}
