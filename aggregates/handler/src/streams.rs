//! Which streams are folded in memory, the least used ones let go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use steward_aggregates::aggregate::Aggregate;
use steward_aggregates::deciders::{ForAggregate, for_aggregate};
use steward_events::stream::StreamName;
use steward_ports::bus::Failure;

use crate::group_commit::Env;
use crate::lane::{Decides, Lane};

/// The streams that are open.
pub(crate) struct Streams {
    env: Arc<Env>,
    open: Mutex<OpenStreams>,
}

#[derive(Default)]
struct OpenStreams {
    streams: HashMap<StreamName, Entrance>,
    uses: u64,
}

struct Entrance {
    lane: Arc<dyn Decides>,
    used: u64,
}

impl Streams {
    pub(crate) fn new(env: Arc<Env>) -> Self {
        Self { env, open: Mutex::default() }
    }

    /// Where commands of `stream` wait. One that is let go decides what waits there all the same; should it be opened again
    /// meanwhile, the two are rivals like any two replicas.
    ///
    /// # Errors
    /// [`Failure`] if nothing is decided there.
    pub(crate) fn lane(&self, stream: &StreamName) -> Result<Arc<dyn Decides>, Failure> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.uses += 1;
        let used = open.uses;
        if let Some(entrance) = open.streams.get_mut(stream) {
            entrance.used = used;
            return Ok(Arc::clone(&entrance.lane));
        }
        if open.streams.len() >= self.env.config.streams_max {
            open.let_go(self.env.config.streams_max);
        }
        let lane = for_aggregate(stream.kind, Open { env: &self.env, stream })
            .ok_or_else(|| Failure(format!("{} is a journal: it has no decider", stream.kind)))?;
        open.streams.insert(stream.clone(), Entrance { lane: Arc::clone(&lane), used });
        Ok(lane)
    }
}

/// Opens a stream.
struct Open<'a> {
    env: &'a Arc<Env>,
    stream: &'a StreamName,
}

impl ForAggregate for Open<'_> {
    type Output = Arc<dyn Decides>;

    fn run<A: Aggregate>(self) -> Arc<dyn Decides> {
        Lane::<A>::new(Arc::clone(self.env), self.stream.clone())
    }
}

impl OpenStreams {
    /// Lets the least lately used eighth go.
    fn let_go(&mut self, streams_max: usize) {
        let mut used: Vec<u64> = self.streams.values().map(|entrance| entrance.used).collect();
        used.sort_unstable();
        let oldest = used.get(streams_max / 8).copied().unwrap_or(0);
        self.streams.retain(|_, entrance| entrance.used > oldest);
    }
}
