//! Grants on trial: one that was needed is given back at once, one that was not is revoked when its trial is over.
//!
//! Knows which grants are set aside, and of which it was said since that somebody needed them, from a fold of the log.
//! Clocks only decide when to ask: whether a trial is over the aggregate decides. A trial ends a little later than it says, so
//! that what was needed in its last moment is in the log before.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, stream};
use steward_events::command::{Command, EndTrial, NeedTrial};
use steward_events::commit::Recorded;
use steward_events::event::{AccessEvent, AggregateKind, DenialEvent, GrantId};
use steward_events::id::TenantId;
use steward_events::permission::Permission;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;
use steward_events::view::{Reads, View};
use steward_ports::live::{Live, NotFresh};
use tokio_util::sync::CancellationToken;

use crate::dispatch::{Cause, Dispatch};
use crate::process::Error;
use crate::{WorkerPorts, wake};

/// Trials ended at once.
const ENDING_MAX: usize = 8;
/// How long to wait before what went wrong is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// How long what was noted may take to the log: a trial is not ended before.
const NOTED_AFTER: Duration = Duration::from_secs(5);

/// A grant that is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trial {
    until: Timestamp,
    needed: Option<Need>,
}

/// What it was needed for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Need {
    permission: Option<Permission>,
    scope: Option<Scope>,
    causation: String,
}

/// All grants that are set aside.
#[derive(Debug, Default)]
struct Trials(BTreeMap<(TenantId, GrantId), Trial>);

/// Which kinds this process manager reads.
pub const READS: &[AggregateKind] = Trials::KINDS;

steward_events::view!(Trials, reads AccessEvent, DenialEvent);

impl Reads<AccessEvent> for Trials {
    fn read(&mut self, event: &AccessEvent, recorded: &Recorded<'_>) {
        let place = |grant: &GrantId| (recorded.stream.tenant.clone(), grant.clone());
        match event {
            AccessEvent::TrialStarted { grant, until } => {
                self.0.insert(place(grant), Trial { until: *until, needed: None });
            }
            AccessEvent::TrialEnded { grant, .. }
            | AccessEvent::GrantRevoked { grant, .. }
            | AccessEvent::RoleGranted { grant, .. } => _ = self.0.remove(&place(grant)),
            // No other event is about a grant on trial: a group's end takes its grants with it, and the end of the trial then
            // decides nothing.
            _ => {}
        }
    }
}

impl Reads<DenialEvent> for Trials {
    fn read(&mut self, event: &DenialEvent, recorded: &Recorded<'_>) {
        let DenialEvent::Spared { grant, permission, scope, principal: _ } = event else { return };
        // What steward grants counts in every tenant, and is noted where it was needed.
        let of = [recorded.stream.tenant.clone(), TenantId::steward()];
        let place = of.map(|tenant| (tenant, grant.clone())).into_iter().find(|place| self.0.contains_key(place));
        if let Some(trial) = place.and_then(|place| self.0.get_mut(&place)) {
            let causation = format!("{}@{}", recorded.stream, recorded.position);
            let need = || Need { permission: permission.clone(), scope: scope.clone(), causation };
            trial.needed.get_or_insert_with(need);
        }
    }
}

impl Trials {
    /// What is to be sent at `now`, and when there may be more.
    fn due(&self, now: Timestamp) -> (Vec<(TenantId, Command, Cause)>, Duration) {
        let (mut due, mut pause) = (Vec::new(), wake::IDLE_MAX);
        for ((tenant, grant), Trial { until, needed }) in &self.0 {
            let GrantId { to, role, on } = grant.clone();
            let over = until.plus(NOTED_AFTER);
            if let Some(Need { permission, scope, causation }) = needed.clone() {
                let need = NeedTrial { to, role, on, until: *until, permission, scope };
                due.push((tenant.clone(), need.into(), Cause { causation: Some(causation), ..Cause::default() }));
            } else if over <= now {
                due.push((tenant.clone(), EndTrial { to, role, on, until: *until }.into(), Cause::default()));
            } else {
                pause = pause.min(over.since(now));
            }
        }
        (due, pause)
    }
}

/// Ends trials until told to stop.
///
/// # Errors
/// [`Error`] if the log holds what this build cannot read.
pub async fn run(ports: WorkerPorts, shutdown: CancellationToken) -> Result<(), Error> {
    let live = Live::<Trials>::start(ports.log.clone(), ports.clock.clone());
    let dispatch = Dispatch::new(&ports);
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        stopped = end_as_they_come(&live, &dispatch, &ports) => Err(stopped.into()),
    }
}

