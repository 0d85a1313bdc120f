//! What finishes late: calls whose lease ended before them are looked for in their journals until all have finished.
//!
//! Nobody follows journals for that: they hold thousands of calls a second, and hardly one is late. A journal is read on
//! as soon as a lease has ended so, and then again and again, after ever longer pauses. Clocks only decide when to look;
//! what a call cost is settled by its finish alone, never by time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use steward_events::command::CorrectLease;
use steward_events::id::{LeaseId, TenantId};
use steward_events::quantity::{Position, Shard};
use steward_events::rejection::Rejection;
use steward_events::stream::StreamName;
use steward_ports::log::{Filter, LogError};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::open_leases::Awaited;
use super::{PAUSE, Shared, Watched, mutations};
use crate::dispatch::{Cause, DispatchError};
use crate::process::Error;

/// The pause between two looks is this part of the time that they go on already: so a finish is brought to the books not
/// much later than it came.
const PAUSE_PART: u32 = 4;

/// The shortest and the longest pause between two looks into one journal …
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(100);
const LOOK_PAUSE_MAX: Duration = Duration::from_mins(1);

/// … but where they go on for hours, most likely for a gateway that died, the longest is this part of that time …
const OLD_PAUSE_PART: u32 = 60;

/// … up to this.
const OLD_PAUSE_MAX: Duration = Duration::from_mins(15);

/// The search for the late finishes of one lease.
struct Search {
    journal: StreamName,
    /// Up to here the journal was read.
    read: Position,
    began: Instant,
    next: Instant,
}

impl Search {
    fn begin(Awaited { journal, after }: Awaited) -> Self {
        let now = Instant::now();
        Self { journal, read: after, began: now, next: now }
    }

    fn pause(&mut self) {
        let now = Instant::now();
        self.next = now + pause_after(now.duration_since(self.began));
    }
}

/// The pause before the next look of a search that has gone on for `age`.
fn pause_after(age: Duration) -> Duration {
    let longest = (age / OLD_PAUSE_PART).clamp(LOOK_PAUSE_MAX, OLD_PAUSE_MAX);
    (age / PAUSE_PART).clamp(LOOK_PAUSE_MIN, longest)
}

/// Corrects the books of `shard` by what finishes late. Ends only with an error.
pub(super) async fn correct_shard(shared: Arc<Shared>, shard: Shard) -> Result<(), Error> {
    let watched = shared.shards.get(&shard).ok_or_else(|| LogError::Unavailable("no such shard".into()))?;
    let mut searches: BTreeMap<(TenantId, LeaseId), Search> = BTreeMap::new();
    let mut corrections = JoinSet::new();
    loop {
        let awaited = watched.folded().0.awaited(shard);
        searches.retain(|lease, _| awaited.contains_key(lease));
        for (lease, awaited) in awaited {
            searches.entry(lease).or_insert_with(|| Search::begin(awaited));
        }
        let now = Instant::now();
        for ((tenant, lease), search) in searches.iter_mut().filter(|(_, search)| search.next <= now) {
            match shared.look(watched, tenant, search).await {
                Ok(found) => {
                    for correction in found {
                        corrections.spawn(Arc::clone(&shared).correct(tenant.clone(), correction));
                    }
                }
                Err(LogError::Unavailable(error)) => {
                    tracing::warn!(tenant.id = %tenant, %lease, %error, "late finishes cannot be looked for; trying again");
                }
                Err(fatal) => return Err(fatal.into()),
            }
            search.pause();
        }
        while corrections.try_join_next().is_some() {}
        let next = searches.values().map(|search| search.next).min();
        let due = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = watched.ended.notified() => {}
            () = due => {}
        }
    }
}

impl Shared {
    /// Reads a journal on to its end, for finishes that the books wait for.
    async fn look(
        &self,
        watched: &Watched,
        tenant: &TenantId,
        search: &mut Search,
    ) -> Result<Vec<CorrectLease>, LogError> {
        let mut found = Vec::new();
        if !mutations::settles_by_finishes_alone() {
            found.extend(watched.folded().0.released_by_time(tenant, self.ports.clock.now()));
        }
        let journal = Filter::stream(&search.journal);
        let last = self.ports.log.last(&journal).await?;
        if last <= search.read {
            return Ok(found);
        }
        // Where the log breaks off, what was found is lost: then all of it is read again.
        let mut read = search.read;
        let mut commits = self.ports.paced.follow(&journal, read).await?;
        while read < last {
            let stored =
                commits.next().await.ok_or_else(|| LogError::Unavailable("the log ended its stream".into()))??;
            found.extend(watched.folded().0.late(stored.commit()?, stored.position));
            read = stored.position;
        }
        search.read = read;
        Ok(found)
    }

    /// Sends a correction until it is decided.
    async fn correct(self: Arc<Self>, tenant: TenantId, correction: CorrectLease) {
        loop {
            let Ok(_permit) = self.work.acquire().await else { return };
            match self.dispatch.send(&tenant, correction.clone(), &Cause::default()).await {
                Ok(_) => return,
                Err(DispatchError::Rejected(Rejection::Stale { .. }) | DispatchError::Unanswered { .. }) => {}
                Err(error) => {
                    tracing::error!(tenant.id = %tenant, lease = %correction.lease, call = %correction.call, %error,
                        "a late finish could not be brought to the books");
                    return;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_it_is_looked_for_the_longer_is_the_pause() {
        let pause = |seconds| pause_after(Duration::from_secs(seconds)).as_millis();
        assert_eq!([pause(0), pause(4), pause(120), pause(3_600)], [100, 1_000, 30_000, 60_000]);
        assert_eq!([pause(36_000), pause(1_000_000)], [600_000, 900_000]);
    }
}
