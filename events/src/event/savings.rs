//! What calls did not cost, and thanks to what.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{AnswerSource, Saved};
use crate::quantity::{NanoDollars, Tokens};

/// Thanks to what a call cost less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SavingCause {
    /// An earlier answer was kept.
    Cache,
    /// An earlier answer, to a question in other words, was kept.
    Similar,
    /// Another call asked the same at that moment.
    Shared,
    /// The provider had read the beginning of the request before.
    PromptCache,
    /// Parts of the request were said in fewer words.
    Compressed,
    /// The oldest turns were left out.
    Trimmed,
}

impl SavingCause {
    /// Thanks to what a call with an answer from `source` paid the provider nothing, or a part; none if nothing was saved so.
    pub const fn of(source: &AnswerSource) -> Option<Self> {
        match source {
            // What comes again under its key would not have been sent twice.
            AnswerSource::Repeated { .. } => None,
            AnswerSource::Similar { .. } => Some(Self::Similar),
            AnswerSource::Cache => Some(Self::Cache),
            // Whose answer others shared saved what they bear.
            AnswerSource::Shared { .. } | AnswerSource::Provider => Some(Self::Shared),
        }
    }

    /// The word for it, as it is recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Similar => "similar",
            Self::Shared => "shared",
            Self::PromptCache => "prompt_cache",
            Self::Compressed => "compressed",
            Self::Trimmed => "trimmed",
        }
    }
}

/// What one cause saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Saving {
    /// Tokens that were not used, or were read from the provider's cache.
    pub tokens: Tokens,
    /// What these would have cost more.
    pub money: NanoDollars,
    /// What the cause itself cost: writes to a provider's cache that were not read in the same call.
    #[serde(default, skip_serializing_if = "is_free")]
    pub extra: NanoDollars,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
const fn is_free(extra: &NanoDollars) -> bool {
    extra.0 == 0
}

impl Saving {
    fn add(&mut self, more: &Self) {
        let plus = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        plus(&mut self.tokens.0, more.tokens.0);
        plus(&mut self.money.0, more.money.0);
        plus(&mut self.extra.0, more.extra.0);
    }
}

impl From<Saved> for Saving {
    fn from(Saved { tokens, money }: Saved) -> Self {
        Self { tokens, money, extra: NanoDollars(0) }
    }
}

/// What was saved, by cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Savings(BTreeMap<SavingCause, Saving>);

impl Savings {
    /// True if nothing was saved.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what `cause` saved; numbers that would wrap stay at their most. Nothing is not noted.
    pub fn add(&mut self, cause: SavingCause, saving: Saving) {
        if saving != Saving::default() {
            self.0.entry(cause).or_default().add(&saving);
        }
    }

    /// Adds what `more` says.
    pub fn add_all(&mut self, more: &Self) {
        for (cause, saving) in more.iter() {
            self.add(cause, saving);
        }
    }

    /// Each cause and what it saved, in the order of causes.
    pub fn iter(&self) -> impl Iterator<Item = (SavingCause, Saving)> {
        self.0.iter().map(|(cause, saving)| (*cause, *saving))
    }

    /// All causes together.
    pub fn total(&self) -> Saving {
        let mut total = Saving::default();
        self.0.values().for_each(|saving| total.add(saving));
        total
    }
}

impl FromIterator<(SavingCause, Saving)> for Savings {
    fn from_iter<T: IntoIterator<Item = (SavingCause, Saving)>>(each: T) -> Self {
        let mut all = Self::default();
        each.into_iter().for_each(|(cause, saving)| all.add(cause, saving));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn savings_add_up_by_cause_and_never_wrap() {
        let saving = |tokens, money| Saving { tokens: Tokens(tokens), money: NanoDollars(money), ..Saving::default() };
        let mut all = Savings::from_iter([(SavingCause::Cache, saving(1, 2)), (SavingCause::Trimmed, saving(0, 0))]);
        all.add_all(&Savings::from_iter([
            (SavingCause::Cache, saving(3, u64::MAX)),
            (SavingCause::Shared, saving(5, 6)),
        ]));
        let each: Vec<_> = all.iter().collect();
        assert_eq!(each, [(SavingCause::Cache, saving(4, u64::MAX)), (SavingCause::Shared, saving(5, 6))]);
        assert_eq!(all.total(), saving(9, u64::MAX));
    }

    #[test]
    fn a_cause_is_recorded_by_its_word() {
        for cause in ["cache", "shared", "prompt_cache", "compressed", "trimmed"] {
            let read: SavingCause = serde_json::from_value(cause.into()).unwrap();
            assert_eq!(read.as_str(), cause);
        }
    }
}
