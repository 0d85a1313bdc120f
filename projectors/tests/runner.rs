//! The runner: however often it dies and however its store fails, the rows equal the events, byte for byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in helpers of tests, too

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use steward_events::commit::Recorded;
use steward_events::event::{
    AggregateKind, AnswerSource, CallOutcome, Event, LeaseTerms, LedgerEvent, Saved, Saving, SavingCause, Savings,
    TenantEvent, Unpriced, UnsettledCall, UsageEvent,
};
use steward_events::id::CallId;
use steward_events::quantity::{Amounts, NanoDollars, Position, Shard, Tokens};
use steward_events::rejection::Rejection;
use steward_ports::clock::SystemClock;
use steward_ports::log::EventLog;
use steward_ports::log::memory::MemoryLog;
use steward_ports::store::Store;
use steward_ports::store::memory::MemoryStore;
use steward_projectors::Config;
use steward_projectors::engine::progress::{NotReady, Stage};
use steward_projectors::engine::rows::Rows;
use steward_projectors::engine::runner::Runner;
use steward_projectors::engine::{key::Key, projector::Projector};
use steward_projectors::view::cost::{self, CostReport};
use steward_projectors::view::metrics::Metrics;
use steward_projectors::view::tasks::Tasks;
use steward_queries::{CostBy, CostQuery, CostReport as Report, CostSums};
use steward_sled::SledStore;
use tokio_util::sync::CancellationToken;

use events::{Dice, FailingStore, Writer, dump, finished, stream, tenant};

#[path = "support/events.rs"]
mod events;

const SHARDS: u16 = 2;
const TENANTS: [(&str, u16); 3] = [("acme", 0), ("globex", 0), ("initech", 1)];

fn config(batch: usize) -> Config {
    Config { batch_commits_max: NonZeroUsize::new(batch).unwrap(), rows_held_max: 5, ..Config::default() }
}

fn memory_log() -> MemoryLog {
    MemoryLog::new(SHARDS, Arc::new(SystemClock::default()))
}

/// Writes `commits` commits of finished calls and returns what they sum to for each tenant.
async fn write_calls(writer: &mut Writer, dice: &mut Dice, commits: usize, sums: &mut [CostSums; 3]) {
    for _ in 0..commits {
        let place = usize::try_from(dice.below(3)).unwrap();
        let (of, shard) = TENANTS[place];
        writer.at.0 += dice.below(7_200_000_000);
        let events: Vec<UsageEvent> = (0..=dice.below(3)).map(|_| finished(of, dice)).collect();
        for event in &events {
            let UsageEvent::CallFinished { tokens, cost, outcome, .. } = event else { continue };
            let sum = &mut sums[place];
            sum.calls += 1;
            sum.input += tokens.input.0;
            sum.cached += tokens.cached.0;
            sum.output += tokens.output.0;
            sum.cost = NanoDollars(sum.cost.0 + cost.0);
            if *outcome != CallOutcome::Completed {
                sum.estimated += 1;
                sum.estimated_cost = NanoDollars(sum.estimated_cost.0 + cost.0);
            }
        }
        let journal = stream(shard, of, AggregateKind::Usage, dice.pick(&["gw1-a", "gw1-b", "gw2-a"]));
        writer.write(&journal, events.into_iter().map(Event::from).collect()).await;
    }
}

/// Runs one life of the fold: until it is caught up, or until `life` is over.
fn live(log: &MemoryLog, store: &Arc<dyn Store>, batch: usize, life: Option<Duration>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log.clone());
    runtime.block_on(async {
        let runner = Arc::new(Runner::<CostReport>::new(Arc::clone(&log), store, config(batch)));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(Arc::clone(&runner).run(shutdown.clone()));
        if let Some(life) = life {
            tokio::time::sleep(life).await;
        } else {
            caught_up(&runner).await;
            shutdown.cancel();
            running.await.unwrap();
        }
    });
    // A life that is over too early ends here, between any two steps; only a write that has begun is awaited.
}

