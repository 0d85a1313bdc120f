//! The name of a stream: one subject on the bus, one key of concurrency.

use std::fmt;
use std::str::FromStr;

use crate::event::AggregateKind;
use crate::id::{StreamId, TenantId};
use crate::quantity::Shard;

/// One stream of one aggregate or journal: one subject, one concurrency key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName {
    /// The shard that holds the tenant.
    pub shard: Shard,
    /// The tenant.
    pub tenant: TenantId,
    /// The aggregate or journal.
    pub kind: AggregateKind,
    /// Which of them.
    pub id: StreamId,
}

/// As its subject: `evt.<shard>.<tenant>.<aggregate>.<id>`.
impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evt.{:02}.{}.{}.{}", self.shard.0, self.tenant, self.kind, self.id)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A subject that names no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not evt.<shard>.<tenant>.<aggregate>.<id>")]
pub struct InvalidStreamName(pub String);

impl FromStr for StreamName {
    type Err = InvalidStreamName;

    fn from_str(subject: &str) -> Result<Self, InvalidStreamName> {
        let parse = || {
            let mut tokens = subject.split('.');
            let name = ("evt" == tokens.next()?)
                .then_some(())
                .and_then(|()| Some((tokens.next()?, tokens.next()?, tokens.next()?, tokens.next()?)))?;
            let (shard, tenant, kind, id) = name;
            // One stream has one subject: two digits, or more without a leading zero.
            let canonical = shard.len() == 2 || shard.len() > 2 && !shard.starts_with('0');
            let canonical = canonical && shard.bytes().all(|b| b.is_ascii_digit());
            (canonical && tokens.next().is_none()).then_some(())?;
            Some(Self {
                shard: Shard(shard.parse().ok()?),
                tenant: tenant.parse().ok()?,
                kind: kind.parse().ok()?,
                id: id.parse().ok()?,
            })
        };
        parse().ok_or_else(|| InvalidStreamName(subject.chars().take(120).collect()))
    }
}
