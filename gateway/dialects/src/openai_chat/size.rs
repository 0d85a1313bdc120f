//! How many tokens a part of a request can be worth at most, counted while it is read: nothing of it is kept.
//!
//! The tokenizer is unknown, so a byte of text counts as a token: byte-level vocabularies have no shorter ones. What is an
//! image or a file is known by its place, a part of a message's content; the same words elsewhere are text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::names::{self, Meaning, Twins};

/// Tokens that an image may be worth, beside the bytes that stand for it: those of the model that counts most for one, of
/// eight tiles (GPT-4o mini: 2,833 and 5,667 a tile).
const IMAGE_TOKENS: u64 = 48_200;

/// The same of an image of which the request wants little detail: no tile.
const LOW_DETAIL_TOKENS: u64 = 3_000;

/// Tokens that punctuation and quotes around a field may be worth.
const FIELD_TOKENS: u64 = 6;

/// Tokens that an item of a list adds.
const ITEM_TOKENS: u64 = 2;

/// Characters of the longest number that is no whole one.
const FRACTION_TOKENS: u64 = 25;

/// Characters of a word that says what kind of thing it stands in.
const WORD_CHARS_MAX: usize = 40;

/// What stands somewhere in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // each can be true beside any other
pub(crate) struct Size {
    /// Tokens, at most, but for what follows.
    pub(crate) tokens: u64,
    /// How many items, if it is a list.
    pub(crate) items: u64,
    /// True if the model may be given something that does not stand there.
    pub(crate) elsewhere: bool,
    /// True if something stands there only by its name, which the provider kept from another call.
    pub(crate) kept: bool,
    /// True if the provider may search.
    pub(crate) searches: bool,
    /// True if it says itself that little detail is wanted.
    is_low_detail: bool,
    /// True if an address stands there.
    has_address: bool,
    /// The text, where it is a word for a kind.
    word: Option<String>,
}

/// Where a value stands, which decides what its names mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where nothing but text is expected: schemas, arguments.
    Text,
    /// Within settings, where a number can limit the output.
    Settings,
    /// The list of messages.
    Messages,
    /// A message.
    Message,
    /// A message's content.
    Content,
    /// A part of it.
    Part,
    /// What stands in a part.
    InPart,
    /// The list of items of a response's input.
    Items,
    /// One of them.
    Item,
    /// The list of tools.
    Tools,
    /// A tool.
    Tool,
    /// A word for a kind.
    Word,
    /// The list of Anthropic's messages.
    Turns,
    /// One of these.
    Turn,
    /// Its content.
    Blocks,
    /// A part of that, which may hold content again.
    Block,
}

impl<'de> DeserializeSeed<'de> for Place {
    type Value = Size;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Size, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Place {
    /// Reads `value`, which stands there.
    pub(crate) fn read(self, value: &[u8]) -> Result<Size, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(value);
        let size = self.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(size)
    }

    fn leaf<E: Error>(self, tokens: u64) -> Result<Size, E> {
        match self {
            Self::Messages | Self::Items | Self::Turns => Err(E::custom("an array of objects is wanted")),
            Self::Message | Self::Item | Self::Turn => Err(E::custom("an object is wanted")),
            _ => Ok(Size { tokens, ..Size::default() }),
        }
    }

    /// Where the items of a list stand that stands here.
    fn item(self) -> Self {
        match self {
            Self::Messages => Self::Message,
            Self::Content => Self::Part,
            Self::Items => Self::Item,
            Self::Tools => Self::Tool,
            Self::Turns => Self::Turn,
            Self::Blocks => Self::Block,
            Self::Part | Self::Block => Self::InPart,
            other => other,
        }
    }

    /// Where the value stands that stands here under `name`.
    fn field(self, name: &str) -> Self {
        match (self, name) {
            (Self::Message, "content") | (Self::Item, "content" | "output" | "summary") => Self::Content,
            (Self::Turn | Self::Block, "content") => Self::Blocks,
            // What a tool is given: its names are the caller's own.
            (Self::Block, "input") => Self::Text,
            (Self::Part | Self::Tool | Self::Item | Self::Block, "type") | (Self::Part | Self::InPart, "detail") => {
                Self::Word
            }
            (Self::Content, _) => Self::Part.field(name),
            (Self::Blocks, _) => Self::Block.field(name),
            (Self::Part | Self::InPart | Self::Block, _) => Self::InPart,
            (Self::Settings, _) if matches!(names::meaning(name), Ok(Meaning::Schema)) => Self::Text,
            (Self::Settings, _) => Self::Settings,
            _ => Self::Text,
        }
    }

