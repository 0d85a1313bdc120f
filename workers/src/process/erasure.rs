//! Who is erased loses their data keys: first the log says so, then the keys are destroyed, then the log says which.
//!
//! It reads the log from its beginning, so each start destroys once more whatever a vault that was restored from a backup
//! may hold again. Knows whose keys there are, and where contents are kept. Must not know what any of it says.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use futures::{StreamExt, stream};
use steward_events::command::{CarryOutErasure, RecordDestroyed, RecordDestroyedKey, RetireTenant};
use steward_events::commit::Recorded;
use steward_events::event::{AggregateKind, IdentityEvent, TenantEvent};
use steward_events::id::{PrincipalId, TenantId};
use steward_events::sealed::{DestroyedKey, KeyOwner};
use steward_events::timestamp::Timestamp;
use steward_events::view::{Reads, View};
use steward_ports::live::{Live, NotFresh};
use tokio_util::sync::CancellationToken;

use crate::dispatch::{Cause, Dispatch, DispatchError};
use crate::process::Error;
use crate::{WorkerPorts, wake};

/// Keys destroyed at once.
const DESTROYING_MAX: usize = 8;
/// Keys of one record.
const RECORDED_MAX: usize = 500;
/// How long to wait before what went wrong is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Which kinds this process manager reads.
pub const READS: &[AggregateKind] = Erasures::KINDS;

/// Who has keys, and how far the erasure of each is.
#[derive(Debug, Default)]
struct Erasures {
    people: BTreeMap<TenantId, BTreeSet<PrincipalId>>,
    /// Tenants that wait, and since when.
    asked: BTreeMap<TenantId, Timestamp>,
    tenants: BTreeMap<TenantId, ErasedTenant>,
    /// People who were erased, and whether it is on record that their key is gone.
    persons: BTreeMap<(TenantId, PrincipalId), bool>,
}

/// What is on record of an erased tenant.
#[derive(Clone, Debug, Default)]
struct ErasedTenant {
    keys: HashSet<KeyOwner>,
    contents: bool,
}

steward_events::view!(Erasures, reads TenantEvent, IdentityEvent);

impl Reads<TenantEvent> for Erasures {
    fn read(&mut self, event: &TenantEvent, recorded: &Recorded<'_>) {
        let tenant = &recorded.stream.tenant;
        match event {
            TenantEvent::ErasureAsked { .. } => _ = self.asked.insert(tenant.clone(), recorded.entry.at),
            TenantEvent::ErasureCancelled => _ = self.asked.remove(tenant),
            TenantEvent::Erased => {
                self.asked.remove(tenant);
                self.tenants.entry(tenant.clone()).or_default();
            }
            TenantEvent::Destroyed { keys, contents } => {
                let erased = self.tenants.entry(tenant.clone()).or_default();
                erased.keys.extend(keys.iter().map(|key| key.owner.clone()));
                erased.contents |= contents.is_some();
            }
            TenantEvent::Created { .. }
            | TenantEvent::Suspended { .. }
            | TenantEvent::Resumed
            | TenantEvent::SettingsChanged { .. }
            | TenantEvent::ProjectCreated { .. }
            | TenantEvent::ProjectRenamed { .. }
            | TenantEvent::ProjectArchived { .. }
            | TenantEvent::ProjectRestored { .. }
            | TenantEvent::FlagSet { .. }
            | TenantEvent::FlagRemoved { .. }
            | TenantEvent::QuotaSet { .. }
            | TenantEvent::QuotaRemoved { .. }
            | TenantEvent::PlanSet { .. }
            | TenantEvent::PlanDefined { .. } => {}
        }
    }
}

impl Reads<IdentityEvent> for Erasures {
    fn read(&mut self, event: &IdentityEvent, recorded: &Recorded<'_>) {
        let tenant = &recorded.stream.tenant;
        match event {
            IdentityEvent::UserInvited { principal, .. } => {
                self.people.entry(tenant.clone()).or_default().insert(principal.clone());
            }
            IdentityEvent::UserErased { principal, .. } => {
                self.persons.entry((tenant.clone(), principal.clone())).or_insert(false);
            }
            IdentityEvent::UserKeyDestroyed { principal, .. } => {
                self.persons.insert((tenant.clone(), principal.clone()), true);
            }
            IdentityEvent::AccountCreated { .. }
            | IdentityEvent::OwnerSet { .. }
            | IdentityEvent::UserChanged { .. }
            | IdentityEvent::UserEnabled { .. }
            | IdentityEvent::UserDisabled { .. }
            | IdentityEvent::KeyReplaced { .. }
            | IdentityEvent::KeyIssued { .. }
            | IdentityEvent::KeyRevoked { .. } => {}
        }
    }
}

