//! A env from a seed: gateways, handlers, expiry workers, providers and callers, and what goes wrong among them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steward_events::command::{Command, SetBudget};
use steward_events::commit::Commit;
use steward_events::event::{BudgetKey, Event, LedgerEvent};
use steward_events::id::{PrincipalId, StreamId, SystemPart, TenantId};
use steward_events::ids::{CountingIds, Ids};
use steward_events::quantity::{Amounts, Limit, Shard, Unit, Window};
use steward_events::request::{Envelope, Format, Request};
use steward_events::scope::Subject;
use steward_events::sealed::DataKey;
use steward_ports::bus::CommandBus;
use steward_ports::clock::Clock;
use steward_ports::contents::MemoryContents;
use steward_ports::keys::{Keyring, MemoryVault};
use steward_ports::log::EventLog;
use steward_ports::timers::TimerKey;
use steward_tlog::SigningKey;
use steward_workers::process::lease_expiry;
use steward_workers::{Notary, WorkerPorts};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, LogPort};
use crate::callers::Gateway;
use crate::checker::{Checker, SETTLE_MAX, Seen};
use crate::process::{Process, Time};
use crate::replica::{BusPort, Replica, ReplicaHandle};
use crate::rng::SimRng;
use crate::timers::{SimTimers, TimersPort};
use crate::variant::{Port, Rule, Variant};

/// What a handler with the rule "the followers of the log set the timers" dropped does after its append.
pub(crate) type AfterAppend = Arc<dyn Fn(&[Event]) + Send + Sync>;

pub(crate) fn tenant() -> TenantId {
    "acme".parse().expect("a literal")
}

/// What all parts of a env share.
pub(crate) struct Surroundings {
    pub(crate) variant: Variant,
    pub(crate) rng: SimRng,
    pub(crate) time: Time,
    pub(crate) ids: Arc<CountingIds>,
    begun: AtomicBool,
    chaos: AtomicBool,
    replicas: Mutex<Vec<ReplicaHandle>>,
    pub(crate) unresolved: AtomicU64,
    /// What calls of the calm ask for, all together, and how often that was more than there is room for.
    pub(crate) wanted: Mutex<(Amounts, u64)>,
}

impl Surroundings {
    pub(crate) fn drops(&self, port: Port) -> bool {
        self.begun.load(Ordering::Relaxed) && self.variant == Variant::Port(port)
    }

    /// True in so many percent of cases while things go wrong.
    pub(crate) fn fault(&self, percent: u64) -> bool {
        self.chaos.load(Ordering::Relaxed) && self.rng.percent(percent)
    }

    pub(crate) async fn latency(&self) {
        let time = if self.fault(3) { self.rng.skewed_millis(800) } else { self.rng.millis(0, 3) };
        tokio::time::sleep(time).await;
    }

    pub(crate) fn replicas(&self) -> MutexGuard<'_, Vec<ReplicaHandle>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of one seed.
pub(crate) struct Report {
    pub(crate) broken: Option<String>,
    pub(crate) story: Vec<String>,
    pub(crate) seen: Seen,
    /// A digest of the whole log: equal seeds give equal logs.
    pub(crate) digest: String,
}

struct SimEnv {
    around: Arc<Surroundings>,
    broker: Arc<Broker>,
    sim_timers: Arc<SimTimers>,
    keyring: Arc<Keyring>,
    gateways: Vec<Gateway>,
    replicas: Vec<(Arc<Process>, JoinSet<()>)>,
    workers: Vec<(Arc<Process>, JoinSet<()>)>,
    incarnations: BTreeMap<&'static str, u64>,
}

/// Runs one seed to its end, on a runtime of its own whose time is simulated.
pub(crate) fn run(seed: u64, variant: Variant, traced: bool) -> Report {
    variant.install();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without input and output");
    let report = runtime.block_on(simulate(seed, variant, traced));
    Variant::Sound.install();
    report
}

async fn simulate(seed: u64, variant: Variant, traced: bool) -> Report {
    let rng = SimRng::new(seed);
    let around = Arc::new(Surroundings {
        variant,
        time: Time::begin(rng.millis(0, 86_400_000)),
        ids: Arc::new(CountingIds::default()),
        begun: AtomicBool::new(false),
        chaos: AtomicBool::new(false),
        replicas: Mutex::default(),
        unresolved: AtomicU64::new(0),
        wanted: Mutex::default(),
        rng,
    });
    let checker = Arc::new(Mutex::new(Checker::new(traced)));
    let three_nodes = around.rng.percent(50);
    let broker = Arc::new(Broker::new(Arc::clone(&around), three_nodes, checker));
    let sim_timers = SimTimers::new(Arc::clone(&around));
    let master = DataKey::from_bytes([7; 32]);
    let keyring = Arc::new(Keyring::new(master, Arc::new(MemoryVault::default())));
    let mut env = SimEnv {
        around,
        broker,
        sim_timers,
        keyring,
        gateways: Vec::new(),
        replicas: Vec::new(),
        workers: Vec::new(),
        incarnations: BTreeMap::new(),
    };
    env.begin().await;
    env.chaos().await;
    env.settle().await;
    env.calm().await;
    env.end().await;
    let broken = env.broker.checker().broken();
    let seen = env.broker.checker().seen;
    let story = env.broker.checker().story().to_vec();
    let digest = env.digest();
    Report { broken, story, seen, digest }
}

impl SimEnv {
    fn skewed(&self) -> Arc<Process> {
        let skew = i64::try_from(self.around.rng.below(3_001)).unwrap_or(0) - 1_500;
        Arc::new(Process::new(self.around.time, skew * 1_000))
    }

