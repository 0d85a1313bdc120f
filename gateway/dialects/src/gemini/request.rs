//! A canonical request in Gemini's words.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Number;
use serde_json::value::RawValue;

use super::super::canonical::{Content, Format, Part, Request, Source, Thinking, Tool, ToolChoice, ToolUse};
use super::super::turns::{Turn, Turns, no_such};
use super::call_id;
use crate::error::Error;

/// As errors name it.
const GEMINI: &str = "Gemini";

/// The request, for at most so many output tokens of one choice. Whether it is streamed, the path says.
pub(super) fn write(request: &Request, output_max: u64) -> Result<Bytes, Error> {
    if request.parallel_tools == Some(false) && !request.tools.is_empty() {
        return Err(no_such(GEMINI, "parallel_tools"));
    }
    let said = Turns::of(&request.messages, GEMINI)?;
    let mut calls = Calls::default();
    let contents: Result<Vec<_>, Error> = said.turns.iter().map(|turn| calls.content(turn)).collect();
    // A turn of which nothing is left, e.g. thoughts of another model, is none.
    let contents = contents?.into_iter().filter(|content| !content.parts.is_empty()).collect();
    let body = Body {
        system_instruction: instruction(&said.instructions)?,
        contents,
        tools: tools(&request.tools),
        tool_config: tool_config(request),
        generation_config: GenerationConfig::of(request, output_max)?,
    };
    let body = serde_json::to_vec(&body).map_err(|error| Error::bad("messages", error.to_string()))?;
    Ok(body.into())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Said<'a>>,
    contents: Vec<Said<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tools<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    generation_config: GenerationConfig<'a>,
}

/// What one says.
#[derive(Serialize)]
struct Said<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<Piece<'a>>,
}

/// A part of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Piece<'a> {
    #[serde(flatten)]
    data: Data<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Data<'a> {
    Text(&'a str),
    InlineData(Blob<'a>),
    FileData(FileData<'a>),
    FunctionCall(FunctionCall<'a>),
    FunctionResponse(FunctionResponse<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    mime_type: &'a str,
    data: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileData<'a> {
    file_uri: &'a str,
}

#[derive(Serialize)]
struct FunctionCall<'a> {
    id: &'a str,
    name: &'a str,
    args: &'a RawValue,
}

#[derive(Serialize)]
struct FunctionResponse<'a> {
    id: &'a str,
    name: &'a str,
    response: Outcome,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Data<'a>>,
}

/// What came of a call, in the words by which Gemini tells a failure.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Outcome {
    Output(String),
    Error(String),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: Vec<FunctionDeclaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FunctionDeclaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: FunctionCallingConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FunctionCallingConfig<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    max_output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_count: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<&'a Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<&'a Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<ThinkingConfig>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    include_thoughts: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
}

impl<'a> GenerationConfig<'a> {
    /// Who is behind the caller is not said: it changes nothing of the answer.
    fn of(request: &'a Request, output_max: u64) -> Result<Self, Error> {
        let (response_mime_type, response_json_schema) = match &request.format {
            None => (None, None),
            Some(Format::Json) => (Some("application/json"), None),
            Some(Format::Schema { schema, .. }) => (Some("application/json"), Some(&**schema)),
        };
        Ok(Self {
            max_output_tokens: output_max,
            candidate_count: Some(request.choices).filter(|choices| *choices > 1),
            stop_sequences: &request.stop,
            temperature: request.temperature.as_ref(),
            top_p: request.top_p.as_ref(),
            top_k: request.top_k,
            seed: request.seed,
            frequency_penalty: request.frequency_penalty.as_ref(),
            presence_penalty: request.presence_penalty.as_ref(),
            response_mime_type,
            response_json_schema,
            thinking_config: request.thinking.as_ref().map(thinking_config).transpose()?,
        })
    }
}

fn thinking_config(thinking: &Thinking) -> Result<ThinkingConfig, Error> {
    let budget = |tokens| (Some(tokens), None);
    let level = |word| (None, Some(word));
    let (thinking_budget, thinking_level) = match thinking {
        Thinking::Off => budget(0),
        Thinking::Adaptive => budget(-1),
        Thinking::Tokens(tokens) => budget(i64::try_from(*tokens).unwrap_or(i64::MAX)),
        Thinking::Effort(word) => match word.as_str() {
            "minimal" => level("MINIMAL"),
            "low" => level("LOW"),
            "medium" => level("MEDIUM"),
            "high" => level("HIGH"),
            _ => return Err(Error::bad("thinking", "Gemini thinks with minimal, low, medium or high effort")),
        },
    };
    Ok(ThinkingConfig { include_thoughts: *thinking != Thinking::Off, thinking_budget, thinking_level })
}

fn instruction<'a>(instructions: &[&'a Part]) -> Result<Option<Said<'a>>, Error> {
    let mut parts = Vec::with_capacity(instructions.len());
    for part in instructions {
        match &part.content {
            Content::Text(text) if text.is_empty() => {}
            Content::Text(text) => parts.push(Data::Text(text).into()),
            _ => return Err(Error::bad("messages", "Gemini takes instructions as text only")),
        }
    }
    Ok(Some(parts).filter(|parts| !parts.is_empty()).map(|parts| Said { role: None, parts }))
}

