//! Streams that the bench writes itself, in the form in which the product writes them: versions counted, hashes chained.

use std::sync::Arc;

use steward_events::BoxError;
use steward_events::commit::{Commit, Entry};
use steward_events::digest::CommitHash;
use steward_events::event::{
    AgentEvent, AgentSpec, AggregateKind, AnswerSource, CallContext, CallOutcome, Event, Operation, PatternKind,
    PriceVersion, Purpose, Saved, Savings, Tags, TokenUsage, UnpricedSet, UsageEvent,
};
use steward_events::id::{
    AgentId, CallId, CommandId, CommitId, CorrelationId, HolderId, KeyId, LeaseId, ModelId, PrincipalId, ProviderId,
    StreamId, TenantId,
};
use steward_events::ids::{DerivedIds, Ids};
use steward_events::quantity::{Amounts, NanoDollars, Position, Shard, Tokens, Version};
use steward_events::scope::ScopeSet;
use steward_events::shared::Shared;
use steward_events::stream::StreamName;
use steward_ports::append::append;
use steward_ports::clock::{Clock, RandomIds, SystemClock};
use steward_ports::log::EventLog;
use tokio::task::JoinSet;

use super::company::MODEL;

/// The shard that takes what the bench writes: one JetStream stream, as one tenant has.
pub(super) const SHARD: Shard = Shard(1);

/// Journals that are written at once.
const JOURNALS: u64 = 64;

/// One stream and where it ends.
pub(super) struct Chain {
    /// The stream.
    pub(super) stream: StreamName,
    /// Its last commit's position.
    pub(super) end: Position,
    hash: CommitHash,
    version: u64,
    clock: SystemClock,
    ids: RandomIds,
}

impl Chain {
    /// The empty stream `id` of tenant `acme`.
    pub(super) fn new(kind: AggregateKind, id: &str) -> Result<Self, BoxError> {
        let stream = StreamName { shard: SHARD, tenant: TenantId::new("acme")?, kind, id: StreamId::new(id)? };
        let (clock, ids) = (SystemClock::default(), RandomIds::default());
        Ok(Self { stream, end: Position(0), hash: CommitHash::default(), version: 0, clock, ids })
    }

    /// The commit that comes next.
    pub(super) fn next(&mut self, events: Vec<Event>) -> Result<Commit, BoxError> {
        self.version += 1;
        let entries = events.into_iter().map(|event| self.entry(event)).collect::<Result<_, _>>()?;
        Ok(Commit {
            id: CommitId::new(self.ids.unique())?,
            stream: self.stream.clone(),
            version: Version(self.version),
            prev: self.hash,
            entries,
        })
    }

    /// Of a command of its own, as in a group commit.
    fn entry(&self, event: Event) -> Result<Entry, BoxError> {
        let call = if let Event::Usage(event) = &event { event.call() } else { None };
        let command = call.map_or_else(|| CommandId::new(self.ids.unique()), |call| Ok(call.into()))?;
        Ok(Entry {
            correlation: CorrelationId::new(command.as_str())?,
            command,
            at: self.clock.now(),
            actor: PrincipalId::new("svc_bench")?,
            on_behalf_of: None,
            key: None,
            causation: None,
            body: None,
            events: vec![event],
        })
    }

    /// Appends `events` as one commit.
    pub(super) async fn append(&mut self, log: &dyn EventLog, events: Vec<Event>) -> Result<(), BoxError> {
        let commit = self.next(events)?;
        let appended = append(log, self.end, &commit).await?;
        (self.end, self.hash) = (appended.position, appended.hash);
        Ok(())
    }
}

/// A definition of the agent `name`.
pub(super) fn defined(name: &str, revision: u32) -> Result<Event, BoxError> {
    let spec = AgentSpec {
        model: ModelId::new(MODEL)?,
        instructions: "You answer briefly.".to_owned(),
        pattern: PatternKind::Single,
        output_max: Tokens(256),
        steps_max: 8,
    };
    Ok(AgentEvent::Defined { agent: AgentId::new(name)?, revision, spec }.into())
}

/// Writes `events` events of calls, half of them starts and half finishes, `a_commit` together; how many commits that
/// is.
pub(super) async fn write_calls(
    log: &Arc<dyn EventLog>,
    name: &str,
    events: u64,
    a_commit: u64,
) -> Result<u64, BoxError> {
    let commits_each = events / a_commit / JOURNALS;
    let mut journals = JoinSet::new();
    for number in 0..JOURNALS {
        let log = Arc::clone(log);
        let mut chain = Chain::new(AggregateKind::Usage, &format!("{name}-{number}"))?;
        let holder = HolderId::new(format!("{name}{number}"))?;
        journals.spawn(async move {
            let mut written = 0;
            for _ in 0..commits_each {
                let batch = (0..a_commit).map(|_| {
                    written += 1;
                    call_event(&holder, written)
                });
                let batch = batch.collect::<Result<Vec<Event>, BoxError>>()?;
                chain.append(&*log, batch).await?;
            }
            Ok::<_, BoxError>(())
        });
    }
    while let Some(done) = journals.join_next().await {
        done??;
    }
    Ok(commits_each * JOURNALS)
}

/// The start of a call, and at the next number its end.
fn call_event(holder: &HolderId, number: u64) -> Result<Event, BoxError> {
    // As a gateway names calls: the same for a start and the finish after it.
    let call = CallId::new(DerivedIds::from_seed(format!("{holder}-{}", number.div_ceil(2))).unique())?;
    let model = ModelId::new(MODEL)?;
    let scopes = ScopeSet {
        path: "acme/support".parse()?,
        principal: PrincipalId::new("svc_bench")?,
        key: KeyId::new(format!("key_{}", number % 40))?,
        model: model.clone(),
        agent: None,
        task: None,
        line: None,
    };
    let lease = LeaseId { holder: holder.clone(), number: 1 };
    let context = Shared::new(CallContext {
        scopes,
        operation: Operation::Chat,
        provider: ProviderId::new("mock")?,
        upstream_model: "mock".to_owned(),
        price: PriceVersion { model, from: "2026-01-01".parse()?, target: None },
        purpose: Purpose::Asked,
    });
    let used = Amounts { calls: 1, tokens: Tokens(37), money: NanoDollars(37_000) };
    Ok(if number % 2 == 1 {
        let request = CorrelationId::new(call.as_str())?;
        UsageEvent::CallStarted { call, lease, context, worst: used, request, tags: Tags::default() }.into()
    } else {
        UsageEvent::CallFinished {
            call,
            lease,
            context,
            tokens: TokenUsage { input: Tokens(7), output: Tokens(30), ..TokenUsage::default() },
            cost: NanoDollars(37_000),
            variant: 0,
            unpriced: UnpricedSet::default(),
            source: AnswerSource::Provider,
            saved: Saved::default(),
            savings: Savings::default(),
            used,
            late: Amounts::ZERO,
            outcome: CallOutcome::Completed,
            duration_ms: 1,
            tags: Tags::default(),
        }
        .into()
    })
}
