//! What files hold: bytes of any length, written and read in parts, so that no more than a part of a file is in memory.
//!
//! Which files there are, and who may read them, is decided elsewhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream};
use steward_events::digest::BodyHash;
use steward_events::id::{CorrelationId, FileId, TenantId};
use steward_events::quantity::Shard;
use steward_ports::contents::{Before, ContentName};

use super::{Contents, TenantContents};
use crate::error::Error;

/// The bytes of one part. It never changes: how many parts a file has follows from its length.
pub const FILE_PART_BYTES: usize = 256 * 1024;

/// What a file holds is kept a little longer than is said, so that it does not end before what is recorded of it.
const SLACK: Duration = Duration::from_mins(60);

/// The kind of contents that files are.
const KIND: &str = "file";

/// What the files of all tenants hold.
#[derive(Clone)]
pub struct Files(pub(crate) Arc<Contents>);

/// What the files of one tenant hold. Cheap to clone.
#[derive(Clone)]
pub struct TenantFiles(TenantContents);

/// A file that is being written.
pub struct FileWriter {
    files: TenantFiles,
    file: FileId,
    kept_for: Duration,
    pending: BytesMut,
    parts: u32,
    bytes: u64,
    hasher: blake3::Hasher,
}

/// A file that was written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// How long it is.
    pub bytes: u64,
    /// Which bytes it holds: a digest that says nothing without the tenant's key.
    pub digest: BodyHash,
}

impl Files {
    /// Those of `tenant`, which lies in `shard`; for a request of the chain `correlation`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the key that seals them cannot be had.
    pub async fn of(&self, tenant: &TenantId, shard: Shard, correlation: &CorrelationId) -> Result<TenantFiles, Error> {
        self.0.of(tenant, shard, correlation).await.map(TenantFiles)
    }
}

impl TenantFiles {
    /// Begins to write `file`, which is kept for so long. Whoever drops the writer leaves parts that end by themselves.
    pub fn write(&self, file: FileId, kept_for: Duration) -> FileWriter {
        let (files, pending) = (self.clone(), BytesMut::new());
        FileWriter { files, file, kept_for, pending, parts: 0, bytes: 0, hasher: blake3::Hasher::new() }
    }

    /// The part with this number, from 0; none if it has ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn part(&self, file: &FileId, number: u32) -> Result<Option<Bytes>, Error> {
        Ok(self.0.read(&self.name(file, number)?).await?.map(|(bytes, _)| bytes))
    }

    /// The parts of a file of this length after the first one, in order.
    pub fn rest(&self, file: FileId, bytes: u64) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        let (files, parts) = (self.clone(), parts(bytes));
        stream::try_unfold(1, move |number| {
            let (files, file) = (files.clone(), file.clone());
            async move {
                if number >= parts {
                    return Ok(None);
                }
                let part = files.part(&file, number).await?;
                let part = part.ok_or_else(|| Error::Unavailable(format!("file {file} has ended")))?;
                Ok(Some((part, number + 1)))
            }
        })
    }

    /// Keeps a file of this length for so long from now on, and no longer.
    ///
    /// # Errors
    /// [`Error::Unavailable`], also if it has ended meanwhile.
    pub async fn keep_for(&self, file: &FileId, bytes: u64, kept_for: Duration) -> Result<(), Error> {
        for number in 0..parts(bytes) {
            let name = self.name(file, number)?;
            let (part, _) = self.0.read(&name).await?.ok_or_else(|| self.0.unavailable(&"a part has ended"))?;
            self.0.write(&name, &part, kept_for + SLACK, Before::Anything).await?;
        }
        Ok(())
    }

    /// Removes what a file holds.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: what is left ends by itself.
    pub async fn remove(&self, file: &FileId) -> Result<(), Error> {
        let mut number = 0;
        while self.part(file, number).await?.is_some() {
            let removed = self.0.store.remove(&self.name(file, number)?).await;
            removed.map_err(|error| self.0.unavailable(&error))?;
            number += 1;
        }
        Ok(())
    }

    fn name(&self, file: &FileId, number: u32) -> Result<ContentName, Error> {
        Ok(self.0.name(KIND, file.as_str())?.part(number))
    }
}

