//! steward.toml: what a process needs. Every key has a default; `STEWARD_GATEWAY__LISTEN` overrides `gateway.listen`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};
use steward_events::BoxError;

/// What a process needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where this installation keeps its files.
    pub(crate) data: PathBuf,
    /// What an acknowledgement survives.
    pub(crate) durability: Durability,
    /// The bus.
    pub(crate) bus: Bus,
    /// The edge.
    pub(crate) gateway: Gateway,
    /// Durable tasks.
    pub(crate) workers: Workers,
    /// Signed checkpoints of every tenant's history.
    pub(crate) transparency: Transparency,
    /// Logs and traces.
    pub(crate) telemetry: Telemetry,
}

/// What an acknowledgement survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Durability {
    /// The death of any process.
    #[default]
    ProcessCrash,
    /// Power loss too: refuses to start unless the bus syncs before it acknowledges.
    Strict,
}

/// The bus.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Bus {
    /// `own`: the nats-server that `steward up` or `steward bus` runs here. Or `nats://host:port,…`.
    pub(crate) url: String,
    /// Which nats-server to run; found on PATH if not set.
    pub(crate) program: Option<PathBuf>,
    /// Where our own listens; 0 takes a free port.
    pub(crate) port: u16,
    /// Copies of each stream; 3 needs a cluster.
    pub(crate) replicas: u8,
    /// Streams that tenants are spread over; fixed at the first start.
    pub(crate) shards: u16,
    /// Bytes of the log's disk that are kept for what must still be recorded when it is nearly full: with less, no calls are
    /// admitted. A tenth of the disk, at most 1 GiB, if not set.
    pub(crate) free_bytes_min: Option<u64>,
    /// Our server's place in a cluster; it is alone if not set.
    pub(crate) cluster: Option<Cluster>,
}

/// Our server's place in a cluster of several on this machine, each run by a `steward bus` with a folder of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    /// Its name among them.
    pub(crate) node: String,
    /// Where it listens for the others.
    pub(crate) port: u16,
    /// Where all of them listen for one another.
    pub(crate) ports: Vec<u16>,
}

/// The edge.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Gateway {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// How long a call that would fit soon waits before it is told 429.
    #[serde(with = "humantime_serde")]
    pub(crate) admission_wait_max: Duration,
    /// How long a provider may take to begin its answer.
    #[serde(with = "humantime_serde")]
    pub(crate) first_byte_time_max: Duration,
    /// How long a provider may pause within its answer.
    #[serde(with = "humantime_serde")]
    pub(crate) idle_time_max: Duration,
    /// How long a client may take to send its headers, and again its body; an idle connection is closed after it.
    #[serde(with = "humantime_serde")]
    pub(crate) receive_time_max: Duration,
    /// How long a client may leave its answer unread.
    #[serde(with = "humantime_serde")]
    pub(crate) client_stall_max: Duration,
    /// The most bytes of all requests' bodies held at once; a quarter of it with one key.
    pub(crate) bodies_bytes_max: usize,
}

/// Durable tasks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Workers {
    /// Tasks that this process drives at once.
    pub(crate) tasks_concurrent_max: u32,
    /// Silence after which a task passes to another worker.
    #[serde(with = "humantime_serde")]
    pub(crate) claim_timeout: Duration,
    /// Where workers reach models; the gateway of this configuration if not set.
    pub(crate) gateway_url: Option<String>,
}

/// Signed checkpoints of every tenant's history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Transparency {
    /// What this installation is called in checkpoints, best a domain of yours, e.g. `steward.example.com`; after its key
    /// if not set. Who verifies knows it by this name, so it does not change.
    pub(crate) name: Option<String>,
    /// A history that has grown is signed at most so often, unless somebody asks.
    #[serde(with = "humantime_serde")]
    pub(crate) checkpoint_every: Duration,
    /// Outside places that are handed every checkpoint: folders, and addresses to POST to.
    pub(crate) witnesses: Vec<String>,
}

/// Logs and traces.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Telemetry {
    /// `json` (ECS names) or `human`; if not set, `human` on a terminal and `json` elsewhere.
    pub(crate) logs: Option<Logs>,
    /// What is logged, e.g. `info` or `info,steward_gateway=debug`.
    pub(crate) filter: String,
    /// OTLP endpoint, e.g. `http://127.0.0.1:4317`; empty is off.
    pub(crate) otlp: String,
    /// Where roles without a gateway serve `/livez`, `/readyz` and `/metrics`; off if not set.
    pub(crate) listen: Option<SocketAddr>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Logs {
    /// One JSON object a line, with ECS names.
    Json,
    /// For eyes.
    Human,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./.steward"),
            durability: Durability::default(),
            bus: Bus::default(),
            gateway: Gateway::default(),
            workers: Workers::default(),
            transparency: Transparency::default(),
            telemetry: Telemetry::default(),
        }
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self {
            url: "own".to_owned(),
            program: None,
            port: 4222,
            replicas: 1,
            shards: 8,
            free_bytes_min: None,
            cluster: None,
        }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admission_wait_max: Duration::from_secs(2),
            first_byte_time_max: Duration::from_mins(2),
            idle_time_max: Duration::from_mins(1),
            receive_time_max: Duration::from_secs(20),
            client_stall_max: Duration::from_mins(1),
            bodies_bytes_max: 256 * 1024 * 1024,
        }
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self { tasks_concurrent_max: 16, claim_timeout: Duration::from_secs(30), gateway_url: None }
    }
}

impl Default for Transparency {
    fn default() -> Self {
        Self { name: None, checkpoint_every: Duration::from_secs(60), witnesses: Vec::new() }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { logs: None, filter: "info,async_nats=warn".to_owned(), otlp: String::new(), listen: None }
    }
}

impl Config {
    /// Reads `file` if it is there (it must be, if it was named), then the environment.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self, BoxError> {
        let path = file.unwrap_or_else(|| Path::new("steward.toml"));
        if file.is_some() && !path.is_file() {
            return Err(format!("there is no configuration file {}", path.display()).into());
        }
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if path.is_file() {
            figment = figment.merge(Toml::file_exact(path));
        }
        let ours = |first: &str| {
            ["data", "durability", "bus", "gateway", "workers", "transparency", "telemetry"].contains(&first)
        };
        let environment = Env::prefixed("STEWARD_").split("__").filter(move |key| {
            let first = key.as_str().split('.').next().unwrap_or_default();
            ours(&first.to_lowercase())
        });
        Ok(figment.merge(environment).extract()?)
    }

    /// The gateway as workers and this machine's users reach it.
    pub(crate) fn gateway_url(&self) -> String {
        self.workers.gateway_url.clone().unwrap_or_else(|| format!("http://{}", self.gateway.listen))
    }

    /// The operator's key, kept for this machine's command line.
    pub(crate) fn operator_key_file(&self) -> PathBuf {
        self.data.join("operator.key")
    }

    /// The master key, which wraps the data keys.
    pub(crate) fn master_key_file(&self) -> PathBuf {
        self.data.join("master.key")
    }

    /// The key that signs checkpoints.
    pub(crate) fn transparency_key_file(&self) -> PathBuf {
        self.data.join("transparency.key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("steward.toml");
        std::fs::write(&file, "[gateway]\nlisten_on = \"x\"\n").unwrap();
        let error = Config::read(Some(&file)).unwrap_err().to_string();
        assert!(error.contains("listen_on"), "{error}");
    }

    #[test]
    fn a_named_file_must_exist() {
        assert!(Config::read(Some(Path::new("/nowhere/steward.toml"))).is_err());
    }
}
