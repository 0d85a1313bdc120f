//! Counts an answer while it passes: how much was certainly written, how much probably, what the provider says of it.

use std::collections::BTreeMap;

use steward_answers::usage::Usage;
use steward_events::event::{CallOutcome, TokenUsage};
use steward_events::quantity::Tokens;

use crate::dialect::{ChoicePiece, Measured};
use crate::estimate::{Estimate, tokens_of};

/// Bytes that no usual text exceeds per token, on average.
const BYTES_PER_TOKEN_MAX: u64 = 6;

/// Choices that are told apart; no request may ask for more.
const CHOICES_MAX: usize = 128;

/// What has passed so far.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Pieces with text in them.
    pieces: u64,
    /// Bytes of text.
    bytes: u64,
    /// What the provider said last.
    said: Option<Usage>,
    /// The choices that have begun, and whether each has ended.
    choices: BTreeMap<u64, bool>,
}

impl From<Measured> for Meter {
    fn from(Measured { usage, text_bytes }: Measured) -> Self {
        let mut meter = Self::default();
        meter.count(text_bytes, usage, &[]);
        meter
    }
}

impl Meter {
    /// Takes in a piece.
    pub(crate) fn count(&mut self, text_bytes: u64, usage: Option<Usage>, choices: &[ChoicePiece]) {
        self.bytes = self.bytes.saturating_add(text_bytes);
        self.pieces += u64::from(text_bytes > 0);
        if let Some(usage) = usage {
            self.said = Some(usage.after(self.said));
        }
        for piece in choices {
            if self.choices.len() < CHOICES_MAX || self.choices.contains_key(&piece.index) {
                *self.choices.entry(piece.index).or_default() |= piece.ends;
            }
        }
    }

    /// True if each choice that began has ended.
    pub(crate) fn is_whole(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|ended| *ended)
    }

    /// True if the provider said what was used.
    pub(crate) const fn is_said(&self) -> bool {
        matches!(self.said, Some(Usage { input_is_said: true, output_is_said: true, .. }))
    }

    /// Output tokens that were written for certain. A provider may put several tokens in a piece, or one in several,
    /// so only what pieces and bytes both show counts: an honest answer is never cut short.
    pub(crate) fn certain_output(&self) -> u64 {
        let seen = self.pieces.min(self.bytes / BYTES_PER_TOKEN_MAX);
        self.said.map_or(seen, |usage| usage.tokens.output.0.max(seen))
    }

    /// What to post of an answer that is whole: what the provider says of it, as far as it does and that can be.
    pub(crate) fn whole(&self, estimate: &Estimate) -> (TokenUsage, CallOutcome) {
        let (tokens, reason) = match self.said {
            Some(usage) => {
                let output_is_known = usage.output_is_said || self.bytes == 0;
                let tokens = self.completed(usage, estimate);
                match estimate.instead_of(tokens) {
                    Some(instead) => (instead, "the provider said that it used more than the model can read and write"),
                    None if usage.input_is_said && output_is_known => return (tokens, CallOutcome::Completed),
                    None => (tokens, "the provider said only a part of what it used"),
                }
            }
            None => (self.seen(estimate), "the provider did not say what it used"),
        };
        (tokens, CallOutcome::Estimated { reason: reason.to_owned(), closed: true })
    }

    /// What was probably used of an answer that broke off.
    pub(crate) fn probable(&self, estimate: &Estimate) -> TokenUsage {
        let seen = self.seen(estimate);
        let Some(usage) = self.said else { return seen };
        let said = self.completed(usage, estimate);
        let said = estimate.instead_of(said).unwrap_or(said);
        if said.total() >= seen.total() { said } else { seen }
    }

    /// What the provider says, with an estimate of what it leaves out.
    fn completed(&self, Usage { tokens, input_is_said, output_is_said }: Usage, estimate: &Estimate) -> TokenUsage {
        let seen = self.seen(estimate);
        TokenUsage {
            input: if input_is_said { tokens.input } else { seen.input },
            output: if output_is_said { tokens.output } else { seen.output },
            ..tokens
        }
    }

    /// What was probably used, by what passed.
    fn seen(&self, estimate: &Estimate) -> TokenUsage {
        let pieces = self.pieces.min(self.bytes / BYTES_PER_TOKEN_MAX);
        estimate.probable(tokens_of(self.bytes).max(pieces))
    }
}

/// What is posted of an answer that its caller left before anybody knew what it used: all that it may have come to, because
/// a model may have thought unseen.
pub(crate) fn abandoned(meter: &Meter, estimate: &Estimate, each: u64) -> TokenUsage {
    let seen = meter.probable(estimate);
    TokenUsage { output: seen.output.max(Tokens(estimate.output(each))), ..seen }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(output: u64) -> Usage {
        let tokens = TokenUsage { output: Tokens(output), ..TokenUsage::default() };
        Usage { tokens, input_is_said: true, output_is_said: true }
    }

    #[test]
    fn neither_many_small_pieces_nor_few_large_ones_are_certain() {
        let mut letters = Meter::default();
        (0..60).for_each(|_| letters.count(1, None, &[]));
        assert_eq!(letters.certain_output(), 10);
        let mut block = Meter::default();
        block.count(6_000, None, &[]);
        assert_eq!(block.certain_output(), 1);
    }

    #[test]
    fn the_providers_last_count_counts() {
        let mut meter = Meter::default();
        meter.count(5, Some(said(40)), &[]);
        meter.count(5, Some(said(30)), &[]);
        assert_eq!(meter.certain_output(), 30, "the last, not the largest");
        assert!(meter.is_said());
    }

    #[test]
    fn an_answer_is_whole_when_each_choice_has_ended() {
        let piece = |index, ends| ChoicePiece { index, ends };
        let mut meter = Meter::default();
        assert!(!meter.is_whole());
        meter.count(1, None, &[piece(0, false), piece(1, false)]);
        meter.count(1, None, &[piece(0, true)]);
        assert!(!meter.is_whole());
        meter.count(1, None, &[piece(1, true), piece(0, false)]);
        assert!(meter.is_whole());
        (0..1_000).for_each(|index| meter.count(0, None, &[piece(index, false)]));
        assert_eq!(meter.choices.len(), CHOICES_MAX);
    }
}
