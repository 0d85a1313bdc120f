use bytes::Bytes;
use steward_events::event::{Saved, Target};
use steward_events::sealed::DataKey;
use steward_events::timestamp::Timestamp;
use steward_ports::contents::{ContentStore, MemoryContents};
use tokio::time::Instant;

use super::*;
use crate::cache::{KeptBody, Made};
use crate::contents::Tally;

/// The time of the test's own runtime, which goes on when all wait.
struct TestClock(Instant);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// What several gateways share.
struct World {
    clock: Arc<TestClock>,
    store: Arc<dyn ContentStore>,
    key: DataKey,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(TestClock(Instant::now()));
        Self { store: Arc::new(MemoryContents::new(Arc::clone(&clock) as _)), clock, key: DataKey::from_bytes([7; 32]) }
    }

    /// As one gateway takes it.
    async fn take(&self, caller: &str, key: &str, asks: &str) -> Result<Taken, Error> {
        let claims = Claims {
            clock: Arc::clone(&self.clock) as _,
            kept_for: Duration::from_hours(1),
            wait_max: Duration::from_mins(1),
        };
        let key = IdempotencyKey::read(key).unwrap();
        let (store, tally) = (Arc::clone(&self.store), Arc::new(Tally::new(Arc::clone(&self.clock) as _, u64::MAX)));
        let contents = TenantContents::with("acme".parse().unwrap(), store, self.key.clone(), tally);
        let (caller, asks) = (caller.as_bytes(), asks.as_bytes());
        claims.take(Comes { contents, caller, key: &key, asks: &[asks] }).await
    }

    async fn mine(&self) -> Claim {
        match self.take("p_1", "k", "hello").await {
            Ok(Taken::Mine(claim)) => claim,
            Ok(Taken::Answered(_)) => panic!("it is answered"),
            Err(error) => panic!("{error}"),
        }
    }

    async fn answer(&self) -> String {
        match self.take("p_1", "k", "hello").await {
            Ok(Taken::Answered(kept)) => text(&kept),
            Ok(Taken::Mine(_)) => panic!("it may be made"),
            Err(error) => panic!("{error}"),
        }
    }
}

fn call(number: u32) -> CallId {
    format!("call_{number}").parse().unwrap()
}

fn text(kept: &Kept) -> String {
    match &kept.body {
        KeptBody::Whole(body) => String::from_utf8(body.to_vec()).unwrap(),
        KeptBody::Stream { events, held } => format!("{events:?} {held:?}"),
    }
}

fn kept(body: KeptBody) -> Kept {
    let target = Target::new("p".parse().unwrap(), "m");
    Kept { body, made: Made { call: call(1), target, saves: Saved::default() } }
}

fn whole(text: &'static str) -> Kept {
    kept(KeptBody::Whole(Bytes::from_static(text.as_bytes())))
}

