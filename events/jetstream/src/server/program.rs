//! Finding the nats-server program, and looking whether it is new enough.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

/// The oldest server that has all that is needed: message schedules came last.
pub const VERSION_MIN: (u32, u32) = (2, 12);

const NAME: &str = "nats-server";

/// There is no usable program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is nowhere.
    #[error(
        "no nats-server found (looked at {looked}). Run `make tools`, which puts one under .tools/bin; or install one \
         from https://github.com/nats-io/nats-server/releases and have it in PATH; or name one in STEWARD_NATS_SERVER or as bus.program in steward.toml"
    )]
    NotFound {
        /// Where it was looked for.
        looked: String,
    },
    /// It does not tell its version.
    #[error("{program} does not run: {reason}")]
    DoesNotRun {
        /// Which.
        program: PathBuf,
        /// What happened.
        reason: String,
    },
    /// It is too old.
    #[error("{program} has version {found}; at least {}.{} is needed", VERSION_MIN.0, VERSION_MIN.1)]
    TooOld {
        /// Which.
        program: PathBuf,
        /// What it says of itself.
        found: String,
    },
}

/// The program: the one given, else that of the environment variable `STEWARD_NATS_SERVER`, else the first in `PATH`,
/// else `.tools/bin/nats-server` in this directory or one above.
pub fn find(given: Option<&Path>) -> Result<PathBuf, ProgramError> {
    if let Some(program) = given {
        return named(program, "bus.program");
    }
    if let Some(program) = env::var_os("STEWARD_NATS_SERVER") {
        return named(Path::new(&program), "STEWARD_NATS_SERVER");
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).map(|dir| dir.join(NAME));
    let here = env::current_dir().unwrap_or_default();
    let in_tools = here.ancestors().map(|dir| dir.join(".tools/bin").join(NAME));
    in_path
        .chain(in_tools)
        .find(|program| program.is_file())
        .ok_or_else(|| ProgramError::NotFound { looked: "PATH and .tools/bin".to_owned() })
}

fn named(program: &Path, by: &str) -> Result<PathBuf, ProgramError> {
    if program.is_file() {
        return Ok(program.to_owned());
    }
    Err(ProgramError::NotFound { looked: format!("{}, named by {by}", program.display()) })
}

/// Refuses a server that lacks what is needed.
pub(super) async fn check_version(program: &Path) -> Result<(), ProgramError> {
    let fails = |reason: String| ProgramError::DoesNotRun { program: program.to_owned(), reason };
    let asked = Command::new(program).arg("--version").kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(10), asked).await;
    let output = output.map_err(|_| fails("no answer to --version".to_owned()))?.map_err(|e| fails(e.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match version(&said) {
        Some(found) if found >= VERSION_MIN => Ok(()),
        Some(_) => Err(ProgramError::TooOld { program: program.to_owned(), found: said }),
        None => Err(fails(format!("it says {said:?}"))),
    }
}

/// Major and minor of `nats-server: v2.15.1`.
fn version(said: &str) -> Option<(u32, u32)> {
    let (_, number) = said.rsplit_once('v')?;
    let mut parts = number.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_server_writes_them() {
        assert_eq!(version("nats-server: v2.15.1"), Some((2, 15)));
        assert_eq!(version("nats-server: v2.9.25-RC.1"), Some((2, 9)));
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn a_named_but_missing_program_is_not_replaced() {
        let error = find(Some(Path::new("/nonexistent/nats-server"))).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/nats-server"), "{error}");
    }
}
