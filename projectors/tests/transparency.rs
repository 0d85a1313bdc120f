//! Trees of commits: the same whatever happens to the fold, and every proof made from their rows holds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in helpers of tests, too

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use steward_events::digest::CommitHash;
use steward_events::digest::TreeHash;
use steward_events::event::{AggregateKind, CheckpointEvent, Event};
use steward_events::quantity::{Position, Shard};
use steward_events::rejection::Rejection;
use steward_ports::clock::SystemClock;
use steward_ports::log::memory::MemoryLog;
use steward_ports::store::Store;
use steward_ports::store::memory::MemoryStore;
use steward_projectors::Config;
use steward_projectors::engine::progress::Stage;
use steward_projectors::engine::runner::Runner;
use steward_projectors::view::audit::transparency::{StoredTree, Transparency};
use steward_queries::{
    Checkpoints, Commits, ConsistencyProof, Due, DueQuery, InclusionProof, TileHashes, TreeState, Verification,
};
use steward_tlog::tile::Hashes;
use steward_tlog::{Checkpoint, Frontier, SigningKey, leaf, origin, proof};
use tokio_util::sync::CancellationToken;

#[path = "support/company.rs"]
mod company;
#[path = "support/events.rs"]
mod events;

use company::{Company, SHARD};
use events::{Dice, FailingStore, Writer, dump, finished, stream, tenant};

const TENANTS: [&str; 2] = ["acme", "globex"];

/// The leaves of each tenant's tree, and where their commits stand.
type Leaves = BTreeMap<&'static str, Vec<(Position, TreeHash)>>;

/// A log of `count` commits of two tenants in one shard.
async fn log(count: usize, seed: u64) -> (MemoryLog, Leaves) {
    let log = MemoryLog::new(1, Arc::new(SystemClock::default()));
    let (mut writer, mut dice) = (Writer::new(Arc::new(log.clone())), Dice(seed));
    let mut leaves = Leaves::new();
    for _ in 0..count {
        // One is large enough for two levels of tiles.
        let of = if dice.below(5) == 0 { TENANTS[1] } else { TENANTS[0] };
        let journal = stream(0, of, AggregateKind::Usage, dice.pick(&["gw1-a", "gw2-a"]));
        let (commit, _) = writer.next(&journal, vec![finished(of, &mut dice).into()]);
        let events = commit.entries[0].events.clone();
        let position = writer.write(&journal, events).await;
        let stored = steward_ports::log::EventLog::at(&log, Shard(0), position).await.unwrap().unwrap();
        let hash = CommitHash::of(&stored.bytes);
        leaves.entry(of).or_default().push((position, TreeHash::leaf(&leaf(position, &hash))));
    }
    (log, leaves)
}

