//! A request for a response in the canonical form.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{input, objects};
use crate::canonical::{Format, Message, Request, Role, Thinking, Tool, ToolChoice};
use crate::error::Error;
use crate::{Fields, ModelRequest};

/// Fields that are read into the canonical form, or by the pipeline.
const READ: &[&str] = &[
    "model",
    "input",
    "instructions",
    "stream",
    "max_output_tokens",
    "background",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
    "reasoning",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "user",
    "safety_identifier",
];

/// Fields that say what only a provider with this API does with a response beside answering: keep it, label it, find it in a
/// cache, bound tools of its own. Without one there is nothing of the kind.
const NO_MATTER: &[&str] =
    &["store", "metadata", "stream_options", "prompt_cache_key", "prompt_cache_retention", "max_tool_calls"];

/// Reads it.
pub(super) fn read(request: &ModelRequest) -> Result<Request, Error> {
    let body = &request.body;
    for (name, value) in body.iter() {
        if !can_be_said(name, value) {
            return Err(Error::bad(
                name,
                format!("`{name}` cannot be said so to this model's provider, which has no Responses API"),
            ));
        }
    }
    let mut messages = Vec::new();
    if let Some(instructions) = read_as::<String>(body, "instructions")? {
        messages.push(Message { role: Role::System, name: None, parts: vec![input::text(instructions)] });
    }
    if let Some(input) = said(body, "input") {
        messages.extend(input::read(input)?);
    }
    let user = read_as(body, "user")?;
    Ok(Request {
        messages,
        tools: tools(body)?,
        tool_choice: tool_choice(body)?,
        parallel_tools: read_as(body, "parallel_tool_calls")?,
        stop: Vec::new(),
        temperature: read_as(body, "temperature")?,
        top_p: read_as(body, "top_p")?,
        top_k: read_as(body, "top_k")?,
        seed: read_as(body, "seed")?,
        frequency_penalty: read_as(body, "frequency_penalty")?,
        presence_penalty: read_as(body, "presence_penalty")?,
        thinking: thinking(body)?,
        format: format(body)?,
        user: if user.is_some() { user } else { read_as(body, "safety_identifier")? },
        choices: 1,
        stream: request.stream,
    })
}

/// Whether a field can be said, or need not be.
fn can_be_said(name: &str, value: &Bytes) -> bool {
    let is_one_of = |words: &[&str]| word(value).is_some_and(|word| words.contains(&word.as_str()));
    match name {
        _ if value.as_ref() == b"null" => true,
        "truncation" => is_one_of(&["disabled"]),
        "service_tier" => is_one_of(&["auto", "default"]),
        "top_logprobs" => value.as_ref() == b"0",
        "include" => serde_json::from_slice::<Vec<String>>(value)
            .is_ok_and(|wanted| wanted.iter().all(|what| what != "message.output_text.logprobs")),
        _ => READ.contains(&name) || NO_MATTER.contains(&name),
    }
}

fn word(value: &Bytes) -> Option<String> {
    serde_json::from_slice(value).ok()
}

/// A field, unless it is `null`.
fn said<'a>(fields: &'a Fields, name: &str) -> Option<&'a Bytes> {
    fields.get(name).filter(|value| value.as_ref() != b"null")
}

fn read_as<'a, T: Deserialize<'a>>(body: &'a Fields, name: &str) -> Result<Option<T>, Error> {
    body.read_as(name).map_err(|error| Error::bad(name, format!("{name}: {error}")))
}

/// The fields of an object.
fn object(body: &Fields, name: &str) -> Result<Option<Fields>, Error> {
    let read = |value| Fields::read(value).map_err(|error| Error::bad(name, format!("{name}: {error}")));
    said(body, name).map(read).transpose()
}

fn tools(body: &Fields) -> Result<Vec<Tool>, Error> {
    let bad = |why: String| Error::bad("tools", why);
    let Some(list) = said(body, "tools") else { return Ok(Vec::new()) };
    let tools = objects(list).map_err(|error| bad(format!("tools: {error}")))?;
    let read = |(number, tool): (usize, Fields)| {
        let wrong = |error: serde_json::Error| bad(format!("tools[{number}]: {error}"));
        let kind: String = tool.read_as("type").map_err(wrong)?.unwrap_or_default();
        if kind != "function" {
            let kind: String = kind.chars().take(40).collect();
            return Err(bad(format!(
                "tools[{number}]: this model's provider runs no tool `{kind}`; functions can be given"
            )));
        }
        let name = tool.read_as("name").map_err(wrong)?;
        Ok(Tool {
            name: name.ok_or_else(|| bad(format!("tools[{number}]: a function has a name")))?,
            description: tool.read_as("description").map_err(wrong)?,
            parameters: tool.read_as::<Box<RawValue>>("parameters").map_err(wrong)?,
            strict: tool.read_as("strict").map_err(wrong)?,
            cache_until_here: None,
        })
    };
    tools.into_iter().enumerate().map(read).collect()
}

fn tool_choice(body: &Fields) -> Result<Option<ToolChoice>, Error> {
    let Some(value) = said(body, "tool_choice") else { return Ok(None) };
    let named = || {
        let choice = Fields::read(value).ok()?;
        let is_function = choice.read_as::<String>("type").ok()?.as_deref() == Some("function");
        choice.read_as::<String>("name").ok()?.filter(|_| is_function)
    };
    let choice = match word(value).as_deref() {
        Some("auto") => Some(ToolChoice::Auto),
        Some("none") => Some(ToolChoice::Never),
        Some("required") => Some(ToolChoice::Any),
        Some(_) => None,
        None => named().map(ToolChoice::Named),
    };
    let wrong = "tool_choice must be auto, none, required or a function for this model's provider";
    choice.map(Some).ok_or_else(|| Error::bad("tool_choice", wrong))
}

