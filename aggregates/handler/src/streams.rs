//! Which streams are folded in memory: one worker each, the least used ones let go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use steward_aggregates::aggregate::Aggregate;
use steward_aggregates::deciders::{ForAggregate, for_aggregate};
use steward_events::stream::StreamName;
use steward_ports::bus::Failure;
use tokio::sync::mpsc;

use crate::group_commit::{Env, Job, run};
use crate::stream::Folded;

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
    jobs: mpsc::Sender<Job>,
    used: u64,
}

impl Streams {
    pub(crate) fn new(env: Arc<Env>) -> Self {
        Self { env, open: Mutex::default() }
    }

    /// Queues a command for its stream.
    pub(crate) async fn send(&self, stream: &StreamName, job: Job) -> Result<(), Failure> {
        let entrance = self.entrance(stream)?;
        let sent = tokio::time::timeout(self.env.config.queue_wait_max, entrance.send(job)).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Failure("the stream's worker ended; send the command again".to_owned())),
            Err(_) => Err(Failure("too many commands wait for the same decision; send it again later".to_owned())),
        }
    }

    fn entrance(&self, stream: &StreamName) -> Result<mpsc::Sender<Job>, Failure> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.uses += 1;
        let used = open.uses;
        if let Some(entrance) = open.streams.get_mut(stream)
            && !entrance.jobs.is_closed()
        {
            entrance.used = used;
            return Ok(entrance.jobs.clone());
        }
        if open.streams.len() >= self.env.config.streams_max {
            open.let_go(self.env.config.streams_max);
        }
        let jobs = self.start(stream)?;
        open.streams.insert(stream.clone(), Entrance { jobs: jobs.clone(), used });
        Ok(jobs)
    }

    fn start(&self, stream: &StreamName) -> Result<mpsc::Sender<Job>, Failure> {
        let started = for_aggregate(stream.kind, Start { env: &self.env, stream });
        started.ok_or_else(|| Failure(format!("{} is a journal: it has no decider", stream.kind)))
    }
}

/// Starts the worker of a stream.
struct Start<'a> {
    env: &'a Arc<Env>,
    stream: &'a StreamName,
}

impl ForAggregate for Start<'_> {
    type Output = mpsc::Sender<Job>;

    fn run<A: Aggregate>(self) -> mpsc::Sender<Job> {
        let (jobs, queue) = mpsc::channel(self.env.config.queue_max.get());
        // It ends when its last sender is dropped, after deciding what was queued. Should a new worker of the same
        // stream start meanwhile, the two are rivals like any two replicas.
        tokio::spawn(run::<A>(Arc::clone(self.env), Folded::empty(self.stream.clone()), queue));
        jobs
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
