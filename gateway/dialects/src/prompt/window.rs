//! A chat that is longer than the model reads: its oldest turns are left out, or it is known by how much it is too long.
//!
//! A turn is what a user says and all that follows until a user says something again. Within the last turn, what the model
//! said and what tools answered to it are a step. A turn or a step goes or stays as a whole, so that no answer of a tool is
//! without its call. What instructs stays, and so does the last turn's beginning and end.

use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{CountsTokens, MESSAGES, items, messages};
use crate::Fields;
use crate::object::list;
use crate::said;

/// What is left out is a multiple of this part of the room, so that a chat that grows begins at the same turn for a while.
const STEPS: u64 = 8;
/// Tokens that a message has around its text.
const MESSAGE_TOKENS: u64 = 4;
/// Bytes of what is no text that a token is worth.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens of an image, a document or sound, whose bytes say little.
const MEDIA_TOKENS: u64 = 1_500;

/// A chat that is too long, and cannot or must not be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Tokens that it has, about.
    pub tokens: u64,
    /// Tokens that there is room for.
    pub room: u64,
}

/// Leaves out the oldest turns of a chat for which there is `room` for so many tokens, if it is longer and `trims`. Says how
/// many turns and steps, and how many tokens they had.
///
/// # Errors
/// [`TooLong`], and then nothing is left out.
pub fn fit(body: &mut Fields, room: u64, trims: bool, tokens: CountsTokens<'_>) -> Result<(u64, u64), TooLong> {
    let Some(messages) = messages(body) else { return Ok((0, 0)) };
    let weights: Vec<u64> = messages.iter().map(|message| weight(message, tokens)).collect();
    let around = body.iter().filter(|(name, _)| *name != MESSAGES).map(|(_, value)| weight(value, tokens));
    let all = around.chain(weights.iter().copied()).fold(0, u64::saturating_add);
    let Some(over) = all.checked_sub(room).filter(|over| *over > 0) else { return Ok((0, 0)) };
    let too_long = TooLong { tokens: all, room };
    if !trims {
        return Err(too_long);
    }
    let roles: Vec<Role> = messages.iter().map(role).collect();
    let step = (room / STEPS).max(1);
    let (mut turns, mut left_out, mut goes) = (0, 0, vec![false; messages.len()]);
    for part in parts(&roles) {
        if left_out >= over.div_ceil(step).saturating_mul(step) {
            break;
        }
        turns += 1;
        for number in part.filter(|number| roles[*number] != Role::Instructs) {
            goes[number] = true;
            left_out += weights[number];
        }
    }
    if left_out < over {
        return Err(too_long);
    }
    let kept: Vec<Bytes> =
        messages.into_iter().zip(goes).filter(|(_, goes)| !goes).map(|(message, _)| message).collect();
    body.set(MESSAGES, list(&kept).into());
    Ok((turns, left_out))
}

/// Who says a message, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Instructs,
    Asks,
    Speaks,
    /// A tool's answer.
    Answers,
}

fn role(message: &Bytes) -> Role {
    #[derive(Deserialize)]
    struct Said<'a> {
        role: String,
        #[serde(borrow)]
        content: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Part {
        r#type: Option<String>,
    }
    let Ok(Said { role, content }) = serde_json::from_slice(message) else { return Role::Speaks };
    let parts: Vec<Part> = content.and_then(|content| serde_json::from_str(content.get()).ok()).unwrap_or_default();
    match role.as_str() {
        "system" | "developer" => Role::Instructs,
        "user" if parts.iter().any(|part| part.r#type.as_deref() == Some("tool_result")) => Role::Answers,
        "user" => Role::Asks,
        "tool" | "function" => Role::Answers,
        _ => Role::Speaks,
    }
}

/// What may go, oldest first: whole turns but the last, and then the steps of that one but its last.
fn parts(roles: &[Role]) -> Vec<Range<usize>> {
    let begins = |role: Role, within: Range<usize>| within.filter(move |number| roles[*number] == role);
    let between = |mut at: Vec<usize>, end: usize| {
        at.push(end);
        at.windows(2).map(|pair| pair[0]..pair[1]).collect::<Vec<_>>()
    };
    let mut turns: Vec<usize> = begins(Role::Asks, 0..roles.len()).collect();
    // What was said before anybody asked belongs to the first turn.
    if let Some(first) = turns.first_mut() {
        *first = 0;
    }
    let last = turns.last().copied().unwrap_or(0);
    turns.pop();
    let steps: Vec<usize> = begins(Role::Speaks, last..roles.len()).collect();
    let mut parts = if turns.is_empty() { Vec::new() } else { between(turns, last) };
    if let Some((end, steps)) = steps.split_last()
        && !steps.is_empty()
    {
        parts.extend(between(steps.to_vec(), *end));
    }
    parts
}

/// About how many tokens a value is: its texts as they are counted, media by their number, the rest by its bytes.
fn weight(value: &Bytes, tokens: CountsTokens<'_>) -> u64 {
    let (mut text_tokens, mut text_bytes) = (0_u64, 0_u64);
    said::within_value(value, &mut |text| {
        text_tokens += tokens(text);
        text_bytes += text.len() as u64;
    });
    let (media, media_bytes) = media(value);
    let rest = (value.len() as u64).saturating_sub(text_bytes).saturating_sub(media_bytes);
    text_tokens + MESSAGE_TOKENS + media * MEDIA_TOKENS + rest.div_ceil(BYTES_PER_TOKEN)
}

/// How many parts of a message are no words, and their bytes.
fn media(message: &Bytes) -> (u64, u64) {
    let content = Fields::read(message).ok().and_then(|fields| fields.get("content").cloned());
    let parts = content.and_then(|content| items(&content, "content").ok()).unwrap_or_default();
    let is_media = |part: &&Bytes| {
        let kind = Fields::read(part).ok().and_then(|fields| fields.read_as::<String>("type").ok().flatten());
        matches!(kind.as_deref(), Some("image" | "image_url" | "input_image" | "input_audio" | "document" | "file"))
    };
    parts.iter().filter(is_media).fold((0, 0), |(count, bytes), part| (count + 1, bytes + part.len() as u64))
}
