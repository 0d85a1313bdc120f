//! The server as a process: spawned, recognised after a crash, ended by its id.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::num::{NonZero, NonZeroU16};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::config;
use super::error::ServerError;
use super::files::write_private;

/// How long the server may take to end in good order before it is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// How much of the server's log is shown with an error.
const LOG_TAIL_BYTES_MAX: u64 = 2_000;

/// What is written down about a running server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) pid: u32,
    pub(super) port: u16,
}

impl State {
    fn path(dir: &Path) -> PathBuf {
        dir.join("server.json")
    }

    /// What was written down; none if nothing was or it cannot be read: then there is nothing to adopt.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, ServerError> {
        let path = Self::path(dir);
        match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ServerError::File { path, source }),
        }
    }

    fn write(&self, dir: &Path) -> Result<(), ServerError> {
        write_private(&Self::path(dir), &serde_json::to_string(self).unwrap_or_default())
    }
}

/// How the server is run, at its start and whenever it is started again.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) dir: PathBuf,
    /// Threads on which it works at once.
    pub(super) threads: Option<NonZeroU16>,
}

/// How many threads of the server work at once, for those who run Go programs.
const THREADS: &str = "GOMAXPROCS";

impl Launch {
    /// Half of the cores, if nothing else was chosen: what asks the server runs beside it, and a server with more threads
    /// than it needs spends a fifth of its time on waking and stopping them.
    fn threads(&self) -> NonZeroU16 {
        self.threads.unwrap_or_else(|| {
            let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
            u16::try_from(cores / 2).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN)
        })
    }
}

/// A server process, spawned here or adopted.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) state: State,
    pub(super) launch: Launch,
    /// Only if it was spawned here.
    child: Option<Child>,
}

/// The server that an earlier process has left running, if it is ours.
pub(super) async fn left_behind(launch: &Launch) -> Result<Option<Process>, ServerError> {
    let Some(state) = State::read(&launch.dir)? else { return Ok(None) };
    let process = Process { state, launch: launch.clone(), child: None };
    Ok(if process.is_running().await { Some(process) } else { None })
}

impl Process {
    pub(super) fn spawn(launch: Launch, port: u16) -> Result<Self, ServerError> {
        let Launch { program, dir, .. } = &launch;
        let mut command = Command::new(program);
        command.arg("--config").arg(config::path(dir));
        // What is wrong with a configuration is said there, before there is a log.
        let said = fs::File::create(config::said_path(dir)).map_err(ServerError::file(dir))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        if std::env::var_os(THREADS).is_none() {
            command.env(THREADS, launch.threads().to_string());
        }
        // Not ended by a Ctrl-C meant for us: it is stopped last, after everything is written.
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn().map_err(ServerError::file(program))?;
        let pid = child.id().unwrap_or_default();
        let state = State { pid, port };
        state.write(dir)?;
        Ok(Self { state, launch, child: Some(child) })
    }

    /// How it ended, if it has and was spawned here.
    pub(super) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok().flatten()
    }

    /// How it ended, if it has; only that it did, if it was adopted.
    pub(super) async fn death(&mut self) -> Option<String> {
        if self.child.is_some() {
            return self.exited().map(|status| status.to_string());
        }
        (!self.is_running().await).then(|| "unknown: it was adopted".to_owned())
    }

    /// Asks it to end, waits, kills it if it does not.
    pub(super) async fn stop(mut self) -> Result<(), ServerError> {
        self.end().await
    }

    /// The same, to be started again.
    pub(super) async fn end(&mut self) -> Result<(), ServerError> {
        for (signal, time_max) in [("quit", STOP_TIME_MAX), ("stop", STOP_TIME_MAX)] {
            self.signal(signal).await;
            let until = Instant::now() + time_max;
            while Instant::now() < until {
                if self.exited().is_some() || !self.is_running().await {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let log = self.log_tail();
        Err(ServerError::NotReady { reason: format!("process {} does not end", self.state.pid), log })
    }

    /// The server's own command sends signals, so that none has to be sent from here: `quit` is SIGINT, `stop` SIGKILL.
    async fn signal(&self, signal: &str) {
        let mut command = Command::new(&self.launch.program);
        command.arg("--signal").arg(format!("{signal}={}", self.state.pid));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        match tokio::time::timeout(STOP_TIME_MAX, command.status()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "nats-server could not be signalled"),
            Err(_) => tracing::warn!("nats-server was not signalled in time"),
        }
    }

    /// True if a process with that id runs with our configuration: ids are used again, command lines tell.
    pub(super) async fn is_running(&self) -> bool {
        let ours = config::path(&self.launch.dir).to_string_lossy().into_owned();
        command_line(self.state.pid).await.is_some_and(|line| line.contains(&ours))
    }

    /// The last that it logged and said.
    pub(super) fn log_tail(&self) -> String {
        let paths = [config::log_path(&self.launch.dir), config::said_path(&self.launch.dir)];
        paths.iter().filter_map(|path| tail(path).ok()).collect::<Vec<_>>().join("\n")
    }
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The command line of a living process.
async fn command_line(pid: u32) -> Option<String> {
    if let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) {
        return Some(String::from_utf8_lossy(&line).replace('\0', " "));
    }
    if Path::new("/proc/self").exists() {
        return None;
    }
    let asked = Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).kill_on_drop(true).output();
    let output = tokio::time::timeout(STOP_TIME_MAX, asked).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
