//! A process of the simulated env: its clock, its pauses and its end.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use steward_events::timestamp::Timestamp;
use steward_ports::clock::Clock;
use tokio::time::Instant;

/// Simulated time begins here.
pub(crate) const EPOCH: Timestamp = Timestamp(1_790_000_000_000_000);

/// What time it really is: microseconds since the env began.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    start: Instant,
    offset: Duration,
}

impl Time {
    pub(crate) fn begin(offset: Duration) -> Self {
        Self { start: Instant::now(), offset }
    }

    pub(crate) fn now(&self) -> Timestamp {
        EPOCH.plus(self.offset + self.start.elapsed())
    }
}

/// One process.
pub(crate) struct Process {
    time: Time,
    skew_us: AtomicI64,
    paused_until: AtomicU64,
    dead: AtomicBool,
}

impl Process {
    pub(crate) fn new(time: Time, skew_us: i64) -> Self {
        Self { time, skew_us: AtomicI64::new(skew_us), paused_until: AtomicU64::new(0), dead: AtomicBool::new(false) }
    }

    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub(crate) fn pause(&self, time: Duration) {
        self.paused_until.store(self.time.now().plus(time).0, Ordering::Relaxed);
    }

    pub(crate) fn wake(&self) {
        self.paused_until.store(0, Ordering::Relaxed);
    }

    /// Returns when the process runs; never, if it is dead.
    pub(crate) async fn running(&self) {
        loop {
            if self.dead.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let until = self.paused_until.load(Ordering::Relaxed);
            let now = self.time.now();
            if until <= now.0 {
                return;
            }
            tokio::time::sleep(Timestamp(until).since(now).min(Duration::from_millis(500))).await;
        }
    }
}

impl Clock for Process {
    fn now(&self) -> Timestamp {
        let skewed = i64::try_from(self.time.now().0).unwrap_or(i64::MAX) + self.skew_us.load(Ordering::Relaxed);
        Timestamp(u64::try_from(skewed).unwrap_or(0))
    }

    fn monotonic(&self) -> Duration {
        self.time.now().since(EPOCH)
    }
}
