//! The journal of one gateway run for one set of scopes. That gateway writes it, and whoever closes a lease.

use serde::{Deserialize, Serialize};

use crate::event::PriceVersion;
use crate::id::{CallId, CorrelationId, KeyId, LeaseId, ModelId, ProviderId};
use crate::quantity::{Amounts, NanoDollars, SchemaVersion, Tokens};
use crate::scope::ScopeSet;

/// Facts of what a gateway spent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum UsageEvent {
    /// From the acknowledgement of this on, the call may be at the provider.
    CallStarted {
        /// The attempt.
        call: CallId,
        /// What it is paid from.
        lease: LeaseId,
        /// For which scopes.
        scopes: ScopeSet,
        /// Which upstream.
        provider: ProviderId,
        /// The most it can cost.
        worst: Amounts,
        /// The price it is charged at, whatever changes later.
        price: PriceVersion,
        /// The caller's request; attempts of one request share it.
        request: CorrelationId,
    },
    /// What the call used. Recorded once, also after the lease was closed.
    CallFinished {
        /// The attempt.
        call: CallId,
        /// What it was paid from.
        lease: LeaseId,
        /// For which scopes.
        scopes: ScopeSet,
        /// Which upstream.
        provider: ProviderId,
        /// The tokens.
        tokens: TokenUsage,
        /// The cost at the recorded price.
        cost: NanoDollars,
        /// That price.
        price: PriceVersion,
        /// How much of this counts against the lease.
        used: Amounts,
        /// What the provider billed beyond the worst case, shown as its own number.
        late: Amounts,
        /// How it ended.
        outcome: CallOutcome,
        /// From sending to the last byte, in milliseconds.
        duration_ms: u64,
    },
    /// No call may start on this lease any more.
    LeaseClosed {
        /// The lease.
        lease: LeaseId,
        /// Why: `expired`, `recalled`, `revoked`, `suspended`, `drained`.
        reason: String,
    },
}

impl UsageEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(1);
}

/// The tokens of one call, as the provider reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// All input tokens, cached ones included.
    pub input: Tokens,
    /// Of these, read from the provider's cache.
    pub cached: Tokens,
    /// All output tokens, reasoning included.
    pub output: Tokens,
    /// Of these, reasoning.
    pub reasoning: Tokens,
}

impl TokenUsage {
    /// Input and output.
    pub const fn total(&self) -> Tokens {
        Tokens(self.input.0.saturating_add(self.output.0))
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// The provider answered and said what it used.
    Completed,
    /// The provider certainly billed nothing: refused connection, 429, 5xx before any body.
    NotBilled {
        /// What was seen.
        reason: String,
    },
    /// The stream was cut or no usage came: what was metered is posted, and is an estimate.
    Estimated {
        /// What was seen.
        reason: String,
    },
}

/// False only if nothing in these bytes of a commit closes a lease: a look for those who read very many commits for the few
/// that do. A commit that may is to be decoded.
pub fn may_close_a_lease(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"lease_closed").is_some()
}

/// What the parts of one call's identity are needed for elsewhere: the key is within the scopes.
impl UsageEvent {
    /// The lease concerned.
    pub const fn lease(&self) -> &LeaseId {
        match self {
            Self::CallStarted { lease, .. } | Self::CallFinished { lease, .. } | Self::LeaseClosed { lease, .. } => {
                lease
            }
        }
    }

    /// The key and model of a call; none for `LeaseClosed`.
    pub const fn key_and_model(&self) -> Option<(&KeyId, &ModelId)> {
        match self {
            Self::CallStarted { scopes, .. } | Self::CallFinished { scopes, .. } => Some((&scopes.key, &scopes.model)),
            Self::LeaseClosed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::{Commit, Entry};
    use crate::digest::CommitHash;
    use crate::event::{AggregateKind, Event};
    use crate::quantity::{Shard, Version};
    use crate::stream::StreamName;
    use crate::timestamp::Timestamp;

    #[test]
    fn a_commit_that_closes_a_lease_shows_it() {
        let (tenant, id) = ("acme".parse().unwrap(), "gw_1-0".parse().unwrap());
        let stream = StreamName { shard: Shard(0), tenant, kind: AggregateKind::Usage, id };
        let lease = LeaseId { holder: "gw_1".parse().unwrap(), number: 1 };
        let entry = Entry {
            command: "c1".parse().unwrap(),
            at: Timestamp(1),
            actor: "gw_1".parse().unwrap(),
            on_behalf_of: None,
            causation: None,
            correlation: "r1".parse().unwrap(),
            events: vec![Event::Usage(UsageEvent::LeaseClosed { lease, reason: "idle".to_owned() })],
        };
        let (id, version, prev) = ("m1".parse().unwrap(), Version(1), CommitHash::default());
        let commit = Commit { id, stream, version, prev, entries: vec![entry] };
        assert!(may_close_a_lease(&commit.encode().unwrap()));
        assert!(!may_close_a_lease(b"call_finished, lease, closed"));
    }
}
