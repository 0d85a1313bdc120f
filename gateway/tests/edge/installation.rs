//! One installation in this process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use steward_calls::Secrets;
use steward_events::commit::Commit;
use steward_events::event::{AggregateKind, CallOutcome, Event, KeyHash, TokenUsage, UsageEvent};
use steward_events::id::{CommandId, CorrelationId, PrincipalId, TenantId};
use steward_events::ids::Ids;
use steward_events::quantity::{NanoDollars, Position, Shard};
use steward_events::rejection::Rejection;
use steward_events::request::{Envelope, Format, Request};
use steward_events::sealed::DataKey;
use steward_gateway::{Config, Gateway, GatewayPorts, LogCapacity, Metrics, Probe, ProbeAnswer, Probes, Readiness};
use steward_handler::{Handler, HandlerConfig, HandlerPorts, bootstrap};
use steward_ports::bus::{CommandBus, Failure, LocalBus, QueryService};
use steward_ports::clock::{Clock, RandomIds, SystemClock};
use steward_ports::contents::{ContentStore, MemoryContents};
use steward_ports::keys::{Keyring, MemoryVault};
use steward_ports::log::memory::MemoryLog;
use steward_ports::log::{EventLog, Filter, Stored};
use steward_ports::store::memory::MemoryStore;
use steward_projectors::{ProjectorPorts, Projectors};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::freezing::Freezing;
use crate::upstream::Upstream;

/// The operator's key.
pub(crate) const OPERATOR: &str = "stw_steward_0123456789abcdefghjkmnpqrs";

/// Shards of the log.
const SHARDS: u16 = 4;

/// A gateway with everything it needs.
pub(crate) struct Installation {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    pub(crate) upstream: Upstream,
    pub(crate) shutdown: CancellationToken,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) running: JoinHandle<()>,
    /// While true, the gateway does not learn where the log ends.
    pub(crate) frozen: Arc<AtomicBool>,
    /// While true, another part of the process says that it is not well.
    pub(crate) unwell: Arc<AtomicBool>,
    /// Where data keys are.
    pub(crate) keyring: Arc<Keyring>,
    /// What is kept beside the log.
    pub(crate) contents: Arc<MemoryContents>,
    bus: Arc<dyn CommandBus>,
    log: Arc<dyn EventLog>,
    /// Makes one more gateway.
    make: Box<dyn Fn() -> Gateway + Send + Sync>,
}

/// What a test may change before the start.
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) providers: steward_providers::Config,
    pub(crate) secrets: Secrets,
    /// Where contents are kept beside the log; in memory if none is set.
    pub(crate) contents: Option<Arc<dyn ContentStore>>,
    /// True if queries are answered by views; else each answer says who asked what.
    pub(crate) views: bool,
}

/// One finished call, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FinishedCall {
    pub(crate) tokens: TokenUsage,
    pub(crate) cost: NanoDollars,
    pub(crate) outcome: CallOutcome,
    pub(crate) provider: String,
}

/// Tells who asks what, in place of views.
struct Mirror;

#[async_trait]
impl QueryService for Mirror {
    async fn answer(&self, request: Request) -> Result<Result<Bytes, Rejection>, Failure> {
        let query: Value = request.format.read(&request.body).map_err(Failure)?;
        let seen = json!({ "principal": request.principal, "subject": request.query_subject(), "query": query });
        Ok(Ok(Bytes::from(request.format.write(&seen).map_err(|error| Failure(error.to_string()))?)))
    }
}

/// What a process answers that is a gateway and a nats-server.
fn probes(
    metrics: &Metrics,
    gateway: Arc<OnceLock<Readiness>>,
    server: impl Fn() -> Result<(), String> + Send + Sync + 'static,
) -> Probes {
    let mut registry = Registry::with_prefix("steward");
    metrics.register(&mut registry);
    Arc::new(move |probe| {
        let (well, body) = match probe {
            Probe::Live => (true, "alive\n".to_owned()),
            Probe::Ready => match gateway.get().map_or(Ok(()), |gateway| gateway()).and_then(|()| server()) {
                Ok(()) => (true, "ready\n".to_owned()),
                Err(why) => (false, format!("{why}\n")),
            },
            Probe::Metrics => {
                let mut page = String::new();
                prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
                (true, page)
            }
        };
        ProbeAnswer { well, content_type: "text/plain", body }
    })
}