async fn caught_up<P: Projector>(runner: &Runner<P>) {
    tokio::time::timeout(Duration::from_mins(1), async {
        while runner.progress().any(|(_, progress)| progress.stage != Stage::Current)
            || runner.lag().await.unwrap().iter().any(|(_, lag)| *lag > 0)
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .expect("the fold catches up");
}

async fn report(runner: &Runner<CostReport>, of: &str, shard: u16, query: CostQuery) -> Report {
    let of = tenant(of);
    let read = runner.read(Shard(shard), query.min_position, move |rows| cost::report(rows, &of, &query, |_| true));
    read.await.unwrap().unwrap()
}

async fn prove_report(log: &MemoryLog, store: &Arc<dyn Store>, sums: &[CostSums; 3]) {
    let runner = Arc::new(Runner::<CostReport>::new(Arc::new(log.clone()), store, config(64)));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&runner).run(shutdown.clone()));
    caught_up(&runner).await;
    for ((of, shard), sum) in TENANTS.iter().zip(sums) {
        for by in [vec![], vec![CostBy::Day], vec![CostBy::Key, CostBy::Model], vec![CostBy::Project, CostBy::Task]] {
            let report = report(&runner, of, *shard, CostQuery { by, ..CostQuery::default() }).await;
            assert_eq!(report.total, *sum, "{of}");
            assert_eq!(report.rows.iter().map(|row| row.sums.cost.0).sum::<u64>(), sum.cost.0, "{of}");
            assert_eq!(report.rows.iter().map(|row| row.sums.calls).sum::<u64>(), sum.calls, "{of}");
            assert!(report.rows.is_sorted_by(|a, b| a.sums.cost >= b.sums.cost));
            assert!(report.rows.iter().all(|row| !row.prices.is_empty() && row.prices.is_sorted()));
        }
    }
    shutdown.cancel();
    running.await.unwrap();
}

/// Kills the fold at random moments while events come in, then compares with the events and with a fold from nothing.
fn survive(seed: u64, store: &Arc<dyn Store>, raw: &Arc<dyn Store>) {
    let mut dice = Dice(seed | 1);
    let log = memory_log();
    let mut writer = Writer::new(Arc::new(log.clone()));
    let mut sums = [CostSums::default(); 3];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for _ in 0..6 {
        let commits = usize::try_from(dice.below(60)).unwrap();
        runtime.block_on(write_calls(&mut writer, &mut dice, commits, &mut sums));
        let batch = usize::try_from(1 + dice.below(40)).unwrap();
        live(&log, store, batch, Some(Duration::from_micros(dice.below(4_000))));
    }
    live(&log, store, 7, None);
    runtime.block_on(prove_report(&log, raw, &sums));

    let fresh: Arc<dyn Store> = Arc::new(MemoryStore::default());
    live(&log, &fresh, 1_000, None);
    for shard in 0..SHARDS {
        let tree = steward_projectors::engine::view_store::name(CostReport::NAME, Shard(shard));
        assert!(!dump(&*fresh, &tree).is_empty());
        assert_eq!(dump(&**raw, &tree), dump(&*fresh, &tree), "seed {seed}, shard {shard}");
    }
}

#[test]
fn rows_equal_the_events_after_kills_at_random() {
    for seed in 1..=20 {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        survive(seed, &store, &store);
    }
}

#[test]
fn a_failing_store_never_counts_an_event_twice() {
    for seed in 1..=3 {
        let raw = Arc::new(MemoryStore::default());
        let failing: Arc<dyn Store> =
            Arc::new(FailingStore::new(Shared(Arc::clone(&raw), AtomicUsize::new(0)), 25, seed));
        let raw: Arc<dyn Store> = raw;
        survive(seed, &failing, &raw);
    }
}

#[test]
fn on_sled_too() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(SledStore::open(folder.path(), &steward_sled::Config::default()).unwrap());
    survive(4711, &store, &store);
}

/// One store behind two doors, the second of which counts writes.
struct Shared(Arc<MemoryStore>, AtomicUsize);

impl Store for Shared {
    fn get(&self, tree: &str, key: &[u8]) -> Result<Option<Vec<u8>>, steward_events::BoxError> {
        self.0.get(tree, key)
    }
    fn scan(
        &self,
        tree: &str,
        prefix: &[u8],
        after: Option<&[u8]>,
        count_max: usize,
    ) -> Result<Vec<steward_ports::store::Pair>, steward_events::BoxError> {
        self.0.scan(tree, prefix, after, count_max)
    }
    fn write(&self, tree: &str, writes: Vec<steward_ports::store::Write>) -> Result<(), steward_events::BoxError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.write(tree, writes)
    }
    fn drop_tree(&self, tree: &str) -> Result<(), steward_events::BoxError> {
        self.0.drop_tree(tree)
    }
    fn flush(&self) -> Result<(), steward_events::BoxError> {
        self.0.flush()
    }
    fn size_bytes(&self) -> Result<u64, steward_events::BoxError> {
        self.0.size_bytes()
    }
}

