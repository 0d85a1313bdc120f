//! `steward bench`: measures Steward against baselines of the same run.

use std::path::PathBuf;

use clap::ArgMatches;
use steward_bench::Options;
use steward_events::BoxError;

use crate::config::Config;
use crate::output;

pub(super) async fn run(config: &Config, matches: &ArgMatches, json: bool) -> Result<(), BoxError> {
    let options = Options {
        only: matches.get_many::<String>("only").unwrap_or_default().cloned().collect(),
        growth: matches.get_flag("growth"),
        peers: matches.get_many::<PathBuf>("peers").map(|named| named.cloned().collect()),
        quick: matches.get_flag("quick"),
        out: matches.get_one::<String>("out").map(PathBuf::from),
        write: matches.get_one::<String>("write").map(PathBuf::from),
    };
    let report = tokio::select! {
        report = steward_bench::run(config, &options) => report?,
        // What was started ends with the future that holds it.
        stopped = stop() => { stopped?; return Err("stopped; every process of the bench is ended".into()) },
    };
    if json {
        return output::json(&report.json());
    }
    crate::output::say_lines(&report.text());
    Ok(())
}

/// Ctrl-C or SIGTERM.
async fn stop() -> Result<(), BoxError> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    Ok(())
}
