//! What a provider answered instead of an answer. It must not know what callers are told of it.

use http::StatusCode;
use steward_answers::problem::Problem;
use steward_answers::retry_after::AskAgain;

/// What a provider answered instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status; where the provider answered as if all were well, the one that its body names.
    pub status: StatusCode,
    /// The provider's message, if its body had one.
    pub message: Option<String>,
    /// The provider's own code, if it gave one.
    pub code: Option<String>,
    /// The field it blames.
    pub param: Option<String>,
    /// When the provider wants to be asked again.
    pub ask_again: Option<AskAgain>,
    /// True if the account that pays it has nothing left: it is of no use to ask again.
    pub out_of_credit: bool,
    /// True if it came as an answer with a good status.
    pub as_answer: bool,
}

impl Refused {
    /// With this status, and nothing else to say.
    pub fn of(status: StatusCode) -> Self {
        Self::telling(status, Problem::default())
    }

    /// With this status and these words.
    pub fn telling(status: StatusCode, problem: Problem) -> Self {
        let out_of_credit = problem.is_out_of_credit() || status == StatusCode::PAYMENT_REQUIRED;
        let Problem { message, code, param, .. } = problem;
        Self { status, message, code, param, ask_again: None, out_of_credit, as_answer: false }
    }

    /// True of answers that the same request gets everywhere.
    pub fn is_about_the_request(&self) -> bool {
        !self.as_answer && !self.out_of_credit && matches!(self.status.as_u16(), 400 | 413 | 415 | 422)
    }

    /// True if it says that it does not know the field that it blames.
    pub(crate) fn says_unknown(&self) -> bool {
        const WORDS: &[&str] = &[
            "unsupported",
            "not supported",
            "unknown",
            "unrecognized",
            "unexpected",
            "extra_forbidden",
            "not permitted",
        ];
        let said = [self.code.as_deref(), self.message.as_deref()].map(|said| said.unwrap_or_default().to_lowercase());
        WORDS.iter().any(|word| said.iter().any(|said| said.contains(word)))
    }
}
