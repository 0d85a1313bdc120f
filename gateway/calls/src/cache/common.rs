//! Answers that all gateways have in common: sealed, beside the log, for as long as they are kept.
//!
//! They are a convenience: where the store does not answer, there is no answer, and the call is made. No call waits to put
//! one there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steward_events::timestamp::Timestamp;
use steward_ports::clock::Clock;
use steward_ports::contents::Before;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::key::CacheKey;
use super::{Kept, Origin};
use crate::contents::{Contents, PART_BYTES_MAX, TenantContents};
use crate::error::Error;

/// The kind of these contents.
const KIND: &str = "cached";

/// How long an answer is looked for.
const LOOK_TIME_MAX: Duration = Duration::from_millis(500);

/// How long nobody looks after the store did not answer.
const REST: Duration = Duration::from_secs(1);

/// The most answers that are on their way to the store at once; those beyond are kept here only.
const PUTS_MAX: usize = 64;

/// Bytes of the moment that stands before an answer.
const MOMENT_BYTES: usize = size_of::<u64>();

/// The answers.
#[derive(Clone)]
pub(crate) struct Common {
    contents: Arc<Contents>,
    clock: Arc<dyn Clock>,
    tracker: TaskTracker,
    puts: Arc<Semaphore>,
    /// Until when nobody looks, in milliseconds of the monotonic clock.
    rests_until: Arc<AtomicU64>,
}

impl Common {
    pub(crate) fn new(contents: Arc<Contents>, clock: Arc<dyn Clock>, tracker: TaskTracker) -> Self {
        let (puts, rests_until) = (Arc::new(Semaphore::new(PUTS_MAX)), Arc::default());
        Self { contents, clock, tracker, puts, rests_until }
    }

    /// The answer under `key`, and its age; none if there is none, or nobody says so in time.
    pub(super) async fn find(&self, key: &CacheKey, origin: &Origin) -> Option<(Kept, Duration)> {
        if self.clock.monotonic() < Duration::from_millis(self.rests_until.load(Ordering::Relaxed)) {
            return None;
        }
        let looking = async {
            let contents = self.contents_for(key, origin).await?;
            contents.get(KIND, &id(&contents, key)).await
        };
        let Ok(Ok(found)) = tokio::time::timeout(LOOK_TIME_MAX, looking).await else {
            self.rest();
            return None;
        };
        let (bytes, _) = found?;
        let (moment, kept) = bytes.split_first_chunk::<MOMENT_BYTES>()?;
        let age = self.clock.now().since(Timestamp(u64::from_be_bytes(*moment)));
        Some((Kept::read(kept)?, age))
    }

    /// Puts an answer there, if there is room for it on the way: whoever waits for anything does not wait for this.
    pub(super) fn keep(&self, key: &CacheKey, kept: Arc<Kept>, ttl: Duration, origin: &Origin) {
        let Ok(permit) = Arc::clone(&self.puts).try_acquire_owned() else { return };
        if kept.bytes() > PART_BYTES_MAX {
            return;
        }
        let (this, key, origin) = (self.clone(), key.clone(), origin.clone());
        self.tracker.spawn(async move {
            // Why it did not succeed is in the log of this process: that of contents.
            if this.put(&key, &kept, ttl, &origin).await.is_err() {
                this.rest();
            }
            drop(permit);
        });
    }

    async fn put(&self, key: &CacheKey, kept: &Kept, ttl: Duration, origin: &Origin) -> Result<(), Error> {
        let mut bytes = self.clock.now().0.to_be_bytes().to_vec();
        bytes.extend(kept.write());
        let contents = self.contents_for(key, origin).await?;
        match contents.check_room().await {
            Ok(()) => contents.put((KIND, &id(&contents, key)), &bytes, ttl, Before::Anything).await.map(|_| ()),
            // It is kept here only.
            Err(Error::KeepsTooMuch { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn contents_for(&self, key: &CacheKey, origin: &Origin) -> Result<TenantContents, Error> {
        self.contents.of(&key.tenant, origin.shard, &origin.request).await
    }

    fn rest(&self) {
        let until = (self.clock.monotonic() + REST).as_millis();
        self.rests_until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Under which name it is kept.
fn id(contents: &TenantContents, key: &CacheKey) -> String {
    contents.id_of(&[KIND.as_bytes(), &key.digest])
}
