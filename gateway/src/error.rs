//! Why a request gets no good answer: what the door and the paths say, and what a call says. Reasons alone; how they look
//! is each face's own.

use steward_events::rejection::Rejection;
use steward_ports::bus::BusError;
use steward_ports::live::NotFresh;

/// The codings of bodies that are taken, as `Accept-Encoding` names them.
pub(crate) const CODINGS_TAKEN: &str = "gzip, deflate";

/// Why not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No credentials came.
    #[error("no API key: send the header `Authorization: Bearer <key>`, `api-key: <key>` or `x-api-key: <key>`")]
    NoKey,
    /// Too many wrong keys from there.
    #[error("too many wrong API keys from this address")]
    TooManyWrongKeys,
    /// The body is too long.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body is coded in a way that is not taken.
    #[error("a body coded as {0} is not taken: send it as it is, or coded as one of {CODINGS_TAKEN}")]
    UnknownCoding(String),
    /// The body did not come in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// No such path.
    #[error("there is nothing at {0}")]
    NoSuchPath(String),
    /// The path exists, but not for that method.
    #[error("{0} does not accept this method")]
    NoSuchMethod(String),
    /// A decider or a view said no, and has it on record.
    #[error(transparent)]
    Decided(Rejection),
    /// All else.
    #[error(transparent)]
    Call(#[from] steward_calls::Error),
}

impl Error {
    /// A field that cannot be right.
    pub(crate) fn bad(param: &str, message: impl Into<String>) -> Self {
        steward_calls::Error::bad(param, message).into()
    }

    /// Something that is needed is not there now; nothing was done.
    pub(crate) fn unavailable(why: impl Into<String>) -> Self {
        steward_calls::Error::Unavailable(why.into()).into()
    }

    /// It is not known what came of it.
    pub(crate) fn unanswered(why: impl Into<String>) -> Self {
        steward_calls::Error::Unanswered(why.into()).into()
    }
}

impl From<steward_calls::dialect::Error> for Error {
    fn from(cause: steward_calls::dialect::Error) -> Self {
        Self::Call(cause.into())
    }
}

impl From<Rejection> for Error {
    fn from(why: Rejection) -> Self {
        Self::Call(why.into())
    }
}

impl From<NotFresh> for Error {
    fn from(why: NotFresh) -> Self {
        Self::Call(why.into())
    }
}

impl From<BusError> for Error {
    fn from(cause: BusError) -> Self {
        match cause {
            BusError::NobodyListens { .. } | BusError::Unavailable(_) => Self::unavailable(cause.to_string()),
            BusError::TimedOut { .. } | BusError::Failed { .. } => {
                Self::unanswered(format!("{cause}; send it again with the same Idempotency-Key"))
            }
        }
    }
}
