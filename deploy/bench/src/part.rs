//! One process of the system that is measured: started, looked at, ended. None outlives the bench, however that ends:
//! each asks the kernel to be ended with the process that started it, and is ended by its id when it is dropped.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use steward_events::BoxError;

/// What stands before the words of a program of others.
const PROGRAM: &str = "program";

/// How long a process may take to become ready.
const READY_TIME_MAX: Duration = Duration::from_secs(120);

/// How long one may take to end; then it is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);
/// How long one may take that ends a nats-server.
const SERVER_STOP_TIME_MAX: Duration = Duration::from_secs(20);

/// A running process.
pub(super) struct Part {
    name: String,
    child: Child,
    log: PathBuf,
    /// It has a nats-server, which it ends in good order when it is asked to end.
    has_server: bool,
    began: Instant,
}

impl Part {
    /// Starts `steward <words>`; its output goes to `<name>.log` in `folder`.
    pub(super) fn start(folder: &Path, name: &str, words: &[&str]) -> Result<Self, BoxError> {
        let has_server = words.iter().any(|word| ["bus", "up"].contains(word));
        Self::start_words(folder, name, has_server, words)
    }

    /// Starts a program of others, with these words.
    pub(super) fn start_program(folder: &Path, name: &str, program: &str, words: &[&str]) -> Result<Self, BoxError> {
        let all: Vec<&str> = [PROGRAM, program].into_iter().chain(words.iter().copied()).collect();
        Self::start_words(folder, name, false, &all)
    }

    fn start_words(folder: &Path, name: &str, has_server: bool, words: &[&str]) -> Result<Self, BoxError> {
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = Command::new(std::env::current_exe()?);
        // After `--`, so that what they say is not taken for the bench's own options.
        command.args(["bench-part", "--"]).args(words);
        // The configuration is the bench's alone.
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("STEWARD_")) {
            command.env_remove(key);
        }
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        // A Ctrl-C is the bench's affair: it ends its parts itself.
        command.process_group(0);
        let began = Instant::now();
        let child = command.spawn().map_err(|error| format!("cannot start {name}: {error}"))?;
        Ok(Self { name: name.to_owned(), child, log, has_server, began })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// When it was started.
    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    /// What it said so far.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `ready` finds what it looks for.
    pub(super) async fn wait<T>(
        &mut self,
        mut ready: impl AsyncFnMut(&mut Self) -> Result<Option<T>, BoxError>,
    ) -> Result<T, BoxError> {
        loop {
            if let Some(found) = ready(self).await? {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{} ended with {status}: {}", self.name, self.tail()).into());
            }
            if self.began.elapsed() > READY_TIME_MAX {
                return Err(format!("{} is not ready after {READY_TIME_MAX:?}: {}", self.name, self.tail()).into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until it says `word`.
    pub(super) async fn wait_said(&mut self, word: &str) -> Result<(), BoxError> {
        self.wait(async |part: &mut Self| Ok(part.said().contains(word).then_some(()))).await
    }

    fn tail(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// It is asked to end first: one with a nats-server ends that, and a build for training (`make dist`) writes down only then
/// what it ran through.
impl Drop for Part {
    fn drop(&mut self) {
        let time_max = if self.has_server { SERVER_STOP_TIME_MAX } else { STOP_TIME_MAX };
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
            && kill_process(pid, Signal::TERM).is_ok()
        {
            let until = Instant::now() + time_max;
            while Instant::now() < until {
                if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        // It may have ended meanwhile.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// What a part begins with: it is tied to the bench and then becomes `steward <words>`, the mock upstream, or a program of
/// others.
pub async fn become_part(words: &[String]) -> Result<(), BoxError> {
    let theirs = words.split_first().filter(|(first, _)| *first == PROGRAM).and_then(|(_, rest)| rest.split_first());
    let has_server = theirs.is_none() && words.iter().any(|word| ["bus", "up"].contains(&word.as_str()));
    set_parent_process_death_signal(Some(if has_server { Signal::TERM } else { Signal::KILL }))?;
    // The bench may have ended before the kernel was asked.
    if getppid().is_none_or(Pid::is_init) {
        return Ok(());
    }
    if words.first().map(String::as_str) == Some("upstream") {
        return super::upstream::serve().await;
    }
    if let Some((program, words)) = theirs {
        return Err(format!("cannot become {program}: {}", Command::new(program).args(words).exec()).into());
    }
    Err(format!("cannot become steward: {}", Command::new(std::env::current_exe()?).args(words).exec()).into())
}
