//! A month of 100,000 calls, commands and refusals, with twenty effects planted among them: a rehearsal finds all of them
//! and no other, in whatever parts it is read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests

#[path = "support/events.rs"]
mod events;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use events::{NOON, Writer, stream, tenant};
use serde_json::{Value, json};
use steward_events::event::{
    AccessEvent, AggregateKind, AnswerSource, CallContext, CallOutcome, DenialEvent, DenialKind, Event, GrantId,
    IdentityEvent, KeyHash, LedgerEvent, Operation, PriceVersion, Purpose, RegistryEvent, Saved, Savings, Tags,
    TenantEvent, TokenUsage, UnpricedSet, UsageEvent,
};
use steward_events::id::{CallId, CommandId, CorrelationId, HolderId, LeaseId, ModelId, PrincipalId, ProviderId};
use steward_events::quantity::{Amounts, NanoDollars, Shard, Tokens, Unit, Window};
use steward_events::request::{Envelope, Format, Request};
use steward_events::scope::ScopeSet;
use steward_events::sealed::DataKey;
use steward_events::shard::registry_stream;
use steward_events::shared::Shared;
use steward_events::timestamp::Timestamp;
use steward_ports::bus::QueryService;
use steward_ports::clock::{Clock, RandomIds, SystemClock};
use steward_ports::keys::{Keyring, MemoryVault};
use steward_ports::log::memory::MemoryLog;
use steward_ports::store::memory::MemoryStore;
use steward_projectors::{Config, ProjectorPorts, Projectors};
use steward_queries::{Happened, LeastPage, Outcome, Rehearsal};

const DAY: u64 = 86_400_000_000;
const DAYS: u64 = 30;
const PEOPLE: u64 = 100;
/// Calls of one commit; each begins when the one before it has ended.
const BATCH: u64 = 100;
const CALLS: u64 = 100_000;
const SHARD: u16 = 1;

/// A wall clock that stands, beside a monotonic one that runs.
struct Standing(SystemClock);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        end()
    }
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

fn end() -> Timestamp {
    Timestamp(NOON.0 + DAYS * DAY)
}

/// One call, by its number alone.
struct Made {
    who: u64,
    key: String,
    model: &'static str,
    at: Timestamp,
    worst: u64,
}

impl Made {
    fn new(number: u64) -> Self {
        let who = number % PEOPLE;
        let round = number / PEOPLE;
        let second = who == 16 && round.is_multiple_of(3);
        Self {
            who,
            key: if second { "key_016b".to_owned() } else { format!("key_{who:03}") },
            model: if round.is_multiple_of(7) { "large" } else { "small" },
            at: Timestamp(NOON.0 + (number / BATCH) * BATCH * (DAYS * DAY / CALLS)),
            worst: 1_000_000 + (round % 10) * 100_000,
        }
    }

    fn is_made(&self) -> bool {
        // Who got their right in the middle of the month, and who lost it there.
        match self.who {
            4 => self.at.0 >= NOON.0 + 15 * DAY,
            5 => self.at.0 < NOON.0 + 15 * DAY,
            _ => true,
        }
    }

    fn events(&self, number: u64) -> [Event; 2] {
        let call: CallId = format!("call_{number}").parse().unwrap();
        let lease = LeaseId { holder: HolderId::new("gw1").unwrap(), number: 1 };
        let model = ModelId::new(self.model).unwrap();
        let context = Shared::new(CallContext {
            scopes: ScopeSet {
                path: format!("acme/p{}", self.who % 10).parse().unwrap(),
                principal: who(self.who),
                key: self.key.parse().unwrap(),
                model: model.clone(),
                agent: None,
                task: None,
                line: None,
            },
            operation: Operation::Chat,
            provider: ProviderId::new("local").unwrap(),
            upstream_model: "smollm2".to_owned(),
            price: PriceVersion { model, from: NOON, target: None },
            purpose: Purpose::Asked,
        });
        let amounts = |money: u64| Amounts { calls: 1, tokens: Tokens(100), money: NanoDollars(money) };
        let started = UsageEvent::CallStarted {
            call: call.clone(),
            lease: lease.clone(),
            context: context.clone(),
            worst: amounts(self.worst),
            request: CorrelationId::new(format!("r{number}")).unwrap(),
            tags: Tags::default(),
        };
        let finished = UsageEvent::CallFinished {
            call,
            lease,
            context,
            tokens: TokenUsage::default(),
            cost: NanoDollars(self.worst / 2),
            variant: 0,
            unpriced: UnpricedSet::default(),
            source: AnswerSource::Provider,
            saved: Saved::default(),
            savings: Savings::default(),
            used: amounts(self.worst / 2),
            late: Amounts::ZERO,
            outcome: CallOutcome::Completed,
            duration_ms: 12,
            tags: Tags::default(),
        };
        [started.into(), finished.into()]
    }
}

