//! Reads a commit of a journal straight from its bytes, if it stands there as commits are written.
//!
//! Views read very many of these. Nothing is judged here: what looks in any way different is left to the reader that
//! takes every form which serde takes, and which says what is wrong. Whatever is accepted here is accepted there as
//! well, and is the same.

use std::str::FromStr;

use super::{Compact, FinishRow, Numbers, Origin, Row, StartRow, Tables, contexts};
use crate::commit::packed::Packed;
use crate::commit::{Commit, Entry};
use crate::digest::CommitHash;
use crate::event::{AggregateEvents, UsageEvent};
use crate::id::{CommitId, InvalidId, LeaseId, PrincipalId};
use crate::ids::OfBits;
use crate::quantity::Version;
use crate::request::msgpack;
use crate::stream::StreamName;
use crate::timestamp::Timestamp;

/// Lists are made for so many at once; more are written rarely, or said to follow by bytes that lie.
const EXPECTED_MAX: usize = 64;

impl Commit {
    /// The commit of a journal that stands in `stream` as commits are written; none if it is to be read the long way.
    pub(in crate::commit) fn as_written(stream: &StreamName, bytes: &[u8]) -> Option<Self> {
        let mut packed = Packed(bytes);
        (packed.map()? == 8).then_some(())?;
        packed.field("commit")?;
        let id = CommitId::new(packed.text()?).ok()?;
        let stands =
            [("tenant", stream.tenant.as_str()), ("aggregate", stream.kind.as_str()), ("id", stream.id.as_str())];
        for (field, is) in stands {
            packed.field(field)?;
            (packed.text()? == is).then_some(())?;
        }
        packed.field("version")?;
        let version = Version(packed.number()?);
        packed.field("prev")?;
        let prev = CommitHash::from_bytes(packed.bytes()?.try_into().ok()?);
        packed.field("schema")?;
        (packed.number()? == u64::from(UsageEvent::SCHEMA.0)).then_some(())?;
        packed.field("entries")?;
        let entries = entries(&mut packed)?;
        (packed.0.is_empty() && !entries.is_empty()).then(|| Self {
            id,
            stream: stream.clone(),
            version,
            prev,
            entries,
        })
    }
}

fn entries(packed: &mut Packed<'_>) -> Option<Vec<Entry>> {
    let mut fields = packed.map()?.checked_sub(3)?;
    packed.field("origins")?;
    let mut origins = Vec::new();
    list(packed, &mut origins, origin)?;
    packed.field("leases")?;
    let mut leases = Vec::new();
    list(packed, &mut leases, |packed, _| lease(packed))?;
    let (mut contexts, mut tags) = (Vec::new(), Vec::new());
    if packed.field("contexts").is_some() {
        fields = fields.checked_sub(1)?;
        list(packed, &mut contexts, |packed, _| contexts::read(packed.any()?))?;
    }
    if packed.field("tags").is_some() {
        fields = fields.checked_sub(1)?;
        list(packed, &mut tags, |packed, _| msgpack::read_part(packed.any()?).ok())?;
    }
    (fields == 0).then_some(())?;
    packed.field("entries")?;
    let tables = Tables { origins: &origins, leases: &leases, contexts: &contexts, tags: &tags };
    let mut entries = Vec::new();
    list(packed, &mut entries, |packed, _| entry(packed, &tables))?;
    Some(entries)
}

