//! A chat as upstreams want it that know two speakers only: instructions apart, and what one says in a row as one turn.

use super::canonical::{Message, Part, Role};
use crate::error::Error;

/// What was said, in turns.
#[derive(Debug, Default)]
pub(super) struct Turns<'a> {
    /// What instructs, wherever it stood.
    pub(super) instructions: Vec<&'a Part>,
    /// What was said, each speaker in turn.
    pub(super) turns: Vec<Turn<'a>>,
}

/// What one says in a row.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// True if the model says it.
    pub(super) is_the_models: bool,
    /// In parts.
    pub(super) parts: Vec<&'a Part>,
}

impl<'a> Turns<'a> {
    /// The turns of `messages`.
    ///
    /// # Errors
    /// [`Error::BadRequest`] if a speaker has a name: `upstream` knows none.
    pub(super) fn of(messages: &'a [Message], upstream: &str) -> Result<Self, Error> {
        let mut said = Self::default();
        for message in messages {
            if message.name.is_some() {
                return Err(no_such(upstream, "messages.name"));
            }
            let is_the_models = match message.role {
                Role::System => {
                    said.instructions.extend(&message.parts);
                    continue;
                }
                Role::User => false,
                Role::Assistant => true,
            };
            match said.turns.last_mut().filter(|turn| turn.is_the_models == is_the_models) {
                Some(turn) => turn.parts.extend(&message.parts),
                None => said.turns.push(Turn { is_the_models, parts: message.parts.iter().collect() }),
            }
        }
        Ok(said)
    }
}

/// `upstream` cannot say `field`.
pub(super) fn no_such(upstream: &str, field: &str) -> Error {
    Error::bad(field, format!("`{field}` cannot be said to {upstream}"))
}

#[cfg(test)]
mod tests {
    use super::super::canonical::Content;
    use super::*;

    fn message(role: Role, text: &str) -> Message {
        let part = Part { content: Content::Text(text.to_owned()), cache_until_here: None };
        Message { role, name: None, parts: vec![part] }
    }

    #[test]
    fn what_one_says_in_a_row_is_one_turn() {
        let messages = [
            message(Role::System, "a"),
            message(Role::User, "b"),
            message(Role::System, "c"),
            message(Role::User, "d"),
            message(Role::Assistant, "e"),
        ];
        let said = Turns::of(&messages, "a provider").unwrap();
        assert_eq!(said.instructions.len(), 2);
        let turns: Vec<_> = said.turns.iter().map(|turn| (turn.is_the_models, turn.parts.len())).collect();
        assert_eq!(turns, [(false, 2), (true, 1)]);
    }

    #[test]
    fn a_speakers_name_is_refused() {
        let named = Message { name: Some("Ann".to_owned()), ..message(Role::User, "hi") };
        let Err(Error::BadRequest { param, .. }) = Turns::of(&[named], "a provider").map(|_| ()) else { panic!() };
        assert_eq!(param.as_deref(), Some("messages.name"));
    }
}