    fn broken(&self) -> bool {
        self.broker.checker().broken().is_some()
    }

    async fn begin(&mut self) {
        for place in 0..2 {
            self.start_replica(place);
        }
        let limits = [
            ("acme", None, Unit::Tokens, Window::Total, 10 + self.around.rng.below(30)),
            ("acme", Some("key_a"), Unit::Tokens, Window::Minute, 6 + self.around.rng.below(20)),
            ("acme", None, Unit::Money, Window::Total, 30 + self.around.rng.below(80)),
        ];
        for (scope, key, unit, per, amount) in limits {
            self.set_budget(scope, key, unit, per, amount).await;
        }
        let first: Vec<_> = self.broker.checker().ledger().budgets().map(|(id, _)| id.clone()).collect();
        assert_eq!(first.len(), limits.len(), "all budgets are set before the faults begin");
        self.broker.checker().first_budgets.extend(first);
        for place in 0..3 {
            let gateway = Gateway::start(&self.around, &self.broker, place, 0, self.skewed());
            self.gateways.push(gateway);
        }
        for place in 0..=self.around.rng.below(2) {
            self.start_worker(usize::try_from(place).unwrap_or(0));
        }
    }

    fn start_replica(&mut self, place: usize) {
        let process = self.skewed();
        let (handle, running) = Replica::start(&self.around, &self.broker, &process, self.after_append(&process));
        let mut tasks = JoinSet::new();
        tasks.spawn(running);
        let mut replicas = self.around.replicas();
        if place < replicas.len() {
            replicas[place] = handle;
            drop(replicas);
            self.replicas[place].0.kill();
            self.replicas[place] = (process, tasks);
        } else {
            replicas.push(handle);
            drop(replicas);
            self.replicas.push((process, tasks));
        }
    }

    /// The rule dropped: the handler sets a lease's timer after its append, if it still lives then.
    fn after_append(&self, process: &Arc<Process>) -> Option<AfterAppend> {
        let dropped = self.around.variant == Variant::Rule(Rule::TimerByHandler);
        dropped.then(|| self.timers_by_handler(process))
    }

    fn timers_by_handler(&self, process: &Arc<Process>) -> AfterAppend {
        let port = Arc::new(TimersPort { sim_timers: Arc::clone(&self.sim_timers), process: Arc::clone(process) });
        let around = Arc::clone(&self.around);
        Arc::new(move |events| {
            for event in events {
                let Event::Ledger(LedgerEvent::LeaseGranted { lease, terms, .. }) = event else { continue };
                if around.fault(10) {
                    continue; // it died between the append and this
                }
                let id = StreamId::new(format!("{}-{}", lease.holder, lease.number)).expect("short names");
                let key = TimerKey { tenant: tenant(), kind: lease_expiry::EXPIRY.to_owned(), id };
                let bell = lease_expiry::ExpiryTimer { shard: Shard(0), lease: lease.clone(), graced: false };
                let payload = serde_json::to_vec(&bell).expect("a bell is written");
                let (port, at) = (Arc::clone(&port), terms.expires);
                tokio::spawn(async move {
                    use steward_ports::timers::Timers;
                    let _ = port.set(&key, at, payload).await;
                });
            }
        })
    }