#[tokio::test]
async fn commits_of_other_kinds_cost_a_view_no_write_each() {
    const COMMITS: u64 = 200;
    let log = memory_log();
    let counted = Arc::new(Shared(Arc::new(MemoryStore::default()), AtomicUsize::new(0)));
    let store: Arc<dyn Store> = Arc::clone(&counted) as _;
    let runner = Arc::new(Runner::<CostReport>::new(Arc::new(log.clone()), &store, config(1)));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&runner).run(shutdown.clone()));
    let mut writer = Writer::new(Arc::new(log));
    for number in 0..COMMITS {
        writer.write(&stream(0, "acme", AggregateKind::Denials, "gw1"), vec![denied(number)]).await;
    }
    caught_up(&runner).await;
    assert_eq!(runner.cursor(Shard(0)).position, Position(COMMITS), "a query that demands the last one is answered");
    shutdown.cancel();
    running.await.unwrap();
    let writes = counted.1.load(Ordering::Relaxed);
    assert!(writes < 20, "{writes} writes for {COMMITS} commits without a row");

    // A process that stops in order keeps how far it was.
    let next = Arc::new(Runner::<CostReport>::new(Arc::new(memory_log()), &store, config(1)));
    tokio::spawn(Arc::clone(&next).run(CancellationToken::new()));
    next.built().await;
    let progress = next.progress().next().unwrap().1;
    assert!(matches!(&progress.stage, Stage::Stopped(reason) if reason.contains(&COMMITS.to_string())), "{progress:?}");
}

#[tokio::test]
async fn a_report_takes_only_the_days_asked_for() {
    let log = memory_log();
    let mut writer = Writer::new(Arc::new(log.clone()));
    let journal = stream(0, "acme", AggregateKind::Usage, "gw1-a");
    let mut dice = Dice(1);
    for _ in 0..5 {
        writer.write(&journal, vec![finished("acme", &mut dice).into()]).await;
        writer.at.0 += 86_400_000_000;
    }
    // A tenant whose name begins with another's must not be counted with it.
    let other = stream(0, "acme2", AggregateKind::Usage, "gw1-a");
    writer.write(&other, vec![finished("acme2", &mut dice).into()]).await;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let runner = Arc::new(Runner::<CostReport>::new(Arc::new(log), &store, config(10)));
    tokio::spawn(Arc::clone(&runner).run(CancellationToken::new()));
    caught_up(&runner).await;
    for (since, until, calls) in [
        (None, None, 5),
        (Some("2026-11-24"), None, 4),
        (None, Some("2026-11-25"), 2),
        (Some("2026-11-24"), Some("2026-11-26"), 2),
        (Some("2026-12-24"), None, 0),
        (Some("1970-01-01"), None, 5),
    ] {
        let day = |text: &str| text.parse().unwrap();
        let query =
            CostQuery { by: vec![CostBy::Day], since: since.map(day), until: until.map(day), min_position: None };
        let report = report(&runner, "acme", 0, query).await;
        assert_eq!(report.total.calls, calls, "{since:?} to {until:?}");
        assert_eq!(report.rows.len() as u64, calls);
    }
}

