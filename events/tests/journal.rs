//! How much a call takes in the log, and that nothing is lost on the way there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in helpers of tests, too

use std::collections::BTreeMap;

use proptest::prelude::*;
use steward_events::commit::{Commit, Entry};
use steward_events::digest::CommitHash;
use steward_events::event::{
    AggregateKind, AnswerSource, CallContext, CallOutcome, Event, Operation, PriceVersion, Purpose, Saved, Saving,
    SavingCause, Savings, ServiceTier, Similarity, Tags, TokenUsage, Unpriced, UnpricedSet, UsageEvent,
};
use steward_events::id::{CallId, CorrelationId, HolderId, LeaseId, PrincipalId};
use steward_events::ids::{DerivedIds, Ids};
use steward_events::quantity::{Amounts, NanoDollars, Shard, Tokens, Version};
use steward_events::scope::ScopeSet;
use steward_events::shared::Shared;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;

/// What a call may leave in the log, start and finish together.
const CALL_BYTES_MAX: usize = 350;

/// Headers, subject and frame of a commit's message as the broker stores it: the journal's subject, the commit's id as
/// the duplicate key, the expected sequence.
const MESSAGE_BYTES: usize = 250;

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

struct Writer {
    ids: DerivedIds,
    context: Shared<CallContext>,
    lease: LeaseId,
}

impl Writer {
    /// With names as long as those of a real company.
    fn new() -> Self {
        let ids = DerivedIds::from_seed("journal".to_owned());
        let holder: HolderId = id(&format!("gw_{}", ids.unique()));
        let model = "gpt-4.1-mini";
        let scopes = ScopeSet {
            path: id("acme/customer-support"),
            principal: id("svc_0f3a9c1d2b4e5f60"),
            key: id(&format!("key_{}", ids.unique())),
            model: id(model),
            agent: None,
            task: None,
            line: None,
        };
        let context = CallContext {
            scopes,
            operation: Operation::Chat,
            provider: id("openai"),
            upstream_model: "gpt-4.1-mini-2025-04-14".to_owned(),
            price: PriceVersion { model: id(model), from: Timestamp(1_793_491_200_000_000), target: None },
            purpose: Purpose::Asked,
        };
        Self { ids, context: Shared::new(context), lease: LeaseId { holder, number: 3 } }
    }

    fn entry(&self, event: UsageEvent, request: &CorrelationId) -> Entry {
        Entry {
            command: event.call().unwrap().into(),
            at: Timestamp(1_795_428_000_123_456),
            actor: id("sys_gateway"),
            on_behalf_of: Some(self.context.scopes.principal.clone()),
            key: None,
            causation: None,
            correlation: request.clone(),
            body: None,
            events: vec![event.into()],
        }
    }

    fn start(&self) -> Entry {
        let (call, request): (CallId, CorrelationId) = (id(&self.ids.unique()), id(&self.ids.unique()));
        let worst = Amounts { calls: 1, tokens: Tokens(71_024), money: NanoDollars(142_048_000) };
        let (lease, context) = (self.lease.clone(), self.context.clone());
        let started =
            UsageEvent::CallStarted { call, lease, context, worst, request: request.clone(), tags: Tags::default() };
        self.entry(started, &request)
    }

    fn finish(&self) -> Entry {
        let finished = UsageEvent::CallFinished {
            call: id(&self.ids.unique()),
            lease: self.lease.clone(),
            context: self.context.clone(),
            tokens: TokenUsage {
                input: Tokens(1_834),
                cached: Tokens(1_536),
                output: Tokens(612),
                reasoning: Tokens(384),
                ..TokenUsage::default()
            },
            cost: NanoDollars(1_252_000),
            variant: 0,
            unpriced: UnpricedSet::default(),
            source: AnswerSource::Provider,
            saved: Saved::default(),
            savings: Savings::default(),
            used: Amounts { calls: 1, tokens: Tokens(2_446), money: NanoDollars(1_252_000) },
            late: Amounts::ZERO,
            outcome: CallOutcome::Completed,
            duration_ms: 4_312,
            tags: Tags::default(),
        };
        self.entry(finished, &id(&self.ids.unique()))
    }

    fn commit(&self, entries: Vec<Entry>) -> Commit {
        let name = format!("{}-{}", self.lease.holder, self.context.scopes.digest());
        let stream = StreamName { shard: Shard(3), tenant: id("acme"), kind: AggregateKind::Usage, id: id(&name) };
        let id = id(&self.ids.unique());
        Commit { id, stream, version: Version(81_234), prev: CommitHash::from_bytes([7; 32]), entries }
    }
}