/// Reads what a list holds, each with what was read before it.
fn list<T>(
    packed: &mut Packed<'_>,
    into: &mut Vec<T>,
    mut next: impl FnMut(&mut Packed<'_>, &[T]) -> Option<T>,
) -> Option<()> {
    let count = packed.list()?;
    into.reserve_exact(count.min(EXPECTED_MAX));
    for _ in 0..count {
        into.push(next(packed, into)?);
    }
    Some(())
}

fn origin(packed: &mut Packed<'_>, before: &[Origin]) -> Option<Origin> {
    let fields = packed.map()?;
    packed.field("at")?;
    let at = Timestamp(packed.number()?);
    packed.field("actor")?;
    let actor = principal(packed.text()?, before.last().map(|before| &before.actor))?;
    let (mut on_behalf_of, mut causation) = (None, None);
    if packed.field("on_behalf_of").is_some() {
        on_behalf_of = Some(principal(packed.text()?, before.last().and_then(|before| before.on_behalf_of.as_ref()))?);
    }
    if packed.field("causation").is_some() {
        causation = Some(packed.text()?.to_owned());
    }
    let read = 2 + usize::from(on_behalf_of.is_some()) + usize::from(causation.is_some());
    (fields == read).then_some(Origin { at, actor, on_behalf_of, causation })
}

/// Mostly the same as before.
fn principal(text: &str, before: Option<&PrincipalId>) -> Option<PrincipalId> {
    match before {
        Some(before) if before.as_str() == text => Some(before.clone()),
        _ => PrincipalId::new(text).ok(),
    }
}

fn lease(packed: &mut Packed<'_>) -> Option<LeaseId> {
    (packed.map()? == 2).then_some(())?;
    packed.field("holder")?;
    let holder = packed.text()?.parse().ok()?;
    packed.field("number")?;
    Some(LeaseId { holder, number: packed.number()? })
}

fn entry(packed: &mut Packed<'_>, tables: &Tables<'_>) -> Option<Entry> {
    (packed.list()? == 4).then_some(())?;
    let origin = packed.row()?;
    let correlation = id(packed)?;
    let command = if packed.nil() { None } else { Some(Compact(id(packed)?)) };
    let rows = packed.list().filter(|rows| *rows > 0)?;
    let rows = (0..rows).map(|_| row(packed).ok_or_else(String::new));
    tables.entry(origin, correlation, command, rows).ok()
}

fn row(packed: &mut Packed<'_>) -> Option<Row> {
    (packed.map()? == 1).then_some(())?;
    let name = packed.text()?;
    let fields = packed.list()?;
    match (name, fields) {
        ("start", 6) => Some(Row::Start(StartRow(
            packed.row()?,
            packed.row()?,
            Compact(id(packed)?),
            if packed.nil() { None } else { Some(Compact(id(packed)?)) },
            numbers(packed)?,
            if packed.nil() { None } else { Some(packed.row()?) },
        ))),
        ("finish", 8) => Some(Row::Finish(FinishRow(
            packed.row()?,
            packed.row()?,
            Compact(id(packed)?),
            numbers(packed)?,
            packed.number()?,
            numbers(packed)?,
            packed.number()?,
            if packed.nil() { None } else { Some(msgpack::read_part(packed.any()?).ok()?) },
        ))),
        ("lease_closed", 2) => Some(Row::LeaseClosed(packed.row()?, packed.text()?.to_owned())),
        _ => None,
    }
}

fn id<T: FromStr<Err = InvalidId> + OfBits>(packed: &mut Packed<'_>) -> Option<T> {
    if packed.is_bytes() {
        return Some(T::of_bits(u128::from_be_bytes(packed.bytes()?.try_into().ok()?)));
    }
    packed.text()?.parse().ok()
}

fn numbers<const N: usize>(packed: &mut Packed<'_>) -> Option<Numbers<N>> {
    let count = packed.list()?;
    let mut numbers = [0; N];
    for number in numbers.get_mut(..count)? {
        *number = packed.number()?;
    }
    Some(Numbers(numbers))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Journal;
    use super::*;
    use crate::commit::decode_as;
    use crate::event::{
        AggregateKind, AnswerSource, CallContext, CallOutcome, Event, Operation, PriceVersion, Purpose, Saved, Savings,
        Tags, TokenUsage, Unpriced, UnpricedSet,
    };
    use crate::id::{CallId, CorrelationId};
    use crate::ids;
    use crate::quantity::{Amounts, NanoDollars, Shard, Tokens};
    use crate::scope::ScopeSet;
    use crate::shared::Shared;

    fn id<T: FromStr<Err = InvalidId>>(text: &str) -> T {
        text.parse().unwrap()
    }

    fn context(provider: &str) -> Shared<CallContext> {
        let scopes = ScopeSet {
            path: "acme/support".parse().unwrap(),
            principal: id("svc_1"),
            key: id("key_1"),
            model: id("m.1"),
            agent: Some(id("helper")),
            task: None,
            line: None,
        };
        let price = PriceVersion { model: id("m.1"), from: Timestamp(7), target: None };
        let (operation, upstream_model) = (Operation::Chat, "Model \"1\"".to_owned());
        Shared::new(CallContext {
            scopes,
            operation,
            provider: id(provider),
            upstream_model,
            price,
            purpose: Purpose::Asked,
        })
    }

    fn lease(number: u64) -> LeaseId {
        LeaseId { holder: id("gw_1"), number }
    }

    fn call(number: u128) -> CallId {
        id(&ids::base32(u128::MAX / 3 + number))
    }

    fn started(number: u128, tags: &[(&str, &str)]) -> UsageEvent {
        UsageEvent::CallStarted {
            call: call(number),
            lease: lease(1),
            context: context("one"),
            worst: Amounts { calls: 1, tokens: Tokens(70_000), money: NanoDollars(u64::MAX) },
            request: id("r_1"),
            tags: Tags::new(tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
                .unwrap(),
        }
    }

    fn finished(number: u128, outcome: CallOutcome) -> UsageEvent {
        let plain = outcome == CallOutcome::Completed;
        UsageEvent::CallFinished {
            call: call(number),
            lease: lease(2),
            context: context(if plain { "one" } else { "two" }),
            tokens: TokenUsage { input: Tokens(300), output: Tokens(4), images: 5, ..TokenUsage::default() },
            cost: NanoDollars(70_000),
            variant: u16::from(!plain),
            unpriced: if plain { UnpricedSet::default() } else { [Unpriced::Tier].into_iter().collect() },
            source: if plain { AnswerSource::Provider } else { AnswerSource::Shared { call: call(9) } },
            saved: Saved { tokens: Tokens(u64::from(!plain)), money: NanoDollars(0) },
            savings: Savings::default(),
            used: Amounts { calls: 1, tokens: Tokens(0), money: NanoDollars(3) },
            late: Amounts { calls: 0, tokens: Tokens(0), money: NanoDollars(u64::from(!plain)) },
            outcome,
            duration_ms: 4_312,
            tags: Tags::default(),
        }
    }

    fn entry(correlation: &str, events: Vec<UsageEvent>, by_call: bool) -> Entry {
        Entry {
            command: events[0].call().filter(|_| by_call).map_or_else(|| id("c_1"), Into::into),
            at: Timestamp(1_795_428_000_123_456),
            actor: id("sys_gateway"),
            on_behalf_of: by_call.then(|| id("p_ana")),
            key: None,
            causation: (!by_call).then(|| "evt.03.acme.ledger.main@41".to_owned()),
            correlation: id::<CorrelationId>(correlation),
            body: None,
            events: events.into_iter().map(Event::Usage).collect(),
        }
    }

    /// Everything that a commit of a journal may hold.
    fn commit() -> Commit {
        let closed = UsageEvent::LeaseClosed { lease: lease(1), reason: "expired".to_owned() };
        let estimated = CallOutcome::Estimated { reason: "cut".to_owned(), closed: true };
        let entries = vec![
            entry("r_1", vec![started(1, &[])], true),
            entry(
                call(4).as_str(),
                vec![started(2, &[("team", "support")]), finished(1, CallOutcome::Completed)],
                true,
            ),
            entry("r_2", vec![finished(2, estimated)], false),
            entry("r_3", vec![closed], false),
        ];
        let stream = StreamName { shard: Shard(3), tenant: id("acme"), kind: AggregateKind::Usage, id: id("main") };
        Commit { id: id("m_1"), stream, version: Version(81_234), prev: CommitHash::from_bytes([7; 32]), entries }
    }

    fn the_long_way(stream: &StreamName, bytes: &[u8]) -> Option<Commit> {
        decode_as::<UsageEvent, _>(stream, bytes, Journal::into_entries).ok()
    }

    #[test]
    fn what_is_written_is_read_straight() {
        let commit = commit();
        let bytes = commit.encode().unwrap();
        assert_eq!(Commit::as_written(&commit.stream, &bytes), Some(commit.clone()));
        assert_eq!(the_long_way(&commit.stream, &bytes), Some(commit.clone()));
        for single in &commit.entries {
            let single = Commit { entries: vec![single.clone()], ..commit.clone() };
            assert_eq!(Commit::as_written(&single.stream, &single.encode().unwrap()), Some(single));
        }
        let elsewhere = StreamName { id: id("other"), ..commit.stream };
        assert_eq!(Commit::as_written(&elsewhere, &bytes), None);
    }

    #[test]
    fn one_changed_byte_makes_no_other_commit() {
        let commit = commit();
        let bytes = commit.encode().unwrap();
        for at in 0..bytes.len() {
            for change in [1, 2, 4, 8, 16, 32, 64, 128, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                if let Some(read) = Commit::as_written(&commit.stream, &changed) {
                    assert_eq!(the_long_way(&commit.stream, &changed), Some(read), "{at} {change}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn changed_bytes_are_read_as_the_long_way_reads_them(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
        ) {
            let commit = commit();
            let mut bytes = commit.encode().unwrap();
            for (at, byte, how) in changes {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => _ = bytes.remove(at),
                }
            }
            if let Some(read) = Commit::as_written(&commit.stream, &bytes) {
                prop_assert_eq!(the_long_way(&commit.stream, &bytes), Some(read));
            }
        }
    }
}
