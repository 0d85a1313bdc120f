//! The streams that Steward needs: made once, and verified ever after.
//!
//! The number of shards is fixed when the log is made: positions and placements rest on it. What exists is never
//! changed here; a difference is told, exactly.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use steward_events::quantity::Shard;

use crate::MESSAGE_BYTES_MAX;
use crate::api::{self, CallError};
use crate::connection::Connection;
use crate::durability::Durability;
use crate::names::{CONTENTS_STREAM, KEYS_STREAM, TIMERS_STREAM, log_stream};

/// Most consumers of one stream; without an explicit number the server refuses the 1,001st.
const CONSUMERS_MAX: u32 = 4_096;

/// How long the server remembers commit ids. What is not answered by then is found by its slot.
const DUPLICATE_WINDOW_NANOS: u64 = 120_000_000_000;

/// What an installation chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Copies of each message, on as many servers: 1, 3 or 5.
    pub replicas: u32,
    /// What an acknowledgement must survive.
    pub durability: Durability,
    /// True if the servers sync every append: so does one of our own if [`Durability::Strict`] is asked of it.
    pub syncs_always: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { replicas: 1, durability: Durability::default(), syncs_always: false }
    }
}

/// The streams are not what they must be.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// A stream exists and is another.
    #[error("the stream {stream} exists with other settings: {differences}")]
    Differs {
        /// Which.
        stream: String,
        /// Each field, what it is and what it must be.
        differences: String,
    },
    /// The log has another number of shards than configured.
    #[error("the log has {found} shards and {wanted} are configured; the number cannot change after the first start")]
    Shards {
        /// What is there.
        found: u16,
        /// What was asked for.
        wanted: u16,
    },
    /// What is asked for cannot be promised.
    #[error(
        "durability = strict needs three replicas, or servers with sync_interval: always; bus.replicas is {replicas}"
    )]
    NotDurable {
        /// Copies configured.
        replicas: u32,
    },
    /// The broker did not do it.
    #[error("the broker does not answer for {stream}")]
    Unavailable {
        /// Which stream.
        stream: String,
        /// Why.
        #[source]
        source: steward_events::BoxError,
    },
}

/// What was there already and what was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provisioned {
    /// Streams made now.
    pub made: Vec<String>,
    /// Streams found as they must be.
    pub found: Vec<String>,
}

/// Makes the streams that are missing, with a log of `shards` shards, and verifies the others.
///
/// # Errors
/// [`ProvisionError`], naming each difference.
pub async fn provision(admin: &Connection, shards: u16, options: Options) -> Result<Provisioned, ProvisionError> {
    let strict = options.durability == Durability::Strict;
    if strict && options.replicas < 3 && !options.syncs_always {
        return Err(ProvisionError::NotDurable { replicas: options.replicas });
    }
    let present = present(admin).await?;
    let logs = present.keys().filter_map(|name| name.strip_prefix("EVT_")?.parse::<u16>().ok());
    let found = u16::try_from(logs.count()).unwrap_or(u16::MAX);
    // Fewer than wanted may be a provisioning that was cut short, but only if nothing was recorded meanwhile.
    let recorded = present.iter().any(|(name, stream)| name.starts_with("EVT_") && stream.state.last_seq > 0);
    if found > shards || (recorded && found != shards) {
        return Err(ProvisionError::Shards { found, wanted: shards });
    }
    let mut done = Provisioned::default();
    for config in wanted(shards, options) {
        let name = config.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(stream) = present.get(&name) {
            verify(&name, &config, &stream.config)?;
            done.found.push(name);
        } else {
            create(admin, &name, &config).await?;
            done.made.push(name);
        }
    }
    Ok(done)
}

/// What a stream holds now: for `doctor`, and for looking at growth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// Name of the JetStream stream.
    pub name: String,
    /// How many messages.
    pub messages: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The last message's sequence.
    pub last: u64,
    /// How many consumers.
    pub consumers: u64,
    /// How many copies of each message.
    pub replicas: u64,
}

/// The states of all streams, by name.
///
/// # Errors
/// [`ProvisionError::Unavailable`].
pub async fn states(admin: &Connection) -> Result<Vec<StreamState>, ProvisionError> {
    let state = |(name, stream): (String, Present)| StreamState {
        name,
        messages: stream.state.messages,
        bytes: stream.state.bytes,
        last: stream.state.last_seq,
        consumers: stream.state.consumer_count,
        replicas: stream.config.get("num_replicas").and_then(Value::as_u64).unwrap_or_default(),
    };
    Ok(present(admin).await?.into_iter().map(state).collect())
}

#[derive(Deserialize)]
struct Present {
    config: Map<String, Value>,
    state: State,
}