#[test]
fn a_call_leaves_at_most_350_bytes_under_load() {
    let writer = Writer::new();
    for calls in [8, 16, 32, 256] {
        // As group commit makes them: those that finish, and as many that start.
        let finishes = (0..calls).map(|_| writer.finish());
        let entries = finishes.collect::<Vec<_>>().into_iter().chain((0..calls).map(|_| writer.start()));
        let commit = writer.commit(entries.collect());
        let bytes = commit.encode().unwrap();
        assert_eq!(Commit::decode(&commit.stream, &bytes).unwrap(), commit);
        let (own, stored) = (bytes.len() / calls, (bytes.len() + MESSAGE_BYTES) / calls);
        println!("{calls} calls a commit: {own} bytes a call, {stored} as the broker stores them");
        assert!(stored <= CALL_BYTES_MAX, "{calls} calls a commit leave {stored} bytes each");
    }
}

#[test]
fn a_lone_call_leaves_two_commits() {
    let writer = Writer::new();
    let sizes = [writer.start(), writer.finish()].map(|entry| writer.commit(vec![entry]).encode().unwrap().len());
    println!("a lone call: {sizes:?} bytes, {} as the broker stores them", sizes[0] + sizes[1] + 2 * MESSAGE_BYTES);
    assert!(sizes.iter().sum::<usize>() <= 1_300, "{sizes:?}");
}

/// A text, or the text of a unique id.
fn any_id<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug + 'static>() -> impl Strategy<Value = T> {
    let unique = "[a-z]{1,4}".prop_map(|seed| DerivedIds::from_seed(seed).unique());
    prop_oneof!["[a-z0-9][a-z0-9_-]{0,30}", unique].prop_map(|text| id(&text))
}

fn any_amounts() -> impl Strategy<Value = Amounts> {
    prop_oneof![
        Just(Amounts::ZERO),
        any::<[u32; 3]>().prop_map(|[calls, tokens, money]| Amounts {
            calls: calls.into(),
            tokens: Tokens(tokens.into()),
            money: NanoDollars(money.into())
        })
    ]
}

fn any_context() -> impl Strategy<Value = Shared<CallContext>> {
    let operations = prop::sample::select(vec![Operation::Chat, Operation::Embeddings, Operation::Tool]);
    (any_id(), any_id(), any_id(), operations, "[ -~]{0,20}", any::<u32>()).prop_map(
        |(principal, key, provider, operation, upstream_model, from)| {
            let scopes = ScopeSet {
                path: id("acme"),
                principal,
                key,
                model: id("m.1"),
                agent: None,
                task: Some(id("t")),
                line: None,
            };
            let price = PriceVersion { model: id("m.1"), from: Timestamp(from.into()), target: None };
            Shared::new(CallContext { scopes, operation, provider, upstream_model, price, purpose: Purpose::Asked })
        },
    )
}

fn any_tags() -> impl Strategy<Value = Tags> {
    let tags = prop::collection::btree_map("[a-z]{1,5}", "[ -~]{0,5}", 0..3);
    tags.prop_map(|tags: BTreeMap<String, String>| Tags::new(tags).unwrap())
}

fn any_usage() -> impl Strategy<Value = TokenUsage> {
    let tier = prop::sample::select(vec![ServiceTier::Standard, ServiceTier::Flex, ServiceTier::Batch]);
    (any::<[u32; 4]>(), any::<[u8; 6]>(), tier).prop_map(|([input, cached, output, reasoning], rest, tier)| {
        let [write, write_1h, audio_input, audio_output, images, searches] = rest.map(u64::from);
        TokenUsage {
            input: Tokens(input.into()),
            cached: Tokens(cached.into()),
            output: Tokens(output.into()),
            reasoning: Tokens(reasoning.into()),
            cache_write: Tokens(write),
            cache_write_1h: Tokens(write_1h),
            audio_input: Tokens(audio_input),
            audio_output: Tokens(audio_output),
            images,
            searches,
            tier,
        }
    })
}