    /// Whether a name may stand here.
    fn check<E: Error>(self, name: &str, twins: &mut Twins) -> Result<(), E> {
        const PROTOCOL: &[&str] = &[
            "role",
            "content",
            "type",
            "text",
            "image_url",
            "input_audio",
            "file",
            "file_id",
            "file_data",
            "url",
            "name",
            "tool_calls",
            "audio",
        ];
        let is_whole = matches!(self, Self::Message | Self::Item | Self::Turn | Self::Tool);
        if is_whole || matches!(self, Self::Content | Self::Part | Self::InPart | Self::Blocks | Self::Block) {
            if twins.has(name) {
                return Err(E::custom(format_args!(
                    "the field `{}` stands there twice, if case does not count",
                    short(name)
                )));
            }
            let folded = names::fold(name);
            if self != Self::Tool && folded != name && PROTOCOL.contains(&folded.as_ref()) {
                return Err(E::custom(format_args!("write `{folded}`, not `{}`", short(name))));
            }
        }
        if self == Self::Settings && names::decides_elsewhere(name) {
            return Err(E::custom(format_args!("`{}` must not stand within another field", short(name))));
        }
        Ok(())
    }

    /// Adds what a field's name means here.
    fn count_name<E: Error>(self, sum: &mut Size, name: &str, value: &Size) -> Result<(), E> {
        let is_said = !value.is_off();
        match self {
            Self::Item | Self::Turn | Self::Blocks | Self::Block if is_said => {
                sum.elsewhere |= names::is_reference(name);
            }
            Self::Message | Self::Part | Self::Content | Self::InPart if is_said => {
                // What the model said aloud is named, not repeated.
                let is_sound_from_before = self == Self::Message && name == "audio";
                sum.elsewhere |= names::is_reference(name) || is_sound_from_before;
                sum.kept |= is_sound_from_before;
            }
            Self::Settings if is_said => {
                sum.elsewhere |= names::is_reference(name);
                let is_setting = matches!(names::meaning(name), Ok(Meaning::Setting));
                if value.is_number() && !is_setting && names::limits_output(name) {
                    return Err(E::custom(format_args!(
                        "`{}` may limit the output, which only the field that this API has for that may do",
                        short(name)
                    )));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The word for a number where numbers can decide.
const NUMBER: &str = "a number";

impl<'de> Visitor<'de> for Place {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        let size = self.leaf(text.len() as u64)?;
        let word = match self {
            Self::Word => Some(text.chars().take(WORD_CHARS_MAX).collect()),
            Self::Settings if text.trim().parse::<f64>().is_ok() => Some(NUMBER.to_owned()),
            _ => None,
        };
        Ok(Size { word, has_address: is_address(text), ..size })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Size, A::Error> {
        if matches!(self, Self::Message | Self::Item | Self::Turn) {
            return Err(A::Error::custom("an object is wanted"));
        }
        let mut sum = Size::default();
        while let Some(item) = items.next_element_seed(self.item())? {
            sum.items += 1;
            sum.take(&item, ITEM_TOKENS);
        }
        Ok(sum)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Size, A::Error> {
        if matches!(self, Self::Messages | Self::Items | Self::Turns) {
            return Err(A::Error::custom("an array of objects is wanted"));
        }
        let (mut sum, mut kind, mut twins, mut only_text) = (Size::default(), None, Twins::default(), true);
        let (mut is_sealed, mut is_low_image) = (false, false);
        while let Some(name) = fields.next_key::<String>()? {
            self.check(&name, &mut twins)?;
            let place = self.field(&name);
            let value = fields.next_value_seed(place)?;
            self.count_name(&mut sum, &name, &value)?;
            is_sealed |= name == "encrypted_content" && !value.is_off();
            sum.take(&value, FIELD_TOKENS + name.len() as u64);
            if place == Self::Word && name == "type" {
                kind = value.word;
            } else {
                sum.is_low_detail |= name == "detail" && value.word.as_deref() == Some("low");
                is_low_image |= name == "image_url" && value.is_low_detail;
                only_text &= matches!(name.as_str(), "text" | "cache_control");
            }
        }
        match self {
            Self::Part | Self::Content => {
                let is_low = is_low_image || (kind.as_deref() == Some("input_image") && sum.is_low_detail);
                sum.count_part(kind.as_deref(), only_text, is_low);
            }
            Self::Item => sum.count_item(kind.as_deref(), is_sealed),
            Self::Block | Self::Blocks => sum.count_block(kind.as_deref()),
            Self::Tool if !matches!(kind.as_deref(), None | Some("function" | "custom")) => {
                // The provider's own: what it finds or runs is given to the model.
                sum.elsewhere = true;
                sum.searches = true;
            }
            _ => {}
        }
        Ok(sum)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Size, E> {
        let word = (!value).then(|| "false".to_owned());
        Ok(Size { word, ..self.leaf(5)? })
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Size, E> {
        Ok(Size { word: Some(NUMBER.to_owned()), ..self.leaf(digits(number.unsigned_abs()) + 1)? })
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Size, E> {
        Ok(Size { word: Some(NUMBER.to_owned()), ..self.leaf(digits(number))? })
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Size, E> {
        Ok(Size { word: Some(NUMBER.to_owned()), ..self.leaf(FRACTION_TOKENS)? })
    }

    fn visit_unit<E: Error>(self) -> Result<Size, E> {
        Ok(Size { word: Some("null".to_owned()), ..self.leaf(5)? })
    }
}

impl Size {
    fn take(&mut self, part: &Self, around: u64) {
        self.tokens = self.tokens.saturating_add(part.tokens).saturating_add(around);
        self.elsewhere |= part.elsewhere;
        self.kept |= part.kept;
        self.searches |= part.searches;
        self.has_address |= part.has_address;
    }

    /// True of a number, also one that is written as a text, where that can decide.
    pub(crate) fn is_number(&self) -> bool {
        self.word.as_deref() == Some(NUMBER)
    }

    /// True of `null` and `false`.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self.word.as_deref(), Some("null" | "false"))
    }

    /// This is a part of a message's content.
    fn count_part(&mut self, kind: Option<&str>, only_text: bool, is_low_detail: bool) {
        match kind {
            None if only_text => {}
            Some(
                "text" | "input_text" | "output_text" | "refusal" | "thinking" | "reasoning" | "redacted_thinking"
                | "summary_text" | "reasoning_text",
            ) => {}
            Some("image_url" | "input_image" | "image" | "computer_screenshot") => {
                let tokens = if is_low_detail { LOW_DETAIL_TOKENS } else { IMAGE_TOKENS };
                self.tokens = self.tokens.saturating_add(tokens);
            }
            // Sound lasts longer in bytes than in tokens.
            Some("input_audio" | "audio") if !self.has_address => {}
            // Packed, or somewhere else: a file may be as long as the model can read.
            _ => self.elsewhere = true,
        }
    }

    /// This is an item of a response's input. Of what a provider kept, or found, only its name may stand there.
    fn count_item(&mut self, kind: Option<&str>, is_sealed: bool) {
        const STANDS_THERE: &[&str] = &[
            "message",
            "function_call",
            "function_call_output",
            "custom_tool_call",
            "custom_tool_call_output",
            "local_shell_call",
            "local_shell_call_output",
            "shell_call",
            "shell_call_output",
            "apply_patch_call",
            "apply_patch_call_output",
            "computer_call",
            "computer_call_output",
            "mcp_approval_request",
            "mcp_approval_response",
        ];
        let stands_there = kind.is_none_or(|kind| STANDS_THERE.contains(&kind) || (kind == "reasoning" && is_sealed));
        self.kept |= kind == Some("item_reference");
        if kind == Some("image_generation_call") {
            self.tokens = self.tokens.saturating_add(IMAGE_TOKENS);
        } else if !stands_there {
            self.elsewhere = true;
        }
    }

    /// This is a block of one of Anthropic's messages.
    fn count_block(&mut self, kind: Option<&str>) {
        match kind {
            Some("text" | "thinking" | "redacted_thinking" | "tool_use" | "tool_result" | "search_result") => {}
            Some("image") => self.tokens = self.tokens.saturating_add(IMAGE_TOKENS),
            // Packed, somewhere else, or of a kind that nobody here knows.
            _ => self.elsewhere = true,
        }
    }
}

fn is_address(text: &str) -> bool {
    let start = text.trim_start().get(..9).unwrap_or(text).to_ascii_lowercase();
    ["http:", "https:", "file:", "gs:", "s3:", "ftp:"].iter().any(|scheme| start.starts_with(scheme))
}

fn short(name: &str) -> String {
    name.chars().take(WORD_CHARS_MAX).collect()
}

fn digits(number: u64) -> u64 {
    u64::from(number.checked_ilog10().unwrap_or(0)) + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::any_json;

    /// The same bound of text, made of the whole value.
    fn measured(value: &Value) -> u64 {
        match value {
            Value::Null | Value::Bool(_) => 5,
            Value::Number(number) if number.is_f64() => FRACTION_TOKENS,
            Value::Number(number) => number.to_string().len() as u64,
            Value::String(text) => text.len() as u64,
            Value::Array(items) => items.iter().map(|item| measured(item) + ITEM_TOKENS).sum(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| measured(value) + name.len() as u64 + FIELD_TOKENS).sum()
            }
        }
    }

    fn messages(content: &Value) -> Result<Size, serde_json::Error> {
        Place::Messages.read(json!([{ "role": "user", "content": content }]).to_string().as_bytes())
    }

    #[test]
    fn an_image_is_one_only_as_a_part_of_a_messages_content() {
        let image = json!([{ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }]);
        let tokens = messages(&image).unwrap().tokens;
        assert!((IMAGE_TOKENS..IMAGE_TOKENS + 200).contains(&tokens), "{tokens}");
        let schema = json!([{ "type": "function", "function": { "name": "f",
            "parameters": { "properties": { "image_url": { "type": "string" }, "input_image": { "type": "x" } } } } }]);
        let Size { tokens, elsewhere, searches, .. } = Place::Tools.read(schema.to_string().as_bytes()).unwrap();
        assert!(tokens < 500 && !elsewhere && !searches, "{tokens}");
        let text = "word ".repeat(10_000);
        for hidden in [
            json!([{ "type": "text", "text": "", "image_url": text }]),
            json!([{ "type": "image_url", "image_url": { "url": text } }]),
            json!([{ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{text}") } }]),
        ] {
            assert!(messages(&hidden).unwrap().tokens >= 50_000, "{hidden}");
        }
    }

    #[test]
    fn an_image_of_little_detail_is_worth_less() {
        let image = |detail: Value| json!({ "type": "image_url", "image_url": { "url": "https://example.com/a.png", "detail": detail } });
        let tokens = |parts: Value| messages(&parts).unwrap().tokens;
        let low = image(json!("low"));
        assert!((LOW_DETAIL_TOKENS..LOW_DETAIL_TOKENS + 200).contains(&tokens(json!([low]))));
        for other in
            [json!("high"), json!("auto"), json!("LOW"), json!(null), json!({ "detail": "low" }), json!(["low"])]
        {
            assert!(tokens(json!([image(other.clone())])) >= IMAGE_TOKENS, "{other}");
        }
        let mut beside = image(json!(null));
        (beside["detail"], beside["more"]) = (json!("low"), json!({ "detail": "low" }));
        assert!(tokens(json!([beside])) >= IMAGE_TOKENS, "nobody reads it there");
        let both = tokens(json!([low, image(json!("high"))]));
        assert!((LOW_DETAIL_TOKENS + IMAGE_TOKENS..LOW_DETAIL_TOKENS + IMAGE_TOKENS + 300).contains(&both), "{both}");
        let response = json!([{ "role": "user", "content": [{ "type": "input_image", "image_url": "https://example.com/a.png", "detail": "low" }] }]);
        assert!(Place::Items.read(response.to_string().as_bytes()).unwrap().tokens < 2 * LOW_DETAIL_TOKENS);
    }

    #[test]
    fn what_does_not_stand_there_is_bounded_by_the_context_alone() {
        for part in [
            json!({ "type": "file", "file": { "file_id": "file-1" } }),
            json!({ "type": "file", "file": { "file_data": "data:application/pdf;base64,AAAA" } }),
            json!({ "type": "image_url", "image_url": { "file_id": "file-1" } }),
            json!({ "type": "input_audio", "input_audio": { "data": "HTTPS://example.com/a.wav" } }),
            json!({ "type": "video_url", "video_url": { "url": "https://example.com/a.mp4" } }),
            json!({ "type": "unheard_of" }),
            json!({ "image_url": "x" }),
            json!({ "type": 7, "text": "x" }),
        ] {
            assert!(messages(&json!([part])).unwrap().elsewhere, "{part}");
        }
        for part in [
            json!({ "type": "text", "text": "https://example.com" }),
            json!({ "text": "hi" }),
            json!({ "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } }),
        ] {
            assert!(!messages(&json!([part])).unwrap().elsewhere, "{part}");
        }
        let own = json!([{ "type": "web_search" }]);
        let Size { elsewhere, searches, .. } = Place::Tools.read(own.to_string().as_bytes()).unwrap();
        assert!(elsewhere && searches);
    }

    #[test]
    fn names_that_are_one_to_somebody_are_refused() {
        for message in [
            r#"[{"role":"user","content":"a","Content":"b"}]"#,
            r#"[{"role":"user","content":"a","content":"b"}]"#,
            r#"[{"role":"user","CONTENT":"a"}]"#,
            r#"[{"role":"user","content":[{"type":"text","text":"a","Type":"file"}]}]"#,
            r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"a","file":1,"FILE_ID":"b"}}]}]"#,
        ] {
            assert!(Place::Messages.read(message.as_bytes()).is_err(), "{message}");
        }
        for settings in [r#"{"num_predict":9}"#, r#"{"a":[{"maxTokens":"9"}]}"#, r#"{"n":2}"#, r#"{"model":"dear"}"#] {
            assert!(Place::Settings.read(settings.as_bytes()).is_err(), "{settings}");
        }
        for settings in [
            r#"{"guided_json":{"max_tokens":9}}"#,
            r#"{"max_tokens":null}"#,
            r#"{"use_tokens":true}"#,
            r#"{"effort":"high"}"#,
        ] {
            assert!(Place::Settings.read(settings.as_bytes()).is_ok(), "{settings}");
        }
        assert!(Place::Settings.read(br#"{"file_ids":["a"]}"#).unwrap().elsewhere);
    }

    #[test]
    fn an_item_that_only_names_something_is_bounded_by_the_context() {
        let elsewhere = |item: Value| Place::Items.read(json!([item]).to_string().as_bytes()).unwrap().elsewhere;
        for item in [
            json!({ "type": "item_reference", "id": "msg_1" }),
            json!({ "type": "reasoning", "id": "rs_1", "summary": [] }),
            json!({ "type": "web_search_call", "id": "ws_1", "status": "completed" }),
            json!({ "type": "compaction", "encrypted_content": "xxxx" }),
            json!({ "type": "function_call_output", "call_id": "c", "output": [{ "type": "input_file", "file_id": "f" }] }),
            json!({ "role": "user", "content": [{ "type": "input_image", "file_id": "f" }] }),
            json!({ "type": "computer_call_output", "output": { "type": "computer_screenshot", "file_id": "f" } }),
        ] {
            assert!(elsewhere(item.clone()), "{item}");
        }
        for item in [
            json!({ "role": "user", "content": "hi" }),
            json!({ "type": "message", "id": "msg_1", "role": "assistant", "content": [{ "type": "output_text", "text": "a" }] }),
            json!({ "type": "reasoning", "id": "rs_1", "summary": [{ "type": "summary_text", "text": "a" }], "encrypted_content": "x" }),
            json!({ "type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}" }),
            json!({ "type": "function_call_output", "call_id": "c", "output": "4" }),
        ] {
            assert!(!elsewhere(item.clone()), "{item}");
        }
        let image = json!([{ "role": "user", "content": [{ "type": "input_image", "image_url": "https://example.com/a.png" }] }]);
        assert!(Place::Items.read(image.to_string().as_bytes()).unwrap().tokens > IMAGE_TOKENS);
        for text in [r#""hi""#, r#"["hi"]"#, "{}", "[[]]", r#"[{"role":"user","Content":"a"}]"#] {
            assert!(Place::Items.read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn messages_are_objects() {
        for text in [r#""hi""#, r#"["hi"]"#, r#"[["hi"]]"#, r#"{"role":"user"}"#, "[1]", "null"] {
            assert!(Place::Messages.read(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(Place::Messages.read(b"[{},{}]").unwrap().items, 2);
    }

    proptest! {
        #[test]
        fn it_is_the_size_of_the_whole(value in any_json(&["image_url"])) {
            prop_assert_eq!(Place::Text.read(value.to_string().as_bytes()).unwrap().tokens, measured(&value));
        }

        #[test]
        fn a_number_is_never_worth_more_than_its_bound(number in any::<f64>()) {
            let text = Value::from(number).to_string();
            prop_assert!(text.len() as u64 <= FRACTION_TOKENS, "{}", text);
        }
    }
}