/// A tenant fourteen hours ahead: its days are the report's.
#[tokio::test]
async fn a_reports_days_are_the_tenants() {
    let log = memory_log();
    let mut writer = Writer::new(Arc::new(log.clone()));
    let created = TenantEvent::Created { tenant: tenant("acme"), timezone: "Pacific/Kiritimati".to_owned() };
    writer.at = "2026-11-01T00:00:00Z".parse().unwrap();
    writer.write(&stream(0, "acme", AggregateKind::Tenant, "main"), vec![created.into()]).await;
    let journal = stream(0, "acme", AggregateKind::Usage, "gw1-a");
    let mut dice = Dice(1);
    for at in ["2026-11-29T09:59:59Z", "2026-11-29T20:00:00Z", "2026-11-30T09:59:59Z", "2026-11-30T10:00:00Z"] {
        writer.at = at.parse().unwrap();
        writer.write(&journal, vec![finished("acme", &mut dice).into()]).await;
    }
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let runner = Arc::new(Runner::<CostReport>::new(Arc::new(log), &store, config(2)));
    tokio::spawn(Arc::clone(&runner).run(CancellationToken::new()));
    caught_up(&runner).await;
    let ask = async |since: Option<&str>, until: Option<&str>| {
        let [since, until] = [since, until].map(|day| day.map(|day| day.parse().unwrap()));
        let query = CostQuery { by: vec![CostBy::Day], since, until, min_position: None };
        let read = runner
            .read(Shard(0), None, move |rows| cost::report(rows, &tenant("acme"), &query, |_| true))
            .await
            .unwrap();
        read.map(|report| {
            let mut days: Vec<_> = report.rows.iter().map(|row| (row.by["day"].clone(), row.sums.calls)).collect();
            days.sort();
            days
        })
    };
    let day = |day: &str, calls: u64| (day.to_owned(), calls);
    let all = vec![day("2026-11-29", 1), day("2026-11-30", 2), day("2026-12-01", 1)];
    assert_eq!(ask(None, None).await.unwrap(), all);
    assert_eq!(ask(Some("2026-11-30"), None).await.unwrap(), all[1..]);
    assert_eq!(ask(Some("2026-11-30"), Some("2026-12-01")).await.unwrap(), all[1..2]);
    assert_eq!(ask(Some("2026-11-29T10:00:00Z"), None).await.unwrap(), all[1..], "when that day begins there");
    for (since, until) in [
        (Some("2026-11-30T00:00:00Z"), None),
        (Some("2026-11-29T20:35:00Z"), None),
        (None, Some("2026-11-29T23:59:59Z")),
        (Some("2026-11-29"), Some("2026-11-30T09:59:59Z")),
    ] {
        let Err(Rejection::Invalid { reason, .. }) = ask(since, until).await else { panic!("{since:?} to {until:?}") };
        assert!(reason.contains("Pacific/Kiritimati") && reason.contains("T10:00:00Z"), "{reason}");
    }
}

/// What the report says beside sums: what was cut, what was not billed, what is an estimate, late or without a price.
#[tokio::test]
async fn a_report_tells_what_its_sums_are_made_of() {
    let log = memory_log();
    let mut writer = Writer::new(Arc::new(log.clone()));
    let (journal, ledger) =
        (stream(0, "acme", AggregateKind::Usage, "gw1-a"), stream(0, "acme", AggregateKind::Ledger, "main"));
    let call = |change: &dyn Fn(&mut UsageEvent)| {
        let mut event = finished("acme", &mut Dice(1));
        change(&mut event);
        Event::from(event)
    };
    let UsageEvent::CallFinished { lease, context, .. } = finished("acme", &mut Dice(1)) else { unreachable!() };
    let money = |nano| Amounts { calls: 1, tokens: Tokens(nano), money: NanoDollars(nano) };
    let terms = LeaseTerms { cap_total: money(9_000), until: writer.at, expires: writer.at };
    let (scopes, granted_for) = (context.scopes.clone(), CallId::new("c1").unwrap());
    let granted = LedgerEvent::LeaseGranted { lease: lease.clone(), scopes, call: granted_for, terms, windows: vec![] };
    writer.write(&ledger, vec![granted.into()]).await;
    let set = |to: CallOutcome| {
        move |event: &mut UsageEvent| {
            if let UsageEvent::CallFinished { outcome, cost, late, unpriced, .. } = event {
                (*outcome, *cost) = (to.clone(), NanoDollars(100));
                (*late, *unpriced) = (Amounts { calls: 0, ..money(40) }, [Unpriced::Search].into_iter().collect());
            }
        }
    };
    let refused = CallOutcome::NotBilled { reason: "status 429".to_owned() };
    for outcome in [CallOutcome::Completed, CallOutcome::estimated("cut"), refused] {
        writer.write(&journal, vec![call(&set(outcome))]).await;
    }
    let cut = |id: &str| UnsettledCall { call: CallId::new(id).unwrap(), worst: money(700) };
    let rest = UnsettledCall { call: CallId::new("c4").unwrap(), worst: Amounts { calls: 0, ..money(5) } };
    let ended = LedgerEvent::LeaseEnded {
        lease: lease.clone(),
        closed_at: Position(1),
        used_total: money(200),
        late_total: Amounts::ZERO,
        unsettled: vec![cut("c2"), cut("c3"), rest],
    };
    writer.write(&ledger, vec![ended.into()]).await;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let runner = Arc::new(Runner::<CostReport>::new(Arc::new(log), &store, config(2)));
    tokio::spawn(Arc::clone(&runner).run(CancellationToken::new()));
    caught_up(&runner).await;
    let total = report(&runner, "acme", 0, CostQuery::default()).await.total;
    assert_eq!((total.calls, total.estimated, total.not_billed, total.unpriced), (4, 3, 1, 2));
    assert_eq!((total.cost.0, total.estimated_cost.0, total.late.0), (1_600, 1_500, 80));
    // The end of one of them is heard of after all.
    let (used, late, left) = (money(20), Amounts::ZERO, Amounts::ZERO);
    let corrected = LedgerEvent::LeaseCorrected { lease, call: CallId::new("c2").unwrap(), used, late, left };
    writer.write(&journal, vec![call(&set(CallOutcome::Completed))]).await;
    writer.write(&ledger, vec![corrected.into()]).await;
    caught_up(&runner).await;
    let total = report(&runner, "acme", 0, CostQuery::default()).await.total;
    assert_eq!((total.calls, total.estimated, total.cost.0, total.estimated_cost.0), (4, 2, 1_000, 800));
}

