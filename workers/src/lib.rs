//! Process managers and durable tasks: events in, effects and commands out.
//!
//! This crate knows what follows from what was recorded: a placed tenant is opened, a lapsed lease is ended, a
//! submitted task is driven step by step, and who wants to know of something is told. It must not decide what is allowed: it
//! sends commands like everyone else, as the principal `sys_worker`, and it calls models only through the gateway, with a
//! key made for the task.

mod batch;
pub mod config;
mod dispatch;
mod driving;
mod notice;
pub mod pattern;
pub mod process;
mod step;
mod task;
mod wake;

pub use config::Config;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use steward_authority::Authority;
use steward_events::BoxError;
use steward_events::event::AggregateKind;
use steward_events::ids::Ids;
use steward_events::view::View;
use steward_ports::bus::CommandBus;
use steward_ports::clock::Clock;
use steward_ports::contents::ContentStore;
use steward_ports::keys::Keyring;
use steward_ports::live::Live;
use steward_ports::log::EventLog;
use steward_ports::log::shared::SharedLog;
use steward_ports::timers::Timers;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::batch::Batches;
use crate::batch::gateway::Gateway;
use crate::batch::open_batches::OpenBatches;
use crate::dispatch::Dispatch;
use crate::driving::worker::Worker;
use crate::driving::{Claimants, Keys, Work};
pub use crate::process::checkpoint_signing::Notary;
use crate::step::model::Models;
use crate::task::Tasks;
use crate::task::open_tasks::OpenTasks;

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
    /// Opens what tasks are about, and destroys the keys of who is erased.
    pub keyring: Arc<Keyring>,
    /// Contents beside the log, which go with their tenant.
    pub contents: Arc<dyn ContentStore>,
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
    gateway: Gateway,
    /// Which parts do not do their work, and why.
    unwell: Mutex<BTreeMap<&'static str, String>>,
}

/// Which kinds the part that drives tasks reads.
pub const TASKS_READ: &[AggregateKind] = OpenTasks::KINDS;

/// Which kinds the part that runs batches reads.
pub const BATCHES_READ: &[AggregateKind] = OpenBatches::KINDS;

/// The kinds of which its views hear at once.
fn followed_at_once() -> Vec<AggregateKind> {
    let managers = [
        process::tenant_placing::READS,
        process::task_ends::READS,
        process::checkpoint_signing::READS,
        process::channel_delivery::READS,
        process::erasure::READS,
    ];
    let mut kinds =
        [TASKS_READ, BATCHES_READ, Authority::KINDS].into_iter().chain(managers).flatten().copied().collect::<Vec<_>>();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The name of the part that drives tasks, beside those of the process managers.
const TASKS: &str = "tasks";

/// The name of the part that runs batches.
const BATCHES: &str = "batches";

impl Workers {
    /// Makes ready to run. The process must have installed a rustls provider before.
    ///
    /// # Errors
    /// If the gateway's address is not set, or is none.
    pub fn new(ports: WorkerPorts, config: Config) -> Result<Self, BoxError> {
        let url = config.gateway_url.as_deref().ok_or("workers.gateway_url is not set")?;
        let (models, gateway) = (Models::new(url)?, Gateway::new(url)?);
        // Several of its views read the same kinds: each commit is delivered and decoded once for all of them.
        let log = Arc::new(SharedLog::of_kinds(Arc::clone(&ports.log), &followed_at_once()));
        let ports = WorkerPorts { log, ..ports };
        let unwell = Mutex::new(BTreeMap::from([TASKS, BATCHES].map(|part| (part, "not started".to_owned()))));
        Ok(Self { ports, config, models, gateway, unwell })
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
        let authority: Arc<Keys> = Arc::new(Live::start(Arc::clone(&self.ports.log), Arc::clone(&self.ports.clock)));
        let claimants = Arc::new(Claimants::new(format!("w_{}", self.ports.ids.unique())));
        let tasks = Arc::new(Tasks {
            ports: self.ports.clone(),
            config: self.config.clone(),
            dispatch: Dispatch::new(&self.ports),
            models: self.models.clone(),
            live: Live::start(Arc::clone(&self.ports.log), Arc::clone(&self.ports.clock)),
            authority: Arc::clone(&authority),
            claimants: Arc::clone(&claimants),
        });
        let batches = Arc::new(Batches {
            ports: self.ports.clone(),
            config: self.config.clone(),
            dispatch: Dispatch::new(&self.ports),
            gateway: self.gateway.clone(),
            live: Live::start(Arc::clone(&self.ports.log), Arc::clone(&self.ports.clock)),
            authority,
            claimants,
            places: Semaphore::new(self.config.batch_calls_max.get() as usize),
        });
        self.start(TASKS, &tasks, &mut parts, &shutdown);
        self.start(BATCHES, &batches, &mut parts, &shutdown);
        tokio::select! {
            () = self.well(TASKS, &*tasks) => self.well(BATCHES, &*batches).await,
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

    /// Drives one kind of work, as a part of `parts`.
    fn start<W: Work>(
        &self,
        name: &'static str,
        work: &Arc<W>,
        parts: &mut JoinSet<(&'static str, Result<(), process::Error>)>,
        shutdown: &CancellationToken,
    ) {
        let (worker, shutdown) = (Worker::new(Arc::clone(work)), shutdown.clone());
        parts.spawn(async move { (name, worker.run(shutdown).await.map_err(process::Error::from)) });
        self.say(name, Some("reading the log".to_owned()));
    }

    /// Waits until what is open of one kind is known, and says so.
    async fn well<W: Work>(&self, name: &'static str, work: &W) {
        if wake::caught_up(work.live()).await.is_ok() {
            self.say(name, None);
        }
    }

    fn say(&self, part: &'static str, why: Option<String>) {
        let mut unwell = self.unwell.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => _ = unwell.insert(part, why),
            None => _ = unwell.remove(part),
        }
    }
}
