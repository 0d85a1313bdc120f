//! Guards how much a tenant keeps beside the log: its files together have no more bytes than it may keep, and each of them
//! belongs somewhere and ends.
//!
//! Knows which files there are, not what they hold.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use steward_events::command::{FileCommand, KeepFile, RemoveFile};
use steward_events::digest::BodyHash;
use steward_events::event::{FileEvent, QuotaKind};
use steward_events::id::FileId;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};
use crate::limit;

/// The most files of one tenant that have not ended.
pub const FILES_MAX: usize = 100_000;

/// The longest that a file is kept.
pub const KEPT_TIME_MAX: Duration = Duration::from_hours(24 * 90);

/// A tenant's files that are there.
#[derive(Clone, Debug, Default)]
pub struct File {
    kept: BTreeMap<FileId, Kept>,
}

/// One file.
#[derive(Clone, Debug)]
struct Kept {
    scope: Scope,
    bytes: u64,
    digest: BodyHash,
    expires: Timestamp,
}

impl File {
    /// Those that have not ended at `at`.
    fn there(&self, at: Timestamp) -> impl Iterator<Item = (&FileId, &Kept)> {
        self.kept.iter().filter(move |(_, kept)| kept.expires > at)
    }

    fn keep(&self, keep: &KeepFile, stamp: &Stamp) -> Result<Vec<FileEvent>, Rejection> {
        if let Some(known) = self.kept.get(&keep.file) {
            let taken = || Rejection::AlreadyExists { what: "file".to_owned(), id: keep.file.to_string() };
            return if known.digest == keep.digest { Ok(vec![]) } else { Err(taken()) };
        }
        if !keep.scope.is_within(&stamp.tenant) {
            return Err(Rejection::invalid("scope", format!("{} is outside tenant {}", keep.scope, stamp.tenant)));
        }
        limit::future("expires", Some(keep.expires), stamp.at)?;
        if keep.expires > stamp.at.plus(KEPT_TIME_MAX) {
            let days = KEPT_TIME_MAX.as_secs() / 86_400;
            return Err(Rejection::invalid("expires", format!("a file is kept for at most {days} days")));
        }
        let Some(name) = keep.name.sealed().cloned() else {
            return Err(Rejection::invalid("name", "was not sealed"));
        };
        limit::count("files", self.there(stamp.at).count() + 1, FILES_MAX)?;
        let held = self.there(stamp.at).fold(0_u64, |sum, (_, kept)| sum.saturating_add(kept.bytes));
        let bytes_max = stamp
            .quotas
            .limit(QuotaKind::ContentBytes)
            .map_or(keep.tenant_bytes_max, |quota| quota.min(keep.tenant_bytes_max));
        if held.saturating_add(keep.bytes) > bytes_max {
            let reason = format!(
                "its {} bytes and the {held} of your other files are more than the {} that are kept for a tenant: remove files, \
                 or give them an earlier end",
                keep.bytes, bytes_max
            );
            return Err(Rejection::invalid("file", reason));
        }
        Ok(vec![FileEvent::Kept {
            file: keep.file.clone(),
            scope: keep.scope.clone(),
            purpose: keep.purpose,
            bytes: keep.bytes,
            digest: keep.digest,
            name,
            expires: keep.expires,
            kept_by: keep.kept_by.clone(),
            kept_with: keep.kept_with.clone(),
        }])
    }

    /// One that belongs elsewhere is as one that is not there.
    fn remove(&self, remove: &RemoveFile, stamp: &Stamp) -> Result<Vec<FileEvent>, Rejection> {
        let scope = remove.scope.clone().unwrap_or_else(|| Scope::tenant(&stamp.tenant));
        let found = self.kept.get(&remove.file).filter(|kept| kept.expires > stamp.at && scope.contains(&kept.scope));
        match found {
            Some(_) => Ok(vec![FileEvent::Removed { file: remove.file.clone() }]),
            None => Err(Rejection::not_found("file", &remove.file)),
        }
    }
}

impl Aggregate for File {
    type Command = FileCommand;
    type Event = FileEvent;

    fn decide(&self, command: &FileCommand, stamp: &Stamp) -> Result<Vec<FileEvent>, Rejection> {
        match command {
            FileCommand::KeepFile(keep) => self.keep(keep, stamp),
            FileCommand::RemoveFile(remove) => self.remove(remove, stamp),
        }
    }

    fn apply(&mut self, event: &FileEvent, at: Timestamp) {
        match event.clone() {
            FileEvent::Kept { file, scope, bytes, digest, expires, .. } => {
                // What has ended is nothing to decide on any more.
                self.kept.retain(|_, kept| kept.expires > at);
                self.kept.insert(file, Kept { scope, bytes, digest, expires });
            }
            FileEvent::Removed { file } => _ = self.kept.remove(&file),
        }
    }

