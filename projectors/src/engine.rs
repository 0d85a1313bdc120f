//! What every view needs and no view is: folding the log into rows, keeping them, and reading them for queries.
//!
//! The engine must not know any view.

use std::sync::Arc;

use steward_authority::Authority;
use steward_events::ids::Ids;
use steward_ports::clock::Clock;
use steward_ports::keys::Keyring;
use steward_ports::live::Live;
use steward_ports::log::EventLog;
use steward_ports::notes::Notes;
use steward_ports::store::Store;

pub mod by_age;
pub mod config;
pub mod key;
pub mod opening;
pub mod page;
pub(crate) mod places;
pub mod progress;
pub mod projector;
pub mod read_model;
pub mod reading;
pub mod rows;
pub mod runner;
pub mod view_store;

use config::Config;
use places::Places;
use projector::Projector;
use runner::Runner;

/// What read models need of the world.
#[derive(Clone)]
pub struct ProjectorPorts {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Where rows are kept.
    pub store: Arc<dyn Store>,
    /// Opens sealed content for those who may read it.
    pub keyring: Arc<Keyring>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids: of journals.
    pub ids: Arc<dyn Ids>,
}

/// What views are made of.
pub struct Engine {
    /// What they need of the world.
    pub ports: ProjectorPorts,
    /// How much and how long.
    pub config: Config,
    /// Who may do what, kept current.
    pub authority: Arc<Live<Authority>>,
    /// How many queries read at once.
    pub(crate) places: Arc<Places>,
    /// Where refusals and looks at what people did are noted.
    pub(crate) notes: Notes,
}

impl Engine {
    /// A runner of the projector `P`.
    pub fn runner<P: Projector>(&self) -> Arc<Runner<P>> {
        Arc::new(Runner::new(Arc::clone(&self.ports.log), &self.ports.store, self.config.clone()))
    }
}
