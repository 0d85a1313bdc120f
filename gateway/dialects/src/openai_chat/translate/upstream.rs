//! A request in the canonical form, written as chat completions for an upstream.

use bytes::Bytes;
use serde_json::json;

use super::content;
use crate::canonical::{Content, Format, Message, Part, Request, Role, Thinking, Tool, ToolChoice};
use crate::error::Error;
use crate::object::{Writing, untranslatable};
use crate::{Recipient, Speaks};

/// Bytes of a name for who is behind the caller that OpenAI takes.
const USER_BYTES_MAX: usize = 64;

/// Writes a request.
pub(super) fn write(request: &Request, to: &Recipient<'_>) -> Result<Bytes, Error> {
    let Speaks::OpenAiChat { limit_field, stream_options, .. } = to.speaks else {
        return Err(untranslatable("model"));
    };
    let mut messages = Vec::with_capacity(request.messages.len());
    for (number, message) in request.messages.iter().enumerate() {
        put_message(&mut messages, message, &format!("messages.{number}"))?;
    }
    let mut body = Writing::new()
        .with("model", to.model)
        .with_list("messages", &messages)
        .with(limit_field.name(), &to.output_max)
        .perhaps("temperature", request.temperature.as_ref())
        .perhaps("top_p", request.top_p.as_ref())
        .perhaps("top_k", request.top_k.as_ref())
        .perhaps("seed", request.seed.as_ref())
        .perhaps("frequency_penalty", request.frequency_penalty.as_ref())
        .perhaps("presence_penalty", request.presence_penalty.as_ref())
        // A longer one is refused, and it changes no answer.
        .perhaps("user", request.user.as_ref().filter(|user| user.len() <= USER_BYTES_MAX))
        .perhaps("reasoning_effort", request.thinking.as_ref().and_then(effort))
        .perhaps("stop", Some(&request.stop).filter(|stop| !stop.is_empty()))
        .perhaps("n", Some(&request.choices).filter(|choices| **choices > 1));
    if !request.tools.is_empty() {
        let tools: Vec<Bytes> = request.tools.iter().map(tool).collect();
        body = body.with_list("tools", &tools).perhaps("parallel_tool_calls", request.parallel_tools.as_ref());
    }
    if let Some(choice) = &request.tool_choice {
        body = body.with_json("tool_choice", &tool_choice(choice));
    }
    if let Some(format) = &request.format {
        body = body.with_json("response_format", &response_format(format));
    }
    if request.stream {
        body = body.with("stream", &true);
        if stream_options {
            body = body.with("stream_options", &json!({ "include_usage": true }));
        }
    }
    Ok(body.end())
}

/// In OpenAI's words; none where the model thinks as it likes.
fn effort(thinking: &Thinking) -> Option<&str> {
    match thinking {
        Thinking::Off => Some("none"),
        Thinking::Adaptive => None,
        Thinking::Effort(effort) if effort == "max" => Some("xhigh"),
        Thinking::Effort(effort) => Some(effort),
        Thinking::Tokens(..=4_096) => Some("low"),
        Thinking::Tokens(..=16_384) => Some("medium"),
        Thinking::Tokens(_) => Some("high"),
    }
}

fn put_message(to: &mut Vec<Bytes>, message: &Message, place: &str) -> Result<(), Error> {
    match message.role {
        Role::System => put_said(to, "system", message, &contents(&message.parts, place)?),
        Role::User => {
            let mut rest = Vec::new();
            for (number, part) in message.parts.iter().enumerate() {
                let place = format!("{place}.content.{number}");
                match &part.content {
                    Content::ToolResult { id, parts, is_error } => {
                        to.push(tool_result(id, parts, *is_error));
                        // A tool's message holds text only: what else it answered follows as the user's.
                        let others = parts.iter().filter(|part| text(&part.content).is_none());
                        for other in others {
                            rest.push(Said::of(&other.content, &place)?);
                        }
                    }
                    content => rest.push(Said::of(content, &place)?),
                }
            }
            put_said(to, "user", message, &rest);
        }
        Role::Assistant => to.extend(assistant(message, place)?),
    }
    Ok(())
}

/// Something of a message.
enum Said<'a> {
    Text(&'a str),
    Part(Bytes),
}

