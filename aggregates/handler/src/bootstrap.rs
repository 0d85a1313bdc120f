//! The first start: the reserved tenant, the built-in roles, the operator and their key.
//!
//! It appends directly, for there is nobody yet who could be allowed to. What is there is left as it is; the tenant's
//! own stream is written last and says that all is done, so a start that died half-way is finished by the next.

use std::sync::Arc;

use steward_aggregates::aggregate::Aggregate;
use steward_aggregates::first_start::{self, NewOperator};
use steward_events::BoxError;
use steward_events::commit::Entry;
use steward_events::event::{AggregateEvents, KeyHash};
use steward_events::id::{CommandId, CommitId, CorrelationId, KeyId, PrincipalId, StreamId, SystemPart, TenantId};
use steward_events::ids::Ids;
use steward_events::shard::{STEWARD_SHARD, registry_stream};
use steward_events::stream::StreamName;
use steward_ports::append::{AppendError, append};
use steward_ports::clock::Clock;
use steward_ports::log::EventLog;

use crate::stream::Folded;

pub use steward_aggregates::first_start::OPERATOR;

/// How often another process may be first before this one gives up.
const ATTEMPTS_MAX: u32 = 20;

/// What the first start found or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// The first operator.
    pub operator: PrincipalId,
    /// The key with the hash that was given, if there is one. There is none if this log was started with another.
    pub key: Option<KeyId>,
    /// True if this was the first start.
    pub first: bool,
}

/// Makes what the first start makes, unless it is there.
///
/// # Errors
/// If the log cannot be read or written, or has another number of shards than `shards`.
pub async fn first_start(
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    shards: u16,
    operator_key_hash: &KeyHash,
) -> Result<Bootstrap, BoxError> {
    if log.shards() != shards {
        return Err(format!("the log has {} shards, not {shards}; their number never changes", log.shards()).into());
    }
    let start = Start { log, clock, ids };
    start.run(operator_key_hash).await
}

struct Start {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl Start {
    async fn run(&self, hash: &KeyHash) -> Result<Bootstrap, BoxError> {
        let main = StreamId::main;
        let first = self.look(main(), first_start::open).await?;
        let first = !first.is_empty();
        if first {
            self.ensure(registry_stream(&TenantId::steward()).id, first_start::place).await?;
            let new = NewOperator {
                account: PrincipalId::new(format!("op_{}", self.ids.unique()))?,
                key: KeyId::new(format!("key_{}", self.ids.unique()))?,
                hash: hash.clone(),
            };
            let identity = self.ensure(main(), |identity| first_start::operator(identity, &new)).await?;
            let operator = first_start::find_operator(&identity).ok_or("the first operator is not recorded")?;
            self.ensure(main(), |access| first_start::roles(access, &operator)).await?;
            self.ensure(main(), first_start::open).await?;
        }
        let operator = self.look(main(), first_start::find_operator).await?;
        let operator = operator.ok_or("the tenant steward has no operator")?;
        let key = self.look(main(), |identity| first_start::key(identity, hash)).await?;
        Ok(Bootstrap { operator, key, first })
    }

    /// What `see` sees in the stream `id` of its aggregate.
    async fn look<A: Aggregate, T>(&self, id: StreamId, see: impl Fn(&A) -> T) -> Result<T, BoxError> {
        Ok(see(&self.load::<A>(id).await?.state))
    }

    async fn load<A: Aggregate>(&self, id: StreamId) -> Result<Folded<A>, BoxError> {
        let (tenant, kind) = (TenantId::steward(), A::Event::KIND);
        let mut folded = Folded::empty(StreamName { shard: STEWARD_SHARD, tenant, kind, id });
        folded.load_tail(&*self.log, self.clock.now()).await?;
        while folded.take_next(&*self.log, self.clock.now()).await? {}
        Ok(folded)
    }

    /// Records what `lacking` says is lacking, however many start at once; returns the state then.
    async fn ensure<A: Aggregate>(&self, id: StreamId, lacking: impl Fn(&A) -> Vec<A::Event>) -> Result<A, BoxError> {
        for _ in 0..ATTEMPTS_MAX {
            let mut folded = self.load::<A>(id.clone()).await?;
            let events = lacking(&folded.state);
            if events.is_empty() {
                return Ok(folded.state);
            }
            let at = self.clock.now().max(folded.end.at);
            let entry = Entry {
                command: CommandId::new(self.ids.unique())?,
                at,
                actor: PrincipalId::system(SystemPart::Bootstrap),
                on_behalf_of: None,
                key: None,
                causation: None,
                correlation: CorrelationId::new("first-start")?,
                body: None,
                events: events.iter().cloned().map(Into::into).collect(),
            };
            let id = CommitId::new(self.ids.unique())?;
            let commit = folded.end.next(id, folded.name.clone(), vec![entry]);
            match append(&*self.log, folded.end.position, &commit).await {
                Ok(_) => {
                    for event in &events {
                        folded.state.apply(event, at);
                    }
                    return Ok(folded.state);
                }
                Err(AppendError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(format!("others wrote {} {id} first every time", A::Event::KIND).into())
    }
}
