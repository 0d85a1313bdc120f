//! Whatever is done to an export is found, and nothing is found where nothing was done.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may end at once

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use steward_events::digest::TreeHash;
use steward_projectors::export::{self, COMMITS, Demands, Report, Wanted, What};
use steward_queries::InclusionProof;
use steward_tlog::{Checkpoint, Note, SigningKey, leaf, proof};
use tempfile::TempDir;

#[path = "support/events.rs"]
mod events;
#[path = "support/history.rs"]
mod history;

use history::{History, check, check_with, key, verifier};

const COUNT: usize = 24;

/// Twenty-four commits, signed at 7, 16 and at the end; and the folder that they are exported to.
fn exported() -> (History, TempDir, PathBuf) {
    let history = History::of(COUNT, 11).signed(&[7, 16, COUNT], &key());
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("export");
    history.export(&folder);
    (history, dir, folder)
}

fn kinds(report: &Report) -> Vec<What> {
    let mut kinds: Vec<What> = report.findings.iter().map(|finding| finding.what).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Nothing is wrong with this proof, by itself and with the key.
fn holds(given: &InclusionProof, history: &History) -> bool {
    let note: Note = given.checkpoint.clone().unwrap().parse().unwrap();
    verifier(&key()).verify(&note).unwrap();
    let state = Checkpoint::read(&note).unwrap();
    let entry = history.entries.iter().find(|entry| entry.position == given.position).unwrap();
    let hash = steward_events::digest::CommitHash::of(&entry.bytes);
    let leaf = TreeHash::leaf(&leaf(given.position, &hash));
    given.commit == hash.to_string()
        && (state.size, state.root) == (given.size, given.root)
        && proof::includes(leaf, given.index, given.size, &given.path, given.root)
}

#[test]
fn an_untouched_export_is_whole_and_every_commit_is_proven() {
    let (history, _dir, folder) = exported();
    let report = check(&folder);
    assert!(report.ok, "{:?}", report.findings);
    assert_eq!((report.commits, report.chains, report.signed, report.unsigned), (24, 3, 24, 0));
    assert_eq!((report.checkpoints, report.keys_demanded), (3, true));
    for entry in &history.entries {
        let demands = Demands { commit: Some(Wanted::Position(entry.position)), ..Demands::default() };
        let report = check_with(&folder, &demands);
        assert!(report.ok && holds(report.proof.as_ref().unwrap(), &history), "{:?}", report.findings);
    }
    let by_id = Demands { commit: Some(Wanted::Name("commit5".to_owned())), ..Demands::default() };
    let given = check_with(&folder, &by_id).proof.unwrap();
    assert!(given.index == 4 && holds(&given, &history));
    let by_hash = Demands { commit: Some(Wanted::Name(given.commit.clone())), ..Demands::default() };
    assert_eq!(check_with(&folder, &by_hash).proof, Some(given));
    let none = Demands { commit: Some(Wanted::Name("nobody".to_owned())), ..Demands::default() };
    assert_eq!(kinds(&check_with(&folder, &none)), [What::NotProven]);
}

#[test]
fn an_export_of_many_tiles_is_whole() {
    let history = History::of(700, 3).signed(&[1, 255, 256, 257, 512, 650], &key());
    let dir = tempfile::tempdir().unwrap();
    history.export(dir.path());
    let demands = Demands { commit: Some(Wanted::Position(history.entries[600].position)), ..Demands::default() };
    let report = check_with(dir.path(), &demands);
    assert!(report.ok, "{:?}", report.findings);
    assert_eq!((report.commits, report.signed, report.unsigned, report.checkpoints), (700, 650, 50, 6));
    assert!(holds(&report.proof.unwrap(), &history));
    let late = Demands { commit: Some(Wanted::Position(history.entries[650].position)), ..Demands::default() };
    assert_eq!(kinds(&check_with(dir.path(), &late)), [What::NotProven], "no checkpoint covers it yet");
}

#[test]
fn one_flipped_byte_is_found_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("export");
    History::of(5, 11).signed(&[3, 5], &key()).export(&folder);
    let path = folder.join(COMMITS);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        let report = check(&folder);
        assert!(!report.ok, "byte {at} of {}", whole.len());
    }
}

