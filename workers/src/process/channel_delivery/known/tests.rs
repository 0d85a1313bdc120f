use steward_events::commit::Entry;
use steward_events::event::{
    BatchEndpoint, BatchProblem, BudgetKey, BudgetSpec, ChannelKind, DenialKind, ElevationRequest, Event, KeyHash,
    NoticeKind, ReviewSpec, Severity, TaskInput, WindowBounds,
};
use steward_events::id::{CommandId, CorrelationId, ElevationId, PrincipalId, StreamId};
use steward_events::quantity::{Epoch, Position, Unit, Version, Window};
use steward_events::sealed::{DataKey, KeyOwner};
use steward_events::stream::StreamName;
use steward_events::view::View;

use super::*;

const NOW: Timestamp = Timestamp(5_000_000);

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

fn ops() -> ChannelId {
    "ops".parse().unwrap()
}

/// A fold, and how many events it has seen.
#[derive(Default)]
struct World(Known, u64);

impl World {
    /// Records `event` of `stream` in `tenant`, by `actor`.
    fn tell_by(&mut self, actor: &str, tenant: &str, stream: &str, event: impl Into<Event>) -> u64 {
        let event = event.into();
        self.1 += 1;
        let stream = StreamName {
            shard: Shard(3),
            tenant: tenant.parse().unwrap(),
            kind: event.kind(),
            id: StreamId::new(stream).unwrap(),
        };
        let entry = Entry {
            command: CommandId::new("c1").unwrap(),
            at: NOW,
            actor: PrincipalId::new(actor).unwrap(),
            on_behalf_of: None,
            causation: None,
            correlation: CorrelationId::new("r1").unwrap(),
            body: None,
            key: None,
            events: vec![event.clone()],
        };
        let (position, version) = (Position(self.1), Version(1));
        self.0.apply(&Recorded { stream: &stream, position, version, index: 0, entry: &entry, event: &event });
        self.1
    }

    fn tell(&mut self, stream: &str, event: impl Into<Event>) -> u64 {
        self.tell_by("p_ana", "acme", stream, event)
    }

    fn with_channel(notices: &[&str], secret: Option<&str>) -> Self {
        let mut world = Self::default();
        world.tell("main", ChannelEvent::Set { channel: ops(), spec: spec(notices, secret) });
        world
    }

    /// What is to be told of `acme`, and where it happened.
    fn due(&self) -> Vec<(NoticeSource, Notice)> {
        self.0.due(&HashMap::new()).into_iter().flat_map(|(_, notices)| notices).collect()
    }

    fn kinds(&self) -> Vec<NoticeKind> {
        self.due().into_iter().map(|(_, notice)| notice.kind).collect()
    }

    /// The first notice that is due is recorded, as one message.
    fn noticed(&mut self, at: Timestamp) -> MessageId {
        let (source, notice) = self.due().remove(0);
        let message = MessageId::of(&acme(), &ops(), source.position.0, source.index);
        let messages = vec![Addressed { channel: ops(), message: message.clone(), at }];
        self.tell("main", ChannelEvent::Noticed { notice, source: Some(source), messages });
        message
    }

    fn ready(&self, now: Timestamp) -> Vec<MessageId> {
        let (ready, _) = self.0.ready(now, &HashSet::new());
        ready.into_values().flatten().map(|ready| ready.message).collect()
    }
}

fn spec(notices: &[&str], secret: Option<&str>) -> ChannelSpec {
    ChannelSpec {
        kind: ChannelKind::Webhook,
        url: Some("https://example.com".to_owned()),
        secret: secret.map(|name| name.parse().unwrap()),
        recipients: None,
        notices: notices.iter().map(|text| text.parse().unwrap()).collect(),
        scopes: vec![],
        enabled: true,
    }
}

fn suspended() -> TenantEvent {
    TenantEvent::Suspended { reason: "unpaid".to_owned() }
}

fn key_issued(key: &str, task: Option<&str>) -> IdentityEvent {
    IdentityEvent::KeyIssued {
        key: key.parse().unwrap(),
        principal: "svc_bot".parse().unwrap(),
        hash: KeyHash::of(key),
        scope: "acme/support".parse().unwrap(),
        models: vec![],
        expires: None,
        agent: None,
        task: task.map(|task| task.parse().unwrap()),
        permissions: vec![],
        parent: None,
        addresses: vec![],
        hours: vec![],
        line: None,
    }
}

