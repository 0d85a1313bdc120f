//! An account with its callers and its ledger played by the test.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use steward_aggregates::ledger::{LeaseAnswer, LeaseState, Outcome};
use steward_aggregates::usage;
use steward_events::command::{GrantLease, LedgerCommand};
use steward_events::commit::{Commit, Entry};
use steward_events::digest::CommitHash;
use steward_events::event::{
    AnswerSource, CallContext, CallOutcome, Event, LeaseTerms, Operation, PriceVersion, Purpose, Saved, Savings,
    TokenUsage, UnpricedSet, UsageEvent,
};
use steward_events::id::{LeaseId, TenantId};
use steward_events::ids::CountingIds;
use steward_events::quantity::{Amounts, NanoDollars, Position, Shard, Tokens, Turn};
use steward_events::request::Reply;
use steward_events::scope::ScopeSet;
use steward_events::shared::Shared;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_ports::append::Appended;
use steward_ports::log::Stored;

use crate::admission::account::{Account, Admitted, Identity, Job, Now, Numbers, Waiting};
use crate::admission::{AdmissionConfig, Finish, Given, Refusal, ReservationRequest, Sharing};

pub(super) const START: Timestamp = Timestamp(1_790_000_000_000_000);

pub(super) fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(super) fn at(seconds: u64) -> Now {
    let mono = Duration::from_secs(seconds);
    Now { mono, wall: START.plus(mono) }
}

pub(super) fn amount(calls: u64, tokens: u64) -> Amounts {
    Amounts { calls, tokens: Tokens(tokens), money: NanoDollars(0) }
}

pub(super) fn scopes() -> ScopeSet {
    ScopeSet {
        path: id("acme"),
        principal: id("svc_1"),
        key: id("key_1"),
        model: id("m"),
        agent: None,
        task: None,
        line: None,
    }
}

/// What each caller was told, by the number of its request.
pub(super) type Told = Arc<Mutex<BTreeMap<u64, Result<Admitted, Refusal>>>>;

pub(super) struct Scene {
    pub(super) account: Account,
    pub(super) numbers: Numbers,
    pub(super) told: Told,
    pub(super) position: u64,
    pub(super) gone: Arc<AtomicBool>,
}

impl Scene {
    /// An account that has read its empty journal.
    pub(super) fn new() -> Self {
        let tenant: TenantId = id("acme");
        let journal = usage::journal(Shard(0), &tenant, &id("gw1"), &scopes()).unwrap();
        let me = Identity { tenant, scopes: scopes(), holder: id("gw1"), journal };
        let config = AdmissionConfig { line_max: 4, wait_max: Duration::from_secs(10), ..AdmissionConfig::default() };
        let mut account = Account::new(me, config, Arc::new(CountingIds::default()), at(0));
        assert!(matches!(account.next_job(at(0)), Some(Job::Read(_, Position(0)))));
        account.read(Ok(vec![])).unwrap();
        let (numbers, told, gone) = (Numbers::default(), Told::default(), Arc::default());
        Self { account, numbers, told, position: 10, gone }
    }

    pub(super) fn reserve(&mut self, number: u64, worst: u64, least: u64, now: Now) {
        self.ask(number, (amount(1, worst), amount(1, least)), None, now);
    }

    /// A call that was given an answer.
    pub(super) fn give(&mut self, number: u64, now: Now) {
        let given = Given {
            call: id(&format!("call{number}")),
            source: AnswerSource::Cache,
            saved: Saved { tokens: Tokens(7), money: NanoDollars(0) },
            outcome: CallOutcome::Completed,
            duration_ms: 1,
        };
        self.ask(number, (Amounts::ZERO, Amounts::ZERO), Some(given), now);
    }

