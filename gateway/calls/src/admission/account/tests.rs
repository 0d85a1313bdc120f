//! An account, step by step: what it appends, what it asks for, whom it admits.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use steward_aggregates::ledger::{LeaseAnswer, LeaseState, Outcome};
use steward_aggregates::usage;
use steward_events::command::{GrantLease, LedgerCommand, RenewLease};
use steward_events::commit::{Commit, Entry};
use steward_events::digest::CommitHash;
use steward_events::event::{Event, LeaseTerms, PriceVersion, TokenUsage, UsageEvent};
use steward_events::ids::CountingIds;
use steward_events::quantity::{Position, Shard, Tokens, Turn};
use steward_events::request::Reply;
use steward_ports::append::{AppendError, Appended};
use steward_ports::log::Stored;

use super::*;

const START: Timestamp = Timestamp(1_790_000_000_000_000);

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn at(seconds: u64) -> Now {
    let mono = Duration::from_secs(seconds);
    Now { mono, wall: START.plus(mono) }
}

fn amount(calls: u64, tokens: u64) -> Amounts {
    Amounts { calls, tokens: Tokens(tokens), money: NanoDollars(0) }
}

fn scopes() -> ScopeSet {
    ScopeSet { path: id("acme"), principal: id("svc_1"), key: id("key_1"), model: id("m"), agent: None, task: None }
}

/// What each caller was told, by the number of its ask.
type Told = Arc<Mutex<BTreeMap<u64, Result<Admitted, Refusal>>>>;

struct Scene {
    account: Account,
    numbers: Numbers,
    told: Told,
    position: u64,
    gone: Arc<AtomicBool>,
}

impl Scene {
    /// An account that has read its empty journal.
    fn new() -> Self {
        let tenant: TenantId = id("acme");
        let journal = usage::journal(Shard(0), &tenant, &id("gw1"), &scopes()).unwrap();
        let me = Identity { tenant, scopes: scopes(), holder: id("gw1"), journal };
        let config = AdmissionConfig { line_max: 4, ..AdmissionConfig::default() };
        let mut account = Account::new(me, config, Arc::new(CountingIds::default()), at(0));
        assert!(matches!(account.next_job(at(0)), Some(Job::Read(_, Position(0)))));
        account.read(Ok(vec![])).unwrap();
        let (numbers, told, gone) = (Numbers::default(), Told::default(), Arc::default());
        Self { account, numbers, told, position: 10, gone }
    }

    fn ask(&mut self, number: u64, worst: u64, least: u64, now: Now) {
        let ask = Ask {
            tenant: id("acme"),
            shard: Shard(0),
            scopes: scopes(),
            worst: amount(1, worst),
            worst_min: amount(1, least),
            provider: id("p"),
            price: PriceVersion { model: id("m"), from: Timestamp(0) },
            request: id("r"),
        };
        let (told, gone, wanted) = (Arc::clone(&self.told), Arc::clone(&self.gone), Arc::clone(&self.gone));
        let answer = move |outcome| {
            told.lock().unwrap().insert(number, outcome);
            !gone.load(Ordering::Relaxed)
        };
        self.account.ask(Waiting {
            call: id(&format!("call{number}")),
            ask: Arc::new(ask),
            since: now.mono,
            span: tracing::Span::none(),
            answer: Box::new(answer),
            is_wanted: Box::new(move || !wanted.load(Ordering::Relaxed)),
        });
        self.account.step(now);
    }

    fn order(&mut self, now: Now) -> Option<LedgerCommand> {
        self.account.step(now);
        self.account.next_order(now, &self.numbers).map(|order| order.0)
    }

    fn reply(&mut self, outcome: Outcome, turn: u64, cap: Amounts, others_wait: bool, now: Now) {
        let decided_at = START.plus(Duration::from_hours(1)); // the ledger's clock is another
        let until = decided_at.plus(Duration::from_secs(30));
        let terms = LeaseTerms { cap_total: cap, until, expires: until };
        let lease = Some(LeaseState { turn: Turn(turn), decided_at, terms });
        let answer = LeaseAnswer { outcome, lease, others_wait, budget_left: Some(NanoDollars(100)) };
        let answer = serde_json::to_value(answer).unwrap();
        let reply =
            Reply { accepted: true, events: vec![], position: Position(1), answer, rejection: None, message: None };
        self.account.replied(Ok(reply), now);
        self.account.step(now);
    }

    /// A lease with this cap, asked for by a first call.
    fn lent(&mut self, cap: Amounts) -> LeaseId {
        let Some(LedgerCommand::GrantLease(GrantLease { lease, .. })) = self.order(at(0)) else {
            panic!("nothing was asked of the ledger");
        };
        self.reply(Outcome::Granted, 0, cap, false, at(0));
        lease
    }

