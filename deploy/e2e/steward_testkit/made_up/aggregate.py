"""One more aggregate, `Memo`: docs/CONTRIBUTING.md names its places."""

from steward_testkit.source_tree import Growth

# A file of events, a file of commands, a file that decides, each with its `mod` line, and one line in THE LIST.
PLACES = ("events/src/", "events/tests/wire/", "aggregates/src/", "workers/tests/")


def grow(it: Growth):
    it.before("events/src/aggregate.rs", "/// Signed states of the tenants' trees", "/// What people leave for each other.\nmemo: Memo, MemoEvent, MemoCommand;")
    it.create("events/src/event/memo.rs", EVENTS)
    it.after("events/src/event.rs", "mod ledger;", "mod memo;")
    it.before("events/src/event.rs", "pub use registry::RegistryEvent;", "pub use memo::MemoEvent;")
    it.create("events/src/command/memo.rs", COMMANDS)
    it.after("events/src/command.rs", "mod ledger;", "mod memo;")
    it.before("events/src/command.rs", "pub use registry::{", "pub use memo::{MemoCommand, WriteMemo};")
    it.create("aggregates/src/memo.rs", DECIDER)
    it.before("aggregates/src/lib.rs", "pub mod registry;", "pub mod memo;")
    it.before(
        "events/tests/wire/examples.rs",
        'Event::Checkpoint(CheckpointEvent::Requested) => "checkpoint.requested":',
        """
Event::Memo(MemoEvent::Written { .. }) => "memo.written":
    MemoEvent::Written { text: "back at ten".to_owned() };
""",
    )
    it.before("workers/tests/", "AggregateKind::Checkpoint => &[", "AggregateKind::Memo => &[],")


EVENTS = '''//! What people leave for each other.

use serde::{Deserialize, Serialize};

use crate::quantity::SchemaVersion;

/// Events of the memo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum MemoEvent {
    /// It says this now.
    Written {
        /// What.
        text: String,
    },
}

impl MemoEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(1);
}
'''

COMMANDS = '''//! Commands about memos.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;

commands! {
    MemoCommand of Memo {
        "memo" "write" => WriteMemo, Callers, "Write the memo";
    }
}

/// Says what the memo says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteMemo {
    /// What.
    pub text: String,
}

impl Body for WriteMemo {}
'''

DECIDER = '''//! Guards one rule: the memo is not empty.

use steward_events::command::MemoCommand;
use steward_events::event::MemoEvent;
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};

/// A tenant's memo.
#[derive(Clone, Debug, Default)]
pub struct Memo {
    text: String,
}

impl Aggregate for Memo {
    type Command = MemoCommand;
    type Event = MemoEvent;

    fn decide(&self, command: &MemoCommand, _: &Stamp) -> Result<Vec<MemoEvent>, Rejection> {
        let MemoCommand::WriteMemo(write) = command;
        match write.text.as_str() {
            "" => Err(Rejection::invalid("text", "is empty")),
            text if text == self.text => Ok(vec![]),
            text => Ok(vec![MemoEvent::Written { text: text.to_owned() }]),
        }
    }

    fn apply(&mut self, event: &MemoEvent, _: Timestamp) {
        let MemoEvent::Written { text } = event;
        self.text.clone_from(text);
    }
}
'''