    fn ask(&mut self, number: u64, (worst, worst_min): (Amounts, Amounts), given: Option<Given>, now: Now) {
        let wanted = ReservationRequest {
            tenant: id("acme"),
            shard: Shard(0),
            context: Shared::new(CallContext {
                scopes: scopes(),
                operation: Operation::Chat,
                provider: id("p"),
                upstream_model: "m".to_owned(),
                price: PriceVersion { model: id("m"), from: Timestamp(0), target: None },
                purpose: Purpose::Asked,
            }),
            worst,
            worst_min,
            request: id("r"),
        };
        let (told, gone, awaited) = (Arc::clone(&self.told), Arc::clone(&self.gone), Arc::clone(&self.gone));
        let answer = move |outcome| {
            told.lock().unwrap().insert(number, outcome);
            !gone.load(Ordering::Relaxed)
        };
        self.account.reserve(Waiting {
            call: id(&format!("call{number}")),
            wanted: Arc::new(wanted),
            given,
            since: now.mono,
            span: tracing::Span::none(),
            answer: Box::new(answer),
            is_wanted: Box::new(move || !awaited.load(Ordering::Relaxed)),
        });
        self.account.step(now);
    }

    pub(super) fn command(&mut self, now: Now) -> Option<LedgerCommand> {
        self.account.step(now);
        self.account.next_command(now, &self.numbers).map(|command| command.0)
    }

    pub(super) fn reply(&mut self, outcome: Outcome, turn: u64, cap: Amounts, others_wait: bool, now: Now) {
        let decided_at = START.plus(Duration::from_hours(1)); // the ledger's clock is another
        let until = decided_at.plus(Duration::from_secs(30));
        let terms = LeaseTerms { cap_total: cap, until, expires: until };
        let lease = Some(LeaseState { turn: Turn(turn), decided_at, terms });
        let answer =
            LeaseAnswer { outcome, lease, others_wait, budget_left: Some(NanoDollars(100)), left_percent: None };
        let answer = serde_json::to_value(answer).unwrap();
        let reply =
            Reply { accepted: true, events: vec![], position: Position(1), answer, rejection: None, message: None };
        self.account.replied(Ok(reply), now);
        self.account.step(now);
    }

    /// A lease with this cap, asked for by a first call.
    pub(super) fn lent(&mut self, cap: Amounts) -> LeaseId {
        let Some(LedgerCommand::GrantLease(GrantLease { lease, .. })) = self.command(at(0)) else {
            panic!("nothing was asked of the ledger");
        };
        self.reply(Outcome::Granted, 0, cap, false, at(0));
        lease
    }

    /// What is to be appended next.
    pub(super) fn appends(&mut self, now: Now) -> Option<(Position, Commit)> {
        self.account.step(now);
        match self.account.next_job(now) {
            Some(Job::Append(expected, commit)) => Some((expected, commit)),
            Some(Job::Read(..)) => panic!("it wants to read"),
            None => None,
        }
    }

    /// Appends what is next and acknowledges it.
    pub(super) fn append(&mut self, now: Now) -> Vec<UsageEvent> {
        let (_, commit) = self.appends(now).expect("something to append");
        self.position += 1;
        let appended = Appended { position: Position(self.position), hash: CommitHash::default() };
        self.account.appended(Ok(appended), now).unwrap();
        events(&commit)
    }

    pub(super) fn was_admitted(&self, number: u64) -> bool {
        matches!(self.told.lock().unwrap().get(&number), Some(Ok(_)))
    }

    pub(super) fn finish(&mut self, number: u64, tokens: u64, outcome: CallOutcome, now: Now) {
        let tokens = TokenUsage { output: Tokens(tokens), ..TokenUsage::default() };
        let finish = Finish {
            tokens,
            cost: NanoDollars(0),
            variant: 0,
            unpriced: UnpricedSet::default(),
            savings: Savings::default(),
            outcome,
            duration_ms: 1,
            sharing: Sharing::Alone,
        };
        self.account.finish(&id(&format!("call{number}")), finish, now, None);
    }
}

pub(super) fn events(commit: &Commit) -> Vec<UsageEvent> {
    let all = commit.entries.iter().flat_map(|entry| &entry.events);
    all.map(|event| if let Event::Usage(event) = event { event.clone() } else { panic!("{event:?}") }).collect()
}

pub(super) fn closed(lease: &LeaseId, position: u64, stream: &StreamName) -> Stored {
    let event = UsageEvent::LeaseClosed { lease: lease.clone(), reason: "expired".to_owned() };
    let entry = Entry {
        command: id("c"),
        at: START,
        actor: id("sys_worker"),
        on_behalf_of: None,
        key: None,
        causation: None,
        correlation: id("r"),
        body: None,
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