    /// What is to be appended next.
    fn appends(&mut self, now: Now) -> Option<(Position, Commit)> {
        self.account.step(now);
        match self.account.next_job(now) {
            Some(Job::Append(expected, commit)) => Some((expected, commit)),
            Some(Job::Read(..)) => panic!("it wants to read"),
            None => None,
        }
    }

    /// Appends what is next and acknowledges it.
    fn append(&mut self, now: Now) -> Vec<UsageEvent> {
        let (_, commit) = self.appends(now).expect("something to append");
        self.position += 1;
        let appended = Appended { position: Position(self.position), hash: CommitHash::default() };
        self.account.appended(Ok(appended), now).unwrap();
        events(&commit)
    }

    fn was_admitted(&self, number: u64) -> bool {
        matches!(self.told.lock().unwrap().get(&number), Some(Ok(_)))
    }

    fn finish(&mut self, number: u64, tokens: u64, outcome: CallOutcome, now: Now) {
        let tokens = TokenUsage { output: Tokens(tokens), ..TokenUsage::default() };
        let finish = Finish { tokens, cost: NanoDollars(0), outcome, duration_ms: 1 };
        self.account.finish(&id(&format!("call{number}")), finish, now, None);
    }
}

fn events(commit: &Commit) -> Vec<UsageEvent> {
    let all = commit.entries.iter().flat_map(|entry| &entry.events);
    all.map(|event| if let Event::Usage(event) = event { event.clone() } else { panic!("{event:?}") }).collect()
}

fn closed(lease: &LeaseId, position: u64, stream: &StreamName) -> Stored {
    let event = UsageEvent::LeaseClosed { lease: lease.clone(), reason: "expired".to_owned() };
    let entry = Entry {
        command: id("c"),
        at: START,
        actor: id("sys_worker"),
        on_behalf_of: None,
        causation: None,
        correlation: id("r"),
        events: vec![event.into()],
    };
    let commit = Commit {
        id: id("k"),
        stream: stream.clone(),
        version: steward_events::quantity::Version(1),
        prev: CommitHash::default(),
        entries: vec![entry],
    };
    let bytes = commit.encode().unwrap().into();
    Stored::new(stream.clone(), Position(position), START, bytes)
}

#[test]
fn a_call_is_admitted_only_when_its_start_is_acknowledged() {
    let mut scene = Scene::new();
    scene.ask(1, 10, 10, at(0));
    scene.lent(amount(1, 10));
    let (_, commit) = scene.appends(at(0)).unwrap();
    assert!(matches!(&events(&commit)[..], [UsageEvent::CallStarted { .. }]));
    assert!(!scene.was_admitted(1));
    let appended = Appended { position: Position(11), hash: CommitHash::default() };
    scene.account.appended(Ok(appended), at(0)).unwrap();
    assert!(scene.was_admitted(1));
}

#[test]
fn an_append_without_an_answer_is_sent_again_as_it_was() {
    let mut scene = Scene::new();
    scene.ask(1, 10, 10, at(0));
    scene.lent(amount(2, 20));
    let (_, first) = scene.appends(at(0)).unwrap();
    assert!(scene.account.appended(Err(AppendError::Unavailable("?".into())), at(1)).is_err());
    scene.ask(2, 10, 10, at(1));
    let (_, again) = scene.appends(at(1)).unwrap();
    assert_eq!(first, again);
}

#[test]
fn after_a_conflict_with_a_close_starts_wait_again_and_finishes_are_recorded() {
    let mut scene = Scene::new();
    scene.ask(1, 10, 10, at(0));
    let lease = scene.lent(amount(2, 20));
    scene.append(at(0));
    scene.ask(2, 10, 10, at(0));
    scene.finish(1, 4, CallOutcome::Completed, at(0));
    let (_, commit) = scene.appends(at(0)).unwrap();
    assert_eq!(events(&commit).len(), 2);
    scene.account.appended(Err(AppendError::Conflict), at(0)).unwrap();
    assert!(matches!(scene.account.next_job(at(0)), Some(Job::Read(..))));
    let stream = scene.account.me.journal.clone();
    scene.account.read(Ok(vec![closed(&lease, 12, &stream)])).unwrap();
    let again = scene.append(at(0));
    assert!(matches!(&again[..], [UsageEvent::CallFinished { used, .. }] if *used == amount(1, 4)));
    // The call that was not started asks for another lease.
    let Some(LedgerCommand::GrantLease(order)) = scene.order(at(0)) else { panic!("no other lease is asked for") };
    assert_eq!((order.lease.number, order.request.call), (2, id("call2")));
}

