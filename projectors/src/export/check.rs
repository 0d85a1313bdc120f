//! Checks an export offline: every chain, the whole tree, what was signed of it within and outside.
//!
//! What is in the folder is hostile. Commits are read one by one; of the tree only the right edge is held.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Serialize;
use steward_events::BoxError;
use steward_events::commit::Commit;
use steward_events::digest::CommitHash;
use steward_events::digest::TreeHash;
use steward_events::id::TenantId;
use steward_events::quantity::{Position, Shard};
use steward_events::stream::StreamName;
use steward_queries::InclusionProof;
use steward_tlog::{Frontier, VerifierKey, leaf, proof};

use super::finding::{Finding, Findings, What};
use super::records::{Error, Record, Records};
use super::signatures::{Expected, Signatures};
use super::tiles::{Files, Tiles};
use super::{COMMITS, Manifest};
use crate::chains::Chains;

/// What the check is to hold the export against.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// Keys of which one must have signed every checkpoint. Without one the export's own are taken, and then a history
    /// that was signed anew by somebody else passes: the report says which were met.
    pub keys: Vec<VerifierKey>,
    /// Checkpoints kept outside, as signed notes.
    pub outside: Vec<String>,
    /// A commit to be proven.
    pub commit: Option<Wanted>,
}

/// Which commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// By its place in the shard.
    Position(Position),
    /// By its own id, or the BLAKE3 of its bytes as hex.
    Name(String),
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// True if nothing is wrong.
    pub ok: bool,
    /// Whose history.
    pub tenant: TenantId,
    /// Commits read.
    pub commits: u64,
    /// Streams, each one hash chain.
    pub chains: u64,
    /// The root of the tree over all commits.
    pub root: TreeHash,
    /// How many commits the newest checkpoint covers whose root they have; 0 if there is none.
    pub signed: u64,
    /// How many checkpoints were met.
    pub checkpoints: u64,
    /// Commits after the newest checkpoint: their chains are whole, and nothing vouches that they are all.
    pub unsigned: u64,
    /// The keys that have signed.
    pub keys: Vec<String>,
    /// True if these were demanded; false if the export itself brought them.
    pub keys_demanded: bool,
    /// How many checkpoints from outside were met.
    pub outside: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// How many more findings there were than are listed.
    pub findings_more: u64,
    /// The proof that was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<InclusionProof>,
}

/// Checks the export in `folder`; `progress` hears how many commits have been read.
///
/// # Errors
/// If the folder is no export or the disk fails. What is wrong with an export is no error but a finding.
pub fn check(folder: &Path, demands: &Demands, mut progress: impl FnMut(u64)) -> Result<Report, BoxError> {
    let manifest = Manifest::read(folder)?;
    let mut findings = Findings::default();
    let signatures = Signatures::read(folder, &manifest.tenant, &demands.keys, &demands.outside, &mut findings)?;
    let newest = signatures.newest.as_ref().map_or(0, |(size, _)| *size);
    let mut reading = Reading {
        manifest: &manifest,
        wanted: demands.commit.as_ref(),
        tiles: Tiles::new(folder, newest),
        findings,
        chains: Chains::default(),
        tree: Frontier::default(),
        last: Position(0),
        signed: 0,
        checkpoints: 0,
        outside: 0,
        met: None,
    };
    let file = File::open(folder.join(COMMITS)).map_err(|error| format!("{COMMITS}: {error}"))?;
    reading.commits(BufReader::new(file), &signatures, &mut progress)?;
    reading.after(&signatures);
    let proof = reading.prove(folder, &signatures);
    let Reading { findings, chains, tree, signed, checkpoints, outside, .. } = reading;
    Ok(Report {
        ok: findings.listed.is_empty(),
        commits: tree.size(),
        chains: chains.count(),
        root: tree.root(),
        signed,
        checkpoints,
        unsigned: tree.size().saturating_sub(signed),
        keys: signatures.used.iter().map(ToString::to_string).collect(),
        keys_demanded: !demands.keys.is_empty(),
        outside,
        findings: findings.listed,
        findings_more: findings.more,
        proof,
        tenant: manifest.tenant,
    })
}

/// A check under way.
struct Reading<'a> {
    manifest: &'a Manifest,
    wanted: Option<&'a Wanted>,
    tiles: Tiles<'a>,
    findings: Findings,
    chains: Chains,
    tree: Frontier,
    last: Position,
    signed: u64,
    checkpoints: u64,
    outside: u64,
    /// The wanted commit: which leaf, where, and its hash.
    met: Option<(u64, Position, CommitHash)>,
}