fn who(number: u64) -> PrincipalId {
    format!("svc_{number:03}").parse().unwrap()
}

fn grant(to: &str, role: &str, on: &str) -> GrantId {
    GrantId { to: to.parse().unwrap(), role: role.parse().unwrap(), on: on.parse().unwrap() }
}

/// The role of who calls: some hold one of their own.
fn role(number: u64) -> &'static str {
    if (7..=9).contains(&number) { "helper" } else { "agent" }
}

struct World {
    log: MemoryLog,
    writer: Writer,
}

impl World {
    async fn write(&mut self, kind: AggregateKind, id: &str, events: Vec<Event>) {
        self.writer.write(&stream(SHARD, "acme", kind, id), events).await;
    }

    async fn given(&mut self, grant: GrantId) {
        let given = AccessEvent::RoleGranted { grant, expires: None, condition: None };
        self.write(AggregateKind::Access, "main", vec![given.into()]).await;
    }

    async fn person(&mut self, id: &str) {
        let exists = IdentityEvent::AccountCreated { principal: id.parse().unwrap(), name: format!("name-of-{id}") };
        self.write(AggregateKind::Identity, "main", vec![exists.into()]).await;
    }

    async fn key(&mut self, key: &str, of: u64) {
        let issued = IdentityEvent::KeyIssued {
            key: key.parse().unwrap(),
            principal: who(of),
            hash: KeyHash::of(key),
            scope: "acme".parse().unwrap(),
            models: vec![],
            expires: None,
            agent: None,
            task: None,
            permissions: vec![],
            parent: None,
            addresses: vec![],
            hours: vec![],
            line: None,
        };
        self.write(AggregateKind::Identity, "main", vec![issued.into()]).await;
    }

    /// The company as it is on the first day.
    async fn founded() -> Self {
        let log = MemoryLog::new(2, Arc::new(Standing(SystemClock::default())));
        let mut writer = Writer::new(Arc::new(log.clone()));
        writer.at = Timestamp(NOON.0 - DAY);
        let placed = RegistryEvent::TenantPlaced {
            tenant: tenant("acme"),
            shard: Shard(SHARD),
            timezone: "Europe/Berlin".to_owned(),
        };
        writer.write(&registry_stream(&tenant("acme")), vec![placed.into()]).await;
        let mut world = Self { log, writer };
        let created = TenantEvent::Created { tenant: tenant("acme"), timezone: "Europe/Berlin".to_owned() };
        world.write(AggregateKind::Tenant, "main", vec![created.into()]).await;
        let helper = AccessEvent::RoleDefined {
            role: "helper".parse().unwrap(),
            permissions: vec!["model:invoke".parse().unwrap(), "task:submit".parse().unwrap()],
            inherits: vec![],
        };
        world.write(AggregateKind::Access, "main", vec![helper.into()]).await;
        for person in ["p_ana", "p_boss", "p_clerk"] {
            world.person(person).await;
        }
        world.given(grant("p_ana", "owner", "acme")).await;
        world.given(grant("p_boss", "owner", "acme")).await;
        for number in 0..PEOPLE {
            let id = format!("svc_{number:03}");
            world.person(&id).await;
            world.key(&format!("key_{number:03}"), number).await;
            if number != 4 {
                world.given(grant(&id, role(number), "acme")).await;
            }
        }
        world.key("key_016b", 16).await;
        world
    }

    /// The month.
    async fn month(&mut self) {
        for batch in 0..CALLS / BATCH {
            let first = batch * BATCH;
            self.writer.at = Made::new(first).at;
            if batch == CALLS / BATCH / 2 {
                self.given(grant("svc_004", "agent", "acme")).await;
                let gone =
                    AccessEvent::GrantRevoked { grant: grant("svc_005", "agent", "acme"), reason: String::new() };
                self.write(AggregateKind::Access, "main", vec![gone.into()]).await;
                self.decided_in_the_middle().await;
            }
            let made =
                (first..first + BATCH).map(|number| (number, Made::new(number))).filter(|(_, made)| made.is_made());
            let events: Vec<Event> = made.flat_map(|(number, made)| made.events(number)).collect();
            self.write(AggregateKind::Usage, "gw1", events).await;
        }
    }