/// Found by the simulation: the grant's reply was slower than a recall, its deadline, the close, and reading of that.
#[test]
fn a_lease_that_was_closed_before_the_reply_told_of_it_is_not_used() {
    let mut scene = Scene::new();
    scene.ask(1, 10, 10, at(0));
    let Some(LedgerCommand::GrantLease(GrantLease { lease, .. })) = scene.order(at(0)) else { panic!("no order") };
    let stream = scene.account.me.journal.clone();
    scene.account.read(Ok(vec![closed(&lease, 12, &stream)])).unwrap();
    scene.reply(Outcome::Granted, 0, amount(1, 10), false, at(1));
    assert!(scene.appends(at(1)).is_none());
    let Some(LedgerCommand::GrantLease(again)) = scene.order(at(2)) else { panic!("no other lease is asked for") };
    assert_eq!(again.lease.number, 2);
}

#[test]
fn an_acknowledgement_that_comes_too_late_lets_nothing_go() {
    let mut scene = Scene::new();
    scene.ask(1, 10, 10, at(0));
    scene.lent(amount(1, 10));
    let (_, _) = scene.appends(at(5)).unwrap();
    let appended = Appended { position: Position(11), hash: CommitHash::default() };
    scene.account.appended(Ok(appended), at(31)).unwrap();
    assert!(!scene.was_admitted(1));
    let (_, commit) = scene.appends(at(31)).unwrap();
    let recorded = events(&commit);
    assert!(matches!(&recorded[0], UsageEvent::CallFinished { used, outcome: CallOutcome::NotBilled { .. }, .. }
        if used.is_zero()));
}

#[test]
fn a_call_whose_caller_went_away_is_finished_as_never_sent() {
    let mut scene = Scene::new();
    scene.ask(1, 10, 10, at(0));
    scene.lent(amount(1, 10));
    let (_, _) = scene.appends(at(0)).unwrap();
    scene.gone.store(true, Ordering::Relaxed);
    let appended = Appended { position: Position(11), hash: CommitHash::default() };
    scene.account.appended(Ok(appended), at(0)).unwrap();
    assert!(matches!(&scene.append(at(0))[..], [UsageEvent::CallFinished { .. }]));
}

#[test]
fn what_a_call_used_beyond_its_reservation_takes_what_is_free_and_the_rest_is_late() {
    let mut scene = Scene::new();
    scene.ask(1, 10, 10, at(0));
    scene.lent(amount(1, 13));
    scene.append(at(0));
    scene.finish(1, 18, CallOutcome::Completed, at(0));
    let recorded = scene.append(at(0));
    let UsageEvent::CallFinished { used, late, .. } = &recorded[0] else { panic!("{recorded:?}") };
    assert_eq!((*used, *late), (amount(1, 13), amount(0, 5)));
}

#[test]
fn a_shrink_keeps_what_is_not_acknowledged_and_hands_back_the_rest() {
    let mut scene = Scene::new();
    scene.ask(1, 10, 10, at(0));
    let lease = scene.lent(amount(9, 90));
    scene.append(at(0));
    scene.finish(1, 4, CallOutcome::Completed, at(0));
    scene.account.recalled(&lease);
    let Some(LedgerCommand::RenewLease(RenewLease { used_total, keep_total, .. })) = scene.order(at(0)) else {
        panic!("the recall is not answered");
    };
    assert_eq!((used_total, keep_total), (Amounts::ZERO, amount(1, 10)));
    scene.reply(Outcome::Nothing, 1, amount(1, 10), true, at(0));
    // The finish is acknowledged: now the rest of that call goes back, too, because others still wait.
    scene.append(at(0));
    let Some(LedgerCommand::RenewLease(RenewLease { used_total, keep_total, turn, .. })) = scene.order(at(0)) else {
        panic!("what became free is not handed back");
    };
    assert_eq!((used_total, keep_total, turn), (amount(1, 4), amount(1, 4), Turn(2)));
}

#[test]
fn while_others_wait_nothing_is_taken_that_was_not_granted() {
    let mut scene = Scene::new();
    scene.ask(1, 10, 10, at(0));
    let lease = scene.lent(amount(9, 90));
    scene.append(at(0));
    scene.account.recalled(&lease);
    scene.ask(2, 10, 10, at(0));
    assert!(scene.appends(at(0)).is_none());
    assert!(matches!(scene.order(at(0)), Some(LedgerCommand::RenewLease(RenewLease { request: Some(_), .. }))));
    scene.reply(Outcome::Granted, 1, amount(2, 20), true, at(0));
    assert!(matches!(&scene.append(at(0))[..], [UsageEvent::CallStarted { .. }]));
}

