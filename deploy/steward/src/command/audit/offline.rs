//! `steward audit verify --export`: no bus, no gateway, no trust in the folder.

use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;
use indicatif::{ProgressBar, ProgressStyle};
use steward_events::BoxError;
use steward_events::quantity::Position;
use steward_projectors::export::{self, Demands, Manifest, Report, Wanted};
use steward_tlog::note::NOTE_BYTES_MAX;

use crate::output;

pub(super) fn verify(typed: &ArgMatches, folder: &Path, json: bool) -> Result<ExitCode, BoxError> {
    let checkpoints = typed.get_many::<String>("checkpoint").unwrap_or_default();
    let outside: Result<Vec<_>, _> =
        checkpoints.map(|file| super::read_small(file.as_ref(), NOTE_BYTES_MAX as u64)).collect();
    let commit = typed.get_one::<String>("commit").map(|text| match text.parse() {
        Ok(position) => Wanted::Position(Position(position)),
        Err(_) => Wanted::Name(text.clone()),
    });
    let demands = Demands { keys: super::keys(typed)?, outside: outside?, commit };
    let manifest = Manifest::read(folder)?;
    if let Some(tenant) = typed.get_one::<String>("tenant")
        && *tenant != *manifest.tenant.as_str()
    {
        return Err(format!("{} is an export of {}, not of {tenant}", folder.display(), manifest.tenant).into());
    }
    let bar = bar(manifest.commits);
    let report = export::check(folder, &demands, |commits| bar.set_position(commits));
    bar.finish_and_clear();
    let report = report?;
    if json {
        output::json(&report)?;
    } else {
        tell(&report);
        if let Some(proof) = &report.proof {
            output::json(proof)?;
        }
    }
    Ok(super::status(report.ok))
}

/// On a terminal only.
pub(super) fn bar(commits: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} commits  {per_sec}  {eta}");
    let bar = ProgressBar::new(commits);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn tell(report: &Report) {
    for finding in &report.findings {
        let stream = finding.stream.as_ref().map(|stream| format!(" {stream}")).unwrap_or_default();
        let position = finding.position.map(|position| format!(" at {position}")).unwrap_or_default();
        println!("WRONG {stream}{position}: {}", finding.reason);
        println!("        it means: {}", finding.meaning);
    }
    if report.findings_more > 0 {
        println!("        and {} findings more", report.findings_more);
    }
    println!("{}", verdict(report));
    if report.unsigned > 0 && report.signed > 0 {
        println!(
            "  the last {} commits are newer than the checkpoint: their chains are whole, but nothing proves that none is missing",
            report.unsigned
        );
    }
    for key in report.keys.iter().filter(|_| report.signed > 0) {
        if report.keys_demanded {
            println!("  signed by {key}");
        } else {
            println!("  signed by {key}, as the export itself says: compare this key, or give --verifier-key");
        }
    }
    match report.outside {
        0 => {}
        1 => println!("  the history continues the checkpoint that was kept outside"),
        many => println!("  the history continues the {many} checkpoints that were kept outside"),
    }
}

fn verdict(report: &Report) -> String {
    let Report { ok, commits, chains, signed, .. } = report;
    let broken = report.findings.iter().any(|finding| finding.what == export::What::BrokenChain);
    let whole = if broken { "NOT whole" } else { "whole" };
    let checkpoint = if *signed > 0 { format!("checkpoint {signed} signed") } else { "no checkpoint found".to_owned() };
    let word = if *ok { "ok" } else { "NOT ok" };
    format!("{commits} commits, {chains} chains {whole}, {checkpoint}: {word}")
}
