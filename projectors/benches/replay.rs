//! How fast a log is folded into the cost report: `cargo bench -p steward-projectors`. A log in memory, so that the
//! fold is measured and not the bus; rows on sled, as they are in earnest.

#![allow(clippy::unwrap_used)] // a measurement

use std::sync::Arc;
use std::time::{Duration, Instant};

use steward_events::event::{AggregateKind, Event};
use steward_ports::clock::SystemClock;
use steward_ports::log::memory::MemoryLog;
use steward_ports::store::Store;
use steward_projectors::Config;
use steward_projectors::engine::progress::Stage;
use steward_projectors::engine::runner::Runner;
use steward_projectors::view::cost::CostReport;
use tokio_util::sync::CancellationToken;

use events::{Dice, Writer, finished, stream};

#[path = "../tests/support/events.rs"]
mod events;

const COMMITS: u64 = 50_000;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for events_each in [1, 4, 16] {
        runtime.block_on(measure(events_each));
    }
}

async fn measure(events_each: u64) {
    let log = MemoryLog::new(1, Arc::new(SystemClock::default()));
    let (mut writer, mut dice) = (Writer::new(Arc::new(log.clone())), Dice(7));
    for _ in 0..COMMITS / events_each {
        writer.at.0 += 1_000_000;
        let journal = stream(0, "acme", AggregateKind::Usage, dice.pick(&["gw1-a", "gw1-b", "gw2-a"]));
        writer.write(&journal, (0..events_each).map(|_| Event::from(finished("acme", &mut dice))).collect()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(steward_sled::SledStore::open(folder.path(), &steward_sled::Config::default()).unwrap());
    let runner = Arc::new(Runner::<CostReport>::new(Arc::new(log), &store, Config::default()));
    let began = Instant::now();
    tokio::spawn(Arc::clone(&runner).run(CancellationToken::new()));
    while runner.progress().any(|(_, progress)| progress.stage != Stage::Current) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = began.elapsed();
    let events = COMMITS / events_each * events_each;
    #[allow(clippy::cast_precision_loss)] // a rate
    let rate = events as f64 / took.as_secs_f64();
    println!("{events_each:>2} events a commit: {events} events in {took:.2?}, {rate:.0} events/s");
}
