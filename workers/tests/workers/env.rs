//! A log, a desk, a gateway and workers, in one process.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use steward_events::BoxError;
use steward_events::command::{Command, CreateTenant, DefineAgent, GiveGrant, InviteUser, OpenTenant, SubmitTask};
use steward_events::commit::Commit;
use steward_events::event::{AgentSpec, Event, PatternKind, Profile, TaskEvent, TaskInput};
use steward_events::id::{PrincipalId, SystemPart, TaskId, TenantId};
use steward_events::ids::Ids;
use steward_events::quantity::{Position, Shard, Tokens};
use steward_events::rejection::Rejection;
use steward_events::request::{Envelope, Format, Reply, Request};
use steward_events::sealed::{Content, DataKey};
use steward_events::shard::choose_shard;
use steward_events::timestamp::Timestamp;
use steward_ports::bus::{CommandBus, CommandService, LocalBus};
use steward_ports::clock::{Clock, RandomIds, SystemClock};
use steward_ports::contents::MemoryContents;
use steward_ports::keys::{Keyring, MemoryVault};
use steward_ports::log::memory::MemoryLog;
use steward_ports::log::{EventLog, Filter};
use steward_ports::timers::{Due, TimerKey, Timers};
use steward_tlog::SigningKey;
use steward_workers::{Config, Notary, WorkerPorts, Workers};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::desk::Desk;
use crate::gateway::Gateway;

/// Nothing here waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct WorkersEnv {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) contents: Arc<MemoryContents>,
    pub(crate) gateway: Gateway,
}

/// A worker process at work; dropping it is a kill.
pub(crate) struct Process {
    pub(crate) workers: Arc<Workers>,
    pub(crate) shutdown: CancellationToken,
    task: JoinHandle<Result<(), steward_workers::process::Error>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Process {
    /// Stops it as an operator would.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        within("stopping", &mut self.task).await.unwrap().unwrap();
    }
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// What takes too long fails the test and says what it was.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

impl WorkersEnv {
    pub(crate) async fn new(gateway: Gateway) -> Self {
        // Every test installs it; the first one counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::default());
        let vault = Arc::new(MemoryVault::default());
        let keyring = Arc::new(Keyring::new(DataKey::random().unwrap(), vault));
        let desk = Arc::new(Desk::new(Arc::clone(&log), Arc::clone(&keyring)).await);
        let contents = Arc::new(MemoryContents::new(Arc::new(SystemClock::default())));
        Self { log, desk, keyring, contents, gateway }
    }

    /// Places a tenant; a worker opens it.
    pub(crate) async fn place(&self, name: &str) {
        let create = CreateTenant { tenant: tenant(name), timezone: "UTC".to_owned() };
        self.send_as(&self.desk.operator, "steward", create).await.unwrap();
    }

    /// A tenant that is open, with the agent `researcher` and the owner `p_ana`.
    pub(crate) async fn with_tenant(self, name: &str) -> Self {
        self.place(name).await;
        let open = OpenTenant { timezone: "UTC".to_owned() };
        self.send_as(&PrincipalId::system(SystemPart::Worker), name, open).await.unwrap();
        let ana = PrincipalId::new("p_ana").unwrap();
        let profile = Content::Plain(Profile { email: "ana@example.com".to_owned(), name: "Ana".to_owned() });
        self.send_as(&self.desk.operator, name, InviteUser { principal: Some(ana.clone()), profile }).await.unwrap();
        let (role, on) = ("owner".parse().unwrap(), name.parse().unwrap());
        let grant = GiveGrant { to: ana, role, on, expires: None, condition: None };
        self.send_as(&self.desk.operator, name, grant).await.unwrap();
        let spec = AgentSpec {
            model: "small".parse().unwrap(),
            instructions: "Be brief.".to_owned(),
            pattern: PatternKind::Single,
            output_max: Tokens(32),
            steps_max: 8,
        };
        self.send(name, DefineAgent { agent: "researcher".parse().unwrap(), spec }).await.unwrap();
        self
    }

    /// Sends a command as `p_ana`.
    pub(crate) async fn send(&self, to: &str, command: impl Into<Command>) -> Result<Reply, Rejection> {
        self.send_as(&PrincipalId::new("p_ana").unwrap(), to, command).await
    }

    pub(crate) async fn send_as(
        &self,
        principal: &PrincipalId,
        to: &str,
        command: impl Into<Command>,
    ) -> Result<Reply, Rejection> {
        let command = command.into();
        let (noun, verb) = command.name();
        let request = Request {
            tenant: tenant(to),
            principal: principal.clone(),
            noun: noun.to_owned(),
            verb: verb.to_owned(),
            envelope: Envelope {
                command: RandomIds::default().unique().parse().unwrap(),
                issued_at: now(),
                on_behalf_of: None,
                causation: None,
                correlation: "chain".parse().unwrap(),
                traceparent: None,
            },
            format: Format::Json,
            body: command.write(Format::Json).unwrap(),
        };
        self.desk.handle(request).await.unwrap().into_result()
    }

