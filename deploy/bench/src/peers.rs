//! Other gateways over the same mock, in turns with Steward: what a proxy costs that does nothing else, and what a gateway
//! for models does without keys, budgets and records.
//!
//! They are programs of others, which are measured where they are found, on loopback only; nothing is installed for them.

use std::path::{Path, PathBuf};

use steward_events::BoxError;

use super::company::Company;
use super::figures::Figures;
use super::gateway::CONNECTIONS;
use super::load::{Call, Outcome, drive};
use super::machine;
use super::part::Part;
use super::sample::nanos;
use super::system::{System, Upstream};
use super::{Effort, Progress};

mod nginx;
mod tensorzero;

/// Where the programs are that are looked for.
const PLACES: [&str; 3] = [".tools/debian/usr/sbin", ".tools/peers/bin", ".tools/bin"];

/// Which peers there are.
#[derive(Clone, Copy)]
enum Kind {
    Nginx,
    TensorZero,
}

impl Kind {
    /// What its figures are called, the program that it is run with, and how to get that.
    const fn about(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Nginx => ("nginx", "nginx", "`make bench-peers` unpacks it, or install it"),
            Self::TensorZero => (
                "tensorzero",
                "python",
                "`make bench-peers` installs it, or name the Python of an environment that has the package tensorzero",
            ),
        }
    }

    async fn start(self, with: &Start<'_>) -> Result<Peer, BoxError> {
        match self {
            Self::Nginx => nginx::start(with).await,
            Self::TensorZero => tensorzero::start(with).await,
        }
    }
}

/// What a peer is started with.
struct Start<'a> {
    program: &'a Path,
    /// For its files.
    folder: &'a Path,
    upstream: &'a Upstream,
}

/// A peer that runs.
struct Peer {
    part: Part,
    /// A call through it, whole and streamed.
    calls: [Call; 2],
}

/// Measures Steward and those peers that are there; and says which are not. `named` are programs to use before others.
pub(super) async fn measure(
    root: &Path,
    named: &[PathBuf],
    (system, upstream, company): (&System, &Upstream, &Company),
    effort: &Effort,
    progress: &Progress,
) -> Result<(Figures, Vec<String>), BoxError> {
    let gateway = system.gateways.first().ok_or("there is no gateway")?;
    let of = |call: &dyn Fn(bool) -> Call| [call(false), call(true)];
    let direct = of(&|stream| Call::chat(upstream.address, "none", "mock", stream));
    let steward = of(&|stream| company.call(gateway, stream));
    let mut contestants = vec![
        Contestant { name: "direct", calls: direct, pid: None, _part: None },
        Contestant { name: "steward", calls: steward, pid: Some(gateway.pid()), _part: None },
    ];
    let mut absent = Vec::new();
    for kind in [Kind::Nginx, Kind::TensorZero] {
        let (name, program, get) = kind.about();
        let Some(program) = find(named, program) else {
            absent.push(format!("{name} was not measured: {program} is not here ({get})."));
            continue;
        };
        progress.say(&format!("peers: starting {name}"));
        let folder = root.join(format!("peer-{name}"));
        std::fs::create_dir_all(&folder)?;
        match kind.start(&Start { program: &program, folder: &folder, upstream }).await {
            Ok(Peer { part, calls }) => {
                contestants.push(Contestant { name, calls, pid: Some(part.pid()), _part: Some(part) });
            }
            Err(error) => absent.push(format!("{name} was not measured: {error} ({get}).")),
        }
    }
    // The first calls make connections and leases.
    for contestant in &contestants {
        for call in &contestant.calls {
            drive(call, CONNECTIONS, effort.span / 4).await?;
        }
    }
    let mut runs = Vec::new();
    for run in 1..=effort.runs {
        progress.say(&format!("peers: run {run} of {}", effort.runs));
        runs.push(run_once(&contestants, effort).await?);
    }
    Ok((Figures::of_runs(&runs), absent))
}

/// Whatever is measured, in turns with the others.
struct Contestant {
    name: &'static str,
    calls: [Call; 2],
    /// None for the mock, which is no gateway.
    pid: Option<u32>,
    _part: Option<Part>,
}

async fn run_once(contestants: &[Contestant], effort: &Effort) -> Result<Figures, BoxError> {
    let mut figures = Figures::default();
    for Contestant { name, calls: [call, _], pid, .. } in contestants {
        let cpu = || pid.map(machine::cpu).transpose();
        let before = cpu()?;
        let outcome = drive(call, CONNECTIONS, effort.span).await?;
        figures.set(&format!("peers.{name}_calls_per_s"), outcome.per_s());
        if let (Some(before), Some(after)) = (before, cpu()?) {
            figures.set(&format!("peers.{name}_cpu_us_per_call"), us_a_call(after.saturating_sub(before), &outcome));
        }
    }
    for Contestant { name, calls: [_, stream], .. } in contestants {
        let outcome = drive(stream, CONNECTIONS, effort.span).await?;
        figures.set(&format!("peers.{name}_streams_per_s"), outcome.per_s());
    }
    let mut direct = None;
    for Contestant { name, calls: [call, _], .. } in contestants {
        let p50 = drive(call, 1, effort.span / 2).await?.whole.quantile_us(0.5);
        match direct {
            // The first is the mock itself.
            None => {
                direct = Some(p50);
                figures.set("peers.direct_p50_us", p50);
            }
            Some(direct) => figures.set(&format!("peers.{name}_added_p50_us"), p50 - direct),
        }
    }
    Ok(figures)
}

#[allow(clippy::cast_precision_loss)] // figures for people
fn us_a_call(cpu: std::time::Duration, outcome: &Outcome) -> f64 {
    nanos(cpu) as f64 / 1e3 / outcome.calls.max(1) as f64
}

/// The program called `name`: one that was named, or of the project's own tools, or in PATH; any Python in PATH would be of
/// no use.
fn find(named: &[PathBuf], name: &str) -> Option<PathBuf> {
    let called_so = |path: &&PathBuf| {
        path.file_name().and_then(|file| file.to_str()).is_some_and(|file| file.starts_with(name)) && path.is_file()
    };
    let own = PLACES.iter().map(|place| Path::new(place).join(name));
    let path = if name == "python" { None } else { std::env::var_os("PATH") };
    let in_path = path.iter().flat_map(std::env::split_paths).map(|place| place.join(name)).collect::<Vec<_>>();
    let found = named.iter().find(called_so).cloned().or_else(|| own.chain(in_path).find(|path| path.is_file()));
    found.and_then(|path| std::path::absolute(path).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_named_comes_first_and_any_python_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let named = folder.path().join("nginx-debug");
        std::fs::write(&named, "").unwrap();
        assert_eq!(find(std::slice::from_ref(&named), "nginx"), Some(named));
        assert_eq!(find(&[folder.path().join("python3")], "python"), None, "what was named is not there");
        assert_eq!(find(&[], "no-such-program"), None);
    }
}
