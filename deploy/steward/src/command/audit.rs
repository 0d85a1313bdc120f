//! `steward audit`: proof that the history is whole.

use std::process::ExitCode;

use clap::ArgMatches;
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_tlog::{VerifierKey, origin};

use crate::client::Client;
use crate::compose;
use crate::config::Config;
use crate::output;

mod export;
mod offline;
mod online;
mod proof;

/// Exit status 0 only if nothing is wrong.
pub(super) async fn run(verb: &str, typed: &ArgMatches, config: &Config, json: bool) -> Result<ExitCode, BoxError> {
    let client = || super::client(typed, config);
    match verb {
        "export" => export::run(typed, &client()?, json).await,
        "key" => key(typed, config, json),
        _ => {
            if let Some(file) = typed.get_one::<String>("proof") {
                return proof::verify(file.as_ref(), &keys(typed)?, json);
            }
            match typed.get_one::<String>("export") {
                Some(folder) => offline::verify(typed, folder.as_ref(), json),
                None => online::verify(typed, &client()?, json).await,
            }
        }
    }
}

/// The whole history of `tenant` with its proof, into a new folder.
pub(super) async fn export_history(
    client: &Client,
    tenant: &TenantId,
    folder: &std::path::Path,
) -> Result<(), BoxError> {
    export::write(client, tenant, folder, true).await.map(|_| ())
}

/// `steward audit key`: from the key's own file, so it can be trusted as far as this machine can.
fn key(typed: &ArgMatches, config: &Config, json: bool) -> Result<ExitCode, BoxError> {
    let tenant = match typed.get_one::<String>("tenant") {
        Some(tenant) => TenantId::new(tenant)?,
        None => TenantId::steward(),
    };
    let file = config.transparency_key_file();
    if !file.is_file() {
        return Err(format!("there is no file {}: run this where the workers of Steward run", file.display()).into());
    }
    let notary = compose::notary(config)?;
    let origin = origin(&notary.name, &tenant);
    let key = notary.key.verifier(&origin)?.to_string();
    if json {
        output::json(&serde_json::json!({ "tenant": tenant, "origin": origin, "key": key }))?;
    } else {
        println!("{key}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The keys whose signatures count.
fn keys(typed: &ArgMatches) -> Result<Vec<VerifierKey>, BoxError> {
    let typed = typed.get_many::<String>("verifier-key").unwrap_or_default();
    typed.map(|text| text.trim().parse().map_err(|error| format!("--verifier-key {text}: {error}").into())).collect()
}

/// All of a small file, or why not.
fn read_small(path: &std::path::Path, bytes_max: u64) -> Result<String, BoxError> {
    use std::io::Read;
    let refused = |error: &dyn std::fmt::Display| -> BoxError { format!("{}: {error}", path.display()).into() };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| refused(&error))?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| refused(&error))?;
    if bytes.len() as u64 > bytes_max {
        return Err(refused(&format!("it is larger than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| refused(&"it is no text"))
}

/// 0 if nothing is wrong.
fn status(ok: bool) -> ExitCode {
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
