//! The bytes of every event that was ever recorded: what is in a log today must be readable, and readable as the same,
//! for ever.
//!
//! For each example in `wire/examples.rs` there are two files: `wire/<name>.hex`, the bytes of a commit that holds it,
//! and `wire/<name>.json`, what people see of it. `wire/examples.rs` names every variant of every event in a `match`
//! without `_`: a new variant does not compile there until it has an example, and the tests fail until it has files.
//!
//! To write the files of a **new** example: `STEWARD_BLESS=1 cargo test -p steward-events --test wire`. Files that are
//! there are never overwritten: a recorded shape does not change. If a test says that one did, the change is wrong;
//! add an optional field that is left out when it is empty, or a new variant, and raise the aggregate's schema (the one
//! number in the files that may differ from what is written today).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in helpers of tests, too

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use steward_events::commit::{Commit, DecodeError, Entry};
use steward_events::digest::CommitHash;
use steward_events::event::{AggregateKind, Event};
use steward_events::id::{CommandId, CommitId, CorrelationId, PrincipalId, StreamId, TenantId};
use steward_events::quantity::{Shard, Version};
use steward_events::stream::StreamName;

#[path = "wire/examples.rs"]
mod examples;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire")
}

fn stream(kind: AggregateKind) -> StreamName {
    StreamName { shard: Shard(3), tenant: TenantId::new("acme").unwrap(), kind, id: StreamId::new("main").unwrap() }
}

fn entry(events: Vec<Event>) -> Entry {
    Entry {
        command: CommandId::new("01command").unwrap(),
        at: examples::AT,
        actor: PrincipalId::new("p_ana").unwrap(),
        on_behalf_of: None,
        key: None,
        causation: None,
        correlation: CorrelationId::new("01correlation").unwrap(),
        body: None,
        events,
    }
}

fn commit(event: Event) -> Commit {
    Commit {
        id: CommitId::new("01commit").unwrap(),
        stream: stream(event.kind()),
        version: Version(7),
        prev: CommitHash::from_bytes([7; 32]),
        entries: vec![entry(vec![event])],
    }
}

/// A commit as group commit makes it: two commands of two principals, one of them with three events.
fn group_commit() -> Commit {
    let mut tenants = examples::all().into_iter().filter(|(_, event)| event.kind() == AggregateKind::Tenant);
    let mut next = || tenants.next().unwrap().1;
    let of_worker = Entry {
        command: CommandId::new("02command").unwrap(),
        actor: PrincipalId::new("sys_worker").unwrap(),
        on_behalf_of: Some(PrincipalId::new("p_ben").unwrap()),
        causation: Some("evt.03.acme.task.t_1@41".to_owned()),
        ..entry(vec![next(), next()])
    };
    let of_ana = entry(vec![next()]);
    Commit {
        entries: vec![of_worker, of_ana],
        prev: CommitHash::default(),
        version: Version(1),
        ..commit(next_tenant())
    }
}

fn next_tenant() -> Event {
    examples::all().into_iter().find(|(_, event)| event.kind() == AggregateKind::Tenant).unwrap().1
}

/// Every golden: its name, its commit.
fn goldens() -> Vec<(String, Commit)> {
    let mut all: Vec<(String, Commit)> =
        examples::all().into_iter().map(|(name, event)| (name.to_owned(), commit(event))).collect();
    all.push(("commit".to_owned(), group_commit()));
    all
}

fn hex(bytes: &[u8]) -> String {
    let digit = |four_bits: u8| char::from_digit(u32::from(four_bits), 16).unwrap();
    let line = |line: &[u8]| line.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect::<String>();
    bytes.chunks(48).map(|chunk| line(chunk) + "\n").collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Where in a commit's bytes the number of its schema stands: one byte, up to 127.
fn schema_at(bytes: &[u8]) -> usize {
    bytes.windows(7).position(|window| window == b"\xa6schema").unwrap() + 7
}

/// What people see: the events of all entries.
fn json(commit: &Commit) -> String {
    let events: Vec<&Event> = commit.entries.iter().flat_map(|entry| &entry.events).collect();
    let rendered = match events.as_slice() {
        [one] => serde_json::to_string_pretty(one),
        several => serde_json::to_string_pretty(several),
    };
    rendered.unwrap() + "\n"
}

/// The file's text; while blessing, a file that is not there is written first.
fn golden(file: &str, current: &str) -> String {
    let path = folder().join(file);
    if !path.exists() && std::env::var_os("STEWARD_BLESS").is_some() {
        fs::write(&path, current).unwrap();
    }
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}; the head of tests/wire.rs says how"))
}

