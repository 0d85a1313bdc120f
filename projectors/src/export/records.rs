//! The file of commits: a first line, then a record each: position (8 bytes), length of the subject (2), subject,
//! length of the commit (4), commit as stored. Numbers are big-endian.

use std::io::{self, Read, Write};

use steward_events::commit::COMMIT_BYTES_MAX;
use steward_events::quantity::Position;

/// The first line of the file.
pub const FIRST_LINE: &[u8] = b"steward-commits-1\n";

/// The longest subject.
pub const SUBJECT_BYTES_MAX: usize = 512;

/// One commit as it stands in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where it stands in its shard.
    pub position: Position,
    /// Its stream.
    pub subject: String,
    /// Its bytes as stored.
    pub bytes: Vec<u8>,
}

/// The file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk's word.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are no records.
    #[error("after {after} commits, at byte {at}: {reason}")]
    Damaged {
        /// How many records were read before.
        after: u64,
        /// Where the record begins.
        at: u64,
        /// What is wrong.
        reason: String,
    },
}

/// Writes a record.
///
/// # Errors
/// If the file cannot be written, or subject or commit are larger than they may be.
pub fn write(file: &mut impl Write, position: Position, subject: &str, bytes: &[u8]) -> io::Result<()> {
    let too_large = || io::Error::other("a commit is larger than any commit may be");
    let subject_length = u16::try_from(subject.len()).ok().filter(|_| subject.len() <= SUBJECT_BYTES_MAX);
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= COMMIT_BYTES_MAX);
    file.write_all(&position.0.to_be_bytes())?;
    file.write_all(&subject_length.ok_or_else(too_large)?.to_be_bytes())?;
    file.write_all(subject.as_bytes())?;
    file.write_all(&length.ok_or_else(too_large)?.to_be_bytes())?;
    file.write_all(bytes)
}

/// Reads records one by one, never holding more than one.
pub struct Records<R> {
    file: R,
    count: u64,
    at: u64,
}

impl<R: Read> Records<R> {
    /// Begins with the first line.
    ///
    /// # Errors
    /// [`Error`] if it is not there.
    pub fn begin(mut file: R) -> Result<Self, Error> {
        let mut line = [0; FIRST_LINE.len()];
        let read = fill(&mut file, &mut line)?;
        if line.get(..read) != Some(FIRST_LINE) {
            let reason = "the file does not begin like a file of commits".to_owned();
            return Err(Error::Damaged { after: 0, at: 0, reason });
        }
        Ok(Self { file, count: 0, at: FIRST_LINE.len() as u64 })
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// [`Error`]: there is nothing to be read after it.
    pub fn read(&mut self) -> Result<Option<Record>, Error> {
        let mut head = [0; 10];
        match fill(&mut self.file, &mut head)? {
            0 => return Ok(None),
            10 => {}
            _ => return Err(self.damaged("the file ends within a record")),
        }
        let (position, length) = head.split_at(8);
        let position = Position(u64::from_be_bytes(position.try_into().unwrap_or_default()));
        let length = usize::from(u16::from_be_bytes(length.try_into().unwrap_or_default()));
        let subject = self.bytes(length, SUBJECT_BYTES_MAX, "a subject")?;
        let subject = String::from_utf8(subject).map_err(|_| self.damaged("a subject is not text"))?;
        let mut length = [0; 4];
        if fill(&mut self.file, &mut length)? != 4 {
            return Err(self.damaged("the file ends within a record"));
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let bytes = self.bytes(length, COMMIT_BYTES_MAX, "a commit")?;
        self.at += (14 + subject.len() + bytes.len()) as u64;
        self.count += 1;
        Ok(Some(Record { position, subject, bytes }))
    }

    fn bytes(&mut self, length: usize, bytes_max: usize, what: &str) -> Result<Vec<u8>, Error> {
        if length > bytes_max {
            return Err(self.damaged(&format!("{what} of {length} bytes; at most {bytes_max} are possible")));
        }
        let mut bytes = vec![0; length];
        if fill(&mut self.file, &mut bytes)? != length {
            return Err(self.damaged("the file ends within a record"));
        }
        Ok(bytes)
    }

    fn damaged(&self, reason: &str) -> Error {
        Error::Damaged { after: self.count, at: self.at, reason: reason.to_owned() }
    }
}

/// As much of `buffer` as the file has.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<Record>, Error> {
        let mut records = Records::begin(bytes)?;
        let mut all = Vec::new();
        while let Some(record) = records.read()? {
            all.push(record);
        }
        assert_eq!(records.at, bytes.len() as u64);
        Ok(all)
    }

    #[test]
    fn what_is_written_is_read() {
        let mut file = FIRST_LINE.to_vec();
        write(&mut file, Position(7), "evt.00.acme.ledger.main", b"abc").unwrap();
        write(&mut file, Position(9), "evt.00.acme.task.t_1", &[0; 300]).unwrap();
        let all = read(&file).unwrap();
        assert_eq!(
            all[0],
            Record { position: Position(7), subject: "evt.00.acme.ledger.main".into(), bytes: b"abc".into() }
        );
        assert_eq!((all.len(), all[1].bytes.len()), (2, 300));
        for cut in FIRST_LINE.len() + 1..file.len() {
            let whole = cut == FIRST_LINE.len() + 14 + 23 + 3;
            assert_eq!(read(&file[..cut]).is_ok(), whole, "cut at {cut}");
        }
        assert!(write(&mut file, Position(1), &"a".repeat(SUBJECT_BYTES_MAX + 1), b"").is_err());
        assert!(write(&mut file, Position(1), "a", &vec![0; COMMIT_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn a_huge_length_is_damage_and_takes_no_memory() {
        let mut file = FIRST_LINE.to_vec();
        file.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b'a', 0xff, 0xff, 0xff, 0xff, 1]);
        let error = read(&file).unwrap_err().to_string();
        assert!(error.contains("4294967295 bytes") && error.contains("at byte 18"), "{error}");
    }
}
