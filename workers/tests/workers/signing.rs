//! What has grown is signed, once; what was rewritten is not; and witnesses hear of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use steward_events::command::RequestCheckpoint;
use steward_events::digest::TreeHash;
use steward_events::event::{AggregateKind, CheckpointEvent, Event};
use steward_events::rejection::Rejection;
use steward_events::request::{Format, Reply, Request};
use steward_events::shard::{STEWARD_SHARD, choose_shard};
use steward_ports::bus::{BusError, CommandBus, CommandService, LocalBus, QueryService};
use steward_ports::clock::{RandomIds, SystemClock};
use steward_ports::log::Filter;
use steward_ports::store::memory::MemoryStore;
use steward_projectors::{ProjectorPorts, Projectors};
use steward_queries::TreeState;
use steward_tlog::{Checkpoint, Frontier, Note, leaf, origin};
use steward_workers::Config;
use steward_workers::config::Transparency;
use tokio_util::sync::CancellationToken;

use crate::env::{WorkersEnv, eventually, notary, tenant};
use crate::gateway::{Do, Gateway};

/// A env whose queries are answered, and the bus to it.
async fn env() -> (WorkersEnv, Arc<dyn CommandBus>, tokio_util::sync::DropGuard) {
    let env = WorkersEnv::new(Gateway::start(|_| Do::Hang).await).await.with_tenant("acme").await;
    let ports = ProjectorPorts {
        log: Arc::clone(&env.log),
        store: Arc::new(MemoryStore::default()),
        keyring: Arc::clone(&env.keyring),
        clock: Arc::new(SystemClock::default()),
        ids: Arc::new(RandomIds::default()),
    };
    let projectors = Projectors::new(ports, steward_projectors::Config::default());
    let shutdown = CancellationToken::new();
    tokio::spawn(Arc::clone(&projectors).run(shutdown.clone()));
    let (commands, queries): (Arc<dyn CommandService>, Arc<dyn QueryService>) = (env.desk.clone(), projectors);
    (env, Arc::new(LocalBus::new(commands, Some(queries))), shutdown.drop_guard())
}

fn config(env: &WorkersEnv, every: Duration) -> Config {
    Config { transparency: Transparency { checkpoint_every: every, ..Transparency::default() }, ..env.config() }
}

/// What was signed of a tenant: size, root and note.
async fn signed(env: &WorkersEnv, of: &str) -> Vec<(u64, TreeHash, String)> {
    let filter = Filter::shard(STEWARD_SHARD).kinds(&[AggregateKind::Checkpoint]);
    let events = env.recorded(filter).await.into_iter();
    let of = tenant(of);
    events
        .filter_map(|event| match event {
            Event::Checkpoint(CheckpointEvent::Signed { tenant, size, root, note, .. }) if tenant == of => {
                Some((size, root, note))
            }
            _ => None,
        })
        .collect()
}