#[test]
fn people_and_keys_and_tenants_are_told_of() {
    use NoticeKind::{KeyIssued, KeyRevoked, TenantResumed, TenantSuspended, UserDisabled};

    let mut world = World::with_channel(&[], None);
    world.tell("main", suspended());
    world.tell("main", TenantEvent::Resumed);
    world.tell("main", IdentityEvent::UserDisabled { principal: "p_bob".parse().unwrap(), reason: String::new() });
    world.tell("main", key_issued("key_1", None));
    world.tell("main", IdentityEvent::KeyRevoked { key: "key_1".parse().unwrap(), reason: String::new() });
    // Keys of tasks are no news, whoever made them; nor is what workers take back.
    world.tell("main", key_issued("key_2", Some("t_1")));
    let revoked = IdentityEvent::KeyRevoked { key: "key_2".parse().unwrap(), reason: String::new() };
    world.tell_by("sys_worker", "acme", "main", revoked);
    assert_eq!(world.kinds(), [TenantSuspended, TenantResumed, UserDisabled, KeyIssued, KeyRevoked]);
    let due = world.due();
    assert_eq!((due[0].1.text.as_str(), due[3].1.scope.as_str()), ("unpaid", "acme/support"));
    assert!(due[3].1.title.starts_with("p_ana issued"), "{}", due[3].1.title);
    assert!(due.windows(2).all(|two| two[0].0 < two[1].0), "in order");
}

#[test]
fn elevations_and_reviews_are_told_of() {
    use NoticeKind::{ElevationApproved, ElevationRequested, ReviewStarted};

    let mut world = World::with_channel(&["elevation.*", "review.*"], None);
    let elevation: ElevationId = "elv_1".parse().unwrap();
    let request = ElevationRequest {
        rule: "glass".parse().unwrap(),
        by: "p_bob".parse().unwrap(),
        role: "owner".parse().unwrap(),
        on: "acme/support".parse().unwrap(),
        duration_s: 600,
        reason: "the site is down".to_owned(),
        lapses: NOW,
    };
    world.tell("main", AccessEvent::ElevationRequested { elevation: elevation.clone(), request });
    let (by, until, reason) = ("p_bob".parse().unwrap(), NOW, String::new());
    world.tell("main", AccessEvent::ElevationApproved { elevation, by, until, self_approved: true, reason });
    let spec = ReviewSpec { on: "acme".parse().unwrap(), due: NOW, reviewers: vec![], revoke_unreviewed: true };
    world.tell("main", AccessEvent::ReviewStarted { review: "q4".parse().unwrap(), spec });
    assert_eq!(world.kinds(), [ElevationRequested, ElevationApproved, ReviewStarted]);
    let due = world.due();
    assert_eq!(
        (due[0].1.title.as_str(), due[0].1.text.as_str()),
        ("p_bob asks for the role owner on acme/support", "the site is down")
    );
    assert_eq!((due[1].1.severity, due[1].1.scope.as_str()), (Severity::Critical, "acme/support"));
}

#[test]
fn a_threshold_is_told_with_its_budget() {
    let mut world = World::with_channel(&["budget.*"], None);
    let window = WindowBounds { budget: "b_1".parse().unwrap(), from: NOW, to: Some(NOW.plus(Duration::from_secs(9))) };
    let key = BudgetKey {
        scope: "acme/support".parse().unwrap(),
        level: "acme".parse().unwrap(),
        subject: None,
        unit: Unit::Money,
        window: Window::Total,
    };
    let spec = BudgetSpec { limit: 5_000_000_000, hard: true, warn_percent: vec![80, 100] };
    let budget: steward_events::id::BudgetId = "b_1".parse().unwrap();
    world.tell("main", LedgerEvent::BudgetSet { budget: budget.clone(), key, spec, window: window.clone() });
    for percent in [80, 100] {
        world.tell("main", LedgerEvent::ThresholdCrossed { budget: budget.clone(), window: window.clone(), percent });
    }
    world.tell("main", LedgerEvent::BudgetRemoved { budget: budget.clone() });
    world.tell("main", LedgerEvent::ThresholdCrossed { budget, window: window.clone(), percent: 100 });
    let [(_, warning), (_, critical)] = &world.due()[..] else { panic!("{:?}", world.kinds()) };
    assert_eq!(warning.title, "80 % of the budget acme/support in total is spent");
    assert_eq!((warning.severity, critical.severity), (Severity::Warning, Severity::Critical));
    assert_eq!((warning.fields["limit"].as_str(), warning.ends), ("$5.00", window.to));
}