    /// Commands, and refusals: of some a change would have made a yes, of others it would not.
    async fn decided_in_the_middle(&mut self) {
        let budget = LedgerEvent::BudgetSet {
            budget: "b_1".parse().unwrap(),
            key: steward_events::event::BudgetKey {
                scope: "acme/p1".parse().unwrap(),
                level: "acme".parse().unwrap(),
                subject: None,
                unit: Unit::Money,
                window: Window::Day,
            },
            spec: steward_events::event::BudgetSpec { limit: 1, hard: false, warn_percent: vec![] },
            window: steward_events::event::WindowBounds { budget: "b_1".parse().unwrap(), from: NOON, to: None },
        };
        let stream = stream(SHARD, "acme", AggregateKind::Ledger, "main");
        let (mut commit, expected) = self.writer.next(&stream, vec![budget.into()]);
        commit.entries[0].actor = "p_boss".parse().unwrap();
        steward_ports::append::append(&self.log, expected, &commit).await.unwrap();
        let denied = |who: &str, kind, permission: Option<&str>| {
            Event::from(DenialEvent::Denied {
                kind,
                principal: Some(who.parse().unwrap()),
                address: None,
                permission: permission.map(|permission| permission.parse().unwrap()),
                scope: permission.map(|_| "acme/p3".parse().unwrap()),
                reason: String::new(),
            })
        };
        let denials = vec![
            denied("p_clerk", DenialKind::Forbidden, Some("budget:list")),
            denied("p_clerk", DenialKind::Forbidden, Some("budget:list")),
            denied("p_clerk", DenialKind::Forbidden, Some("secret:set")),
            denied("p_ana", DenialKind::Forbidden, Some("budget:set")),
            denied("svc_001", DenialKind::BudgetExhausted, None),
        ];
        self.write(AggregateKind::Denials, "n1", denials).await;
    }

    fn projectors(&self, config: Config) -> Arc<Projectors> {
        let ports = ProjectorPorts {
            log: Arc::new(self.log.clone()),
            store: Arc::new(MemoryStore::default()),
            keyring: Arc::new(Keyring::new(DataKey::random().unwrap(), Arc::new(MemoryVault::default()))),
            clock: Arc::new(Standing(SystemClock::default())),
            ids: Arc::new(RandomIds::default()),
        };
        Projectors::new(ports, config)
    }
}

async fn ask<T: serde::de::DeserializeOwned>(projectors: &Projectors, verb: &str, body: &Value) -> T {
    let request = Request {
        tenant: tenant("acme"),
        principal: "p_ana".parse().unwrap(),
        noun: "access".to_owned(),
        verb: verb.to_owned(),
        envelope: Envelope {
            command: CommandId::new("q1").unwrap(),
            issued_at: NOON,
            on_behalf_of: None,
            causation: None,
            correlation: CorrelationId::new("r1").unwrap(),
            traceparent: None,
        },
        format: Format::Json,
        body: serde_json::to_vec(body).unwrap().into(),
    };
    let answer = projectors.answer(request).await.unwrap().unwrap();
    serde_json::from_slice(&answer).unwrap()
}

fn of_grant(command: &str, to: &str, role: &str, more: &Value) -> Value {
    let mut body = json!({ "to": to, "role": role, "on": "acme" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "command": command, "body": body })
}

/// The commands: each plants an effect of its own, but that of the role, which plants three.
fn changes() -> Vec<Value> {
    let none = json!({});
    let small = json!({ "condition": { "models": ["small"] } });
    let cheap = json!({ "condition": { "cost_max": "$0.0015" } });
    let budget = |who: &str, limit: &str, per: &str| {
        let body = json!({ "scope": "acme", "subject": { "principal": who }, "limit": limit, "per": per });
        json!({ "command": "budget.set", "body": body })
    };
    let mut changes: Vec<Value> =
        (1..=6).map(|n| of_grant("grant.revoke", &format!("svc_{n:03}"), "agent", &none)).collect();
    changes.push(json!({ "command": "role.define", "body": { "role": "helper", "permissions": ["task:submit"] } }));
    changes.extend((10..=12).map(|n| of_grant("grant.give", &format!("svc_{n:03}"), "agent", &small)));
    changes.extend((13..=14).map(|n| of_grant("grant.give", &format!("svc_{n:03}"), "agent", &cheap)));
    changes.push(json!({ "command": "user.disable", "body": { "principal": "svc_015" } }));
    changes.push(json!({ "command": "key.revoke", "body": { "key": "key_016b" } }));
    changes.extend([budget("svc_017", "$0.01", "day"), budget("svc_018", "40 calls", "week")]);
    changes.push(of_grant("grant.give", "p_clerk", "billing", &none));
    changes.push(of_grant("grant.revoke", "p_boss", "owner", &none));
    changes
}

