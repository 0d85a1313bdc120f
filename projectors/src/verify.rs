//! Checks every hash chain of a tenant, and that the log still holds what the views have read.

use std::collections::HashMap;
use std::time::Duration;

use steward_events::clock::Timestamp;
use steward_events::commit::{Commit, CommitHash};
use steward_events::id::TenantId;
use steward_events::log::{EventLog, Filter, Stored, StreamName};
use steward_events::placement::registry_stream;
use steward_events::quantity::{Position, Shard, Version};
use steward_events::query::{BrokenChain, Verification};

use crate::reading;
use crate::tree::Checkpoint;

/// The most breaks that are listed; the first ones matter.
pub const BROKEN_MAX: usize = 100;

/// What the next commit of a stream has to follow.
struct Link {
    version: Version,
    hash: CommitHash,
    at: Timestamp,
}

/// Reads all of `tenant`, which lives in `shard`, and where its name is registered. `checkpoints` are what views of
/// that shard have read: a chain alone cannot show that its end was cut off.
///
/// # Errors
/// If the log cannot be read.
pub async fn verify(
    log: &dyn EventLog,
    shard: Shard,
    tenant: &TenantId,
    checkpoints: &[(&'static str, Checkpoint)],
    time_max: Duration,
) -> Result<Verification, reading::Error> {
    let mut found = Verification::default();
    let mut links: HashMap<StreamName, Link> = HashMap::new();
    let mut check = |stored: Stored| {
        found.commits += 1;
        for reason in follow(&mut links, &stored) {
            if found.broken.len() < BROKEN_MAX {
                let stream = format!("{}/{}", stored.stream.kind, stored.stream.id);
                found.broken.push(BrokenChain { stream, position: stored.position, reason });
            }
        }
        true
    };
    reading::each(log, &Filter::shard(shard).tenant(tenant), Position(0), time_max, &mut check).await?;
    if !tenant.is_steward() {
        let registered = Filter::stream(&registry_stream(tenant));
        reading::each(log, &registered, Position(0), time_max, &mut check).await?;
    }
    found.chains = links.len() as u64;
    for (view, checkpoint) in checkpoints {
        if checkpoint.position == Position(0) || found.broken.len() >= BROKEN_MAX {
            continue;
        }
        let stored = log.at(shard, checkpoint.position).await?;
        if stored.is_none_or(|stored| CommitHash::of(&stored.bytes) != checkpoint.hash) {
            let reason = format!("log-went-back: {view} has read a commit here that the log no longer has");
            let stream = format!("shard {shard}");
            found.broken.push(BrokenChain { stream, position: checkpoint.position, reason });
        }
    }
    Ok(found)
}

/// What is wrong with this commit where it stands; the chain is then taken up from it, so that one break is told once.
fn follow(links: &mut HashMap<StreamName, Link>, stored: &Stored) -> Vec<String> {
    let mut wrong = Vec::new();
    let before = links.remove(&stored.stream);
    let (version, prev, at) =
        before.map_or((Version(0), CommitHash::default(), Timestamp(0)), |link| (link.version, link.hash, link.at));
    let mut link = Link { version: version.next(), hash: CommitHash::of(&stored.bytes), at };
    // Decoding checks that the contents are what the subject says.
    match Commit::decode(&stored.stream, &stored.bytes) {
        Ok(commit) => {
            if commit.version != version.next() {
                wrong.push(format!("version {} follows version {version}", commit.version));
            }
            if commit.prev != prev {
                wrong.push(format!("it follows a commit with the hash {}, not {prev}", commit.prev));
            }
            for entry in &commit.entries {
                if entry.at < link.at {
                    wrong.push(format!("an entry of {} follows one of {}", entry.at, link.at));
                }
                link.at = entry.at;
            }
            link.version = commit.version;
        }
        Err(error) => wrong.push(error.to_string()),
    }
    links.insert(stored.stream.clone(), link);
    wrong
}
