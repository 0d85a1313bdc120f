//! The input of a request: a text, or items that became and may become messages.

use bytes::Bytes;

use super::{objects, thoughts};
use crate::Fields;
use crate::canonical::{Content, Message, Part, Role, Source, ToolUse};
use crate::error::Error;

/// Characters of a caller's word that are told back.
const WORD_CHARS_MAX: usize = 40;

/// The messages that it is.
///
/// # Errors
/// [`Error::BadRequest`] that names the item.
pub(super) fn read(input: &Bytes) -> Result<Vec<Message>, Error> {
    if let Ok(said) = serde_json::from_slice::<String>(input) {
        return Ok(vec![Message { role: Role::User, name: None, parts: vec![text(said)] }]);
    }
    let items = objects(input).map_err(|error| Error::bad("input", format!("input: {error}")))?;
    let mut messages = Vec::new();
    for (number, item) in items.iter().enumerate() {
        add(&mut messages, item).map_err(|Wrong(why)| Error::bad("input", format!("input[{number}]: {why}")))?;
    }
    Ok(messages)
}

/// A part of text.
pub(super) fn text(text: String) -> Part {
    Part { content: Content::Text(text), cache_until_here: None }
}

/// What is wrong with an item.
#[derive(Debug)]
struct Wrong(String);

