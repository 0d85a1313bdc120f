//! A tenant's history made for tests of exports: commits in several streams, checkpoints, and whatever is done to them.

#![allow(dead_code, unreachable_pub)] // a module of several tests, each of which uses a part

use std::path::Path;
use std::sync::Arc;

use steward_events::digest::CommitHash;
use steward_events::digest::TreeHash;
use steward_events::event::AggregateKind;
use steward_events::quantity::{Position, Shard};
use steward_events::timestamp::Timestamp;
use steward_ports::clock::SystemClock;
use steward_ports::log::memory::MemoryLog;
use steward_projectors::export::{self, Demands, Report, Writer};
use steward_queries::SignedCheckpoint;
use steward_tlog::{Checkpoint, Frontier, SigningKey, VerifierKey, leaf, origin};

use crate::events::{self, Dice, finished, stream, tenant};

/// The installation's name in checkpoints.
pub const NAME: &str = "steward.example";

/// One commit as an export has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub position: Position,
    pub subject: String,
    pub bytes: Vec<u8>,
}

/// Commits and what is signed of them.
#[derive(Clone)]
pub struct History {
    pub entries: Vec<Entry>,
    pub signed: Vec<SignedCheckpoint>,
}

pub fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

pub fn verifier(key: &SigningKey) -> VerifierKey {
    key.verifier(&origin(NAME, &tenant("acme"))).unwrap()
}

impl History {
    /// `count` commits in three streams, drawn from `seed`; positions have gaps, as where tenants share a shard.
    pub fn of(count: usize, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut writer = events::Writer::new(Arc::new(MemoryLog::new(1, Arc::new(SystemClock::default()))));
        let mut position = 0;
        let mut entries = Vec::new();
        for _ in 0..count {
            position += 1 + dice.below(3);
            let id = dice.pick(&["gw1-a", "gw1-b", "gw2-a"]);
            let stream = stream(0, "acme", AggregateKind::Usage, id);
            let bytes = writer.note_down(&stream, vec![finished("acme", &mut dice).into()]);
            entries.push(Entry { position: Position(position), subject: stream.to_string(), bytes });
        }
        Self { entries, signed: Vec::new() }
    }

    /// The same, signed at these sizes.
    pub fn signed(mut self, sizes: &[usize], key: &SigningKey) -> Self {
        self.signed = sizes.iter().map(|size| self.sign(*size, key)).collect();
        self
    }

    pub fn root(&self, size: usize) -> TreeHash {
        let mut tree = Frontier::default();
        for entry in &self.entries[..size] {
            tree.push(TreeHash::leaf(&leaf(entry.position, &CommitHash::of(&entry.bytes))));
        }
        tree.root()
    }

    fn sign(&self, size: usize, key: &SigningKey) -> SignedCheckpoint {
        let origin = origin(NAME, &tenant("acme"));
        let state = Checkpoint { origin: origin.clone(), size: size as u64, root: self.root(size) };
        SignedCheckpoint {
            size: state.size,
            root: state.root,
            position: self.entries[size - 1].position,
            at: Timestamp(1),
            note: key.sign(&state.text(), &origin).unwrap().to_string(),
            key: verifier(key).to_string(),
        }
    }

    /// Writes it as an honest exporter would.
    pub fn export(&self, folder: &Path) {
        let mut writer = Writer::create(folder).unwrap();
        for signed in &self.signed {
            writer.checkpoint(signed.clone()).unwrap();
        }
        for Entry { position, subject, bytes } in &self.entries {
            writer.commit(*position, subject, bytes).unwrap();
        }
        writer.finish(&tenant("acme"), Shard(0), Timestamp(2)).unwrap();
    }

    /// Only the commits of an export are replaced by these, as somebody would who changes the file.
    pub fn put_commits(&self, folder: &Path) {
        let mut file = export::records::FIRST_LINE.to_vec();
        for Entry { position, subject, bytes } in &self.entries {
            export::records::write(&mut file, *position, subject, bytes).unwrap();
        }
        std::fs::write(folder.join(export::COMMITS), file).unwrap();
    }
}

/// Checks with the key that signs.
pub fn check(folder: &Path) -> Report {
    check_with(folder, &Demands { keys: vec![verifier(&key())], ..Demands::default() })
}

pub fn check_with(folder: &Path, demands: &Demands) -> Report {
    export::check(folder, demands, |_| {}).unwrap()
}
