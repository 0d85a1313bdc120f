//! steward.toml: what a process needs. Each section is the `Config` of the crate that it is for, where its defaults are;
//! a new setting is one field there. `STEWARD_GATEWAY__LISTEN` overrides `gateway.listen`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward_events::BoxError;

mod page;
mod settings;
mod sources;
mod unknown;

pub use page::page;
pub use settings::{Setting, settings};
pub use sources::{Effective, Source};
pub use steward_jetstream::Durability;

/// What a process needs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The folder in which this installation keeps its files.
    pub data: PathBuf,
    /// What an acknowledgement survives.
    pub durability: Durability,
    /// Where the master key is, as `file:PATH`; the file `master.key` in the data folder if not set. It wraps the data
    /// keys: without it sealed content is gone.
    pub master_key: Option<String>,
    /// The bus: where it is, and how our own nats-server is run.
    pub bus: steward_jetstream::Config,
    /// The role that decides: bounds of the handler of commands.
    pub aggregates: steward_handler::HandlerConfig,
    /// The role that keeps read models and answers queries.
    pub projectors: steward_projectors::Config,
    /// The store in which the read models are kept.
    pub store: steward_sled::Config,
    /// The role that callers reach.
    pub gateway: steward_gateway::Config,
    /// Calls to providers: their bounds, and where providers may be.
    pub providers: steward_providers::Config,
    /// The role that runs process managers and durable tasks.
    pub workers: steward_workers::Config,
    /// Signed checkpoints of every tenant's history.
    pub transparency: steward_workers::config::Transparency,
    /// Channels, by which people and machines are told.
    pub channels: steward_workers::config::Channels,
    /// The mail server of channels that write mails.
    pub mail: steward_workers::config::Mail,
    /// Logs, traces, and where a process tells how it is.
    pub telemetry: steward_observability::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./.steward"),
            durability: Durability::default(),
            master_key: None,
            bus: steward_jetstream::Config::default(),
            aggregates: steward_handler::HandlerConfig::default(),
            projectors: steward_projectors::Config::default(),
            store: steward_sled::Config::default(),
            gateway: steward_gateway::Config::default(),
            providers: steward_providers::Config::default(),
            workers: steward_workers::Config::default(),
            transparency: steward_workers::config::Transparency::default(),
            channels: steward_workers::config::Channels::default(),
            mail: steward_workers::config::Mail::default(),
            telemetry: steward_observability::Config::default(),
        }
    }
}

impl Config {
    /// Reads `file` if it is there (it must be, if it was named), then the environment.
    ///
    /// # Errors
    /// What is wrong with which setting of which file or variable.
    pub fn read(file: Option<&Path>) -> Result<Self, BoxError> {
        let config: Self = sources::figment(file)?.extract()?;
        match config.master_key.as_deref() {
            Some(reference) if !reference.starts_with("file:") => {
                Err(format!("master_key {reference:?} is not of the form file:PATH").into())
            }
            _ => Ok(config),
        }
    }

    /// The gateway as workers and this machine's users reach it.
    pub fn gateway_url(&self) -> String {
        self.workers.gateway_url.clone().unwrap_or_else(|| format!("http://{}", self.gateway.listen))
    }

    /// The operator's key, kept for this machine's command line.
    pub fn operator_key_file(&self) -> PathBuf {
        self.data.join("operator.key")
    }

    /// The master key, which wraps the data keys.
    pub fn master_key_file(&self) -> PathBuf {
        let referred = self.master_key.as_deref().and_then(|reference| reference.strip_prefix("file:"));
        referred.map_or_else(|| self.data.join("master.key"), PathBuf::from)
    }

    /// The key that signs checkpoints.
    pub fn transparency_key_file(&self) -> PathBuf {
        self.data.join("transparency.key")
    }
}

#[cfg(test)]
mod tests;