    fn start_worker(&mut self, place: usize) {
        let process = self.skewed();
        let log: Arc<dyn EventLog> = LogPort::new(Arc::clone(&self.broker), Arc::clone(&process));
        let ports = WorkerPorts {
            paced: Arc::clone(&log),
            log,
            bus: Arc::new(BusPort { around: Arc::clone(&self.around), process: Arc::clone(&process) }),
            timers: Arc::new(TimersPort { sim_timers: Arc::clone(&self.sim_timers), process: Arc::clone(&process) }),
            keyring: Arc::clone(&self.keyring),
            contents: Arc::new(MemoryContents::new(Arc::clone(&process) as Arc<dyn Clock>)),
            clock: Arc::clone(&process) as Arc<dyn Clock>,
            ids: Arc::clone(&self.around.ids) as Arc<dyn Ids>,
            // Nothing is signed here.
            notary: Arc::new(Notary { key: SigningKey::from_bytes(&[1; 32]), name: "simulation".to_owned() }),
        };
        let broker = Arc::clone(&self.broker);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            if let Err(error) = lease_expiry::run(ports, CancellationToken::new()).await {
                broker.checker().fail(format!("lease expiry stopped: {error}"));
            }
        });
        if place < self.workers.len() {
            self.workers[place].0.kill();
            self.workers[place] = (process, tasks);
        } else {
            self.workers.push((process, tasks));
        }
    }

    async fn set_budget(&self, scope: &str, key: Option<&str>, unit: Unit, per: Window, amount: u64) {
        let command = SetBudget {
            scope: scope.parse().expect("a literal"),
            subject: key.map(|key| Subject::Key(key.parse().expect("a literal"))),
            limit: Limit { unit, amount },
            per,
            hard: true,
            warn: vec![50],
            level: None,
        };
        let id = self.around.ids.unique();
        let request = Request {
            tenant: tenant(),
            principal: PrincipalId::system(SystemPart::Worker),
            noun: "budget".to_owned(),
            verb: "set".to_owned(),
            envelope: Envelope {
                command: id.parse().expect("an id"),
                issued_at: self.around.time.now(),
                on_behalf_of: None,
                causation: None,
                correlation: id.parse().expect("an id"),
                traceparent: None,
            },
            format: Format::MessagePack,
            body: Command::from(command).write(Format::MessagePack).expect("it is written"),
        };
        let process = Arc::new(Process::new(self.around.time, 0));
        let bus = BusPort { around: Arc::clone(&self.around), process };
        for _ in 0..3 {
            if bus.command(request.clone()).await.is_ok() {
                return;
            }
        }
    }

    /// Calls come while everything that may go wrong does.
    async fn chaos(&mut self) {
        self.around.begun.store(true, Ordering::Relaxed);
        self.around.chaos.store(true, Ordering::Relaxed);
        let steps = 15 + self.around.rng.below(20);
        for _ in 0..steps {
            if self.broken() {
                return;
            }
            match self.around.rng.below(20) {
                0..=9 => self.some_calls(),
                10 | 11 => self.crash_gateway(),
                12 | 13 => {
                    let place = usize::try_from(self.around.rng.below(3)).unwrap_or(0);
                    let pause = self.around.rng.skewed_millis(50_000);
                    self.note(&format!("gateway {place} pauses for {pause:?}"));
                    self.gateways[place].process.pause(pause);
                }
                14 => {
                    self.note("a replica crashes");
                    let place = usize::try_from(self.around.rng.below(2)).unwrap_or(0);
                    self.start_replica(place);
                }
                15 => {
                    self.note("a worker crashes");
                    let place = usize::try_from(self.around.rng.below(self.workers.len() as u64)).unwrap_or(0);
                    self.start_worker(place);
                }
                16 => {
                    let place = usize::try_from(self.around.rng.below(self.workers.len() as u64)).unwrap_or(0);
                    self.workers[place].0.pause(self.around.rng.skewed_millis(30_000));
                }
                17 | 18 => self.change_limit().await,
                _ => {
                    let limit = 8 + self.around.rng.below(20);
                    self.set_budget("acme", Some("key_b"), Unit::Tokens, Window::Total, limit).await;
                }
            }
            let gap = self.around.rng.skewed_millis(9_000);
            tokio::time::sleep(gap).await;
        }
    }

    fn note(&self, line: &str) {
        let now = self.around.time.now();
        self.broker.checker().print(&format!("{now} -- {line}"));
    }

    fn some_calls(&mut self) {
        let place = usize::try_from(self.around.rng.below(3)).unwrap_or(0);
        for _ in 0..=self.around.rng.below(4) {
            self.gateways[place].call(true);
        }
    }

    fn crash_gateway(&mut self) {
        let place = usize::try_from(self.around.rng.below(3)).unwrap_or(0);
        self.note(&format!("gateway {place} crashes"));
        let incarnation = self.incarnations.entry("gateway").or_default();
        *incarnation += 1;
        let incarnation = *incarnation;
        self.gateways[place].kill();
        let process = self.skewed();
        self.gateways[place] = Gateway::start(&self.around, &self.broker, place, incarnation, process);
    }

    async fn change_limit(&self) {
        let chosen = usize::try_from(self.around.rng.below(3)).unwrap_or(0);
        let budget = self.broker.checker().ledger().budgets().nth(chosen).map(|(_, budget)| budget.clone());
        let Some(budget) = budget else { return };
        let limit = (budget.spec.limit + self.around.rng.below(17)).saturating_sub(6);
        let key = key_of(&budget.key);
        self.set_budget("acme", key.as_deref(), budget.key.unit, budget.key.window, limit).await;
    }

    /// No more faults: all calls come to an end.
    async fn settle(&mut self) {
        self.around.chaos.store(false, Ordering::Relaxed);
        self.note("the faults are over");
        let paused = self.gateways.iter().map(|gateway| &gateway.process).chain(self.workers.iter().map(|w| &w.0));
        paused.for_each(|process| process.wake());
        self.wait_until("calls are never answered", |env| env.around.unresolved.load(Ordering::Relaxed) == 0).await;
    }

    async fn wait_until(&self, otherwise: &str, done: impl Fn(&Self) -> bool) {
        let start = self.around.time.now();
        while !done(self) && !self.broken() {
            if self.around.time.now().since(start) > SETTLE_MAX {
                let unrest = self.broker.checker().unrest();
                self.broker.checker().fail(format!("{otherwise}: {unrest}"));
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Law 6: with the faults gone, a call that fits once leases come back is admitted in time.
    async fn calm(&mut self) {
        // What late duplicates and timers of the past still do is no longer a fault, but may take its time.
        tokio::time::sleep(Duration::from_secs(50)).await;
        self.make_room().await;
        for _ in 0..5 {
            if self.broken() {
                return;
            }
            let place = usize::try_from(self.around.rng.below(3)).unwrap_or(0);
            for _ in 0..=self.around.rng.below(3) {
                self.gateways[place].call(false);
            }
            tokio::time::sleep(self.around.rng.millis(0, 1_500)).await;
        }
        self.wait_until("calls are never answered in calm", |env| env.around.unresolved.load(Ordering::Relaxed) == 0)
            .await;
    }

    /// What was spent or is lost is spent; there is to be a little room beyond it, so that calls fit and have to share.
    async fn make_room(&self) {
        let limits = self.broker.checker().held();
        for (key, unit, window, held) in limits {
            let room = match unit {
                Unit::Money => 30 + self.around.rng.below(60),
                Unit::Calls | Unit::Tokens => 8 + self.around.rng.below(16),
            };
            self.set_budget("acme", key.as_deref(), unit, window, held + room).await;
        }
    }

    async fn end(&mut self) {
        if self.broken() {
            return;
        }
        for gateway in &self.gateways {
            gateway.drain().await;
        }
        self.wait_until("law 7: it never becomes quiet", |env| env.broker.checker().is_quiet()).await;
        // Nothing may still be on its way that would change the books.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let log: Vec<Commit> = (self.broker.everything().iter())
            .map(|stored| Commit::decode(&stored.stream, &stored.bytes).expect("it was checked when stored"))
            .collect();
        if !self.broken() {
            self.broker.checker().audit(&log);
        }
    }

    fn digest(&self) -> String {
        let mut digest = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a
        for byte in self.broker.everything().iter().flat_map(|stored| stored.bytes.iter()) {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        format!("{digest:016x}")
    }
}

/// The key whose budget this is, if it is one key's.
pub(crate) fn key_of(budget: &BudgetKey) -> Option<String> {
    budget.subject.as_ref().map(|subject| match subject {
        Subject::Key(key) => key.to_string(),
        other => panic!("budgets here are of keys, not of {other}"),
    })
}