/// What gateways have in common.
struct Ports {
    log: Arc<dyn EventLog>,
    bus: Arc<dyn CommandBus>,
    contents: Arc<dyn ContentStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl Ports {
    fn gateway(
        &self,
        config: &Config,
        (providers, secrets): (&steward_providers::Config, Secrets),
        server: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Gateway {
        let (metrics, own) = (Metrics::default(), Arc::new(OnceLock::<Readiness>::new()));
        let probes = probes(&metrics, Arc::clone(&own), server);
        let ticks = Arc::clone(&self.clock);
        let ports = GatewayPorts {
            log: Arc::clone(&self.log),
            bus: Arc::clone(&self.bus),
            contents: Arc::clone(&self.contents),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            providers: steward_providers::all(providers, secrets, Arc::new(move || ticks.now())).unwrap(),
            capacity: LogCapacity::default(),
            metrics,
            probes,
        };
        let gateway = Gateway::new(ports, config.clone());
        let _ = own.set(gateway.readiness());
        gateway
    }
}

impl Installation {
    /// With a tenant `acme`, a provider `mock`, and the models that the upstream offers.
    pub(crate) async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let ids: Arc<dyn Ids> = Arc::new(RandomIds::default());
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(SHARDS, Arc::clone(&clock)));
        let (to, by, with) = (Arc::clone(&log), Arc::clone(&clock), Arc::clone(&ids));
        bootstrap::first_start(to, by, with, SHARDS, &KeyHash::of(OPERATOR)).await.unwrap();
        let keyring = Arc::new(Keyring::new(DataKey::random().unwrap(), Arc::new(MemoryVault::default())));
        let ports = HandlerPorts {
            log: Arc::clone(&log),
            keyring: Arc::clone(&keyring),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
        };
        let handler = Handler::new(ports, HandlerConfig::default());
        let mut config = Config { tenant_open_wait_max: Duration::from_millis(10), ..Config::default() };
        config.calls.admission.wait_max = Duration::from_secs(10);
        let mut settings = Settings {
            config,
            providers: steward_providers::Config::default(),
            secrets: Secrets::default(),
            contents: None,
            views: false,
        };
        settings.providers.scripted = true;
        change(&mut settings);
        let Settings { config, providers, secrets, contents, views } = settings;
        let kept = Arc::new(MemoryContents::new(Arc::clone(&clock)));
        let contents = contents.unwrap_or_else(|| Arc::clone(&kept) as _);
        let shutdown = CancellationToken::new();
        let queries: Arc<dyn QueryService> = if views {
            let ports = ProjectorPorts {
                log: Arc::clone(&log),
                store: Arc::new(MemoryStore::default()),
                keyring: Arc::clone(&keyring),
                clock: Arc::clone(&clock),
                ids: Arc::clone(&ids),
            };
            let projectors = Projectors::new(ports, steward_projectors::Config::default());
            tokio::spawn(Arc::clone(&projectors).run(shutdown.clone()));
            projectors
        } else {
            Arc::new(Mirror)
        };
        let bus: Arc<dyn CommandBus> = Arc::new(LocalBus::new(handler, Some(queries)));
        let frozen = Arc::new(AtomicBool::new(false));
        let seen: Arc<dyn EventLog> = Arc::new(Freezing::new(Arc::clone(&log), Arc::clone(&frozen)));
        let unwell = Arc::new(AtomicBool::new(false));
        let says = Arc::clone(&unwell);
        let readiness = move || if says.load(Ordering::SeqCst) { Err("nats-server: away".to_owned()) } else { Ok(()) };
        let ports = Ports { log: seen, bus: Arc::clone(&bus), contents, clock, ids };
        let make = move || ports.gateway(&config, (&providers, secrets.clone()), readiness.clone());
        let gateway = Arc::new(make());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let running = tokio::spawn({
            let (gateway, shutdown) = (Arc::clone(&gateway), shutdown.clone());
            async move { gateway.run(listener, shutdown).await.unwrap() }
        });
        let make = Box::new(make);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let upstream = Upstream::start().await;
        let this = Self {
            url,
            http,
            upstream,
            shutdown,
            gateway,
            running,
            frozen,
            unwell,
            keyring,
            contents: kept,
            bus,
            log,
            make,
        };
        this.create_tenant("acme").await;
        let provider = json!({ "provider": "mock", "kind": "openai", "url": this.upstream.url });
        this.command("steward", "providers:set", provider).await;
        this.command("steward", "providers:set", json!({ "provider": "script", "kind": "scripted", "url": "" })).await;
        this
    }

