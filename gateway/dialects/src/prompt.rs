//! What is done with a chat before it is sent, so that it costs less or fits: parts of it said in fewer words, its oldest turns
//! left out, marks for the provider's prompt cache. On the JSON of callers whose chats have `messages`; of others nothing.
//!
//! The same text is said in the same words in each call, wherever it stands, and what is left out changes in steps: so the
//! beginning of a chat that grows stays the same, and is found in the provider's cache. This module knows no policy: what is
//! wanted is told.

use bytes::Bytes;

use crate::Fields;
use crate::error::Error;
use crate::object::{Reading, list};

mod compress;
mod json;
mod lines;
mod marks;
mod table;
mod window;

pub use marks::{mark, with_marks};
pub use window::{TooLong, fit};

/// Tokens of a text, exactly or about.
pub type CountsTokens<'a> = &'a dyn Fn(&str) -> u64;

/// What was spared of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spared {
    /// Bytes that were said in fewer words, less those words.
    pub compressed_bytes: u64,
    /// The same in tokens.
    pub compressed_tokens: u64,
    /// Turns that were left out.
    pub trimmed_turns: u64,
    /// Tokens of these.
    pub trimmed_tokens: u64,
}

impl Spared {
    /// True if the request is sent as it came.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Says what tools answered, and JSON that a user sent beside a text, in fewer words; `prune` leaves out what is null or
/// empty. Nothing of `body` changes that would not get shorter.
pub fn compress(body: &mut Fields, prune: bool, tokens: CountsTokens<'_>) -> Spared {
    let (Some(messages), mut spared) = (messages(body), Spared::default()) else { return Spared::default() };
    let mut is_changed = false;
    let mut each = |message: Bytes| match compress::message(&message, prune, tokens, &mut spared) {
        Some(changed) => {
            is_changed = true;
            changed
        }
        None => message,
    };
    let messages: Vec<Bytes> = messages.into_iter().map(&mut each).collect();
    if is_changed {
        body.set(MESSAGES, list(&messages).into());
    }
    spared
}

/// Where a chat is.
const MESSAGES: &str = "messages";

/// Each message as it stands there.
fn messages(body: &Fields) -> Option<Vec<Bytes>> {
    let items = items(body.get(MESSAGES)?, MESSAGES).ok()?;
    Some(items).filter(|items| !items.is_empty())
}

/// The items of a list.
fn items(value: &Bytes, name: &str) -> Result<Vec<Bytes>, Error> {
    let mut around = Fields::default();
    around.set(name, value.clone());
    let items = Reading::of_request(around).list(name)?;
    Ok(items.into_iter().map(|(_, item)| item).collect())
}

#[cfg(test)]
mod tests;
