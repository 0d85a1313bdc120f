//! What a message holds, between chat completions and the canonical form.

use bytes::Bytes;

use crate::canonical::{CacheFor, Content, Part, Source};
use crate::error::Error;
use crate::object::{Reading, Writing, untranslatable};

/// Reads the field `content`: nothing, a text or parts.
pub(super) fn read(it: &mut Reading) -> Result<Vec<Part>, Error> {
    let Some(content) = it.raw("content") else { return Ok(Vec::new()) };
    if let Ok(text) = serde_json::from_slice::<String>(&content) {
        return Ok(vec![Part { content: Content::Text(text), cache_until_here: None }]);
    }
    it.put_back("content", content);
    it.list("content")?.into_iter().map(|(place, item)| part(place, &item)).collect()
}

fn part(place: String, json: &Bytes) -> Result<Part, Error> {
    let mut it = Reading::of(place, json)?;
    let cache_until_here = cache(&mut it)?;
    let content = match it.needed("type")?.as_str() {
        "text" => Content::Text(it.needed("text")?),
        "refusal" => Content::Refusal(it.needed("refusal")?),
        "image_url" => Content::Image(image(&mut it)?),
        "input_audio" => Content::Audio(audio(&mut it)?),
        "file" => file(&mut it)?,
        _ => return Err(it.untranslatable("type")),
    };
    it.end()?;
    Ok(Part { content, cache_until_here })
}

fn image(it: &mut Reading) -> Result<Source, Error> {
    let mut image = it.object("image_url")?.ok_or_else(|| it.bad("image_url", "is missing"))?;
    // Others look at all of an image.
    image.only("detail", &["auto", "high"])?;
    let url = image.needed("url")?;
    let source = source(&url).ok_or_else(|| image.bad("url", "must hold its data in base64"))?;
    image.end()?;
    Ok(source)
}

/// An address, or the data that it is itself; none if that is not in base64.
fn source(url: &str) -> Option<Source> {
    let Some(rest) = url.strip_prefix("data:") else { return Some(Source::Url(url.to_owned())) };
    let (media_type, data) = rest.split_once(";base64,")?;
    Some(Source::Data { media_type: media_type.to_owned(), data: data.to_owned() })
}

fn audio(it: &mut Reading) -> Result<Source, Error> {
    let mut audio = it.object("input_audio")?.ok_or_else(|| it.bad("input_audio", "is missing"))?;
    let format = match audio.needed("format")?.as_str() {
        "mp3" => "mpeg".to_owned(),
        other => other.to_owned(),
    };
    let source = Source::Data { media_type: format!("audio/{format}"), data: audio.needed("data")? };
    audio.end()?;
    Ok(source)
}

fn file(it: &mut Reading) -> Result<Content, Error> {
    let mut file = it.object("file")?.ok_or_else(|| it.bad("file", "is missing"))?;
    let name = file.text("filename")?;
    let from = match (file.text("file_data")?, file.text("file_id")?) {
        (Some(data), None) => source(&data).filter(|source| matches!(source, Source::Data { .. })),
        (None, Some(id)) => Some(Source::Id(id)),
        _ => None,
    };
    let from = from.ok_or_else(|| file.bad("file_data", "must be a data URL in base64, or file_id an id"))?;
    file.end()?;
    Ok(Content::Document(from, name))
}

/// A part of a user's message, as chat completions have it.
pub(super) fn write(content: &Content, place: &str) -> Result<Bytes, Error> {
    let part = |kind: &str| Writing::new().with("type", kind);
    Ok(match content {
        Content::Text(text) | Content::Refusal(text) => part("text").with("text", text).end(),
        Content::Image(from) => {
            let url = url(from).ok_or_else(|| untranslatable(place))?;
            part("image_url").with_json("image_url", &Writing::new().with("url", &url).end()).end()
        }
        Content::Document(from, name) => {
            let file = Writing::new().perhaps("filename", name.as_ref());
            let file = match from {
                // A name is wanted where there is data.
                Source::Data { .. } if name.is_none() => {
                    file.with("filename", "document").perhaps("file_data", url(from).as_ref())
                }
                Source::Data { .. } => file.perhaps("file_data", url(from).as_ref()),
                Source::Id(id) => file.with("file_id", id),
                Source::Url(_) => return Err(untranslatable(place)),
            };
            part("file").with_json("file", &file.end()).end()
        }
        Content::Audio(Source::Data { media_type, data }) => {
            let format = media_type.strip_prefix("audio/").ok_or_else(|| untranslatable(place))?;
            let format = if format == "mpeg" { "mp3" } else { format };
            let audio = Writing::new().with("data", data).with("format", format).end();
            part("input_audio").with_json("input_audio", &audio).end()
        }
        Content::Audio(_)
        | Content::ToolUse(_)
        | Content::ToolResult { .. }
        | Content::Thinking { .. }
        | Content::HiddenThinking(_) => return Err(untranslatable(place)),
    })
}

/// As an address; none for what only its provider has.
fn url(from: &Source) -> Option<String> {
    match from {
        Source::Data { media_type, data } => Some(format!("data:{media_type};base64,{data}")),
        Source::Url(url) => Some(url.clone()),
        Source::Id(_) => None,
    }
}

/// What some servers know beside OpenAI's own fields: where a cache is to end.
pub(super) fn cache(it: &mut Reading) -> Result<Option<CacheFor>, Error> {
    let Some(mut control) = it.object("cache_control")? else { return Ok(None) };
    control.only("type", &["ephemeral"])?;
    let lasts = match control.text("ttl")?.as_deref() {
        None | Some("5m") => CacheFor::Short,
        Some("1h") => CacheFor::Hour,
        Some(_) => return Err(control.untranslatable("ttl")),
    };
    control.end()?;
    Ok(Some(lasts))
}
