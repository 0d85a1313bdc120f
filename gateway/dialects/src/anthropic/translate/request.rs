//! A request for a message, read as the canonical form has it.

use bytes::Bytes;
use serde_json::Number;

use super::content::{self, cache};
use crate::ModelRequest;
use crate::anthropic::betas;
use crate::canonical::{Format, Message, Request, Role, Thinking, Tool, ToolChoice};
use crate::error::Error;
use crate::object::Reading;

/// The name of a format, where the caller has none for it.
const FORMAT_NAME: &str = "answer";

/// Reads a request.
pub(super) fn read(request: &ModelRequest) -> Result<Request, Error> {
    let mut body = Reading::of_request(request.body.clone());
    body.pass_over(&["model", "stream", "max_tokens"]);
    // Where the provider keeps what it read changes no answer; a feature that is asked for shows in the fields that use it.
    body.pass_over(&["cache_control", "diagnostics", betas::FIELD]);
    body.only("service_tier", &["auto", "standard_only"])?;
    body.only("speed", &["standard"])?;
    only_clears_thinking(&mut body)?;
    let mut messages = content::read(&mut body, "system")?;
    let system = (!messages.is_empty()).then(|| Message {
        role: Role::System,
        name: None,
        parts: std::mem::take(&mut messages),
    });
    let said = body.list("messages")?.into_iter().map(|(place, item)| message(place, &item));
    let messages = system.map(Ok).into_iter().chain(said).collect::<Result<_, _>>()?;
    let (tool_choice, parallel_tools) = tool_choice(&mut body)?;
    let (effort, format) = output(&mut body)?;
    let read = Request {
        messages,
        tools: body.list("tools")?.into_iter().map(|(place, item)| tool(place, &item)).collect::<Result<_, _>>()?,
        tool_choice,
        parallel_tools,
        stop: body.read("stop_sequences", "a list of strings")?.unwrap_or_default(),
        temperature: number(&mut body, "temperature")?,
        top_p: number(&mut body, "top_p")?,
        top_k: body.read("top_k", "a whole number")?,
        thinking: effort.or(thinking(&mut body)?),
        format,
        user: user(&mut body)?,
        choices: request.choices,
        stream: request.stream,
        ..Request::default()
    };
    body.end()?;
    Ok(read)
}

fn number(body: &mut Reading, name: &str) -> Result<Option<Number>, Error> {
    body.read(name, "a number")
}

/// What the model thought is not sent to another provider, so to take it away is to do nothing.
fn only_clears_thinking(body: &mut Reading) -> Result<(), Error> {
    let Some(mut management) = body.object("context_management")? else { return Ok(()) };
    for (place, edit) in management.list("edits")? {
        let mut edit = Reading::of(place, &edit)?;
        if !edit.needed("type")?.starts_with("clear_thinking") {
            return Err(edit.untranslatable("type"));
        }
    }
    management.end()
}

fn message(place: String, json: &Bytes) -> Result<Message, Error> {
    let mut it = Reading::of(place, json)?;
    let role = match it.needed("role")?.as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return Err(it.untranslatable("role")),
    };
    let parts = content::read(&mut it, "content")?;
    it.end()?;
    Ok(Message { role, name: None, parts })
}

fn tool(place: String, json: &Bytes) -> Result<Tool, Error> {
    let mut it = Reading::of(place, json)?;
    it.only("type", &["custom"])?;
    // How its input comes changes nothing of it.
    it.pass_over(&["eager_input_streaming"]);
    let tool = Tool {
        name: it.needed("name")?,
        description: it.text("description")?,
        parameters: it.json("input_schema")?,
        strict: it.flag("strict")?,
        cache_until_here: cache(&mut it)?,
    };
    it.end()?;
    Ok(tool)
}

/// What must be called, and whether several may be at once.
fn tool_choice(body: &mut Reading) -> Result<(Option<ToolChoice>, Option<bool>), Error> {
    let Some(mut it) = body.object("tool_choice")? else { return Ok((None, None)) };
    let choice = match it.needed("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::Never,
        "any" => ToolChoice::Any,
        "tool" => ToolChoice::Named(it.needed("name")?),
        _ => return Err(it.untranslatable("type")),
    };
    let parallel = it.flag("disable_parallel_tool_use")?.map(|disabled| !disabled);
    it.end()?;
    Ok((Some(choice), parallel))
}

fn thinking(body: &mut Reading) -> Result<Option<Thinking>, Error> {
    let Some(mut it) = body.object("thinking")? else { return Ok(None) };
    // Whether it is shown is the other provider's matter.
    it.pass_over(&["display"]);
    let thinking = match it.needed("type")?.as_str() {
        // This is how it is if nothing is said.
        "disabled" => None,
        "adaptive" | "between_tools" => Some(Thinking::Adaptive),
        "enabled" => it.read("budget_tokens", "a whole number")?.map(Thinking::Tokens),
        _ => return Err(it.untranslatable("type")),
    };
    it.end()?;
    Ok(thinking)
}

/// How much effort, and in which form.
fn output(body: &mut Reading) -> Result<(Option<Thinking>, Option<Format>), Error> {
    let older = match body.object("output_format")? {
        Some(it) => Some(format(it)?),
        None => None,
    };
    let Some(mut it) = body.object("output_config")? else { return Ok((None, older)) };
    let effort = it.text("effort")?.map(Thinking::Effort);
    let newer = match it.object("format")? {
        Some(it) => Some(format(it)?),
        None => None,
    };
    it.end()?;
    Ok((effort, newer.or(older)))
}

fn format(mut it: Reading) -> Result<Format, Error> {
    it.only("type", &["json_schema"])?;
    let schema = it.json("schema")?.ok_or_else(|| it.bad("schema", "is missing"))?;
    let name = it.text("name")?.unwrap_or_else(|| FORMAT_NAME.to_owned());
    it.end()?;
    Ok(Format::Schema { name, description: None, schema, strict: Some(true) })
}

fn user(body: &mut Reading) -> Result<Option<String>, Error> {
    let Some(mut it) = body.object("metadata")? else { return Ok(None) };
    let user = it.text("user_id")?;
    it.end()?;
    Ok(user)
}