#[tokio::test]
async fn a_truncated_log_stops_the_view_with_a_reason() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let journal = stream(0, "acme", AggregateKind::Usage, "gw1-a");
    let long = memory_log();
    let mut writer = Writer::new(Arc::new(long.clone()));
    for seed in 1..5 {
        writer.write(&journal, vec![finished("acme", &mut Dice(seed)).into()]).await;
    }
    let runner = Arc::new(Runner::<CostReport>::new(Arc::new(long), &store, config(10)));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&runner).run(shutdown.clone()));
    caught_up(&runner).await;
    shutdown.cancel();
    running.await.unwrap();

    // A shorter log, and one of the same length with other contents.
    for commits in [2_u64, 4] {
        let other = memory_log();
        let mut writer = Writer::new(Arc::new(other.clone()));
        for seed in 11..11 + commits {
            writer.write(&journal, vec![finished("acme", &mut Dice(seed)).into()]).await;
        }
        let before = dump(&*store, "cost-report-v3.00");
        let runner = Arc::new(Runner::<CostReport>::new(Arc::new(other), &store, config(10)));
        let running = Arc::clone(&runner).run(CancellationToken::new());
        let _ = tokio::time::timeout(Duration::from_secs(1), running).await;
        let (_, progress) = runner.progress().next().unwrap();
        let Stage::Stopped(reason) = progress.stage else { panic!("{progress:?}") };
        assert!(reason.starts_with("log-went-back"), "{reason}");
        let read = runner.read(Shard(0), None, |rows| Ok(rows.position())).await;
        assert!(matches!(read, Err(NotReady::Stopped { .. })), "{read:?}");
        assert_eq!(dump(&*store, "cost-report-v3.00"), before, "nothing was folded on");
    }
}

#[tokio::test]
async fn a_newer_schema_stops_the_view_and_is_named() {
    let log = memory_log();
    let journal = stream(0, "acme", AggregateKind::Usage, "gw1-a");
    let mut writer = Writer::new(Arc::new(log.clone()));
    writer.write(&journal, vec![finished("acme", &mut Dice(1)).into()]).await;
    let (commit, expected) = writer.next(&journal, vec![finished("acme", &mut Dice(2)).into()]);
    let mut bytes = commit.encode().unwrap();
    let schema = bytes.windows(7).position(|window| window == b"\xa6schema").unwrap() + 7;
    bytes[schema] = 0x63;
    let published = log.publish(&journal, expected, &commit.id, bytes.into()).await;
    assert!(matches!(published, steward_ports::log::Published::Stored(_)));

    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let runner = Arc::new(Runner::<CostReport>::new(Arc::new(log), &store, config(10)));
    let _ = tokio::time::timeout(Duration::from_secs(1), Arc::clone(&runner).run(CancellationToken::new())).await;
    let (_, progress) = runner.progress().next().unwrap();
    let Stage::Stopped(reason) = progress.stage else { panic!("{progress:?}") };
    assert!(reason.contains("schema 99 of usage"), "{reason}");
    assert_eq!(runner.cursor(Shard(0)).position, Position(1), "what could be read was folded");
}

