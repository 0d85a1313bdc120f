//! Reads the log itself up to where it ended when the reading began: for history, checks and moments of the past.

use std::time::Duration;

use futures::StreamExt;

use steward_events::quantity::Position;
use steward_ports::log::{EventLog, Filter, LogError, Stored};

use super::places;

/// The log did not come to its end in time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It takes too long.
    #[error("the log could not be read within {0:?}")]
    TooLong(Duration),
}

/// Calls `each` with every commit that matches after `after`, until the end as of now or until it says `false`.
///
/// # Errors
/// If the log cannot be read, or not within `time_max`.
pub async fn each(
    log: &dyn EventLog,
    filter: &Filter,
    after: Position,
    time_max: Duration,
    each: impl FnMut(Stored) -> bool + Send,
) -> Result<(), Error> {
    let _place = places::take().await;
    let read = until_end(log, filter, after, each);
    tokio::time::timeout(time_max, read).await.map_err(|_| Error::TooLong(time_max))?.map_err(Error::Log)
}

async fn until_end(
    log: &dyn EventLog,
    filter: &Filter,
    after: Position,
    mut each: impl FnMut(Stored) -> bool + Send,
) -> Result<(), LogError> {
    let end = log.last(filter).await?;
    if end <= after {
        return Ok(());
    }
    let mut stream = log.follow(filter, after).await?;
    while let Some(stored) = stream.next().await {
        let stored = stored?;
        let position = stored.position;
        if position > end || !each(stored) || position == end {
            return Ok(());
        }
    }
    Err(LogError::Unavailable("the log ended its stream".into()))
}
