//! What comes from outside is hostile: whatever the bytes and texts, reading them never panics, and what is accepted is
//! written as it was read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in helpers of tests, too

use std::fmt::{Debug, Display};
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use steward_events::command::{COMMANDS, Command};
use steward_events::commit::Commit;
use steward_events::event::AggregateKind;
use steward_events::id::{ID_BYTES_MAX, KeyId, PrincipalId, StreamId, TaskId, TenantId};
use steward_events::permission::{Permission, PermissionPattern};
use steward_events::quantity::{Limit, NanoDollars, Position, Shard};
use steward_events::request::Format;
use steward_events::scope::Scope;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;

fn stream(kind: AggregateKind) -> StreamName {
    StreamName { shard: Shard(3), tenant: TenantId::new("acme").unwrap(), kind, id: StreamId::new("main").unwrap() }
}

/// The bytes of every golden commit, with the kind of stream they stand in.
static GOLDENS: LazyLock<Vec<(AggregateKind, Vec<u8>)>> = LazyLock::new(|| {
    let mut goldens = Vec::new();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = name.strip_suffix(".hex") else { continue };
        let kind = name.split('.').next().unwrap().parse().unwrap_or(AggregateKind::Tenant);
        let digits: Vec<u8> = fs::read(&path).unwrap().into_iter().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        goldens.push((kind, digits.chunks(2).map(byte).collect()));
    }
    assert!(goldens.len() > 40);
    goldens
});

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Cut(usize),
    Repeat(usize, usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        match *self {
            Self::Set(at, byte) => bytes[at % length] = byte,
            Self::Insert(at, byte) => bytes.insert(at % length, byte),
            Self::Remove(at) => _ = bytes.remove(at % length),
            Self::Cut(at) => bytes.truncate(at % length),
            Self::Repeat(at, count) => {
                let from = at % length;
                let part = bytes[from..(from + count).min(length)].to_vec();
                bytes.splice(from..from, part);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<usize>().prop_map(Change::Remove),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), 1..200_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
    ]
}

fn kind() -> impl Strategy<Value = AggregateKind> {
    prop::sample::select(AggregateKind::ALL.to_vec())
}

/// Reads bytes as a commit; what is accepted must be of the stream, and written again be read the same.
fn read_commit(kind: AggregateKind, bytes: &[u8]) {
    let stream = stream(kind);
    let Ok(commit) = Commit::decode(&stream, bytes) else { return };
    assert_eq!(commit.stream, stream);
    let events = commit.recorded(Position(1)).inspect(|recorded| assert_eq!(recorded.event.kind(), kind)).count();
    assert!(events > 0);
    let written = commit.encode().expect("what was read can be written");
    assert_eq!(Commit::decode(&stream, &written).unwrap(), commit);
}

/// A text that is accepted is written as it was given.
fn read_text<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

