//! A request in the canonical form, written as Anthropic's messages for an upstream.

use bytes::Bytes;
use serde_json::{Value, json};
use steward_answers::json::Json;

use super::content::{with_cache, write as write_part};
use crate::anthropic::EffortForm;
use crate::canonical::{Format, Message, Request, Role, Thinking, Tool, ToolChoice};
use crate::error::Error;
use crate::object::{Writing, untranslatable};
use crate::{Recipient, Speaks};

/// Tokens that a model may think at least.
const BUDGET_MIN: u64 = 1_024;

/// Writes a request.
pub(super) fn write(request: &Request, to: &Recipient<'_>) -> Result<Bytes, Error> {
    refuse_what_has_no_words(request)?;
    let (system, messages) = conversation(&request.messages)?;
    let mut body = Writing::new()
        .with("model", to.model)
        .with("max_tokens", &to.output_max)
        .with_list("messages", &messages)
        .perhaps("temperature", request.temperature.as_ref())
        .perhaps("top_p", request.top_p.as_ref())
        .perhaps("top_k", request.top_k.as_ref())
        .perhaps("stop_sequences", Some(&request.stop).filter(|stop| !stop.is_empty()))
        .perhaps("stream", Some(&true).filter(|_| request.stream))
        .perhaps("thinking", thinking(request.thinking.as_ref(), to).as_ref());
    if !system.is_empty() {
        body = body.with_list("system", &system);
    }
    if !request.tools.is_empty() {
        body = body.with_list("tools", &request.tools.iter().map(tool).collect::<Vec<_>>());
        body = body.perhaps("tool_choice", tool_choice(request).as_ref());
    }
    if let Some(user) = &request.user {
        body = body.with("metadata", &json!({ "user_id": user }));
    }
    if let Some(config) = output_config(request, to) {
        body = body.with_json("output_config", &config);
    }
    Ok(body.end())
}

/// In OpenAI's words, which callers of other dialects know.
fn refuse_what_has_no_words(request: &Request) -> Result<(), Error> {
    let lacks = [
        ("n", request.choices > 1),
        ("seed", request.seed.is_some()),
        ("frequency_penalty", request.frequency_penalty.is_some()),
        ("presence_penalty", request.presence_penalty.is_some()),
        ("response_format", matches!(request.format, Some(Format::Json))),
    ];
    match lacks.into_iter().find(|(_, is_said)| *is_said) {
        Some((name, _)) => Err(untranslatable(name)),
        None => Ok(()),
    }
}

/// The instructions, which stand apart, and the rest: what one side says in several messages is one here.
fn conversation(said: &[Message]) -> Result<(Vec<Bytes>, Vec<Bytes>), Error> {
    let (mut system, mut turns) = (Vec::new(), Vec::<(Role, Vec<Bytes>)>::new());
    for (number, message) in said.iter().enumerate() {
        let place = format!("messages.{number}");
        if message.name.is_some() {
            return Err(untranslatable(&format!("{place}.name")));
        }
        let mut blocks = Vec::with_capacity(message.parts.len());
        for (number, part) in message.parts.iter().enumerate() {
            blocks.extend(write_part(part, &format!("{place}.content.{number}"))?);
        }
        match (message.role, turns.last_mut()) {
            (Role::System, _) => system.extend(blocks),
            (role, Some((last, turn))) if *last == role => turn.extend(blocks),
            (role, _) => turns.push((role, blocks)),
        }
    }
    let turns = turns.into_iter().filter(|(_, blocks)| !blocks.is_empty()).map(|(role, blocks)| {
        let role = if role == Role::Assistant { "assistant" } else { "user" };
        Writing::new().with("role", role).with_list("content", &blocks).end()
    });
    Ok((system, turns.collect()))
}

fn thinking(thinking: Option<&Thinking>, to: &Recipient<'_>) -> Option<Value> {
    match thinking? {
        Thinking::Off => Some(json!({ "type": "disabled" })),
        Thinking::Adaptive => Some(json!({ "type": "adaptive" })),
        Thinking::Effort(_) if by_word(to) => Some(json!({ "type": "adaptive" })),
        Thinking::Effort(effort) => budget(tokens_of(effort), to.output_max),
        Thinking::Tokens(tokens) => budget(*tokens, to.output_max),
    }
}

fn by_word(to: &Recipient<'_>) -> bool {
    !matches!(to.speaks, Speaks::Anthropic { effort: EffortForm::Tokens })
}

/// How many tokens a word for effort is worth.
fn tokens_of(effort: &str) -> u64 {
    match effort {
        "minimal" => BUDGET_MIN,
        "low" => 4_096,
        "medium" => 16_384,
        _ => 32_768,
    }
}

/// Within what may be written in all; none where that leaves no room for it.
fn budget(tokens: u64, output_max: u64) -> Option<Value> {
    let tokens = tokens.max(BUDGET_MIN).min(output_max.saturating_sub(1));
    (tokens >= BUDGET_MIN).then(|| json!({ "type": "enabled", "budget_tokens": tokens }))
}

fn output_config(request: &Request, to: &Recipient<'_>) -> Option<Bytes> {
    let effort = match &request.thinking {
        Some(Thinking::Effort(effort)) if by_word(to) => Some(if effort == "minimal" { "low" } else { effort }),
        _ => None,
    };
    let config = Writing::new().perhaps("effort", effort);
    match &request.format {
        Some(Format::Schema { schema, .. }) => {
            let format = Writing::new().with("type", "json_schema").with("schema", schema).end();
            Some(config.with_json("format", &format).end())
        }
        _ => effort.map(|_| config.end()),
    }
}

fn tool(tool: &Tool) -> Bytes {
    let writing = Writing::new().with("name", &tool.name).perhaps("description", tool.description.as_ref());
    let schema = tool.parameters.as_ref().filter(|schema| !Json::begun(schema.get().as_bytes()).is_nothing());
    let writing = match schema {
        Some(schema) => writing.with("input_schema", schema),
        None => writing.with("input_schema", &json!({ "type": "object", "properties": {} })),
    };
    let writing = writing.perhaps("strict", tool.strict.as_ref().filter(|strict| **strict));
    with_cache(writing, tool.cache_until_here).end()
}

fn tool_choice(request: &Request) -> Option<Value> {
    let mut choice = match &request.tool_choice {
        Some(ToolChoice::Never) => return Some(json!({ "type": "none" })),
        Some(ToolChoice::Auto) => json!({ "type": "auto" }),
        Some(ToolChoice::Any) => json!({ "type": "any" }),
        Some(ToolChoice::Named(name)) => json!({ "type": "tool", "name": name }),
        None if request.parallel_tools == Some(false) => json!({ "type": "auto" }),
        None => return None,
    };
    if request.parallel_tools == Some(false) {
        choice["disable_parallel_tool_use"] = Value::Bool(true);
    }
    Some(choice)
}
