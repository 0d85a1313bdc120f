//! Who gets onto the bus, and what they can do there: the attacks that were found possible are tried.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests

mod support;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use steward_events::digest::CommitHash;
use steward_events::quantity::{Position, Shard};
use steward_events::request::{Envelope, Format, Reply, Request};
use steward_events::stream::StreamName;
use steward_jetstream::{ConnectError, Connection, Credentials, JetStreamBus, Role, login, serve};
use steward_ports::append::append;
use steward_ports::bus::{Authenticator, BusCaller, CommandBus, CommandService, Failure, LoginRefused};
use steward_ports::clock::{Clock, SystemClock};
use steward_ports::log::{EventLog, Filter};
use steward_ports::testing::commit;
use support::Bus;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Keys are `<tenant>/<principal>`, `<tenant>/<principal>/<seconds to live>`, or `<tenant>/<principal>/blind`: may not
/// read the log. All of them hold until they are ended together.
#[derive(Default)]
struct Keys {
    ended: AtomicBool,
    version: AtomicU64,
    /// Who was not let in, and why.
    refused: Mutex<Vec<(Option<String>, String)>>,
}

impl Keys {
    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.version.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Authenticator for Keys {
    async fn authenticate(&self, secret: &str, _: Option<IpAddr>) -> Option<BusCaller> {
        if self.ended.load(Ordering::SeqCst) {
            return None;
        }
        let mut parts = secret.split('/');
        let (tenant, principal) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let rest = parts.next();
        let expires = rest.and_then(|seconds| seconds.parse().ok());
        let expires = expires.map(|seconds| SystemClock::default().now().plus(Duration::from_secs(seconds)));
        let (key, reads_log) = ("key_1".parse().ok()?, rest != Some("blind"));
        Some(BusCaller { tenant, principal, key, expires, whole: true, reads_log })
    }

    fn holds(&self, _: &BusCaller) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    fn refused(&self, LoginRefused { caller, why, .. }: LoginRefused<'_>) {
        let who = caller.map(|caller| format!("{}/{}", caller.tenant, caller.principal));
        self.refused.lock().unwrap().push((who, why.to_owned()));
    }
}

/// Accepts everything and says who asked.
struct Agreeable;

#[async_trait]
impl CommandService for Agreeable {
    async fn handle(&self, request: Request) -> Result<Reply, Failure> {
        let answer = serde_json::json!(format!("{}/{}", request.tenant, request.principal));
        Ok(Reply { accepted: true, events: vec![], position: Position(1), answer, rejection: None, message: None })
    }
}

struct Installation {
    bus: Bus,
    log: Arc<dyn EventLog>,
    keys: Arc<Keys>,
}

impl Installation {
    async fn start() -> Self {
        let bus = Bus::start().await;
        let shutdown = CancellationToken::new();
        let login = bus.connect(Role::Login).await;
        let (closing, keys) = (bus.connect(Role::Sessions).await, Arc::new(Keys::default()));
        let asked = Arc::clone(&keys);
        login::serve(&login, &closing, bus.server().login_seed(), &login::Logins::default(), asked, shutdown.clone())
            .await
            .unwrap();
        let responder = bus.connect(Role::AggregatesResponder).await;
        serve::commands(&responder, &["budget"], Arc::new(Agreeable), &serve::Requests::default(), shutdown)
            .await
            .unwrap();
        let log = bus.log(Role::Aggregates).await;
        Self { bus, log, keys }
    }

    /// A NATS client of nobody's making but its own, and what the server complains of.
    async fn client(&self, key: &str, inbox: &str) -> (Client, mpsc::UnboundedReceiver<String>) {
        let (complain, complaints) = mpsc::unbounded_channel();
        let options = ConnectOptions::with_token(key.to_owned()).custom_inbox_prefix(inbox);
        let options = options.event_callback(move |event| {
            if let Event::ServerError(error) = event {
                let _ = complain.send(error.to_string());
            }
            std::future::ready(())
        });
        (options.connect(self.bus.server().url()).await.unwrap(), complaints)
    }

