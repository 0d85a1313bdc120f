//! JSON as providers write it, read where it stands: nothing is copied, no tree is made.
//!
//! Brackets, names, commas and quotes must be right. Between them it takes what servers write all the same: `NaN` and
//! `Infinity`, a name twice in one object (the later counts), half a character as an escape of its own, bytes that are no
//! UTF-8.

use smallvec::SmallVec;

/// One value, as it stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a>(&'a [u8]);

impl<'a> Json<'a> {
    /// The value that `text` is; none if it is none, or something follows it.
    pub fn read(text: &'a [u8]) -> Option<Self> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii();
        (end_of_value(text, 0)? == text.len()).then_some(Self(text))
    }

    /// The value that `text` begins with, which may be cut off: what stands before the cut can be read.
    pub fn begun(text: &'a [u8]) -> Self {
        Self(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii())
    }

    /// As it stands there.
    pub const fn raw(self) -> &'a [u8] {
        self.0
    }

    /// True of an object.
    pub fn is_object(self) -> bool {
        self.0.first() == Some(&b'{')
    }

    /// True of a list.
    pub fn is_list(self) -> bool {
        self.0.first() == Some(&b'[')
    }

    /// True of a text.
    pub fn is_text(self) -> bool {
        self.0.first() == Some(&b'"')
    }

    /// True of what says nothing: `null`, `false`, zero, or something empty.
    pub fn is_nothing(self) -> bool {
        let Some((first, rest)) = self.0.split_first() else { return true };
        match first {
            b'{' => rest.trim_ascii_start().first() == Some(&b'}'),
            b'[' => rest.trim_ascii_start().first() == Some(&b']'),
            b'"' => rest.first() == Some(&b'"'),
            _ => matches!(self.0, b"null" | b"false") || self.number() == Some(0.0),
        }
    }

    /// Names and values of an object; of anything else none.
    pub fn fields(self) -> Fields<'a> {
        Fields { text: self.0, at: 1, is_over: !self.is_object() }
    }

    /// The same, looked at once for many questions.
    pub fn object(self) -> Object<'a> {
        Object::of(self)
    }

    /// The items of a list; of anything else none.
    pub fn items(self) -> Items<'a> {
        Items { text: self.0, at: 1, is_over: !self.is_list() }
    }

    /// The field of this name: the last one.
    pub fn get(self, name: &str) -> Option<Self> {
        self.fields().filter(|(known, _)| known.is(name)).map(|(_, value)| value).last()
    }

    /// The field of this name, unless it is `null`.
    pub fn said(self, name: &str) -> Option<Self> {
        self.get(name).filter(|value| value.0 != b"null")
    }

    /// A text, unescaped. What is no character is replaced.
    pub fn text(self) -> Option<String> {
        let mut text = Vec::new();
        for piece in self.pieces()? {
            match piece {
                Piece::Plain(bytes) => text.extend_from_slice(bytes),
                Piece::Code(code) => {
                    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        Some(String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// How many bytes a text has, unescaped; half a character counts as two.
    pub fn text_bytes(self) -> Option<u64> {
        let length = |piece| match piece {
            Piece::Plain(bytes) => bytes.len() as u64,
            Piece::Code(0..=0x7f) => 1,
            Piece::Code(0x80..=0x7ff | 0xd800..=0xdfff) => 2,
            Piece::Code(0x800..=0xffff) => 3,
            Piece::Code(_) => 4,
        };
        Some(self.pieces()?.map(length).sum())
    }

    /// True of this text.
    pub fn is(self, text: &str) -> bool {
        let Some(inner) = self.0.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else { return false };
        // What is escaped is longer than the characters it stands for.
        inner == text.as_bytes()
            || (inner.len() > text.len() && inner.contains(&b'\\') && self.text().as_deref() == Some(text))
    }

    /// A number, also one that is written as a text.
    pub fn number(self) -> Option<f64> {
        let digits =
            self.0.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(self.0).trim_ascii();
        let starts = digits.first().is_some_and(|first| matches!(first, b'0'..=b'9' | b'-' | b'+' | b'.'));
        starts.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
    }

    /// A whole number that is not negative, however it is written: `7`, `7.0`, `"7"`. Beyond 64 bits it is the largest.
    pub fn count(self) -> Option<u64> {
        let digits =
            self.0.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(self.0).trim_ascii();
        if let Some(whole) = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()) {
            return Some(whole);
        }
        let number = self.number().filter(|number| number.is_finite() && *number >= 0.0)?;
        // Saturates, which is what is wanted.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(number.ceil() as u64)
    }

    fn pieces(self) -> Option<Pieces<'a>> {
        let rest = self.0.strip_prefix(b"\"")?;
        Some(Pieces(rest.strip_suffix(b"\"").unwrap_or(rest)))
    }
}

/// Fields that an [`Object`] remembers; one with more is looked through at each question.
const REMEMBERED_MAX: usize = 16;

/// An object whose fields were found once: answers are asked for a dozen names each.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    whole: Json<'a>,
    fields: [(Json<'a>, Json<'a>); REMEMBERED_MAX],
    /// How many there are; none if they are not all here.
    count: Option<usize>,
}

impl<'a> Object<'a> {
    fn of(whole: Json<'a>) -> Self {
        let mut fields = [(Json(b""), Json(b"")); REMEMBERED_MAX];
        let mut count = 0;
        for field in whole.fields() {
            let Some(place) = fields.get_mut(count) else { return Self { whole, fields, count: None } };
            *place = field;
            count += 1;
        }
        Self { whole, fields, count: Some(count) }
    }

    /// All of it.
    pub const fn whole(&self) -> Json<'a> {
        self.whole
    }

    /// The field of this name: the last one.
    pub fn get(&self, name: &str) -> Option<Json<'a>> {
        let Some(count) = self.count else { return self.whole.get(name) };
        self.fields[..count].iter().rev().find(|(known, _)| known.is(name)).map(|(_, value)| *value)
    }

    /// The field of this name, unless it is `null`.
    pub fn said(&self, name: &str) -> Option<Json<'a>> {
        self.get(name).filter(|value| value.0 != b"null")
    }
}

