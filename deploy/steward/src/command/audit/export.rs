//! `steward audit export`: a tenant's whole history with its proof, page by page into a folder.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ArgMatches;
use serde_json::json;
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_events::quantity::{Position, Shard};
use steward_events::stream::StreamName;
use steward_ports::clock::{Clock, SystemClock};
use steward_projectors::export::{Manifest, Writer};
use steward_queries::{Checkpoints, CheckpointsQuery, Commits, CommitsQuery, SignedCheckpoint};

use crate::client::Client;
use crate::output;

/// How long a signature that was asked for is waited for.
const SIGNED_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often to look.
const SIGNED_LOOK: Duration = Duration::from_millis(200);

pub(super) async fn run(typed: &ArgMatches, client: &Client, json: bool) -> Result<ExitCode, BoxError> {
    let folder: &Path = typed.get_one::<String>("out").ok_or("give a folder: --out DIR")?.as_ref();
    let tenant = client.tenant()?;
    let (manifest, newest) = write(client, &tenant, folder, !typed.get_flag("no-checkpoint")).await?;
    if json {
        output::json(&json!({ "folder": folder, "manifest": manifest, "key": newest.map(|newest| newest.key) }))?;
    } else {
        tell(&manifest, newest.as_ref(), folder);
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes it into `folder`, with a new signature if one is to be asked for. The newest signature.
pub(super) async fn write(
    client: &Client,
    tenant: &TenantId,
    folder: &Path,
    sign: bool,
) -> Result<(Manifest, Option<SignedCheckpoint>), BoxError> {
    let mut writer = Writer::create(folder)?;
    if sign && let Err(error) = have_signed(client, tenant).await {
        eprintln!("the newest commits are not signed, so the end of this export is proven by its chains only: {error}");
    }
    let newest = checkpoints(client, tenant, &mut writer).await?;
    let shard = commits(client, tenant, &mut writer, newest.as_ref()).await?;
    Ok((writer.finish(tenant, shard, SystemClock::default().now())?, newest))
}

/// Asks for a checkpoint of all that is recorded now, and waits for it.
async fn have_signed(client: &Client, tenant: &TenantId) -> Result<(), BoxError> {
    let asked = client.command(tenant, "checkpoint", "request", &json!({})).await?;
    let query = CheckpointsQuery { newest: true, ..CheckpointsQuery::default() };
    let signed = async {
        loop {
            let page: Checkpoints = client.query(tenant, "audit", "checkpoints", &query).await?;
            if page.checkpoints.iter().any(|newest| newest.position >= asked.position) {
                return Ok(());
            }
            tokio::time::sleep(SIGNED_LOOK).await;
        }
    };
    let timeout = tokio::time::timeout(SIGNED_WAIT_MAX, signed).await;
    timeout.map_err(|_| format!("no worker has signed within {} s: are workers running?", SIGNED_WAIT_MAX.as_secs()))?
}

/// All checkpoints; the newest.
async fn checkpoints(
    client: &Client,
    tenant: &TenantId,
    writer: &mut Writer,
) -> Result<Option<SignedCheckpoint>, BoxError> {
    let (mut query, mut newest) = (CheckpointsQuery::default(), None);
    loop {
        let page: Checkpoints = client.query(tenant, "audit", "checkpoints", &query).await?;
        for signed in page.checkpoints {
            newest = Some(signed.clone());
            writer.checkpoint(signed)?;
        }
        match page.next {
            Some(next) => query.after = next,
            None => return Ok(newest),
        }
    }
}

/// All commits; the shard that they are in.
async fn commits(
    client: &Client,
    tenant: &TenantId,
    writer: &mut Writer,
    newest: Option<&SignedCheckpoint>,
) -> Result<Shard, BoxError> {
    let bar = super::offline::bar(newest.map_or(0, |newest| newest.size));
    let mut shard = None;
    let mut query = CommitsQuery::default();
    loop {
        let page: Commits = client.query(tenant, "audit", "commits", &query).await?;
        for commit in &page.commits {
            let stream: StreamName = commit.subject.parse()?;
            shard = Some(stream.shard);
            writer.commit(commit.position, &commit.subject, &STANDARD.decode(&commit.bytes)?)?;
        }
        bar.set_position(writer.written());
        match page.next {
            Some(next) if next > query.after => query.after = next,
            Some(Position(stuck)) => return Err(format!("the log gives no more than up to {stuck}").into()),
            None => break,
        }
    }
    bar.finish_and_clear();
    shard.ok_or_else(|| format!("{tenant} has no history").into())
}

fn tell(manifest: &Manifest, newest: Option<&SignedCheckpoint>, folder: &Path) {
    let Manifest { tenant, commits, signed, .. } = manifest;
    println!("{tenant}: {commits} commits, signed up to number {signed}, in {}", folder.display());
    match newest {
        Some(newest) => {
            println!("  signed by  {}", newest.key);
            println!("  verify     steward audit verify --export {} --verifier-key '{}'", folder.display(), newest.key);
        }
        None => println!("  verify     steward audit verify --export {}", folder.display()),
    }
}