    async fn lasts(&self) -> [Position; 2] {
        let mut lasts = [Position(0); 2];
        for (shard, last) in (0..).zip(&mut lasts) {
            *last = self.log.last(&Filter::shard(Shard(shard))).await.unwrap();
        }
        lasts
    }
}

fn stream(tenant: &str) -> StreamName {
    format!("evt.00.{tenant}.tenant.main").parse().unwrap()
}

async fn silent(subscriber: &mut Subscriber) -> bool {
    !matches!(tokio::time::timeout(Duration::from_millis(300), subscriber.next()).await, Ok(Some(_)))
}

async fn complaint(complaints: &mut mpsc::UnboundedReceiver<String>, about: &str) {
    let heard = tokio::time::timeout(Duration::from_secs(5), complaints.recv()).await;
    let heard = heard.unwrap_or_else(|_| panic!("the server lets {about} pass")).unwrap().to_lowercase();
    assert!(heard.contains("permissions violation"), "{about}: {heard}");
}

#[tokio::test]
async fn without_a_good_key_nobody_gets_in() {
    let installation = Installation::start().await;
    let url = installation.bus.server().url();
    let (acme, p_1) = ("acme".parse().unwrap(), "p_1".parse().unwrap());
    let mut nobody = Credentials::caller(url, &acme, &p_1, "");
    for key in ["", "no such key", "acme/sys_worker", "acme/op_1", "steward/sys_bootstrap"] {
        let wrong = Credentials::caller(url, &acme, &p_1, key);
        assert!(matches!(Connection::connect(&wrong).await, Err(ConnectError::Denied { .. })), "{key:?}");
    }
    nobody.secret = steward_jetstream::connection::Secret::None;
    assert!(matches!(Connection::connect(&nobody).await, Err(ConnectError::Denied { .. })));
    // A role's name without its password is nobody's.
    let role = Credentials::role(url, Role::Aggregates, "acme");
    assert!(matches!(Connection::connect(&role).await, Err(ConnectError::Denied { .. })));
    installation.bus.stop().await;
}

#[tokio::test]
async fn callers_act_in_their_tenant_and_operators_in_any() {
    let installation = Installation::start().await;
    let url = installation.bus.server().url();
    let ask = |as_of: &'static str, principal: &'static str, to: &'static str| async move {
        let key = format!("{as_of}/{}", if principal == "key_1" { "p_1" } else { principal });
        let principal = principal.parse().unwrap();
        let credentials = Credentials::caller(url, &as_of.parse().unwrap(), &principal, key);
        let bus = JetStreamBus::connect(&credentials).await.unwrap().with_time_max(Duration::from_millis(500));
        let envelope = Envelope {
            command: "c-1".parse().unwrap(),
            issued_at: SystemClock::default().now(),
            on_behalf_of: None,
            causation: None,
            correlation: "c-1".parse().unwrap(),
            traceparent: None,
        };
        let (noun, verb) = ("budget".to_owned(), "set".to_owned());
        let tenant = to.parse().unwrap();
        bus.command(Request { tenant, principal, noun, verb, envelope, format: Format::Json, body: Bytes::new() }).await
    };
    assert_eq!(ask("acme", "p_1", "acme").await.unwrap().answer, "acme/p_1");
    assert_eq!(ask("steward", "op_1", "acme").await.unwrap().answer, "acme/op_1");
    assert_eq!(ask("acme", "key_1", "acme").await.unwrap().answer, "acme/key_1", "as the key that it is");
    assert!(ask("acme", "p_1", "globex").await.is_err());
    assert!(ask("steward", "p_1", "acme").await.is_err());
    installation.bus.stop().await;
}

#[tokio::test]
async fn a_caller_can_neither_write_nor_speak_as_another() {
    let installation = Installation::start().await;
    let before = installation.lasts().await;
    let mut heard_by_services = {
        let responder = installation.bus.connect_plainly(Role::AggregatesResponder).await;
        let heard = responder.subscribe("cmd.*.*.*.*").await.unwrap();
        responder.flush().await.unwrap();
        heard
    };
    let (acme, mut complaints) = installation.client("acme/p_1", "_INBOX.acme.p_1").await;
    for subject in [
        "cmd.globex.p_9.budget.set",
        "cmd.acme.p_2.budget.set",
        "cmd.acme.sys_worker.lease.end",
        "qry.globex.p_9.cost.report",
        "evt.00.acme.tenant.main",
        "evt.00.globex.tenant.main",
        "tmr.lease-expiry.acme.x",
        "$KV.KEYS.tenant.acme",
        "$JS.API.STREAM.DELETE.EVT_00",
        "$JS.API.STREAM.PURGE.EVT_00",
        "$JS.API.STREAM.UPDATE.EVT_00",
        "$JS.API.STREAM.MSG.GET.EVT_00",
        "$JS.API.DIRECT.GET.EVT_00",
        "$JS.API.CONSUMER.CREATE.EVT_00.mine.evt.00.acme.>",
        "$SRV.PING",
        "$SYS.REQ.USER.AUTH",
        "_INBOX.globex.p_9.x",
    ] {
        acme.publish(subject, "{}".into()).await.unwrap();
        complaint(&mut complaints, subject).await;
    }
    assert!(silent(&mut heard_by_services).await);
    assert_eq!(installation.lasts().await, before);
    installation.bus.stop().await;
}

