//! A handler of ledger commands: one of several replicas, any of which may decide; the log arbitrates.
//!
//! It decides in memory what has queued up while an append was under way, and answers only when what it decided on is
//! recorded or confirmed to be the end of the log.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use steward_aggregates::aggregate::{Aggregate, Stamp};
use steward_aggregates::ledger::{LeaseAnswer, Ledger, Outcome};
use steward_events::command::{Command, LedgerCommand};
use steward_events::commit::{Commit, Entry};
use steward_events::digest::CommitHash;
use steward_events::event::{AggregateEvents, AggregateKind, Event, LedgerEvent};
use steward_events::id::StreamId;
use steward_events::ids::Ids;
use steward_events::quantity::{Position, Shard, Version};
use steward_events::rejection::Rejection;
use steward_events::request::{Reply, Request};
use steward_events::scope::Scope;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_ports::append::{AppendError, append};
use steward_ports::bus::{BusError, CommandBus};
use steward_ports::clock::Clock;
use steward_ports::log::{EventLog, LogError};
use tokio::sync::{mpsc, oneshot};

use crate::broker::{Broker, LogPort};
use crate::env::{Surroundings, tenant};
use crate::process::Process;

/// How long a sender waits for its answer.
const COMMAND_TIME_MAX: Duration = Duration::from_millis(900);

/// Commands decided into one commit at most.
const GROUP_MAX: usize = 8;

type PendingRequest = (Request, oneshot::Sender<Reply>);

/// Reaches a replica.
#[derive(Clone)]
pub(crate) struct ReplicaHandle(mpsc::UnboundedSender<PendingRequest>);

/// The stream that the replicas decide.
pub(crate) fn ledger_stream() -> StreamName {
    StreamName { shard: Shard(0), tenant: tenant(), kind: AggregateKind::Ledger, id: StreamId::main() }
}

/// A replica and what it remembers.
pub(crate) struct Replica {
    around: Arc<Surroundings>,
    broker: Arc<Broker>,
    process: Arc<Process>,
    log: Arc<LogPort>,
    inbox: mpsc::UnboundedReceiver<PendingRequest>,
    ledger: Ledger,
    position: Position,
    version: Version,
    hash: CommitHash,
    at: Timestamp,
    after_append: Option<crate::env::AfterAppend>,
}

struct Decided {
    request: Request,
    reply: Reply,
    to: oneshot::Sender<Reply>,
}

impl Replica {
    pub(crate) fn start(
        around: &Arc<Surroundings>,
        broker: &Arc<Broker>,
        process: &Arc<Process>,
        after_append: Option<crate::env::AfterAppend>,
    ) -> (ReplicaHandle, impl Future<Output = ()> + use<>) {
        let (sender, inbox) = mpsc::unbounded_channel();
        let replica = Self {
            around: Arc::clone(around),
            broker: Arc::clone(broker),
            process: Arc::clone(process),
            log: LogPort::new(Arc::clone(broker), Arc::clone(process)),
            inbox,
            ledger: Ledger::default(),
            position: Position(0),
            version: Version(0),
            hash: CommitHash::default(),
            at: Timestamp(0),
            after_append,
        };
        (ReplicaHandle(sender), replica.run())
    }

    async fn run(mut self) {
        while let Some(first) = self.inbox.recv().await {
            let mut group = vec![first];
            while group.len() < GROUP_MAX
                && let Ok(next) = self.inbox.try_recv()
            {
                group.push(next);
            }
            self.process.running().await;
            self.decide(group).await;
        }
    }

    async fn decide(&mut self, mut group: Vec<PendingRequest>) {
        loop {
            let before = (self.ledger.clone(), self.at);
            let mut entries = Vec::new();
            let mut decided = Vec::new();
            for (request, to) in group.drain(..) {
                let reply = self.decide_one(&request, &mut entries);
                decided.push(Decided { request, reply, to });
            }
            if entries.is_empty() {
                self.around.latency().await;
                self.process.running().await;
                if self.broker.end(&ledger_stream()) == self.position {
                    return self.answer(decided);
                }
            } else {
                let events = entries.iter().flat_map(|entry: &Entry| entry.events.clone()).collect::<Vec<_>>();
                let commit = Commit {
                    id: self.around.ids.unique().parse().expect("an id"),
                    stream: ledger_stream(),
                    version: self.version.next(),
                    prev: self.hash,
                    entries,
                };
                let outcome = loop {
                    match append(&*self.log, self.position, &commit).await {
                        Err(AppendError::Unavailable(_)) => {}
                        outcome => break outcome,
                    }
                };
                match outcome {
                    Ok(appended) => {
                        self.position = appended.position;
                        self.version = commit.version;
                        self.hash = appended.hash;
                        if let Some(after) = &self.after_append {
                            after(&events);
                        }
                        return self.answer(decided);
                    }
                    Err(AppendError::Conflict) => {}
                    Err(error) => panic!("the simulated log refuses a commit: {error}"),
                }
            }
            (self.ledger, self.at) = before;
            while self.reload().await.is_err() {}
            group = decided.into_iter().map(|Decided { request, to, .. }| (request, to)).collect();
        }
    }

