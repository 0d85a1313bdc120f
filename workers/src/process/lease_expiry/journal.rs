//! Reading a usage journal to its very end.

use steward_events::quantity::Position;
use steward_events::stream::StreamName;
use steward_ports::log::{EventLog, LogError, Stored};

/// What stands in `stream` after `after`, until its leader knows of no more: a replica's answer may lack the newest.
pub(super) async fn tail(log: &dyn EventLog, stream: &StreamName, after: Position) -> Result<Vec<Stored>, LogError> {
    let mut read = log.load(stream, after).await?;
    loop {
        let last = read.last().map_or(after, |stored| stored.position);
        match log.slot(stream, last).await? {
            Some(next) => read.push(next),
            None => return Ok(read),
        }
    }
}
