//! What a projector is: a named, versioned fold of some kinds of events into rows.

use serde::{Serialize, de::DeserializeOwned};

use steward_events::commit::{DecodeError, Recorded};
use steward_events::event::AggregateKind;
use steward_ports::log::Stored;

use crate::engine::rows::Rows;

/// A fold: no clock, no input or output but its rows. The same events in the same order give the same rows, byte for
/// byte, however they came in batches and how often the process died between them.
pub trait Projector: Send + Sync + 'static {
    /// Its name with its version, e.g. `cost-report-v1`. Other rows from the same events are another version: built
    /// beside the old one.
    const NAME: &'static str;
    /// Names of its older versions: their rows are dropped when this one has caught up.
    const REPLACES: &'static [&'static str] = &[];
    /// The kinds of events that it reads.
    const READS: &'static [AggregateKind];
    /// What it keeps under a key.
    type Row: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The most rows that each fold keeps in memory between batches, if less than the configuration says.
    const ROWS_HELD_MAX: usize = usize::MAX;

    /// Takes in one commit as it is stored: the events of the kinds that it reads. A fold of the bytes themselves does
    /// more, and reads only what it must.
    ///
    /// # Errors
    /// [`DecodeError`]: this build cannot read it, and stops.
    fn take(stored: &Stored, rows: &mut Rows<Self::Row>) -> Result<(), DecodeError> {
        if Self::READS.contains(&stored.stream.kind) {
            for recorded in stored.commit()?.recorded(stored.position) {
                Self::apply(&recorded, rows);
            }
        }
        Ok(())
    }

    /// Takes in one event of the kinds that it reads. Total: what has happened cannot be refused.
    fn apply(recorded: &Recorded<'_>, rows: &mut Rows<Self::Row>);
}

/// Says which kinds of events a projector reads and which function takes in each, so that the two cannot differ. The
/// functions match all events of their kind, without a wildcard: a new event of a kind asks every reader of that kind.
/// Which view reads which kind stands in `tests/reads.txt`, so a new kind asks every view.
macro_rules! reads {
    ($($kind:ident => $fold:path),+ $(,)?) => {
        const READS: &'static [steward_events::event::AggregateKind] =
            &[$(steward_events::event::AggregateKind::$kind),+];

        fn apply(recorded: &steward_events::commit::Recorded<'_>, rows: &mut $crate::engine::rows::Rows<Self::Row>) {
            match recorded.event {
                $(steward_events::event::Event::$kind(event) => $fold(event, recorded, rows),)+
                // The runner takes no commit of another kind.
                _ => {}
            }
        }
    };
}

pub(crate) use reads;
