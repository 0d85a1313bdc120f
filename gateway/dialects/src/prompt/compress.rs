//! Which texts of a chat are said in fewer words, and how: those that machines wrote. Never instructions, what the model said,
//! or the last text of a user's message, which is what is asked.

use bytes::Bytes;

use super::{CountsTokens, Spared, items, json, lines, table};
use crate::Fields;
use crate::object::list;

/// Texts with fewer bytes are left as they are: there is little to win.
const TEXT_BYTES_MIN: usize = 256;

/// What may be done with a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What a tool answered.
    Answer,
    /// What a user sent: only if it is JSON as a whole.
    Sent,
}

struct Compressor<'a> {
    prune: bool,
    tokens: CountsTokens<'a>,
    spared: &'a mut Spared,
}

/// `message` in fewer words; none if there are no fewer.
pub(super) fn message(message: &Bytes, prune: bool, tokens: CountsTokens<'_>, spared: &mut Spared) -> Option<Bytes> {
    let mut fields = Fields::read(message).ok()?;
    let role: String = fields.read_as("role").ok()??;
    let content = fields.get("content")?.clone();
    let mut compressor = Compressor { prune, tokens, spared };
    let changed = match role.as_str() {
        "tool" | "function" => compressor.content(&content, Kind::Answer),
        "user" => compressor.sent(&content),
        _ => None,
    }?;
    fields.set("content", changed);
    Some(fields.write())
}

impl Compressor<'_> {
    /// What a tool answered: a text, or parts.
    fn content(&mut self, content: &Bytes, kind: Kind) -> Option<Bytes> {
        if content.starts_with(b"\"") {
            return self.text(content, kind);
        }
        self.parts(content, |compressor, part, _| compressor.part(part, kind))
    }

    /// The parts of a user's message: answers of tools, and JSON before the last text.
    fn sent(&mut self, content: &Bytes) -> Option<Bytes> {
        self.parts(content, |compressor, part, is_last_text| {
            let mut fields = Fields::read(part).ok()?;
            let kind: String = fields.read_as("type").ok()??;
            if kind != "tool_result" {
                return if is_last_text { None } else { compressor.part(part, Kind::Sent) };
            }
            let changed = compressor.content(&fields.get("content")?.clone(), Kind::Answer)?;
            fields.set("content", changed);
            Some(fields.write())
        })
    }

    /// A part, if it is a text.
    fn part(&mut self, part: &Bytes, kind: Kind) -> Option<Bytes> {
        let mut fields = Fields::read(part).ok().filter(is_text)?;
        let changed = self.text(&fields.get("text")?.clone(), kind)?;
        fields.set("text", changed);
        Some(fields.write())
    }

    /// A list of parts; `each` is told whether a part is the last text among them.
    fn parts(
        &mut self,
        content: &Bytes,
        mut each: impl FnMut(&mut Self, &Bytes, bool) -> Option<Bytes>,
    ) -> Option<Bytes> {
        let mut parts = items(content, "content").ok()?;
        let last_text = parts.iter().rposition(|part| Fields::read(part).is_ok_and(|fields| is_text(&fields)));
        let mut is_changed = false;
        for (number, part) in parts.iter_mut().enumerate() {
            if let Some(changed) = each(self, part, Some(number) == last_text) {
                (*part, is_changed) = (changed, true);
            }
        }
        is_changed.then(|| list(&parts).into())
    }

    fn text(&mut self, text: &Bytes, kind: Kind) -> Option<Bytes> {
        let text: String = serde_json::from_slice(text).ok()?;
        let shorter = shorter(&text, kind, self.prune)?;
        let (before, after) = ((self.tokens)(&text), (self.tokens)(&shorter));
        self.spared.compressed_bytes += (text.len() - shorter.len()) as u64;
        self.spared.compressed_tokens += before.saturating_sub(after);
        serde_json::to_vec(&shorter).ok().map(Bytes::from)
    }
}

fn is_text(part: &Fields) -> bool {
    matches!(part.read_as::<&str>("type"), Ok(Some("text" | "input_text")))
}

/// `text` in fewer words; none if there are no fewer.
fn shorter(text: &str, kind: Kind, prune: bool) -> Option<String> {
    if text.len() < TEXT_BYTES_MIN {
        return None;
    }
    let said = match json::compact(text, prune) {
        Some(compact) => Some(table::of(&compact).filter(|table| table.len() < compact.len()).unwrap_or(compact)),
        None if kind == Kind::Answer => lines::folded(text),
        None => None,
    };
    said.filter(|said| said.len() < text.len())
}