impl From<serde_json::Error> for Wrong {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

fn add(messages: &mut Vec<Message>, item: &Fields) -> Result<(), Wrong> {
    let kind = item.read_as::<String>("type")?.unwrap_or_else(|| "message".to_owned());
    match kind.as_str() {
        "message" => {
            let (role, said) = (role(&word(item, "role")?)?, parts(item, "content")?);
            if role == Role::Assistant {
                join(messages, role, said);
            } else {
                messages.push(Message { role, name: None, parts: said });
            }
        }
        "function_call" => {
            let (id, name, input) = (word(item, "call_id")?, word(item, "name")?, word(item, "arguments")?);
            join(messages, Role::Assistant, vec![plain(Content::ToolUse(ToolUse { id, name, input }))]);
        }
        "function_call_output" => {
            let (id, parts) = (word(item, "call_id")?, parts(item, "output")?);
            join(messages, Role::User, vec![plain(Content::ToolResult { id, parts, is_error: false })]);
        }
        "reasoning" => {
            let sealed: Option<String> = item.read_as("encrypted_content")?;
            let told = thought(item)?;
            let thought = thoughts::read(told, sealed.as_deref());
            join(messages, Role::Assistant, thought.map(plain).into_iter().collect());
        }
        _ => return Err(cannot(&kind)),
    }
    Ok(())
}

/// What stands at a provider, or runs there.
fn cannot(kind: &str) -> Wrong {
    let kind: String = kind.chars().take(WORD_CHARS_MAX).collect();
    Wrong(format!("`{kind}` cannot be said to this model's provider, which has no Responses API"))
}

/// The model's items are one message as long as nobody else speaks; so are the results of its tools.
fn join(messages: &mut Vec<Message>, role: Role, parts: Vec<Part>) {
    if parts.is_empty() {
        return;
    }
    let are_results = |parts: &[Part]| parts.iter().all(|part| matches!(part.content, Content::ToolResult { .. }));
    match messages.last_mut().filter(|last| last.role == role) {
        Some(last) if role == Role::Assistant || are_results(&last.parts) => last.parts.extend(parts),
        _ => messages.push(Message { role, name: None, parts }),
    }
}

fn role(word: &str) -> Result<Role, Wrong> {
    match word {
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "system" | "developer" => Ok(Role::System),
        other => Err(Wrong(format!("there is no role `{}`", other.chars().take(WORD_CHARS_MAX).collect::<String>()))),
    }
}

const fn plain(content: Content) -> Part {
    Part { content, cache_until_here: None }
}

/// A text that must be there.
fn word(fields: &Fields, name: &str) -> Result<String, Wrong> {
    fields.read_as(name)?.ok_or_else(|| Wrong(format!("there is no {name}")))
}

/// A text, or parts.
fn parts(item: &Fields, name: &str) -> Result<Vec<Part>, Wrong> {
    let Some(value) = item.get(name).filter(|value| value.as_ref() != b"null") else { return Ok(Vec::new()) };
    if let Ok(said) = serde_json::from_slice::<String>(value) {
        return Ok(vec![text(said)]);
    }
    objects(value)?.iter().map(|part| part_of(part).map(plain)).collect()
}

fn part_of(part: &Fields) -> Result<Content, Wrong> {
    let kind = word(part, "type")?;
    match kind.as_str() {
        "input_text" | "output_text" | "text" => Ok(Content::Text(word(part, "text")?)),
        "refusal" => Ok(Content::Refusal(word(part, "refusal")?)),
        "input_image" => {
            // Others look at all of an image.
            let detail = part.read_as::<String>("detail")?;
            if detail.is_some_and(|detail| detail != "auto" && detail != "high") {
                return Err(Wrong("an image's detail must be auto or high for this model's provider".to_owned()));
            }
            Ok(Content::Image(source(part, &["image_url"], "image/png")?))
        }
        "input_file" => {
            let name = part.read_as("filename")?;
            Ok(Content::Document(source(part, &["file_data", "file_url"], "application/pdf")?, name))
        }
        "input_audio" => {
            let sound = part.get("input_audio").ok_or_else(|| Wrong("there is no input_audio".to_owned()))?;
            let sound = Fields::read(sound)?;
            let format = word(&sound, "format")?;
            let media_type = format!("audio/{}", if format == "mp3" { "mpeg" } else { &format });
            Ok(Content::Audio(Source::Data { media_type, data: word(&sound, "data")? }))
        }
        _ => Err(cannot(&kind)),
    }
}

/// Where something is: by its id, or in one of these fields, at an address or here.
fn source(part: &Fields, fields: &[&str], usual_type: &str) -> Result<Source, Wrong> {
    if let Some(id) = part.read_as("file_id")? {
        return Ok(Source::Id(id));
    }
    for field in fields {
        let Some(place) = part.read_as::<String>(field)? else { continue };
        if let Some((media_type, data)) = place.strip_prefix("data:").and_then(|data| data.split_once(";base64,")) {
            return Ok(Source::Data { media_type: media_type.to_owned(), data: data.to_owned() });
        }
        if *field == "file_data" {
            return Ok(Source::Data { media_type: usual_type.to_owned(), data: place });
        }
        return Ok(Source::Url(place));
    }
    Err(Wrong(format!("there is no {}", fields[0])))
}

/// What a model told of its thoughts: its words, or a summary of them.
fn thought(item: &Fields) -> Result<String, Wrong> {
    for field in ["content", "summary"] {
        let told = item.get(field).filter(|value| value.as_ref() != b"null").map(objects).transpose()?;
        let words = told.iter().flatten().map(|part| word(part, "text")).collect::<Result<Vec<_>, _>>()?;
        if !words.is_empty() {
            return Ok(words.join("\n"));
        }
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn messages(input: &Value) -> Vec<Message> {
        read(&input.to_string().into()).unwrap()
    }

    #[test]
    fn a_text_is_what_the_user_says() {
        let read = messages(&json!("good day"));
        assert!(matches!(&read[0].parts[0].content, Content::Text(text) if text == "good day"));
        assert_eq!(read[0].role, Role::User);
    }

    #[test]
    fn a_round_of_tools_becomes_three_messages() {
        let read = messages(&json!([
            { "role": "user", "content": [{ "type": "input_text", "text": "2+2 and 3+3" }] },
            { "type": "reasoning", "id": "rs_1", "summary": [{ "type": "summary_text", "text": "two sums" }], "encrypted_content": "signed:s" },
            { "type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{ "type": "output_text", "text": "wait", "annotations": [] }] },
            { "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "add", "arguments": "{\"a\":2}" },
            { "type": "function_call", "id": "fc_2", "call_id": "call_2", "name": "add", "arguments": "{\"a\":3}" },
            { "type": "function_call_output", "call_id": "call_1", "output": "4" },
            { "type": "function_call_output", "call_id": "call_2", "output": [{ "type": "input_text", "text": "6" }] },
        ]));
        let roles: Vec<Role> = read.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::User, Role::Assistant, Role::User]);
        let [thought, said, first, second] = &read[1].parts[..] else { panic!("{:?}", read[1]) };
        assert!(matches!(&thought.content, Content::Thinking { signature: Some(_), .. }));
        assert!(matches!(&said.content, Content::Text(_)));
        assert!(matches!(&first.content, Content::ToolUse(call) if call.id == "call_1" && call.input == "{\"a\":2}"));
        assert!(matches!(&second.content, Content::ToolUse(call) if call.id == "call_2"));
        let [_, result] = &read[2].parts[..] else { panic!("{:?}", read[2]) };
        assert!(matches!(&result.content, Content::ToolResult { id, parts, .. } if id == "call_2" && parts.len() == 1));
    }

    #[test]
    fn images_files_and_sound_are_found_where_they_are() {
        let read = messages(&json!([{ "role": "user", "content": [
            { "type": "input_image", "image_url": "data:image/jpeg;base64,AAAA", "detail": "auto" },
            { "type": "input_image", "image_url": "https://example.com/a.png" },
            { "type": "input_file", "file_id": "file_1" },
            { "type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB" },
            { "type": "input_audio", "input_audio": { "format": "wav", "data": "CCCC" } },
        ] }]));
        let sources: Vec<&Source> = read[0]
            .parts
            .iter()
            .map(|part| match &part.content {
                Content::Image(source) | Content::Document(source, _) | Content::Audio(source) => source,
                other => panic!("{other:?}"),
            })
            .collect();
        let here =
            |media_type: &str, data: &str| Source::Data { media_type: media_type.to_owned(), data: data.to_owned() };
        assert_eq!(
            sources,
            [
                &here("image/jpeg", "AAAA"),
                &Source::Url("https://example.com/a.png".to_owned()),
                &Source::Id("file_1".to_owned()),
                &here("application/pdf", "BBBB"),
                &here("audio/wav", "CCCC"),
            ]
        );
    }

    #[test]
    fn an_item_that_cannot_be_said_is_told_by_its_number() {
        for item in [
            json!({ "type": "item_reference", "id": "msg_1" }),
            json!({ "type": "web_search_call", "id": "ws_1" }),
            json!({ "type": "function_call", "name": "f", "arguments": "{}" }),
            json!({ "role": "nobody", "content": "hi" }),
            json!({ "role": "user", "content": [{ "type": "input_image", "image_url": "x", "detail": "low" }] }),
            json!({ "role": "user", "content": [{ "type": "input_video" }] }),
            json!({ "role": "user", "content": 7 }),
        ] {
            let input = json!([{ "role": "user", "content": "hi" }, item]);
            match read(&input.to_string().into()) {
                Err(Error::BadRequest { param, message }) => {
                    assert_eq!(param.as_deref(), Some("input"));
                    assert!(message.starts_with("input[1]: "), "{message}");
                }
                other => panic!("{item}: {other:?}"),
            }
        }
    }
}