/// How many parts a file of this length has: an empty one has one, so that it is there.
fn parts(bytes: u64) -> u32 {
    let parts = bytes.div_ceil(FILE_PART_BYTES as u64).max(1);
    u32::try_from(parts).unwrap_or(u32::MAX)
}

impl FileWriter {
    /// How many bytes have come.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes in what comes next.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn push(&mut self, mut piece: Bytes) -> Result<(), Error> {
        self.bytes += piece.len() as u64;
        self.hasher.update(&piece);
        while !piece.is_empty() {
            let room = FILE_PART_BYTES - self.pending.len();
            let taken = piece.split_to(room.min(piece.len()));
            self.pending.extend_from_slice(&taken);
            if self.pending.len() == FILE_PART_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Writes what is left. When it returns, all of it is kept.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn finish(mut self) -> Result<Written, Error> {
        if !self.pending.is_empty() || self.parts == 0 {
            self.flush().await?;
        }
        let digest = self.files.0.key.digest(self.hasher.finalize().as_bytes());
        Ok(Written { bytes: self.bytes, digest })
    }

    /// Removes what was written, for a file that is not wanted after all.
    pub async fn discard(self) {
        // If that fails, why is in the log of this process; what is left ends by itself.
        _ = self.files.remove(&self.file).await;
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let (contents, name) = (&self.files.0, self.files.name(&self.file, self.parts)?);
        contents.write(&name, &self.pending, self.kept_for + SLACK, Before::Anything).await?;
        self.pending.clear();
        self.parts += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use steward_events::sealed::DataKey;
    use steward_ports::clock::SystemClock;
    use steward_ports::contents::MemoryContents;

    use super::super::Tally;
    use super::*;

    fn files() -> TenantFiles {
        let store = Arc::new(MemoryContents::new(Arc::new(SystemClock::default())));
        let (tenant, key) = ("acme".parse().unwrap(), DataKey::random().unwrap());
        let tally = Arc::new(Tally::new(Arc::new(SystemClock::default()), 1));
        TenantFiles(TenantContents { store, tenant, key, tally })
    }

    fn file() -> FileId {
        "file-1".parse().unwrap()
    }

    async fn read(files: &TenantFiles, bytes: u64) -> Option<Vec<u8>> {
        use futures::StreamExt;
        let mut whole = files.part(&file(), 0).await.unwrap()?.to_vec();
        let mut rest = Box::pin(files.rest(file(), bytes));
        while let Some(part) = rest.next().await {
            whole.extend_from_slice(&part.unwrap());
        }
        Some(whole)
    }

    #[tokio::test]
    async fn a_file_of_any_length_is_read_as_it_was_written() {
        for length in [0, 1, 4, FILE_PART_BYTES - 1, FILE_PART_BYTES, FILE_PART_BYTES + 1, 3 * FILE_PART_BYTES + 4] {
            let files = files();
            let whole: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut writer = files.write(file(), Duration::from_secs(60));
            for piece in whole.chunks(100_003) {
                writer.push(Bytes::copy_from_slice(piece)).await.unwrap();
            }
            let written = writer.finish().await.unwrap();
            assert_eq!(written.bytes, length as u64);
            assert_eq!(read(&files, written.bytes).await, Some(whole.clone()), "{length}");
            files.keep_for(&file(), written.bytes, Duration::from_secs(9)).await.unwrap();
            assert_eq!(read(&files, written.bytes).await, Some(whole), "{length}");
            files.remove(&file()).await.unwrap();
            for number in 0..=parts(written.bytes) {
                assert_eq!(files.part(&file(), number).await.unwrap(), None, "{length}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_discarded_is_gone() {
        let files = files();
        let mut writer = files.write(file(), Duration::from_secs(60));
        writer.push(Bytes::from(vec![7; 2 * FILE_PART_BYTES + 9])).await.unwrap();
        writer.discard().await;
        for number in 0..3 {
            assert_eq!(files.part(&file(), number).await.unwrap(), None, "{number}");
        }
    }
}
