//! Marks that tell a provider up to where to keep what it read, for providers that keep nothing by themselves: after the tools,
//! after the instructions, and before the newest message, so that what comes again is found and what is new is not paid for
//! twice. Three, where four are allowed; none where the caller set its own.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{MESSAGES, items, messages};
use crate::Fields;
use crate::canonical::{CacheFor, Content, Message, Request, Role};
use crate::object::list;

/// Parts of which a mark can follow.
const MARKABLE: [&str; 5] = ["text", "image", "document", "tool_use", "tool_result"];

/// Sets marks in a request that is translated.
pub fn mark(request: &mut Request) {
    let has_own = |message: &Message| message.parts.iter().any(|part| part.cache_until_here.is_some());
    if request.messages.iter().any(has_own) || request.tools.iter().any(|tool| tool.cache_until_here.is_some()) {
        return;
    }
    let short = Some(CacheFor::Short);
    if let Some(tool) = request.tools.last_mut() {
        tool.cache_until_here = short;
    }
    let instructs = |message: &&mut Message| message.role == Role::System;
    let last = request.messages.iter_mut().rfind(instructs).and_then(|message| message.parts.last_mut());
    if let Some(part) = last {
        part.cache_until_here = short;
    }
    let before = request.messages.iter_mut().rev().filter(|message| message.role != Role::System).nth(1);
    if let Some(part) = before.and_then(|message| message.parts.last_mut())
        && !matches!(part.content, Content::Thinking { .. } | Content::HiddenThinking(_))
    {
        part.cache_until_here = short;
    }
}

/// A request in Anthropic's words, with marks.
pub fn with_marks(body: Bytes) -> Bytes {
    let own = br#""cache_control""#;
    if body.windows(own.len()).any(|part| part == own) {
        return body;
    }
    let Ok(mut fields) = Fields::read(&body) else { return body };
    if let Some(mut tools) = fields.get("tools").and_then(|tools| items(tools, "tools").ok())
        && let Some(last) = tools.last_mut()
    {
        set(last);
        fields.set("tools", list(&tools).into());
    }
    if let Some(system) = fields.get("system").and_then(marked_content) {
        fields.set("system", system);
    }
    if let Some(mut messages) = messages(&fields)
        && let Some(before) = messages.len().checked_sub(2)
        && let Some(mut message) = messages.get(before).and_then(|message| Fields::read(message).ok())
        && let Some(content) = message.get("content").and_then(marked_content)
    {
        message.set("content", content);
        messages[before] = message.write();
        fields.set(MESSAGES, list(&messages).into());
    }
    fields.write()
}

/// A text or blocks with a mark after the last of them; none if that cannot have one.
fn marked_content(content: &Bytes) -> Option<Bytes> {
    if content.starts_with(b"\"") {
        let text: Value = serde_json::from_slice(content).ok()?;
        let is_empty = text.as_str().is_none_or(|text| text.trim().is_empty());
        let block = json!([{ "type": "text", "text": text, "cache_control": { "type": "ephemeral" } }]);
        return (!is_empty).then(|| block.to_string().into());
    }
    let mut blocks = items(content, "content").ok()?;
    let last = blocks.last_mut()?;
    let fields = Fields::read(last).ok()?;
    let kind: String = fields.read_as("type").ok()??;
    let is_empty = kind == "text" && fields.read_as::<String>("text").ok()??.trim().is_empty();
    if is_empty || !MARKABLE.contains(&kind.as_str()) {
        return None;
    }
    set(last);
    Some(list(&blocks).into())
}

fn set(object: &mut Bytes) {
    if let Ok(mut fields) = Fields::read(object) {
        fields.set("cache_control", Bytes::from_static(br#"{"type":"ephemeral"}"#));
        *object = fields.write();
    }
}