/// The tree of a tenant by the log itself.
async fn tree(env: &WorkersEnv, of: &str) -> Frontier {
    use futures::StreamExt;
    let filter = if of == "steward" { STEWARD_SHARD } else { choose_shard(&tenant(of), env.log.shards()) };
    let filter = Filter::shard(filter).tenant(&tenant(of));
    let last = env.log.last(&filter).await.unwrap();
    let mut follow = env.log.follow(&filter, steward_events::quantity::Position(0)).await.unwrap();
    let mut tree = Frontier::default();
    while let Some(stored) = follow.next().await {
        let stored = stored.unwrap();
        let hash = steward_events::digest::CommitHash::of(&stored.bytes);
        tree.push(TreeHash::leaf(&leaf(stored.position, &hash)));
        if stored.position >= last {
            break;
        }
    }
    tree
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_checkpoint_is_signed_at_once() {
    let (env, bus, _views) = env().await;
    let worker = env.start_with(config(&env, Duration::from_hours(1)), bus);
    let asked = env.send("acme", RequestCheckpoint {}).await.unwrap();
    assert_eq!(asked.events, ["checkpoint.requested"]);
    eventually("acme is signed", async || !signed(&env, "acme").await.is_empty()).await;
    let tree = tree(&env, "acme").await;
    let (size, root, note) = signed(&env, "acme").await.pop().unwrap();
    assert_eq!((size, root), (tree.size(), tree.root()));
    let note: Note = note.parse().unwrap();
    let name = origin("steward.example", &tenant("acme"));
    notary().key.verifier(&name).unwrap().verify(&note).unwrap();
    assert_eq!(Checkpoint::read(&note).unwrap(), Checkpoint { origin: name, size, root });
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grown_trees_are_signed_in_turn_until_none_is_due() {
    let (env, bus, _views) = env().await;
    let both = (
        env.start_with(config(&env, Duration::from_millis(40)), Arc::clone(&bus)),
        env.start_with(config(&env, Duration::from_millis(40)), bus),
    );
    let covered = async |of: &str| {
        let (tree, signed) = (tree(&env, of).await, signed(&env, of).await);
        signed.last().is_some_and(|(size, ..)| *size == tree.size())
    };
    eventually("acme is signed", async || covered("acme").await).await;
    // Steward's tree holds the signatures of all trees: the last thing in it is the signature of itself.
    let at_rest = async || {
        let before = tree(&env, "steward").await.size();
        tokio::time::sleep(Duration::from_millis(400)).await;
        !signed(&env, "steward").await.is_empty() && tree(&env, "steward").await.size() == before
    };
    eventually("nothing is left to sign", at_rest).await;
    let own = signed(&env, "steward").await;
    let size = tree(&env, "steward").await.size();
    assert!(own.last().unwrap().0 < size && own.windows(2).all(|pair| pair[0].0 < pair[1].0), "{own:?} of {size}");
    both.0.stop().await;
    both.1.stop().await;
}

/// A bus whose views tell of another history.
struct Rewritten(Arc<dyn CommandBus>, AtomicUsize);

#[async_trait]
impl CommandBus for Rewritten {
    async fn command(&self, request: Request) -> Result<Reply, BusError> {
        self.0.command(request).await
    }

    async fn query(&self, request: Request) -> Result<Result<Bytes, Rejection>, BusError> {
        let tree = (request.noun.as_str(), request.verb.as_str()) == ("audit", "tree");
        let answer = self.0.query(request).await?;
        Ok(answer.map(|answer| {
            if !tree {
                return answer;
            }
            let mut state: TreeState = Format::MessagePack.read(&answer).unwrap();
            state.root = TreeHash::leaf(b"another history");
            self.1.fetch_add(1, Ordering::SeqCst);
            Bytes::from(Format::MessagePack.write(&state).unwrap())
        }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_history_is_not_signed() {
    let (env, bus, _views) = env().await;
    let honest = env.start_with(config(&env, Duration::from_hours(1)), Arc::clone(&bus));
    env.send("acme", RequestCheckpoint {}).await.unwrap();
    eventually("acme is signed", async || !signed(&env, "acme").await.is_empty()).await;
    honest.stop().await;
    let before = signed(&env, "acme").await;
    let rewritten = Arc::new(Rewritten(bus, AtomicUsize::new(0)));
    let worker = env.start_with(config(&env, Duration::from_hours(1)), rewritten.clone());
    env.send("acme", RequestCheckpoint {}).await.unwrap();
    eventually("the other tree is seen", async || rewritten.1.load(Ordering::SeqCst) > 0).await;
    // Asked once more: by then the first answer was acted on.
    env.send("acme", RequestCheckpoint {}).await.unwrap();
    eventually("it is seen again", async || rewritten.1.load(Ordering::SeqCst) > 1).await;
    assert_eq!(signed(&env, "acme").await, before);
    assert!(worker.workers.ready().is_ok(), "the others are still signed");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_gets_checkpoints_signed_while_it_was_away() {
    let (env, bus, _views) = env().await;
    let dir = tempfile::tempdir().unwrap();
    let witnesses = vec![dir.path().to_str().unwrap().to_owned()];
    let with = Transparency { checkpoint_every: Duration::from_hours(1), witnesses, ..Transparency::default() };
    let worker = env.start_with(config(&env, Duration::from_hours(1)), Arc::clone(&bus));
    env.send("acme", RequestCheckpoint {}).await.unwrap();
    eventually("acme is signed", async || !signed(&env, "acme").await.is_empty()).await;
    worker.stop().await;
    let worker = env.start_with(Config { transparency: with, ..env.config() }, bus);
    let kept = |size: u64| dir.path().join(format!("steward.example/acme/{size:020}"));
    let (size, _, note) = signed(&env, "acme").await.pop().unwrap();
    eventually("the witness has what was signed before", async || kept(size).is_file()).await;
    assert_eq!(std::fs::read_to_string(kept(size)).unwrap(), note);
    env.send("acme", RequestCheckpoint {}).await.unwrap();
    eventually("the witness has the next", async || kept(size + 1).is_file()).await;
    worker.stop().await;
}
