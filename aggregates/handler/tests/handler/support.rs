//! A log, handlers on it, and people who send commands.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use steward_events::commit::Commit;
use steward_events::digest::CommitHash;
use steward_events::event::{AggregateKind, Event, KeyHash};
use steward_events::id::{PrincipalId, StreamId, TenantId};
use steward_events::ids::Ids;
use steward_events::quantity::{Position, Version};
use steward_events::request::{Envelope, Format, Reply, Request};
use steward_events::sealed::DataKey;
use steward_events::shard::choose_shard;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_handler::bootstrap::{Bootstrap, first_start};
use steward_handler::{Handler, HandlerConfig, HandlerPorts};
use steward_ports::bus::{CommandService, Failure};
use steward_ports::clock::{Clock, RandomIds, SystemClock};
use steward_ports::keys::{Keyring, MemoryVault};
use steward_ports::log::EventLog;
use steward_ports::log::memory::MemoryLog;

pub(crate) const SHARDS: u16 = 4;
pub(crate) const TIME_MAX: Duration = Duration::from_secs(20);

pub(crate) fn acme() -> TenantId {
    "acme".parse().unwrap()
}

/// A log that was started, with the tenant `acme` open; `op` is the operator.
pub(crate) struct HandlerEnv {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) op: PrincipalId,
    keyring: Arc<Keyring>,
}

impl HandlerEnv {
    pub(crate) async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        Self::on(Arc::new(MemoryLog::new(SHARDS, Arc::clone(&clock))), clock).await
    }

    pub(crate) async fn on(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Self {
        let ids: Arc<dyn Ids> = Arc::new(RandomIds::default());
        let keyring = Arc::new(Keyring::new(DataKey::random().unwrap(), Arc::new(MemoryVault::default())));
        let mut env = Self { log, clock, ids, op: "op_nobody".parse().unwrap(), keyring };
        env.op = env.start("operator-secret").await.operator;
        let handler = env.handler();
        let create = env.command("steward", env.op.as_str(), "tenant", "create", &json!({"tenant": "acme"}));
        accepted(handler.handle(create).await);
        let open = json!({"timezone": "UTC"});
        accepted(handler.handle(env.command("acme", "sys_worker", "tenant", "open", &open)).await);
        env
    }

    pub(crate) async fn start(&self, secret: &str) -> Bootstrap {
        let (log, clock, ids) = (Arc::clone(&self.log), Arc::clone(&self.clock), Arc::clone(&self.ids));
        first_start(log, clock, ids, self.log.shards(), &KeyHash::of(secret)).await.unwrap()
    }

    pub(crate) fn handler(&self) -> Arc<Handler> {
        self.handler_with(HandlerConfig::default())
    }

    pub(crate) fn handler_with(&self, config: HandlerConfig) -> Arc<Handler> {
        let ports = HandlerPorts {
            log: Arc::clone(&self.log),
            keyring: Arc::clone(&self.keyring),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
        };
        Handler::new(ports, config)
    }

    /// A command with an id of its own, issued now.
    pub(crate) fn command(&self, tenant: &str, who: &str, noun: &str, verb: &str, body: &Value) -> Request {
        Request {
            tenant: tenant.parse().unwrap(),
            principal: who.parse().unwrap(),
            noun: noun.to_owned(),
            verb: verb.to_owned(),
            envelope: Envelope {
                command: self.ids.unique().parse().unwrap(),
                issued_at: self.clock.now(),
                on_behalf_of: None,
                causation: None,
                correlation: "r1".parse().unwrap(),
                traceparent: None,
            },
            format: Format::Json,
            body: Bytes::from(serde_json::to_vec(body).unwrap()),
        }
    }

    /// The operator's command to `acme`.
    pub(crate) fn op(&self, noun: &str, verb: &str, body: &Value) -> Request {
        self.command("acme", self.op.as_str(), noun, verb, body)
    }

    pub(crate) fn account(&self, name: &str) -> Request {
        self.op("account", "create", &json!({ "name": name }))
    }

    pub(crate) fn stream(&self, kind: AggregateKind, id: &str) -> StreamName {
        let shard = choose_shard(&acme(), self.log.shards());
        StreamName { shard, tenant: acme(), kind, id: id.parse().unwrap() }
    }

    /// The commits of one of `acme`'s streams, its chain and times checked.
    pub(crate) async fn commits(&self, kind: AggregateKind, id: &str) -> Vec<(Position, Commit)> {
        let stream = self.stream(kind, id);
        let (mut version, mut hash, mut at) = (Version(0), CommitHash::default(), Timestamp(0));
        let mut commits = Vec::new();
        for stored in self.log.load(&stream, Position(0)).await.unwrap() {
            let commit = Commit::decode(&stored.stream, &stored.bytes).unwrap();
            version = version.next();
            assert_eq!((commit.version, commit.prev), (version, hash), "the chain of {stream}");
            hash = CommitHash::of(&stored.bytes);
            for entry in &commit.entries {
                assert!(entry.at >= at, "time went back in {stream}");
                at = entry.at;
            }
            commits.push((stored.position, commit));
        }
        commits
    }

    pub(crate) async fn events(&self, kind: AggregateKind, id: &str) -> Vec<Event> {
        let commits = self.commits(kind, id).await;
        commits.into_iter().flat_map(|(_, c)| c.entries).flat_map(|entry| entry.events).collect()
    }

    /// All ids of streams of a kind that `acme` has.
    pub(crate) async fn ids_of(&self, kind: AggregateKind) -> Vec<StreamId> {
        let shard = choose_shard(&acme(), self.log.shards());
        let mut ids = Vec::new();
        let mut position = Position(1);
        while let Some(stored) = self.log.at(shard, position).await.unwrap() {
            if stored.stream.kind == kind && stored.stream.tenant == acme() && !ids.contains(&stored.stream.id) {
                ids.push(stored.stream.id);
            }
            position = Position(position.0 + 1);
        }
        ids
    }
}

#[track_caller]
pub(crate) fn accepted(outcome: Result<Reply, Failure>) -> Reply {
    let reply = outcome.unwrap();
    assert!(reply.accepted, "{:?}", reply.message);
    reply
}

#[track_caller]
pub(crate) fn refused(outcome: Result<Reply, Failure>) -> steward_events::rejection::Rejection {
    outcome.unwrap().rejection.unwrap()
}
