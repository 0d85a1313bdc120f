//! The end of a stream: what its next commit must carry, and how to read up to it.

use steward_events::commit::{Commit, Entry};
use steward_events::digest::CommitHash;
use steward_events::id::CommitId;
use steward_events::quantity::{Position, Version};
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;

use crate::append::Appended;
use crate::log::{EventLog, LogError, Stored};

/// The end of one stream, as far as it is known. The default is that of a stream without commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamEnd {
    /// Where the last commit is; an append expects it there.
    pub position: Position,
    /// The last commit's number.
    pub version: Version,
    /// The last commit's hash.
    pub hash: CommitHash,
    /// When the last entry was decided: time never goes back in a stream.
    pub at: Timestamp,
}

impl StreamEnd {
    /// True if `commit` is the next one.
    pub fn is_followed_by(&self, commit: &Commit) -> bool {
        commit.version == self.version.next() && commit.prev == self.hash
    }

    /// Moves on to `commit`, which is recorded.
    pub fn advance(&mut self, commit: &Commit, appended: Appended) {
        self.position = appended.position;
        self.version = commit.version;
        self.hash = appended.hash;
        self.at = commit.entries.iter().map(|entry| entry.at).fold(self.at, Timestamp::max);
    }

    /// The commit that follows, with these entries.
    pub fn next(&self, id: CommitId, stream: StreamName, entries: Vec<Entry>) -> Commit {
        Commit { id, stream, version: self.version.next(), prev: self.hash, entries }
    }
}

impl From<&Stored> for Appended {
    fn from(stored: &Stored) -> Self {
        Self { position: stored.position, hash: CommitHash::of(&stored.bytes) }
    }
}

/// The commits of `stream` after `after`, until its leader knows of no more: a replica's answer may lack the newest.
///
/// # Errors
/// [`LogError`] if the log cannot be read.
pub async fn read_to_end(log: &dyn EventLog, stream: &StreamName, after: Position) -> Result<Vec<Stored>, LogError> {
    let mut read = log.load(stream, after).await?;
    loop {
        let last = read.last().map_or(after, |stored| stored.position);
        match log.slot(stream, last).await? {
            Some(next) => read.push(next),
            None => return Ok(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_events::event::AggregateKind;
    use steward_events::id::{StreamId, TenantId};
    use steward_events::quantity::Shard;

    use super::*;
    use crate::append::append;
    use crate::log::memory::MemoryLog;
    use crate::testing;

    #[tokio::test]
    async fn a_writer_and_a_reader_know_the_same_end() {
        let (tenant, kind) = (TenantId::new("acme").unwrap(), AggregateKind::Tenant);
        let stream = StreamName { shard: Shard(0), tenant, kind, id: StreamId::main() };
        let log = MemoryLog::default();
        let mut written = StreamEnd::default();
        for number in 1..=3 {
            let Commit { id, entries, .. } = testing::commit(&stream, number, CommitHash::default(), "late");
            let commit = written.next(id, stream.clone(), entries);
            assert!(written.is_followed_by(&commit));
            let appended = append(&log, written.position, &commit).await.unwrap();
            written.advance(&commit, appended);
            assert!(!written.is_followed_by(&commit));
        }
        let mut read = StreamEnd::default();
        for stored in read_to_end(&log, &stream, read.position).await.unwrap() {
            let commit = Commit::decode(&stream, &stored.bytes).unwrap();
            assert!(read.is_followed_by(&commit));
            read.advance(&commit, (&stored).into());
        }
        assert_eq!(read, written);
        assert_eq!(read.at, Timestamp(3_000_000));
        assert!(read_to_end(&log, &stream, read.position).await.unwrap().is_empty());
    }
}