    /// An ordinary one.
    pub(crate) async fn plain() -> Self {
        Self::start(|_| {}).await
    }

    /// Starts one more gateway; its address.
    pub(crate) async fn another_gateway(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (gateway, shutdown) = ((self.make)(), self.shutdown.clone());
        tokio::spawn(async move { gateway.run(listener, shutdown).await.unwrap() });
        url
    }

    /// Creates a tenant and opens it, as the worker would.
    pub(crate) async fn create_tenant(&self, tenant: &str) {
        self.command("steward", "tenants:create", json!({ "tenant": tenant })).await;
        self.open_tenant(tenant).await;
    }

    /// What the worker does when it sees a tenant placed.
    pub(crate) async fn open_tenant(&self, tenant: &str) {
        let request = Self::request(tenant, "sys_worker", ("tenant", "open"), &json!({ "timezone": "UTC" }));
        let reply = self.bus.command(request).await.unwrap();
        assert!(reply.accepted, "{reply:?}");
    }

    /// What `sender` is answered on the bus; the one on whose behalf it asks, if it says so, stands behind a slash.
    pub(crate) async fn ask(
        &self,
        tenant: &str,
        sender: &str,
        query: (&str, &str),
        body: &Value,
    ) -> Result<Value, Rejection> {
        let (sender, whom) = sender.split_once('/').map_or((sender, None), |(sender, whom)| (sender, Some(whom)));
        let mut request = Self::request(tenant, sender, query, body);
        request.envelope.on_behalf_of = whom.map(|whom| whom.parse().unwrap());
        let answer = self.bus.query(request).await.unwrap()?;
        Ok(serde_json::from_slice(&answer).unwrap())
    }

    fn request(tenant: &str, sender: &str, (noun, verb): (&str, &str), body: &Value) -> Request {
        let ids = RandomIds::default();
        Request {
            tenant: TenantId::new(tenant).unwrap(),
            principal: PrincipalId::new(sender).unwrap(),
            noun: noun.to_owned(),
            verb: verb.to_owned(),
            envelope: Envelope {
                command: CommandId::new(ids.unique()).unwrap(),
                issued_at: SystemClock::default().now(),
                on_behalf_of: None,
                causation: None,
                correlation: CorrelationId::new(ids.unique()).unwrap(),
                traceparent: None,
            },
            format: Format::Json,
            body: Bytes::from(body.to_string()),
        }
    }

    /// Lets callers name `model`, which goes to these targets `provider/upstream model`, at $1 and $2 a million tokens.
    pub(crate) async fn model(&self, model: &str, targets: &[&str]) {
        self.unpriced_model(model, targets).await;
        let price = json!({ "input": 1_000_000, "cached": 100_000, "output": 2_000_000 });
        self.command("steward", "prices:set", json!({ "model": model, "price": price })).await;
    }

    /// The same without a price.
    pub(crate) async fn unpriced_model(&self, model: &str, targets: &[&str]) {
        let spec = json!({ "context_max": 8_192, "output_max": 1_000 });
        self.command("steward", "models:set", json!({ "model": model, "spec": spec })).await;
        let target = |target: &&str| {
            let (provider, upstream_model) = target.split_once('/').unwrap();
            json!({ "provider": provider, "upstream_model": upstream_model })
        };
        let targets: Vec<Value> = targets.iter().map(target).collect();
        self.command("steward", "routes:set", json!({ "model": model, "targets": targets })).await;
    }

    /// A key of a new service account of `acme`, with this role if one is named.
    pub(crate) async fn key(&self, name: &str, role: Option<&str>) -> String {
        self.key_of("acme", name, role).await
    }

