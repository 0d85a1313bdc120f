//! Where the bus is and with which credentials: our own server's, found by its data folder, or a configured one's.

use std::path::Path;

use steward_events::BoxError;
use steward_jetstream::server::{self, Secrets, Server, Supervised};
use steward_jetstream::{Connection, Credentials, Role};

use super::{Disk, Process, Tier};
use crate::config::{Config, Durability};

/// How the roles of this installation reach the bus.
pub(crate) struct Installation {
    config: Config,
    url: String,
}

/// Starts or adopts the nats-server of this installation.
pub(crate) async fn own_server(config: &Config) -> Result<Server, BoxError> {
    let options = server::Options {
        program: config.bus.program.clone(),
        port: (config.bus.port != 0).then_some(config.bus.port),
        durability: durability(config),
        cluster: config.bus.cluster.as_ref().map(|place| server::Cluster {
            node: place.node.clone(),
            port: place.port,
            ports: place.ports.clone(),
        }),
        ..server::Options::new(&config.data)
    };
    Ok(Server::start(options).await?)
}

/// The disk that holds the log, if it is on this machine.
pub(crate) fn disk(config: &Config) -> Result<Option<Disk>, BoxError> {
    let ours = config.bus.url == "own";
    ours.then(|| Disk::of(&config.data, config.bus.free_bytes_min)).transpose()
}

/// The disk that holds the log, watched once for all parts of this process, so that readiness and the gateway's refusals
/// begin and end together.
pub(super) fn watched_disk(process: &mut Process) -> Result<Option<Disk>, BoxError> {
    if process.disk.is_none()
        && let Some(disk) = disk(&process.config)?
    {
        let watched = disk.clone();
        process.health.check("disk", move || watched.room_for_calls());
        process.spawn(Tier::Core, "disk of the log", disk.clone().watch(process.core.clone()));
        process.disk = Some(disk);
    }
    Ok(process.disk.clone())
}

/// Starts our server again after each time that its disk was full: it takes nothing more for a log that it once could not
/// write, even when there is room again.
pub(crate) fn outlive_full_disks(process: &mut Process, server: &Supervised) -> Result<(), BoxError> {
    let Some(disk) = watched_disk(process)? else { return Ok(()) };
    let (again, shutdown) = (server.again(), process.core.clone());
    process.spawn(Tier::Core, "room for the log", async move {
        while shutdown.run_until_cancelled(disk.recovered()).await.is_some() {
            tracing::warn!("the disk was full and has room again; nats-server is started again");
            again();
        }
        Ok::<(), BoxError>(())
    });
    Ok(())
}

/// Takes over the credentials of the installation in `first`, whose cluster our server joins.
pub(crate) fn join_cluster(first: &Path, config: &Config) -> Result<(), BoxError> {
    let (ours, theirs) = (config.data.join("nats"), first.join("nats"));
    let of_first = Secrets::load(&theirs).map_err(|error| {
        format!("no bus credentials in {}: start its `steward bus` first ({error})", first.display())
    })?;
    if Secrets::load_or_copy(&ours, &theirs)? != of_first {
        let data = config.data.display();
        return Err(format!("{data} belongs to another cluster: choose another data folder").into());
    }
    Ok(())
}

/// What an acknowledgement survives, in the bus's words.
pub(super) fn durability(config: &Config) -> server::Durability {
    match config.durability {
        Durability::ProcessCrash => server::Durability::Process,
        Durability::Strict => server::Durability::Strict,
    }
}

impl Installation {
    /// On the server that this process runs.
    pub(crate) fn on(server: &Server, config: &Config) -> Self {
        Self { config: config.clone(), url: server.url().to_owned() }
    }

    /// On a server that runs already: the configured one, or our own, which its data folder names.
    pub(crate) fn find(config: &Config) -> Self {
        let url = if config.bus.url == "own" {
            format!("nats://127.0.0.1:{}", config.bus.port)
        } else {
            config.bus.url.clone()
        };
        Self { config: config.clone(), url }
    }

    /// Where the bus is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Of one role.
    pub(crate) fn credentials(&self, role: Role) -> Result<Credentials, BoxError> {
        server::credentials(&self.config.data, &self.url, role).map_err(|error| {
            format!(
                "no bus credentials in {}: run `steward up` or `steward bus` on this folder first ({error})",
                self.config.data.display()
            )
            .into()
        })
    }

    /// The seed with which logins are signed.
    pub(crate) fn login_seed(&self) -> Result<String, BoxError> {
        Ok(Secrets::load(&self.config.data.join("nats"))?.login_seed().to_owned())
    }

    /// A connection as one role.
    pub(crate) async fn connect(&self, role: Role) -> Result<Connection, BoxError> {
        let credentials = self.credentials(role)?;
        Connection::connect(&credentials).await.map_err(|error| {
            format!("the bus at {} cannot be reached: is `steward up` or `steward bus` running? ({error})", self.url)
                .into()
        })
    }
}