#[test]
fn an_estimate_frees_nothing_of_what_it_leaves_open() {
    let mut scene = Scene::new();
    scene.ask(1, 10, 10, at(0));
    let lease = scene.lent(amount(9, 15));
    scene.append(at(0));
    scene.finish(1, 4, CallOutcome::Estimated { reason: "cut".to_owned() }, at(0));
    scene.append(at(0));
    scene.ask(2, 6, 6, at(0));
    assert!(scene.appends(at(0)).is_none(), "5 of 15 tokens are free");
    scene.account.recalled(&lease);
    let Some(LedgerCommand::RenewLease(order)) = scene.order(at(0)) else { panic!("no renewal") };
    assert_eq!((order.used_total.tokens, order.keep_total.tokens), (Tokens(4), Tokens(10)));
}

#[test]
fn a_call_that_may_be_cut_is_cut_only_once_the_ledger_is_short() {
    let mut scene = Scene::new();
    scene.ask(1, 10, 10, at(0));
    scene.lent(amount(9, 14));
    scene.ask(2, 10, 2, at(0));
    assert_eq!(scene.append(at(0)).len(), 1);
    let Some(LedgerCommand::RenewLease(order)) = scene.order(at(1)) else { panic!("the ledger is not asked") };
    let request = order.request.unwrap();
    assert_eq!((request.need.tokens, request.need_min.tokens), (Tokens(6), Tokens(0)));
    scene.reply(Outcome::Granted, 1, amount(9, 14), false, at(1));
    let recorded = scene.append(at(1));
    assert!(matches!(&recorded[..], [UsageEvent::CallStarted { worst, .. }] if *worst == amount(1, 4)));
}

#[test]
fn an_unknown_outcome_keeps_the_lower_cap() {
    let mut scene = Scene::new();
    scene.ask(1, 10, 10, at(0));
    let lease = scene.lent(amount(9, 90));
    scene.append(at(0));
    scene.account.recalled(&lease);
    assert!(scene.order(at(0)).is_some());
    scene.account.replied(Err("no answer".to_owned()), at(0));
    assert_eq!(scene.account.leases[&lease].cap, amount(1, 10));
}

#[test]
fn the_line_is_bounded_and_a_wait_has_an_end() {
    let mut scene = Scene::new();
    for number in 1..=5 {
        scene.ask(number, 10, 10, at(0));
    }
    let refused = |scene: &Scene, number| {
        matches!(scene.told.lock().unwrap().get(&number), Some(Err(Refusal::WaitedTooLong { .. })))
    };
    assert!(refused(&scene, 5) && !refused(&scene, 4), "the line holds 4");
    scene.account.step(at(9));
    assert!(!refused(&scene, 1));
    scene.account.step(at(10));
    assert!((1..=4).all(|number| refused(&scene, number)));
}

#[test]
fn a_refusal_by_settled_facts_is_that_of_all_who_need_as_much() {
    let mut scene = Scene::new();
    scene.ask(1, 10, 10, at(0));
    scene.ask(2, 12, 12, at(0));
    scene.ask(3, 4, 4, at(0));
    assert!(scene.order(at(0)).is_some());
    let why = Rejection::BudgetExhausted {
        budget: "acme in total".to_owned(),
        requested: "10 tokens".to_owned(),
        available: "5 tokens".to_owned(),
        limit: "100 tokens".to_owned(),
        resets_at: None,
    };
    scene.account.replied(Ok(Reply::refused(why, Position(1))), at(0));
    let told = scene.told.lock().unwrap();
    assert!(matches!(
        (told.get(&1), told.get(&2)),
        (Some(Err(Refusal::Exhausted(_))), Some(Err(Refusal::Exhausted(_))))
    ));
    assert!(!told.contains_key(&3));
}

#[test]
fn an_idle_account_closes_its_lease_tells_the_ledger_and_is_over() {
    let mut scene = Scene::new();
    scene.ask(1, 10, 10, at(0));
    scene.lent(amount(9, 90));
    scene.append(at(0));
    scene.finish(1, 4, CallOutcome::Completed, at(1));
    scene.append(at(1));
    assert!(scene.appends(at(20)).is_none());
    assert!(matches!(&scene.append(at(21))[..], [UsageEvent::LeaseClosed { .. }]));
    let Some(LedgerCommand::EndLease(end)) = scene.order(at(21)) else { panic!("the lease is not ended") };
    assert_eq!((end.used_total, end.unsettled), (amount(1, 4), vec![]));
    assert!(!scene.account.is_over(at(21)));
    scene.reply(Outcome::Nothing, 0, Amounts::ZERO, false, at(21));
    scene.account.forget_over();
    assert!(scene.account.is_over(at(21)));
}