#[tokio::test(start_paused = true)]
async fn of_all_that_come_one_is_made_and_all_get_its_answer() {
    let world = World::new();
    let claim = world.mine().await;
    let others = futures::future::join_all((0..10).map(|_| world.answer()));
    let made = async {
        tokio::time::sleep(Duration::from_secs(45)).await;
        claim.send(&call(1)).await.unwrap();
        claim.end(&call(1), Ok(&whole("the answer"))).await;
    };
    let (answers, ()) = tokio::join!(others, made);
    assert_eq!(answers, ["the answer"; 10]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_kept_as_it_went_out() {
    let long = Bytes::from(vec![b'x'; 3 << 20]);
    for said in [Some(Bytes::from_static(b"held")), Some(Bytes::new()), None] {
        let world = World::new();
        let claim = world.mine().await;
        claim.send(&call(1)).await.unwrap();
        let body = KeptBody::Stream { events: long.clone(), held: said.clone() };
        claim.end(&call(1), Ok(&kept(body))).await;
        match world.take("p_1", "k", "hello").await {
            Ok(Taken::Answered(Kept { body: KeptBody::Stream { events, held }, made })) => {
                assert!(events == long && (held, made.call) == (said, call(1)));
            }
            _ => panic!("it is answered, as a stream"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_for_one_request_of_one_caller() {
    let world = World::new();
    let claim = world.mine().await;
    assert!(matches!(world.take("p_1", "k", "another").await, Err(Error::IdempotencyKeyReused)));
    assert!(matches!(world.take("p_2", "k", "another").await, Ok(Taken::Mine(_))), "another caller's key");
    assert!(matches!(world.take("p_1", "k2", "another").await, Ok(Taken::Mine(_))));
    claim.send(&call(1)).await.unwrap();
    claim.end(&call(1), Ok(&whole("the answer"))).await;
    assert!(matches!(world.take("p_1", "k", "another").await, Err(Error::IdempotencyKeyReused)));
}

#[tokio::test(start_paused = true)]
async fn what_was_certainly_not_billed_may_be_made_again() {
    let world = World::new();
    let claim = world.mine().await;
    claim.fail(&Error::Unavailable("the budget".to_owned())).await;
    let claim = world.mine().await;
    claim.send(&call(1)).await.unwrap();
    claim.fail(&Error::UpstreamFailed("500".to_owned())).await;
    let claim = world.mine().await;
    // Not sent yet, so it cannot have been billed.
    claim.fail(&Error::Unanswered("the caller broke off".to_owned())).await;
    drop(world.mine().await);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_billed_is_not_made_again() {
    for error in [Error::UpstreamTimedOut("t".to_owned()), Error::UpstreamBroke("b".to_owned())] {
        let world = World::new();
        let claim = world.mine().await;
        claim.send(&call(7)).await.unwrap();
        claim.fail(&error).await;
        let told = world.take("p_1", "k", "hello").await;
        assert!(matches!(&told, Err(Error::OutcomeUnknown { call, .. }) if *call == self::call(7)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_gateway_died_before_sending_is_taken_over_and_cannot_send_any_more() {
    let world = World::new();
    let zombie = world.mine().await;
    // Its process is stopped: nothing of it is written any more.
    zombie.beat.abort();
    let began = world.clock.monotonic();
    let claim = world.mine().await;
    assert!(world.clock.monotonic().saturating_sub(began) >= SILENCE_MAX);
    assert!(matches!(zombie.send(&call(1)).await, Err(Error::StillRunning)), "it woke up");
    claim.send(&call(2)).await.unwrap();
    zombie.fail(&Error::StillRunning).await;
    claim.end(&call(2), Ok(&whole("the answer"))).await;
    assert_eq!(world.answer().await, "the answer");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_gateway_died_after_sending_is_told_to_be_unknown() {
    let world = World::new();
    let zombie = world.mine().await;
    zombie.send(&call(7)).await.unwrap();
    zombie.beat.abort();
    for _ in 0..2 {
        let told = world.take("p_1", "k", "hello").await;
        assert!(matches!(&told, Err(Error::OutcomeUnknown { call, .. }) if *call == self::call(7)));
    }
    // It was only slow, and its answer comes after that was said: it stays said.
    zombie.end(&call(7), Ok(&whole("late"))).await;
    assert!(matches!(world.take("p_1", "k", "hello").await, Err(Error::OutcomeUnknown { .. })));
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_told_to_come_back() {
    let world = World::new();
    let claim = world.mine().await;
    claim.send(&call(1)).await.unwrap();
    assert!(matches!(world.take("p_1", "k", "hello").await, Err(Error::StillRunning)));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_dropped_lasts_no_longer_than_silence() {
    let world = World::new();
    drop(world.mine().await);
    drop(world.mine().await);
}

#[test]
fn keys_are_bounded() {
    for text in ["", " ", "a b", "ä", &"k".repeat(256)] {
        assert!(IdempotencyKey::read(text).is_err(), "{text:?}");
    }
    assert!(IdempotencyKey::read(&"k".repeat(255)).is_ok());
}