#[test]
fn failures_are_told_where_they_belong() {
    let mut world = World::with_channel(&[], None);
    let owner = KeyOwner::Tenant(acme());
    let input = TaskInput { prompt: "why".to_owned() };
    let submitted = TaskEvent::Submitted {
        task: "t_1".parse().unwrap(),
        agent: "researcher".parse().unwrap(),
        scope: "acme/support".parse().unwrap(),
        input: Sealed::seal(&input, owner, &DataKey::from_bytes([7; 32]), "t_1").unwrap(),
        limit: None,
        submitted_by: "p_ana".parse().unwrap(),
        submitted_with: None,
    };
    world.tell("t_1", submitted);
    world.tell("t_1", TaskEvent::Failed { epoch: Epoch(1), reason: "no budget".to_owned(), spent: None });
    let submitted = BatchEvent::Submitted {
        batch: "batch_1".parse().unwrap(),
        scope: "acme/sales".parse().unwrap(),
        endpoint: BatchEndpoint::Embeddings,
        input_file: "file-1".parse().unwrap(),
        expires: NOW,
        metadata: None,
        output_kept_s: None,
        submitted_by: "p_ana".parse().unwrap(),
        submitted_with: None,
    };
    world.tell("batch_1", submitted);
    let problem = BatchProblem { code: "empty".to_owned(), message: "the file is empty".to_owned(), line: None };
    world.tell("batch_1", BatchEvent::Failed { epoch: Epoch(1), problems: vec![problem] });
    let [(_, task), (_, batch)] = &world.due()[..] else { panic!("{:?}", world.kinds()) };
    assert_eq!((task.scope.as_str(), task.text.as_str()), ("acme/support", "no budget"));
    assert_eq!(task.fields["agent"], "researcher");
    assert_eq!((batch.scope.as_str(), batch.text.as_str()), ("acme/sales", "the file is empty"));
}

#[test]
fn a_burst_of_refusals_is_told_and_a_single_one_is_not() {
    let mut world = World::with_channel(&[], None);
    world.tell(
        "gw",
        DenialEvent::LeftOut {
            principal: None,
            address: Some("203.0.113.7".to_owned()),
            kinds: [(DenialKind::WrongKey, 40), (DenialKind::TooMuch, 2)].into(),
            permissions: vec![],
            scopes: vec![],
        },
    );
    world.tell(
        "gw",
        DenialEvent::Denied {
            kind: DenialKind::WrongKey,
            principal: None,
            address: None,
            permission: None,
            scope: None,
            reason: "no".to_owned(),
        },
    );
    let [(_, burst)] = &world.due()[..] else { panic!("{:?}", world.kinds()) };
    assert_eq!(burst.title, "42 requests of 203.0.113.7 were refused at once");
}

#[test]
fn only_what_a_channel_wants_of_its_own_tenant_is_due() {
    let mut world = World::with_channel(&["user.*"], None);
    world.tell("main", suspended());
    world.tell_by("p_gil", "globex", "main", suspended());
    assert_eq!(world.kinds(), []);
    world.tell("main", ChannelEvent::Set { channel: ops(), spec: spec(&[], None) });
    world.tell_by("p_gil", "globex", "main", suspended());
    world.tell("main", suspended());
    assert_eq!(world.kinds(), [NoticeKind::TenantSuspended]);
    world.tell("main", ChannelEvent::Removed { channel: ops() });
    assert_eq!(world.kinds(), []);
}

#[test]
fn what_was_told_is_due_no_more() {
    let mut world = World::with_channel(&[], None);
    world.tell("main", suspended());
    world.tell("main", TenantEvent::Resumed);
    let told = HashMap::from([(acme(), world.due()[0].0)]);
    assert_eq!(world.0.due(&told)[0].1.len(), 1, "this run has told it");
    world.noticed(NOW);
    assert_eq!(world.kinds(), [NoticeKind::TenantResumed]);
    world.noticed(NOW);
    assert_eq!(world.0.due(&HashMap::new()), []);
}