fn any_event() -> impl Strategy<Value = UsageEvent> {
    let lease = || (any_id(), any::<u8>()).prop_map(|(holder, number)| LeaseId { holder, number: number.into() });
    let outcome = prop_oneof![
        Just(CallOutcome::Completed),
        ".{0,9}".prop_map(|reason| CallOutcome::NotBilled { reason }),
        (".{0,9}", any::<bool>()).prop_map(|(reason, closed)| CallOutcome::Estimated { reason, closed }),
    ];
    let source = prop_oneof![
        Just(AnswerSource::Provider),
        Just(AnswerSource::Cache),
        any_id().prop_map(|call| AnswerSource::Shared { call }),
        any_id().prop_map(|call| AnswerSource::Repeated { call }),
        (any_id(), 0.0..1.0).prop_map(|(call, score)| AnswerSource::Similar { call, score: Similarity::of(score) }),
    ];
    let saved = any::<[u8; 2]>()
        .prop_map(|[tokens, money]| Saved { tokens: Tokens(tokens.into()), money: NanoDollars(money.into()) });
    let causes = vec![SavingCause::PromptCache, SavingCause::Compressed, SavingCause::Trimmed];
    let saving = (prop::sample::select(causes), any::<[u8; 3]>()).prop_map(|(cause, [tokens, money, extra])| {
        let [money, extra] = [money, extra].map(|amount| NanoDollars(amount.into()));
        (cause, Saving { tokens: Tokens(tokens.into()), money, extra })
    });
    let savings = prop::collection::vec(saving, 0..3).prop_map(Savings::from_iter);
    let started = (any_id(), lease(), any_context(), any_amounts(), any_id(), any_tags()).prop_map(
        |(call, lease, context, worst, request, tags)| UsageEvent::CallStarted {
            call,
            lease,
            context,
            worst,
            request,
            tags,
        },
    );
    let unpriced = prop::collection::vec(prop::sample::select(vec![Unpriced::Tier, Unpriced::Search]), 0..3)
        .prop_map(|all| all.into_iter().collect());
    let money = (any::<u32>(), any_amounts(), any_amounts(), (saved, savings), (0_u16..3, unpriced));
    let finished = (any_id(), lease(), any_context(), any_usage(), money, outcome, source, any::<u32>(), any_tags())
        .prop_map(
            |(
                call,
                lease,
                context,
                tokens,
                (cost, used, late, (saved, savings), (variant, unpriced)),
                outcome,
                source,
                ms,
                tags,
            )| {
                UsageEvent::CallFinished {
                    call,
                    lease,
                    context,
                    tokens,
                    cost: NanoDollars(cost.into()),
                    variant,
                    unpriced,
                    source,
                    saved,
                    savings,
                    used,
                    late,
                    outcome,
                    duration_ms: ms.into(),
                    tags,
                }
            },
        );
    let closed = (lease(), ".{0,9}").prop_map(|(lease, reason)| UsageEvent::LeaseClosed { lease, reason });
    prop_oneof![3 => started, 3 => finished, 1 => closed]
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let events = prop::collection::vec(any_event(), 1..4);
    (any_id(), 0_u64..3, any_id(), prop::option::of(any_id::<PrincipalId>()), any_id(), events, any::<bool>()).prop_map(
        |(command, at, actor, on_behalf_of, correlation, events, by_call)| {
            let call = events[0].call().filter(|_| by_call);
            Entry {
                command: call.map_or(command, Into::into),
                at: Timestamp(at),
                actor,
                on_behalf_of,
                key: None,
                causation: (at == 2).then(|| "evt.03.acme.ledger.main@41".to_owned()),
                correlation,
                body: None,
                events: events.into_iter().map(Event::from).collect(),
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(entries in prop::collection::vec(any_entry(), 1..6)) {
        let commit = Writer::new().commit(entries);
        let bytes = commit.encode().unwrap();
        let read = Commit::decode(&commit.stream, &bytes).unwrap();
        prop_assert_eq!(&read, &commit);
        prop_assert_eq!(read.encode().unwrap(), bytes, "a commit has one form");
    }
}

#[test]
fn each_call_is_shown_with_all_its_fields() {
    let writer = Writer::new();
    let commit = writer.commit(vec![writer.start(), writer.finish()]);
    let read = Commit::decode(&commit.stream, &commit.encode().unwrap()).unwrap();
    for entry in &read.entries {
        let seen = serde_json::to_value(&entry.events[0]).unwrap();
        assert_eq!(seen["data"]["scopes"]["principal"], "svc_0f3a9c1d2b4e5f60");
        assert_eq!(seen["data"]["operation"], "chat");
        assert_eq!(seen["data"]["upstream_model"], "gpt-4.1-mini-2025-04-14");
        assert_eq!(seen["data"]["price"]["from"], "2026-11-01T00:00:00Z");
        assert_eq!(seen["data"]["call"], entry.command.as_str());
    }
}

#[test]
fn a_row_that_is_not_there_is_an_error() {
    let writer = Writer::new();
    let commit = writer.commit(vec![writer.start()]);
    let bytes = commit.encode().unwrap();
    // The number of its context stands after the name of the row and the head of its list.
    let at = bytes.windows(6).position(|window| window == b"\xa5start").unwrap() + 7;
    assert_eq!(bytes[at], 0);
    let mut wrong = bytes.clone();
    wrong[at] = 1;
    let error = Commit::decode(&commit.stream, &wrong).unwrap_err().to_string();
    assert!(error.contains("there is no context 1"), "{error}");
}
