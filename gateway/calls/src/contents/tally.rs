//! How many bytes each tenant keeps beside the log, so that none fills the disk that all share.
//!
//! Every gateway counts what it writes, by the hour in which that ends, and adds it once a second to the tenant's tally,
//! which lies beside the log too. So a bound may be passed by what all gateways write within a second, and a gateway that
//! is killed forgets as much; what ended counts no more, so nothing of that lasts. Files are not counted here: the log
//! knows them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steward_events::id::TenantId;
use steward_events::request::Format;
use steward_events::timestamp::Timestamp;
use steward_ports::clock::Clock;
use steward_ports::contents::{Before, Revision};

use super::TenantContents;
use crate::error::Error;

/// The kind of this content, and its only id.
const KIND: &str = "tally";
const ID: &str = "tally";

/// What is counted is added to the tally that all gateways share as often as this.
const ADD_EVERY: Duration = Duration::from_secs(1);

/// What is counted for a content beside its bytes: its name, its headers, its place in the store.
const OVERHEAD_BYTES: u64 = 256;

/// How long a tally is kept after the last of what it counts.
const SLACK: Duration = Duration::from_hours(2);

/// The tallies of all tenants in one process.
pub(crate) struct Tallies {
    clock: Arc<dyn Clock>,
    /// The most bytes of one tenant.
    bytes_max: u64,
    known: Mutex<HashMap<TenantId, Arc<Tally>>>,
}

/// One tenant's.
pub(crate) struct Tally {
    clock: Arc<dyn Clock>,
    bytes_max: u64,
    state: Mutex<State>,
    /// Held by whoever adds to the shared one.
    adding: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    shared: Hours,
    revision: Option<Revision>,
    /// When the shared one was last read, by the monotonic clock.
    read_at: Option<Duration>,
    /// Counted here, and not yet in the shared one.
    pending: Hours,
}

/// Bytes by the hour, since 1970, in which they end. What was removed early is taken off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Hours(BTreeMap<u64, i64>);

/// How long something is kept, and how much it is.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    /// The hour in which it ends.
    pub(super) ends: u64,
    pub(super) bytes: i64,
}

impl Tallies {
    /// None is known yet.
    pub(crate) fn new(clock: Arc<dyn Clock>, bytes_max: u64) -> Self {
        Self { clock, bytes_max, known: Mutex::default() }
    }

    /// That of `tenant`.
    pub(super) fn of(&self, tenant: &TenantId) -> Arc<Tally> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = known.get(tenant) {
            return Arc::clone(tally);
        }
        let tally = Arc::new(Tally::new(Arc::clone(&self.clock), self.bytes_max));
        known.insert(tenant.clone(), Arc::clone(&tally));
        tally
    }
}

impl Tally {
    pub(crate) fn new(clock: Arc<dyn Clock>, bytes_max: u64) -> Self {
        Self { clock, bytes_max, state: Mutex::default(), adding: tokio::sync::Mutex::default() }
    }

    /// What `bytes` that are kept for so long from now count for.
    pub(super) fn counted(&self, bytes: usize, kept_for: Duration) -> Counted {
        let bytes = (bytes as u64).saturating_add(OVERHEAD_BYTES);
        Counted { ends: hour(self.clock.now().plus(kept_for)), bytes: i64::try_from(bytes).unwrap_or(i64::MAX) }
    }

    /// Counts what was written.
    pub(super) fn add(&self, counted: Counted) {
        self.state().pending.add(counted);
    }

    /// Counts what was removed before its end.
    pub(super) fn take_off(&self, counted: Counted) {
        self.state().pending.add(Counted { bytes: -counted.bytes, ..counted });
    }

    /// That the tenant may keep more, by what the gateways say together.
    ///
    /// # Errors
    /// [`Error::KeepsTooMuch`]; [`Error::Unavailable`] if nobody can say.
    pub(super) async fn check_room(&self, contents: &TenantContents) -> Result<(), Error> {
        self.share(contents).await?;
        let state = self.state();
        let now = hour(self.clock.now());
        let kept = state.shared.bytes(now).saturating_add(state.pending.bytes(now));
        let kept = u64::try_from(kept).unwrap_or_default();
        if kept < self.bytes_max {
            return Ok(());
        }
        Err(Error::KeepsTooMuch { kept, bytes_max: self.bytes_max })
    }

    /// Adds what was counted here to the shared tally and learns what others counted, unless that was done just now.
    async fn share(&self, contents: &TenantContents) -> Result<(), Error> {
        let is_due =
            |state: &State| state.read_at.is_none_or(|at| self.clock.monotonic().saturating_sub(at) >= ADD_EVERY);
        if !is_due(&self.state()) {
            return Ok(());
        }
        let _adding = self.adding.lock().await;
        if !is_due(&self.state()) {
            return Ok(());
        }
        let found = contents.get(KIND, ID).await?;
        let (shared, revision) = match &found {
            Some((bytes, revision)) => (Format::MessagePack.read(bytes).unwrap_or_default(), Some(*revision)),
            None => (Hours::default(), None),
        };
        let pending = {
            let mut state = self.state();
            (state.shared, state.revision, state.read_at) = (shared, revision, Some(self.clock.monotonic()));
            state.pending.clone()
        };
        if !pending.0.is_empty() {
            self.write(contents, pending).await?;
        }
        Ok(())
    }

    /// Writes the shared tally with `pending` in it. Where another gateway was sooner, the next time does.
    async fn write(&self, contents: &TenantContents, pending: Hours) -> Result<(), Error> {
        let now = self.clock.now();
        let (mut sum, revision) = {
            let state = self.state();
            (state.shared.clone(), state.revision)
        };
        sum.0.retain(|ends, _| *ends >= hour(now));
        pending.0.iter().for_each(|(ends, bytes)| sum.add(Counted { ends: *ends, bytes: *bytes }));
        let last = sum.0.last_key_value().map_or(0, |(ends, _)| ends.saturating_sub(hour(now)));
        let kept_for = Duration::from_secs(last.saturating_mul(HOUR_S)).saturating_add(SLACK);
        let bytes = Format::MessagePack.write(&sum).unwrap_or_default();
        let before = revision.map_or(Before::Nothing, Before::Exactly);
        if let Some(revision) = contents.put_uncounted((KIND, ID), &bytes, kept_for, before).await? {
            let mut state = self.state();
            (state.shared, state.revision) = (sum, Some(revision));
            for (ends, bytes) in pending.0 {
                state.pending.add(Counted { ends, bytes: -bytes });
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const HOUR_S: u64 = 3_600;

/// The hour in which `at` lies, since 1970.
const fn hour(at: Timestamp) -> u64 {
    at.0 / (HOUR_S * 1_000_000)
}

impl Hours {
    fn add(&mut self, Counted { ends, bytes }: Counted) {
        let held = self.0.entry(ends).or_default();
        *held = held.saturating_add(bytes);
        if *held == 0 {
            self.0.remove(&ends);
        }
    }

    /// What has not ended before the hour `now`.
    fn bytes(&self, now: u64) -> i64 {
        self.0.range(now..).fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }
}

#[cfg(test)]
mod tests;
