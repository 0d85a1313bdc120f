use proptest::prelude::*;
use steward_events::event::{ChannelKind, Recipients};
use steward_events::id::TenantId;
use steward_events::quantity::Position;
use steward_events::sealed::{Content, DataKey, KeyOwner, Sealed};

use super::*;
use crate::spec::{given, stamp};

const NOW: Timestamp = Timestamp(1_000_000_000);

fn channel(name: &str) -> ChannelId {
    name.parse().unwrap()
}

fn message(position: u64) -> MessageId {
    message_of("ops", position)
}

fn message_of(name: &str, position: u64) -> MessageId {
    MessageId::of(&TenantId::new("acme").unwrap(), &channel(name), position, 0)
}

fn spec_of(notices: &[&str]) -> ChannelSpec {
    ChannelSpec {
        kind: ChannelKind::Alertmanager,
        url: Some("https://example.com".to_owned()),
        secret: None,
        recipients: None,
        notices: notices.iter().map(|text| text.parse().unwrap()).collect(),
        scopes: vec![],
        enabled: true,
    }
}

fn is_set(name: &str, notices: &[&str]) -> ChannelEvent {
    ChannelEvent::Set { channel: channel(name), spec: spec_of(notices) }
}

fn set(kind: ChannelKind) -> SetChannel {
    SetChannel {
        channel: channel("ops"),
        kind,
        url: None,
        secret: None,
        recipients: None,
        notices: vec![],
        scopes: vec![],
        enabled: true,
    }
}

fn notice(kind: NoticeKind) -> Notice {
    Notice {
        kind,
        severity: Severity::Info,
        scope: "acme/support".parse().unwrap(),
        at: NOW,
        about: "task t_1".to_owned(),
        title: "It failed".to_owned(),
        text: String::new(),
        fields: BTreeMap::new(),
        act: None,
        ends: None,
    }
}

fn source(position: u64) -> NoticeSource {
    NoticeSource { position: Position(position), index: 0 }
}

fn notify(position: u64) -> NotifyChannels {
    NotifyChannels { notice: notice(NoticeKind::TaskFailed), source: source(position) }
}

fn noticed(position: u64, messages: Vec<Addressed>) -> ChannelEvent {
    ChannelEvent::Noticed { notice: notice(NoticeKind::TaskFailed), source: Some(source(position)), messages }
}

fn to(name: &str, message: MessageId, at: Timestamp) -> Addressed {
    Addressed { channel: channel(name), message, at }
}

/// A channel with a message that is due.
fn with_one(position: u64) -> Vec<ChannelEvent> {
    vec![is_set("ops", &[]), noticed(position, vec![to("ops", message(position), NOW)])]
}

fn start(worker: &str, position: u64) -> StartSending {
    let until = NOW.plus(Duration::from_secs(30));
    StartSending { channel: channel("ops"), message: message(position), worker: worker.to_owned(), until }
}

fn started(attempt: u32, until: Timestamp) -> ChannelEvent {
    let (channel, message) = (channel("ops"), message(7));
    ChannelEvent::SendingStarted { channel, message, attempt, worker: "w_1".to_owned(), until }
}

fn finish(attempt: u32, outcome: SendingOutcome) -> FinishSending {
    FinishSending { channel: channel("ops"), message: message(7), attempt, outcome }
}

fn failed(retry_at: Option<Timestamp>) -> SendingOutcome {
    SendingOutcome::Failed { reason: "500".to_owned(), retry_at }
}

fn dead(position: u64, reason: &str) -> ChannelEvent {
    ChannelEvent::DeadLettered { channel: channel("ops"), message: message(position), reason: reason.to_owned() }
}

