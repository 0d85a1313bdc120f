//! Decides commands over the in-memory log with the real aggregates: no authorisation, one command at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use steward_aggregates::agent::Agent;
use steward_aggregates::aggregate::{Aggregate, Stamp};
use steward_aggregates::identity::Identity;
use steward_aggregates::ledger::Ledger;
use steward_aggregates::task::Task;
use steward_aggregates::tenant::Tenant;
use steward_events::append::{AppendError, append};
use steward_events::bus::{CommandService, Failure, Reply, Request};
use steward_events::clock::{Clock, Ids, SystemClock, Timestamp};
use steward_events::command::{Command, LedgerCommand, RegistryCommand, TaskCommand};
use steward_events::commit::{Commit, CommitHash, Entry};
use steward_events::event::{Event, Facts, RegistryEvent};
use steward_events::id::CommitId;
use steward_events::keys::Keyring;
use steward_events::log::{EventLog, StreamName};
use steward_events::placement::{Placement, choose_shard};
use steward_events::quantity::{Position, Version};
use steward_events::rejection::Rejection;
use steward_events::sealed::{Content, KeyOwner, Sealed};
use tokio::sync::Mutex;

pub(crate) struct Desk {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) ids: Arc<dyn Ids>,
    clock: SystemClock,
    placement: Placement,
    /// Every command that was decided, with its sender's worker or key where it has one.
    pub(crate) decided: Mutex<Vec<Request>>,
    /// Refuses budgets for tasks, to see what a task makes of that.
    pub(crate) refuse_budgets: AtomicBool,
    turn: Mutex<()>,
}

impl Desk {
    pub(crate) fn new(log: Arc<dyn EventLog>, keyring: Arc<Keyring>, ids: Arc<dyn Ids>) -> Self {
        Self {
            placement: Placement::new(Arc::clone(&log)),
            log,
            keyring,
            ids,
            clock: SystemClock::default(),
            decided: Mutex::default(),
            refuse_budgets: false.into(),
            turn: Mutex::default(),
        }
    }

    async fn decide<A: Aggregate>(
        &self,
        request: &Request,
        stream: StreamName,
        command: A::Command,
    ) -> Result<Reply, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure(error.to_string());
        let mut state = A::default();
        let (mut position, mut version, mut prev) = (Position(0), Version(0), CommitHash::default());
        for stored in self.log.load(&stream, Position(0)).await.map_err(|error| failed(&error))? {
            let commit = Commit::decode(&stream, &stored.bytes).map_err(|error| failed(&error))?;
            for recorded in commit.recorded(stored.position) {
                state.apply(A::Event::from_event(recorded.event).unwrap(), recorded.entry.at);
            }
            (position, version, prev) = (stored.position, commit.version, CommitHash::of(&stored.bytes));
        }
        let envelope = request.envelope.clone();
        let stamp = Stamp {
            command: envelope.command.clone(),
            at: self.clock.now(),
            tenant: request.tenant.clone(),
            actor: request.principal.clone(),
            on_behalf_of: envelope.on_behalf_of.clone(),
            timezone: "UTC".to_owned(),
            shards: self.log.shards(),
        };
        let events = match state.decide(&command, &stamp) {
            Ok(events) => events,
            Err(rejection) => return Ok(Reply::refused(rejection, position)),
        };
        for event in &events {
            state.apply(event, stamp.at);
        }
        let answer = state.answer(&command);
        let events: Vec<Event> = events.into_iter().map(Into::into).collect();
        let names = events.iter().map(Event::name).collect();
        if !events.is_empty() {
            let entry = Entry {
                command: envelope.command,
                at: stamp.at,
                actor: request.principal.clone(),
                on_behalf_of: envelope.on_behalf_of,
                causation: envelope.causation,
                correlation: envelope.correlation,
                events,
            };
            let id = CommitId::new(self.ids.unique()).unwrap();
            let commit = Commit { id, stream, version: version.next(), prev, entries: vec![entry] };
            position = match append(&*self.log, position, &commit).await {
                Ok(appended) => appended.position,
                Err(AppendError::Conflict) => unreachable!("one at a time"),
                Err(error) => return Err(failed(&error)),
            };
        }
        Ok(Reply { accepted: true, events: names, position, answer, rejection: None, message: None })
    }

    async fn seal<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        request: &Request,
        content: &mut Content<T>,
    ) {
        let owner = KeyOwner::Tenant(request.tenant.clone());
        let key = self.keyring.find_or_make(&owner).await.unwrap();
        if let Content::Plain(plain) = content {
            *content = Content::Sealed(Sealed::seal(plain, owner, &key).unwrap());
        }
    }
}

#[async_trait]
impl CommandService for Desk {
    async fn handle(&self, request: Request) -> Result<Reply, Failure> {
        let _turn = self.turn.lock().await;
        let mut command = match Command::read(&request.noun, &request.verb, request.format, &request.body) {
            Ok(command) => command,
            Err(rejection) => return Ok(Reply::refused(rejection, Position(0))),
        };
        command.complete(&*self.ids);
        let kind = command.aggregate();
        let stream = self.placement.stream(&request.tenant, kind, command.stream()).await;
        let stream = stream.map_err(|error| Failure(error.to_string()))?;
        let Some(stream) = stream else {
            return Ok(Reply::refused(Rejection::UnknownTenant { tenant: request.tenant }, Position(0)));
        };
        self.decided.lock().await.push(request.clone());
        match command {
            Command::Tenant(command) => self.decide::<Tenant>(&request, stream, command).await,
            Command::Identity(command) => self.decide::<Identity>(&request, stream, command).await,
            Command::Agent(command) => self.decide::<Agent>(&request, stream, command).await,
            Command::Task(mut command) => {
                match &mut command {
                    TaskCommand::SubmitTask(submit) => self.seal(&request, &mut submit.input).await,
                    TaskCommand::FinishStep(finish) => self.seal(&request, &mut finish.output).await,
                    TaskCommand::FinishTask(finish) => self.seal(&request, &mut finish.output).await,
                    _ => {}
                }
                self.decide::<Task>(&request, stream, command).await
            }
            Command::Ledger(LedgerCommand::SetBudget(_)) if self.refuse_budgets.load(Ordering::Relaxed) => {
                Ok(Reply::refused(Rejection::invalid("scope", "no budgets here"), Position(0)))
            }
            Command::Ledger(command) => self.decide::<Ledger>(&request, stream, command).await,
            other => Err(Failure(format!("not decided here: {:?}", other.name()))),
        }
    }
}

/// Records that a tenant is placed, as the registry would.
pub(crate) async fn place(desk: &Desk, create: steward_events::command::CreateTenant) {
    let command = RegistryCommand::CreateTenant(create);
    let RegistryCommand::CreateTenant(create) = &command;
    let stream = steward_events::placement::registry_stream(&create.tenant);
    let shard = choose_shard(&create.tenant, desk.log.shards());
    let placed = RegistryEvent::TenantPlaced {
        tenant: create.tenant.clone(),
        shard,
        timezone: create.timezone.clone(),
        content: create.content,
    };
    let entry = Entry {
        command: "c_place".parse().unwrap(),
        at: Timestamp(1),
        actor: "op_root".parse().unwrap(),
        on_behalf_of: None,
        causation: None,
        correlation: "chain".parse().unwrap(),
        events: vec![placed.into()],
    };
    let id = CommitId::new(desk.ids.unique()).unwrap();
    let commit = Commit { id, stream, version: Version(1), prev: CommitHash::default(), entries: vec![entry] };
    append(&*desk.log, Position(0), &commit).await.unwrap();
}
