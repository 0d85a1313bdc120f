//! How many tokens texts are in vocabularies that are public: exact, in bounded time whatever the text is.
//!
//! The tables are in the binary, and are unpacked when a text is first counted (about 50 MB each, a fifth of a second).

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use steward_aggregates::catalog::Provider;
use steward_events::event::{ModelSpec, ProviderKind, Target, Tokenizer};
use tiktoken_rs::tokenizer::{Tokenizer as Known, get_tokenizer};
use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton};

use crate::dialect::{Fields, texts};

/// Bytes of one request's texts that are counted exactly: about 30 ms of work. What comes after them counts by its bytes.
const COUNTED_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a request whose texts are counted on the spot; of more they are counted beside, so that other calls go on.
const AT_ONCE_BYTES_MAX: u64 = 16 * 1024;
/// Bytes that are counted together, if a line ends there.
const CHUNK_BYTES: usize = 1_024;
/// The longest run of letters, of space or of signs that is given to the tokenizer, in bytes: its work grows faster than such
/// a run does.
const RUN_BYTES_MAX: usize = 4_096;
/// True once a table was used; where two are in use, the other is unpacked on the spot.
static IS_UNPACKED: AtomicBool = AtomicBool::new(false);
/// Tokens that a provider adds to each message, with its role and name. Public for OpenAI's models: three and the role.
const MESSAGE_TOKENS: u64 = 4;
/// Bytes of text that one token is worth where no vocabulary is known.
const BYTES_PER_TOKEN: u64 = 4;

/// The vocabulary by which calls of a model are counted: the one that its entry names, or else the one of which OpenAI says
/// that all of `targets` have it. Another server may give its own model any name.
pub(crate) fn of<'a>(
    spec: &ModelSpec,
    targets: impl IntoIterator<Item = (&'a Target, &'a Provider)>,
) -> Option<Tokenizer> {
    spec.tokenizer.or_else(|| {
        let mut all = targets.into_iter().map(|(target, provider)| {
            let is_openai =
                provider.kind == ProviderKind::Openai && provider.url.starts_with("https://api.openai.com/");
            if !is_openai {
                return None;
            }
            match get_tokenizer(&target.upstream_model)? {
                Known::O200kBase => Some(Tokenizer::O200k),
                Known::Cl100kBase => Some(Tokenizer::Cl100k),
                Known::O200kHarmony | Known::P50kBase | Known::R50kBase | Known::P50kEdit | Known::Gpt2 => None,
            }
        });
        let first = all.next()??;
        all.all(|other| other == Some(first)).then_some(first)
    })
}

/// By how much the texts of a request of so many `bytes` are fewer tokens than bytes. Does not hold up other calls.
pub(crate) async fn fewer_than_bytes(tokenizer: Tokenizer, body: &Fields, bytes: u64) -> u64 {
    counted_aside(tokenizer, body, bytes).await.fewer()
}

/// About how many tokens a request of `messages` and in all `bytes` is: its texts as they are counted, what is around them at
/// four bytes a token.
pub(crate) async fn about(tokenizer: Option<Tokenizer>, body: &Fields, (messages, bytes): (u64, u64)) -> u64 {
    let Some(tokenizer) = tokenizer else { return bytes.div_ceil(BYTES_PER_TOKEN) };
    let texts = counted_aside(tokenizer, body, bytes).await;
    let around = bytes.saturating_sub(texts.bytes).div_ceil(BYTES_PER_TOKEN);
    texts.tokens.saturating_add(messages.saturating_mul(MESSAGE_TOKENS)).saturating_add(around)
}

/// Tokens of one text.
pub(crate) fn count(tokenizer: Tokenizer, text: &str) -> u64 {
    let table = table(tokenizer);
    chunks(text).map(|chunk| chunk_tokens(table, chunk)).fold(0, u64::saturating_add)
}

/// Texts that were counted.
#[derive(Default)]
pub(crate) struct Counted {
    bytes: u64,
    tokens: u64,
}

