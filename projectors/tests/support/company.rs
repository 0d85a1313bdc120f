//! A small company for tests: its permissions as events, its views, and somebody to ask them.

#![allow(dead_code, unreachable_pub)] // a module of several tests, each of which uses a part

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use steward_events::event::{AccessEvent, AggregateKind, Event, GrantId, IdentityEvent, RegistryEvent, TenantEvent};
use steward_events::id::{CommandId, CorrelationId, PrincipalId, RoleId};
use steward_events::quantity::Shard;
use steward_events::rejection::Rejection;
use steward_events::request::{Envelope, Format, Request};
use steward_events::sealed::DataKey;
use steward_events::shard::registry_stream;
use steward_events::timestamp::Timestamp;
use steward_ports::bus::QueryService;
use steward_ports::clock::{Clock, RandomIds, SystemClock};
use steward_ports::keys::{Keyring, MemoryVault};
use steward_ports::log::EventLog;
use steward_ports::log::memory::MemoryLog;
use steward_ports::store::Store;
use steward_ports::store::memory::MemoryStore;
use steward_projectors::{Config, ProjectorPorts, Projectors};
use tokio_util::sync::CancellationToken;

use crate::events::{NOON, Writer, stream, tenant};

/// In which shard the tenants of these tests live.
pub const SHARD: u16 = 1;

/// A wall clock that stands, beside a monotonic one that runs.
pub struct Standing(pub Timestamp, pub SystemClock);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        self.0
    }
    fn monotonic(&self) -> Duration {
        self.1.monotonic()
    }
}

pub fn principal(name: &str) -> PrincipalId {
    PrincipalId::new(name).unwrap()
}

pub fn grant(to: &str, role: &str, on: &str) -> GrantId {
    GrantId { to: principal(to), role: RoleId::new(role).unwrap(), on: on.parse().unwrap() }
}

pub struct Company {
    pub log: MemoryLog,
    pub writer: Writer,
    pub projectors: Arc<Projectors>,
    pub keyring: Arc<Keyring>,
    pub shutdown: CancellationToken,
}

impl Company {
    /// The tenants acme (owner `p_ana`, auditor `p_max`, agent `svc_a`) and globex (owner `p_gil`), and the operator
    /// `op_root`; a day later by the views' clock.
    pub async fn founded(config: Config) -> Self {
        let log = MemoryLog::new(2, Arc::new(SystemClock::default()));
        let mut writer = Writer::new(Arc::new(log.clone()));
        let open = |of: &str| {
            let created = TenantEvent::Created { tenant: tenant(of), timezone: "UTC".to_owned() };
            vec![Event::from(created)]
        };
        writer.write(&stream(0, "steward", AggregateKind::Tenant, "main"), open("steward")).await;
        for of in ["acme", "globex"] {
            let placed =
                RegistryEvent::TenantPlaced { tenant: tenant(of), shard: Shard(SHARD), timezone: "UTC".to_owned() };
            writer.write(&registry_stream(&tenant(of)), vec![placed.into()]).await;
            writer.write(&stream(SHARD, of, AggregateKind::Tenant, "main"), open(of)).await;
        }
        let keyring = Arc::new(Keyring::new(DataKey::random().unwrap(), Arc::new(MemoryVault::default())));
        let ports = ProjectorPorts {
            log: Arc::new(log.clone()) as Arc<dyn EventLog>,
            store: Arc::new(MemoryStore::default()) as Arc<dyn Store>,
            keyring: Arc::clone(&keyring),
            clock: Arc::new(Standing(NOON.plus(Duration::from_hours(24)), SystemClock::default())),
            ids: Arc::new(RandomIds::default()),
        };
        let projectors = Projectors::new(ports, config);
        let shutdown = CancellationToken::new();
        tokio::spawn(Arc::clone(&projectors).run(shutdown.clone()));
        let mut company = Self { log, writer, projectors, keyring, shutdown };
        company.person(0, "steward", "op_root", "owner", "*").await;
        company.person(SHARD, "acme", "p_ana", "owner", "acme").await;
        company.person(SHARD, "acme", "p_max", "auditor", "acme").await;
        company.person(SHARD, "acme", "svc_a", "agent", "acme").await;
        company.person(SHARD, "globex", "p_gil", "owner", "globex").await;
        company
    }

    /// Somebody exists and holds a role.
    pub async fn person(&mut self, shard: u16, of: &str, who: &str, role: &str, on: &str) {
        let exists = IdentityEvent::AccountCreated { principal: principal(who), name: format!("name-of-{who}") };
        self.writer.write(&stream(shard, of, AggregateKind::Identity, "main"), vec![exists.into()]).await;
        let granted = AccessEvent::RoleGranted { grant: grant(who, role, on), expires: None, condition: None };
        self.writer.write(&stream(shard, of, AggregateKind::Access, "main"), vec![granted.into()]).await;
    }

    #[allow(clippy::unused_self)] // read beside `ask`
    pub fn request(&self, of: &str, who: &str, query: &str, format: Format, body: Vec<u8>) -> Request {
        let (view, verb) = query.split_once('.').unwrap();
        Request {
            tenant: tenant(of),
            principal: principal(who),
            noun: view.to_owned(),
            verb: verb.to_owned(),
            envelope: Envelope {
                command: CommandId::new("q1").unwrap(),
                issued_at: NOON,
                on_behalf_of: None,
                causation: None,
                correlation: CorrelationId::new("r1").unwrap(),
                traceparent: None,
            },
            format,
            body: body.into(),
        }
    }

    /// Sends the query `name` in JSON.
    pub async fn query<T: DeserializeOwned>(
        &self,
        of: &str,
        who: &str,
        name: &str,
        query: &impl Serialize,
    ) -> Result<T, Rejection> {
        let body = serde_json::to_vec(query).unwrap();
        let answer = self.projectors.answer(self.request(of, who, name, Format::Json, body)).await.unwrap()?;
        Ok(serde_json::from_slice(&answer).unwrap())
    }
}