fn tools(tools: &[Tool]) -> Vec<Tools<'_>> {
    if tools.is_empty() {
        return Vec::new();
    }
    vec![Tools { function_declarations: tools.iter().map(FunctionDeclaration::from).collect() }]
}

impl<'a> From<&'a Tool> for FunctionDeclaration<'a> {
    fn from(Tool { name, description, parameters, .. }: &'a Tool) -> Self {
        Self { name, description: description.as_deref(), parameters_json_schema: parameters.as_deref() }
    }
}

/// A model that must keep to a tool's parameters does so in the mode `VALIDATED`, and where it must call one.
fn tool_config(request: &Request) -> Option<ToolConfig<'_>> {
    if request.tools.is_empty() {
        return None;
    }
    let strict = request.tools.iter().any(|tool| tool.strict == Some(true));
    let (mode, named) = match request.tool_choice.as_ref() {
        None | Some(ToolChoice::Auto) if strict => ("VALIDATED", None),
        None => return None,
        Some(ToolChoice::Auto) => ("AUTO", None),
        Some(ToolChoice::Never) => ("NONE", None),
        Some(ToolChoice::Any) => ("ANY", None),
        Some(ToolChoice::Named(name)) => ("ANY", Some([name.as_str()])),
    };
    Some(ToolConfig { function_calling_config: FunctionCallingConfig { mode, allowed_function_names: named } })
}

/// Calls of tools that were made so far: Gemini wants the tool's name with a result, not only the call's id.
#[derive(Default)]
struct Calls<'a>(HashMap<&'a str, &'a str>);

impl<'a> Calls<'a> {
    fn content(&mut self, turn: &Turn<'a>) -> Result<Said<'a>, Error> {
        let role = Some(if turn.is_the_models { "model" } else { "user" });
        let mut parts = Vec::with_capacity(turn.parts.len());
        for part in &turn.parts {
            parts.extend(self.piece(&part.content)?);
        }
        Ok(Said { role, parts })
    }

    /// What a model thought is left out: its proof goes with the calls that it led to. Where the provider is to remember up to
    /// is left out too: Gemini finds that by itself. An empty text, which it refuses, says nothing.
    fn piece(&mut self, content: &'a Content) -> Result<Option<Piece<'a>>, Error> {
        Ok(Some(match content {
            Content::Text(text) | Content::Refusal(text) if text.is_empty() => return Ok(None),
            Content::Text(text) | Content::Refusal(text) => Data::Text(text).into(),
            Content::Image(source) | Content::Document(source, _) | Content::Audio(source) => data(source).into(),
            Content::ToolUse(tool_use) => self.call(tool_use)?,
            Content::ToolResult { id, parts, is_error } => self.result(id, parts, *is_error)?.into(),
            Content::Thinking { .. } | Content::HiddenThinking(_) => return Ok(None),
        }))
    }

    fn call(&mut self, ToolUse { id, name, input }: &'a ToolUse) -> Result<Piece<'a>, Error> {
        self.0.insert(id, name);
        let (id, thought_signature) = call_id::split(id);
        let input = if input.trim().is_empty() { "{}" } else { input };
        let args = serde_json::from_str::<&RawValue>(input).ok().filter(|args| args.get().starts_with('{'));
        let args =
            args.ok_or_else(|| Error::bad("messages", "what a tool is given must be a JSON object for Gemini"))?;
        Ok(Piece { data: Data::FunctionCall(FunctionCall { id, name, args }), thought_signature })
    }

    fn result(&self, id: &'a str, parts: &'a [Part], is_error: bool) -> Result<Data<'a>, Error> {
        let name =
            self.0.get(id).ok_or_else(|| Error::bad("messages", "a tool's result without the call before it"))?;
        let (mut text, mut media) = (String::new(), Vec::new());
        for part in parts {
            match &part.content {
                Content::Text(more) => text.push_str(more),
                Content::Image(source @ Source::Data { .. }) | Content::Document(source @ Source::Data { .. }, _) => {
                    media.push(data(source));
                }
                _ => {
                    return Err(Error::bad(
                        "messages",
                        "Gemini takes tools' results as text, images or documents only",
                    ));
                }
            }
        }
        let response = if is_error { Outcome::Error(text) } else { Outcome::Output(text) };
        let (id, _) = call_id::split(id);
        Ok(Data::FunctionResponse(FunctionResponse { id, name, response, parts: media }))
    }
}

impl<'a> From<Data<'a>> for Piece<'a> {
    fn from(data: Data<'a>) -> Self {
        Self { data, thought_signature: None }
    }
}

fn data(source: &Source) -> Data<'_> {
    match source {
        Source::Data { media_type, data } => Data::InlineData(Blob { mime_type: media_type, data }),
        Source::Url(uri) | Source::Id(uri) => Data::FileData(FileData { file_uri: uri }),
    }
}

#[cfg(test)]
mod tests;