    fn decide_one(&mut self, request: &Request, entries: &mut Vec<Entry>) -> Reply {
        let command = Command::read(&request.noun, &request.verb, request.format, &request.body);
        let command = match command {
            Ok(Command::Ledger(command)) => command,
            Ok(_) => return Reply::refused(Rejection::not_found("command", &request.noun), self.position),
            Err(rejection) => return Reply::refused(rejection, self.position),
        };
        // Never backwards within the stream.
        let at = self.process.now().max(self.at);
        let stamp = Stamp {
            command: request.envelope.command.clone(),
            at,
            tenant: tenant(),
            actor: request.principal.clone(),
            key: None,
            on_behalf_of: None,
            reach: Scope::everything(),
            timezone: "Europe/Berlin".to_owned(),
            quotas: steward_events::event::Quotas::default(),
            shards: 1,
        };
        match self.ledger.decide(&command, &stamp) {
            Err(rejection) => {
                if matches!(rejection, Rejection::BudgetExhausted { .. }) {
                    self.note_refusal(&command, at);
                }
                Reply::refused(rejection, self.position)
            }
            Ok(events) => {
                for event in &events {
                    self.ledger.apply(event, at);
                }
                let answer = self.ledger.answer(&command);
                // A duplicate is told what was decided when it was decided.
                let decided_at = if events.is_empty() { self.ledger.at() } else { at };
                if !events.is_empty() {
                    self.at = at;
                    entries.push(Entry {
                        command: request.envelope.command.clone(),
                        at,
                        actor: request.principal.clone(),
                        on_behalf_of: None,
                        key: None,
                        causation: None,
                        correlation: request.envelope.correlation.clone(),
                        body: None,
                        events: events.into_iter().map(Event::from).collect(),
                    });
                }
                if let Ok(LeaseAnswer { outcome: Outcome::Refused { .. }, .. }) = serde_json::from_value(answer.clone())
                {
                    self.note_refusal(&command, decided_at);
                }
                Reply {
                    accepted: true,
                    events: Vec::new(),
                    position: self.position,
                    answer,
                    rejection: None,
                    message: None,
                }
            }
        }
    }

    /// A refusal must rest on settled amounts. It is judged by the state it was decided on, also if that was stale:
    /// then it never leaves, and a false one is caught when it is decided again.
    fn note_refusal(&self, command: &LedgerCommand, at: Timestamp) {
        let (scopes, request) = match command {
            LedgerCommand::GrantLease(command) => (command.scopes.clone(), command.request.clone()),
            LedgerCommand::RenewLease(command) => match (self.ledger.lease(&command.lease), &command.request) {
                (Some(lease), Some(request)) => (lease.scopes.clone(), request.clone()),
                _ => return,
            },
            _ => return,
        };
        self.broker.checker().refusal(&self.ledger, &scopes, &request, at);
    }

    fn answer(&self, decided: Vec<Decided>) {
        for Decided { mut reply, to, .. } in decided {
            reply.position = self.position;
            // Whoever asked may have given up.
            let _ = to.send(reply);
        }
    }

    async fn reload(&mut self) -> Result<(), LogError> {
        let mut read = self.log.load(&ledger_stream(), self.position).await?;
        loop {
            for stored in read.drain(..) {
                let commit = Commit::decode(&ledger_stream(), &stored.bytes)?;
                for recorded in commit.recorded(stored.position) {
                    if let Some(event) = LedgerEvent::from_event(recorded.event) {
                        self.ledger.apply(event, recorded.entry.at);
                    }
                    self.at = self.at.max(recorded.entry.at);
                }
                self.position = stored.position;
                self.version = commit.version;
                self.hash = CommitHash::of(&stored.bytes);
            }
            match self.log.slot(&ledger_stream(), self.position).await? {
                Some(next) => read.push(next),
                None => return Ok(()),
            }
        }
    }
}

/// One process's way to the replicas: commands are lost, doubled, late, and so are replies.
pub(crate) struct BusPort {
    pub(crate) around: Arc<Surroundings>,
    pub(crate) process: Arc<Process>,
}

#[async_trait]
impl CommandBus for BusPort {
    async fn command(&self, request: Request) -> Result<Reply, BusError> {
        let around = &self.around;
        let subject = request.command_subject();
        self.process.running().await;
        around.latency().await;
        if around.fault(8) {
            tokio::time::sleep(COMMAND_TIME_MAX).await;
            self.process.running().await;
            return Err(BusError::TimedOut { subject });
        }
        if around.fault(6) {
            let (around, request) = (Arc::clone(around), request.clone());
            let late = around.rng.skewed_millis(45_000);
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                drop(deliver(&around, request));
            });
        }
        let hears = deliver(around, request);
        let reply = tokio::time::timeout(COMMAND_TIME_MAX, hears).await;
        around.latency().await;
        self.process.running().await;
        match reply {
            Ok(Ok(reply)) if !around.fault(8) => Ok(reply),
            _ => Err(BusError::TimedOut { subject }),
        }
    }

    async fn query(&self, request: Request) -> Result<Result<bytes::Bytes, Rejection>, BusError> {
        Err(BusError::NobodyListens { subject: request.query_subject() })
    }
}

fn deliver(around: &Surroundings, request: Request) -> impl Future<Output = Result<Reply, oneshot::error::RecvError>> {
    let (to, hears) = oneshot::channel();
    let replicas = around.replicas();
    let chosen = usize::try_from(around.rng.below(replicas.len() as u64)).unwrap_or(0);
    if let Some(ReplicaHandle(inbox)) = replicas.get(chosen) {
        // A replica that is just dying hears nothing.
        let _ = inbox.send((request, to));
    }
    hears.map(|reply| reply)
}