impl<'a> Said<'a> {
    fn of(content: &'a Content, place: &str) -> Result<Self, Error> {
        match text(content) {
            Some(text) => Ok(Self::Text(text)),
            None => content::write(content, place).map(Self::Part),
        }
    }

    fn part(&self) -> Bytes {
        match self {
            Self::Text(text) => Writing::new().with("type", "text").with("text", text).end(),
            Self::Part(part) => part.clone(),
        }
    }
}

fn contents<'a>(parts: &'a [Part], place: &str) -> Result<Vec<Said<'a>>, Error> {
    let said = |(number, part): (usize, &'a Part)| Said::of(&part.content, &format!("{place}.content.{number}"));
    parts.iter().enumerate().map(said).collect()
}

/// One text goes as such: every server takes that.
fn put_said(to: &mut Vec<Bytes>, role: &str, message: &Message, said: &[Said<'_>]) {
    let writing = Writing::new().with("role", role).perhaps("name", message.name.as_ref());
    to.extend(match said {
        [] => None,
        [Said::Text(text)] => Some(writing.with("content", text).end()),
        parts => Some(writing.with_list("content", &parts.iter().map(Said::part).collect::<Vec<_>>()).end()),
    });
}

fn text(content: &Content) -> Option<&str> {
    match content {
        Content::Text(text) | Content::Refusal(text) => Some(text),
        _ => None,
    }
}

/// All its text; that the tool failed has no other place than there.
fn tool_result(id: &str, parts: &[Part], is_error: bool) -> Bytes {
    let said = parts.iter().filter_map(|part| text(&part.content)).collect::<Vec<_>>().join("\n");
    let said = if is_error { format!("Error: {said}") } else { said };
    Writing::new().with("role", "tool").with("tool_call_id", id).with("content", &said).end()
}

/// What the model thought stays behind: it is of use to its own provider only. None if nothing else is there.
fn assistant(message: &Message, place: &str) -> Result<Option<Bytes>, Error> {
    let (mut said, mut calls) = (String::new(), Vec::new());
    for (number, part) in message.parts.iter().enumerate() {
        match &part.content {
            Content::Text(text) | Content::Refusal(text) => said.push_str(text),
            Content::ToolUse(call) => {
                let function = Writing::new().with("name", &call.name).with("arguments", &call.input).end();
                let call = Writing::new().with("id", &call.id).with("type", "function");
                calls.push(call.with_json("function", &function).end());
            }
            Content::Thinking { .. } | Content::HiddenThinking(_) => {}
            Content::Image(_) | Content::Document(..) | Content::Audio(_) | Content::ToolResult { .. } => {
                return Err(untranslatable(&format!("{place}.content.{number}")));
            }
        }
    }
    if said.is_empty() && calls.is_empty() {
        return Ok(None);
    }
    let writing = Writing::new().with("role", "assistant").perhaps("name", message.name.as_ref());
    let writing = writing.with("content", &Some(said).filter(|said| !said.is_empty()));
    Ok(Some(if calls.is_empty() { writing } else { writing.with_list("tool_calls", &calls) }.end()))
}

fn tool(tool: &Tool) -> Bytes {
    let function = Writing::new()
        .with("name", &tool.name)
        .perhaps("description", tool.description.as_ref())
        .perhaps("parameters", tool.parameters.as_ref())
        .perhaps("strict", tool.strict.as_ref());
    Writing::new().with("type", "function").with_json("function", &function.end()).end()
}

fn tool_choice(choice: &ToolChoice) -> Vec<u8> {
    match choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::Never => json!("none"),
        ToolChoice::Any => json!("required"),
        ToolChoice::Named(name) => json!({ "type": "function", "function": { "name": name } }),
    }
    .to_string()
    .into_bytes()
}

fn response_format(format: &Format) -> Bytes {
    match format {
        Format::Json => Writing::new().with("type", "json_object").end(),
        Format::Schema { name, description, schema, strict } => {
            let inner = Writing::new()
                .with("name", name)
                .perhaps("description", description.as_ref())
                .with("schema", schema)
                .perhaps("strict", strict.as_ref());
            Writing::new().with("type", "json_schema").with_json("json_schema", &inner.end()).end()
        }
    }
}
