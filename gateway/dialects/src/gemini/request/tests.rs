use serde_json::{Value, json};

use super::super::super::canonical::{CacheFor, Message, Role};
use super::*;

fn part(content: Content) -> Part {
    Part { content, cache_until_here: None }
}

fn said(role: Role, contents: impl IntoIterator<Item = Content>) -> Message {
    Message { role, name: None, parts: contents.into_iter().map(part).collect() }
}

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

fn request(messages: Vec<Message>) -> Request {
    Request { messages, choices: 1, ..Request::default() }
}

fn written(request: &Request) -> Value {
    serde_json::from_slice(&write(request, 64).unwrap()).unwrap()
}

fn refused(request: &Request) -> Option<String> {
    match write(request, 64) {
        Err(Error::BadRequest { param, .. }) => param,
        other => panic!("{other:?}"),
    }
}

fn tool_use(id: &str, input: &str) -> Content {
    Content::ToolUse(ToolUse { id: id.to_owned(), name: "weather".to_owned(), input: input.to_owned() })
}

fn tool_result(id: &str, parts: Vec<Part>, is_error: bool) -> Content {
    Content::ToolResult { id: id.to_owned(), parts, is_error }
}

#[test]
fn a_chat_is_said_in_turns_with_its_instruction_apart() {
    let image = Content::Image(Source::Data { media_type: "image/png".to_owned(), data: "aGk=".to_owned() });
    let file = Content::Document(Source::Url("https://example.com/a.pdf".to_owned()), Some("a".to_owned()));
    let remembered = Part { content: text("Be brief."), cache_until_here: Some(CacheFor::Hour) };
    let system = Message { role: Role::System, name: None, parts: vec![remembered] };
    let request = Request {
        stop: vec!["END".to_owned()],
        temperature: Some(Number::from_f64(0.5).unwrap()),
        top_p: Some(Number::from_f64(0.9).unwrap()),
        top_k: Some(40),
        seed: Some(-7),
        frequency_penalty: Some(Number::from(1)),
        presence_penalty: Some(Number::from(2)),
        user: Some("ann".to_owned()),
        choices: 2,
        stream: true,
        ..request(vec![
            system,
            said(Role::User, [text("What is this?"), text(""), image]),
            said(Role::User, [file]),
            said(Role::Assistant, [Content::HiddenThinking("x".to_owned()), text("A dog.")]),
        ])
    };
    let expected = json!({
        "systemInstruction": { "parts": [{ "text": "Be brief." }] },
        "contents": [
            { "role": "user", "parts": [
                { "text": "What is this?" },
                { "inlineData": { "mimeType": "image/png", "data": "aGk=" } },
                { "fileData": { "fileUri": "https://example.com/a.pdf" } },
            ] },
            { "role": "model", "parts": [{ "text": "A dog." }] },
        ],
        "generationConfig": {
            "maxOutputTokens": 64, "candidateCount": 2, "stopSequences": ["END"], "temperature": 0.5, "topP": 0.9,
            "topK": 40, "seed": -7, "frequencyPenalty": 1, "presencePenalty": 2,
        },
    });
    assert_eq!(written(&request), expected);
}

