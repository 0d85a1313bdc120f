//! Where the bus is and with which credentials: our own server's, found by its data folder, or a configured one's.

use std::path::Path;

use steward_events::BoxError;
use steward_jetstream::server::{self, Secrets, Server, Supervised};
use steward_jetstream::{Connection, Credentials, Role};

use super::{Disk, Process, Tier};
use crate::config::Config;

/// How the roles of this installation reach the bus.
pub struct Installation {
    config: Config,
    url: String,
}

/// Starts or adopts the nats-server of this installation.
///
/// # Errors
/// Why there is none.
pub async fn own_server(config: &Config) -> Result<Server, BoxError> {
    Ok(Server::start(config.bus.server(&config.data, config.durability)).await?)
}

/// The disk that holds the log, if it is on this machine.
pub fn disk(config: &Config) -> Result<Option<Disk>, BoxError> {
    config.bus.is_own().then(|| Disk::of(&config.data, config.bus.free_bytes_min)).transpose()
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
pub fn outlive_full_disks(process: &mut Process, server: &Supervised) -> Result<(), BoxError> {
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
pub fn join_cluster(first: &Path, config: &Config) -> Result<(), BoxError> {
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

impl Installation {
    /// On the server that this process runs.
    pub fn on(server: &Server, config: &Config) -> Self {
        Self { config: config.clone(), url: server.url().to_owned() }
    }

    /// On a server that runs already: the configured one, or our own, which its data folder names.
    pub fn find(config: &Config) -> Self {
        Self { config: config.clone(), url: config.bus.known_url() }
    }

    /// Where the bus is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Of one role.
    pub fn credentials(&self, role: Role) -> Result<Credentials, BoxError> {
        server::credentials(&self.config.data, &self.url, role).map_err(|error| {
            format!(
                "no bus credentials in {}: run `steward up` or `steward bus` on this folder first ({error})",
                self.config.data.display()
            )
            .into()
        })
    }

    /// The seed with which logins are signed.
    pub fn login_seed(&self) -> Result<String, BoxError> {
        Ok(Secrets::load(&self.config.data.join("nats"))?.login_seed().to_owned())
    }

    /// A connection as one role.
    pub async fn connect(&self, role: Role) -> Result<Connection, BoxError> {
        let credentials = self.credentials(role)?;
        Connection::connect(&credentials).await.map_err(|error| {
            format!("the bus at {} cannot be reached: is `steward up` or `steward bus` running? ({error})", self.url)
                .into()
        })
    }
}
