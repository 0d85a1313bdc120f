//! A canonical request in Bedrock's words.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Number;
use serde_json::value::RawValue;

use super::super::Recipient;
use super::super::canonical::{Content, Format, Request, Thinking, Tool, ToolChoice};
use super::super::turns::{Turns, no_such};
use super::blocks::{Block, Blocks, CachePoint};
use crate::error::Error;

/// As errors name it.
const BEDROCK: &str = "Bedrock";

/// The request for `to`. Whether it is streamed, the path says.
pub(super) fn write(request: &Request, to: &Recipient<'_>) -> Result<Bytes, Error> {
    refuse_what_it_lacks(request)?;
    let said = Turns::of(&request.messages, BEDROCK)?;
    let mut blocks = Blocks::default();
    let mut messages = Vec::with_capacity(said.turns.len());
    for turn in &said.turns {
        let role = if turn.is_the_models { "assistant" } else { "user" };
        let content = blocks.of(turn.parts.iter().copied())?;
        if !content.is_empty() {
            messages.push(Message { role, content });
        }
    }
    let body = Body {
        system: instructions(blocks.of(said.instructions)?)?,
        messages,
        inference_config: InferenceConfig {
            max_tokens: to.output_max,
            temperature: request.temperature.as_ref(),
            top_p: request.top_p.as_ref(),
            stop_sequences: &request.stop,
        },
        tool_config: tool_config(request)?,
        output_config: output_config(request)?,
        additional_model_request_fields: of_claude(request, to.model)?,
    };
    let body = serde_json::to_vec(&body).map_err(|error| Error::bad("messages", error.to_string()))?;
    Ok(body.into())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Message<'a>>,
    inference_config: InferenceConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_request_fields: Option<OfClaude>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig<'a> {
    max_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a Number>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    tools: Vec<ToolEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ToolEntry<'a> {
    ToolSpec(ToolSpec<'a>),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolSpec<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Schema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
struct Schema<'a> {
    json: Parameters<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Parameters<'a> {
    Given(&'a RawValue),
    /// Bedrock wants a schema also of a tool that takes nothing.
    Nothing {
        #[serde(rename = "type")]
        kind: &'static str,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Choice<'a> {
    Auto {},
    Any {},
    Tool { name: &'a str },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text_format: Option<TextFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'a str>,
}

#[derive(Serialize)]
struct TextFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    structure: Structure<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Structure<'a> {
    JsonSchema {
        /// As a text.
        schema: &'a str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
    },
}

/// What only Claude's models take, in their maker's own words.
#[derive(Serialize)]
struct OfClaude {
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<ClaudeThinking>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ClaudeThinking {
    Disabled,
    Adaptive,
    Enabled { budget_tokens: u64 },
}

/// Who is behind the caller is not said: it changes nothing of the answer.
fn refuse_what_it_lacks(request: &Request) -> Result<(), Error> {
    let lacks = [
        ("seed", request.seed.is_some()),
        ("frequency_penalty", request.frequency_penalty.is_some()),
        ("presence_penalty", request.presence_penalty.is_some()),
        ("choices", request.choices > 1),
        ("parallel_tools", request.parallel_tools == Some(false) && !request.tools.is_empty()),
    ];
    match lacks.into_iter().find(|(_, is_said)| *is_said) {
        Some((field, _)) => Err(no_such(BEDROCK, field)),
        None => Ok(()),
    }
}

fn instructions(blocks: Vec<Block<'_>>) -> Result<Vec<Block<'_>>, Error> {
    if blocks.iter().all(|block| matches!(block, Block::Text(_) | Block::CachePoint(_))) {
        return Ok(blocks);
    }
    Err(Error::bad("messages", "Bedrock takes instructions as text only"))
}

/// That no tool may be called can only be said by naming none, and a chat in which some were called must name them.
fn tool_config(request: &Request) -> Result<Option<ToolConfig<'_>>, Error> {
    if request.tools.is_empty() {
        return Ok(None);
    }
    let tool_choice = match &request.tool_choice {
        None => None,
        Some(ToolChoice::Auto) => Some(Choice::Auto {}),
        Some(ToolChoice::Any) => Some(Choice::Any {}),
        Some(ToolChoice::Named(name)) => Some(Choice::Tool { name }),
        Some(ToolChoice::Never) if !has_called(request) => return Ok(None),
        Some(ToolChoice::Never) => return Err(no_such(BEDROCK, "tool_choice")),
    };
    let tools = request.tools.iter().flat_map(|tool| {
        let cache_point = tool.cache_until_here.map(|time| ToolEntry::CachePoint(time.into()));
        std::iter::once(ToolEntry::ToolSpec(tool.into())).chain(cache_point)
    });
    Ok(Some(ToolConfig { tools: tools.collect(), tool_choice }))
}

fn has_called(request: &Request) -> bool {
    let mut parts = request.messages.iter().flat_map(|message| &message.parts);
    parts.any(|part| matches!(part.content, Content::ToolUse(_) | Content::ToolResult { .. }))
}

impl<'a> From<&'a Tool> for ToolSpec<'a> {
    fn from(Tool { name, description, parameters, strict, .. }: &'a Tool) -> Self {
        let json = parameters.as_deref().map_or(Parameters::Nothing { kind: "object" }, Parameters::Given);
        let description = description.as_deref().filter(|text| !text.is_empty());
        Self { name, description, input_schema: Schema { json }, strict: *strict }
    }
}

fn output_config(request: &Request) -> Result<Option<OutputConfig<'_>>, Error> {
    let effort = match &request.thinking {
        Some(Thinking::Effort(word)) => Some(word.as_str()),
        _ => None,
    };
    let text_format = match &request.format {
        None => None,
        Some(Format::Json) => return Err(Error::bad("format", "Bedrock answers in JSON of a schema only")),
        Some(Format::Schema { name, description, schema, .. }) => {
            let structure = Structure::JsonSchema { schema: schema.get(), name, description: description.as_deref() };
            Some(TextFormat { kind: "json_schema", structure })
        }
    };
    let is_said = effort.is_some() || text_format.is_some();
    Ok(is_said.then_some(OutputConfig { text_format, effort }))
}

/// Models of other makers that think take no bound of it here.
fn of_claude(request: &Request, model: &str) -> Result<Option<OfClaude>, Error> {
    let thinking = match request.thinking {
        None | Some(Thinking::Effort(_)) => None,
        Some(Thinking::Off) => Some(ClaudeThinking::Disabled),
        Some(Thinking::Adaptive) => Some(ClaudeThinking::Adaptive),
        Some(Thinking::Tokens(budget_tokens)) => Some(ClaudeThinking::Enabled { budget_tokens }),
    };
    let top_k = request.top_k;
    if thinking.is_none() && top_k.is_none() {
        return Ok(None);
    }
    if !model.contains("anthropic.") {
        return Err(no_such(BEDROCK, if top_k.is_some() { "top_k" } else { "thinking" }));
    }
    Ok(Some(OfClaude { top_k, thinking }))
}

#[cfg(test)]
mod tests;
