//! How a nats-server of our own is run.

use std::num::NonZeroU16;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::durability::Durability;

/// Our server's place in a cluster of several on this machine, each run by a `steward bus` with a folder of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// This server's name, unique among them.
    pub node: String,
    /// Where this one listens for the others, on this machine.
    pub port: u16,
    /// Where all of them listen for one another.
    pub ports: Vec<u16>,
}

/// How to run the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where everything is kept; `nats/` within it is the server's.
    pub data_dir: PathBuf,
    /// The program; looked for if none is given (see [`super::find`]).
    pub program: Option<PathBuf>,
    /// The port on 127.0.0.1; a free one, the same at every start if it still is free, if none is given.
    pub port: Option<u16>,
    /// What an acknowledgement survives.
    pub durability: Durability,
    /// Threads on which it works at once; half of the cores that there are, if not given.
    pub threads: Option<NonZeroU16>,
    /// Its place among others, if there are others.
    pub cluster: Option<Cluster>,
}

impl Options {
    /// One server with everything in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            program: None,
            port: None,
            durability: Durability::default(),
            threads: None,
            cluster: None,
        }
    }
}
