//! Counts a stream while it passes: how much was certainly written, how much probably.

use steward_events::event::TokenUsage;

use crate::estimate::{Estimate, tokens_of};

/// Bytes that no usual text exceeds per token, on average.
const BYTES_PER_TOKEN_MAX: u64 = 6;

/// What has passed so far.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Pieces with text in them.
    pieces: u64,
    /// Bytes of text.
    bytes: u64,
    /// The provider's own count, the largest seen.
    reported: Option<TokenUsage>,
}

impl Meter {
    /// Takes in a piece.
    pub(crate) fn count(&mut self, text_bytes: u64, usage: Option<TokenUsage>) {
        self.bytes = self.bytes.saturating_add(text_bytes);
        self.pieces += u64::from(text_bytes > 0);
        if let Some(usage) = usage
            && self.reported.is_none_or(|reported| reported.total() <= usage.total())
        {
            self.reported = Some(usage);
        }
    }

    /// Output tokens that were written for certain. A provider may put several tokens in a piece, or one in several,
    /// so only what pieces and bytes both show counts: an honest answer is never cut short.
    pub(crate) fn certain_output(&self) -> u64 {
        let seen = self.pieces.min(self.bytes / BYTES_PER_TOKEN_MAX);
        self.reported.map_or(seen, |usage| usage.output.0.max(seen))
    }

    /// The provider's own count.
    pub(crate) const fn reported(&self) -> Option<TokenUsage> {
        self.reported
    }

    /// What was probably used, where the provider did not say.
    pub(crate) fn probable(&self, estimate: &Estimate) -> TokenUsage {
        let seen = estimate.probable(tokens_of(self.bytes).max(self.certain_output()));
        match self.reported {
            Some(reported) if reported.total() >= seen.total() => reported,
            _ => seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_events::quantity::Tokens;

    use super::*;

    #[test]
    fn neither_many_small_pieces_nor_few_large_ones_are_certain() {
        let mut letters = Meter::default();
        (0..60).for_each(|_| letters.count(1, None));
        assert_eq!(letters.certain_output(), 10);
        let mut block = Meter::default();
        block.count(6_000, None);
        assert_eq!(block.certain_output(), 1);
    }

    #[test]
    fn the_providers_count_counts() {
        let mut meter = Meter::default();
        meter.count(5, Some(TokenUsage { output: Tokens(40), ..TokenUsage::default() }));
        meter.count(5, Some(TokenUsage { output: Tokens(30), ..TokenUsage::default() }));
        assert_eq!(meter.certain_output(), 40);
        assert_eq!(meter.reported().unwrap().output, Tokens(40));
    }
}