impl Counted {
    /// By how much they are fewer tokens than bytes.
    pub(crate) fn fewer(&self) -> u64 {
        self.bytes.saturating_sub(self.tokens)
    }
}

/// On the spot if that is quick.
async fn counted_aside(tokenizer: Tokenizer, body: &Fields, bytes: u64) -> Counted {
    if bytes <= AT_ONCE_BYTES_MAX && IS_UNPACKED.load(Ordering::Relaxed) {
        return counted(tokenizer, body);
    }
    let body = body.clone();
    let counting = tokio::task::spawn_blocking(move || {
        let counted = counted(tokenizer, &body);
        IS_UNPACKED.store(true, Ordering::Relaxed);
        counted
    });
    // Uncounted, each byte is a token.
    counting.await.unwrap_or_default()
}

/// The texts of `body`, as far as they are counted at all.
pub(crate) fn counted(tokenizer: Tokenizer, body: &Fields) -> Counted {
    let (mut counted, mut left) = (Counted::default(), COUNTED_BYTES_MAX);
    texts(body, &mut |text| {
        if let Some(rest) = left.checked_sub(text.len()) {
            left = rest;
            counted.bytes += text.len() as u64;
            counted.tokens += count(tokenizer, text);
        }
    });
    counted
}

fn table(tokenizer: Tokenizer) -> &'static CoreBPE {
    match tokenizer {
        Tokenizer::O200k => o200k_base_singleton(),
        Tokenizer::Cl100k => cl100k_base_singleton(),
    }
}

/// Never more than bytes: each vocabulary has a token for each byte.
fn chunk_tokens(table: &CoreBPE, chunk: &str) -> u64 {
    let bytes = chunk.len() as u64;
    if has_long_run(chunk) {
        return bytes;
    }
    // Words for control count as text: that is how providers read what callers say.
    table.encode(chunk, &HashSet::new()).map_or(bytes, |(tokens, _)| bytes.min(tokens.len() as u64))
}

/// Parts of `text` that no token reaches across: where a line ends, and the next begins with neither space nor slash.
fn chunks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let ends = rest.match_indices('\n').map(|(at, _)| at + 1).filter(|end| *end >= CHUNK_BYTES);
        let joins = |end: &usize| rest[*end..].starts_with(|next: char| next == '/' || next.is_whitespace());
        let end = ends.into_iter().find(|end| !joins(end)).unwrap_or(rest.len());
        let (chunk, after) = rest.split_at(end);
        rest = after;
        Some(chunk)
    })
}