#[tokio::test]
async fn a_caller_reads_its_own_tenants_log_and_nobody_elses() {
    let installation = Installation::start().await;
    let (acme, mut complaints) = installation.client("acme/p_1", "_INBOX.acme.p_1").await;
    let mut own = acme.subscribe("evt.*.acme.>").await.unwrap();
    acme.flush().await.unwrap();
    let mut others = Vec::new();
    for subject in [
        "evt.*.globex.>",
        "evt.00.globex.tenant.main",
        "evt.>",
        ">",
        "*.*.*.*.*",
        "evt.*.*.tenant.main",
        "cmd.>",
        "_INBOX.>",
        "_INBOX.globex.p_9.>",
        "_INBOX.acme.p_2.>",
        "_INBOX.steward.sys_gateway.>",
        "$JS.>",
        "$SYS.>",
    ] {
        others.push(acme.subscribe(subject).await.unwrap());
        complaint(&mut complaints, subject).await;
    }
    for tenant in ["acme", "globex"] {
        let stream = stream(tenant);
        append(&*installation.log, Position(0), &commit(&stream, 1, CommitHash::default(), "x")).await.unwrap();
    }
    let heard = tokio::time::timeout(Duration::from_secs(5), own.next()).await.unwrap().unwrap();
    assert_eq!(heard.subject.as_str(), "evt.00.acme.tenant.main");
    assert!(silent(&mut own).await);
    for other in &mut others {
        assert!(silent(other).await);
    }
    installation.bus.stop().await;
}

#[tokio::test]
async fn an_answer_cannot_be_made_a_forgery() {
    let installation = Installation::start().await;
    let before = installation.lasts().await;
    let (acme, _complaints) = installation.client("acme/p_1", "_INBOX.acme.p_1").await;
    let (globex, _) = installation.client("globex/p_9", "_INBOX.globex.p_9").await;
    let mut to_globex = globex.subscribe("_INBOX.globex.p_9.>").await.unwrap();
    let mut own = acme.subscribe("_INBOX.acme.p_1.>").await.unwrap();
    globex.flush().await.unwrap();
    for reply in [
        "evt.00.globex.tenant.main",
        "evt.00.acme.tenant.main",
        "cmd.globex.p_9.budget.set",
        "$JS.API.STREAM.DELETE.EVT_00",
        "_INBOX.globex.p_9.x",
        "_INBOX.acme.p_2.x",
        "_ROLE.aggregates.x",
    ] {
        acme.publish_with_reply("cmd.acme.p_1.budget.set", reply, "{}".into()).await.unwrap();
    }
    assert!(silent(&mut to_globex).await);
    // The service still answers where it may.
    acme.publish_with_reply("cmd.acme.p_1.budget.set", "_INBOX.acme.p_1.x", "{}".into()).await.unwrap();
    assert!(!silent(&mut own).await);
    assert_eq!(installation.lasts().await, before);

    // And were the check to fail, the server would refuse what a responder writes elsewhere.
    let responder = installation.bus.connect_plainly(Role::AggregatesResponder).await;
    for subject in ["evt.00.globex.tenant.main", "$JS.API.STREAM.DELETE.EVT_00", "cmd.globex.p_9.budget.set"] {
        responder.publish(subject, "forged".into()).await.unwrap();
    }
    responder.flush().await.unwrap();
    assert_eq!(installation.lasts().await, before);
    installation.bus.stop().await;
}

