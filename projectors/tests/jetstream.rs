//! The same proof on what is run in earnest: a nats-server for the log, sled for the rows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in helpers of tests, too

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use steward_events::event::{AggregateKind, Event, UsageEvent};
use steward_events::quantity::{NanoDollars, Shard};
use steward_jetstream::server::{Options, Server};
use steward_jetstream::{Connection, Credentials, JetStreamLog, Role, provision};
use steward_ports::log::EventLog;
use steward_ports::store::Store;
use steward_ports::store::memory::MemoryStore;
use steward_projectors::Config;
use steward_projectors::engine::progress::Stage;
use steward_projectors::engine::projector::Projector;
use steward_projectors::engine::runner::Runner;
use steward_projectors::view::cost::{self, CostReport};
use steward_queries::{CostBy, CostQuery};
use steward_sled::SledStore;
use tokio_util::sync::CancellationToken;

use events::{Dice, Writer, dump, finished, stream, tenant};

#[path = "support/events.rs"]
mod events;

const SHARDS: u16 = 2;

/// A test that fails must not leave its server behind.
struct Ended(Option<Server>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(server) = &self.0 {
            let _ = std::process::Command::new("kill").args(["-9", &server.pid().to_string()]).status();
        }
    }
}

/// Runs one life of the fold over the log on the bus: until it is caught up, or killed after `life`.
fn live(bus: &Credentials, store: &Arc<dyn Store>, life: Option<Duration>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let log = Arc::new(JetStreamLog::connect(bus, SHARDS).await.unwrap());
        let runner = Arc::new(Runner::<CostReport>::new(log, store, Config::default()));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(Arc::clone(&runner).run(shutdown.clone()));
        if let Some(life) = life {
            tokio::time::sleep(life).await;
        } else {
            caught_up(&runner).await;
            shutdown.cancel();
            running.await.unwrap();
        }
    });
}

async fn caught_up(runner: &Runner<CostReport>) {
    tokio::time::timeout(Duration::from_mins(1), async {
        while runner.progress().any(|(_, progress)| progress.stage != Stage::Current)
            || runner.lag().await.unwrap().iter().any(|(_, lag)| *lag > 0)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the fold catches up");
}

fn open(folder: &Path) -> Arc<dyn Store> {
    Arc::new(SledStore::open(folder, &steward_sled::Config::default()).unwrap())
}

#[test]
fn the_report_on_real_bus_and_store_equals_the_events() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut ended = runtime.block_on(async {
        let server = Server::start(Options::new(folder.path().join("bus"))).await.unwrap();
        let admin = Connection::connect(&server.credentials(Role::Admin)).await.unwrap();
        provision::provision(&admin, SHARDS, provision::Options::default()).await.unwrap();
        admin.close().await;
        Ended(Some(server))
    });
    let server = ended.0.as_ref().unwrap();
    let (reader, views) = (server.credentials(Role::Projectors), folder.path().join("views"));
    let log = runtime.block_on(JetStreamLog::connect(&server.credentials(Role::Aggregates), SHARDS)).unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);

    // Events come in while the fold lives and dies.
    let writing = runtime.spawn({
        let log = Arc::clone(&log);
        async move {
            let (mut writer, mut dice, mut calls, mut cost) = (Writer::new(log), Dice(42), 0_u64, 0_u64);
            for _ in 0..1_500 {
                let events: Vec<UsageEvent> = (0..=dice.below(3)).map(|_| finished("acme", &mut dice)).collect();
                for event in &events {
                    if let UsageEvent::CallFinished { cost: NanoDollars(nano), .. } = event {
                        calls += 1;
                        cost += nano;
                    }
                }
                let journal = stream(1, "acme", AggregateKind::Usage, dice.pick(&["gw1-a", "gw1-b", "gw2-a"]));
                writer.write(&journal, events.into_iter().map(Event::from).collect()).await;
            }
            (calls, cost)
        }
    });
    for life in [120, 60, 200, 90, 150, 30] {
        let store = open(&views);
        live(&reader, &store, Some(Duration::from_millis(life)));
    }
    let (calls, cost) = runtime.block_on(writing).unwrap();
    let store = open(&views);
    live(&reader, &store, None);

    // Every event is in the report once.
    let total = runtime.block_on(async {
        let runner = Arc::new(Runner::<CostReport>::new(Arc::clone(&log), &store, Config::default()));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(Arc::clone(&runner).run(shutdown.clone()));
        caught_up(&runner).await;
        let query = CostQuery { by: vec![CostBy::Key], ..CostQuery::default() };
        let report = runner.read(Shard(1), None, move |rows| cost::report(rows, &tenant("acme"), &query, |_| true));
        let report = report.await.unwrap().unwrap();
        shutdown.cancel();
        running.await.unwrap();
        report.total
    });
    assert_eq!((total.calls, total.cost), (calls, NanoDollars(cost)));

    // And a fold from nothing has the same bytes.
    let fresh: Arc<dyn Store> = Arc::new(MemoryStore::default());
    live(&reader, &fresh, None);
    let tree = steward_projectors::engine::view_store::name(CostReport::NAME, Shard(1));
    assert!(!dump(&*fresh, &tree).is_empty());
    assert_eq!(dump(&*store, &tree), dump(&*fresh, &tree));
    drop(log);
    runtime.block_on(ended.0.take().unwrap().stop()).unwrap();
}
