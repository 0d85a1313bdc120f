//! `steward audit verify`: whether the history is whole.

use std::process::ExitCode;

use steward_events::BoxError;
use steward_events::query::{Verification, VerifyQuestion};

use crate::client::Client;
use crate::output;

/// Exit status 0 only if every chain is whole.
pub(super) async fn verify(client: &Client, json: bool) -> Result<ExitCode, BoxError> {
    let found: Verification = client.query(&client.tenant()?, "audit", "verify", &VerifyQuestion {}).await?;
    if json {
        output::json(&found)?;
    } else {
        for broken in &found.broken {
            println!("BROKEN  {} at {}: {}", broken.stream, broken.position, broken.reason);
        }
        let verdict = if found.broken.is_empty() { "whole: ok" } else { "NOT whole" };
        println!("{} commits, {} chains {verdict}", found.commits, found.chains);
    }
    Ok(if found.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
