//! A chat request, read as the canonical form has it.

use bytes::Bytes;
use serde_json::Number;

use super::content;
use crate::ModelRequest;
use crate::canonical::{Content, Format, Message, Part, Request, Role, Thinking, Tool, ToolChoice, ToolUse};
use crate::error::Error;
use crate::object::Reading;

/// Reads a request.
pub(super) fn read(request: &ModelRequest) -> Result<Request, Error> {
    let mut body = Reading::of_request(request.body.clone());
    body.pass_over(&["model", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens"]);
    // Where the provider keeps what it read changes no answer, nor do notes on it.
    body.pass_over(&["prompt_cache_key", "prompt_cache_retention", "metadata"]);
    body.only("service_tier", &["auto", "default"])?;
    body.only("verbosity", &["medium"])?;
    only_text(&mut body)?;
    let read = Request {
        messages: messages(&mut body)?,
        tools: body.list("tools")?.into_iter().map(|(place, item)| tool(place, &item)).collect::<Result<_, _>>()?,
        tool_choice: tool_choice(&mut body)?,
        parallel_tools: body.flag("parallel_tool_calls")?,
        stop: stop(&mut body)?,
        temperature: number(&mut body, "temperature")?,
        top_p: number(&mut body, "top_p")?,
        top_k: body.read("top_k", "a whole number")?,
        seed: body.read("seed", "a whole number")?,
        frequency_penalty: penalty(&mut body, "frequency_penalty")?,
        presence_penalty: penalty(&mut body, "presence_penalty")?,
        thinking: body.text("reasoning_effort")?.map(|effort| match effort.as_str() {
            "none" => Thinking::Off,
            _ => Thinking::Effort(effort),
        }),
        format: format(&mut body)?,
        user: user(&mut body)?,
        choices: request.choices,
        stream: request.stream,
    };
    body.end()?;
    Ok(read)
}

fn number(body: &mut Reading, name: &str) -> Result<Option<Number>, Error> {
    body.read(name, "a number")
}

/// A penalty of nothing is none.
fn penalty(body: &mut Reading, name: &str) -> Result<Option<Number>, Error> {
    Ok(number(body, name)?.filter(|penalty| penalty.as_f64() != Some(0.0)))
}

/// The newer field counts.
fn user(body: &mut Reading) -> Result<Option<String>, Error> {
    let (older, newer) = (body.text("user")?, body.text("safety_identifier")?);
    Ok(newer.or(older))
}

fn only_text(body: &mut Reading) -> Result<(), Error> {
    let modalities: Option<Vec<String>> = body.read("modalities", "a list of strings")?;
    match modalities {
        Some(modalities) if modalities != ["text"] => Err(body.untranslatable("modalities")),
        _ => Ok(()),
    }
}

fn stop(body: &mut Reading) -> Result<Vec<String>, Error> {
    let Some(stop) = body.raw("stop") else { return Ok(Vec::new()) };
    let one = serde_json::from_slice::<String>(&stop).map(|text| vec![text]);
    one.or_else(|_| serde_json::from_slice(&stop))
        .map_err(|_| body.bad("stop", "must be a string or a list of strings"))
}

fn messages(body: &mut Reading) -> Result<Vec<Message>, Error> {
    body.list("messages")?.into_iter().map(|(place, item)| message(place, &item)).collect()
}

fn message(place: String, json: &Bytes) -> Result<Message, Error> {
    let mut it = Reading::of(place, json)?;
    let (said_by, mut name) = (it.needed("role")?, it.text("name")?);
    let (role, parts) = match said_by.as_str() {
        "system" | "developer" => (Role::System, content::read(&mut it)?),
        "user" => (Role::User, content::read(&mut it)?),
        "assistant" => (Role::Assistant, assistant(&mut it)?),
        "tool" => {
            // The call that it answers says which tool that was.
            name = None;
            (Role::User, vec![result(&mut it)?])
        }
        _ => return Err(it.untranslatable("role")),
    };
    it.end()?;
    Ok(Message { role, name, parts })
}

fn assistant(it: &mut Reading) -> Result<Vec<Part>, Error> {
    it.pass_over(&["annotations"]);
    let mut parts = thinking(it)?;
    parts.extend(content::read(it)?);
    if let Some(refusal) = it.text("refusal")? {
        parts.push(plain(Content::Refusal(refusal)));
    }
    for (place, call) in it.list("tool_calls")? {
        parts.push(plain(Content::ToolUse(tool_use(place, &call)?)));
    }
    Ok(parts)
}

/// What the model thought, as answers of Steward tell it: with its provider's proof if there is one.
fn thinking(it: &mut Reading) -> Result<Vec<Part>, Error> {
    let blocks = it.list("thinking_blocks")?;
    let [text, other] = [it.text("reasoning_content")?, it.text("reasoning")?];
    if blocks.is_empty() {
        let text = text.or(other).filter(|text| !text.is_empty());
        return Ok(text.map(|text| plain(Content::Thinking { text, signature: None })).into_iter().collect());
    }
    blocks.into_iter().map(|(place, block)| thinking_block(place, &block)).collect()
}

fn thinking_block(place: String, json: &Bytes) -> Result<Part, Error> {
    let mut it = Reading::of(place, json)?;
    let content = match it.needed("type")?.as_str() {
        "thinking" => Content::Thinking { text: it.needed("thinking")?, signature: it.text("signature")? },
        "redacted_thinking" => Content::HiddenThinking(it.needed("data")?),
        _ => return Err(it.untranslatable("type")),
    };
    it.end()?;
    Ok(plain(content))
}

fn tool_use(place: String, json: &Bytes) -> Result<ToolUse, Error> {
    let mut it = Reading::of(place, json)?;
    it.pass_over(&["index"]);
    it.only("type", &["function"])?;
    let id = it.needed("id")?;
    let mut function = it.object("function")?.ok_or_else(|| it.bad("function", "is missing"))?;
    let (name, input) = (function.needed("name")?, function.text("arguments")?.unwrap_or_default());
    function.end()?;
    it.end()?;
    Ok(ToolUse { id, name, input })
}

fn result(it: &mut Reading) -> Result<Part, Error> {
    let id = it.needed("tool_call_id")?;
    Ok(plain(Content::ToolResult { id, parts: content::read(it)?, is_error: false }))
}

const fn plain(content: Content) -> Part {
    Part { content, cache_until_here: None }
}

fn tool(place: String, json: &Bytes) -> Result<Tool, Error> {
    let mut it = Reading::of(place, json)?;
    it.only("type", &["function"])?;
    let cache_until_here = content::cache(&mut it)?;
    let mut function = it.object("function")?.ok_or_else(|| it.untranslatable("type"))?;
    let tool = Tool {
        name: function.needed("name")?,
        description: function.text("description")?,
        parameters: function.json("parameters")?,
        strict: function.flag("strict")?,
        cache_until_here,
    };
    function.end()?;
    it.end()?;
    Ok(tool)
}

fn tool_choice(body: &mut Reading) -> Result<Option<ToolChoice>, Error> {
    let Some(choice) = body.raw("tool_choice") else { return Ok(None) };
    if let Ok(word) = serde_json::from_slice::<String>(&choice) {
        return match word.as_str() {
            "auto" => Ok(Some(ToolChoice::Auto)),
            "none" => Ok(Some(ToolChoice::Never)),
            "required" => Ok(Some(ToolChoice::Any)),
            _ => Err(body.untranslatable("tool_choice")),
        };
    }
    let mut it = Reading::of("tool_choice".to_owned(), &choice)?;
    it.only("type", &["function"])?;
    let mut function = it.object("function")?.ok_or_else(|| it.untranslatable("type"))?;
    let name = function.needed("name")?;
    function.end()?;
    it.end()?;
    Ok(Some(ToolChoice::Named(name)))
}

fn format(body: &mut Reading) -> Result<Option<Format>, Error> {
    let Some(mut it) = body.object("response_format")? else { return Ok(None) };
    let format = match it.needed("type")?.as_str() {
        "text" => None,
        "json_object" => Some(Format::Json),
        "json_schema" => {
            let mut inner = it.object("json_schema")?.ok_or_else(|| it.bad("json_schema", "is missing"))?;
            let schema = inner.json("schema")?.ok_or_else(|| inner.bad("schema", "is missing"))?;
            let (name, description) = (inner.needed("name")?, inner.text("description")?);
            let strict = inner.flag("strict")?;
            inner.end()?;
            Some(Format::Schema { name, description, schema, strict })
        }
        _ => return Err(it.untranslatable("type")),
    };
    it.end()?;
    Ok(format)
}
