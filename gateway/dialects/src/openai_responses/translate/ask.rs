//! A request in the canonical form, written for an upstream that has responses. Nothing is kept there: whoever asks in
//! another dialect sends all that was said each time.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::Recipient;
use crate::canonical::{Content, Format, Message, Part, Request, Role, Source, Thinking, Tool, ToolChoice, ToolUse};
use crate::error::Error;
use crate::openai_responses::request::LIMIT;

/// Writes it.
pub(super) fn write(request: &Request, to: &Recipient<'_>) -> Result<Bytes, Error> {
    for (name, is_said) in [
        ("stop", !request.stop.is_empty()),
        ("seed", request.seed.is_some()),
        ("top_k", request.top_k.is_some()),
        ("frequency_penalty", request.frequency_penalty.is_some()),
        ("presence_penalty", request.presence_penalty.is_some()),
        ("n", request.choices > 1),
    ] {
        if is_said {
            return Err(Error::bad(
                name,
                format!("`{name}` cannot be said to this model's provider, which has responses only"),
            ));
        }
    }
    let mut input = Vec::new();
    for message in &request.messages {
        add(&mut input, message)?;
    }
    let mut body = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    set("model", Some(to.model.into()));
    set("input", Some(input.into()));
    set(LIMIT, Some(to.output_max.into()));
    set("stream", request.stream.then_some(true.into()));
    set("store", Some(false.into()));
    set("include", Some(json!(["reasoning.encrypted_content"])));
    set("tools", (!request.tools.is_empty()).then(|| request.tools.iter().map(tool).collect()).transpose()?);
    set("tool_choice", request.tool_choice.as_ref().map(tool_choice));
    set("parallel_tool_calls", request.parallel_tools.map(Value::from));
    set("temperature", request.temperature.clone().map(Value::Number));
    set("top_p", request.top_p.clone().map(Value::Number));
    set("reasoning", request.thinking.as_ref().map(thinking).transpose()?);
    set("text", request.format.as_ref().map(format).transpose()?);
    set("safety_identifier", request.user.clone().map(Value::from));
    Ok(Value::Object(body).to_string().into())
}

/// A message's parts as items: what is said together is one message, calls and results are items of their own.
fn add(input: &mut Vec<Value>, message: &Message) -> Result<(), Error> {
    let role = match message.role {
        Role::System => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let mut said = Vec::new();
    let close = |input: &mut Vec<Value>, said: &mut Vec<Value>| {
        if !said.is_empty() {
            input.push(json!({ "type": "message", "role": role, "content": std::mem::take(said) }));
        }
    };
    for part in &message.parts {
        match &part.content {
            Content::ToolUse(ToolUse { id, name, input: given }) => {
                close(input, &mut said);
                input.push(json!({ "type": "function_call", "call_id": id, "name": name, "arguments": given }));
            }
            Content::ToolResult { id, parts, .. } => {
                close(input, &mut said);
                let output: Vec<Value> =
                    parts.iter().map(|part| said_part(part, Role::User)).collect::<Result<_, _>>()?;
                input.push(json!({ "type": "function_call_output", "call_id": id, "output": output }));
            }
            // What has no proof of its provider, the provider takes from nobody.
            Content::Thinking { signature: None, .. } => {}
            Content::Thinking { text, signature: Some(sealed) } => {
                close(input, &mut said);
                let summary =
                    if text.is_empty() { json!([]) } else { json!([{ "type": "summary_text", "text": text }]) };
                input.push(json!({ "type": "reasoning", "summary": summary, "encrypted_content": sealed }));
            }
            Content::HiddenThinking(sealed) => {
                close(input, &mut said);
                input.push(json!({ "type": "reasoning", "summary": [], "encrypted_content": sealed }));
            }
            _ => said.push(said_part(part, message.role)?),
        }
    }
    close(input, &mut said);
    Ok(())
}

fn said_part(part: &Part, role: Role) -> Result<Value, Error> {
    let bad = |what: &str| Error::bad("messages", format!("{what} cannot be said to this model's provider"));
    match &part.content {
        Content::Text(text) if role == Role::Assistant => Ok(json!({ "type": "output_text", "text": text })),
        Content::Text(text) => Ok(json!({ "type": "input_text", "text": text })),
        Content::Refusal(why) => Ok(json!({ "type": "refusal", "refusal": why })),
        Content::Image(Source::Id(id)) => Ok(json!({ "type": "input_image", "file_id": id })),
        Content::Image(source) => Ok(json!({ "type": "input_image", "image_url": address(source) })),
        Content::Document(source, name) => {
            let field = match source {
                Source::Data { .. } => "file_data",
                Source::Url(_) => "file_url",
                Source::Id(_) => "file_id",
            };
            let mut document = json!({ "type": "input_file" });
            document[field] = address(source).into();
            if let Some(name) = name {
                document["filename"] = name.as_str().into();
            }
            Ok(document)
        }
        Content::Audio(Source::Data { media_type, data }) => {
            let format = match media_type.strip_prefix("audio/").unwrap_or(media_type) {
                "mpeg" => "mp3",
                other => other,
            };
            Ok(json!({ "type": "input_audio", "input_audio": { "format": format, "data": data } }))
        }
        Content::Audio(_) => Err(bad("sound that is somewhere else")),
        Content::ToolUse(_) | Content::ToolResult { .. } => Err(bad("a tool's call within its result")),
        Content::Thinking { .. } | Content::HiddenThinking(_) => Err(bad("a thought within a tool's result")),
    }
}

fn address(source: &Source) -> String {
    match source {
        Source::Data { media_type, data } => format!("data:{media_type};base64,{data}"),
        Source::Url(place) | Source::Id(place) => place.clone(),
    }
}

fn tool(tool: &Tool) -> Result<Value, Error> {
    let Tool { name, description, parameters, strict, .. } = tool;
    let parameters = parameters.as_ref().map(|schema| serde_json::from_str(schema.get())).transpose();
    let parameters: Option<Value> = parameters.map_err(|error| Error::bad("tools", format!("tools: {error}")))?;
    Ok(json!({
        "type": "function",
        "name": name,
        "description": description,
        "parameters": parameters,
        // Here a schema is kept to unless it is said otherwise; elsewhere it is not.
        "strict": strict.unwrap_or(false),
    }))
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::Never => "none".into(),
        ToolChoice::Any => "required".into(),
        ToolChoice::Named(name) => json!({ "type": "function", "name": name }),
    }
}

