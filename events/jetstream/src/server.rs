//! A nats-server of our own: found, configured, started, adopted after a crash, stopped.
//!
//! The server outlives the process that started it (a kill -9 leaves it running, and that is good: nothing is lost). The
//! next start finds it by its state file, makes sure by the command line that it is ours, and adopts it if it is
//! healthy and configured as wanted; otherwise it is ended, by its process id, and another is started. If the server dies
//! while its steward lives, a supervised one is started again on the same port.

use std::fs::{self, File, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use steward_events::BoxError;
use tokio::time::Instant;

use crate::api;
use crate::connection::{Connection, Credentials};
use crate::role::Role;

mod config;
mod error;
mod files;
mod options;
mod process;
mod program;
mod secrets;
mod supervise;

pub use error::ServerError;
pub use options::{Cluster, Options};
pub use program::{ProgramError, VERSION_MIN, find};
pub use secrets::Secrets;
pub use supervise::Supervised;

use files::create_private_dir;
use process::{Launch, Process, State};

/// The longest that a server may take until it answers.
pub const READY_TIME_MAX: Duration = Duration::from_secs(30);

/// How long the port of the last start is waited for.
const PORT_WAIT_MAX: Duration = Duration::from_secs(5);

/// A running nats-server of our own.
#[derive(Debug)]
pub struct Server {
    url: String,
    secrets: Secrets,
    process: Process,
    adopted: bool,
    /// Held as long as this process answers for the server.
    _lock: File,
}

impl Server {
    /// Adopts the server that runs there already, or starts one; returns when it answers.
    pub async fn start(options: Options) -> Result<Self, ServerError> {
        let program = program::find(options.program.as_deref())?;
        program::check_version(&program).await?;
        let dir = absolute(&options.data_dir)?.join("nats");
        create_private_dir(&dir)?;
        let lock = lock(&dir)?;
        let secrets = Secrets::load_or_generate(&dir)?;
        let launch = Launch { program, dir: dir.clone(), threads: options.threads };
        let left_behind = process::left_behind(&launch).await?;
        let port = match (options.port, &left_behind) {
            (Some(port), _) => port,
            (None, Some(running)) => running.state.port,
            (None, None) => match State::read(&dir)? {
                Some(state) if becomes_free(state.port).await => state.port,
                Some(State { port, .. }) => {
                    tracing::warn!(port, "another program has the port of the nats-server; taking another port");
                    free_port()?
                }
                None => free_port()?,
            },
        };
        let text = config::render(&config::Wanted { dir: &dir, port, options: &options, secrets: &secrets });
        let url = local_url(port);
        if let Some(running) = left_behind {
            let same = fs::read_to_string(config::path(&dir)).is_ok_and(|written| written == text);
            if same && is_ready(&url, &secrets, Duration::from_secs(5)).await.is_ok() {
                tracing::info!(process.pid = running.state.pid, port, "adopted the nats-server that was running");
                return Ok(Self { url, secrets, process: running, adopted: true, _lock: lock });
            }
            tracing::warn!(process.pid = running.state.pid, "ending a nats-server that is not as wanted");
            running.stop().await?;
        }
        config::write(&dir, &text)?;
        let process = run(launch, &url, port, &secrets).await?;
        tracing::info!(process.pid = process.state.pid, port, "nats-server started");
        Ok(Self { url, secrets, process, adopted: false, _lock: lock })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    pub const fn pid(&self) -> u32 {
        self.process.state.pid
    }

    /// True if it was running already.
    pub const fn was_adopted(&self) -> bool {
        self.adopted
    }

    /// True as long as its process lives.
    pub async fn is_running(&self) -> bool {
        self.process.is_running().await
    }

    /// How a part of Steward connects to it.
    pub fn credentials(&self, role: Role) -> Credentials {
        Credentials::role(&self.url, role, self.secrets.password(role))
    }

    /// The seed with which logins are signed: for [`crate::login::serve`].
    pub fn login_seed(&self) -> &str {
        self.secrets.login_seed()
    }

    /// All of the above, for configuration of other processes.
    pub const fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Starts it again whenever it dies, until [`Supervised::stop`]. Must be called within a tokio runtime.
    pub fn supervise(self) -> Supervised {
        Supervised::begin(self)
    }

    /// Starts it again where it was, after its death.
    async fn start_again(&mut self) -> Result<(), ServerError> {
        let Process { launch, state, .. } = &self.process;
        self.process = run(launch.clone(), &self.url, state.port, &self.secrets).await?;
        self.adopted = false;
        Ok(())
    }

    /// Stops it; returns when it is gone.
    pub async fn stop(self) -> Result<(), ServerError> {
        self.process.stop().await
    }
}

/// The credentials that a server in `data_dir` was started with, for the other processes of the same machine.
pub fn credentials(data_dir: &Path, url: &str, role: Role) -> Result<Credentials, ServerError> {
    let secrets = Secrets::load(&data_dir.join("nats"))?;
    Ok(Credentials::role(url, role, secrets.password(role)))
}

/// Where the server of `data_dir` listens, or listened when it last ran: for the other processes of the same machine.
pub fn url(data_dir: &Path) -> Result<Option<String>, ServerError> {
    Ok(State::read(&data_dir.join("nats"))?.map(|state| local_url(state.port)))
}

fn local_url(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

fn absolute(path: &Path) -> Result<PathBuf, ServerError> {
    std::path::absolute(path).map_err(ServerError::file(path))
}

fn lock(dir: &Path) -> Result<File, ServerError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(ServerError::file(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServerError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(ServerError::File { path, source }),
    }
}

/// Whether nobody listens on `port` any more. Who was connected there looks for the server nowhere else, and a server that
/// was just killed may hold its port for a moment longer.
async fn becomes_free(port: u16) -> bool {
    let until = Instant::now() + PORT_WAIT_MAX;
    while TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
        if Instant::now() >= until {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

/// A port that nobody listens on now.
fn free_port() -> Result<u16, ServerError> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr();
    Ok(bind().map_err(ServerError::file(Path::new("127.0.0.1:0")))?.port())
}

/// Ready is: lets the administrator in, and JetStream answers.
async fn is_ready(url: &str, secrets: &Secrets, time_max: Duration) -> Result<(), BoxError> {
    let admin = Credentials::role(url, Role::Admin, secrets.password(Role::Admin));
    let connection = Connection::connect_within(&admin, time_max).await?;
    let answer = api::call::<_, serde_json::Value>(&connection.client, "$JS.API.INFO", &serde_json::Map::new()).await;
    connection.close().await;
    answer.map(|_| ()).map_err(Into::into)
}

/// Spawns the server; returns when it answers.
async fn run(launch: Launch, url: &str, port: u16, secrets: &Secrets) -> Result<Process, ServerError> {
    let mut process = Process::spawn(launch, port)?;
    match wait_until_ready(url, secrets, &mut process).await {
        Ok(()) => Ok(process),
        Err(reason) => {
            let log = process.log_tail();
            // It is no use to anybody, and the next attempt needs its port.
            let _ = process.stop().await;
            Err(ServerError::NotReady { reason, log })
        }
    }
}

async fn wait_until_ready(url: &str, secrets: &Secrets, process: &mut Process) -> Result<(), String> {
    let until = Instant::now() + READY_TIME_MAX;
    loop {
        let error = match is_ready(url, secrets, Duration::from_millis(200)).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if let Some(status) = process.exited() {
            return Err(format!("it ended with {status}"));
        }
        if Instant::now() >= until {
            return Err(format!("no answer within {READY_TIME_MAX:?}: {error}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
