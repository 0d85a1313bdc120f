//! What a message holds, between Anthropic's blocks and the canonical form.

use bytes::Bytes;
use serde_json::json;
use serde_json::value::RawValue;

use crate::canonical::{CacheFor, Content, Part, Source, ToolUse};
use crate::error::Error;
use crate::object::{Reading, Writing, untranslatable};

/// Reads the field `name`: nothing, a text or blocks.
pub(super) fn read(it: &mut Reading, name: &str) -> Result<Vec<Part>, Error> {
    let Some(content) = it.raw(name) else { return Ok(Vec::new()) };
    if let Ok(text) = serde_json::from_slice::<String>(&content) {
        return Ok(vec![Part { content: Content::Text(text), cache_until_here: None }]);
    }
    it.put_back(name, content);
    it.list(name)?.into_iter().map(|(place, item)| block(place, &item)).collect()
}

fn block(place: String, json: &Bytes) -> Result<Part, Error> {
    let mut it = Reading::of(place, json)?;
    let cache_until_here = cache(&mut it)?;
    let content = match it.needed("type")?.as_str() {
        "text" => {
            // Where an earlier answer found what it said is told to nobody else.
            it.pass_over(&["citations"]);
            Content::Text(it.needed("text")?)
        }
        "image" => Content::Image(source(&mut it)?),
        "document" => document(&mut it)?,
        "tool_use" => {
            it.pass_over(&["caller"]);
            let input = it.json("input")?.map_or_else(|| "{}".to_owned(), |input| input.get().to_owned());
            Content::ToolUse(ToolUse { id: it.needed("id")?, name: it.needed("name")?, input })
        }
        "tool_result" => Content::ToolResult {
            id: it.needed("tool_use_id")?,
            parts: read(&mut it, "content")?,
            is_error: it.flag("is_error")?.unwrap_or(false),
        },
        "thinking" => {
            // One of a provider that signs nothing is empty.
            let signature = it.text("signature")?.filter(|signature| !signature.is_empty());
            Content::Thinking { text: it.needed("thinking")?, signature }
        }
        "redacted_thinking" => Content::HiddenThinking(it.needed("data")?),
        _ => return Err(it.untranslatable("type")),
    };
    it.end()?;
    Ok(Part { content, cache_until_here })
}

/// Up to where the provider is to remember what it reads.
pub(super) fn cache(it: &mut Reading) -> Result<Option<CacheFor>, Error> {
    let Some(mut control) = it.object("cache_control")? else { return Ok(None) };
    // How far it reaches beyond this call is each provider's own.
    control.pass_over(&["type", "scope"]);
    let lasts = match control.text("ttl")?.as_deref() {
        Some("1h") => CacheFor::Hour,
        _ => CacheFor::Short,
    };
    control.end()?;
    Ok(Some(lasts))
}

fn source(it: &mut Reading) -> Result<Source, Error> {
    let mut source = it.object("source")?.ok_or_else(|| it.bad("source", "is missing"))?;
    let from = match source.needed("type")?.as_str() {
        "base64" => Source::Data { media_type: source.needed("media_type")?, data: source.needed("data")? },
        "url" => Source::Url(source.needed("url")?),
        // An id is its provider's own.
        _ => return Err(source.untranslatable("type")),
    };
    source.end()?;
    Ok(from)
}

/// A document in plain text is text.
fn document(it: &mut Reading) -> Result<Content, Error> {
    let title = it.text("title")?;
    if let Some(mut citations) = it.object("citations")?
        && citations.flag("enabled")? == Some(true)
    {
        return Err(it.untranslatable("citations"));
    }
    let raw = it.raw("source").ok_or_else(|| it.bad("source", "is missing"))?;
    let mut inner = Reading::of(it.place("source"), &raw)?;
    if inner.text("type")?.as_deref() == Some("text") {
        let text = inner.needed("data")?;
        return Ok(Content::Text(match title {
            Some(title) => format!("{title}\n\n{text}"),
            None => text,
        }));
    }
    it.put_back("source", raw);
    Ok(Content::Document(source(it)?, title))
}

/// Writes a block; none for what there is nothing to say of.
pub(super) fn write(part: &Part, place: &str) -> Result<Option<Bytes>, Error> {
    let block = |kind: &str| Writing::new().with("type", kind);
    let writing = match &part.content {
        // Empty ones are refused.
        Content::Text(text) | Content::Refusal(text) if text.trim().is_empty() => return Ok(None),
        Content::Text(text) | Content::Refusal(text) => block("text").with("text", text),
        Content::Image(from) => block("image").with_json("source", &write_source(from)),
        Content::Document(from, name) => {
            block("document").with_json("source", &write_source(from)).perhaps("title", name.as_ref())
        }
        Content::ToolUse(call) => {
            let input = object(&call.input).ok_or_else(|| {
                Error::bad(place, format!("{place}: what the tool is given must be a JSON object for this provider"))
            })?;
            block("tool_use").with("id", &plain_id(&call.id)).with("name", &call.name).with("input", input)
        }
        Content::ToolResult { id, parts, is_error } => {
            let mut blocks = Vec::with_capacity(parts.len());
            for part in parts {
                blocks.extend(write(part, place)?);
            }
            let result = block("tool_result").with("tool_use_id", &plain_id(id)).with_list("content", &blocks);
            result.perhaps("is_error", Some(is_error).filter(|is_error| **is_error))
        }
        Content::Thinking { text, signature: Some(signature) } => {
            block("thinking").with("thinking", text).with("signature", signature)
        }
        // Without a proof that it is the provider's own it is not taken back.
        Content::Thinking { signature: None, .. } => return Ok(None),
        Content::HiddenThinking(data) => block("redacted_thinking").with("data", data),
        Content::Audio(_) => return Err(untranslatable(place)),
    };
    Ok(Some(with_cache(writing, part.cache_until_here).end()))
}

/// With the end of a cache, if one is there.
pub(super) fn with_cache(writing: Writing, cache: Option<CacheFor>) -> Writing {
    let control = match cache {
        Some(CacheFor::Short) => json!({ "type": "ephemeral" }),
        Some(CacheFor::Hour) => json!({ "type": "ephemeral", "ttl": "1h" }),
        None => return writing,
    };
    writing.with("cache_control", &control)
}

fn write_source(from: &Source) -> Bytes {
    let source = |kind: &str| Writing::new().with("type", kind);
    match from {
        Source::Data { media_type, data } => source("base64").with("media_type", media_type).with("data", data),
        Source::Url(url) => source("url").with("url", url),
        Source::Id(id) => source("file").with("file_id", id),
    }
    .end()
}

/// What a tool is given: an object, which may be left out.
fn object(text: &str) -> Option<&RawValue> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    serde_json::from_str::<&RawValue>(text.trim()).ok().filter(|json| json.get().starts_with('{'))
}

/// An id in the letters that Anthropic takes: other providers' may have others.
fn plain_id(id: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    id.chars().map(plain).collect()
}