/// True if it holds a run of one kind of character that is too long to be split in time.
fn has_long_run(text: &str) -> bool {
    let kind = |letter: char| match letter {
        letter if letter.is_whitespace() => 0_u8,
        letter if letter.is_ascii() && !letter.is_ascii_alphanumeric() => 1,
        _ => 2,
    };
    let (mut run, mut of) = (0, None);
    text.chars().any(|letter| {
        let is = Some(kind(letter));
        run = if is == of { run + letter.len_utf8() } else { letter.len_utf8() };
        of = is;
        run > RUN_BYTES_MAX
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::dialect::Dialect;
    use crate::dialect::openai_chat::OpenAiChat;

    const ALL: [Tokenizer; 2] = [Tokenizer::O200k, Tokenizer::Cl100k];

    fn said(tokenizer: Tokenizer, text: &str) -> u64 {
        table(tokenizer).encode_ordinary(text).len() as u64
    }

    fn chosen(url: &str, kind: ProviderKind, models: &[&str], card: Option<Tokenizer>) -> Option<Tokenizer> {
        let provider = Provider { kind, url: url.to_owned(), key: None };
        let targets: Vec<Target> = models.iter().map(|model| Target::new("p".parse().unwrap(), *model)).collect();
        let spec = ModelSpec { tokenizer: card, ..ModelSpec::default() };
        of(&spec, targets.iter().map(|target| (target, &provider)))
    }

    #[test]
    fn a_vocabulary_is_known_by_the_entry_or_by_openais_own_names() {
        let (openai, o200k, cl100k) = ("https://api.openai.com/v1", Some(Tokenizer::O200k), Some(Tokenizer::Cl100k));
        let of_openai = |models: &[&str]| chosen(openai, ProviderKind::Openai, models, None);
        assert_eq!(of_openai(&["gpt-4o-mini"]), o200k);
        assert_eq!(of_openai(&["gpt-5.2", "gpt-4.1"]), o200k);
        assert_eq!(of_openai(&["text-embedding-3-small"]), cl100k);
        assert_eq!(of_openai(&["gpt-4o", "gpt-4"]), None, "they do not agree");
        assert_eq!(of_openai(&["something-new"]), None);
        assert_eq!(chosen("http://10.0.0.1/v1", ProviderKind::Openai, &["gpt-4o"], None), None, "it may be any model");
        assert_eq!(chosen("https://api.openai.com.example/v1", ProviderKind::Openai, &["gpt-4o"], None), None);
        assert_eq!(chosen("https://a.example", ProviderKind::Azure, &["gpt-4o"], None), None, "a name of their own");
        assert_eq!(chosen("http://10.0.0.1/v1", ProviderKind::Openai, &["llama"], cl100k), cl100k);
    }

    #[test]
    fn well_known_texts_are_counted_as_their_makers_do() {
        let text = "tiktoken is great!";
        assert_eq!(ALL.map(|tokenizer| count(tokenizer, text)), [6, 6]);
        assert_eq!(count(Tokenizer::O200k, "<|endoftext|>"), said(Tokenizer::O200k, "<|endoftext|>"), "it is text");
        assert_eq!(count(Tokenizer::O200k, ""), 0);
    }

    #[test]
    fn runs_that_take_long_count_by_their_bytes() {
        for text in ["a", " ", "^", "\u{e9}", "\n"] {
            let at_bound = text.repeat(RUN_BYTES_MAX / text.len());
            assert_eq!(count(Tokenizer::O200k, &at_bound), said(Tokenizer::O200k, &at_bound));
            let beyond = text.repeat(RUN_BYTES_MAX / text.len() + 1);
            assert_eq!(count(Tokenizer::O200k, &beyond), beyond.len() as u64);
        }
    }

    #[test]
    fn texts_beyond_the_bound_count_by_their_bytes() {
        let line = "all work and no play makes a dull day\n";
        let text = line.repeat(COUNTED_BYTES_MAX / line.len());
        let body = |texts: &[&str]| {
            let messages: Vec<_> = texts.iter().map(|text| json!({ "role": "user", "content": text })).collect();
            let body = json!({ "model": "m", "messages": messages });
            OpenAiChat.read(&body.to_string().into()).unwrap().body
        };
        let whole = counted(Tokenizer::O200k, &body(&[&text])).fewer();
        assert!(whole > text.len() as u64 / 2, "{whole}");
        assert_eq!(counted(Tokenizer::O200k, &body(&[&text, &text])).fewer(), whole);
    }

    /// Texts that may hide what a split hides: lines, space, signs, marks, and letters of all kinds.
    fn any_text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-zA-Z]{1,9} ",
            "[ \t\r\n/]{1,5}",
            "[!-/]{1,4}",
            "\\PC{0,6}",
            Just("\n".to_owned()),
            "[\u{300}-\u{310}中文字]{1,5}",
            "[0-9]{1,7}",
        ];
        prop::collection::vec(piece, 0..600).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn no_text_is_more_tokens_than_are_counted(text in any_text()) {
            for tokenizer in ALL {
                let counted = count(tokenizer, &text);
                prop_assert_eq!(counted, said(tokenizer, &text), "split as it is, it is the same");
                prop_assert!(counted <= text.len() as u64);
            }
        }
    }
}
