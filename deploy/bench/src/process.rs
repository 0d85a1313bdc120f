//! `steward up` as a process: how soon it is ready, and how much memory it has.

#![allow(clippy::cast_precision_loss)] // figures for people

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use steward_events::BoxError;

use super::company::{Company, MODEL};
use super::figures::Figures;
use super::gateway::CONNECTIONS;
use super::load::{Call, drive};
use super::machine;
use super::part::Part;
use super::sample::nanos;
use super::system::{InstallationFolder, Upstream, free_port, wait_ready};
use super::{Effort, Progress};
use steward_node::client::Client;
use steward_node::config::{Config, Durability};

/// How long it is left alone before it counts as idle.
const IDLE_AFTER: Duration = Duration::from_secs(2);

/// A whole installation in one process.
pub(super) struct Up {
    part: Part,
    /// Where its gateway listens.
    pub(super) address: SocketAddr,
    /// From the start of the process until it said that it was ready.
    pub(super) ready_ms: f64,
}

impl Up {
    /// Starts it in `place`; returns when it is ready.
    pub(super) async fn start(place: &InstallationFolder) -> Result<Self, BoxError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut part = place.start("up", &["up", "--listen", &address.to_string()])?;
        wait_ready(&mut part, address).await?;
        let ready_ms = nanos(part.began().elapsed()) as f64 / 1e6;
        Ok(Self { part, address, ready_ms })
    }

    fn rss(&self, place: &InstallationFolder) -> Result<(f64, f64), BoxError> {
        Ok((machine::rss_mib(self.part.pid())?, machine::rss_mib(place.server_pid()?)?))
    }
}

/// Measures starts and memory.
pub(super) async fn measure(
    root: &Path,
    config: &Config,
    upstream: &Upstream,
    effort: &Effort,
    progress: &Progress,
) -> Result<Figures, BoxError> {
    let mut runs = Vec::new();
    for run in 1..=effort.runs {
        progress.say(&format!("process: run {run} of {}", effort.runs));
        let place = InstallationFolder::make(root, &format!("process-{run}"), Durability::ProcessCrash, config)?;
        let mut figures = Figures::default();
        let first = Up::start(&place).await?;
        figures.set("process.ready_ms", first.ready_ms);
        drop(first);
        let up = Up::start(&place).await?;
        figures.set("process.ready_again_ms", up.ready_ms);
        tokio::time::sleep(IDLE_AFTER.min(effort.span * 2)).await;
        let (steward, nats) = up.rss(&place)?;
        figures.set("process.rss_idle_mib", steward);
        figures.set("process.nats_rss_idle_mib", nats);
        let company = company(&place, &up, upstream).await?;
        for stream in [false, true] {
            let call = Call::chat(up.address, &company.caller.secret, MODEL, stream);
            drive(&call, CONNECTIONS, effort.span).await?;
        }
        let (steward, nats) = up.rss(&place)?;
        figures.set("process.rss_loaded_mib", steward);
        figures.set("process.nats_rss_loaded_mib", nats);
        runs.push(figures);
    }
    Ok(Figures::of_runs(&runs))
}

async fn company(place: &InstallationFolder, up: &Up, upstream: &Upstream) -> Result<Company, BoxError> {
    let operator = Client::new(&format!("http://{}", up.address), place.operator_key()?, None)?;
    Company::make(operator, upstream, "acme").await
}