async fn end_as_they_come(live: &Live<Trials>, dispatch: &Dispatch, ports: &WorkerPorts) -> NotFresh {
    // Without the whole past, what was needed would look as if it was not.
    if let Err(stopped) = wake::caught_up(live).await {
        return stopped;
    }
    loop {
        let seen = live.positions();
        if let Some(why) = live.stopped() {
            return NotFresh::Stopped(why);
        }
        let (due, mut pause) = live.read().due(ports.clock.now());
        if due.iter().any(|(_, command, _)| command.name() == ("trial", "end"))
            && let Err(stopped) = wake::caught_up(live).await
        {
            return stopped;
        }
        // What was noted meanwhile counts.
        let (due, _) = if due.is_empty() { (due, pause) } else { live.read().due(ports.clock.now()) };
        let failed = stream::iter(due)
            .map(|(tenant, command, cause)| async move { send(dispatch, &tenant, command, &cause).await })
            .buffer_unordered(ENDING_MAX)
            .fold(false, |any, sent| async move { any || !sent })
            .await;
        if failed {
            pause = pause.min(RETRY_PAUSE);
        }
        wake::moved(live, &seen, pause).await;
    }
}

/// Says whether it was decided.
async fn send(dispatch: &Dispatch, tenant: &TenantId, command: Command, cause: &Cause) -> bool {
    let (noun, verb) = command.name();
    match dispatch.send(tenant, command, cause).await {
        Ok(reply) => {
            tracing::info!(tenant.id = %tenant, command = %format_args!("{noun}.{verb}"), position = reply.position.0, "a trial is over");
            true
        }
        Err(error) => {
            tracing::warn!(tenant.id = %tenant, error = %error, "a trial is not ended yet");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_events::commit::{Commit, Entry};
    use steward_events::digest::CommitHash;
    use steward_events::event::Event;
    use steward_events::id::{CommandId, CommitId, CorrelationId, StreamId};
    use steward_events::quantity::{Position, Shard, Version};
    use steward_events::stream::StreamName;

    use super::*;

    fn grant() -> GrantId {
        GrantId { to: "svc_bot".parse().unwrap(), role: "owner".parse().unwrap(), on: "acme".parse().unwrap() }
    }

    fn tell(trials: &mut Trials, of: &str, event: impl Into<Event>) {
        let event = event.into();
        let tenant: TenantId = of.parse().unwrap();
        let entry = Entry {
            command: CommandId::new("c1").unwrap(),
            at: Timestamp(0),
            actor: "p_ana".parse().unwrap(),
            on_behalf_of: None,
            causation: None,
            correlation: CorrelationId::new("r1").unwrap(),
            body: None,
            key: None,
            events: vec![event.clone()],
        };
        let commit = Commit {
            id: CommitId::new("commit1").unwrap(),
            stream: StreamName { shard: Shard(0), tenant, kind: event.kind(), id: StreamId::main() },
            version: Version(1),
            prev: CommitHash::default(),
            entries: vec![entry],
        };
        for recorded in commit.recorded(Position(7)) {
            trials.apply(&recorded);
        }
    }

    fn spared() -> DenialEvent {
        DenialEvent::Spared { principal: None, grant: grant(), permission: None, scope: None }
    }

    fn names(trials: &Trials, now: Timestamp) -> Vec<(&'static str, &'static str)> {
        trials.due(now).0.iter().map(|(_, command, _)| command.name()).collect()
    }

    #[test]
    fn a_trial_ends_when_needed_or_after_its_time() {
        let until = Timestamp(10_000_000);
        let over = until.plus(NOTED_AFTER);
        let mut trials = Trials::default();
        tell(&mut trials, "acme", spared());
        tell(&mut trials, "acme", AccessEvent::TrialStarted { grant: grant(), until });
        assert_eq!(names(&trials, Timestamp(over.0 - 1)), []);
        assert_eq!(names(&trials, over), [("trial", "end")]);
        tell(&mut trials, "acme", spared());
        assert_eq!(names(&trials, Timestamp(0)), [("trial", "need")], "what was noted before it began is not counted");
        let (permission, scope, reason) = (None, None, String::new());
        tell(&mut trials, "acme", AccessEvent::TrialEnded { grant: grant(), until, permission, scope, reason });
        assert_eq!(names(&trials, over), []);
    }

    #[test]
    fn what_steward_grants_is_needed_in_any_tenant() {
        let mut trials = Trials::default();
        tell(&mut trials, "steward", AccessEvent::TrialStarted { grant: grant(), until: Timestamp(10_000_000) });
        tell(&mut trials, "acme", spared());
        assert_eq!(names(&trials, Timestamp(0)), [("trial", "need")]);
    }
}