#[derive(Deserialize)]
struct State {
    messages: u64,
    bytes: u64,
    last_seq: u64,
    #[serde(default)]
    consumer_count: u64,
}

#[derive(Deserialize)]
struct Listed {
    total: usize,
    #[serde(default)]
    streams: Option<Vec<Present>>,
}

async fn present(admin: &Connection) -> Result<BTreeMap<String, Present>, ProvisionError> {
    let failed =
        |source: CallError| ProvisionError::Unavailable { stream: "the streams".into(), source: source.into() };
    let mut present = BTreeMap::new();
    loop {
        let request = json!({ "offset": present.len() });
        let page: Listed = api::call(&admin.client, "$JS.API.STREAM.LIST", &request).await.map_err(failed)?;
        let streams = page.streams.unwrap_or_default();
        let ended = streams.is_empty();
        for stream in streams {
            let name = stream.config.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            present.insert(name, stream);
        }
        if ended || present.len() >= page.total {
            return Ok(present);
        }
    }
}

async fn create(admin: &Connection, name: &str, config: &Map<String, Value>) -> Result<(), ProvisionError> {
    let subject = format!("$JS.API.STREAM.CREATE.{name}");
    match api::call::<_, Created>(&admin.client, &subject, config).await {
        Ok(created) => verify(name, config, &created.config),
        Err(source) => Err(ProvisionError::Unavailable { stream: name.to_owned(), source: source.into() }),
    }
}

#[derive(Deserialize)]
struct Created {
    config: Map<String, Value>,
}

fn verify(name: &str, wanted: &Map<String, Value>, found: &Map<String, Value>) -> Result<(), ProvisionError> {
    // The server leaves out what has its zero value.
    let zero = |value: &Value| *value == json!(false) || *value == json!(0) || *value == json!([]);
    let differs = |(field, wanted): (&String, &Value)| match found.get(field) {
        Some(found) if found == wanted => None,
        None if zero(wanted) => None,
        found => Some(format!("{field} is {}, must be {wanted}", found.unwrap_or(&Value::Null))),
    };
    let differences: Vec<String> = wanted.iter().filter_map(differs).collect();
    if differences.is_empty() {
        return Ok(());
    }
    Err(ProvisionError::Differs { stream: name.to_owned(), differences: differences.join("; ") })
}

/// The configurations. Nothing in a log stream expires, is overwritten, deleted or purged.
fn wanted(shards: u16, options: Options) -> Vec<Map<String, Value>> {
    let common = json!({
        "storage": "file",
        "num_replicas": options.replicas,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "discard": "new",
        "max_consumers": CONSUMERS_MAX,
        "duplicate_window": DUPLICATE_WINDOW_NANOS,
        "allow_direct": true,
    });
    let log = |shard: u16| {
        json!({
            "name": log_stream(Shard(shard)),
            "description": "Steward's log: what happened, for ever",
            "subjects": [format!("evt.{shard:02}.>")],
            "retention": "limits",
            "max_msgs_per_subject": -1,
            "max_msg_size": MESSAGE_BYTES_MAX,
            "deny_delete": true,
            "deny_purge": true,
            "allow_rollup_hdrs": false,
            "allow_msg_ttl": false,
        })
    };
    let timers = json!({
        "name": TIMERS_STREAM,
        "description": "Steward's timers (tmr) and what has come due (due)",
        "subjects": ["tmr.>", "due.>"],
        "discard": "old",
        "retention": "workqueue",
        "max_msgs_per_subject": 1,
        "deny_delete": false,
        "deny_purge": false,
        "allow_msg_schedules": true,
    });
    let keys = json!({
        "name": KEYS_STREAM,
        "description": "Steward's data keys, wrapped by the master key; one deleted is overwritten on disk",
        "subjects": ["$KV.KEYS.>"],
        "retention": "limits",
        "max_msgs_per_subject": 1,
        "deny_delete": false,
        "deny_purge": true,
    });
    let contents = json!({
        "name": CONTENTS_STREAM,
        "description": "Steward's contents beside the log, sealed; each ends by itself",
        "subjects": ["kept.>"],
        "retention": "limits",
        "max_msgs_per_subject": 1,
        "max_msg_size": MESSAGE_BYTES_MAX,
        "deny_delete": true,
        "deny_purge": false,
        "allow_msg_ttl": true,
    });
    let all = (0..shards).map(log).chain([timers, keys, contents]);
    all.map(|own| {
        let fields = [&common, &own].into_iter().filter_map(Value::as_object).flatten();
        fields.map(|(field, value)| (field.clone(), value.clone())).collect()
    })
    .collect()
}