fn thinking(thinking: &Thinking) -> Result<Value, Error> {
    match thinking {
        Thinking::Off => Ok(json!({ "effort": "none" })),
        Thinking::Adaptive => Ok(json!({ "summary": "auto" })),
        Thinking::Effort(effort) => Ok(json!({ "effort": effort, "summary": "auto" })),
        Thinking::Tokens(_) => Err(Error::bad(
            "thinking",
            "a number of tokens to think cannot be said to this model's provider; name an effort",
        )),
    }
}

fn format(format: &Format) -> Result<Value, Error> {
    let Format::Schema { name, description, schema, strict } = format else {
        return Ok(json!({ "format": { "type": "json_object" } }));
    };
    let schema: Value = serde_json::from_str(schema.get())
        .map_err(|error| Error::bad("response_format", format!("response_format: {error}")))?;
    let mut written =
        json!({ "type": "json_schema", "name": name, "schema": schema, "strict": strict.unwrap_or(false) });
    if let Some(description) = description {
        written["description"] = description.as_str().into();
    }
    Ok(json!({ "format": written }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai_responses::OpenAiResponses;
    use crate::openai_responses::translate::request;
    use crate::{Dialect, Speaks};

    const TO: Recipient<'static> = Recipient { speaks: Speaks::OpenAiResponses, model: "theirs", output_max: 70 };

    #[test]
    fn a_request_that_is_read_is_written_the_same() {
        let body = json!({ "model": "m", "input": [
                { "type": "message", "role": "developer", "content": [{ "type": "input_text", "text": "be brief" }] },
                { "type": "message", "role": "user", "content": [
                    { "type": "input_text", "text": "look" }, { "type": "input_image", "image_url": "data:image/png;base64,AAAA" },
                    { "type": "input_file", "file_id": "file_1" }] },
                { "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "wait" }] },
                { "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" },
                { "type": "function_call_output", "call_id": "c", "output": [{ "type": "input_text", "text": "4" }] }],
            "max_output_tokens": 70, "stream": true,
            "tools": [{ "type": "function", "name": "f", "description": "d", "parameters": { "type": "object" }, "strict": true }],
            "tool_choice": "required", "parallel_tool_calls": true, "temperature": 0.5, "top_p": 0.9,
            "reasoning": { "effort": "low", "summary": "auto" },
            "text": { "format": { "type": "json_schema", "name": "n", "schema": { "type": "object" }, "strict": true } },
            "safety_identifier": "u" });
        let read = request::read(&OpenAiResponses.read(&body.to_string().into()).unwrap()).unwrap();
        let written: Value = serde_json::from_slice(&write(&read, &TO).unwrap()).unwrap();
        let mut expected = body;
        expected["model"] = json!("theirs");
        expected["store"] = json!(false);
        expected["include"] = json!(["reasoning.encrypted_content"]);
        assert_eq!(written, expected);
    }

    #[test]
    fn what_responses_cannot_say_is_named() {
        for (param, request) in [
            ("stop", Request { stop: vec!["x".to_owned()], ..Request::default() }),
            ("seed", Request { seed: Some(7), ..Request::default() }),
            ("n", Request { choices: 2, ..Request::default() }),
            ("thinking", Request { thinking: Some(Thinking::Tokens(9)), ..Request::default() }),
        ] {
            match write(&request, &TO) {
                Err(Error::BadRequest { param: named, .. }) => assert_eq!(named.as_deref(), Some(param)),
                other => panic!("{param}: {other:?}"),
            }
        }
    }
}