#[tokio::test]
async fn an_answer_waits_for_its_position_within_a_bound() {
    let log = memory_log();
    let mut writer = Writer::new(Arc::new(log.clone()));
    let journal = stream(0, "acme", AggregateKind::Usage, "gw1-a");
    let demanded = writer.write(&journal, vec![finished("acme", &mut Dice(3)).into()]).await;
    // A commit that does not concern the view comes after: the view passes it.
    let later = writer.write(&stream(0, "acme", AggregateKind::Denials, "gw1"), vec![denied(0)]).await;

    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let config = Config { position_wait_max: Duration::from_millis(300), ..config(10) };
    let runner = Arc::new(Runner::<CostReport>::new(Arc::new(log), &store, config));
    let behind = runner.read(Shard(0), Some(demanded), |rows| Ok(rows.position())).await;
    assert!(matches!(behind, Err(NotReady::Behind { .. })), "{behind:?}");

    let waiting = {
        let runner = Arc::clone(&runner);
        tokio::spawn(async move { runner.read(Shard(0), Some(later), |rows| Ok(rows.position())).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    tokio::spawn(Arc::clone(&runner).run(CancellationToken::new()));
    assert_eq!(waiting.await.unwrap().unwrap(), later);
}

#[tokio::test]
async fn a_batch_is_written_for_a_query_but_not_for_each_commit() {
    let log = memory_log();
    let mut writer = Writer::new(Arc::new(log.clone()));
    let journal = stream(0, "acme", AggregateKind::Usage, "gw1-a");
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let patient = Config { write_pause_max: Duration::from_hours(1), ..config(1_000) };
    let runner = Arc::new(Runner::<CostReport>::new(Arc::new(log), &store, patient));
    tokio::spawn(Arc::clone(&runner).run(CancellationToken::new()));
    runner.built().await;
    let mut seen = Vec::new();
    for seed in 1..4 {
        writer.write(&journal, vec![finished("acme", &mut Dice(seed)).into()]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        seen.push(runner.cursor(Shard(0)).position.0);
    }
    assert_eq!(seen, [1, 1, 1], "only what comes after a silence is written at once");
    let last = Position(3);
    assert_eq!(runner.read(Shard(0), Some(last), |rows| Ok(rows.position())).await.unwrap(), last);
}

fn denied(more: u64) -> Event {
    Event::Denials(steward_events::event::DenialEvent::Denied {
        kind: steward_events::event::DenialKind::Forbidden,
        principal: Some("svc_a".parse().unwrap()),
        address: None,
        permission: Some("budget:set".parse().unwrap()),
        scope: Some("acme".parse().unwrap()),
        reason: format!("no grant {more}"),
    })
}

/// The next version of the cost report.
struct Calls;

impl Projector for Calls {
    const NAME: &'static str = "cost-report-v4";
    const REPLACES: &'static [&'static str] = &[CostReport::NAME];
    const READS: &'static [AggregateKind] = &[AggregateKind::Usage];
    type Row = u64;

    fn apply(recorded: &Recorded<'_>, rows: &mut Rows<u64>) {
        *rows.row(&Key::of(&recorded.stream.tenant)).get_or_insert(0) += 1;
    }
}

#[tokio::test]
async fn what_calls_saved_is_reported_by_cause() {
    let log = memory_log();
    let mut writer = Writer::new(Arc::new(log.clone()));
    let journal = stream(0, "acme", AggregateKind::Usage, "gw1-a");
    let mut dice = Dice(7);
    let mut write = async |change: &dyn Fn(&mut AnswerSource, &mut Saved, &mut Savings)| {
        let mut event = finished("acme", &mut dice);
        if let UsageEvent::CallFinished { source, saved, savings, .. } = &mut event {
            change(source, saved, savings);
        }
        writer.write(&journal, vec![event.into()]).await;
    };
    let saving =
        |tokens, money, extra| Saving { tokens: Tokens(tokens), money: NanoDollars(money), extra: NanoDollars(extra) };
    for _ in 0..2 {
        write(&|source, saved, _| {
            *source = AnswerSource::Cache;
            *saved = Saved { tokens: Tokens(5), money: NanoDollars(50) };
        })
        .await;
    }
    write(&|source, saved, _| {
        *source = AnswerSource::Shared { call: CallId::new("call2").unwrap() };
        *saved = Saved { tokens: Tokens(7), money: NanoDollars(70) };
    })
    .await;
    write(&|_, _, savings| savings.add(SavingCause::PromptCache, saving(9, 90, 3))).await;
    write(&|_, _, _| {}).await;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let runner = Arc::new(Runner::<CostReport>::new(Arc::new(log), &store, config(64)));
    tokio::spawn(Arc::clone(&runner).run(CancellationToken::new()));
    caught_up(&runner).await;
    let expected = Savings::from_iter([
        (SavingCause::Cache, saving(10, 100, 0)),
        (SavingCause::Shared, saving(7, 70, 0)),
        (SavingCause::PromptCache, saving(9, 90, 3)),
    ]);
    for by in [vec![], vec![CostBy::Key, CostBy::Model]] {
        let report = report(&runner, "acme", 0, CostQuery { by, ..CostQuery::default() }).await;
        assert_eq!(report.savings, expected);
        let mut of_rows = Savings::default();
        report.rows.iter().for_each(|row| of_rows.add_all(&row.savings));
        assert_eq!(of_rows, expected);
    }
}

#[tokio::test]
async fn a_new_view_version_replaces_the_old_once_built() {
    let log = memory_log();
    let mut writer = Writer::new(Arc::new(log.clone()));
    let mut sums = [CostSums::default(); 3];
    write_calls(&mut writer, &mut Dice(5), 30, &mut sums).await;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    {
        let (log, store) = (log.clone(), Arc::clone(&store));
        tokio::task::spawn_blocking(move || live(&log, &store, 4, None)).await.unwrap();
    }
    assert!(!dump(&*store, "cost-report-v3.00").is_empty());

    let runner = Arc::new(Runner::<Calls>::new(Arc::new(log), &store, config(3)));
    assert!(!dump(&*store, "cost-report-v3.00").is_empty(), "still there before the new one has caught up");
    tokio::spawn(Arc::clone(&runner).run(CancellationToken::new()));
    caught_up(&runner).await;
    for shard in 0..SHARDS {
        assert!(dump(&*store, &format!("cost-report-v3.{shard:02}")).is_empty());
    }
    let acme = runner.read(Shard(0), None, |rows| rows.get::<u64>(&Key::of(&tenant("acme")))).await.unwrap();
    assert_eq!(acme, Some(sums[0].calls));
}

#[tokio::test]
async fn every_projector_rebuilds_the_same_bytes_for_any_batches() {
    let log = memory_log();
    let mut writer = Writer::new(Arc::new(log.clone()));
    let mut sums = [CostSums::default(); 3];
    write_calls(&mut writer, &mut Dice(9), 40, &mut sums).await;
    for number in 0..20 {
        writer.write(&stream(0, "acme", AggregateKind::Denials, "gw1"), vec![denied(number)]).await;
    }
    for batch in [2, 7, 1_000] {
        assert_eq!(dumped::<CostReport>(&log, 1).await, dumped::<CostReport>(&log, batch).await);
        assert_eq!(dumped::<Metrics>(&log, 1).await, dumped::<Metrics>(&log, batch).await);
        assert_eq!(dumped::<Tasks>(&log, 1).await, dumped::<Tasks>(&log, batch).await);
    }
}

/// The trees of a fold from nothing in batches of at most `batch` commits.
async fn dumped<P: Projector>(log: &MemoryLog, batch: usize) -> Vec<Vec<steward_ports::store::Pair>> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let runner = Arc::new(Runner::<P>::new(Arc::new(log.clone()), &store, config(batch)));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&runner).run(shutdown.clone()));
    caught_up(&runner).await;
    shutdown.cancel();
    running.await.unwrap();
    (0..SHARDS)
        .map(|shard| dump(&*store, &steward_projectors::engine::view_store::name(P::NAME, Shard(shard))))
        .collect()
}