impl Erasures {
    /// All whose keys must not be there, of `tenant`.
    fn owners(&self, tenant: &TenantId) -> Vec<KeyOwner> {
        let people = self.people.get(tenant).into_iter().flatten();
        let people = people.map(|person| KeyOwner::Person(tenant.clone(), person.clone()));
        [KeyOwner::Tenant(tenant.clone())].into_iter().chain(people).collect()
    }
}

/// What this run has done: it does each thing once, whatever is on record.
#[derive(Debug, Default)]
struct Done {
    owners: HashSet<KeyOwner>,
    contents: HashSet<TenantId>,
}

/// Something did not work, and is tried again.
#[derive(Debug)]
struct NotYet;

/// One erasing process.
struct Eraser {
    ports: WorkerPorts,
    dispatch: Dispatch,
    live: Live<Erasures>,
    wait: Duration,
}

/// Erases until told to stop. A tenant that is to be erased waits so long.
///
/// # Errors
/// [`Error`] if the log holds what this build cannot read.
pub async fn run(ports: WorkerPorts, wait: Duration, shutdown: CancellationToken) -> Result<(), Error> {
    let live = Live::<Erasures>::start(ports.log.clone(), ports.clock.clone());
    let eraser = Eraser { dispatch: Dispatch::new(&ports), ports, live, wait };
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        stopped = eraser.erase_as_they_come() => Err(stopped.into()),
    }
}

impl Eraser {
    async fn erase_as_they_come(&self) -> NotFresh {
        // Without the whole past it is not known whose keys there are.
        if let Err(stopped) = wake::caught_up(&self.live).await {
            return stopped;
        }
        let mut done = Done::default();
        loop {
            let seen = self.live.positions();
            if let Some(why) = self.live.stopped() {
                return NotFresh::Stopped(why);
            }
            let mut failed = self.carry_out_due().await.is_err();
            failed |= self.erase_persons(&mut done).await.is_err();
            let tenants: Vec<TenantId> = self.live.read().tenants.keys().cloned().collect();
            for tenant in tenants {
                failed |= self.erase_tenant(&tenant, &mut done).await.is_err();
            }
            let pause = if failed { RETRY_PAUSE } else { self.next_due().min(wake::IDLE_MAX) };
            wake::moved(&self.live, &seen, pause).await;
        }
    }

    /// How long until the next waiting time is over.
    fn next_due(&self) -> Duration {
        let now = self.ports.clock.now();
        let erasures = self.live.read();
        let left = erasures.asked.values().map(|asked| self.wait.saturating_sub(now.since(*asked)));
        left.min().map_or(wake::IDLE_MAX, |left| left.max(Duration::from_millis(10)))
    }

    async fn carry_out_due(&self) -> Result<(), NotYet> {
        let now = self.ports.clock.now();
        let due = |asked: &Timestamp| now.since(*asked) >= self.wait;
        let due: Vec<TenantId> =
            self.live.read().asked.iter().filter(|(_, asked)| due(asked)).map(|(tenant, _)| tenant.clone()).collect();
        let mut outcome = Ok(());
        for tenant in due {
            match self.dispatch.send(&tenant, CarryOutErasure {}, &Cause::default()).await {
                // It was cancelled in the last moment.
                Ok(_) | Err(DispatchError::Rejected(_)) => {}
                Err(error) => outcome = Err(told(&KeyOwner::Tenant(tenant), &error)),
            }
        }
        outcome
    }