type Effects = BTreeMap<(Happened, Outcome, String), u64>;

/// What was planted, counted by other means.
fn planted() -> Effects {
    let mut effects = Effects::new();
    let (mut days, mut weeks) = (BTreeMap::<Timestamp, u64>::new(), BTreeMap::<Timestamp, u64>::new());
    for made in (0..CALLS).map(Made::new).filter(Made::is_made) {
        let begins = |per| steward_events::window::bounds(per, made.at, "Europe/Berlin").0;
        let is_refused = match made.who {
            1..=9 | 15 => true,
            10..=12 => made.model == "large",
            13..=14 => made.worst > 1_500_000,
            16 => made.key == "key_016b",
            17 => {
                let spent = days.entry(begins(Window::Day)).or_default();
                let fits = *spent + made.worst <= 10_000_000;
                *spent += if fits { made.worst / 2 } else { 0 };
                !fits
            }
            18 => {
                let spent = weeks.entry(begins(Window::Week)).or_default();
                let fits = *spent < 40;
                *spent += u64::from(fits);
                !fits
            }
            _ => false,
        };
        if is_refused {
            *effects.entry((Happened::Call, Outcome::Refused, who(made.who).to_string())).or_default() += 1;
        }
    }
    effects.insert((Happened::Command, Outcome::Refused, "p_boss".to_owned()), 1);
    effects.insert((Happened::Refusal, Outcome::Allowed, "p_clerk".to_owned()), 2);
    effects
}

struct Found {
    effects: Effects,
    took_effect: Vec<u32>,
    unknown: u64,
    calls: u64,
    parts: usize,
    took: Duration,
}

async fn rehearse(projectors: &Projectors) -> Found {
    let begun = Instant::now();
    let mut query = json!({ "since": NOON, "changes": changes() });
    let mut found =
        Found { effects: Effects::new(), took_effect: vec![], unknown: 0, calls: 0, parts: 0, took: Duration::ZERO };
    loop {
        let part: Rehearsal = ask(projectors, "rehearse", &query).await;
        assert_eq!(part.unlisted, 0);
        for effect in part.effects {
            let same = (effect.what, effect.outcome, effect.principal.to_string());
            *found.effects.entry(same).or_default() += effect.count;
        }
        found.took_effect.extend(part.took_effect);
        found.parts += 1;
        found.calls += part.calls;
        found.unknown += part.unknown;
        let Some(next) = part.next else { break };
        query["after"] = json!(next);
        query["so_far"] = json!(part.so_far);
    }
    found.took_effect.sort_unstable();
    found.took_effect.dedup();
    found.took = begun.elapsed();
    found
}

#[tokio::test]
async fn twenty_planted_effects_are_found_and_none_invented() {
    let mut world = World::founded().await;
    world.month().await;
    let projectors = world.projectors(Config::default());
    let found = rehearse(&projectors).await;
    let planted = planted();
    assert_eq!(planted.len(), 20);
    assert_eq!(found.effects, planted);
    assert_eq!(found.took_effect.len(), changes().len(), "each of them did something: {:?}", found.took_effect);
    assert_eq!(found.calls, (0..CALLS).map(Made::new).filter(Made::is_made).count() as u64);
    assert_eq!(found.unknown, 1, "a refusal for want of budget says too little");
    let many: u64 = planted.values().sum();
    println!("{} calls, 20 effects on {many} of them, {} parts, {:?}", found.calls, found.parts, found.took);

    let hurried = Config { answer_time_max: Duration::from_millis(1_500), ..Config::default() };
    let in_parts = rehearse(&world.projectors(hurried)).await;
    println!("the same in {} parts, {:?}", in_parts.parts, in_parts.took);
    assert!(in_parts.parts > found.parts);
    assert_eq!(in_parts.effects, planted, "a sum of parts is the whole");

    let begun = Instant::now();
    let mut query = json!({ "since": NOON });
    let rows = loop {
        let page: LeastPage = ask(&projectors, "least", &query).await;
        let Some(next) = page.next else { break page.rows };
        query["after"] = json!(next);
        query["used"] = json!(page.used);
    };
    println!("what was used of {} principals' grants: {:?}", rows.len(), begun.elapsed());
    let of = |id: &str| rows.iter().find(|row| row.principal.as_str() == id).unwrap();
    assert_eq!(of("svc_020").grants[0].times, CALLS / PEOPLE);
    assert_eq!(of("svc_020").grants[0].instead[0].body["on"], "acme/p0");
    assert_eq!(of("p_boss").grants[0].used[0].as_str(), "budget:set");
}
