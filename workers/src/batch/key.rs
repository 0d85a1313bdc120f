//! The key with which a batch calls models and keeps its files. Its secret lives in the memory of the worker that made it and
//! nowhere else; the log knows its hash.
//!
//! It acts as the one who submitted the batch, within the batch's scope, for no more models than the key by which that was
//! done. It ends with that key, is revoked by [`crate::process::task_ends`], and expires.

use std::sync::Arc;
use std::time::Duration;

use steward_events::command::IssueKey;
use steward_events::event::KeyHash;
use steward_events::id::KeyId;
use steward_events::permission::Permission;
use steward_events::secret::api_key;
use steward_events::timestamp::Timestamp;
use tokio::sync::Mutex;

use super::Batches;
use super::open_batches::{BatchRef, OpenBatch};
use crate::dispatch::{Cause, DispatchError};

/// What the key is for: the calls, the file that they stand in, and those that come of them.
const PERMISSIONS: [&str; 3] = [Permission::MODEL_INVOKE, "file:show", Permission::FILE_CREATE];

/// The key of one batch: another one when the last would end within a call.
#[derive(Default)]
pub(crate) struct BatchKeys(Mutex<Option<BatchKey>>);

/// Not printable: it holds a secret.
struct BatchKey {
    secret: Arc<str>,
    expires: Timestamp,
}

impl BatchKeys {
    /// The secret of a key that outlasts the next call.
    pub(crate) async fn secret(
        &self,
        batches: &Batches,
        (batch, open): (&BatchRef, &OpenBatch),
        cause: &Cause,
    ) -> Result<Arc<str>, DispatchError> {
        let mut kept = self.0.lock().await;
        let call_time_max = batches.config.step_time_max;
        let needed_until = batches.ports.clock.now().plus(call_time_max);
        if let Some(key) = kept.as_ref().filter(|key| key.expires >= needed_until) {
            return Ok(Arc::clone(&key.secret));
        }
        let lifetime = batches.config.key_lifetime.max(2 * call_time_max);
        let made = issue(batches, (batch, open), lifetime, cause).await?;
        Ok(Arc::clone(&kept.insert(made).secret))
    }
}

async fn issue(
    batches: &Batches,
    (batch, open): (&BatchRef, &OpenBatch),
    lifetime: Duration,
    cause: &Cause,
) -> Result<BatchKey, DispatchError> {
    let ids = &batches.ports.ids;
    // Two ids carry 160 random bits.
    let secret = api_key(&batch.tenant, format!("{}{}", ids.unique(), ids.unique()));
    let expires = batches.ports.clock.now().plus(lifetime);
    let command = IssueKey {
        key: KeyId::new(format!("key_{}", ids.unique())).ok(),
        principal: open.submitted_by.clone(),
        hash: KeyHash::of(&secret),
        scope: Some(open.scope.clone()),
        models: models(batches, open),
        expires: Some(expires),
        agent: None,
        task: Some(batch.batch.as_task()),
        permissions: PERMISSIONS.iter().filter_map(|text| text.parse().ok()).collect(),
        parent: open.submitted_with.clone(),
        addresses: vec![],
        hours: vec![],
    };
    batches.dispatch.send(&batch.tenant, command, cause).await?;
    Ok(BatchKey { secret: secret.into(), expires })
}

/// The models of the key by which the batch was submitted; empty for all.
fn models(batches: &Batches, open: &OpenBatch) -> Vec<steward_events::id::ModelId> {
    let Some(parent) = &open.submitted_with else { return Vec::new() };
    let authority = batches.authority.read();
    let key = authority.identity(&parent.tenant).and_then(|identity| identity.key(&parent.key));
    key.map(|key| key.models.clone()).unwrap_or_default()
}
