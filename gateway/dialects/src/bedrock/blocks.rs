//! What is said, in Bedrock's blocks.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::canonical::{CacheFor, Content, Part, Source, ToolUse};
use crate::error::Error;

/// The longest id of a call that Bedrock takes.
const CALL_ID_BYTES_MAX: usize = 64;
/// The longest name of a document.
const NAME_CHARS_MAX: usize = 200;

/// A block: an object with one field, its kind.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Block<'a> {
    Text(&'a str),
    Image(Media<'a>),
    Document(Document<'a>),
    Audio(Media<'a>),
    ToolUse(Call<'a>),
    ToolResult(CallResult<'a>),
    ReasoningContent(Reasoning<'a>),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
pub(super) struct Media<'a> {
    format: &'a str,
    source: Place<'a>,
}

#[derive(Serialize)]
pub(super) struct Document<'a> {
    format: &'a str,
    name: String,
    source: Place<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Place<'a> {
    Bytes(&'a str),
    S3Location { uri: &'a str },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Call<'a> {
    tool_use_id: String,
    name: &'a str,
    input: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallResult<'a> {
    tool_use_id: String,
    content: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reasoning<'a> {
    ReasoningText { text: &'a str, signature: &'a str },
    RedactedContent(&'a str),
}

/// Where a provider is to remember up to.
#[derive(Serialize)]
pub(super) struct CachePoint {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

impl From<CacheFor> for CachePoint {
    fn from(time: CacheFor) -> Self {
        let ttl = match time {
            CacheFor::Short => None,
            CacheFor::Hour => Some("1h"),
        };
        Self { kind: "default", ttl }
    }
}

/// The blocks of one request: what it calls must have names that are its own.
#[derive(Default)]
pub(super) struct Blocks<'a> {
    /// Ids that Bedrock would not take, and those in their place.
    ids: HashMap<&'a str, String>,
    documents: usize,
}

impl<'a> Blocks<'a> {
    /// The blocks of these parts.
    pub(super) fn of(&mut self, parts: impl IntoIterator<Item = &'a Part>) -> Result<Vec<Block<'a>>, Error> {
        let mut blocks = Vec::new();
        for part in parts {
            blocks.extend(self.block(&part.content)?);
            if let Some(time) = part.cache_until_here.filter(|_| !blocks.is_empty()) {
                blocks.push(Block::CachePoint(time.into()));
            }
        }
        Ok(blocks)
    }

    /// None of what has no place: an empty text, which Bedrock refuses, and thoughts without their model's proof.
    fn block(&mut self, content: &'a Content) -> Result<Option<Block<'a>>, Error> {
        Ok(Some(match content {
            Content::Text(text) | Content::Refusal(text) if text.is_empty() => return Ok(None),
            Content::Text(text) | Content::Refusal(text) => Block::Text(text),
            Content::Image(source) => Block::Image(media(source, image_format)?),
            Content::Audio(source) => Block::Audio(media(source, audio_format)?),
            Content::Document(source, name) => {
                let Media { format, source } = media(source, document_format)?;
                self.documents += 1;
                Block::Document(Document { format, name: document_name(name.as_deref(), self.documents), source })
            }
            Content::ToolUse(tool_use) => Block::ToolUse(self.call(tool_use)?),
            Content::ToolResult { id, parts, is_error } => Block::ToolResult(CallResult {
                tool_use_id: self.id(id),
                content: self.result(parts)?,
                status: is_error.then_some("error"),
            }),
            Content::Thinking { text, signature: Some(signature) } => {
                Block::ReasoningContent(Reasoning::ReasoningText { text, signature })
            }
            Content::Thinking { signature: None, .. } => return Ok(None),
            Content::HiddenThinking(data) => Block::ReasoningContent(Reasoning::RedactedContent(data)),
        }))
    }

    fn call(&mut self, ToolUse { id, name, input }: &'a ToolUse) -> Result<Call<'a>, Error> {
        let input = if input.trim().is_empty() { "{}" } else { input };
        let object = serde_json::from_str::<&RawValue>(input).ok().filter(|input| input.get().starts_with('{'));
        let why = || Error::bad("messages", "what a tool is given must be a JSON object for Bedrock");
        Ok(Call { tool_use_id: self.id(id), name, input: object.ok_or_else(why)? })
    }

    /// Where the provider is to remember up to cannot stand within a result.
    fn result(&mut self, parts: &'a [Part]) -> Result<Vec<Block<'a>>, Error> {
        let mut blocks = Vec::new();
        for part in parts {
            match &part.content {
                content @ (Content::Text(_) | Content::Image(_) | Content::Document(..)) => {
                    blocks.extend(self.block(content)?);
                }
                _ => {
                    return Err(Error::bad(
                        "messages",
                        "Bedrock takes tools' results as text, images or documents only",
                    ));
                }
            }
        }
        Ok(blocks)
    }

    /// The id as it is if Bedrock takes it, else one in its place.
    fn id(&mut self, id: &'a str) -> String {
        let is_taken = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
        if (1..=CALL_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_taken) {
            return id.to_owned();
        }
        let number = self.ids.len() + 1;
        self.ids.entry(id).or_insert_with(|| format!("renamed-{number}")).clone()
    }
}

fn media<'a>(source: &'a Source, format: impl Fn(&str) -> Option<&'static str>) -> Result<Media<'a>, Error> {
    let unknown = |what: &str| Error::bad("messages", format!("Bedrock does not take {what}"));
    match source {
        Source::Data { media_type, data } => {
            let format = format(media_type).ok_or_else(|| unknown(media_type))?;
            Ok(Media { format, source: Place::Bytes(data) })
        }
        Source::Url(uri) if uri.starts_with("s3://") => {
            let extension = uri.rsplit_once('.').map_or("", |(_, extension)| extension);
            let format = of_extension(extension).and_then(format).ok_or_else(|| unknown("a file of this name"))?;
            Ok(Media { format, source: Place::S3Location { uri } })
        }
        Source::Url(_) => Err(unknown("what is at an address; only s3:// works")),
        Source::Id(_) => Err(unknown("files by their ids")),
    }
}

/// The media type that a file's name tells.
fn of_extension(extension: &str) -> Option<&'static str> {
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "csv" => "text/csv",
        "html" => "text/html",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        _ => return None,
    })
}

fn image_format(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        "image/png" => "png",
        "image/jpeg" | "image/jpg" => "jpeg",
        "image/gif" => "gif",
        "image/webp" => "webp",
        _ => return None,
    })
}

fn audio_format(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        "audio/mp3" | "audio/mpeg" => "mp3",
        "audio/wav" | "audio/x-wav" => "wav",
        "audio/flac" => "flac",
        "audio/aac" => "aac",
        "audio/ogg" => "ogg",
        "audio/opus" => "opus",
        "audio/webm" => "webm",
        "audio/mp4" | "audio/m4a" => "m4a",
        _ => return None,
    })
}

fn document_format(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        "application/pdf" => "pdf",
        "text/csv" => "csv",
        "application/msword" => "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "text/html" => "html",
        "text/plain" => "txt",
        "text/markdown" => "md",
        _ => return None,
    })
}

/// A name in the few characters that Bedrock takes. Numbered, because no two may be alike.
fn document_name(name: Option<&str>, number: usize) -> String {
    let is_taken = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']');
    let words = name.unwrap_or("document").split(|c| !is_taken(c)).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join(" ");
    let kept: String = name.chars().take(NAME_CHARS_MAX - 24).collect();
    format!("{} ({number})", if kept.is_empty() { "document" } else { kept.trim_end() })
}
