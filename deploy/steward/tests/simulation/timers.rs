//! Timers that survive every simulated process, ring a little early or late, and again until they are done.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use steward_events::BoxError;
use steward_events::timestamp::Timestamp;
use steward_ports::timers::{Due, TimerKey, Timers};
use tokio::sync::mpsc;

use crate::env::Surroundings;

/// How long a listener has before a timer rings elsewhere.
const DONE_TIME_MAX: Duration = Duration::from_secs(8);

/// The broker's side.
pub(crate) struct SimTimers {
    around: Arc<Surroundings>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    set: BTreeMap<String, (u64, Timestamp)>,
    generations: u64,
    listeners: BTreeMap<String, Vec<mpsc::UnboundedSender<Ringing>>>,
}

struct Ringing {
    key: TimerKey,
    at: Timestamp,
    payload: Vec<u8>,
    done: Arc<AtomicBool>,
}

fn name(key: &TimerKey) -> String {
    format!("{}.{}.{}", key.kind, key.tenant, key.id)
}

impl SimTimers {
    pub(crate) fn new(around: Arc<Surroundings>) -> Arc<Self> {
        Arc::new(Self { around, state: Mutex::default() })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arm(self: &Arc<Self>, key: &TimerKey, at: Timestamp, payload: Vec<u8>) {
        let generation = {
            let mut state = self.state();
            state.generations += 1;
            let generation = state.generations;
            state.set.insert(name(key), (generation, at));
            generation
        };
        tokio::spawn(Arc::clone(self).ring(key.clone(), at, payload, generation));
    }

    async fn ring(self: Arc<Self>, key: TimerKey, at: Timestamp, payload: Vec<u8>, generation: u64) {
        let wait = at.since(self.around.time.now());
        let early = self.around.rng.millis(0, 12);
        tokio::time::sleep((wait + self.around.rng.millis(0, 8)).saturating_sub(early)).await;
        loop {
            if self.state().set.get(&name(&key)).is_none_or(|(current, _)| *current != generation) {
                return;
            }
            let done = Arc::new(AtomicBool::new(false));
            let heard = {
                let mut state = self.state();
                let listeners = state.listeners.entry(key.kind.clone()).or_default();
                listeners.retain(|listener| !listener.is_closed());
                let count = u64::try_from(listeners.len()).unwrap_or(0);
                let chosen = usize::try_from(self.around.rng.below(count)).unwrap_or(0);
                let ringing = Ringing { key: key.clone(), at, payload: payload.clone(), done: Arc::clone(&done) };
                listeners.get(chosen).is_some_and(|listener| listener.send(ringing).is_ok())
            };
            tokio::time::sleep(if heard { DONE_TIME_MAX } else { Duration::from_millis(300) }).await;
            if done.load(Ordering::Relaxed) {
                let mut state = self.state();
                if state.set.get(&name(&key)).is_some_and(|(current, _)| *current == generation) {
                    state.set.remove(&name(&key));
                }
                return;
            }
        }
    }
}

/// One process's way to the timers.
pub(crate) struct TimersPort {
    pub(crate) sim_timers: Arc<SimTimers>,
    pub(crate) process: Arc<crate::process::Process>,
}

#[async_trait]
impl Timers for TimersPort {
    async fn set(&self, key: &TimerKey, at: Timestamp, payload: Vec<u8>) -> Result<(), BoxError> {
        let around = &self.sim_timers.around;
        self.process.running().await;
        around.latency().await;
        if around.fault(6) {
            return Err("the timer may not have been set".into());
        }
        self.sim_timers.arm(key, at, payload);
        around.latency().await;
        self.process.running().await;
        if around.fault(6) { Err("no answer from the timers".into()) } else { Ok(()) }
    }

    async fn cancel(&self, key: &TimerKey) -> Result<(), BoxError> {
        self.sim_timers.state().set.remove(&name(key));
        Ok(())
    }

    async fn due(&self, kind: &str) -> Result<BoxStream<'static, Box<dyn Due>>, BoxError> {
        self.process.running().await;
        let (sender, receiver) = mpsc::unbounded_channel();
        self.sim_timers.state().listeners.entry(kind.to_owned()).or_default().push(sender);
        let process = Arc::clone(&self.process);
        let ringing = futures::stream::unfold((receiver, process), |(mut receiver, process)| async move {
            let ringing = receiver.recv().await?;
            process.running().await;
            Some((Box::new(ringing) as Box<dyn Due>, (receiver, process)))
        });
        Ok(ringing.boxed())
    }
}

#[async_trait]
impl Due for Ringing {
    fn key(&self) -> &TimerKey {
        &self.key
    }
    fn at(&self) -> Timestamp {
        self.at
    }
    fn payload(&self) -> &[u8] {
        &self.payload
    }
    async fn done(self: Box<Self>) -> Result<(), BoxError> {
        self.done.store(true, Ordering::Relaxed);
        Ok(())
    }
}