/// Texts near to those that are accepted, and any others.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,100}",
        "[a-z0-9_*.:/-]{0,90}",
        "evt\\.[0-9]{1,6}\\.[a-z]{1,4}\\.(usage|ledger|task|nope)\\.[a-z0-9_-]{0,4}(\\.[a-z])?",
        "[a-z]{1,5}(/[a-z*]{0,3}){0,8}",
        "[a-z*]{1,6}:[a-z*]{0,6}",
        "\\$?[0-9]{0,22}(\\.[0-9]{0,11})?( (calls?|tokens?|x))?",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((field(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A field's name that some command has, or any word.
fn field() -> impl Strategy<Value = String> {
    let mut names: Vec<String> = Vec::new();
    for spec in COMMANDS {
        let mut generator = schemars::SchemaGenerator::default();
        let schema = (spec.schema)(&mut generator);
        let properties = schema.get("properties").and_then(Value::as_object);
        names.extend(properties.into_iter().flat_map(Map::keys).cloned());
    }
    prop_oneof![4 => prop::sample::select(names), 1 => "[a-z_]{1,8}"]
}

/// Bodies that have the fields which the command's schema names.
fn body() -> impl Strategy<Value = (&'static str, &'static str, Value)> {
    prop::sample::select(COMMANDS).prop_flat_map(|spec| {
        let mut generator = schemars::SchemaGenerator::default();
        let schema = (spec.schema)(&mut generator);
        let names: Vec<String> =
            schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned().collect();
        let values = prop::collection::vec(value(), names.len());
        values
            .prop_map(move |values| (spec.noun, spec.verb, Value::Object(names.iter().cloned().zip(values).collect())))
    })
}

/// Reads a body; what is accepted is written as something that is read the same.
fn read_command(noun: &str, verb: &str, format: Format, body: &[u8]) {
    let Ok(command) = Command::read(noun, verb, format, body) else { return };
    assert_eq!(command.name(), (noun, verb));
    for format in [Format::Json, Format::MessagePack] {
        let written = command.write(format).expect("what was read can be written");
        assert_eq!(Command::read(noun, verb, format, &written).unwrap(), command, "{noun}.{verb} as {format:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_no_panic(kind in kind(), bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_commit(kind, &bytes);
    }

    #[test]
    fn changed_commits_are_no_panic(pick in any::<prop::sample::Index>(), changes in prop::collection::vec(change(), 1..4)) {
        let (kind, mut bytes) = GOLDENS[pick.index(GOLDENS.len())].clone();
        for change in changes {
            change.apply(&mut bytes);
        }
        read_commit(kind, &bytes);
    }

    #[test]
    fn any_text_parses_without_panic_and_is_written_back_unchanged(text in text()) {
        read_text::<StreamName>(&text);
        read_text::<Scope>(&text);
        read_text::<Permission>(&text);
        read_text::<PermissionPattern>(&text);
        read_text::<TenantId>(&text);
        read_text::<PrincipalId>(&text);
        read_text::<KeyId>(&text);
        read_text::<TaskId>(&text);
        read_text::<AggregateKind>(&text);
        // These have several ways to write the same value; what they write is read the same.
        if let Ok(amount) = text.parse::<NanoDollars>() {
            prop_assert_eq!(amount.to_string().parse::<NanoDollars>().unwrap(), amount);
        }
        if let Ok(limit) = text.parse::<Limit>() {
            prop_assert_eq!(limit.to_string().parse::<Limit>().unwrap(), limit);
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            prop_assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
        }
    }

    #[test]
    fn an_accepted_scope_or_stream_is_safe_in_a_subject(text in text()) {
        if let Ok(tenant) = text.parse::<TenantId>() {
            prop_assert!(tenant.as_str().len() <= ID_BYTES_MAX);
            prop_assert!(!tenant.as_str().contains(['.', '*', '>', ' ', '/', '\0']));
        }
        if let Ok(scope) = text.parse::<Scope>() {
            prop_assert!(scope.ancestors().count() <= 7);
            prop_assert!(scope.ancestors().all(|above| above.contains(&scope)));
            prop_assert!(!scope.as_str().contains(['.', '>', ' ', '\0']));
        }
    }

    #[test]
    fn any_body_is_no_panic(spec in prop::sample::select(COMMANDS), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_command(spec.noun, spec.verb, Format::Json, &bytes);
        read_command(spec.noun, spec.verb, Format::MessagePack, &bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_body_of_the_right_fields_is_no_panic((noun, verb, body) in body()) {
        read_command(noun, verb, Format::Json, &serde_json::to_vec(&body).unwrap());
        read_command(noun, verb, Format::MessagePack, &rmp_serde::to_vec_named(&body).unwrap());
    }

    #[test]
    fn a_body_with_an_unknown_field_names_it(spec in prop::sample::select(COMMANDS), field in "zz[a-z]{3,8}") {
        let body = json!({ field.as_str(): 1 });
        let read = Command::read(spec.noun, spec.verb, Format::Json, &serde_json::to_vec(&body).unwrap());
        prop_assert!(read.unwrap_err().to_string().contains(&field));
    }
}

#[test]
fn a_list_of_values_is_no_body() {
    // As a list, the fields would be taken in the order in which some build declares them.
    for (format, body) in
        [(Format::Json, b"[\"left the company\"]".to_vec()), (Format::MessagePack, vec![0x91, 0xa1, b'x'])]
    {
        let read = Command::read("tenant", "suspend", format, &body);
        assert!(read.unwrap_err().to_string().contains("named fields"), "{format:?}");
    }
    let read = Command::read("tenant", "suspend", Format::Json, b" { \"reason\": \"x\" } ");
    assert_eq!(read.unwrap().name(), ("tenant", "suspend"));
}

#[test]
fn nesting_without_end_is_an_error_and_no_overflow() {
    let open_json = "[".repeat(200_000);
    let open_msgpack = vec![0x91_u8; 200_000];
    for spec in COMMANDS {
        read_command(spec.noun, spec.verb, Format::Json, format!("{{\"zz\":{open_json}").as_bytes());
        read_command(spec.noun, spec.verb, Format::MessagePack, &open_msgpack);
    }
    for kind in AggregateKind::ALL {
        read_commit(kind, &open_msgpack);
        let (_, golden) = GOLDENS.iter().find(|(of, _)| *of == kind).unwrap();
        let place = |name: &[u8]| golden.windows(name.len()).position(|window| window == name);
        let entries = place(b"\xa7entries").unwrap() + 8;
        read_commit(kind, &[&golden[..entries], &open_msgpack].concat());
        // Contents before the type: read into a buffer, by recursion. Usage journals have no types.
        let Some(data) = place(b"\xa4type") else {
            assert_eq!(kind, AggregateKind::Usage);
            continue;
        };
        read_commit(kind, &[&golden[..data], b"\xa4data", &open_msgpack].concat());
    }
}