/// Fields of an object.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    text: &'a [u8],
    at: usize,
    is_over: bool,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Json<'a>, Json<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::replace(&mut self.is_over, true) {
            return None;
        }
        let begins = after_blanks(self.text, self.at);
        let name_ends = end_of_text(self.text, begins)?;
        let name = Json(&self.text[begins..name_ends]);
        let colon = after_blanks(self.text, name_ends);
        if self.text.get(colon) != Some(&b':') {
            return None;
        }
        let (value, next) = value_at(self.text, after_blanks(self.text, colon + 1))?;
        self.at = next.unwrap_or(0);
        self.is_over = next.is_none();
        Some((name, value))
    }
}

/// Items of a list.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    text: &'a [u8],
    at: usize,
    is_over: bool,
}

impl<'a> Iterator for Items<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::replace(&mut self.is_over, true) {
            return None;
        }
        let (value, next) = value_at(self.text, after_blanks(self.text, self.at))?;
        self.at = next.unwrap_or(0);
        self.is_over = next.is_none();
        Some(value)
    }
}

/// The value at `begins`, and where the next one begins after a comma. Of one that is cut off, what there is.
fn value_at(text: &[u8], begins: usize) -> Option<(Json<'_>, Option<usize>)> {
    let Some(ends) = end_of_value(text, begins) else {
        let rest = text.get(begins..)?;
        let is_begun = matches!(rest.first(), Some(b'{' | b'[' | b'"'));
        return is_begun.then_some((Json(rest), None));
    };
    let after = after_blanks(text, ends);
    Some((Json(&text[begins..ends]), (text.get(after) == Some(&b',')).then_some(after + 1)))
}

/// A part of a text.
enum Piece<'a> {
    /// As it stands.
    Plain(&'a [u8]),
    /// An escape; also half a character.
    Code(u32),
}

struct Pieces<'a>(&'a [u8]);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let first = *self.0.first()?;
        if first != b'\\' {
            let (plain, rest) = self.0.split_at(memchr::memchr(b'\\', self.0).unwrap_or(self.0.len()));
            self.0 = rest;
            return Some(Piece::Plain(plain));
        }
        let Some(escape) = self.0.get(1) else {
            self.0 = &[];
            return Some(Piece::Code(u32::from(char::REPLACEMENT_CHARACTER)));
        };
        let code = match escape {
            b'n' => 0x0a,
            b't' => 0x09,
            b'r' => 0x0d,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'u' => return Some(Piece::Code(self.unicode())),
            other => u32::from(*other),
        };
        self.0 = &self.0[2..];
        Some(Piece::Code(code))
    }
}