#[test]
fn a_flipped_byte_is_told_where_it_is() {
    let (mut history, _dir, folder) = exported();
    // The last of its stream: no chain goes on from it, only the tree knows.
    let last = history.entries.pop().unwrap();
    let at = last.bytes.len() - 5;
    let mut changed = last.clone();
    changed.bytes[at] ^= 1;
    history.entries.push(changed);
    history.put_commits(&folder);
    let report = check(&folder);
    let found = report.findings.iter().find(|finding| finding.what == What::ChangedCommit).unwrap();
    assert_eq!((found.position, found.stream.is_some()), (Some(last.position), true));
    assert!(kinds(&report).contains(&What::NotWhatWasSigned));
}

#[test]
fn a_flipped_byte_in_tree_or_checkpoint_is_found() {
    let (_, _dir, folder) = exported();
    let files = ["tile/0/000.p/24", "tile/entries/000.p/24", export::CHECKPOINT, export::CHECKPOINTS];
    for file in files {
        let path = folder.join(file);
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(3) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            // A checkpoint's moment is said by the export, not by the signature; JSON knows several spellings.
            let report = check(&folder);
            let read = fs::read_to_string(&path).unwrap_or_default();
            let unsigned = file == export::CHECKPOINTS && same_notes(&read, std::str::from_utf8(&whole).unwrap());
            assert!(!report.ok || unsigned, "byte {at} of {file}");
        }
        fs::write(&path, &whole).unwrap();
        fs::rename(&path, folder.join("away")).unwrap();
        assert!(!check(&folder).ok, "without {file}");
        fs::rename(folder.join("away"), &path).unwrap();
    }
    assert!(check(&folder).ok);
}

/// True if both have the same notes, sizes, roots and positions.
fn same_notes(one: &str, other: &str) -> bool {
    let notes = |text: &str| -> Option<Vec<_>> {
        let read = |line: &str| serde_json::from_str::<steward_queries::SignedCheckpoint>(line).ok();
        let all: Option<Vec<_>> = text.lines().map(read).collect();
        all.map(|all| all.into_iter().map(|c| (c.note, c.size, c.root, c.position)).collect())
    };
    notes(one).is_some() && notes(one) == notes(other)
}

#[test]
fn any_dropped_commit_is_found() {
    let (history, _dir, folder) = exported();
    for at in 0..COUNT {
        let mut fewer = history.clone();
        fewer.entries.remove(at);
        fewer.put_commits(&folder);
        let report = check(&folder);
        let kinds = kinds(&report);
        assert!(kinds.contains(&What::CutOff) && kinds.contains(&What::WrongCount), "{at}: {kinds:?}");
    }
}

#[test]
fn any_swapped_pair_of_commits_is_found() {
    let (history, _dir, folder) = exported();
    for at in 1..COUNT {
        let mut moved = history.clone();
        moved.entries.swap(at - 1, at);
        moved.put_commits(&folder);
        assert!(kinds(&check(&folder)).contains(&What::Order), "{at} with its position");
        let (one, other) = (history.entries[at - 1].position, history.entries[at].position);
        (moved.entries[at - 1].position, moved.entries[at].position) = (one, other);
        moved.put_commits(&folder);
        let report = check(&folder);
        let changed = report.findings.iter().find(|finding| finding.what == What::ChangedCommit);
        assert_eq!(changed.and_then(|finding| finding.position), Some(one), "{at} without its position");
        assert!(kinds(&report).contains(&What::NotWhatWasSigned));
    }
}

