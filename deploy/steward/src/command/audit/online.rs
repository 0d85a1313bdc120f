//! `steward audit verify` of the log itself, as the read models see it.

use std::process::ExitCode;

use clap::ArgMatches;
use steward_events::BoxError;
use steward_events::quantity::Position;
use steward_queries::{InclusionProof, InclusionQuery, Verification, VerifyQuery};

use crate::client::Client;
use crate::output;

pub(super) async fn verify(typed: &ArgMatches, client: &Client, json: bool) -> Result<ExitCode, BoxError> {
    let tenant = client.tenant()?;
    if let Some(commit) = typed.get_one::<String>("commit") {
        let position =
            commit.parse().map_err(|_| "--commit needs a position here; ids and hashes work only with --export")?;
        let query = InclusionQuery { position: Position(position), size: None };
        let proof: InclusionProof = client.query(&tenant, "audit", "inclusion", &query).await?;
        output::json(&proof)?;
        return Ok(ExitCode::SUCCESS);
    }
    let found: Verification = client.query(&tenant, "audit", "verify", &VerifyQuery {}).await?;
    let keys = super::keys(typed)?;
    let key_fits = |checkpoint: &steward_queries::CheckedCheckpoint| {
        keys.is_empty() || keys.iter().any(|key| key.to_string() == checkpoint.key)
    };
    let wrong_key = found.checkpoint.as_ref().filter(|checkpoint| !key_fits(checkpoint));
    let ok = found.broken.is_empty() && wrong_key.is_none();
    if json {
        output::json(&found)?;
    } else {
        for broken in &found.broken {
            println!("BROKEN  {} at {}: {}", broken.stream, broken.position, broken.reason);
        }
        println!("{}", verdict(&found, ok));
    }
    if let Some(checkpoint) = wrong_key {
        eprintln!("the checkpoint is signed by {}, which is not the given key", checkpoint.key);
    }
    Ok(super::status(ok))
}

fn verdict(found: &Verification, ok: bool) -> String {
    let chains = if found.broken.is_empty() { "whole" } else { "NOT whole" };
    let checkpoint = match &found.checkpoint {
        Some(checkpoint) => format!("checkpoint {} signed", checkpoint.size),
        None => "no checkpoint yet".to_owned(),
    };
    let word = if ok { "ok" } else { "NOT ok" };
    format!("{} commits, {} chains {chains}, {checkpoint}: {word}", found.commits, found.chains)
}

#[cfg(test)]
mod tests {
    use steward_events::digest::TreeHash;
    use steward_queries::CheckedCheckpoint;

    use super::*;

    #[test]
    fn the_verdict_is_one_line() {
        let checkpoint = CheckedCheckpoint { size: 41, root: TreeHash::empty(), key: "k".to_owned() };
        let found = Verification { commits: 41, chains: 12, broken: vec![], checkpoint: Some(checkpoint) };
        assert_eq!(verdict(&found, true), "41 commits, 12 chains whole, checkpoint 41 signed: ok");
        let found = Verification { commits: 2, chains: 1, ..Verification::default() };
        assert_eq!(verdict(&found, true), "2 commits, 1 chains whole, no checkpoint yet: ok");
    }
}
