//! Commands, queries and replies as they travel: subject, envelope, body. The principal is in the subject, because the
//! bus enforces the subject.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::BoxError;
use crate::id::{CommandId, CorrelationId, PrincipalId, TenantId};
use crate::quantity::Position;
use crate::rejection::Rejection;
use crate::timestamp::Timestamp;

pub(crate) mod msgpack;

/// How a body is written: JSON or MessagePack, by `Content-Type`; a leading `{` is JSON without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `application/json`.
    #[default]
    Json,
    /// `application/msgpack`, named fields.
    MessagePack,
}

impl Format {
    /// The content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MessagePack => "application/msgpack",
        }
    }

    /// Of a body with this content type, if it has one.
    pub fn of(content_type: Option<&str>, body: &[u8]) -> Self {
        match content_type.map(|text| text.split(';').next().unwrap_or("").trim()) {
            Some("application/json") => Self::Json,
            Some("application/msgpack" | "application/x-msgpack") => Self::MessagePack,
            _ if body.iter().find(|b| !b.is_ascii_whitespace()).is_none_or(|&b| b == b'{') => Self::Json,
            _ => Self::MessagePack,
        }
    }

    /// Reads a body. An empty one is an empty object.
    ///
    /// # Errors
    /// What is wrong, for the sender, naming the field.
    pub fn read<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, String> {
        match self {
            Self::Json if body.is_empty() => serde_json::from_slice(b"{}").map_err(|error| error.to_string()),
            Self::Json => serde_json::from_slice(body).map_err(|error| error.to_string()),
            Self::MessagePack => msgpack::read(body).map_err(|error| error.to_string()),
        }
    }

    /// Reads the body of a command or query: an object with named fields. A list of the same values is refused,
    /// because it would name nothing.
    ///
    /// # Errors
    /// What is wrong, for the sender, naming the field.
    pub fn read_named<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, String> {
        let first = match self {
            Self::Json => body.iter().find(|byte| !byte.is_ascii_whitespace()),
            Self::MessagePack => body.first(),
        };
        let named = match (self, first) {
            (_, None) => true,
            (Self::Json, Some(first)) => *first == b'{',
            (Self::MessagePack, Some(first)) => matches!(first, 0x80..=0x8f | 0xde | 0xdf),
        };
        if named { self.read(body) } else { Err("write an object with named fields".to_owned()) }
    }

    /// Writes a body.
    ///
    /// # Errors
    /// If the value cannot be written in this format, e.g. a map whose keys are no text.
    pub fn write<T: Serialize>(self, value: &T) -> Result<Vec<u8>, BoxError> {
        Ok(match self {
            Self::Json => serde_json::to_vec(value)?,
            Self::MessagePack => rmp_serde::to_vec_named(value)?,
        })
    }
}

/// What travels beside a command or query: for tracing and for idempotence. Nothing else is decided on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The command; made once, kept over retries.
    pub command: CommandId,
    /// When it was issued, by the sender's clock.
    pub issued_at: Timestamp,
    /// For whom the sender acts, if not for itself. Only parts of Steward may say so.
    pub on_behalf_of: Option<PrincipalId>,
    /// What led to it.
    pub causation: Option<String>,
    /// The chain it belongs to.
    pub correlation: CorrelationId,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// A command or query as it stands on the bus: `cmd|qry.<tenant>.<principal>.<noun>.<verb>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose data it is about.
    pub tenant: TenantId,
    /// Who sends it; the bus vouches for that.
    pub principal: PrincipalId,
    /// The noun, or the view of a query.
    pub noun: String,
    /// The verb.
    pub verb: String,
    /// What travels beside it.
    pub envelope: Envelope,
    /// How the body is written, and how the answer is to be.
    pub format: Format,
    /// The body.
    pub body: Bytes,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// True if it was decided as asked, also if there was nothing to do.
    pub accepted: bool,
    /// The names of the events recorded, e.g. `ledger.budget_set`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Where in its shard the state stands that this answer rests on.
    #[serde(default)]
    pub position: Position,
    /// What else the sender needs to know, e.g. the id of the task made.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub answer: serde_json::Value,
    /// Why not, if not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Rejection>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Reply {
    /// Refused, by a decision that rests on the state at `position`.
    pub fn refused(rejection: Rejection, position: Position) -> Self {
        Self {
            accepted: false,
            events: Vec::new(),
            position,
            answer: serde_json::Value::Null,
            message: Some(rejection.to_string()),
            rejection: Some(rejection),
        }
    }

    /// The rejection, as an error.
    ///
    /// # Errors
    /// [`Rejection`] if the command was refused.
    pub fn into_result(self) -> Result<Self, Rejection> {
        match self.rejection {
            Some(rejection) => Err(rejection),
            None => Ok(self),
        }
    }
}

impl Request {
    /// `cmd.<tenant>.<principal>.<noun>.<verb>`.
    pub fn command_subject(&self) -> String {
        format!("cmd.{}.{}.{}.{}", self.tenant, self.principal, self.noun, self.verb)
    }

    /// Whose request it is: the bus vouches for the sender, and only parts of Steward may speak for others; no part of Steward
    /// speaks for another.
    pub fn caller(&self) -> &PrincipalId {
        match &self.envelope.on_behalf_of {
            Some(whom) if self.principal.is_system() && !whom.is_system() => whom,
            _ => &self.principal,
        }
    }

    /// `qry.<tenant>.<principal>.<view>.<verb>`.
    pub fn query_subject(&self) -> String {
        format!("qry.{}.{}.{}.{}", self.tenant, self.principal, self.noun, self.verb)
    }
}
