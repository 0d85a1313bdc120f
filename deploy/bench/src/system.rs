//! The system that is measured: a fresh folder, a nats-server, a mock upstream, and Steward's roles, each a process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use steward_events::BoxError;
use steward_jetstream::{Connection, Credentials, JetStreamLog, Role, server};

use super::load::{Call, Line};
use super::part::Part;
use super::upstream::UpstreamCounts;
use steward_node::client::Client;
use steward_node::config::{Config, Durability};

/// As many shards as an installation has that chooses nothing.
pub(super) const SHARDS: u16 = 8;

/// The mock upstream.
pub(super) struct Upstream {
    _part: Part,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Upstream {
    /// Starts one.
    pub(super) async fn start(folder: &Path) -> Result<Self, BoxError> {
        let mut part = Part::start(folder, "upstream", &["upstream"])?;
        let port = part.wait(async |part: &mut Part| {
            let said = part.said();
            Ok(said.strip_suffix('\n').and_then(|line| line.parse::<u16>().ok()))
        });
        let port = port.await?;
        Ok(Self { _part: part, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) })
    }

    /// What it counted.
    pub(super) async fn books(&self) -> Result<UpstreamCounts, BoxError> {
        let mut line = Line::connect(self.address).await?;
        line.call(&Call::get(self.address, "/books").bytes).await?;
        Ok(serde_json::from_str(&line.body())?)
    }
}

/// A place for an installation: its folder and its configuration.
pub(super) struct InstallationFolder {
    /// Everything of it.
    pub(super) folder: PathBuf,
    config: PathBuf,
    bus_port: u16,
}

impl InstallationFolder {
    /// A new folder `name` in `root`, configured with `durability` and a port that was free.
    pub(super) fn make(root: &Path, name: &str, durability: Durability, ours: &Config) -> Result<Self, BoxError> {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder)?;
        let program = server::find(ours.bus.program.as_deref())?;
        let bus_port = free_port()?;
        let (config, data) = (folder.join("steward.toml"), folder.join("data"));
        let text = toml::to_string(&json!({
            "data": data,
            "durability": durability,
            "bus": { "port": bus_port, "program": program, "shards": SHARDS },
        }))?;
        std::fs::write(&config, text)?;
        Ok(Self { folder, config, bus_port })
    }

    /// Starts a role of it, under `name`.
    pub(super) fn start(&self, name: &str, words: &[&str]) -> Result<Part, BoxError> {
        let config = self.config.to_string_lossy();
        let all: Vec<&str> = ["--config", &config].into_iter().chain(words.iter().copied()).collect();
        Part::start(&self.folder, name, &all)
    }

    /// Where its bus is.
    pub(super) fn bus_url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.bus_port)
    }

    /// Its operator's key.
    pub(super) fn operator_key(&self) -> Result<String, BoxError> {
        Ok(std::fs::read_to_string(self.folder.join("data/operator.key"))?.trim().to_owned())
    }

    /// How `role` of it gets onto the bus.
    pub(super) fn credentials(&self, role: Role) -> Result<Credentials, BoxError> {
        Ok(server::credentials(&self.folder.join("data"), &self.bus_url(), role)?)
    }

    /// A connection as `role`.
    pub(super) async fn connect(&self, role: Role) -> Result<Connection, BoxError> {
        Ok(Connection::connect(&self.credentials(role)?).await?)
    }

    /// Its log, as `role` sees it.
    pub(super) async fn log(&self, role: Role) -> Result<JetStreamLog, BoxError> {
        Ok(JetStreamLog::over(&self.connect(role).await?, SHARDS))
    }

    /// The process of its nats-server.
    pub(super) fn server_pid(&self) -> Result<u32, BoxError> {
        #[derive(Deserialize)]
        struct State {
            pid: u32,
        }
        let text = std::fs::read_to_string(self.folder.join("data/nats/server.json"))?;
        Ok(serde_json::from_str::<State>(&text)?.pid)
    }

    /// Starts its bus; streams and first events are there then.
    pub(super) async fn start_bus(&self) -> Result<Part, BoxError> {
        let mut bus = self.start("bus", &["bus"])?;
        bus.wait_said(" ready on ").await?;
        Ok(bus)
    }

    /// Starts a gateway of it; returns when it is ready.
    pub(super) async fn start_gateway(&self, number: usize) -> Result<Gateway, BoxError> {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)).to_string();
        let part = self.start(&format!("gateway-{number}"), &["gateway", "--listen", &listen])?;
        let mut gateway = Gateway { part, address: listen.parse()? };
        wait_ready(&mut gateway.part, gateway.address).await?;
        Ok(gateway)
    }
}

