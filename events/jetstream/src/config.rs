//! The section `[bus]` of steward.toml.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::durability::Durability;
use crate::login::Logins;
use crate::provision;
use crate::serve::Requests;
use crate::server::{self, Cluster};

/// The value of [`Config::url`] that means a nats-server of our own.
const OWN: &str = "own";

/// Where the bus is, and how our own nats-server is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `own`: the nats-server that `steward up` or `steward bus` runs here. Or `nats://host:port,…`.
    pub url: String,
    /// Which nats-server to run; found on PATH if not set.
    pub program: Option<PathBuf>,
    /// Where our own listens; 0 takes a free port.
    pub port: u16,
    /// Threads on which our own works at once; half of the cores that there are, if not set. `GOMAXPROCS` in the
    /// environment goes before.
    pub threads: Option<NonZeroU16>,
    /// Copies of each stream; 3 needs a cluster.
    pub replicas: u8,
    /// Streams that tenants are spread over; fixed at the first start.
    pub shards: u16,
    /// Bytes of the log's disk that are kept for what must still be recorded when the disk is nearly full: with less, no
    /// calls are admitted. A tenth of the disk, at most 1 GiB, if not set.
    pub free_bytes_min: Option<u64>,
    /// Our server's place in a cluster; alone if not set.
    pub cluster: Option<Cluster>,
    /// What the roles that answer requests take of them at a time: for each noun or view.
    pub requests: Requests,
    /// How many connections callers have at once.
    pub logins: Logins,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: OWN.to_owned(),
            program: None,
            port: 4222,
            threads: None,
            replicas: 1,
            shards: 8,
            free_bytes_min: None,
            cluster: None,
            requests: Requests::default(),
            logins: Logins::default(),
        }
    }
}

impl Config {
    /// True if the nats-server is one of our own.
    pub fn is_own(&self) -> bool {
        self.url == OWN
    }

    /// Where the bus is, if it runs already.
    pub fn known_url(&self) -> String {
        if self.is_own() { format!("nats://127.0.0.1:{}", self.port) } else { self.url.clone() }
    }

    /// How our own server is run, with its files in `data_dir`.
    pub fn server(&self, data_dir: &Path, durability: Durability) -> server::Options {
        server::Options {
            data_dir: data_dir.to_owned(),
            program: self.program.clone(),
            port: (self.port != 0).then_some(self.port),
            durability,
            threads: self.threads,
            cluster: self.cluster.clone(),
        }
    }

    /// What the streams must be.
    pub fn streams(&self, durability: Durability) -> provision::Options {
        provision::Options {
            replicas: u32::from(self.replicas),
            durability,
            syncs_always: self.is_own() && durability == Durability::Strict,
        }
    }
}
