//! What a read model is to those who run it and send it queries: one entry of the list in [`crate::views`].

use std::fmt::Display;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use steward_authority::Sight;
use steward_events::BoxError;
use steward_events::event::AggregateKind;
use steward_events::id::TenantId;
use steward_events::quantity::Shard;
use steward_events::rejection::Rejection;
use steward_events::request::Request;
use steward_events::scope::Scope;
use steward_ports::keys::KeyError;
use steward_ports::live::NotFresh;
use steward_ports::log::LogError;

use super::progress::{NotReady, Progress};
use super::projector::Projector;
use super::reading;
use super::runner::Runner;
use super::view_store::Cursor;

/// Answers queries: from rows of its own, or from the log itself.
#[async_trait]
pub trait ReadModel: Send + Sync + 'static {
    /// The nouns of the query table that it answers.
    fn nouns(&self) -> &'static [&'static str];

    /// What keeps its rows current; none if it has no rows.
    fn rows(&self) -> Option<Arc<dyn KeepsRows>>;

    /// Answers a query of one of its nouns. The caller is known to hold the query's permission: at the tenant, or, if its
    /// row says that it is answered by scope, where [`Query::sight`] says; the view shows nothing else.
    ///
    /// # Errors
    /// [`NoAnswer`].
    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer>;

    /// What it adds to the page of metrics of this process, as OpenMetrics text.
    ///
    /// # Errors
    /// If its rows cannot be read.
    fn metrics_text(&self) -> Result<String, BoxError> {
        Ok(String::new())
    }
}

/// A [`Runner`], whatever its projector.
#[async_trait]
pub trait KeepsRows: Send + Sync + 'static {
    /// The projector's name with its version.
    fn name(&self) -> &'static str;
    /// The kinds of events that it reads.
    fn reads(&self) -> &'static [AggregateKind];
    /// Keeps the rows current until `shutdown`.
    async fn run(self: Arc<Self>, shutdown: CancellationToken);
    /// How far each shard's fold is.
    fn progress(&self) -> Vec<(Shard, Progress)>;
    /// How many positions are yet to come, over all shards.
    async fn lag(&self) -> Result<u64, LogError>;
    /// Waits until the rows may answer.
    async fn built(&self);
    /// What a shard's fold has read last.
    fn cursor(&self, shard: Shard) -> Cursor;
}

#[async_trait]
impl<P: Projector> KeepsRows for Runner<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }
    fn reads(&self) -> &'static [AggregateKind] {
        P::READS
    }
    async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        Self::run(self, shutdown).await;
    }
    fn progress(&self) -> Vec<(Shard, Progress)> {
        Self::progress(self).collect()
    }
    async fn lag(&self) -> Result<u64, LogError> {
        Ok(Self::lag(self).await?.into_iter().map(|(_, lag)| lag).sum())
    }
    async fn built(&self) {
        Self::built(self).await;
    }
    fn cursor(&self, shard: Shard) -> Cursor {
        Self::cursor(self, shard)
    }
}

/// A query on its way to its view.
pub struct Query<'a> {
    /// As it came.
    pub request: &'a Request,
    /// Where its tenant lives.
    pub shard: Shard,
    /// Where the caller may see.
    pub sight: &'a Sight,
    /// The rows of all views, for a check of how far each has read.
    pub kept: &'a [Arc<dyn KeepsRows>],
}

impl Query<'_> {
    /// Whose data it is about.
    pub fn tenant(&self) -> &TenantId {
        &self.request.tenant
    }

    /// What it is about.
    pub fn noun(&self) -> &str {
        &self.request.noun
    }

    /// What it asks of that.
    pub fn verb(&self) -> &str {
        &self.request.verb
    }

    /// The body; what the query does not have is refused by name.
    ///
    /// # Errors
    /// [`Rejection::Invalid`].
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, NoAnswer> {
        let Request { format, body, .. } = self.request;
        format.read_named(body).map_err(|reason| Rejection::invalid("body", reason).into())
    }

    /// The answer in the caller's format.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write<T: Serialize>(&self, answer: &T) -> Result<Bytes, NoAnswer> {
        Ok(self.request.format.write(answer).map(Bytes::from)?)
    }

    /// That the caller may see what belongs to `scope`.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`].
    pub fn check(&self, scope: &Scope) -> Result<(), NoAnswer> {
        self.found(self.sight.covers(scope))
    }

    /// That what was found by its name is something that the caller may see.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`], which does not say where it belongs.
    pub fn found(&self, is_seen: bool) -> Result<(), NoAnswer> {
        if is_seen {
            return Ok(());
        }
        let permission = format!("{}:{}", self.noun(), self.verb()).parse().map_err(|_| self.unknown())?;
        let scope = Scope::tenant(self.tenant());
        Err(Rejection::Forbidden {
            principal: self.request.principal.clone(),
            would_allow: format!("a grant of {permission} where it belongs, or on {scope}"),
            reason: "it belongs to a scope where you may not see it".to_owned(),
            permission,
            scope,
        }
        .into())
    }

    /// There is no such query.
    pub fn unknown(&self) -> NoAnswer {
        Rejection::not_found("query", &format!("{}.{}", self.noun(), self.verb())).into()
    }
}

/// Why there is no answer: by a decision, or because the machinery failed.
#[derive(Debug)]
pub enum NoAnswer {
    /// The caller is told why.
    Refused(Rejection),
    /// The caller may try again.
    Failed(String),
}

impl NoAnswer {
    /// The machinery failed.
    pub fn failed(error: &impl Display) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<Rejection> for NoAnswer {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

macro_rules! failures {
    ($($error:ty),*) => {$(
        impl From<$error> for NoAnswer {
            fn from(error: $error) -> Self {
                Self::failed(&error)
            }
        }
    )*};
}

impl From<NotReady> for NoAnswer {
    fn from(why: NotReady) -> Self {
        match why {
            NotReady::BeyondEnd { wanted, end } => {
                let reason = format!("{wanted} is beyond the log's end, {end}: name a position that a reply has told");
                Rejection::invalid("min_position", reason).into()
            }
            _ => Self::failed(&why),
        }
    }
}

failures!(NotFresh, LogError, KeyError, reading::Error, BoxError);
