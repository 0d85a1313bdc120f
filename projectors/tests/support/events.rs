//! Events for tests: a writer that keeps chains whole, calls to finish, and a store that fails.

#![allow(dead_code, unreachable_pub)] // a module of several tests, each of which uses a part

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use steward_events::BoxError;
use steward_events::commit::{Commit, Entry};
use steward_events::digest::CommitHash;
use steward_events::event::{
    AggregateKind, AnswerSource, CallContext, CallOutcome, Event, Operation, PriceVersion, Purpose, Saved, Savings,
    Tags, TokenUsage, UnpricedSet, UsageEvent,
};
use steward_events::id::{
    AgentId, CallId, CommandId, CommitId, CorrelationId, HolderId, KeyId, LeaseId, ModelId, PrincipalId, ProviderId,
    StreamId, TaskId, TenantId,
};
use steward_events::quantity::{Amounts, NanoDollars, Position, Shard, Tokens, Version};
use steward_events::scope::ScopeSet;
use steward_events::sender::KeyRef;
use steward_events::shared::Shared;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_ports::append::append;
use steward_ports::log::EventLog;
use steward_ports::store::{Pair, Store, Write};

/// Noon of 2026-11-23.
pub const NOON: Timestamp = Timestamp(1_795_435_200_000_000);

pub fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub fn stream(shard: u16, of: &str, kind: AggregateKind, id: &str) -> StreamName {
    StreamName { shard: Shard(shard), tenant: tenant(of), kind, id: StreamId::new(id).unwrap() }
}

/// Appends events, one entry a commit.
pub struct Writer {
    log: Arc<dyn EventLog>,
    ends: HashMap<StreamName, (Version, CommitHash, Position)>,
    commits: u64,
    pub at: Timestamp,
    pub key: Option<KeyRef>,
}

impl Writer {
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, ends: HashMap::new(), commits: 0, at: NOON, key: None }
    }

    pub async fn write(&mut self, stream: &StreamName, events: Vec<Event>) -> Position {
        let (commit, expected) = self.next(stream, events);
        let appended = append(&*self.log, expected, &commit).await.unwrap();
        self.ends.insert(stream.clone(), (commit.version, appended.hash, appended.position));
        appended.position
    }

    /// The bytes of the next commit, taken as written without a log.
    pub fn note_down(&mut self, stream: &StreamName, events: Vec<Event>) -> Vec<u8> {
        let (commit, position) = self.next(stream, events);
        let bytes = commit.encode().unwrap();
        self.ends.insert(stream.clone(), (commit.version, CommitHash::of(&bytes), Position(position.0 + 1)));
        bytes
    }

    /// The commit that would come next, and where.
    pub fn next(&mut self, stream: &StreamName, events: Vec<Event>) -> (Commit, Position) {
        self.commits += 1;
        let (version, prev, position) = self.ends.get(stream).copied().unwrap_or_default();
        let entry = Entry {
            command: CommandId::new(format!("c{}", self.commits)).unwrap(),
            at: self.at,
            actor: PrincipalId::new("p_ana").unwrap(),
            on_behalf_of: None,
            key: self.key.clone(),
            causation: None,
            correlation: CorrelationId::new("r1").unwrap(),
            body: None,
            events,
        };
        let id = CommitId::new(format!("commit{}", self.commits)).unwrap();
        (Commit { id, stream: stream.clone(), version: version.next(), prev, entries: vec![entry] }, position)
    }
}

/// A small generator (xorshift64*), so that a seed says it all.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    pub fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// A finished call of `of`.
pub fn finished(of: &str, dice: &mut Dice) -> UsageEvent {
    let model = ModelId::new(dice.pick(&["small", "large"])).unwrap();
    let path = dice.pick(&["", "/support", "/research"]);
    let (input, output, cost) = (dice.below(500), dice.below(300), dice.below(90_000));
    UsageEvent::CallFinished {
        call: CallId::new("call1").unwrap(),
        lease: LeaseId { holder: HolderId::new("gw1").unwrap(), number: 1 },
        context: Shared::new(CallContext {
            scopes: ScopeSet {
                path: format!("{of}{path}").parse().unwrap(),
                principal: PrincipalId::new(dice.pick(&["svc_a", "svc_b"])).unwrap(),
                key: KeyId::new(dice.pick(&["key_a", "key_b", "key_c"])).unwrap(),
                model: model.clone(),
                agent: (dice.below(3) == 0).then(|| AgentId::new("researcher").unwrap()),
                task: (dice.below(4) == 0).then(|| TaskId::new("t_1").unwrap()),
                line: None,
            },
            operation: Operation::Chat,
            provider: ProviderId::new("local").unwrap(),
            upstream_model: "smollm2".to_owned(),
            price: PriceVersion { model, from: Timestamp(NOON.0 - dice.below(2) * 86_400_000_000), target: None },
            purpose: Purpose::Asked,
        }),
        tokens: TokenUsage {
            input: Tokens(input),
            cached: Tokens(input / 2),
            output: Tokens(output),
            ..TokenUsage::default()
        },
        cost: NanoDollars(cost),
        variant: 0,
        unpriced: UnpricedSet::default(),
        source: AnswerSource::Provider,
        saved: Saved::default(),
        savings: Savings::default(),
        used: Amounts { calls: 1, tokens: Tokens(input + output), money: NanoDollars(cost) },
        late: Amounts::ZERO,
        outcome: if dice.below(10) == 0 { CallOutcome::estimated("cut") } else { CallOutcome::Completed },
        duration_ms: 12,
        tags: Tags::default(),
    }
}

/// A store that sometimes fails, before or after a write took effect.
pub struct FailingStore<S> {
    pub inner: S,
    pub one_in: u64,
    state: AtomicU64,
}

impl<S> FailingStore<S> {
    pub fn new(inner: S, one_in: u64, seed: u64) -> Self {
        Self { inner, one_in, state: AtomicU64::new(seed | 1) }
    }

    fn fails(&self) -> bool {
        let mut dice = Dice(self.state.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed) | 1);
        dice.below(97);
        self.one_in > 0 && dice.below(self.one_in) == 0
    }
}

impl<S: Store> Store for FailingStore<S> {
    fn get(&self, tree: &str, key: &[u8]) -> Result<Option<Vec<u8>>, BoxError> {
        if self.fails() { Err("the disk is asleep".into()) } else { self.inner.get(tree, key) }
    }
    fn scan(&self, tree: &str, prefix: &[u8], after: Option<&[u8]>, count_max: usize) -> Result<Vec<Pair>, BoxError> {
        self.inner.scan(tree, prefix, after, count_max)
    }
    fn write(&self, tree: &str, writes: Vec<Write>) -> Result<(), BoxError> {
        if self.fails() {
            return Err("nothing was written".into());
        }
        self.inner.write(tree, writes)?;
        if self.fails() { Err("written, but nobody heard".into()) } else { Ok(()) }
    }
    fn drop_tree(&self, tree: &str) -> Result<(), BoxError> {
        self.inner.drop_tree(tree)
    }
    fn flush(&self) -> Result<(), BoxError> {
        self.inner.flush()
    }
    fn size_bytes(&self) -> Result<u64, BoxError> {
        self.inner.size_bytes()
    }
}

/// All that a tree holds, byte for byte.
pub fn dump(store: &dyn Store, tree: &str) -> Vec<Pair> {
    store.scan(tree, b"", None, usize::MAX).unwrap()
}
