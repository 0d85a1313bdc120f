//! The checkpoints of an export and those kept outside it, reduced to what the commits have to meet.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use steward_events::BoxError;
use steward_events::digest::TreeHash;
use steward_events::id::TenantId;
use steward_events::quantity::Position;
use steward_queries::SignedCheckpoint;
use steward_tlog::note::NOTE_BYTES_MAX;
use steward_tlog::{Checkpoint, Note, VerifierKey};

use super::finding::{Findings, What};
use super::{CHECKPOINT, CHECKPOINTS, read_bounded};

/// The longest line of the file of checkpoints.
const LINE_BYTES_MAX: u64 = 2 * NOTE_BYTES_MAX as u64;

/// A root that the commits have to meet at some size.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) root: TreeHash,
    /// Where the last of them is said to stand.
    pub(super) position: Option<Position>,
    /// It comes from outside.
    pub(super) outside: bool,
}

/// What was signed.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    /// By size of the tree.
    pub(super) expected: BTreeMap<u64, Vec<Expected>>,
    /// The keys that count: those demanded, or else those that the export brings along.
    pub(super) keys: Vec<VerifierKey>,
    /// Of these, the ones that have signed something.
    pub(super) used: Vec<VerifierKey>,
    /// The newest checkpoint within: its size and note.
    pub(super) newest: Option<(u64, String)>,
    /// How many there are within.
    pub(super) count: u64,
}

impl Signatures {
    /// Reads all checkpoints in `folder` and those from `outside`.
    ///
    /// # Errors
    /// If the disk fails.
    pub(super) fn read(
        folder: &Path,
        tenant: &TenantId,
        demanded: &[VerifierKey],
        outside: &[String],
        findings: &mut Findings,
    ) -> Result<Self, BoxError> {
        let mut all = Self { keys: demanded.to_vec(), ..Self::default() };
        all.read_within(folder, tenant, demanded.is_empty(), findings)?;
        for note in outside {
            match all.verified(note, tenant) {
                Ok(state) => all.expect(state.size, Expected { root: state.root, position: None, outside: true }),
                Err(error) => {
                    findings.add(What::WrongSignature, None, None, format!("the checkpoint from outside: {error}"));
                }
            }
        }
        let beside = match read_bounded(&folder.join(CHECKPOINT), NOTE_BYTES_MAX as u64) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(format!("{CHECKPOINT}: {error}").into()),
        };
        if beside.as_deref() != all.newest.as_ref().map(|(_, note)| note.as_bytes()) {
            let reason = format!("the file {CHECKPOINT} is not the newest of {CHECKPOINTS}");
            findings.add(What::WrongSignature, None, None, reason);
        }
        Ok(all)
    }

    fn read_within(
        &mut self,
        folder: &Path,
        tenant: &TenantId,
        trusting: bool,
        findings: &mut Findings,
    ) -> Result<(), BoxError> {
        let file = match File::open(folder.join(CHECKPOINTS)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                findings.add(What::WrongSignature, None, None, format!("there is no file {CHECKPOINTS}"));
                return Ok(());
            }
            Err(error) => return Err(format!("{CHECKPOINTS}: {error}").into()),
        };
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            if lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let at = |reason: &dyn std::fmt::Display| format!("{CHECKPOINTS}, line {number}: {reason}");
            let signed: SignedCheckpoint = match serde_json::from_slice(&line) {
                Ok(signed) => signed,
                Err(error) => {
                    findings.add(What::WrongSignature, None, None, at(&error));
                    if line.last() != Some(&b'\n') {
                        break; // of a line without an end the rest would be read as lines of its own
                    }
                    continue;
                }
            };
            if trusting
                && let Ok(key) = signed.key.parse()
                && !self.keys.contains(&key)
            {
                self.keys.push(key);
            }
            self.take(signed, tenant, &at, findings);
        }
        Ok(())
    }

    /// Counts one signed checkpoint, or says what is wrong with the line.
    fn take(
        &mut self,
        signed: SignedCheckpoint,
        tenant: &TenantId,
        at: &dyn Fn(&dyn std::fmt::Display) -> String,
        findings: &mut Findings,
    ) {
        let position = Some(signed.position);
        let state = match self.verified(&signed.note, tenant) {
            Ok(state) if (state.size, state.root) == (signed.size, signed.root) => state,
            Ok(_) => {
                return findings.add(What::WrongSignature, None, position, at(&"the signed note says something else"));
            }
            Err(error) => return findings.add(What::WrongSignature, None, position, at(&error)),
        };
        self.count += 1;
        if self.newest.as_ref().is_some_and(|(size, _)| *size >= state.size) {
            let reason = at(&"the checkpoint is not larger than the one before it");
            return findings.add(What::WrongSignature, None, position, reason);
        }
        self.expect(state.size, Expected { root: state.root, position, outside: false });
        self.newest = Some((state.size, signed.note));
    }

    fn expect(&mut self, size: u64, expected: Expected) {
        self.expected.entry(size).or_default().push(expected);
    }

    /// What `note` says, if a key that counts has signed it and it is about this tenant.
    fn verified(&mut self, note: &str, tenant: &TenantId) -> Result<Checkpoint, BoxError> {
        let note: Note = note.parse()?;
        let state = Checkpoint::read(&note)?;
        if state.origin.rsplit_once('/').is_none_or(|(_, last)| last != tenant.as_str()) {
            return Err(format!("the checkpoint is about {}, not about {tenant}", state.origin).into());
        }
        let mut last = None;
        for key in self.keys.iter().filter(|key| key.name() == state.origin) {
            match key.verify(&note) {
                Ok(()) => {
                    if !self.used.contains(key) {
                        self.used.push(key.clone());
                    }
                    return Ok(state);
                }
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) => Err(error.into()),
            None => Err(format!("none of the trusted keys is called {}", state.origin).into()),
        }
    }
}