#[test]
fn each_kind_needs_its_parts_and_no_others() {
    let url = |text: &str| Some(text.to_owned());
    let secret = || Some("ops-hook".parse().unwrap());
    let refused = |set: SetChannel| match Channel::default().decide(&set.into(), &stamp()) {
        Err(Rejection::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let webhook = SetChannel { url: url("https://example.com/hook"), secret: secret(), ..set(ChannelKind::Webhook) };
    assert_eq!(Channel::default().decide(&webhook.clone().into(), &stamp()).unwrap().len(), 1);
    assert_eq!(refused(SetChannel { url: None, ..webhook.clone() }), "url");
    assert_eq!(refused(SetChannel { secret: None, ..webhook.clone() }), "secret");
    assert_eq!(refused(SetChannel { secret: Some("sys_contents".parse().unwrap()), ..webhook.clone() }), "secret");
    assert_eq!(refused(SetChannel { scopes: vec!["globex".parse().unwrap()], ..webhook.clone() }), "scopes");
    for wrong in ["ftp://example.com", "https://", "https://ana:pw@example.com/", "https://exa mple.com", "example.com"]
    {
        assert_eq!(refused(SetChannel { url: url(wrong), ..webhook.clone() }), "url", "{wrong}");
    }
    assert_eq!(refused(SetChannel { secret: secret(), url: url("https://a.b"), ..set(ChannelKind::Slack) }), "url");
    assert_eq!(refused(SetChannel { secret: secret(), ..set(ChannelKind::Alertmanager) }), "url");
    assert_eq!(refused(set(ChannelKind::Mail)), "recipients");
}

#[test]
fn mail_addresses_are_recorded_sealed_only() {
    let people: Recipients = vec!["ana@example.com".to_owned()].try_into().unwrap();
    let owner = KeyOwner::Tenant(stamp().tenant);
    let sealed = Sealed::seal(&people, owner, &DataKey::from_bytes([7; 32]), "channel/ops").unwrap();
    let plain = SetChannel { recipients: Some(Content::Plain(people)), ..set(ChannelKind::Mail) };
    given::<Channel>([]).when(plain).then_rejected(&Rejection::invalid("recipients", "were not sealed"));
    let spec = ChannelSpec { kind: ChannelKind::Mail, url: None, recipients: Some(sealed.clone()), ..spec_of(&[]) };
    let sealed = SetChannel { recipients: Some(Content::Sealed(sealed)), ..set(ChannelKind::Mail) };
    given::<Channel>([]).when(sealed).then([ChannelEvent::Set { channel: channel("ops"), spec }]);
}

#[test]
fn a_tenant_has_no_more_channels_than_its_bound() {
    let full: Vec<_> = (0..CHANNELS_MAX).map(|n| is_set(&format!("c{n}"), &[])).collect();
    let more = SetChannel { url: Some("https://example.com".to_owned()), ..set(ChannelKind::Alertmanager) };
    let reason = "would have 21 entries; at most 20 are allowed";
    given::<Channel>(full.clone()).when(more.clone()).then_rejected(&Rejection::invalid("channel", reason));
    given::<Channel>(full[1..].to_vec()).when(more).then([is_set("ops", &[])]);
}

#[test]
fn each_channel_that_wants_a_notice_gets_one_message() {
    let channels = || [is_set("a", &["task.*"]), is_set("b", &["budget.*"]), is_set("c", &[])];
    let messages = vec![to("a", message_of("a", 7), NOW), to("c", message_of("c", 7), NOW)];
    given::<Channel>(channels()).at(NOW).when(notify(7)).then([noticed(7, messages.clone())]);
    let told = || channels().into_iter().chain([noticed(7, messages.clone())]);
    given::<Channel>(told()).at(NOW).when(notify(7)).then([]);
    given::<Channel>(told()).at(NOW).when(notify(6)).then([]);
    given::<Channel>([is_set("b", &["budget.*"])]).at(NOW).when(notify(7)).then([]);
}

#[test]
fn a_burst_of_one_kind_is_two_messages() {
    let soon = NOW.plus(pace::GATHER);
    let second = [to("ops", message(8), soon)];
    given::<Channel>(with_one(7)).at(NOW).when(notify(8)).then([noticed(8, second.to_vec())]);
    let two = || with_one(7).into_iter().chain([noticed(8, second.to_vec())]);
    given::<Channel>(two()).at(NOW).when(notify(9)).then([noticed(9, second.to_vec())]);
    let later = [to("ops", message(9), soon.plus(pace::GATHER))];
    given::<Channel>(two()).at(soon).when(notify(9)).then([noticed(9, later.to_vec())]);
}

#[test]
fn only_one_worker_sends_a_message_at_a_time() {
    let until = NOW.plus(Duration::from_secs(30));
    given::<Channel>(with_one(7)).at(NOW).when(start("w_1", 7)).then([started(1, until)]);
    let sending = || with_one(7).into_iter().chain([started(1, until)]);
    for worker in ["w_1", "w_2"] {
        given::<Channel>(sending()).at(NOW).when(start(worker, 7)).then([]);
    }
    given::<Channel>(with_one(7)).at(Timestamp(NOW.0 - 1)).when(start("w_1", 7)).then([]);
    let again = StartSending { until: until.plus(Duration::from_secs(30)), ..start("w_1", 7) };
    given::<Channel>(sending()).at(until).when(again.clone()).then([started(2, again.until)]);
    let long = StartSending { until: NOW.plus(SENDING_TIME_MAX + Duration::from_micros(1)), ..again };
    let refused = Rejection::invalid("until", "an attempt lasts at most 300 s");
    given::<Channel>(with_one(7)).at(NOW).when(long).then_rejected(&refused);
}

#[test]
fn only_who_claimed_is_told_the_attempt() {
    let mut channels = Channel::default();
    for event in with_one(7).into_iter().chain([started(1, NOW.plus(Duration::from_secs(30)))]) {
        channels.apply(&event, NOW);
    }
    assert_eq!(channels.answer(&start("w_1", 7).into())["attempt"], 1);
    assert!(channels.answer(&start("w_2", 7).into())["attempt"].is_null());
    assert!(channels.answer(&start("w_1", 8).into())["attempt"].is_null());
}

#[test]
fn a_message_ends_delivered_retried_or_dead() {
    let until = NOW.plus(Duration::from_secs(30));
    let sending = || with_one(7).into_iter().chain([started(1, until)]);
    let delivered = ChannelEvent::Delivered { channel: channel("ops"), message: message(7), attempt: 1 };
    given::<Channel>(sending()).at(NOW).when(finish(1, SendingOutcome::Delivered)).then([delivered.clone()]);
    let (channel_id, reason, retry_at) = (channel("ops"), "500".to_owned(), until);
    let retried =
        ChannelEvent::SendingFailed { channel: channel_id, message: message(7), attempt: 1, reason, retry_at };
    given::<Channel>(sending()).at(NOW).when(finish(1, failed(Some(until)))).then([retried.clone()]);
    given::<Channel>(sending()).at(NOW).when(finish(1, failed(None))).then([dead(7, "500")]);
    let gone = SendingOutcome::Gone { reason: "410".to_owned() };
    let disabled = ChannelEvent::Disabled { channel: channel("ops"), reason: "410".to_owned() };
    given::<Channel>(sending()).at(NOW).when(finish(1, gone)).then([dead(7, "410"), disabled]);
    for over in [delivered, dead(7, "500")] {
        given::<Channel>(sending().chain([over])).at(NOW).when(finish(1, SendingOutcome::Delivered)).then([]);
    }
    let waiting = || sending().chain([retried.clone()]);
    given::<Channel>(waiting()).at(NOW).when(start("w_2", 7)).then([]);
    given::<Channel>(waiting()).at(NOW).when(finish(1, failed(None))).then([]);
}

#[test]
fn a_late_success_counts_and_a_late_failure_does_not() {
    let again = || with_one(7).into_iter().chain([started(1, NOW), started(2, NOW.plus(Duration::from_secs(30)))]);
    let delivered = ChannelEvent::Delivered { channel: channel("ops"), message: message(7), attempt: 1 };
    given::<Channel>(again()).at(NOW).when(finish(1, SendingOutcome::Delivered)).then([delivered]);
    given::<Channel>(again()).at(NOW).when(finish(1, failed(None))).then([]);
    given::<Channel>(again()).at(NOW).when(finish(3, SendingOutcome::Delivered)).then([]);
}

#[test]
fn attempts_end_whatever_workers_want() {
    let until = NOW.plus(Duration::from_secs(30));
    let last = with_one(7).into_iter().chain([started(ATTEMPTS_MAX, until)]);
    given::<Channel>(last).at(NOW).when(finish(ATTEMPTS_MAX, failed(Some(until)))).then([dead(7, "500")]);
}

#[test]
fn a_disabled_channel_sends_nothing_until_it_is_set_again() {
    let off = ChannelEvent::Disabled { channel: channel("ops"), reason: "410".to_owned() };
    let disabled = || with_one(7).into_iter().chain([off.clone()]);
    given::<Channel>(disabled()).at(NOW).when(start("w_1", 7)).then([]);
    given::<Channel>(disabled()).at(NOW).when(notify(8)).then([]);
    let test = TestChannel { channel: channel("ops"), message: Some("msg_t".parse().unwrap()) };
    let refused = Rejection::invalid("channel", "is disabled: set it again first (channel.set)");
    given::<Channel>(disabled()).at(NOW).when(test).then_rejected(&refused);
    let again = SetChannel { url: Some("https://example.com".to_owned()), ..set(ChannelKind::Alertmanager) };
    given::<Channel>(disabled()).at(NOW).when(again.clone()).then([is_set("ops", &[])]);
    given::<Channel>(with_one(7)).at(NOW).when(again).then([]);
}

#[test]
fn a_test_goes_to_its_channel_whatever_that_wants() {
    let test = |id: &str| TestChannel { channel: channel("ops"), message: Some(id.parse().unwrap()) };
    let mut channels = Channel::default();
    channels.apply(&is_set("ops", &["budget.*"]), NOW);
    let events = channels.decide(&test("msg_t").into(), &stamp()).unwrap();
    let [ChannelEvent::Noticed { notice, source: None, messages }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((notice.kind, messages.len()), (NoticeKind::Test, 1));
    channels.apply(&events[0], NOW);
    assert_eq!(channels.decide(&test("msg_t").into(), &stamp()), Ok(vec![]), "sent again, it is the same test");
    let unknown = TestChannel { channel: channel("nobody"), message: None };
    given::<Channel>([]).when(unknown).then_rejected(&Rejection::not_found("channel", &"nobody"));
}

#[test]
fn a_dead_letter_is_sent_again_only_when_asked() {
    let buried = || with_one(7).into_iter().chain([dead(7, "500")]);
    given::<Channel>(buried()).at(NOW).when(start("w_1", 7)).then([]);
    let redeliver = RedeliverMessage { channel: channel("ops"), message: message(7) };
    let asked = ChannelEvent::RedeliveryAsked { channel: channel("ops"), message: message(7) };
    given::<Channel>(buried()).at(NOW).when(redeliver.clone()).then([asked.clone()]);
    let again = || buried().chain([asked.clone()]);
    given::<Channel>(again()).at(NOW).when(start("w_1", 7)).then([started(1, NOW.plus(Duration::from_secs(30)))]);
    given::<Channel>(again()).at(NOW).when(redeliver.clone()).then([]);
    let missing = Rejection::not_found("dead letter", &message(7));
    given::<Channel>(with_one(8)).at(NOW).when(redeliver).then_rejected(&missing);
}

#[test]
fn too_many_open_messages_or_dead_letters_are_not_kept() {
    let at = |n: usize| NOW.plus(pace::PACE_TIME * u32::try_from(n).unwrap());
    let mut channels = Channel::default();
    channels.apply(&is_set("ops", &[]), NOW);
    let mut dropped = 0;
    for n in 0..OPEN_MAX + DEAD_MAX + 3 {
        let stamp = Stamp { at: at(n), ..stamp() };
        let events = channels.decide(&notify(n as u64 + 1).into(), &stamp).unwrap();
        for event in &events {
            dropped += usize::from(matches!(event, ChannelEvent::DeadLetterDropped { .. }));
            channels.apply(event, stamp.at);
        }
        // Each was tried once, so none joins another.
        let start = StartSending { until: at(n + 1), ..start("w_1", n as u64 + 1) };
        for event in channels.decide(&start.into(), &stamp).unwrap() {
            channels.apply(&event, stamp.at);
        }
        let line = &channels.lines[&channel("ops")];
        assert!(line.open.len() <= OPEN_MAX && line.dead.len() <= DEAD_MAX, "{n}");
    }
    assert_eq!(dropped, 3);
}

proptest! {
    /// Whatever comes in whatever order: nothing is told twice, and no minute has more messages than the bound.
    #[test]
    fn no_notice_is_told_twice_and_no_minute_overflows(steps in prop::collection::vec((1_u64..60, 0_u64..4_000, any::<bool>()), 1..200)) {
        let mut channels = Channel::default();
        channels.apply(&is_set("ops", &[]), NOW);
        channels.apply(&is_set("own", &["task.*"]), NOW);
        let (mut now, mut told, mut begun) = (NOW, Vec::new(), BTreeMap::new());
        for (position, pause_ms, is_task) in steps {
            now = now.plus(Duration::from_millis(pause_ms));
            let kind = if is_task { NoticeKind::TaskFailed } else { NoticeKind::KeyIssued };
            let command = NotifyChannels { notice: notice(kind), source: source(position) };
            for event in channels.decide(&command.into(), &Stamp { at: now, ..stamp() }).unwrap() {
                channels.apply(&event, now);
                if let ChannelEvent::Noticed { source, messages, .. } = event {
                    told.push(source);
                    for addressed in messages {
                        begun.insert((addressed.channel, addressed.message), addressed.at);
                    }
                }
            }
        }
        prop_assert!(told.windows(2).all(|two| two[0] < two[1]), "in order, each once");
        let mut at: Vec<Timestamp> = begun.iter().filter(|((name, _), _)| name.as_str() == "ops").map(|(_, at)| *at).collect();
        at.sort_unstable();
        prop_assert!(at.windows(pace::CHANNEL_MAX + 1).all(|run| run[pace::CHANNEL_MAX] >= run[0].plus(pace::PACE_TIME)));
    }
}