impl Pieces<'_> {
    /// An escape of four digits, and the other half with it if it follows.
    fn unicode(&mut self) -> u32 {
        let Some(first) = escaped(self.0) else {
            self.0 = &self.0[2..];
            return u32::from(char::REPLACEMENT_CHARACTER);
        };
        self.0 = &self.0[6..];
        if let (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) = (first, escaped(self.0)) {
            self.0 = &self.0[6..];
            return 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        }
        first
    }
}

fn escaped(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn after_blanks(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// Where the text that begins at `at` ends.
fn end_of_text(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Where the value that begins at `at` ends; none if it is none.
fn end_of_value(text: &[u8], mut at: usize) -> Option<usize> {
    // What closes the objects and lists that are open: few, but of hostile texts.
    let mut open: SmallVec<[u8; 16]> = SmallVec::new();
    loop {
        at = after_blanks(text, at);
        match text.get(at)? {
            b'{' => {
                at = after_blanks(text, at + 1);
                if text.get(at) != Some(&b'}') {
                    at = after_name(text, at)?;
                    open.push(b'}');
                    continue;
                }
                at += 1;
            }
            b'[' => {
                at = after_blanks(text, at + 1);
                if text.get(at) != Some(&b']') {
                    open.push(b']');
                    continue;
                }
                at += 1;
            }
            b'"' => at = end_of_text(text, at)?,
            _ => {
                let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
                let length = text[at..].iter().take_while(|byte| is_part(byte)).count();
                at += if length == 0 { return None } else { length };
            }
        }
        loop {
            let Some(closes) = open.last() else { return Some(at) };
            at = after_blanks(text, at);
            match text.get(at)? {
                b',' if *closes == b'}' => {
                    at = after_name(text, after_blanks(text, at + 1))?;
                    break;
                }
                b',' => {
                    at += 1;
                    break;
                }
                byte if byte == closes => {
                    open.pop();
                    at += 1;
                }
                _ => return None,
            }
        }
    }
}

/// Past a field's name and its colon.
fn after_name(text: &[u8], at: usize) -> Option<usize> {
    let at = after_blanks(text, end_of_text(text, at)?);
    (text.get(at)? == &b':').then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn json(text: &str) -> Json<'_> {
        Json::read(text.as_bytes()).unwrap_or_else(|| panic!("{text} is none"))
    }

    #[test]
    fn what_servers_write_all_the_same_is_read() {
        let odd = json(r#" {"a":NaN,"b":[-Infinity,1e9],"a":7,"half":"\ud83d","\u0063":"\ud83d\ude00\"\n"} "#);
        assert_eq!(odd.get("a").unwrap().count(), Some(7), "the later counts");
        assert_eq!(odd.get("b").unwrap().items().count(), 2);
        assert_eq!(odd.get("half").unwrap().text().unwrap(), "\u{fffd}");
        assert_eq!(
            (odd.get("c").unwrap().text().unwrap(), odd.get("c").unwrap().text_bytes()),
            ("😀\"\n".into(), Some(6))
        );
        assert_eq!(Json::read(b"\"\xff\"").unwrap().text().unwrap(), "\u{fffd}");
    }

    #[test]
    fn an_object_says_the_same_as_its_text_however_many_fields_it_has() {
        for count in [0, 1, REMEMBERED_MAX - 1, REMEMBERED_MAX, REMEMBERED_MAX + 1, 200] {
            let fields: Vec<String> = (0..count).map(|at| format!(r#""f{}":{at},"n":null"#, at % 7)).collect();
            let text = format!("{{{}}}", fields.join(","));
            let (whole, object) = (json(&text), json(&text).object());
            for name in ["f0", "f6", "n", "none"] {
                assert_eq!(
                    (object.get(name), object.said(name)),
                    (whole.get(name), whole.said(name)),
                    "{name} of {text}"
                );
            }
        }
        assert_eq!(json("[1]").object().get("x"), None);
    }

    #[test]
    fn a_name_is_itself_however_it_is_escaped() {
        let named = json(r#"{"m\u006fdel":1,"\u00e9\/":2,"\ud83d\ude00":3,"model\n":4}"#);
        for (name, value) in
            [("model", Some(1)), ("é/", Some(2)), ("😀", Some(3)), ("model\n", Some(4)), ("mode", None)]
        {
            assert_eq!(
                (named.get(name).and_then(Json::count), named.object().get(name).and_then(Json::count)),
                (value, value),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_nested_deeply_is_read() {
        for depth in [1, 15, 16, 17, 10_000] {
            let text = format!("{}7{}", r#"[{"a":"#.repeat(depth), "}]".repeat(depth));
            assert_eq!(json(&text).raw().len(), text.len());
            assert_eq!(Json::read(&text.as_bytes()[..text.len() - 1]), None, "{depth} with one bracket less");
        }
    }

    #[test]
    fn what_is_broken_is_none() {
        for text in
            ["", "{", "{]", "[1", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "\"a", "1 2", "{} x", "no json", "{\"a\":1,}"]
        {
            assert_eq!(Json::read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_stands_before_a_cut_can_be_read() {
        let cut = Json::begun(br#"{"x":1,"error":{"message":"too long","code":"c","echo":"xxx"#);
        let error = cut.get("error").unwrap();
        assert_eq!(error.get("message").unwrap().text().unwrap(), "too long");
        assert_eq!(error.get("code").unwrap().text().unwrap(), "c");
        assert_eq!(error.get("echo").unwrap().text().unwrap(), "xxx");
        assert_eq!(Json::begun(b"").get("x"), None);
    }

    #[test]
    fn counts_are_read_however_they_are_written() {
        for (text, count) in [
            ("7", Some(7)),
            ("7.0", Some(7)),
            ("7.2", Some(8)),
            ("1e3", Some(1_000)),
            ("\"7\"", Some(7)),
            ("18446744073709551614", Some(u64::MAX - 1)),
            ("1e300", Some(u64::MAX)),
            ("-1", None),
            ("NaN", None),
            ("Infinity", None),
            ("null", None),
            ("true", None),
            ("\"\"", None),
            ("{}", None),
        ] {
            assert_eq!(json(text).count(), count, "{text}");
        }
    }

    #[test]
    fn nothing_is_nothing_however_it_is_written() {
        for text in ["null", "false", "0", "0.0", "\"\"", "{ }", "[ ]"] {
            assert!(json(text).is_nothing(), "{text}");
        }
        for text in ["true", "1", "\" \"", "{\"a\":null}", "[0]", "NaN"] {
            assert!(!json(text).is_nothing(), "{text}");
        }
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            r#"[a-zé😀"\\\n{}\[\],:]{0,8}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(r#"[a-c"é]{0,2}"#, inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    fn same(json: Json<'_>, value: &Value) -> bool {
        match value {
            Value::Object(map) => {
                json.fields().count() == map.len()
                    && map.iter().all(|(name, value)| json.get(name).is_some_and(|json| same(json, value)))
            }
            Value::Array(items) => {
                json.items().count() == items.len() && json.items().zip(items).all(|(json, item)| same(json, item))
            }
            Value::String(text) => json.text().as_ref() == Some(text) && json.text_bytes() == Some(text.len() as u64),
            other => json.raw() == other.to_string().as_bytes(),
        }
    }

    proptest! {
        #[test]
        fn good_json_is_read_as_a_tree_would_be(value in tree(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            prop_assert!(same(json(&text), &value), "{}", text);
        }

        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..60)) {
            for json in Json::read(&text).into_iter().chain([Json::begun(&text)]) {
                for (name, value) in json.fields() {
                    let _ = (name.text(), value.text(), value.text_bytes(), value.count(), value.is_nothing(), value.items().count());
                }
            }
        }

        #[test]
        fn no_text_of_brackets_makes_it_panic(text in r#"[\[\]{}",:\\u0d8a 1]{0,40}"#) {
            for json in Json::read(text.as_bytes()).into_iter().chain([Json::begun(text.as_bytes())]) {
                let _ = (json.fields().count(), json.items().count(), json.text(), json.text_bytes(), json.is_nothing());
            }
        }
    }
}
