//! `POST /v1/files`: a form whose file is taken in part by part, so that no more than a part of it is in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, header};
use multer::{Field, Multipart};
use steward_calls::{AuthenticatedKey, FILE_PART_BYTES, FileWriter, TenantFiles, Written};
use steward_events::command::KeepFile;
use steward_events::event::{FileName, FilePurpose};
use steward_events::free_text::is_refused;
use steward_events::id::{CommandId, FileId, PrincipalId, SystemPart};
use steward_events::permission::Permission;
use steward_events::request::{Envelope, Format, Reply, Request as BusRequest};
use steward_events::sealed::Content;
use steward_queries::{FileQuery, FileRow};

use super::{OpenAi, files};
use crate::config::FileBounds;
use crate::error::Error;
use crate::face::management::ask;
use crate::observe::Arrival;

/// The longest name of a file, and the longest text of another field, in bytes.
const TEXT_BYTES_MAX: usize = 255;

/// What is held of an upload at once: a part that gathers, and the piece that comes.
const HELD_BYTES: usize = 2 * FILE_PART_BYTES;

/// What a caller may say of how long a file is kept.
const KEPT_SECONDS: std::ops::RangeInclusive<u64> = 3_600..=2_592_000;

/// `POST /v1/files`.
pub(super) async fn create(State(face): State<Arc<OpenAi>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let kept = keep(&face, &parts, body).await;
    face.finish(&parts, kept.map(|row| Json(files::shown(&row)).into_response()))
}

async fn keep(face: &OpenAi, parts: &Parts, body: Body) -> Result<FileRow, Error> {
    let caller = face.caller(parts).await?;
    let key = &caller.key;
    // Before a byte of the body is read: who may keep nothing takes no room from those who may.
    face.management.access.may(key, &Permission::file_create()).await?;
    let boundary = boundary(&parts.headers)?;
    let _held = face.door.admit(key, HELD_BYTES)?;
    let kept = face.calls.files().of(&key.holder.tenant, key.shard, &Arrival::of(parts).id).await?;
    let file = new_file(face)?;
    let form = Form { file: file.clone(), files: &kept, bounds: face.files, fields: Fields::default() };
    let received = form.receive(Multipart::new(body.into_data_stream(), boundary)).await;
    let recorded = match received.and_then(|(written, fields)| Ok((written, fields.checked(key)?))) {
        Ok((written, checked)) => record(face, parts, key, (&kept, file.clone()), written, checked).await,
        Err(error) => Err(error),
    };
    match recorded {
        Ok((row, reply)) => {
            // Whoever lists next finds it.
            let query = FileQuery { file, min_position: Some(reply.position) };
            _ = ask::<FileRow>(&caller, ("file", "show"), &query).await;
            Ok(row)
        }
        Err(error) => {
            // What cannot be removed now ends by itself.
            _ = kept.remove(&file).await;
            Err(error)
        }
    }
}

fn new_file(face: &OpenAi) -> Result<FileId, Error> {
    FileId::new(format!("file-{}", face.management.ids.unique())).map_err(|error| Error::unavailable(error.to_string()))
}

/// What separates the fields of the form.
fn boundary(headers: &HeaderMap) -> Result<String, Error> {
    let coding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    if let Some(coding) = coding.filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Error::UnknownCoding(coding.chars().take(40).collect()));
    }
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    multer::parse_boundary(said).map_err(|_| {
        Error::bad("Content-Type", "a file comes as multipart/form-data with the fields `file` and `purpose`")
    })
}

/// A form that is being read.
struct Form<'a> {
    file: FileId,
    files: &'a TenantFiles,
    bounds: FileBounds,
    fields: Fields,
}

/// What the form says beside the file itself.
#[derive(Default)]
struct Fields {
    name: Option<String>,
    purpose: Option<String>,
    anchor: Option<String>,
    seconds: Option<String>,
}

/// The same, once it is known to be right.
struct Checked {
    name: String,
    purpose: FilePurpose,
    kept_for: Option<Duration>,
}

impl Form<'_> {
    async fn receive(mut self, mut form: Multipart<'_>) -> Result<(Written, Fields), Error> {
        let mut written = None;
        while let Some(field) = self.in_time(form.next_field()).await? {
            let said = field.name().unwrap_or_default().to_owned();
            let known = match said.as_str() {
                "file" if written.is_some() => {
                    return Err(Error::bad("file", "is there more than once: send one file"));
                }
                "file" => {
                    self.fields.name = Some(field.file_name().unwrap_or("file").to_owned());
                    written = Some(self.take(field).await?);
                    continue;
                }
                "purpose" => &mut self.fields.purpose,
                "expires_after[anchor]" => &mut self.fields.anchor,
                "expires_after[seconds]" => &mut self.fields.seconds,
                _ => {
                    let shown: String = said.chars().take(80).collect();
                    return Err(Error::bad(&shown, "is no field here: send file, purpose and expires_after"));
                }
            };
            let text = read_text(field, &said, self.bounds.stall_max).await?;
            if known.replace(text).is_some() {
                return Err(Error::bad(&said, "is there more than once"));
            }
        }
        let written = written.ok_or_else(|| Error::bad("file", "is missing"))?;
        if written.bytes == 0 {
            return Err(Error::bad("file", "is empty"));
        }
        Ok((written, self.fields))
    }

    /// The file itself.
    async fn take(&self, mut field: Field<'_>) -> Result<Written, Error> {
        let mut writer: FileWriter = self.files.write(self.file.clone(), self.bounds.kept_for);
        while let Some(piece) = self.in_time(field.chunk()).await? {
            if writer.bytes() + piece.len() as u64 > self.bounds.bytes_max {
                return Err(Error::TooLarge(usize::try_from(self.bounds.bytes_max).unwrap_or(usize::MAX)));
            }
            writer.push(piece).await?;
        }
        Ok(writer.finish().await?)
    }

    async fn in_time<T>(&self, coming: impl Future<Output = multer::Result<T>>) -> Result<T, Error> {
        in_time(self.bounds.stall_max, coming).await
    }
}