    fn answer(&self, command: &FileCommand) -> serde_json::Value {
        match command {
            FileCommand::KeepFile(keep) => json!({ "file": keep.file }),
            FileCommand::RemoveFile(remove) => json!({ "file": remove.file }),
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_events::event::{FileName, FilePurpose};
    use steward_events::sealed::{Content, DataKey, KeyOwner, Sealed};
    use steward_events::sender::KeyRef;

    use super::*;
    use crate::spec::given;

    const NOW: Timestamp = Timestamp(1_000_000);
    const LATER: Timestamp = Timestamp(9_000_000);

    fn name() -> Sealed<FileName> {
        thread_local! {
            // Sealing draws a nonce, so the same sealed text is kept to compare with.
            static NAME: Sealed<FileName> = {
                let owner = KeyOwner::Tenant("acme".parse().unwrap());
                Sealed::seal(&FileName("calls.jsonl".to_owned()), owner, &DataKey::from_bytes([7; 32]), "").unwrap()
            };
        }
        NAME.with(Clone::clone)
    }

    fn keep(file: &str, bytes: u64) -> KeepFile {
        KeepFile {
            file: file.parse().unwrap(),
            scope: "acme/support".parse().unwrap(),
            purpose: FilePurpose::Batch,
            bytes,
            digest: BodyHash::of(file.as_bytes()),
            name: Content::Sealed(name()),
            expires: LATER,
            kept_by: "p_ana".parse().unwrap(),
            kept_with: KeyRef { tenant: "acme".parse().unwrap(), key: "key_1".parse().unwrap() },
            tenant_bytes_max: 100,
        }
    }

    fn kept(file: &str, bytes: u64) -> FileEvent {
        FileEvent::Kept {
            file: file.parse().unwrap(),
            scope: "acme/support".parse().unwrap(),
            purpose: FilePurpose::Batch,
            bytes,
            digest: BodyHash::of(file.as_bytes()),
            name: name(),
            expires: LATER,
            kept_by: "p_ana".parse().unwrap(),
            kept_with: KeyRef { tenant: "acme".parse().unwrap(), key: "key_1".parse().unwrap() },
        }
    }

    fn remove(file: &str, scope: Option<&str>) -> RemoveFile {
        RemoveFile { file: file.parse().unwrap(), scope: scope.map(|scope| scope.parse().unwrap()) }
    }

    #[test]
    fn a_file_is_recorded_once() {
        given::<File>([]).at(NOW).when(keep("file-1", 60)).then([kept("file-1", 60)]);
        given::<File>([kept("file-1", 60)]).at(NOW).when(keep("file-1", 60)).then([]);
        let another = KeepFile { digest: BodyHash::of(b"another"), ..keep("file-1", 60) };
        let taken = Rejection::AlreadyExists { what: "file".to_owned(), id: "file-1".to_owned() };
        given::<File>([kept("file-1", 60)]).at(NOW).when(another).then_rejected(&taken);
    }

    #[test]
    fn a_quota_of_bytes_binds_where_it_is_lower() {
        let mut file = File::default();
        file.apply(&kept("file-1", 60), NOW);
        let decide = |bytes, quota| {
            let quotas = [(QuotaKind::ContentBytes, quota)].into_iter().collect();
            let stamp = Stamp { at: NOW, quotas, ..crate::spec::stamp() };
            file.decide(&FileCommand::KeepFile(keep("file-2", bytes)), &stamp).is_ok()
        };
        assert!(decide(10, 70) && !decide(11, 70));
        assert!(!decide(41, 500), "what the gateway says binds too");
    }

    #[test]
    fn files_have_together_what_a_tenant_may_keep_and_no_byte_more() {
        given::<File>([kept("file-1", 60)]).at(NOW).when(keep("file-2", 40)).then([kept("file-2", 40)]);
        let too_much = Rejection::invalid(
            "file",
            "its 41 bytes and the 60 of your other files are more than the 100 that are kept for a tenant: remove files, \
             or give them an earlier end",
        );
        given::<File>([kept("file-1", 60)]).at(NOW).when(keep("file-2", 41)).then_rejected(&too_much);
    }

    #[test]
    fn what_has_ended_or_was_removed_takes_no_room() {
        let late = KeepFile { expires: Timestamp(LATER.0 + 1), ..keep("file-2", 100) };
        let expected = match kept("file-2", 100) {
            FileEvent::Kept { file, scope, purpose, bytes, digest, name, kept_by, kept_with, expires: _ } => {
                let expires = Timestamp(LATER.0 + 1);
                FileEvent::Kept { file, scope, purpose, bytes, digest, name, kept_by, kept_with, expires }
            }
            other @ FileEvent::Removed { .. } => other,
        };
        given::<File>([kept("file-1", 60)]).at(LATER).when(late).then([expected]);
        let removed = FileEvent::Removed { file: "file-1".parse().unwrap() };
        given::<File>([kept("file-1", 60), removed]).at(NOW).when(keep("file-2", 100)).then([kept("file-2", 100)]);
    }

    #[test]
    fn a_file_ends_within_the_longest_time() {
        let long = KeepFile { expires: NOW.plus(KEPT_TIME_MAX), ..keep("file-1", 1) };
        assert!(File::default().decide(&FileCommand::KeepFile(long.clone()), &crate::spec::stamp()).is_ok());
        for expires in [Timestamp(long.expires.0 + 1), NOW] {
            let wrong = KeepFile { expires, ..long.clone() };
            assert!(File::default().decide(&FileCommand::KeepFile(wrong), &crate::spec::stamp()).is_err(), "{expires}");
        }
    }

    #[test]
    fn a_file_is_removed_where_it_belongs_and_nowhere_else() {
        let removed = || FileEvent::Removed { file: "file-1".parse().unwrap() };
        for scope in [None, Some("acme"), Some("acme/support")] {
            given::<File>([kept("file-1", 60)]).at(NOW).when(remove("file-1", scope)).then([removed()]);
        }
        let gone = Rejection::not_found("file", &"file-1");
        for scope in [Some("acme/sales"), Some("acme/support/emea")] {
            given::<File>([kept("file-1", 60)]).at(NOW).when(remove("file-1", scope)).then_rejected(&gone);
        }
        given::<File>([kept("file-1", 60), removed()]).at(NOW).when(remove("file-1", None)).then_rejected(&gone);
        given::<File>([kept("file-1", 60)]).at(LATER).when(remove("file-1", None)).then_rejected(&gone);
    }
}