    /// The same of any tenant.
    pub(crate) async fn key_of(&self, tenant: &str, name: &str, role: Option<&str>) -> String {
        let account = self.command(tenant, "accounts:create", json!({ "name": name })).await;
        let principal = account["answer"]["principal"].as_str().unwrap().to_owned();
        if let Some(role) = role {
            self.command(tenant, "grants:give", json!({ "to": principal, "role": role, "on": tenant })).await;
        }
        let scope = format!("{tenant}/support");
        let issued = self.command(tenant, "keys:issue", json!({ "principal": principal, "scope": scope })).await;
        issued["answer"]["secret"].as_str().unwrap().to_owned()
    }

    /// Sends a command as the operator; it must be accepted.
    pub(crate) async fn command(&self, tenant: &str, operation: &str, body: Value) -> Value {
        let response = self.post(OPERATOR, &format!("/api/v1/tenants/{tenant}/{operation}"), &body).await;
        let status = response.status().as_u16();
        let answer: Value = response.json().await.unwrap();
        assert!(status < 300, "{operation}: {status} {answer}");
        answer
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: &Value) -> reqwest::Response {
        self.http.post(format!("{}{path}", self.url)).bearer_auth(key).json(body).send().await.unwrap()
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> reqwest::Response {
        self.http.get(format!("{}{path}", self.url)).bearer_auth(key).send().await.unwrap()
    }

    /// Calls a model.
    pub(crate) async fn chat(&self, key: &str, body: &Value) -> reqwest::Response {
        self.post(key, "/v1/chat/completions", body).await
    }

    /// What the log says that acme's calls used, in order.
    pub(crate) async fn finished_calls(&self) -> Vec<FinishedCall> {
        let mut finished = Vec::new();
        for event in self.usage("acme").await {
            if let UsageEvent::CallFinished { tokens, cost, outcome, context, .. } = event {
                let provider = context.provider.to_string();
                finished.push(FinishedCall { tokens, cost, outcome, provider });
            }
        }
        finished
    }

    /// The same, once there are as many as expected.
    pub(crate) async fn await_finished(&self, count: usize) -> Vec<FinishedCall> {
        for _ in 0..250 {
            let finished = self.finished_calls().await;
            if finished.len() >= count {
                return finished;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{count} calls did not finish: {:?}", self.usage("acme").await)
    }

    /// All usage events of a tenant.
    pub(crate) async fn usage(&self, tenant: &str) -> Vec<UsageEvent> {
        let events = self.events(tenant, AggregateKind::Usage).await.into_iter();
        events.filter_map(|event| if let Event::Usage(event) = event { Some(event) } else { None }).collect()
    }

    /// All commits of a tenant as they are stored, of the given kind or of all kinds.
    pub(crate) async fn stored(&self, tenant: &str, kinds: &[AggregateKind]) -> Vec<Stored> {
        let mut found = Vec::new();
        for shard in (0..SHARDS).map(Shard) {
            let filter = Filter::shard(shard).kinds(kinds).tenant(&TenantId::new(tenant).unwrap());
            let last = self.log.last(&filter).await.unwrap();
            if last == Position(0) {
                continue;
            }
            let mut follow = self.log.follow(&filter, Position(0)).await.unwrap();
            while let Some(stored) = follow.next().await {
                let stored = stored.unwrap();
                let position = stored.position;
                found.push(stored);
                if position >= last {
                    break;
                }
            }
        }
        found
    }

    /// All events of this kind of a tenant.
    pub(crate) async fn events(&self, tenant: &str, kind: AggregateKind) -> Vec<Event> {
        let mut events = Vec::new();
        for stored in self.stored(tenant, &[kind]).await {
            let commit = Commit::decode(&stored.stream, &stored.bytes).unwrap();
            events.extend(commit.recorded(stored.position).map(|recorded| recorded.event.clone()));
        }
        events
    }
}

/// A request with one user message.
pub(crate) fn chat_body(model: &str, text: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": text }], "max_tokens": 50 })
}

/// The same, streamed.
pub(crate) fn streamed_chat_body(model: &str, text: &str) -> Value {
    let mut body = chat_body(model, text);
    body["stream"] = json!(true);
    body
}
