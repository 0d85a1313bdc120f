use serde_json::{Value, json};

use super::super::super::Speaks;
use super::super::super::canonical::{CacheFor, Content, Message, Part, Role, Source, ToolUse};
use super::*;

const CLAUDE: &str = "eu.anthropic.claude-x-v1:0";

fn part(content: Content) -> Part {
    Part { content, cache_until_here: None }
}

fn said(role: Role, contents: impl IntoIterator<Item = Content>) -> Message {
    Message { role, name: None, parts: contents.into_iter().map(part).collect() }
}

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn data(media_type: &str) -> Source {
    Source::Data { media_type: media_type.to_owned(), data: "aGk=".to_owned() }
}

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

fn request(messages: Vec<Message>) -> Request {
    Request { messages, choices: 1, ..Request::default() }
}

fn try_written(request: &Request, model: &str) -> Result<Value, Error> {
    let body = write(request, &Recipient { speaks: Speaks::BedrockConverse, model, output_max: 64 })?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn written(request: &Request) -> Value {
    try_written(request, CLAUDE).unwrap()
}

fn refused(request: &Request) -> Option<String> {
    match try_written(request, "amazon.nova-x-v1:0") {
        Err(Error::BadRequest { param, .. }) => param,
        other => panic!("{other:?}"),
    }
}

fn tool() -> Tool {
    Tool { name: "weather".to_owned(), description: None, parameters: None, strict: None, cache_until_here: None }
}

fn tool_use(id: &str, input: &str) -> Content {
    Content::ToolUse(ToolUse { id: id.to_owned(), name: "weather".to_owned(), input: input.to_owned() })
}

#[test]
fn a_chat_is_said_in_blocks_with_its_instruction_apart() {
    let remembered = |content, time| Part { content, cache_until_here: Some(time) };
    let system = Message {
        role: Role::System,
        name: None,
        parts: vec![part(text("Be brief.")), remembered(text("Be kind."), CacheFor::Hour)],
    };
    let signed = Content::Thinking { text: "Hm.".to_owned(), signature: Some("sig".to_owned()) };
    let unsigned = Content::Thinking { text: "Hm.".to_owned(), signature: None };
    let user = Message {
        role: Role::User,
        name: None,
        parts: vec![
            part(text("Look:")),
            part(text("")),
            part(Content::Image(data("image/jpg"))),
            remembered(
                Content::Document(data("application/pdf"), Some("My /report_1.pdf".to_owned())),
                CacheFor::Short,
            ),
        ],
    };
    let elsewhere = Content::Document(Source::Url("s3://bucket/a.TXT".to_owned()), None);
    let request = Request {
        stop: vec!["END".to_owned()],
        temperature: Some(Number::from_f64(0.5).unwrap()),
        top_p: Some(Number::from_f64(0.9).unwrap()),
        user: Some("ann".to_owned()),
        stream: true,
        ..request(vec![
            system,
            user,
            said(Role::User, [Content::Audio(data("audio/wav")), elsewhere]),
            said(Role::Assistant, [signed, unsigned, Content::HiddenThinking("eA==".to_owned()), text("A dog.")]),
        ])
    };
    let expected = json!({
        "system": [{ "text": "Be brief." }, { "text": "Be kind." }, { "cachePoint": { "type": "default", "ttl": "1h" } }],
        "messages": [
            { "role": "user", "content": [
                { "text": "Look:" },
                { "image": { "format": "jpeg", "source": { "bytes": "aGk=" } } },
                { "document": { "format": "pdf", "name": "My report 1 pdf (1)", "source": { "bytes": "aGk=" } } },
                { "cachePoint": { "type": "default" } },
                { "audio": { "format": "wav", "source": { "bytes": "aGk=" } } },
                { "document": { "format": "txt", "name": "document (2)",
                    "source": { "s3Location": { "uri": "s3://bucket/a.TXT" } } } },
            ] },
            { "role": "assistant", "content": [
                { "reasoningContent": { "reasoningText": { "text": "Hm.", "signature": "sig" } } },
                { "reasoningContent": { "redactedContent": "eA==" } },
                { "text": "A dog." },
            ] },
        ],
        "inferenceConfig": { "maxTokens": 64, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"] },
    });
    assert_eq!(written(&request), expected);
}

#[test]
fn calls_and_results_keep_together_under_ids_that_bedrock_takes() {
    let long = "x".repeat(65);
    let result =
        |id: &str, content, is_error| Content::ToolResult { id: id.to_owned(), parts: vec![part(content)], is_error };
    let messages = vec![
        said(Role::Assistant, [tool_use("c1", r#"{"city":"Bonn"}"#), tool_use(&long, "")]),
        said(Role::User, [result("c1", text("12 degrees"), false)]),
        said(Role::User, [result(&long, Content::Image(data("image/png")), true)]),
    ];
    let expected = json!([
        { "role": "assistant", "content": [
            { "toolUse": { "toolUseId": "c1", "name": "weather", "input": { "city": "Bonn" } } },
            { "toolUse": { "toolUseId": "renamed-1", "name": "weather", "input": {} } },
        ] },
        { "role": "user", "content": [
            { "toolResult": { "toolUseId": "c1", "content": [{ "text": "12 degrees" }] } },
            { "toolResult": { "toolUseId": "renamed-1", "status": "error",
                "content": [{ "image": { "format": "png", "source": { "bytes": "aGk=" } } }] } },
        ] },
    ]);
    assert_eq!(written(&request(messages))["messages"], expected);
}

#[test]
fn tools_are_specified_and_one_can_be_wanted() {
    let schema = json!({ "type": "object", "properties": {} });
    let described = Tool {
        description: Some("Tells it.".to_owned()),
        parameters: Some(raw(&schema)),
        strict: Some(true),
        cache_until_here: Some(CacheFor::Short),
        ..tool()
    };
    let choice = |tool_choice, messages| {
        let tools = vec![tool(), described.clone()];
        written(&Request { tools, tool_choice, ..request(messages) })["toolConfig"].clone()
    };
    let config = choice(None, vec![]);
    let expected = json!({ "tools": [
        { "toolSpec": { "name": "weather", "inputSchema": { "json": { "type": "object" } } } },
        { "toolSpec": { "name": "weather", "description": "Tells it.", "inputSchema": { "json": schema }, "strict": true } },
        { "cachePoint": { "type": "default" } },
    ] });
    assert_eq!(config, expected);
    let named = Some(ToolChoice::Named("weather".to_owned()));
    assert_eq!(choice(named, vec![])["toolChoice"], json!({ "tool": { "name": "weather" } }));
    assert_eq!(choice(Some(ToolChoice::Any), vec![])["toolChoice"], json!({ "any": {} }));
    assert_eq!(choice(Some(ToolChoice::Auto), vec![])["toolChoice"], json!({ "auto": {} }));
    assert_eq!(choice(Some(ToolChoice::Never), vec![]), Value::Null, "no tool is named");
}

#[test]
fn forms_and_thinking_are_settings() {
    let schema = json!({ "type": "object" });
    let format = Format::Schema { name: "n".to_owned(), description: None, schema: raw(&schema), strict: None };
    let thinking = Some(Thinking::Effort("high".to_owned()));
    let body = written(&Request { format: Some(format), thinking, ..request(vec![]) });
    let structure = json!({ "jsonSchema": { "schema": schema.to_string(), "name": "n" } });
    assert_eq!(
        body["outputConfig"],
        json!({ "textFormat": { "type": "json_schema", "structure": structure }, "effort": "high" })
    );
    for (thinking, expected) in [
        (Thinking::Off, json!({ "type": "disabled" })),
        (Thinking::Adaptive, json!({ "type": "adaptive" })),
        (Thinking::Tokens(512), json!({ "type": "enabled", "budget_tokens": 512 })),
    ] {
        let body = written(&Request { thinking: Some(thinking), top_k: Some(5), ..request(vec![]) });
        assert_eq!(body["additionalModelRequestFields"], json!({ "top_k": 5, "thinking": expected }));
    }
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let called = vec![said(Role::Assistant, [tool_use("c", "{}")])];
    let (tools, never) = (vec![tool()], Some(ToolChoice::Never));
    for (request, field) in [
        (Request { seed: Some(1), ..request(vec![]) }, "seed"),
        (Request { frequency_penalty: Some(Number::from(1)), ..request(vec![]) }, "frequency_penalty"),
        (Request { presence_penalty: Some(Number::from(1)), ..request(vec![]) }, "presence_penalty"),
        (Request { choices: 2, ..request(vec![]) }, "choices"),
        (Request { parallel_tools: Some(false), tools: tools.clone(), ..request(vec![]) }, "parallel_tools"),
        (Request { tools, tool_choice: never, ..request(called) }, "tool_choice"),
        (Request { format: Some(Format::Json), ..request(vec![]) }, "format"),
        (Request { top_k: Some(5), ..request(vec![]) }, "top_k"),
        (Request { thinking: Some(Thinking::Tokens(5)), ..request(vec![]) }, "thinking"),
    ] {
        assert_eq!(refused(&request).as_deref(), Some(field));
    }
    for content in [
        Content::Image(data("image/tiff")),
        Content::Image(Source::Url("https://example.com/a.png".to_owned())),
        Content::Document(Source::Id("file-1".to_owned()), None),
        tool_use("c", "[1]"),
    ] {
        assert_eq!(refused(&request(vec![said(Role::User, [content])])).as_deref(), Some("messages"));
    }
    let picture = said(Role::System, [Content::Image(data("image/png"))]);
    assert_eq!(refused(&request(vec![picture])).as_deref(), Some("messages"));
}