async fn fold(log: &MemoryLog, store: &Arc<dyn Store>, batch: usize) -> Arc<Runner<Transparency>> {
    let config = Config { batch_commits_max: NonZeroUsize::new(batch).unwrap(), rows_held_max: 3, ..Config::default() };
    let runner = Arc::new(Runner::<Transparency>::new(Arc::new(log.clone()), store, config));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&runner).run(shutdown.clone()));
    tokio::time::timeout(Duration::from_mins(1), async {
        while runner.progress().any(|(_, progress)| progress.stage != Stage::Current)
            || runner.lag().await.unwrap().iter().any(|(_, lag)| *lag > 0)
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .expect("the fold catches up");
    shutdown.cancel();
    running.await.unwrap();
    runner
}

fn root(leaves: &[(Position, TreeHash)]) -> TreeHash {
    let mut tree = Frontier::default();
    for (_, leaf) in leaves {
        tree.push(*leaf);
    }
    tree.root()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_the_tree_and_every_proof_from_them_holds() {
    let (log, leaves) = log(1_500, 5).await;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let runner = fold(&log, &store, 100).await;
    for (of, leaves) in leaves {
        let tenant = tenant(of);
        let read = move |rows: &steward_projectors::engine::view_store::Snapshot<'_>| {
            let tree = StoredTree::of(rows, &tenant)?;
            let size = leaves.len() as u64;
            assert_eq!((tree.head().size, tree.head().worth), (size, size));
            assert_eq!(tree.head().position, leaves.last().unwrap().0);
            assert_eq!(proof::root(&tree, size).unwrap(), root(&leaves));
            for at in (0..leaves.len()).step_by(37).chain([0, 15, 16, 255, 256, leaves.len() - 1]) {
                let (position, leaf) = leaves[at.min(leaves.len() - 1)];
                let at = at.min(leaves.len() - 1) as u64;
                assert_eq!(tree.index_of(position).unwrap(), Some(at));
                let path = proof::inclusion(&tree, at, size).unwrap();
                assert!(proof::includes(leaf, at, size, &path, root(&leaves)), "{at}");
                let old = at + 1;
                let path = proof::consistency(&tree, old, size).unwrap();
                let old_root = root(&leaves[..usize::try_from(old).unwrap()]);
                assert!(proof::goes_on(old, old_root, size, root(&leaves), &path), "{old}");
            }
            // Positions of the other tenant, before, between and after.
            let taken: Vec<u64> = leaves.iter().map(|(position, _)| position.0).collect();
            for at in (0..1_510).filter(|at| !taken.contains(at)) {
                assert_eq!(tree.index_of(Position(at)).unwrap(), None, "{at}");
            }
            assert!(tree.read(0, size, size + 1).unwrap().is_empty());
            Ok(())
        };
        runner.read(Shard(0), None, read).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_the_same_for_every_batching() {
    let (log, _) = log(700, 9).await;
    let whole: Arc<dyn Store> = Arc::new(MemoryStore::default());
    fold(&log, &whole, 10_000).await;
    let tree = steward_projectors::engine::view_store::name("transparency-v1", Shard(0));
    for (batch, one_in) in [(1, 0), (7, 0), (256, 0), (33, 40)] {
        let inner = Arc::new(FailingStore::new(MemoryStore::default(), one_in, 3));
        let store: Arc<dyn Store> = inner.clone();
        fold(&log, &store, batch).await;
        assert_eq!(dump(&inner.inner, &tree), dump(&*whole, &tree), "batches of {batch}, failing one in {one_in}");
    }
}

/// The events of a signature, as a worker has them recorded.
fn signed(of: &str, size: u64, root: TreeHash, position: Position) -> Event {
    let (key, origin) = (SigningKey::from_bytes(&[7; 32]), origin("steward.example", &tenant(of)));
    let state = Checkpoint { origin: origin.clone(), size, root };
    let (note, key) =
        (key.sign(&state.text(), &origin).unwrap().to_string(), key.verifier(&origin).unwrap().to_string());
    CheckpointEvent::Signed { tenant: tenant(of), size, root, position, note, key }.into()
}

async fn sign(company: &mut Company, of: &str) -> TreeState {
    let tree: TreeState = company.query(of, owner(of), "audit.tree", &json!({})).await.unwrap();
    let stream = stream(0, "steward", AggregateKind::Checkpoint, of);
    company.writer.write(&stream, vec![signed(of, tree.size, tree.root, tree.position)]).await;
    tree
}

fn owner(of: &str) -> &'static str {
    if of == "steward" { "op_root" } else { "p_ana" }
}

async fn due(company: &Company, shard: u16) -> Vec<String> {
    let query = DueQuery { shard, after: None };
    // What is due may be answered from a state a little older than now: ask until it has settled.
    let _: TreeState = company.query("steward", "op_root", "audit.tree", &json!({})).await.unwrap();
    let due: Due = company.query("steward", "op_root", "audit.due", &query).await.unwrap();
    assert_eq!(due.next, None);
    due.tenants.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grown_tree_is_due_but_signatures_make_nothing_due() {
    let mut company = Company::founded(Config::default()).await;
    let _: TreeState = company.query("acme", "p_ana", "audit.tree", &json!({})).await.unwrap();
    assert_eq!(due(&company, SHARD).await, ["acme", "globex"]);
    sign(&mut company, "acme").await;
    assert_eq!(due(&company, SHARD).await, ["globex"]);
    assert_eq!(due(&company, 0).await, ["steward"]);
    sign(&mut company, "steward").await;
    assert_eq!(due(&company, 0).await, [] as [&str; 0], "its tree has only grown by its own signature");
    company
        .writer
        .write(&stream(SHARD, "acme", AggregateKind::Usage, "g"), vec![finished("acme", &mut Dice(3)).into()])
        .await;
    let _: TreeState = company.query("acme", "p_ana", "audit.tree", &json!({})).await.unwrap();
    assert_eq!(due(&company, SHARD).await, ["acme", "globex"]);
    sign(&mut company, "acme").await;
    assert_eq!(due(&company, 0).await, ["steward"], "another tenant's signature is worth signing");
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_are_answered_to_auditors_and_to_nobody_else() {
    let mut company = Company::founded(Config::default()).await;
    let first = sign(&mut company, "acme").await;
    for seed in 1..20 {
        let event = finished("acme", &mut Dice(seed));
        company.writer.write(&stream(SHARD, "acme", AggregateKind::Usage, "gw1-a"), vec![event.into()]).await;
    }
    let second = sign(&mut company, "acme").await;
    assert_eq!(second.size, first.size + 19);

    let all: Checkpoints = company.query("acme", "p_max", "audit.checkpoints", &json!({})).await.unwrap();
    assert_eq!(
        all.checkpoints.iter().map(|c| (c.size, c.root)).collect::<Vec<_>>(),
        [(first.size, first.root), (second.size, second.root)]
    );
    let page: Checkpoints =
        company.query("acme", "p_max", "audit.checkpoints", &json!({"count_max": 1})).await.unwrap();
    assert_eq!((page.checkpoints.len(), page.next), (1, Some(first.size)));
    let newest: Checkpoints =
        company.query("acme", "p_max", "audit.checkpoints", &json!({"newest": true})).await.unwrap();
    assert_eq!(newest.checkpoints, all.checkpoints[1..]);
    let none: Checkpoints = company.query("globex", "p_gil", "audit.checkpoints", &json!({})).await.unwrap();
    assert_eq!(none, Checkpoints::default());

    let query = json!({"from": first.size});
    let grown: ConsistencyProof = company.query("acme", "p_max", "audit.consistency", &query).await.unwrap();
    assert!(proof::goes_on(grown.from, first.root, grown.to, second.root, &grown.path));
    let state: TreeState = company.query("acme", "p_max", "audit.tree", &query).await.unwrap();
    assert!(proof::goes_on(first.size, first.root, state.size, state.root, &state.consistency));

    let page: Commits = company.query("acme", "p_max", "audit.commits", &json!({"count_max": 5})).await.unwrap();
    assert_eq!((page.commits.len(), page.next), (5, page.commits.last().map(|commit| commit.position)));
    let next = json!({"after": page.next});
    let rest: Commits = company.query("acme", "p_max", "audit.commits", &next).await.unwrap();
    // What was looked at is on record too, a second later at most: after all that was signed.
    let signed = usize::try_from(second.size).unwrap() - page.commits.len();
    assert!(rest.commits.len() >= signed, "{} of {signed}", rest.commits.len());
    assert!(rest.commits[signed..].iter().all(|commit| commit.subject.contains(".reads.")));
    assert_eq!(rest.next, None);
    let commit = &rest.commits[3];
    let proven: InclusionProof =
        company.query("acme", "p_max", "audit.inclusion", &json!({"position": commit.position})).await.unwrap();
    let hash = CommitHash::of(&STANDARD.decode(&commit.bytes).unwrap());
    assert_eq!((proven.commit.clone(), proven.size, proven.root), (hash.to_string(), second.size, second.root));
    assert_eq!(proven.checkpoint.as_ref(), Some(&all.checkpoints[1].note));
    let leaf = TreeHash::leaf(&leaf(commit.position, &hash));
    assert!(proof::includes(leaf, proven.index, proven.size, &proven.path, proven.root));
    let tile: TileHashes = company.query("acme", "p_max", "audit.tile", &json!({"size": second.size})).await.unwrap();
    assert_eq!(tile.path, format!("tile/0/000.p/{}", second.size));
    assert_eq!(tile.hashes[usize::try_from(proven.index).unwrap()], leaf);

    let found: Verification = company.query("acme", "p_max", "audit.verify", &json!({})).await.unwrap();
    assert_eq!((found.broken.len(), found.checkpoint.unwrap().size), (0, second.size));

    for (query, body) in [
        ("audit.tile", json!({"level": 9})),
        ("audit.tile", json!({"index": u64::MAX})),
        ("audit.tile", json!({"size": second.size + 1_000})),
        ("audit.inclusion", json!({"position": 99_999})),
        ("audit.inclusion", json!({"position": commit.position, "size": second.size + 1_000})),
        ("audit.inclusion", json!({"position": commit.position, "size": 1})),
        ("audit.consistency", json!({"from": 9, "to": 3})),
        ("audit.consistency", json!({"from": 1, "to": u64::MAX})),
        ("audit.tree", json!({"from": u64::MAX})),
        ("audit.due", json!({})),
    ] {
        let refused = company.query::<serde_json::Value>("acme", "p_max", query, &body).await.unwrap_err();
        assert!(matches!(refused, Rejection::Invalid { .. } | Rejection::NotFound { .. }), "{query} {body}: {refused}");
    }
    for who in ["svc_a", "p_gil"] {
        for query in ["audit.commits", "audit.tree", "audit.checkpoints"] {
            assert!(company.query::<serde_json::Value>("acme", who, query, &json!({})).await.is_err(), "{who} {query}");
        }
    }
}

/// Another root was signed than the log has: an earlier history, or somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_unlike_its_checkpoint_is_reported() {
    let mut company = Company::founded(Config::default()).await;
    let tree = sign(&mut company, "acme").await;
    let stream = stream(0, "steward", AggregateKind::Checkpoint, "globex");
    let other: TreeState = company.query("globex", "p_gil", "audit.tree", &json!({})).await.unwrap();
    company.writer.write(&stream, vec![signed("globex", other.size, tree.root, other.position)]).await;
    company.writer.write(&stream, vec![signed("globex", other.size + 4, tree.root, other.position)]).await;
    let found: Verification = company.query("globex", "p_gil", "audit.verify", &json!({})).await.unwrap();
    let reasons: Vec<&str> = found.broken.iter().map(|broken| broken.reason.as_str()).collect();
    assert!(reasons[0].contains("another history was signed"), "{reasons:?}");
    assert!(reasons[1].contains("log-went-back"), "{reasons:?}");
    assert_eq!((reasons.len(), found.checkpoint), (2, None));
}
