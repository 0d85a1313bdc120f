//! Writes notes into the journals of this run, one a tenant and kind.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use steward_events::BoxError;
use steward_events::commit::Entry;
use steward_events::event::{AggregateKind, DenialEvent, Event, ReadEvent};
use steward_events::id::{CommandId, CommitId, CorrelationId, PrincipalId, StreamId, SystemPart, TenantId};
use steward_events::ids::Ids;
use steward_events::shard::STEWARD_SHARD;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use tokio::sync::mpsc;

use super::rate::{Rate, Sum};
use super::{By, Note, Queued, What, lock};
use crate::append::append;
use crate::clock::Clock;
use crate::journal::StreamEnd;
use crate::log::EventLog;
use crate::placement::Placement;

/// The most entries of one commit.
const BATCH_MAX: usize = 128;

/// How often the sums are looked at while there are any.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Which journal.
type Journal = (TenantId, AggregateKind);

pub(super) struct Writer {
    log: Arc<dyn EventLog>,
    placement: Placement,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    recorder: SystemPart,
    rate: Arc<Mutex<Rate>>,
    /// The id of this run's journals.
    name: String,
    /// Where each journal ends.
    ends: HashMap<Journal, StreamEnd>,
}

impl Writer {
    pub(super) fn new(
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        recorder: SystemPart,
        rate: Arc<Mutex<Rate>>,
    ) -> Self {
        let name = ids.unique();
        Self {
            placement: Placement::new(Arc::clone(&log)),
            log,
            clock,
            ids,
            recorder,
            rate,
            name,
            ends: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self, mut queued: mpsc::Receiver<Queued>) {
        let mut batch = Vec::new();
        let mut sums = false;
        loop {
            let open = tokio::select! {
                count = queued.recv_many(&mut batch, BATCH_MAX) => count > 0,
                () = tokio::time::sleep(LOOK_AGAIN), if sums => true,
            };
            let mut entries: HashMap<Journal, Vec<Entry>> = HashMap::new();
            for queued in batch.drain(..) {
                match queued {
                    Queued::Note(note) => self.take(&mut entries, note),
                    Queued::Sums => sums = true,
                }
            }
            if sums || !open {
                let (over, more) = lock(&self.rate).take_sums(self.clock.now(), !open);
                for (tenant, by, sum) in over {
                    self.take_sum(&mut entries, tenant, &by, sum);
                }
                sums = more;
            }
            for (journal, entries) in entries {
                self.write_or_warn(journal, entries).await;
            }
            if !open {
                return;
            }
        }
    }

    fn take(&self, entries: &mut HashMap<Journal, Vec<Entry>>, note: Note) {
        let Note { tenant, by, what, permission, scope, text, correlation } = note;
        let (principal, address) = told(&by);
        let event: Event = match (what, &principal, permission) {
            (What::Denial(kind), _, permission) => {
                DenialEvent::Denied { kind, principal, address, permission, scope, reason: text }.into()
            }
            (What::Spared(grant), _, permission) => {
                DenialEvent::Spared { principal, grant: (*grant).clone(), permission, scope }.into()
            }
            (What::Read, Some(principal), Some(query)) => {
                ReadEvent::Read { principal: principal.clone(), query, asked: text }.into()
            }
            // Only who is known reads, by a query.
            (What::Read, ..) => return,
        };
        self.put(entries, tenant, &by, &event, correlation);
    }

    fn take_sum(&self, entries: &mut HashMap<Journal, Vec<Entry>>, tenant: TenantId, by: &By, sum: Sum) {
        let Sum { kinds, permissions, scopes, .. } = sum;
        let (principal, address) = told(by);
        // Of these the one that is told is enough, and none may be lost.
        let (spared, kinds): (BTreeMap<What, u64>, BTreeMap<What, u64>) =
            kinds.into_iter().partition(|(what, _)| matches!(what, What::Spared(_)));
        for what in spared.into_keys() {
            let What::Spared(grant) = what else { continue };
            let (permission, scope) = (None, None);
            let event =
                DenialEvent::Spared { principal: principal.clone(), grant: (*grant).clone(), permission, scope };
            self.put(entries, tenant.clone(), by, &event.into(), None);
        }
        if kinds.is_empty() {
            return;
        }
        let event: Event = if kinds.contains_key(&What::Read) {
            ReadEvent::LeftOut { principal, queries: permissions }.into()
        } else {
            let of_denials = |(what, count)| match what {
                What::Denial(kind) => Some((kind, count)),
                What::Read | What::Spared(_) => None,
            };
            DenialEvent::LeftOut {
                principal,
                address,
                kinds: kinds.into_iter().filter_map(of_denials).collect(),
                permissions: permissions.into_keys().collect(),
                scopes: scopes.into_iter().collect(),
            }
            .into()
        };
        self.put(entries, tenant, by, &event, None);
    }

    fn put(
        &self,
        entries: &mut HashMap<Journal, Vec<Entry>>,
        tenant: TenantId,
        by: &By,
        event: &Event,
        correlation: Option<CorrelationId>,
    ) {
        let id = format!("note_{}", self.ids.unique());
        let (Ok(command), Ok(own)) = (CommandId::new(&id), CorrelationId::new(&id)) else { return };
        let actor = match by {
            By::Principal(principal) => principal.clone(),
            By::Address(_) | By::Many => PrincipalId::system(self.recorder),
        };
        let entry = Entry {
            command,
            at: Timestamp(0),
            actor,
            on_behalf_of: None,
            key: None,
            causation: None,
            correlation: correlation.unwrap_or(own),
            body: None,
            events: vec![event.clone()],
        };
        entries.entry((tenant, event.kind())).or_default().push(entry);
    }

    async fn write_or_warn(&mut self, journal: Journal, entries: Vec<Entry>) {
        let count = entries.len();
        if let Err(error) = self.write(&journal, entries).await {
            tracing::warn!(tenant.id = %journal.0, kind = %journal.1, count, %error, "notes are lost");
            // What may yet land there must not be built on: the journals go on under another name.
            self.ends.clear();
            self.name = self.ids.unique();
        }
    }

    async fn write(&mut self, journal: &Journal, mut entries: Vec<Entry>) -> Result<(), BoxError> {
        let (tenant, kind) = journal.clone();
        let (tenant, shard) = match self.placement.shard(&tenant).await? {
            Some(shard) => (tenant, shard),
            None => (TenantId::steward(), STEWARD_SHARD),
        };
        let journal = (tenant.clone(), kind);
        let mut end = self.ends.get(&journal).copied().unwrap_or_default();
        let at = end.at.max(self.clock.now());
        for entry in &mut entries {
            entry.at = at;
        }
        let stream = StreamName { shard, tenant, kind, id: StreamId::new(&self.name)? };
        let commit = end.next(CommitId::new(self.ids.unique())?, stream, entries);
        let appended = append(&*self.log, end.position, &commit).await?;
        end.advance(&commit, appended);
        self.ends.insert(journal, end);
        Ok(())
    }
}

/// As whom or from where it is told.
fn told(by: &By) -> (Option<PrincipalId>, Option<String>) {
    match by {
        By::Principal(principal) => (Some(principal.clone()), None),
        By::Address(address) => (None, Some(address.to_string())),
        By::Many => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use steward_events::commit::Commit;
    use steward_events::event::DenialKind;
    use steward_events::ids::CountingIds;

    use super::*;
    use crate::clock::SystemClock;
    use crate::log::Filter;
    use crate::log::memory::MemoryLog;
    use crate::notes::Notes;

    #[tokio::test]
    async fn sums_are_written_though_nothing_follows() {
        let log = Arc::new(MemoryLog::default());
        let clock = Arc::new(SystemClock::default());
        let notes = Notes::start(Arc::clone(&log) as _, clock, Arc::new(CountingIds::default()), SystemPart::Gateway);
        for number in 0..46 {
            notes.note(Note {
                tenant: TenantId::steward(),
                by: By::Address("203.0.113.7".parse().unwrap()),
                what: What::Denial(DenialKind::WrongKey),
                permission: None,
                scope: None,
                text: format!("wrong\n{number}"),
                correlation: None,
            });
        }
        let mut denied = 0;
        let mut stream =
            log.follow(&Filter::shard(STEWARD_SHARD), steward_events::quantity::Position(0)).await.unwrap();
        let left_out = loop {
            let stored = stream.next().await.unwrap().unwrap();
            let commit = Commit::decode(&stored.stream, &stored.bytes).unwrap();
            let events: Vec<Event> = commit.entries.into_iter().flat_map(|entry| entry.events).collect();
            let mut sum = None;
            for event in events {
                match event {
                    Event::Denials(DenialEvent::Denied { reason, address, .. }) => {
                        assert_eq!(address.as_deref(), Some("203.0.113.7"));
                        assert!(reason.starts_with("wrong\\n"), "{reason}");
                        denied += 1;
                    }
                    Event::Denials(DenialEvent::LeftOut { kinds, .. }) => sum = Some(kinds),
                    other => panic!("{other:?}"),
                }
            }
            if let Some(kinds) = sum {
                break kinds[&DenialKind::WrongKey];
            }
        };
        assert_eq!(denied + left_out, 46);
        assert!(denied >= 5, "a new second may have begun meanwhile");
    }
}