#[test]
fn calls_of_tools_go_back_with_names_and_signatures() {
    let id = call_id::join("c1", Some("ab+/"));
    let picture = Content::Image(Source::Data { media_type: "image/png".to_owned(), data: "aGk=".to_owned() });
    let messages = vec![
        said(Role::Assistant, [tool_use(&id, r#"{"city":"Bonn"}"#), tool_use("c2", "")]),
        said(Role::User, [tool_result(&id, vec![part(text("12 degrees")), part(picture)], false)]),
        said(Role::User, [tool_result("c2", vec![part(text("no such city"))], true)]),
    ];
    let expected = json!([
        { "role": "model", "parts": [
            { "functionCall": { "id": "c1", "name": "weather", "args": { "city": "Bonn" } }, "thoughtSignature": "ab+/" },
            { "functionCall": { "id": "c2", "name": "weather", "args": {} } },
        ] },
        { "role": "user", "parts": [
            { "functionResponse": { "id": "c1", "name": "weather", "response": { "output": "12 degrees" },
                "parts": [{ "inlineData": { "mimeType": "image/png", "data": "aGk=" } }] } },
            { "functionResponse": { "id": "c2", "name": "weather", "response": { "error": "no such city" } } },
        ] },
    ]);
    assert_eq!(written(&request(messages))["contents"], expected);
}

#[test]
fn tools_are_declared_and_the_choice_is_a_mode() {
    let schema = json!({ "type": "object", "additionalProperties": false });
    let tool = |strict| Tool {
        name: "weather".to_owned(),
        description: Some("Tells it.".to_owned()),
        parameters: Some(raw(&schema)),
        strict,
        cache_until_here: None,
    };
    let with = |tool_choice, strict| {
        let body = written(&Request { tools: vec![tool(strict)], tool_choice, ..request(vec![]) });
        (body["tools"].clone(), body["toolConfig"]["functionCallingConfig"].clone())
    };
    let (tools, mode) = with(None, None);
    assert_eq!(mode, Value::Null);
    let declared = json!({ "name": "weather", "description": "Tells it.", "parametersJsonSchema": schema });
    assert_eq!(tools, json!([{ "functionDeclarations": [declared] }]));
    let named = Some(ToolChoice::Named("weather".to_owned()));
    for (choice, strict, mode) in [
        (Some(ToolChoice::Auto), None, json!({ "mode": "AUTO" })),
        (None, Some(true), json!({ "mode": "VALIDATED" })),
        (Some(ToolChoice::Never), None, json!({ "mode": "NONE" })),
        (Some(ToolChoice::Any), Some(true), json!({ "mode": "ANY" })),
        (named, None, json!({ "mode": "ANY", "allowedFunctionNames": ["weather"] })),
    ] {
        assert_eq!(with(choice, strict).1, mode);
    }
}

#[test]
fn forms_and_thinking_are_settings() {
    let schema = json!({ "type": "object" });
    let format = Format::Schema { name: "n".to_owned(), description: None, schema: raw(&schema), strict: Some(true) };
    let config =
        |thinking, format| written(&Request { thinking, format, ..request(vec![]) })["generationConfig"].clone();
    let effort = |word: &str| Some(Thinking::Effort(word.to_owned()));
    for (thinking, expected) in [
        (Some(Thinking::Off), json!({ "includeThoughts": false, "thinkingBudget": 0 })),
        (Some(Thinking::Adaptive), json!({ "includeThoughts": true, "thinkingBudget": -1 })),
        (Some(Thinking::Tokens(512)), json!({ "includeThoughts": true, "thinkingBudget": 512 })),
        (effort("low"), json!({ "includeThoughts": true, "thinkingLevel": "LOW" })),
    ] {
        assert_eq!(config(thinking, None)["thinkingConfig"], expected);
    }
    let json = config(None, Some(Format::Json));
    assert_eq!(json, json!({ "maxOutputTokens": 64, "responseMimeType": "application/json" }));
    assert_eq!(config(None, Some(format))["responseJsonSchema"], schema);
    assert_eq!(refused(&Request { thinking: effort("extreme"), ..request(vec![]) }).as_deref(), Some("thinking"));
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let tool = Tool { name: "t".to_owned(), description: None, parameters: None, strict: None, cache_until_here: None };
    let alone = Request { parallel_tools: Some(false), tools: vec![tool], ..request(vec![]) };
    assert_eq!(refused(&alone).as_deref(), Some("parallel_tools"));
    let picture = Content::Image(Source::Url("https://example.com".to_owned()));
    for message in [
        said(Role::System, [picture]),
        said(Role::User, [tool_result("unheard of", vec![], false)]),
        said(Role::Assistant, [tool_use("c", "[1]")]),
        said(Role::Assistant, [tool_use("c", "{")]),
    ] {
        assert_eq!(refused(&request(vec![message])).as_deref(), Some("messages"));
    }
}