impl Reading<'_> {
    fn commits(
        &mut self,
        file: impl std::io::Read,
        signatures: &Signatures,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), BoxError> {
        let mut records = match Records::begin(file) {
            Ok(records) => records,
            Err(error) => return self.damaged(error),
        };
        loop {
            match records.read() {
                Ok(Some(record)) => self.commit(&record, signatures)?,
                Ok(None) => return Ok(()),
                Err(error) => return self.damaged(error),
            }
            progress(self.tree.size());
        }
    }

    fn damaged(&mut self, error: Error) -> Result<(), BoxError> {
        match error {
            Error::Io(error) => Err(format!("{COMMITS}: {error}").into()),
            damaged @ Error::Damaged { .. } => {
                self.findings.add(What::DamagedFile, None, None, format!("{COMMITS}, {damaged}"));
                Ok(())
            }
        }
    }

    fn commit(&mut self, record: &Record, signatures: &Signatures) -> Result<(), BoxError> {
        let Record { position, subject, bytes } = record;
        let hash = CommitHash::of(bytes);
        let shown = match subject.parse::<StreamName>() {
            Ok(stream) => {
                let shown = format!("{}/{}", stream.kind, stream.id);
                if stream.tenant != self.manifest.tenant || stream.shard != Shard(self.manifest.shard) {
                    let reason = format!("{subject} does not belong here");
                    self.findings.add(What::Foreign, Some(&shown), Some(*position), reason);
                }
                for reason in self.chains.follow(&stream, bytes, hash) {
                    self.findings.add(What::BrokenChain, Some(&shown), Some(*position), reason);
                }
                self.look_for(&stream, *position, bytes, hash);
                shown
            }
            Err(error) => {
                self.findings.add(What::Foreign, None, Some(*position), error);
                String::new()
            }
        };
        if *position <= self.last {
            let reason = format!("the commit at {position} follows the commit at {}", self.last);
            self.findings.add(What::Order, Some(&shown), Some(*position), reason);
        }
        self.last = *position;
        let leaf = leaf(*position, &hash);
        self.tree.push(TreeHash::leaf(&leaf));
        self.tiles.push(&leaf, &shown, *position, &mut self.findings)?;
        for expected in signatures.expected.get(&self.tree.size()).into_iter().flatten() {
            self.meet(expected, &shown, *position);
        }
        Ok(())
    }

    /// Holds the tree as it is now against what was signed of it at this size.
    fn meet(&mut self, expected: &Expected, stream: &str, position: Position) {
        let (size, root) = (self.tree.size(), self.tree.root());
        if expected.root != root {
            let what = if expected.outside { What::Rewritten } else { What::NotWhatWasSigned };
            let whose = if expected.outside { "the checkpoint from outside" } else { "the checkpoint" };
            let reason = format!(
                "{whose} of {size} commits has the root {}, but these commits have the root {root}",
                expected.root
            );
            self.findings.add(what, Some(stream), Some(position), reason);
        } else if expected.outside {
            self.outside += 1;
        } else {
            self.signed = size;
            self.checkpoints += 1;
            if expected.position.is_some_and(|said| said != position) {
                let reason = format!("the checkpoint of {size} commits should end here, but names another position");
                self.findings.add(What::WrongSignature, Some(stream), Some(position), reason);
            }
        }
    }

    /// What can only be said when all is read.
    fn after(&mut self, signatures: &Signatures) {
        let count = self.tree.size();
        for (size, expected) in signatures.expected.range(count + 1..) {
            for expected in expected {
                let whose = if expected.outside { "a checkpoint from outside" } else { "a checkpoint" };
                let reason = format!("{whose} covers {size} commits, but there are {count}");
                self.findings.add(What::CutOff, None, expected.position, reason);
            }
        }
        let Manifest { commits, last, .. } = self.manifest;
        if (*commits, *last) != (count, self.last) {
            let reason =
                format!("the manifest lists {commits} commits up to {last}, but there are {count} up to {}", self.last);
            self.findings.add(What::WrongCount, None, None, reason);
        }
    }

    fn look_for(&mut self, stream: &StreamName, position: Position, bytes: &[u8], hash: CommitHash) {
        let is_it = match self.wanted {
            None => false,
            Some(Wanted::Position(wanted)) => *wanted == position,
            Some(Wanted::Name(name)) => {
                *name == hash.to_string()
                    || Commit::decode(stream, bytes).is_ok_and(|commit| commit.id.as_str() == name.as_str())
            }
        };
        if is_it && self.met.is_none() {
            self.met = Some((self.tree.size(), position, hash));
        }
    }

    /// The proof that the wanted commit is under the newest checkpoint.
    fn prove(&mut self, folder: &Path, signatures: &Signatures) -> Option<InclusionProof> {
        self.wanted?;
        let Some((index, position, hash)) = self.met else {
            self.findings.add(What::NotProven, None, None, "there is no such commit");
            return None;
        };
        let newest = signatures.newest.as_ref().filter(|(size, _)| index < *size && self.tiles.whole());
        let Some((size, note)) = newest else {
            let reason = "no checkpoint covers this commit, or the tree does not belong to these commits";
            self.findings.add(What::NotProven, None, Some(position), reason);
            return None;
        };
        let files = Files { folder, size: *size };
        let made = proof::inclusion(&files, index, *size).and_then(|path| Ok((path, proof::root(&files, *size)?)));
        let (path, root) = match made {
            Ok(made) => made,
            Err(error) => {
                self.findings.add(What::NotProven, None, Some(position), error);
                return None;
            }
        };
        if !proof::includes(TreeHash::leaf(&leaf(position, &hash)), index, *size, &path, root) {
            self.findings.add(What::NotProven, None, Some(position), "the tiles do not lead to the checkpoint's root");
            return None;
        }
        Some(InclusionProof {
            tenant: self.manifest.tenant.clone(),
            position,
            commit: hash.to_string(),
            index,
            size: *size,
            root,
            path,
            checkpoint: Some(note.clone()),
        })
    }
}