#[tokio::test]
async fn a_key_that_ends_ends_the_connection() {
    let installation = Installation::start().await;
    let (acme, _) = installation.client("acme/p_1/2", "_INBOX.acme.p_1").await;
    assert!(acme.request("cmd.acme.p_1.budget.set", "{}".into()).await.is_ok());
    // These keys live anew with every login, so the client may be back before its state is looked at: logins are counted.
    let logins = acme.statistics();
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while logins.connects.load(Ordering::Relaxed) == 1 && acme.connection_state() == State::Connected {
        assert!(tokio::time::Instant::now() < until, "the connection outlives its key");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    installation.bus.stop().await;
}

#[tokio::test]
async fn one_connection_has_so_many_subscriptions() {
    let installation = Installation::start().await;
    let (client, mut complaints) = installation.client("acme/p_1", "_INBOX.acme.p_1").await;
    let mut subscriptions = Vec::new();
    for number in 0..5_000 {
        subscriptions.push(client.subscribe(format!("_INBOX.acme.p_1.{number}")).await.unwrap());
    }
    client.flush().await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(10), complaints.recv()).await;
    let heard = heard.expect("the server takes all of them").unwrap().to_lowercase();
    assert!(heard.contains("maximum subscriptions"), "{heard}");
    installation.bus.stop().await;
}

#[tokio::test]
async fn a_connection_is_closed_when_its_right_ends() {
    let installation = Installation::start().await;
    let (acme, _) = installation.client("acme/p_1", "_INBOX.acme.p_1").await;
    let mut heard = acme.subscribe("evt.*.acme.>").await.unwrap();
    acme.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(acme.connection_state(), State::Connected);

    let began = tokio::time::Instant::now();
    installation.keys.end();
    while acme.connection_state() == State::Connected {
        assert!(began.elapsed() < Duration::from_secs(2), "the connection outlives its right");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    append(&*installation.log, Position(0), &commit(&stream("acme"), 1, CommitHash::default(), "x")).await.unwrap();
    assert!(silent(&mut heard).await, "and it does not come back");
    assert_ne!(acme.connection_state(), State::Connected);
    installation.bus.stop().await;
}

#[tokio::test]
async fn who_may_not_read_history_hears_nothing_of_it() {
    let installation = Installation::start().await;
    let (acme, mut complaints) = installation.client("acme/p_1/blind", "_INBOX.acme.p_1").await;
    for subject in ["evt.*.acme.>", "evt.00.acme.tenant.main", "evt.*.acme.task.*"] {
        let mut heard = acme.subscribe(subject).await.unwrap();
        complaint(&mut complaints, subject).await;
        assert!(silent(&mut heard).await);
    }
    assert!(acme.request("cmd.acme.p_1.budget.set", "{}".into()).await.is_ok(), "it may speak all the same");
    installation.bus.stop().await;
}

#[tokio::test]
async fn a_login_with_two_keys_is_refused() {
    let installation = Installation::start().await;
    let options = ConnectOptions::with_user_and_password("x".to_owned(), "acme/p_1".to_owned());
    assert!(options.connect(installation.bus.server().url()).await.is_ok());
    let both =
        ConnectOptions::with_user_and_password("x".to_owned(), "acme/p_1".to_owned()).token("acme/p_2".to_owned());
    assert!(both.connect(installation.bus.server().url()).await.is_err());
    installation.bus.stop().await;
}

#[tokio::test]
async fn a_principal_has_so_many_connections_and_others_have_theirs() {
    let installation = Installation::start().await;
    let url = installation.bus.server().url().to_owned();
    let most = login::Logins::default().connections_per_principal_max;
    let connect = |key: &'static str, inbox: &'static str| {
        let options = ConnectOptions::with_token(key.to_owned()).custom_inbox_prefix(inbox);
        let url = url.clone();
        async move { options.connect(url).await }
    };
    let mine = || connect("acme/p_1", "_INBOX.acme.p_1");
    let mut open = Vec::new();
    for _ in 0..most {
        open.push(mine().await.unwrap());
    }
    assert!(mine().await.is_err(), "one more than {most}");
    assert!(connect("no such key", "_INBOX.acme.p_1").await.is_err());
    let heard = installation.keys.refused.lock().unwrap().clone();
    let of = |who: Option<&str>| heard.iter().any(|(refused, _)| refused.as_deref() == who);
    assert!(of(Some("acme/p_1")) && of(None), "each is told, to be put on record: {heard:?}");
    connect("acme/p_2", "_INBOX.acme.p_2").await.unwrap();
    connect("globex/p_1", "_INBOX.globex.p_1").await.unwrap();
    open.pop().unwrap().drain().await.unwrap();
    for _ in 0..100 {
        if mine().await.is_ok() {
            return installation.bus.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a connection that was closed is still counted");
}
