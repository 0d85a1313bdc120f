//! What the operating system says of processes and of this machine.

#![allow(clippy::cast_precision_loss)] // figures for people

use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;
use steward_events::BoxError;

/// The machine that was measured on.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    /// Processors.
    pub(super) cores: usize,
    /// Their model.
    pub(super) processor: String,
    /// Memory, in MiB.
    pub(super) memory_mib: u64,
    /// The kernel's release.
    pub(super) kernel: String,
    /// Processes that wanted to run in the minute before the bench began.
    pub(super) load_before: f64,
    /// The part of all processors' time that others than the bench and what it started used while it ran, 0 to 1.
    pub(super) others: f64,
}

impl Machine {
    /// This one, now.
    pub(super) fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let load = read("/proc/loadavg");
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
            memory_mib: first_number(&memory) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: load.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default(),
            others: 0.0,
        }
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        let Self { cores, processor, memory_mib, kernel, others, .. } = self;
        let gib = *memory_mib as f64 / 1024.0;
        format!(
            "{cores} cores ({processor}), {gib:.0} GiB, Linux {kernel}; others used {:.0} % of it meanwhile",
            others * 100.0
        )
    }
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// The memory that process `pid` has in RAM, in MiB.
pub(super) fn rss_mib(pid: u32) -> Result<f64, BoxError> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS: is this Linux?")?;
    Ok(first_number(line) as f64 / 1024.0)
}

/// The processor time that process `pid` has used.
pub(super) fn cpu(pid: u32) -> Result<Duration, BoxError> {
    Ok(spent(pid, &[11, 12])?)
}

/// The processor time that these processes have used together.
pub(super) fn cpu_of(pids: &[u32]) -> Result<Duration, BoxError> {
    pids.iter().map(|pid| cpu(*pid)).sum()
}

/// The sum of the times that stand in these fields of a process, counted after its name.
fn spent(pid: u32, fields: &[usize]) -> std::io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name in brackets, and may hold anything.
    let all: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    Ok(of_ticks(fields.iter().filter_map(|at| all.get(*at)?.parse::<u64>().ok()).sum()))
}

fn of_ticks(ticks: u64) -> Duration {
    Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / rustix::param::clock_ticks_per_second().max(1)))
}

/// Who has used the processors so far.
pub(super) struct Busy {
    at: Instant,
    all: Duration,
    ours: Duration,
}

impl Busy {
    /// Until now. Ours is this process and every process that it started, once it was waited for.
    pub(super) fn look() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        // user, nice, system, (idle, iowait,) irq, softirq, steal.
        let fields: Vec<u64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        let all = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| fields.get(*at)).sum();
        let ours = spent(std::process::id(), &[11, 12, 13, 14]).unwrap_or_default();
        Self { at: Instant::now(), all: of_ticks(all), ours }
    }

    /// The part of all processors' time since then that others used, 0 to 1.
    pub(super) fn others_since(&self, cores: usize) -> f64 {
        let now = Self::look();
        let others = now.all.saturating_sub(self.all).saturating_sub(now.ours.saturating_sub(self.ours));
        let there_was = now.at.duration_since(self.at).as_secs_f64() * cores.max(1) as f64;
        (others.as_secs_f64() / there_was.max(1e-9)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_uses_time() {
        let pid = std::process::id();
        assert!(rss_mib(pid).unwrap() > 1.0);
        let began = std::time::Instant::now();
        while cpu(pid).unwrap() < Duration::from_millis(20) {
            assert!(began.elapsed() < Duration::from_secs(60));
            std::hint::black_box((0..100_000_u64).sum::<u64>());
        }
        assert!(Machine::look().cores > 0);
    }
}
