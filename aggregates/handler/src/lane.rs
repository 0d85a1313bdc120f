//! What waits for one stream, and whose turn it is to decide it.
//!
//! Whoever brings a command to a stream that nobody decides takes the turn and decides at once, in its own task: most
//! streams have one command at a time, and waking another task for it costs more than deciding it. What queues up while a
//! commit is on its way is the next one; a task of the stream's own goes on with that, so that no answer waits for a later
//! command's.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use steward_aggregates::aggregate::Aggregate;
use steward_events::commit::COMMIT_BYTES_MAX;
use steward_events::stream::StreamName;
use steward_ports::bus::Failure;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::group_commit::{Env, Job, Worker};

/// What a command may add to a commit beyond its own size, in bytes: an estimate to keep commits well below the bound.
const ENTRY_BYTES: usize = 2_048;

/// A stream, whatever its aggregate.
pub(crate) trait Decides: Send + Sync {
    /// Queues a command, and decides what waits if nobody does. The answer comes by the job's own channel.
    fn bring(self: Arc<Self>, job: Job) -> BoxFuture<'static, Result<(), Failure>>;
}

/// One stream's queue and decider.
pub(crate) struct Lane<A: Aggregate> {
    env: Arc<Env>,
    name: StreamName,
    room: Arc<Semaphore>,
    inside: Mutex<Inside<A>>,
}

struct Inside<A> {
    waiting: VecDeque<Waiting>,
    /// None while somebody has the turn.
    worker: Option<Box<Worker<A>>>,
}

struct Waiting {
    job: Job,
    /// Its place in the queue, given back when it is taken out.
    _place: OwnedSemaphorePermit,
}

impl<A: Aggregate> Lane<A> {
    /// A stream of which nothing is known yet.
    pub(crate) fn new(env: Arc<Env>, name: StreamName) -> Arc<Self> {
        let worker = Some(Worker::new(&env, &name));
        let room = Arc::new(Semaphore::new(env.config.queue_max.get()));
        Arc::new(Self { env, name, room, inside: Mutex::new(Inside { waiting: VecDeque::new(), worker }) })
    }

    fn inside(&self) -> MutexGuard<'_, Inside<A>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(place) = Arc::clone(&self.room).try_acquire_owned() {
            return Ok(place);
        }
        match tokio::time::timeout(self.env.config.queue_wait_max, Arc::clone(&self.room).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Failure("too many commands wait for the same decision; send it again later".to_owned())),
        }
    }

    async fn bring_in(self: Arc<Self>, job: Job) -> Result<(), Failure> {
        let place = self.place().await?;
        let worker = {
            let mut inside = self.inside();
            inside.waiting.push_back(Waiting { job, _place: place });
            inside.worker.take()
        };
        let Some(worker) = worker else { return Ok(()) };
        let mut turn = Turn { lane: self, worker: Some(worker), own_task: false };
        // A stream that has to be read first may be long: that is for a task of its own.
        if turn.is_ready() {
            // What arrived together is looked at first: its commands for this stream go into the same commit, and commits
            // of others leave in the same write.
            tokio::task::yield_now().await;
            turn.decide().await;
        }
        Ok(())
    }
}

impl<A: Aggregate> Decides for Lane<A> {
    fn bring(self: Arc<Self>, job: Job) -> BoxFuture<'static, Result<(), Failure>> {
        self.bring_in(job).boxed()
    }
}

/// The right to decide a stream. Who lets go of it passes it on if something waits.
struct Turn<A: Aggregate> {
    lane: Arc<Lane<A>>,
    worker: Option<Box<Worker<A>>>,
    /// In a task that does nothing else.
    own_task: bool,
}

impl<A: Aggregate> Turn<A> {
    fn is_ready(&self) -> bool {
        self.worker.as_ref().is_some_and(|worker| worker.is_ready())
    }

    /// Decides what waits, as one commit if that can hold it.
    async fn decide(&mut self) {
        let batch = self.lane.inside().take_batch(self.lane.env.config.batch_max.get());
        if let Some(worker) = &mut self.worker
            && !batch.is_empty()
        {
            worker.settle_or_split(batch).await;
        }
    }

    /// Decides until nothing waits.
    async fn go_on(mut self) {
        while !self.rests() {
            self.decide().await;
        }
    }

    /// Gives the turn back if nothing waits.
    fn rests(&mut self) -> bool {
        let mut inside = self.lane.inside();
        if inside.waiting.is_empty() {
            inside.worker = self.worker.take();
        }
        self.worker.is_none()
    }
}

impl<A: Aggregate> Drop for Turn<A> {
    fn drop(&mut self) {
        let Some(worker) = self.worker.take() else { return };
        // Left in the middle of a decision: nobody knows what of it is recorded, so the stream is read again.
        let worker = if worker.is_settled() { worker } else { Worker::new(&self.lane.env, &self.lane.name) };
        let mut inside = self.lane.inside();
        if self.own_task {
            // It broke, or the process ends. Whoever waits hears that the decision was lost.
            inside.waiting.clear();
        }
        if inside.waiting.is_empty() {
            inside.worker = Some(worker);
            return;
        }
        drop(inside);
        let next = Turn { lane: Arc::clone(&self.lane), worker: Some(worker), own_task: true };
        self.lane.env.runtime.spawn(next.go_on());
    }
}

impl<A> Inside<A> {
    /// The commands of the next commit.
    fn take_batch(&mut self, count_max: usize) -> Vec<Job> {
        let (mut bytes, mut count) = (0, 0);
        for waiting in self.waiting.iter().take(count_max) {
            bytes += waiting.job.bytes + ENTRY_BYTES;
            if count > 0 && bytes > COMMIT_BYTES_MAX / 2 {
                break;
            }
            count += 1;
        }
        self.waiting.drain(..count).map(|waiting| waiting.job).collect()
    }
}
