//! Process managers and durable tasks: events in, effects and commands out.
//!
//! This crate knows what follows from what was recorded: a placed tenant is opened, a lapsed lease is ended, a
//! submitted task is driven step by step. It must not decide what is allowed: it sends commands like everyone else, as
//! the principal `sys_worker`, and it calls models only through the gateway, with a key made for the task.

pub mod config;
mod dispatch;
pub mod pattern;
pub mod process;
mod step;
mod task;
mod wake;

pub use config::Config;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use steward_aggregates::authority::Authority;
use steward_events::BoxError;
use steward_events::event::AggregateKind;
use steward_events::ids::Ids;
use steward_events::view::View;
use steward_ports::bus::CommandBus;
use steward_ports::clock::Clock;
use steward_ports::keys::Keyring;
use steward_ports::live::Live;
use steward_ports::log::EventLog;
use steward_ports::log::shared::SharedLog;
use steward_ports::timers::Timers;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatch;
pub use crate::process::checkpoint_signing::Notary;
use crate::step::model::Models;
use crate::task::Shared;
use crate::task::open_tasks::OpenTasks;
use crate::task::worker::Worker;

/// What workers need from the world.
#[derive(Clone)]
pub struct WorkerPorts {
    /// The log, to follow.
    pub log: Arc<dyn EventLog>,
    /// The same log, to follow what may come some milliseconds later, all that has gathered at once.
    pub paced: Arc<dyn EventLog>,
    /// The bus, to send commands as `sys_worker`.
    pub bus: Arc<dyn CommandBus>,
    /// Timers that survive every process.
    pub timers: Arc<dyn Timers>,
    /// Opens what tasks are about.
    pub keyring: Arc<Keyring>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// Signs checkpoints.
    pub notary: Arc<Notary>,
}

/// All of a worker process: its process managers, and the tasks it drives.
pub struct Workers {
    ports: WorkerPorts,
    config: Config,
    models: Models,
    /// Which parts do not do their work, and why.
    unwell: Mutex<BTreeMap<&'static str, String>>,
}

/// Which kinds the part that drives tasks reads.
pub const TASKS_READ: &[AggregateKind] = OpenTasks::KINDS;

/// The kinds of which its views hear at once.
fn followed_at_once() -> Vec<AggregateKind> {
    let managers = [process::tenant_placing::READS, process::task_ends::READS, process::checkpoint_signing::READS];
    let mut kinds = [TASKS_READ, Authority::KINDS].into_iter().chain(managers).flatten().copied().collect::<Vec<_>>();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The name of the part that drives tasks, beside those of the process managers.
const TASKS: &str = "tasks";

impl Workers {
    /// Makes ready to run. The process must have installed a rustls provider before.
    ///
    /// # Errors
    /// If the gateway's address is not set, or is none.
    pub fn new(ports: WorkerPorts, config: Config) -> Result<Self, BoxError> {
        let url = config.gateway_url.as_deref().ok_or("workers.gateway_url is not set")?;
        let models = Models::new(url)?;
        // Several of its views read the same kinds: each commit is delivered and decoded once for all of them.
        let log = Arc::new(SharedLog::of_kinds(Arc::clone(&ports.log), &followed_at_once()));
        let ports = WorkerPorts { log, ..ports };
        let unwell = Mutex::new(BTreeMap::from([(TASKS, "not started".to_owned())]));
        Ok(Self { ports, config, models, unwell })
    }

    /// Runs until told to stop; then finishes or gives up what it is doing. A part that cannot go on makes
    /// [`Self::ready`] say so and does not stop the others.
    ///
    /// # Errors
    /// [`process::Error`] of the first part that could not go on.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), process::Error> {
        let mut parts = JoinSet::new();
        for manager in process::ALL {
            let running = (manager.run)(&self.ports, &self.config, shutdown.clone());
            parts.spawn(async { (manager.name, running.await) });
        }
        let shared = Arc::new(Shared {
            ports: self.ports.clone(),
            config: self.config.clone(),
            dispatch: Dispatch::new(&self.ports),
            models: self.models.clone(),
            live: Live::start(Arc::clone(&self.ports.log), Arc::clone(&self.ports.clock)),
            authority: Live::start(Arc::clone(&self.ports.log), Arc::clone(&self.ports.clock)),
            worker: format!("w_{}", self.ports.ids.unique()),
            claims: AtomicU64::new(0),
        });
        let worker = Worker::new(Arc::clone(&shared));
        parts.spawn({
            let shutdown = shutdown.clone();
            async move { (TASKS, worker.run(shutdown).await.map_err(process::Error::from)) }
        });
        self.say(TASKS, Some("reading the log".to_owned()));
        tokio::select! {
            caught_up = wake::caught_up(&shared.live) => if caught_up.is_ok() { self.say(TASKS, None) },
            () = shutdown.cancelled() => {}
        }
        let mut outcome = Ok(());
        while let Some(ended) = parts.join_next().await {
            let (name, ended) = match ended {
                Ok(ended) => ended,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => continue,
            };
            if let Err(error) = ended {
                tracing::error!(part = name, error = %error, "a part of the workers has stopped");
                self.say(name, Some(error.to_string()));
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    /// Whether all parts do their work.
    ///
    /// # Errors
    /// Which do not, and why.
    pub fn ready(&self) -> Result<(), String> {
        let unwell = self.unwell.lock().unwrap_or_else(PoisonError::into_inner);
        if unwell.is_empty() {
            return Ok(());
        }
        Err(unwell.iter().map(|(part, why)| format!("{part}: {why}")).collect::<Vec<_>>().join("; "))
    }

    fn say(&self, part: &'static str, why: Option<String>) {
        let mut unwell = self.unwell.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => _ = unwell.insert(part, why),
            None => _ = unwell.remove(part),
        }
    }
}