#[test]
fn a_message_is_ready_when_it_is_due_until_it_is_over() {
    let later = |seconds| NOW.plus(Duration::from_secs(seconds));
    let mut world = World::with_channel(&[], None);
    world.tell("main", suspended());
    let message = world.noticed(later(1));
    let of = |world: &World, at| world.ready(at);
    assert_eq!((of(&world, NOW), of(&world, later(1))), (vec![], vec![message.clone()]));
    assert_eq!(world.0.ready(NOW, &HashSet::new()).1, Some(later(1)), "when to look again");
    let (channel, worker) = (ops(), "w_1".to_owned());
    let started =
        ChannelEvent::SendingStarted { channel, message: message.clone(), attempt: 1, worker, until: later(30) };
    world.tell("main", started);
    assert_eq!((of(&world, later(29)), of(&world, later(30))), (vec![], vec![message.clone()]), "its worker died");
    let reason = "500".to_owned();
    let failed = ChannelEvent::SendingFailed {
        channel: ops(),
        message: message.clone(),
        attempt: 1,
        reason: reason.clone(),
        retry_at: later(40),
    };
    world.tell("main", failed);
    assert_eq!((of(&world, later(39)), of(&world, later(40))), (vec![], vec![message.clone()]));
    world.tell("main", ChannelEvent::Disabled { channel: ops(), reason: reason.clone() });
    assert_eq!(of(&world, later(40)), []);
    world.tell("main", ChannelEvent::Set { channel: ops(), spec: spec(&[], None) });
    assert_eq!(of(&world, later(40)), vec![message.clone()]);
    world.tell("main", ChannelEvent::DeadLettered { channel: ops(), message: message.clone(), reason });
    assert_eq!(of(&world, later(99)), []);
    world.tell("main", ChannelEvent::RedeliveryAsked { channel: ops(), message: message.clone() });
    assert_eq!(of(&world, NOW), vec![message.clone()]);
    world.tell("main", ChannelEvent::Delivered { channel: ops(), message, attempt: 1 });
    assert_eq!(of(&world, later(99)), []);
    assert!(world.0.waiting.is_empty());
}

#[test]
fn a_channel_has_one_message_ready_at_a_time() {
    let mut world = World::with_channel(&[], None);
    world.tell("main", suspended());
    world.tell("main", TenantEvent::Resumed);
    let (first, _) = (world.noticed(NOW), world.noticed(NOW.plus(Duration::from_secs(1))));
    assert_eq!(world.ready(NOW.plus(Duration::from_secs(5))), [first]);
    let busy = HashSet::from([(acme(), ops())]);
    assert!(world.0.ready(NOW.plus(Duration::from_secs(5)), &busy).0.into_values().all(|ready| ready.is_empty()));
}

#[test]
fn the_secret_before_signs_for_a_day() {
    let mut world = World::with_channel(&[], Some("hook"));
    let sealed = |text: &str| {
        let value: SecretValue = text.parse().unwrap();
        Sealed::seal(&value, KeyOwner::Tenant(acme()), &DataKey::from_bytes([7; 32]), "secret/hook").unwrap()
    };
    world.tell("main", suspended());
    let message = world.noticed(NOW);
    for text in ["one", "two"] {
        world.tell("main", CatalogEvent::SecretSet { secret: "hook".parse().unwrap(), value: sealed(text) });
    }
    let count = |at| world.0.outgoing(&acme(), &ops(), &message, at).unwrap().secrets.len();
    assert_eq!((count(NOW), count(NOW.plus(BOTH_SECRETS))), (2, 1));
    assert_eq!(world.0.outgoing(&acme(), &ops(), &message, NOW).unwrap().secrets[0], sealed("two"), "the newest first");
}

#[test]
fn a_message_shows_some_notices_and_counts_the_others() {
    let mut world = World::with_channel(&[], None);
    world.tell("main", suspended());
    let (source, notice) = world.due().remove(0);
    let message = MessageId::of(&acme(), &ops(), source.position.0, source.index);
    for _ in 0..SHOWN_MAX + 3 {
        let messages = vec![Addressed { channel: ops(), message: message.clone(), at: NOW }];
        world.tell("main", ChannelEvent::Noticed { notice: notice.clone(), source: Some(source), messages });
    }
    let outgoing = world.0.outgoing(&acme(), &ops(), &message, NOW).unwrap();
    assert_eq!((outgoing.notices.len(), outgoing.more), (SHOWN_MAX, 3));
}
