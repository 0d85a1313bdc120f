//! Who could do what at a past moment: the same fold that decides today, ended earlier.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steward_events::commit::Commit;
use steward_events::id::TenantId;
use steward_events::quantity::{Position, Shard};
use steward_events::shard::STEWARD_SHARD;
use steward_events::timestamp::Timestamp;
use steward_events::view::View;
use steward_ports::clock::Clock;
use steward_ports::log::{EventLog, Filter, LogError};

use crate::engine::reading;

/// A moment is past for good only when no handler can still stamp something before it.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// Folds of moments of the past, the latest asked for kept.
pub struct PastViews<V> {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    held: Mutex<VecDeque<(TenantId, Timestamp, Arc<V>)>>,
    held_max: usize,
}

impl<V: View> PastViews<V> {
    /// Keeps `held_max` moments.
    pub fn new(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>, held_max: usize) -> Self {
        Self { log, clock, held: Mutex::default(), held_max }
    }

    /// The view of `tenant`, which lives in `shard`, as it was at `at`, with what the reserved tenant held then.
    ///
    /// # Errors
    /// If the log cannot be read, or not within `time_max`.
    pub async fn at(
        &self,
        shard: Shard,
        tenant: &TenantId,
        at: Timestamp,
        time_max: Duration,
    ) -> Result<Arc<V>, reading::Error> {
        if let Some(view) = self.held(tenant, at) {
            return Ok(view);
        }
        let mut view = V::default();
        let steward = TenantId::steward();
        self.fold(&mut view, STEWARD_SHARD, &steward, at, time_max).await?;
        if *tenant != steward {
            self.fold(&mut view, shard, tenant, at, time_max).await?;
        }
        let view = Arc::new(view);
        if at.plus(SETTLED_AFTER) < self.clock.now() {
            self.hold(tenant, at, &view);
        }
        Ok(view)
    }

    async fn fold(
        &self,
        view: &mut V,
        shard: Shard,
        tenant: &TenantId,
        at: Timestamp,
        time_max: Duration,
    ) -> Result<(), reading::Error> {
        let filter = Filter::shard(shard).tenant(tenant).kinds(V::KINDS);
        let mut damage = None;
        reading::each(&*self.log, &filter, Position(0), time_max, |stored| {
            match Commit::decode(&stored.stream, &stored.bytes) {
                Ok(commit) => {
                    // Times rise within a stream but not from one stream to another: every commit is looked at.
                    for recorded in commit.recorded(stored.position).filter(|recorded| recorded.entry.at <= at) {
                        view.apply(&recorded);
                    }
                    true
                }
                Err(error) => {
                    damage = Some(error);
                    false
                }
            }
        })
        .await?;
        damage.map_or(Ok(()), |error| Err(LogError::Unreadable(error).into()))
    }

    fn held(&self, tenant: &TenantId, at: Timestamp) -> Option<Arc<V>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().find(|(of, when, _)| of == tenant && *when == at).map(|(_, _, view)| Arc::clone(view))
    }

    fn hold(&self, tenant: &TenantId, at: Timestamp, view: &Arc<V>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push_back((tenant.clone(), at, Arc::clone(view)));
        while held.len() > self.held_max {
            held.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_events::commit::Recorded;
    use steward_events::event::AggregateKind;
    use steward_ports::clock::ManualClock;
    use steward_ports::log::memory::MemoryLog;

    use super::*;

    #[derive(Default)]
    struct Nothing;

    impl View for Nothing {
        const KINDS: &'static [AggregateKind] = &[AggregateKind::Access];
        fn apply(&mut self, _: &Recorded<'_>) {}
    }

    #[tokio::test]
    async fn only_settled_past_moments_are_kept_within_a_bound() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(100_000_000)));
        let past = PastViews::<Nothing>::new(Arc::new(MemoryLog::default()), clock, 2);
        let acme = TenantId::new("acme").unwrap();
        for (second, held) in [(1, 1), (2, 2), (2, 2), (3, 2), (89, 2), (90, 2), (95, 2)] {
            let at = Timestamp(second * 1_000_000);
            past.at(Shard(0), &acme, at, Duration::from_secs(5)).await.unwrap();
            assert_eq!(past.held.lock().unwrap().len(), held);
        }
        assert!(past.held(&acme, Timestamp(89_000_000)).is_some());
        assert!(past.held(&acme, Timestamp(95_000_000)).is_none(), "a handler may still stamp an event before it");
    }
}