    async fn erase_persons(&self, done: &mut Done) -> Result<(), NotYet> {
        let persons: Vec<((TenantId, PrincipalId), bool)> =
            self.live.read().persons.iter().map(|(person, recorded)| (person.clone(), *recorded)).collect();
        let owner = |(tenant, person): &(TenantId, PrincipalId)| KeyOwner::Person(tenant.clone(), person.clone());
        let due = persons.into_iter().filter(|(person, recorded)| !recorded || !done.owners.contains(&owner(person)));
        let erased: Vec<_> = stream::iter(due.collect::<Vec<_>>())
            .map(|(person, recorded)| async move {
                let DestroyedKey { owner, wrapped } = self.destroy(owner(&person)).await?;
                let (tenant, principal) = person;
                if !recorded {
                    let record = RecordDestroyedKey { principal, wrapped };
                    let sent = self.dispatch.send(&tenant, record, &Cause::default()).await;
                    sent.map_err(|error| told(&owner, &error))?;
                    tracing::info!(tenant.id = %tenant, owner = %owner, "a person was erased");
                }
                Ok::<_, NotYet>(owner)
            })
            .buffer_unordered(DESTROYING_MAX)
            .collect()
            .await;
        let all = erased.len();
        let gone: Vec<KeyOwner> = erased.into_iter().flatten().collect();
        let failed = gone.len() < all;
        done.owners.extend(gone);
        if failed { Err(NotYet) } else { Ok(()) }
    }

    async fn erase_tenant(&self, tenant: &TenantId, done: &mut Done) -> Result<(), NotYet> {
        let (owners, recorded) = {
            let erasures = self.live.read();
            (erasures.owners(tenant), erasures.tenants.get(tenant).cloned().unwrap_or_default())
        };
        let due: Vec<KeyOwner> =
            owners.into_iter().filter(|owner| !done.owners.contains(owner) || !recorded.keys.contains(owner)).collect();
        let destroyed: Vec<Result<DestroyedKey, NotYet>> =
            stream::iter(due).map(|owner| self.destroy(owner)).buffer_unordered(DESTROYING_MAX).collect().await;
        let destroyed: Vec<DestroyedKey> = destroyed.into_iter().collect::<Result<_, _>>()?;
        let new: Vec<DestroyedKey> =
            destroyed.iter().filter(|key| !recorded.keys.contains(&key.owner)).cloned().collect();
        for keys in new.chunks(RECORDED_MAX) {
            self.record(tenant, RecordDestroyed { keys: keys.to_vec(), contents: None }).await?;
        }
        done.owners.extend(destroyed.into_iter().map(|key| key.owner));
        if !done.contents.contains(tenant) || !recorded.contents {
            let removed = self.ports.contents.remove_all(tenant).await;
            let removed = removed.map_err(|error| told(&KeyOwner::Tenant(tenant.clone()), &error))?;
            self.retire(tenant).await?;
            self.record(tenant, RecordDestroyed { keys: vec![], contents: Some(removed) }).await?;
            done.contents.insert(tenant.clone());
            tracing::info!(tenant.id = %tenant, contents = removed, "a tenant is erased");
        }
        Ok(())
    }

    async fn destroy(&self, owner: KeyOwner) -> Result<DestroyedKey, NotYet> {
        let destroyed = self.ports.keyring.destroy(&owner).await;
        let wrapped = destroyed.map_err(|error| match std::error::Error::source(&error) {
            Some(why) => told(&owner, &format_args!("{error}: {why}")),
            None => told(&owner, &error),
        })?;
        Ok(DestroyedKey { owner, wrapped })
    }

    async fn record(&self, tenant: &TenantId, record: RecordDestroyed) -> Result<(), NotYet> {
        let sent = self.dispatch.send(tenant, record, &Cause::default()).await;
        sent.map(|_| ()).map_err(|error| told(&KeyOwner::Tenant(tenant.clone()), &error))
    }

    /// The name stays taken, and whoever asks for it is told why.
    async fn retire(&self, tenant: &TenantId) -> Result<(), NotYet> {
        let retire = RetireTenant { tenant: tenant.clone() };
        let sent = self.dispatch.send(&TenantId::steward(), retire, &Cause::default()).await;
        sent.map(|_| ()).map_err(|error| told(&KeyOwner::Tenant(tenant.clone()), &error))
    }
}

fn told(owner: &KeyOwner, error: &dyn std::fmt::Display) -> NotYet {
    tracing::warn!(owner = %owner, error = %error, "not erased yet");
    NotYet
}