async fn in_time<T>(stall_max: Duration, coming: impl Future<Output = multer::Result<T>>) -> Result<T, Error> {
    match tokio::time::timeout(stall_max, coming).await {
        Ok(came) => came.map_err(|error| {
            steward_calls::Error::BadRequest { param: None, message: format!("the form cannot be read: {error}") }
                .into()
        }),
        Err(_) => Err(Error::TooSlow),
    }
}

/// A short text.
async fn read_text(mut field: Field<'_>, name: &str, stall_max: Duration) -> Result<String, Error> {
    let mut text = Vec::new();
    while let Some(piece) = in_time(stall_max, field.chunk()).await? {
        if text.len() + piece.len() > TEXT_BYTES_MAX {
            return Err(Error::bad(name, format!("is longer than {TEXT_BYTES_MAX} bytes")));
        }
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).map_err(|_| Error::bad(name, "is no UTF-8"))
}

impl Fields {
    fn checked(self, key: &AuthenticatedKey) -> Result<Checked, Error> {
        let name = self.name.unwrap_or_default();
        if name.len() > TEXT_BYTES_MAX || name.chars().any(is_refused) {
            return Err(Error::bad(
                "file",
                format!("has a name that is longer than {TEXT_BYTES_MAX} bytes or not seen"),
            ));
        }
        let purpose = self.purpose.ok_or_else(|| Error::bad("purpose", "is missing"))?;
        let purpose: FilePurpose = purpose.parse().map_err(|error| Error::bad("purpose", format!("{error}")))?;
        if purpose == FilePurpose::BatchOutput && key.batch().is_none() {
            return Err(Error::bad(
                "purpose",
                "batch_output is for the files that a batch makes: use batch or user_data",
            ));
        }
        if self.anchor.as_deref().is_some_and(|anchor| anchor != "created_at") {
            return Err(Error::bad("expires_after[anchor]", "must be created_at"));
        }
        let kept_for = match &self.seconds {
            None if self.anchor.is_some() => return Err(Error::bad("expires_after[seconds]", "is missing")),
            None => None,
            Some(seconds) => Some(kept_for("expires_after[seconds]", seconds.parse().ok())?),
        };
        Ok(Checked { name, purpose, kept_for })
    }
}

/// How long a file is kept that is to end so many seconds after it came.
pub(super) fn kept_for(field: &str, seconds: Option<u64>) -> Result<Duration, Error> {
    let seconds = seconds.filter(|seconds| KEPT_SECONDS.contains(seconds)).ok_or_else(|| {
        Error::bad(field, format!("must be a number from {} to {}", KEPT_SECONDS.start(), KEPT_SECONDS.end()))
    })?;
    Ok(Duration::from_secs(seconds))
}

/// Has the file recorded, and how it looks then.
async fn record(
    face: &OpenAi,
    parts: &Parts,
    key: &AuthenticatedKey,
    (files, file): (&TenantFiles, FileId),
    Written { bytes, digest }: Written,
    Checked { name, purpose, kept_for }: Checked,
) -> Result<(FileRow, Reply), Error> {
    let now = face.management.clock.now();
    if let Some(kept_for) = kept_for {
        // The form may say it after the file.
        files.keep_for(&file, bytes, kept_for).await?;
    }
    let expires = now.plus(kept_for.unwrap_or(face.files.kept_for));
    let (scope, kept_by) = (key.place(), key.holder.principal.clone());
    let row = FileRow { file, name, purpose, bytes, scope, kept_at: now, kept_by, expires };
    let keep = KeepFile {
        file: row.file.clone(),
        scope: row.scope.clone(),
        purpose,
        bytes,
        digest,
        name: Content::Plain(FileName(row.name.clone())),
        expires,
        kept_by: row.kept_by.clone(),
        kept_with: key.holder.key_ref(),
        tenant_bytes_max: face.files.per_tenant_bytes_max,
    };
    let reply = face.management.bus.command(request(face, parts, key, &keep)?).await?;
    Ok((row, reply.into_result().map_err(Error::Decided)?))
}

/// The gateway says itself that it has the file, for its owner.
fn request(face: &OpenAi, parts: &Parts, key: &AuthenticatedKey, keep: &KeepFile) -> Result<BusRequest, Error> {
    let format = Format::MessagePack;
    let unavailable = |error: &dyn std::fmt::Display| Error::unavailable(error.to_string());
    Ok(BusRequest {
        tenant: key.holder.tenant.clone(),
        principal: PrincipalId::system(SystemPart::Gateway),
        noun: "file".to_owned(),
        verb: "keep".to_owned(),
        envelope: Envelope {
            command: CommandId::new(face.management.ids.unique()).map_err(|error| unavailable(&error))?,
            issued_at: face.management.clock.now(),
            on_behalf_of: Some(key.holder.principal.clone()),
            causation: None,
            correlation: Arrival::of(parts).id.clone(),
            traceparent: steward_ports::trace::current_traceparent(),
        },
        format,
        body: format.write(keep).map_err(|error| unavailable(&error))?.into(),
    })
}
