//! Why a call is not made or gets no good answer: reasons alone. How a reason looks to a caller is each face's own.

use std::time::Duration;

use http::StatusCode;
use steward_events::id::CallId;
use steward_events::rejection::Rejection;
use steward_ports::live::NotFresh;

use crate::dialect;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No principal holds that key now.
    #[error("this API key is not valid: wrong, expired or revoked")]
    WrongKey,
    /// A decision said no.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The request cannot be understood.
    #[error("{message}")]
    BadRequest {
        /// The field, if it is one.
        param: Option<String>,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The tenant cannot call that model.
    #[error("the model `{0}` does not exist or has no route")]
    NoSuchModel(String),
    /// The model cannot be paid for.
    #[error(
        "the model `{0}` has no price, so the cost of its calls cannot be bounded; set one with `steward price set`"
    )]
    NoPrice(String),
    /// No such response is kept for the caller.
    #[error("no response `{0}` is kept here for this key: only those made with `store: true` are, for a while")]
    NoSuchResponse(String),
    /// The tenant keeps all that it may beside the log; nothing was done.
    #[error(
        "your tenant keeps {kept} bytes of responses and of answers to calls with an Idempotency-Key, and may keep \
         {bytes_max}: delete responses, wait until some end, or call without keeping anything"
    )]
    KeepsTooMuch {
        /// How much it keeps.
        kept: u64,
        /// How much it may.
        bytes_max: u64,
    },
    /// Too much at once.
    #[error("{reason}")]
    Busy {
        /// Of what.
        reason: String,
        /// When to come back.
        retry_after: Duration,
    },
    /// The caller used this key for something else before; nothing of this was done.
    #[error("this Idempotency-Key was used for another request before; send this one with a new key")]
    IdempotencyKeyReused,
    /// The call was made under this key before, and nobody can say what came of it; nothing was done now.
    #[error(
        "this Idempotency-Key was used for the call {call}, which may have been billed and has no answer that can be given \
         again: {why}; send the request with a new key if it is to be made once more"
    )]
    OutcomeUnknown {
        /// The call that was made.
        call: CallId,
        /// Why.
        why: String,
    },
    /// The call is being made under this key; nothing was done now.
    #[error("a call with this Idempotency-Key is still being made; come back for its answer with the same key")]
    StillRunning,
    /// Something that is needed is not there now; nothing was done.
    #[error("{0}")]
    Unavailable(String),
    /// It is not known what came of it.
    #[error("{0}")]
    Unanswered(String),
    /// The provider said no to this very request.
    #[error("{message}")]
    UpstreamRefused {
        /// The provider's status.
        status: StatusCode,
        /// The provider's own words.
        message: String,
        /// The provider's own code, if it gave one.
        code: Option<String>,
        /// The field it blames.
        param: Option<String>,
    },
    /// No provider took the request; nothing was billed.
    #[error("{0}")]
    UpstreamFailed(String),
    /// The account that pays the provider has nothing left; nothing was billed, and asking again does not help.
    #[error("{0}")]
    UpstreamOutOfCredit(String),
    /// A provider took too long, and may have billed it.
    #[error("{0}")]
    UpstreamTimedOut(String),
    /// The provider's answer broke off, and may have been billed.
    #[error("{0}")]
    UpstreamBroke(String),
}

impl Error {
    /// True if the provider may have billed what this is said of.
    pub const fn may_be_billed(&self) -> bool {
        matches!(self, Self::Unanswered(_) | Self::UpstreamTimedOut(_) | Self::UpstreamBroke(_))
    }

    /// A field that cannot be right.
    pub fn bad(param: &str, message: impl Into<String>) -> Self {
        Self::BadRequest { param: Some(param.to_owned()), message: message.into() }
    }
}

impl From<dialect::Error> for Error {
    fn from(cause: dialect::Error) -> Self {
        match cause {
            dialect::Error::BadRequest { param, message } => Self::BadRequest { param, message },
            dialect::Error::NoSuchModel(model) => Self::NoSuchModel(model),
        }
    }
}

impl From<NotFresh> for Error {
    fn from(cause: NotFresh) -> Self {
        Self::Unavailable(format!("keys and grants cannot be confirmed to be current: {cause}"))
    }
}
