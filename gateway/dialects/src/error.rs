//! Why a request is not understood, or cannot be said in another dialect.

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request cannot be understood, or said.
    #[error("{message}")]
    BadRequest {
        /// The field, if it is one.
        param: Option<String>,
        /// What is wrong and what would be right.
        message: String,
    },
    /// It names a model that no catalog can have.
    #[error("the model `{0}` does not exist or has no route")]
    NoSuchModel(String),
}

impl Error {
    /// A field that cannot be right.
    pub fn bad(param: &str, message: impl Into<String>) -> Self {
        Self::BadRequest { param: Some(param.to_owned()), message: message.into() }
    }
}