    pub(crate) async fn submit(&self, to: &str, task: &str, limit: Option<&str>) {
        let submit = SubmitTask {
            task: Some(TaskId::new(task).unwrap()),
            agent: "researcher".parse().unwrap(),
            input: Content::Plain(TaskInput { prompt: format!("What is {task}?") }),
            scope: Some(format!("{to}/research").parse().unwrap()),
            limit: limit.map(|limit| limit.parse().unwrap()),
        };
        self.send(to, submit).await.unwrap();
    }

    pub(crate) fn ports(&self, bus: Arc<dyn CommandBus>) -> WorkerPorts {
        WorkerPorts {
            log: Arc::clone(&self.log),
            paced: Arc::clone(&self.log),
            bus,
            timers: Arc::new(NoTimers),
            keyring: Arc::clone(&self.keyring),
            contents: Arc::clone(&self.contents) as _,
            clock: Arc::new(SystemClock::default()),
            ids: Arc::new(RandomIds::default()),
            notary: Arc::new(notary()),
        }
    }

    pub(crate) fn bus(&self) -> Arc<dyn CommandBus> {
        let service: Arc<dyn CommandService> = self.desk.clone();
        Arc::new(LocalBus::new(service, None))
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            gateway_url: Some(self.gateway.url.clone()),
            claim_timeout: Duration::from_millis(1_500),
            drain_time_max: Duration::from_millis(300),
            erasure_wait: Duration::ZERO,
            ..Config::default()
        }
    }

    pub(crate) fn start(&self) -> Process {
        self.start_with(self.config(), self.bus())
    }

    pub(crate) fn start_with(&self, config: Config, bus: Arc<dyn CommandBus>) -> Process {
        let workers = Arc::new(Workers::new(self.ports(bus), config).unwrap());
        let shutdown = CancellationToken::new();
        let (running, told) = (Arc::clone(&workers), shutdown.clone());
        let task = tokio::spawn(async move { running.run(told).await });
        Process { workers, shutdown, task }
    }

    /// Everything recorded for a tenant, in order.
    pub(crate) async fn events(&self, of: &str) -> Vec<Event> {
        let shard = choose_shard(&tenant(of), self.log.shards());
        self.recorded(Filter::shard(shard).tenant(&tenant(of))).await
    }

    pub(crate) async fn recorded(&self, filter: Filter) -> Vec<Event> {
        let last = self.log.last(&filter).await.unwrap();
        let mut events = Vec::new();
        if last == Position(0) {
            return events;
        }
        let mut follow = self.log.follow(&filter, Position(0)).await.unwrap();
        while let Some(stored) = follow.next().await {
            let stored = stored.unwrap();
            let commit = Commit::decode(&stored.stream, &stored.bytes).unwrap();
            events.extend(commit.recorded(stored.position).map(|recorded| recorded.event.clone()));
            if stored.position >= last {
                break;
            }
        }
        events
    }

    /// What is recorded of a task.
    pub(crate) async fn task(&self, of: &str, task: &str) -> Vec<TaskEvent> {
        let shard: Shard = choose_shard(&tenant(of), self.log.shards());
        let filter = Filter { id: Some(task.parse().unwrap()), ..Filter::shard(shard).tenant(&tenant(of)) };
        let tasks = self.recorded(filter).await.into_iter();
        tasks.filter_map(|event| if let Event::Task(event) = event { Some(event) } else { None }).collect()
    }

    /// Waits until a task ends, and says how: `finished`, `failed: …`, `cancelled`.
    pub(crate) async fn end(&self, of: &str, task: &str) -> String {
        let mut end = String::new();
        eventually(&format!("the end of {task}"), async || {
            end = match self.task(of, task).await.last() {
                Some(TaskEvent::Finished { .. }) => "finished".to_owned(),
                Some(TaskEvent::Failed { reason, .. }) => format!("failed: {reason}"),
                Some(TaskEvent::Cancelled { .. }) => "cancelled".to_owned(),
                _ => return false,
            };
            true
        })
        .await;
        end
    }
}

/// Who signs here.
pub(crate) fn notary() -> Notary {
    Notary { key: SigningKey::from_bytes(&[7; 32]), name: "steward.example".to_owned() }
}

/// Nobody sets timers here.
struct NoTimers;

#[async_trait]
impl Timers for NoTimers {
    async fn set(&self, _: &TimerKey, _: Timestamp, _: Vec<u8>) -> Result<(), BoxError> {
        Ok(())
    }
    async fn cancel(&self, _: &TimerKey) -> Result<(), BoxError> {
        Ok(())
    }
    async fn due(&self, _: &str) -> Result<BoxStream<'static, Box<dyn Due>>, BoxError> {
        Ok(stream::pending().boxed())
    }
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    SystemClock::default().now()
}