#[test]
fn a_truncated_tail_is_found_wherever_it_is_cut() {
    let (history, _dir, folder) = exported();
    let path = folder.join(COMMITS);
    let whole = fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..cut]).unwrap();
        let report = check(&folder);
        assert!(kinds(&report).contains(&What::CutOff), "cut at {cut}");
    }
    // Cut between two commits, and the manifest made to fit.
    for cut in 0..COUNT {
        let mut shorter = history.clone();
        shorter.entries.truncate(cut);
        shorter.put_commits(&folder);
        let mut manifest = export::Manifest::read(&folder).unwrap();
        manifest.commits = cut as u64;
        manifest.last = shorter.entries.last().map_or_else(Default::default, |entry| entry.position);
        fs::write(folder.join(export::MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
        assert!(kinds(&check(&folder)).contains(&What::CutOff), "cut after {cut}");
    }
}

#[test]
fn a_tail_cut_with_its_checkpoints_needs_outside_proof() {
    let (history, dir, _) = exported();
    let mut shorter = history.clone();
    shorter.entries.truncate(16);
    shorter.signed.truncate(2);
    let folder = dir.path().join("shorter");
    shorter.export(&folder);
    assert!(check(&folder).ok, "it is a whole history as of then");
    let outside = Demands { outside: vec![history.signed[2].note.clone()], ..Demands::default() };
    assert_eq!(kinds(&check_with(&folder, &outside)), [What::CutOff]);
}

#[test]
fn a_rewritten_history_is_found() {
    let (history, dir, folder) = exported();
    let outside = |of: &History| vec![of.signed[0].note.clone()];
    let whole = Demands { outside: outside(&history), ..Demands::default() };
    let report = check_with(&folder, &whole);
    assert!(report.ok && report.outside == 1, "{:?}", report.findings);

    // Other commits from the fifth on, every chain, position, tile and count made to fit …
    let mut other = History::of(COUNT, 12);
    other.entries.iter_mut().zip(&history.entries).for_each(|(new, old)| new.position = old.position);
    // … but the checkpoints left as they were,
    let kept = History { signed: history.signed.clone(), ..other.clone() };
    let rewritten = dir.path().join("kept");
    kept.export(&rewritten);
    assert_eq!(kinds(&check(&rewritten)), [What::NotWhatWasSigned]);

    // signed anew with another key,
    let stranger = SigningKey::from_bytes(&[8; 32]);
    let rewritten = dir.path().join("stranger");
    other.clone().signed(&[7, 16, COUNT], &stranger).export(&rewritten);
    assert!(kinds(&check(&rewritten)).contains(&What::WrongSignature));
    let trusting = check_with(&rewritten, &Demands::default());
    assert!(trusting.ok && !trusting.keys_demanded, "by itself it is whole, and says that its key was not demanded");
    assert!(kinds(&check_with(&rewritten, &whole)).contains(&What::WrongSignature), "the outside copy has another key");

    // or with the same key: only a copy from outside tells.
    let rewritten = dir.path().join("same");
    other.signed(&[7, 16, COUNT], &key()).export(&rewritten);
    assert!(check(&rewritten).ok);
    let report = check_with(&rewritten, &Demands { keys: vec![verifier(&key())], ..whole });
    assert_eq!(kinds(&report), [What::Rewritten]);
    assert_eq!(report.outside, 0);
}

#[test]
fn a_stranger_commit_does_not_belong() {
    let (mut history, _dir, folder) = exported();
    history.entries[3].subject = history.entries[3].subject.replace("acme", "globex");
    history.put_commits(&folder);
    assert!(kinds(&check(&folder)).contains(&What::Foreign));
    history.entries[3].subject = "no.stream".to_owned();
    history.put_commits(&folder);
    assert!(kinds(&check(&folder)).contains(&What::Foreign));
}

#[test]
fn without_checkpoints_only_chains_are_checked_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    History::of(9, 5).export(dir.path());
    let report = check(dir.path());
    assert!(report.ok, "{:?}", report.findings);
    assert_eq!((report.signed, report.unsigned, report.keys.len()), (0, 9, 0));
}

#[test]
fn a_folder_without_an_export_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |folder: &Path| export::check(folder, &Demands::default(), |_| {}).unwrap_err().to_string();
    assert!(refused(dir.path()).contains("manifest.json"), "{}", refused(dir.path()));
    fs::write(dir.path().join(export::MANIFEST), b"{}").unwrap();
    assert!(refused(dir.path()).contains("missing field"), "{}", refused(dir.path()));
    fs::write(dir.path().join(export::MANIFEST), vec![b' '; 100_000]).unwrap();
    assert!(refused(dir.path()).contains("larger than"), "{}", refused(dir.path()));
    assert!(export::Writer::create(dir.path()).is_err(), "an export gets a folder of its own");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever bytes stand in whichever file, the check ends with findings or an error.
    #[test]
    fn garbage_is_told_without_a_panic(which in 0_usize..6, at in any::<prop::sample::Index>(), put in prop::collection::vec(any::<u8>(), 1..40), cut: bool) {
        let (_, _dir, folder) = exported();
        let files = ["manifest.json", COMMITS, "checkpoint", "checkpoints.jsonl", "tile/0/000.p/24", "tile/entries/000.p/24"];
        let path = folder.join(files[which]);
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        let end = if cut { bytes.len() } else { (at + put.len()).min(bytes.len()) };
        bytes.splice(at..end, put);
        fs::write(&path, bytes).unwrap();
        let demands = Demands { keys: vec![verifier(&key())], commit: Some(Wanted::Name("commit5".to_owned())), ..Demands::default() };
        let _ = export::check(&folder, &demands, |_| {});
    }
}
