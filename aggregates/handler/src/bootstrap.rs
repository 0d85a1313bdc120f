//! The first start: the reserved tenant, the built-in roles, the operator and their key.
//!
//! It appends directly, for there is nobody yet who could be allowed to. What is there is left as it is; the tenant's
//! own stream is written last and says that all is done, so a start that died half-way is finished by the next.

use std::sync::Arc;

use steward_aggregates::access::Access;
use steward_aggregates::access::role::{built_in, built_in_ids};
use steward_aggregates::aggregate::Aggregate;
use steward_aggregates::identity::Identity;
use steward_aggregates::registry::Registry;
use steward_aggregates::tenant::Tenant;
use steward_events::BoxError;
use steward_events::commit::{Commit, Entry};
use steward_events::event::{
    AccessEvent, AggregateKind, ContentMode, GrantId, IdentityEvent, KeyHash, RegistryEvent, TenantEvent,
};
use steward_events::id::{CommandId, CommitId, CorrelationId, KeyId, PrincipalId, StreamId, SystemPart, TenantId};
use steward_events::ids::Ids;
use steward_events::scope::Scope;
use steward_events::shard::{STEWARD_SHARD, registry_stream};
use steward_events::stream::StreamName;
use steward_ports::append::{AppendError, append};
use steward_ports::clock::Clock;
use steward_ports::log::EventLog;

use crate::stream::Folded;

/// How often another process may be first before this one gives up.
const ATTEMPTS_MAX: u32 = 20;

/// The name of the first operator's account.
pub const OPERATOR: &str = "operator";

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
        let tenant = self.load::<Tenant>(main(AggregateKind::Tenant)).await?;
        let first = !tenant.state.is_open();
        if first {
            self.ensure::<Registry>(registry_stream(&TenantId::steward()), |registry| {
                let placed = RegistryEvent::TenantPlaced {
                    tenant: TenantId::steward(),
                    shard: STEWARD_SHARD,
                    timezone: "UTC".to_owned(),
                    content: ContentMode::Off,
                };
                Ok(if registry.shard().is_some() { vec![] } else { vec![placed] })
            })
            .await?;
            let account = PrincipalId::new(format!("op_{}", self.ids.unique()))?;
            let key = KeyId::new(format!("key_{}", self.ids.unique()))?;
            let identity = self
                .ensure::<Identity>(main(AggregateKind::Identity), |identity| {
                    Ok(operator(identity, &account, &key, hash))
                })
                .await?;
            let operator = find_operator(&identity).ok_or("the first operator is not recorded")?;
            self.ensure::<Access>(main(AggregateKind::Access), |access| roles(access, &operator)).await?;
            self.ensure::<Tenant>(main(AggregateKind::Tenant), |tenant| {
                let created = TenantEvent::Created {
                    tenant: TenantId::steward(),
                    timezone: "UTC".to_owned(),
                    content: ContentMode::Off,
                };
                Ok(if tenant.is_open() { vec![] } else { vec![created] })
            })
            .await?;
        }
        let identity = self.load::<Identity>(main(AggregateKind::Identity)).await?.state;
        let operator = find_operator(&identity).ok_or("the tenant steward has no operator")?;
        Ok(Bootstrap { operator, key: identity.key_of_hash(hash).cloned(), first })
    }

    async fn load<A: Aggregate>(&self, stream: StreamName) -> Result<Folded<A>, BoxError> {
        let mut folded = Folded::empty(stream);
        folded.load_tail(&*self.log, self.clock.now()).await?;
        while folded.take_next(&*self.log, self.clock.now()).await? {}
        Ok(folded)
    }

    /// Records what `lacking` says is lacking, however many start at once; returns the state then.
    async fn ensure<A: Aggregate>(
        &self,
        stream: StreamName,
        lacking: impl Fn(&A) -> Result<Vec<A::Event>, BoxError>,
    ) -> Result<A, BoxError> {
        for _ in 0..ATTEMPTS_MAX {
            let mut folded = self.load::<A>(stream.clone()).await?;
            let facts = lacking(&folded.state)?;
            if facts.is_empty() {
                return Ok(folded.state);
            }
            let at = self.clock.now().max(folded.last_at);
            let entry = Entry {
                command: CommandId::new(self.ids.unique())?,
                at,
                actor: PrincipalId::system(SystemPart::Bootstrap),
                on_behalf_of: None,
                causation: None,
                correlation: CorrelationId::new("first-start")?,
                events: facts.iter().cloned().map(Into::into).collect(),
            };
            let id = CommitId::new(self.ids.unique())?;
            let (version, prev) = (folded.version.next(), folded.hash);
            let commit = Commit { id, stream: stream.clone(), version, prev, entries: vec![entry] };
            match append(&*self.log, folded.position, &commit).await {
                Ok(_) => {
                    for fact in &facts {
                        folded.state.apply(fact, at);
                    }
                    return Ok(folded.state);
                }
                Err(AppendError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(format!("others wrote {stream} first every time").into())
    }
}

fn main(kind: AggregateKind) -> StreamName {
    StreamName { shard: STEWARD_SHARD, tenant: TenantId::steward(), kind, id: StreamId::main() }
}

fn find_operator(identity: &Identity) -> Option<PrincipalId> {
    let named = identity.principals().find(|(_, known)| known.name.as_deref() == Some(OPERATOR));
    named.map(|(id, _)| id.clone())
}

fn operator(identity: &Identity, account: &PrincipalId, key: &KeyId, hash: &KeyHash) -> Vec<IdentityEvent> {
    if find_operator(identity).is_some() {
        return vec![];
    }
    vec![
        IdentityEvent::AccountCreated { principal: account.clone(), name: OPERATOR.to_owned() },
        IdentityEvent::KeyIssued {
            key: key.clone(),
            principal: account.clone(),
            hash: hash.clone(),
            scope: Scope::everything(),
            models: vec![],
            expires: None,
            agent: None,
            task: None,
        },
    ]
}

fn roles(access: &Access, operator: &PrincipalId) -> Result<Vec<AccessEvent>, BoxError> {
    let unknown = built_in_ids().filter(|role| access.role(role).is_none());
    let mut facts: Vec<AccessEvent> = unknown
        .filter_map(|role| {
            let spec = built_in(&role)?;
            Some(AccessEvent::RoleDefined { role, permissions: spec.permissions, inherits: spec.inherits })
        })
        .collect();
    let grant = GrantId { to: operator.clone(), role: "owner".parse()?, on: Scope::everything() };
    if !access.grants_of(operator).any(|(held, _)| held == grant) {
        facts.push(AccessEvent::RoleGranted { grant, expires: None, condition: None });
    }
    Ok(facts)
}
