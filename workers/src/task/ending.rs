//! A task ends with the key by which it was submitted: when that is revoked or expires, or its holder is disabled.
//!
//! Its calls are refused then anyway, and so is a new key for it; here a worker hears of it, so that it stops what it is
//! doing and says why.

use std::time::Duration;

use steward_events::quantity::Shard;
use steward_events::shard::STEWARD_SHARD;
use steward_ports::live::NotFresh;

use crate::task::Shared;
use crate::task::open_tasks::{OpenTask, TaskRef};
use crate::wake;

/// How often to look in any case: keys expire without an event.
const EXPIRY_EVERY: Duration = Duration::from_secs(1);

/// How long the log may take to say what it holds.
const CONFIRM_TIME_MAX: Duration = Duration::from_secs(5);

/// Waits until nothing may be done for the task any more, and says why.
pub(super) async fn ended(shared: &Shared, task: &TaskRef, open: &OpenTask) -> String {
    loop {
        let seen = shared.authority.positions();
        if why(shared, task, open).is_some() && confirm(shared, open.stream.shard).await.is_ok() {
            // A key that is not known yet looks like one that is gone: only what is known now counts.
            if let Some(why) = why(shared, task, open) {
                return why;
            }
        }
        wake::moved(&shared.authority, &seen, EXPIRY_EVERY).await;
    }
}

fn why(shared: &Shared, task: &TaskRef, open: &OpenTask) -> Option<String> {
    let (authority, now) = (shared.authority.read(), shared.ports.clock.now());
    authority.ended(open.submitted_with.as_ref()?, &open.submitted_by, &task.tenant, now)
}

async fn confirm(shared: &Shared, shard: Shard) -> Result<(), NotFresh> {
    for shard in [shard, STEWARD_SHARD] {
        shared.authority.confirm(shard, Duration::ZERO, CONFIRM_TIME_MAX).await?;
    }
    Ok(())
}