#[test]
fn every_event_is_written_as_its_golden_bytes() {
    for (name, commit) in goldens() {
        let mut bytes = commit.encode().unwrap();
        let golden = golden(&format!("{name}.hex"), &hex(&bytes));
        // The schema's number alone rises with each new variant; the shapes that were there before stay.
        let recorded = unhex(&golden);
        let schema = schema_at(&bytes);
        bytes[schema] = recorded[schema_at(&recorded)];
        assert_eq!(hex(&bytes), golden, "{name} is written in other bytes");
    }
}

#[test]
fn golden_bytes_are_read_as_the_same_event() {
    for (name, commit) in goldens() {
        let file = fs::read_to_string(folder().join(format!("{name}.hex")));
        let Ok(file) = file else { continue }; // the test above says so
        let read = Commit::decode(&commit.stream, &unhex(&file)).unwrap();
        assert_eq!(read, commit, "{name} is read as something else");
    }
}

#[test]
fn people_see_the_same() {
    for (name, commit) in goldens() {
        let json = json(&commit);
        assert_eq!(json, golden(&format!("{name}.json"), &json), "{name} is rendered otherwise");
    }
}

#[test]
fn each_golden_has_its_example() {
    let known: BTreeSet<String> = goldens().into_iter().map(|(name, _)| name).collect();
    for file in fs::read_dir(folder()).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        let name = file.strip_suffix(".hex").or(file.strip_suffix(".json"));
        assert!(
            file == "examples.rs" || name.is_some_and(|name| known.contains(name)),
            "{file} was recorded once and has no example any more: what is in a log must stay readable"
        );
    }
}

#[test]
fn an_example_is_named_as_its_event() {
    let mut seen = BTreeSet::new();
    for (name, event) in examples::all() {
        assert_eq!(name.split('.').take(2).collect::<Vec<_>>().join("."), event.name());
        assert!(seen.insert(name), "{name} twice");
    }
    let covered: BTreeSet<&str> = seen.iter().copied().filter(|name| name.split('.').count() == 2).collect();
    assert_eq!(covered, examples::variants().into_iter().collect(), "each variant has an example of its bare name");
}

#[test]
fn a_commit_in_the_wrong_place_is_refused() {
    for (name, commit) in goldens() {
        let bytes = commit.encode().unwrap();
        for elsewhere in [
            StreamName { tenant: TenantId::new("globex").unwrap(), ..commit.stream.clone() },
            StreamName { id: StreamId::new("other").unwrap(), ..commit.stream.clone() },
        ] {
            let read = Commit::decode(&elsewhere, &bytes);
            assert!(matches!(read, Err(DecodeError::Misplaced { .. })), "{name} in {elsewhere}: {read:?}");
        }
        for kind in AggregateKind::ALL.into_iter().filter(|kind| *kind != commit.stream.kind) {
            let elsewhere = StreamName { kind, ..commit.stream.clone() };
            assert!(Commit::decode(&elsewhere, &bytes).is_err(), "{name} in {elsewhere}");
        }
    }
}

#[test]
fn a_newer_schema_is_told_from_damage() {
    for (name, commit) in goldens() {
        let mut bytes = commit.encode().unwrap();
        let schema = schema_at(&bytes);
        bytes[schema] = 99;
        let read = Commit::decode(&commit.stream, &bytes);
        assert!(
            matches!(&read, Err(DecodeError::NewerSchema { found, .. }) if found.0 == 99),
            "{name} with schema 99: {read:?}"
        );
        bytes.truncate(bytes.len() - 1);
        let read = Commit::decode(&commit.stream, &bytes);
        assert!(read.is_err(), "{name}: cut short");
    }
}

#[test]
fn sealed_content_is_rendered_as_sealed() {
    let sealed: Vec<(&str, Event)> =
        examples::all().into_iter().filter(|(_, event)| format!("{event:?}").contains("Sealed(")).collect();
    assert!(sealed.len() >= 4, "the examples hold sealed content");
    for (name, event) in sealed {
        let rendered = serde_json::to_string(&event).unwrap();
        assert!(rendered.contains("\"sealed, 40 bytes, "), "{name}: {rendered}");
    }
}