/// A gateway's process.
pub(super) struct Gateway {
    part: Part,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Gateway {
    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.part.pid()
    }

    /// The operator of `place`, here.
    pub(super) fn operator(&self, place: &InstallationFolder) -> Result<Client, BoxError> {
        Client::new(&format!("http://{}", self.address), place.operator_key()?, None)
    }
}

/// Every role a process of its own. Parts end in the order in which they stand here.
pub(super) struct System {
    /// The edge, one or more.
    pub(super) gateways: Vec<Gateway>,
    /// Workers, projectors, deciders.
    roles: Vec<Part>,
    bus: Part,
    /// Where it is.
    pub(super) place: InstallationFolder,
}

impl System {
    /// Starts everything with so many gateways; returns when all of it is ready.
    pub(super) async fn start(place: InstallationFolder, gateways: usize) -> Result<Self, BoxError> {
        let bus = place.start_bus().await?;
        let mut system = Self { gateways: Vec::new(), roles: Vec::new(), bus, place };
        for role in ["aggregates", "workers", "projectors"] {
            let part = system.place.start(role, &[role])?;
            system.roles.push(part);
        }
        for role in &mut system.roles {
            role.wait_said(" ready on ").await?;
        }
        system.ensure_gateways(gateways).await?;
        Ok(system)
    }

    /// All its processes, nats-server included.
    pub(super) fn pids(&self) -> Result<Vec<u32>, BoxError> {
        let gateways = self.gateways.iter().map(Gateway::pid);
        let rest = self.roles.iter().chain([&self.bus]).map(Part::pid);
        Ok(gateways.chain(rest).chain([self.place.server_pid()?]).collect())
    }

    /// Starts more gateways until there are `count`.
    pub(super) async fn ensure_gateways(&mut self, count: usize) -> Result<(), BoxError> {
        while self.gateways.len() < count {
            let gateway = self.place.start_gateway(self.gateways.len() + 1).await?;
            self.gateways.push(gateway);
        }
        Ok(())
    }
}

/// Waits until the gateway of `part` says that it is ready.
pub(super) async fn wait_ready(part: &mut Part, address: SocketAddr) -> Result<(), BoxError> {
    let call = Call::get(address, "/readyz");
    part.wait(async |_: &mut Part| {
        let Ok(mut line) = Line::connect(address).await else { return Ok(None) };
        let answer = line.call(&call.bytes).await;
        Ok(answer.is_ok_and(|answer| answer.status == 200).then_some(()))
    })
    .await
}

/// A port that nobody listens on, below those that the kernel hands to clients.
pub(super) fn free_port() -> Result<u16, BoxError> {
    for _ in 0..200 {
        let mut bytes = [0_u8; 2];
        getrandom::fill(&mut bytes)?;
        let port = 12_000 + u16::from_le_bytes(bytes) % 20_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no free port between 12000 and 32000".into())
}

/// Tries `probe` every few milliseconds until it has an answer.
pub(super) async fn until<T>(
    what: &str,
    time_max: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>, BoxError>,
) -> Result<T, BoxError> {
    let deadline = tokio::time::Instant::now() + time_max;
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        if tokio::time::Instant::now() > deadline {
            return Err(format!("{what}: not within {time_max:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
