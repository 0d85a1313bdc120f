use std::iter;

use steward_events::commit::Entry;
use steward_events::event::{AgentSpec, BudgetLevel, Event, PatternKind};
use steward_events::id::{CommandId, CorrelationId, PrincipalId, SystemPart};
use steward_events::quantity::{Position, Shard, Tokens, Version};
use steward_events::stream::StreamName;

use super::*;

const SOON: Timestamp = Timestamp(2_000_000);
const LATE: Timestamp = Timestamp(500_000_000);

/// What happened, each event one second after 1970.
fn after(events: impl IntoIterator<Item = (&'static str, Event)>) -> Places {
    let mut places = Places::default();
    for (id, event) in events {
        let stream = StreamName {
            shard: Shard(1),
            tenant: "acme".parse().unwrap(),
            kind: event.kind(),
            id: StreamId::new(id).unwrap(),
        };
        let entry = Entry {
            command: CommandId::new("c1").unwrap(),
            at: Timestamp(1_000_000),
            actor: PrincipalId::system(SystemPart::Worker),
            on_behalf_of: None,
            causation: None,
            correlation: CorrelationId::new("r1").unwrap(),
            body: None,
            key: None,
            events: vec![event],
        };
        let event = entry.events.first().unwrap();
        places.apply(&Recorded {
            stream: &stream,
            position: Position(1),
            version: Version(1),
            index: 0,
            entry: &entry,
            event,
        });
    }
    places
}

fn created() -> (&'static str, Event) {
    ("main", TenantEvent::Created { tenant: "acme".parse().unwrap(), timezone: "UTC".to_owned() }.into())
}

fn quota() -> (&'static str, Event) {
    ("main", TenantEvent::QuotaSet { quota: QuotaKind::Agents, level: BudgetLevel::Platform, limit: 1 }.into())
}

fn agent(id: &'static str) -> (&'static str, Event) {
    let spec = AgentSpec {
        model: "small".parse().unwrap(),
        instructions: String::new(),
        pattern: PatternKind::Single,
        output_max: Tokens(1),
        steps_max: 1,
    };
    (id, AgentEvent::Defined { agent: id.parse().unwrap(), revision: 1, spec }.into())
}

fn taken(quota: QuotaKind, id: &str) -> (&'static str, Event) {
    ("main", QuotaEvent::PlaceTaken { quota, id: StreamId::new(id).unwrap() }.into())
}

fn sent(places: &Places, now: Timestamp) -> Vec<String> {
    places
        .corrections(now)
        .into_iter()
        .map(|(_, command)| format!("{}.{}", command.name().0, command.name().1))
        .collect()
}

#[test]
fn what_was_there_before_its_quota_is_counted() {
    assert!(sent(&after([created(), agent("a"), agent("b")]), SOON).is_empty(), "without a quota nothing is");
    assert_eq!(sent(&after([created(), agent("a"), agent("b"), quota()]), SOON), ["quota.take", "quota.take"]);
    let counted = [created(), agent("a"), quota(), taken(QuotaKind::Agents, "a")];
    assert!(sent(&after(counted), SOON).is_empty());
}

#[test]
fn a_place_taken_for_nothing_is_given_back_later() {
    let places = || after([created(), quota(), taken(QuotaKind::Agents, "a")]);
    assert!(sent(&places(), SOON).is_empty(), "it may be made yet");
    assert_eq!(sent(&places(), LATE), ["quota.return"]);
    let made = after([created(), quota(), taken(QuotaKind::Agents, "a"), agent("a")]);
    assert!(sent(&made, LATE).is_empty());
}

#[test]
fn a_task_gives_its_place_back_when_it_ends() {
    let ended = TaskEvent::Cancelled { reason: String::new() };
    let places = after(iter::once(taken(QuotaKind::Tasks, "t_1")).chain([("t_1", ended.into())]));
    assert!(sent(&places, SOON).is_empty(), "it was never there, so it may be on its way");
    let mut places = after([taken(QuotaKind::Tasks, "t_1")]);
    let tenant: TenantId = "acme".parse().unwrap();
    let counted = places.of.get_mut(&(tenant, QuotaKind::Tasks)).unwrap();
    counted.made(StreamId::new("t_1").unwrap());
    assert!(sent(&places, LATE).is_empty());
    let counted = places.of.values_mut().next().unwrap();
    counted.there.clear();
    assert_eq!(sent(&places, SOON), ["quota.return"]);
}
