use std::sync::Mutex as Shared;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use steward_events::ids::CountingIds;
use steward_events::quantity::Position;
use steward_events::request::Reply;
use steward_events::timestamp::Timestamp;
use steward_ports::bus::BusError;

use super::*;

/// What the projectors answer, how often they were asked, and the time.
#[derive(Default)]
struct World {
    answer: Shared<Option<Result<OpenedSecret, Rejection>>>,
    asked: AtomicUsize,
    seconds: AtomicU64,
}

impl World {
    fn says(&self, answer: Option<Result<OpenedSecret, Rejection>>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn after(&self, time: Duration) {
        self.seconds.fetch_add(time.as_secs(), Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl CommandBus for World {
    async fn command(&self, request: Request) -> Result<Reply, BusError> {
        Err(BusError::NobodyListens { subject: request.command_subject() })
    }

    async fn query(&self, request: Request) -> Result<Result<Bytes, Rejection>, BusError> {
        assert_eq!(request.query_subject(), "qry.acme.sys_gateway.secret.open");
        assert_eq!(request.envelope.on_behalf_of, None);
        let query: OpenSecret = request.format.read(&request.body).unwrap();
        assert_eq!((query.secret.as_str(), query.min_position), ("openai", Position(7)));
        self.asked.fetch_add(1, Ordering::SeqCst);
        // Others come meanwhile.
        tokio::task::yield_now().await;
        let answer = self.answer.lock().unwrap().clone();
        let answer = answer.ok_or_else(|| BusError::NobodyListens { subject: request.query_subject() })?;
        Ok(answer.map(|opened| request.format.write(&opened).unwrap().into()))
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }
}

fn world() -> (Arc<World>, TenantSecrets) {
    let world = Arc::new(World::default());
    let secrets =
        TenantSecrets::new(Arc::clone(&world) as _, Arc::clone(&world) as _, Arc::new(CountingIds::default()));
    (world, secrets)
}

/// As the catalog knows it, when it was set as this.
fn recorded(value: &str) -> RecordedSecret {
    let (tenant, secret, position) = ("acme".parse().unwrap(), "openai".parse().unwrap(), Position(7));
    RecordedSecret { tenant, secret, digest: BodyHash::of(value.as_bytes()), position }
}

fn opened(value: &str) -> OpenedSecret {
    OpenedSecret { value: value.parse().unwrap(), digest: BodyHash::of(value.as_bytes()) }
}

async fn open(secrets: &TenantSecrets, value: &str) -> Result<String, NotOpened> {
    let opened = secrets.open(&recorded(value), &"r1".parse().unwrap()).await;
    opened.map(|value| value.expose().to_owned())
}

#[tokio::test]
async fn calls_that_come_at_once_ask_once() {
    let (world, secrets) = world();
    world.says(Some(Ok(opened("sk-1"))));
    let found = futures::future::join_all((0..20).map(|_| open(&secrets, "sk-1"))).await;
    assert!(found.iter().all(|found| found.as_deref() == Ok("sk-1")), "{found:?}");
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn a_replaced_secret_is_asked_for_at_once() {
    let (world, secrets) = world();
    world.says(Some(Ok(opened("sk-1"))));
    assert_eq!(open(&secrets, "sk-1").await.as_deref(), Ok("sk-1"));
    world.says(Some(Ok(opened("sk-2"))));
    assert_eq!(open(&secrets, "sk-2").await.as_deref(), Ok("sk-2"));
    assert_eq!(world.asked(), 2);
    // Nobody answers, and the one before is not used in its place.
    world.says(None);
    assert_eq!(open(&secrets, "sk-3").await, Err(NotOpened));
}

#[tokio::test]
async fn a_secret_is_used_for_a_while_when_nobody_answers() {
    let (world, secrets) = world();
    world.says(Some(Ok(opened("sk-1"))));
    assert_eq!(open(&secrets, "sk-1").await.as_deref(), Ok("sk-1"));
    world.says(None);
    world.after(ASK_AGAIN);
    assert_eq!(open(&secrets, "sk-1").await.as_deref(), Ok("sk-1"));
    assert_eq!(world.asked(), 2);
    world.after(KEPT_TIME_MAX.saturating_sub(ASK_AGAIN));
    assert_eq!(open(&secrets, "sk-1").await, Err(NotOpened));
}

#[tokio::test]
async fn an_erased_secret_is_forgotten_when_asked_for_again() {
    let (world, secrets) = world();
    world.says(Some(Ok(opened("sk-1"))));
    assert_eq!(open(&secrets, "sk-1").await.as_deref(), Ok("sk-1"));
    world.says(Some(Err(Rejection::not_found("secret", &"openai"))));
    world.after(ASK_AGAIN);
    assert_eq!(open(&secrets, "sk-1").await, Err(NotOpened));
    world.says(None);
    world.after(PAUSE);
    assert_eq!(open(&secrets, "sk-1").await, Err(NotOpened), "it is not in memory any more");
}

#[tokio::test]
async fn a_failure_is_not_asked_about_again_at_once() {
    let (world, secrets) = world();
    for _ in 0..5 {
        assert_eq!(open(&secrets, "sk-1").await, Err(NotOpened));
    }
    assert_eq!(world.asked(), 1);
    world.after(PAUSE);
    world.says(Some(Ok(opened("sk-1"))));
    assert_eq!(open(&secrets, "sk-1").await.as_deref(), Ok("sk-1"));
}

#[tokio::test]
async fn secrets_that_nobody_uses_are_dropped() {
    let (world, secrets) = world();
    world.says(Some(Ok(opened("sk-1"))));
    assert_eq!(open(&secrets, "sk-1").await.as_deref(), Ok("sk-1"));
    world.after(KEPT_TIME_MAX);
    secrets.forget_old();
    assert_eq!(secrets.kept.len(), 0);
}
