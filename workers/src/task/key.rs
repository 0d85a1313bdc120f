//! The key with which a task calls models. Its secret lives in the memory of the worker that made it and nowhere else;
//! the log knows its hash.
//!
//! It acts as the one who submitted the task, within the task's scope, for the agent's model only: an agent may do what
//! both its definition and its invoker may. It ends with the key by which the task was submitted, is revoked by
//! [`crate::process::task_ends`], and expires.

use std::time::Duration;

use steward_events::command::IssueKey;
use steward_events::event::{AgentSpec, KeyHash};
use steward_events::id::KeyId;
use steward_events::ids::Ids;
use steward_events::secret::api_key;
use steward_events::timestamp::Timestamp;
use steward_ports::clock::Clock;

use crate::dispatch::{Cause, Dispatch, DispatchError};
use crate::task::open_tasks::{OpenTask, TaskRef};

/// A key. Not printable: it holds a secret.
pub(crate) struct TaskKey {
    pub(crate) secret: String,
    expires: Timestamp,
}

impl TaskKey {
    /// Makes a key for `task` and has it recorded.
    pub(crate) async fn issue(
        dispatch: &Dispatch,
        (clock, ids): (&dyn Clock, &dyn Ids),
        (task, open): (&TaskRef, &OpenTask),
        agent: &AgentSpec,
        lifetime: Duration,
        cause: &Cause,
    ) -> Result<Self, DispatchError> {
        // Two ids carry 160 random bits.
        let secret = api_key(&task.tenant, format!("{}{}", ids.unique(), ids.unique()));
        let expires = clock.now().plus(lifetime);
        let command = IssueKey {
            key: KeyId::new(format!("key_{}", ids.unique())).ok(),
            principal: open.submitted_by.clone(),
            hash: KeyHash::of(&secret),
            scope: Some(open.scope.clone()),
            models: vec![agent.model.clone()],
            expires: Some(expires),
            agent: Some(open.agent.clone()),
            task: Some(task.task.clone()),
            permissions: Vec::new(),
            parent: open.submitted_with.clone(),
            addresses: vec![],
            hours: vec![],
        };
        dispatch.send(&task.tenant, command, cause).await?;
        Ok(Self { secret, expires })
    }

    /// True if it works for `span` from `now` on.
    pub(crate) fn outlasts(&self, now: Timestamp, span: Duration) -> bool {
        self.expires >= now.plus(span)
    }
}