fn thinking(body: &Fields) -> Result<Option<Thinking>, Error> {
    let Some(reasoning) = object(body, "reasoning")? else { return Ok(None) };
    // A summary is given of what the provider tells, whether it was asked for or not.
    let known = |name: &str| matches!(name, "effort" | "summary" | "generate_summary");
    if let Some((name, _)) = reasoning.iter().find(|(name, value)| !known(name) && value.as_ref() != b"null") {
        return Err(Error::bad("reasoning", format!("reasoning.{name} cannot be said to this model's provider")));
    }
    let effort: Option<String> = read_as(&reasoning, "effort")?;
    Ok(effort.map(|effort| if effort == "none" { Thinking::Off } else { Thinking::Effort(effort) }))
}

fn format(body: &Fields) -> Result<Option<Format>, Error> {
    let Some(text) = object(body, "text")? else { return Ok(None) };
    let is_usual = |verbosity: &Bytes| word(verbosity).as_deref() == Some("medium");
    if said(&text, "verbosity").is_some_and(|verbosity| !is_usual(verbosity)) {
        return Err(Error::bad("text", "text.verbosity cannot be said to this model's provider"));
    }
    let Some(format) = object(&text, "format")? else { return Ok(None) };
    let bad = |why: &str| Error::bad("text", format!("text.format: {why}"));
    match read_as::<String>(&format, "type")?.as_deref() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(Format::Json)),
        Some("json_schema") => Ok(Some(Format::Schema {
            name: read_as(&format, "name")?.ok_or_else(|| bad("a schema has a name"))?,
            description: read_as(&format, "description")?,
            schema: read_as(&format, "schema")?.ok_or_else(|| bad("there is no schema"))?,
            strict: read_as(&format, "strict")?,
        })),
        _ => Err(bad("its type must be text, json_object or json_schema for this model's provider")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Dialect;
    use crate::openai_responses::OpenAiResponses;

    fn translated(body: &Value) -> Result<Request, Error> {
        read(&OpenAiResponses.read(&body.to_string().into()).unwrap())
    }

    #[test]
    fn a_full_request_is_read_into_the_canonical_form() {
        let body = json!({ "model": "m", "instructions": "be brief", "input": "add", "stream": true, "store": true,
            "tools": [{ "type": "function", "name": "add", "description": "adds", "parameters": { "type": "object" }, "strict": true }],
            "tool_choice": { "type": "function", "name": "add" }, "parallel_tool_calls": false, "temperature": 0.5,
            "top_p": 1, "reasoning": { "effort": "low", "summary": "auto" }, "safety_identifier": "u", "metadata": { "a": "b" },
            "include": ["reasoning.encrypted_content"], "truncation": "disabled", "previous_response_id": null,
            "text": { "verbosity": "medium", "format": { "type": "json_schema", "name": "sum", "schema": { "type": "object" }, "strict": true } } });
        let request = translated(&body).unwrap();
        let roles: Vec<Role> = request.messages.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::System, Role::User]);
        let tool = &request.tools[0];
        assert_eq!((tool.name.as_str(), tool.description.as_deref(), tool.strict), ("add", Some("adds"), Some(true)));
        assert_eq!(tool.parameters.as_ref().unwrap().get(), r#"{"type":"object"}"#);
        assert_eq!(request.tool_choice, Some(ToolChoice::Named("add".to_owned())));
        assert_eq!((request.parallel_tools, request.stream, request.choices), (Some(false), true, 1));
        assert_eq!(request.thinking, Some(Thinking::Effort("low".to_owned())));
        assert_eq!(request.user.as_deref(), Some("u"));
        assert_eq!(request.temperature.unwrap().to_string(), "0.5");
        assert!(matches!(request.format, Some(Format::Schema { name, strict: Some(true), .. }) if name == "sum"));
    }

    #[test]
    fn what_cannot_be_said_is_named() {
        for (field, value) in [
            ("previous_response_id", json!("resp_1")),
            ("conversation", json!("conv_1")),
            ("prompt", json!({ "id": "pmpt_1" })),
            ("tools", json!([{ "type": "web_search" }])),
            ("tools", json!([{ "type": "custom", "name": "f" }])),
            ("tools", json!([{ "type": "function" }])),
            ("tool_choice", json!({ "type": "web_search" })),
            ("tool_choice", json!("often")),
            ("truncation", json!("auto")),
            ("service_tier", json!("flex")),
            ("top_logprobs", json!(3)),
            ("include", json!(["message.output_text.logprobs"])),
            ("reasoning", json!({ "depth": "x" })),
            ("text", json!({ "verbosity": "low" })),
            ("text", json!({ "format": { "type": "grammar" } })),
            ("text", json!({ "format": { "type": "json_schema", "name": "x" } })),
            ("context_management", json!([{ "type": "compaction" }])),
            ("my_field", json!("x")),
            ("input", json!([{ "type": "item_reference", "id": "x" }])),
        ] {
            let mut body = json!({ "model": "m", "input": "hi" });
            body[field] = value;
            match translated(&body) {
                Err(Error::BadRequest { param, .. }) => assert_eq!(param.as_deref(), Some(field)),
                other => panic!("{field}: {other:?}"),
            }
        }
    }

    #[test]
    fn reasoning_may_be_switched_off() {
        let body = json!({ "model": "m", "input": "hi", "reasoning": { "effort": "none" }, "text": { "format": { "type": "text" } } });
        let request = translated(&body).unwrap();
        assert_eq!(request.thinking, Some(Thinking::Off));
        assert!(request.format.is_none());
    }
}
