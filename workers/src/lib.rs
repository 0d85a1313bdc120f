//! Process managers and durable tasks: events in, effects and commands out.
//!
//! This crate knows what follows from what was recorded: a placed tenant is opened, a lapsed lease is ended, a
//! submitted task is driven step by step. It must not decide what is allowed: it sends commands like everyone else, as
//! the principal `sys_worker`, and it calls models only through the gateway, with a key made for the task.

pub mod config;
mod orders;
pub mod process;
mod wake;

pub use config::Config;
pub use orders::{OrderError, Orders};

use std::sync::Arc;

use steward_events::bus::CommandBus;
use steward_events::clock::{Clock, Ids};
use steward_events::keys::Keyring;
use steward_events::log::EventLog;
use steward_events::timers::Timers;

/// What workers need from the world.
#[derive(Clone)]
pub struct WorkerPorts {
    /// The log, to follow.
    pub log: Arc<dyn EventLog>,
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
}
