//! A tenant's files as people see them. What they hold is kept elsewhere.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use steward_events::commit::Recorded;
use steward_events::event::{FileEvent, FileName, FilePurpose};
use steward_events::id::{FileId, PrincipalId, TenantId};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::sealed::Sealed;
use steward_events::timestamp::Timestamp;
use steward_ports::clock::Clock;
use steward_ports::keys::{KeyError, Keyring};
use steward_queries::{FilePage, FileQuery, FileRow, ListFiles, Page};

use crate::engine::Engine;
use crate::engine::by_age;
use crate::engine::key::Key;
use crate::engine::opening::open;
use crate::engine::projector::{Projector, reads};
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};
use crate::engine::rows::Rows;
use crate::engine::runner::Runner;
use crate::engine::view_store::Snapshot;

/// The read model.
pub struct FilesView {
    rows: Arc<Runner<Files>>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
}

impl FilesView {
    /// Over the engine's log and store.
    pub fn new(engine: &Engine) -> Self {
        Self {
            rows: engine.runner(),
            keyring: Arc::clone(&engine.ports.keyring),
            clock: Arc::clone(&engine.ports.clock),
        }
    }

    async fn list(&self, query: &Query<'_>) -> Result<FilePage, NoAnswer> {
        let asked: ListFiles = query.read()?;
        let (paging, order, purpose) = (asked.paging(), asked.order.unwrap_or_default(), asked.purpose);
        let (tenant, sight, now) = (query.tenant().clone(), query.sight.clone(), self.clock.now());
        let (min_position, after) = (paging.min_position, paging.after.clone().unwrap_or_default());
        let read = move |rows: &Snapshot<'_>| {
            let stored = |file: &str| stored(rows, &tenant, file);
            let found = |name: &str| Ok(stored(name)?.map(|file| file.moment));
            let is_wanted = |file: &StoredFile| {
                purpose.is_none_or(|purpose| purpose == file.purpose)
                    && file.expires > now
                    && sight.covers_of(&file.scope, &file.kept_by)
            };
            let wanted = |row| match row {
                FilesRow::Came(file) => Ok(stored(file.as_str())?.filter(is_wanted)),
                FilesRow::File(_) => Ok(None),
            };
            by_age::page(rows, (&tenant, order), paging, found, wanted)
        };
        let page = self.rows.read(query.shard, min_position, read).await?;
        let Page { position, rows, next } = page.ok_or_else(|| Rejection::invalid("after", no_file(&after)))?;
        let mut shown = Vec::with_capacity(rows.len());
        for file in rows {
            shown.push(self.shown(file).await?);
        }
        Ok(Page { position, rows: shown, next })
    }

    /// One that belongs where the caller may not see is as one that is not there.
    async fn show(&self, query: &Query<'_>) -> Result<FileRow, NoAnswer> {
        let FileQuery { file, min_position } = query.read()?;
        let (tenant, id) = (query.tenant().clone(), file.clone());
        let found = self.rows.read(query.shard, min_position, move |rows| stored(rows, &tenant, id.as_str())).await?;
        let now = self.clock.now();
        let found = found.filter(|file| file.expires > now && query.sight.covers_of(&file.scope, &file.kept_by));
        self.shown(found.ok_or_else(|| Rejection::not_found("file", &file))?).await
    }

    async fn shown(&self, file: StoredFile) -> Result<FileRow, NoAnswer> {
        let StoredFile { file, name, purpose, bytes, scope, kept_at, kept_by, expires, moment: _ } = file;
        let name = match open(&self.keyring, &name).await {
            Ok(FileName(name)) => name,
            Err(KeyError::Erased(_)) => String::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(FileRow { file, name, purpose, bytes, scope, kept_at, kept_by, expires })
    }
}

fn no_file(after: &str) -> String {
    let shown: String = after.chars().take(80).collect();
    format!("there is no file {shown}: take the id of the last file of the page before")
}

#[async_trait]
impl ReadModel for FilesView {
    fn nouns(&self) -> &'static [&'static str] {
        &["file"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        Some(Arc::<Runner<_>>::clone(&self.rows))
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        match query.verb() {
            "list" => query.write(&self.list(query).await?),
            "show" => query.write(&self.show(query).await?),
            _ => Err(query.unknown()),
        }
    }
}

/// The fold.
pub struct Files;

/// A file, or an entry of the lists by age.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilesRow {
    /// A file.
    File(Box<StoredFile>),
    /// Which file came at the moment in the key.
    Came(FileId),
}

/// A file, its name still sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    file: FileId,
    name: Sealed<FileName>,
    purpose: FilePurpose,
    bytes: u64,
    scope: Scope,
    kept_at: Timestamp,
    kept_by: PrincipalId,
    expires: Timestamp,
    moment: by_age::Moment,
}

impl Projector for Files {
    const NAME: &'static str = "files-v1";
    type Row = FilesRow;

    reads!(File => fold);
}

fn fold(event: &FileEvent, recorded: &Recorded<'_>, rows: &mut Rows<FilesRow>) {
    let tenant = &recorded.stream.tenant;
    match event.clone() {
        FileEvent::Kept { file, scope, purpose, bytes, name, expires, kept_by, digest: _, kept_with: _ } => {
            let (kept_at, moment) = (recorded.entry.at, by_age::moment(recorded));
            for entry in by_age::entries(tenant, moment) {
                *rows.row(&entry) = Some(FilesRow::Came(file.clone()));
            }
            let key = file_key(tenant, file.as_str());
            let stored = StoredFile { file, name, purpose, bytes, scope, kept_at, kept_by, expires, moment };
            *rows.row(&key) = Some(FilesRow::File(Box::new(stored)));
        }
        FileEvent::Removed { file } => {
            if let Some(FilesRow::File(stored)) = rows.row(&file_key(tenant, file.as_str())).take() {
                for entry in by_age::entries(tenant, stored.moment) {
                    *rows.row(&entry) = None;
                }
            }
        }
    }
}

fn file_key(tenant: &TenantId, file: &str) -> Key {
    Key::of(tenant).text("file").text(file)
}

fn stored(rows: &Snapshot<'_>, tenant: &TenantId, file: &str) -> Result<Option<StoredFile>, steward_events::BoxError> {
    // What is no id is no file's, and no key's part.
    if FileId::new(file).is_err() {
        return Ok(None);
    }
    Ok(match rows.get::<FilesRow>(&file_key(tenant, file))? {
        Some(FilesRow::File(file)) => Some(*file),
        Some(FilesRow::Came(_)) | None => None,
    })
}
