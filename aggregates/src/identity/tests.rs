use steward_events::command::{EraseUser, RecordDestroyedKey};
use steward_events::event::Profile;
use steward_events::sealed::{Content, DataKey, KeyDigest, KeyOwner, Sealed};

use steward_events::command::{IssueKey, RevokeKey, RotateKey};

use super::*;
use crate::limit::MODELS_MAX;
use crate::spec::{given, stamp};

const HOUR: Timestamp = Timestamp(3_600_000_000);

fn bot() -> PrincipalId {
    PrincipalId::service_account(&"acme".parse().unwrap(), "bot")
}

fn bot_created() -> IdentityEvent {
    IdentityEvent::AccountCreated { principal: bot(), name: "bot".to_owned() }
}

fn bot_disabled() -> IdentityEvent {
    IdentityEvent::UserDisabled { principal: bot(), reason: "left".to_owned() }
}

fn issue() -> IssueKey {
    IssueKey {
        key: Some("key_1".parse().unwrap()),
        principal: bot(),
        hash: KeyHash::of("secret"),
        scope: None,
        models: vec![],
        expires: None,
        agent: None,
        task: None,
        permissions: vec![],
        parent: None,
        addresses: vec![],
        hours: vec![],
    }
}

fn issued() -> IdentityEvent {
    IdentityEvent::KeyIssued {
        key: "key_1".parse().unwrap(),
        principal: bot(),
        hash: KeyHash::of("secret"),
        scope: "acme".parse().unwrap(),
        models: vec![],
        expires: None,
        agent: None,
        task: None,
        permissions: vec![],
        parent: None,
        addresses: vec![],
        hours: vec![],
        line: None,
    }
}

fn command(issue: IssueKey) -> IdentityCommand {
    IdentityCommand::IssueKey(issue)
}

fn sealed_profile() -> Sealed<Profile> {
    let profile = Profile { email: "ana@acme.example".to_owned(), name: "Ana".to_owned() };
    let owner = KeyOwner::Person("acme".parse().unwrap(), "p_ana".parse().unwrap());
    Sealed::seal(&profile, owner, &DataKey::from_bytes([7; 32]), "").unwrap()
}

#[test]
fn an_account_is_created_once() {
    let create = IdentityCommand::CreateAccount(CreateAccount { name: "bot".to_owned(), owner: None });
    given::<Identity>([]).when(create.clone()).then([bot_created()]);
    given::<Identity>([bot_created()]).when(create.clone()).then([]);
    given::<Identity>([bot_created(), bot_disabled()]).when(create).then_rejected(&is_disabled(&bot()));
}

#[test]
fn a_person_is_invited_under_a_persons_id_only() {
    let profile = sealed_profile();
    let invite =
        |id: &str, profile| IdentityCommand::InviteUser(InviteUser { principal: Some(id.parse().unwrap()), profile });
    let principal: PrincipalId = "p_ana".parse().unwrap();
    let invited = IdentityEvent::UserInvited { principal, profile: profile.clone() };
    given::<Identity>([]).when(invite("p_ana", Content::Sealed(profile.clone()))).then([invited.clone()]);
    given::<Identity>([invited]).when(invite("p_ana", Content::Sealed(profile.clone()))).then([]);
    for id in ["op_root", "svc_1", "sys_worker", "key_1", "ana"] {
        let refused = Rejection::invalid("principal", "must begin with p_; if left out, an id is made");
        given::<Identity>([]).when(invite(id, Content::Sealed(profile.clone()))).then_rejected(&refused);
    }
    let plain = Content::Plain(Profile { email: String::new(), name: String::new() });
    given::<Identity>([]).when(invite("p_ana", plain)).then_rejected(&Rejection::invalid("profile", "was not sealed"));
}

#[test]
fn only_an_existing_principal_is_disabled_and_only_once() {
    let disable = IdentityCommand::DisableUser(DisableUser { principal: bot(), reason: "left".to_owned() });
    given::<Identity>([bot_created()]).when(disable.clone()).then([bot_disabled()]);
    given::<Identity>([bot_created(), bot_disabled()]).when(disable.clone()).then([]);
    given::<Identity>([]).when(disable).then_rejected(&Rejection::not_found("principal", &bot()));
}

fn invited() -> IdentityEvent {
    IdentityEvent::UserInvited { principal: "p_ana".parse().unwrap(), profile: sealed_profile() }
}

fn ana_erased() -> [IdentityEvent; 2] {
    let (principal, reason) = ("p_ana".parse::<PrincipalId>().unwrap(), "asked to be forgotten".to_owned());
    let disabled = IdentityEvent::UserDisabled { principal: principal.clone(), reason: reason.clone() };
    [disabled, IdentityEvent::UserErased { principal, reason }]
}

fn erase(principal: &str) -> IdentityCommand {
    let reason = "asked to be forgotten".to_owned();
    IdentityCommand::EraseUser(EraseUser { principal: principal.parse().unwrap(), reason })
}

#[test]
fn a_person_is_erased_once_and_disabled_with_it() {
    given::<Identity>([invited()]).when(erase("p_ana")).then(ana_erased());
    let [disabled, erased] = ana_erased();
    given::<Identity>([invited(), disabled]).when(erase("p_ana")).then([erased]);
    given::<Identity>([invited()].into_iter().chain(ana_erased())).when(erase("p_ana")).then([]);
    given::<Identity>([]).when(erase("p_ana")).then_rejected(&Rejection::not_found("principal", &"p_ana"));
}

#[test]
fn a_service_account_has_nothing_to_erase() {
    let refused = format!("{} is no person, so there is no profile to erase; disable it instead", bot());
    let refused = Rejection::invalid("principal", refused);
    given::<Identity>([bot_created()]).when(erase(bot().as_str())).then_rejected(&refused);
}

#[test]
fn a_destroyed_key_is_recorded_once_and_after_the_erasure() {
    let (principal, wrapped) = ("p_ana".parse::<PrincipalId>().unwrap(), Some(KeyDigest::of(b"wrapped")));
    let record = || {
        let (principal, wrapped) = (principal.clone(), wrapped.clone());
        IdentityCommand::RecordDestroyedKey(RecordDestroyedKey { principal, wrapped })
    };
    let destroyed = IdentityEvent::UserKeyDestroyed { principal: principal.clone(), wrapped: wrapped.clone() };
    let erased = || [invited()].into_iter().chain(ana_erased());
    given::<Identity>([invited()]).when(record()).then_rejected(&Rejection::stale("p_ana was not erased"));
    given::<Identity>(erased()).when(record()).then([destroyed.clone()]);
    given::<Identity>(erased().chain([destroyed])).when(record()).then([]);
}

#[test]
fn a_key_is_issued_once() {
    given::<Identity>([bot_created()]).when(command(issue())).then([issued()]);
    given::<Identity>([bot_created(), issued()]).when(command(issue())).then([]);
}

#[test]
fn a_keys_id_and_secret_are_unique() {
    let other_scope = IssueKey { scope: Some("acme/support".parse().unwrap()), ..issue() };
    given::<Identity>([bot_created(), issued()]).when(command(other_scope)).then_rejected(&exists("key", &"key_1"));
    let other_id = IssueKey { key: Some("key_2".parse().unwrap()), ..issue() };
    given::<Identity>([bot_created(), issued()])
        .when(command(other_id))
        .then_rejected(&Rejection::invalid("hash", "another key already has this secret"));
}

#[test]
fn a_key_acts_as_a_principal_that_may_act() {
    given::<Identity>([]).when(command(issue())).then_rejected(&Rejection::not_found("principal", &bot()));
    given::<Identity>([bot_created(), bot_disabled()])
        .when(command(issue()))
        .then_rejected(&Rejection::invalid("principal", format!("{} is disabled", bot())));
}

#[test]
fn a_key_stays_in_its_tenant_and_ends_later() {
    let elsewhere = IssueKey { scope: Some("other".parse().unwrap()), ..issue() };
    given::<Identity>([bot_created()])
        .when(command(elsewhere))
        .then_rejected(&Rejection::invalid("scope", "other is outside tenant acme"));
    let past = IssueKey { expires: Some(stamp().at), ..issue() };
    given::<Identity>([bot_created()])
        .when(command(past))
        .then_rejected(&Rejection::invalid("expires", format!("{} is not in the future", stamp().at)));
    let models = (0..=MODELS_MAX).map(|n| format!("m{n}").parse().unwrap()).collect();
    let many = IssueKey { models, expires: Some(HOUR), ..issue() };
    given::<Identity>([bot_created()])
        .when(command(many))
        .then_rejected(&Rejection::invalid("models", "would have 65 entries; at most 64 are allowed"));
}

#[test]
fn only_steward_itself_issues_keys_for_tasks() {
    let for_task = IssueKey { task: Some("t_1".parse().unwrap()), ..issue() };
    given::<Identity>([bot_created()])
        .when(command(for_task.clone()))
        .then_rejected(&Rejection::invalid("task", "only parts of Steward issue keys for agents and tasks"));
    let worker = Stamp { actor: "sys_worker".parse().unwrap(), ..stamp() };
    assert_eq!(Identity::default().decide(&command(for_task), &worker).unwrap().len(), 1);
}

#[test]
fn a_key_is_revoked_once() {
    let revoke = IdentityCommand::RevokeKey(RevokeKey { key: "key_1".parse().unwrap(), reason: "lost".to_owned() });
    let revoked = IdentityEvent::KeyRevoked { key: "key_1".parse().unwrap(), reason: "lost".to_owned() };
    given::<Identity>([bot_created(), issued()]).when(revoke.clone()).then([revoked.clone()]);
    given::<Identity>([bot_created(), issued(), revoked]).when(revoke.clone()).then([]);
    given::<Identity>([]).when(revoke).then_rejected(&Rejection::not_found("key", &"key_1"));
}

#[test]
fn the_answer_names_the_created_things() {
    let mut state = Identity::default();
    state.apply(&bot_created(), Timestamp(0));
    state.apply(&issued(), Timestamp(0));
    let create = IdentityCommand::CreateAccount(CreateAccount { name: "bot".to_owned(), owner: None });
    assert_eq!(state.answer(&create)["principal"], bot().as_str());
    assert_eq!(state.answer(&command(issue()))["key"], "key_1");
}

fn bounded(quota: QuotaKind, limit: u64) -> Stamp {
    Stamp { quotas: [(quota, limit)].into_iter().collect(), ..stamp() }
}

fn exceeded(quota: QuotaKind, limit: u64) -> Rejection {
    Rejection::QuotaExceeded { quota: quota.to_string(), limit, taken: limit }
}

#[test]
fn a_quota_of_accounts_counts_those_that_are_not_disabled() {
    let mut identity = Identity::default();
    identity.apply(&bot_created(), stamp().at);
    let another = CreateAccount { name: "another".to_owned(), owner: None }.into();
    let (one, two) = (bounded(QuotaKind::Accounts, 1), bounded(QuotaKind::Accounts, 2));
    assert_eq!(identity.decide(&another, &one), Err(exceeded(QuotaKind::Accounts, 1)));
    assert!(identity.decide(&another, &two).is_ok());
    let again = CreateAccount { name: "bot".to_owned(), owner: None }.into();
    assert_eq!(identity.decide(&again, &one), Ok(vec![]), "it is there already");
    identity.apply(&bot_disabled(), stamp().at);
    assert!(identity.decide(&another, &one).is_ok());
}

#[test]
fn a_quota_of_keys_counts_those_that_work() {
    let mut identity = Identity::default();
    identity.apply(&bot_created(), stamp().at);
    identity.apply(&issued(), stamp().at);
    let second = || IssueKey { key: Some("key_2".parse().unwrap()), hash: KeyHash::of("another"), ..issue() };
    let one = bounded(QuotaKind::Keys, 1);
    assert_eq!(identity.decide(&command(second()), &one), Err(exceeded(QuotaKind::Keys, 1)));
    let of_task = IssueKey { task: Some("t_1".parse().unwrap()), ..second() };
    let worker = Stamp { actor: "sys_worker".parse().unwrap(), ..one.clone() };
    assert!(identity.decide(&command(of_task), &worker).is_ok(), "a task's key is not counted");
    let revoked = IdentityEvent::KeyRevoked { key: "key_1".parse().unwrap(), reason: String::new() };
    identity.apply(&revoked, stamp().at);
    assert!(identity.decide(&command(second()), &one).is_ok());
}

#[test]
fn a_quota_of_people_counts_people_only() {
    let mut identity = Identity::default();
    identity.apply(&bot_created(), stamp().at);
    let invite = |person: &str| {
        let profile = Content::Sealed(sealed_profile());
        IdentityCommand::InviteUser(InviteUser { principal: Some(person.parse().unwrap()), profile })
    };
    let one = bounded(QuotaKind::Users, 1);
    for event in identity.decide(&invite("p_ana"), &one).unwrap() {
        identity.apply(&event, stamp().at);
    }
    assert_eq!(identity.decide(&invite("p_bob"), &one), Err(exceeded(QuotaKind::Users, 1)));
}

fn ana() -> PrincipalId {
    "p_ana".parse().unwrap()
}

fn ana_invited() -> IdentityEvent {
    IdentityEvent::UserInvited { principal: ana(), profile: sealed_profile() }
}

fn disabled(principal: PrincipalId) -> IdentityEvent {
    IdentityEvent::UserDisabled { principal, reason: "left".to_owned() }
}

fn owned() -> IdentityEvent {
    IdentityEvent::OwnerSet { account: bot(), owner: ana() }
}

#[test]
fn who_creates_an_account_answers_for_it() {
    let create = |owner: Option<&str>| {
        let owner = owner.map(|owner| owner.parse().unwrap());
        IdentityCommand::CreateAccount(CreateAccount { name: "bot".to_owned(), owner })
    };
    given::<Identity>([ana_invited()]).when(create(None)).then([bot_created(), owned()]);
    given::<Identity>([ana_invited()]).when(create(Some("p_ana"))).then([bot_created(), owned()]);
    given::<Identity>([]).when(create(None)).then([bot_created()]);
    given::<Identity>([]).when(create(Some("p_ana"))).then_rejected(&Rejection::not_found("principal", &ana()));
    let other = format!("{} exists and has another owner; change that with: steward account set-owner", bot());
    given::<Identity>([ana_invited(), bot_created()])
        .when(create(Some("p_ana")))
        .then_rejected(&Rejection::invalid("owner", other));
    given::<Identity>([ana_invited(), bot_created(), owned()]).when(create(Some("p_ana"))).then([]);
}

#[test]
fn an_accounts_owner_is_a_person_who_may_act() {
    let set = |owner: PrincipalId| IdentityCommand::SetOwner(SetOwner { account: bot(), owner });
    given::<Identity>([ana_invited(), bot_created()]).when(set(ana())).then([owned()]);
    given::<Identity>([ana_invited(), bot_created(), owned()]).when(set(ana())).then([]);
    given::<Identity>([bot_created()]).when(set(ana())).then_rejected(&Rejection::not_found("principal", &ana()));
    given::<Identity>([ana_invited(), bot_created(), disabled(ana())])
        .when(set(ana()))
        .then_rejected(&Rejection::invalid("owner", "p_ana is disabled; name somebody who may act"));
    let itself = format!("{} is a service account; a person must answer for one", bot());
    given::<Identity>([bot_created()]).when(set(bot())).then_rejected(&Rejection::invalid("owner", itself));
    let of_a_person = IdentityCommand::SetOwner(SetOwner { account: ana(), owner: ana() });
    given::<Identity>([ana_invited()])
        .when(of_a_person)
        .then_rejected(&Rejection::invalid("account", "must be a service account, svc_…: nobody owns a person"));
}

#[test]
fn an_owner_is_known_by_the_accounts_that_are_theirs_now() {
    let mut state = Identity::default();
    let ben: PrincipalId = "p_ben".parse().unwrap();
    for event in [bot_created(), owned(), IdentityEvent::OwnerSet { account: bot(), owner: ben.clone() }] {
        state.apply(&event, Timestamp(0));
    }
    assert_eq!(state.owned_by(&ana()).count(), 0);
    assert_eq!(state.owned_by(&ben).collect::<Vec<_>>(), [&bot()]);
}

#[test]
fn only_who_is_disabled_is_enabled() {
    let enable = IdentityCommand::EnableUser(EnableUser { principal: bot(), reason: "back".to_owned() });
    let enabled = IdentityEvent::UserEnabled { principal: bot(), reason: "back".to_owned() };
    given::<Identity>([bot_created(), bot_disabled()]).when(enable.clone()).then([enabled.clone()]);
    given::<Identity>([bot_created(), bot_disabled(), enabled]).when(enable.clone()).then([]);
    given::<Identity>([]).when(enable).then_rejected(&Rejection::not_found("principal", &bot()));
}

#[test]
fn a_profile_is_changed_of_a_person_only() {
    let profile = sealed_profile();
    let set = |principal, profile| IdentityCommand::SetUser(SetUser { principal, profile });
    let other = Sealed::seal(
        &Profile { email: "ana@new.example".to_owned(), name: "Ana".to_owned() },
        KeyOwner::Person("acme".parse().unwrap(), ana()),
        &DataKey::from_bytes([7; 32]),
        "",
    );
    let other = other.unwrap();
    let changed = IdentityEvent::UserChanged { principal: ana(), profile: other.clone() };
    given::<Identity>([ana_invited()]).when(set(ana(), Content::Sealed(other.clone()))).then([changed.clone()]);
    given::<Identity>([ana_invited(), changed]).when(set(ana(), Content::Sealed(other))).then([]);
    given::<Identity>([bot_created()])
        .when(set(bot(), Content::Sealed(profile)))
        .then_rejected(&Rejection::invalid("principal", format!("{} has no profile: it is no person", bot())));
}

fn rotate() -> RotateKey {
    RotateKey {
        key: "key_1".parse().unwrap(),
        successor: Some("key_2".parse().unwrap()),
        hash: KeyHash::of("new secret"),
        overlap: None,
    }
}

/// `key_1` with all that a key can be bound by.
fn limited() -> IdentityEvent {
    let IdentityEvent::KeyIssued { key, principal, hash, agent, task, parent, line, .. } = issued() else {
        unreachable!("it is issued")
    };
    IdentityEvent::KeyIssued {
        key,
        principal,
        hash,
        scope: "acme/support".parse().unwrap(),
        models: vec!["small".parse().unwrap()],
        expires: Some(stamp().at.plus(OVERLAP * 2)),
        agent,
        task,
        permissions: vec!["model:invoke".parse().unwrap()],
        parent,
        addresses: vec!["10.0.0.0/8".parse().unwrap()],
        hours: vec!["Mon-Fri 08:00-18:00 UTC".parse().unwrap()],
        line,
    }
}

#[test]
fn a_new_key_may_what_the_old_one_may_which_ends() {
    let IdentityEvent::KeyIssued { principal, scope, models, expires, permissions, addresses, hours, .. } = limited()
    else {
        unreachable!("it is issued")
    };
    let new = IdentityEvent::KeyIssued {
        key: "key_2".parse().unwrap(),
        principal,
        hash: KeyHash::of("new secret"),
        scope,
        models,
        expires,
        agent: None,
        task: None,
        permissions,
        parent: None,
        addresses,
        hours,
        line: Some("key_1".parse().unwrap()),
    };
    let replaced = |overlap| IdentityEvent::KeyReplaced {
        key: "key_1".parse().unwrap(),
        by: "key_2".parse().unwrap(),
        until: stamp().at.plus(overlap),
    };
    let before = || given::<Identity>([bot_created(), limited()]);
    before().when(rotate()).then([new.clone(), replaced(OVERLAP)]);
    let hour = std::time::Duration::from_hours(1);
    before().when(RotateKey { overlap: Some(hour), ..rotate() }).then([new.clone(), replaced(hour)]);
    // The end of the old one does not move, however long both could work.
    before().when(RotateKey { overlap: Some(OVERLAP_MAX), ..rotate() }).then([new.clone(), replaced(OVERLAP * 2)]);
    before()
        .when(RotateKey { overlap: Some(OVERLAP_MAX + hour), ..rotate() })
        .then_rejected(&Rejection::invalid("overlap", "may last 30 days at most"));
    given::<Identity>([bot_created(), limited(), new, replaced(OVERLAP)]).when(rotate()).then([]);
}

#[test]
fn a_key_is_replaced_once_and_while_it_works() {
    let mut state = Identity::default();
    for event in [bot_created(), issued()] {
        state.apply(&event, Timestamp(0));
    }
    for event in state.decide(&rotate().into(), &stamp()).unwrap() {
        state.apply(&event, stamp().at);
    }
    let other = RotateKey { successor: Some("key_3".parse().unwrap()), hash: KeyHash::of("third"), ..rotate() };
    let twice = Rejection::stale("key_1 was replaced by key_2 already; replace that one");
    assert_eq!(state.decide(&other.clone().into(), &stamp()), Err(twice));
    let next = RotateKey { key: "key_2".parse().unwrap(), ..other };
    let events = state.decide(&next.into(), &stamp()).unwrap();
    let IdentityEvent::KeyIssued { line, .. } = &events[0] else { unreachable!("it is issued") };
    assert_eq!(line.as_ref().map(AsRef::as_ref), Some("key_1"), "a line is named after its first key");
    let old = |at: Timestamp| state.key(&"key_1".parse().unwrap()).unwrap().is_over(at);
    assert!(!old(stamp().at) && old(stamp().at.plus(OVERLAP)));
    let revoked = IdentityEvent::KeyRevoked { key: "key_1".parse().unwrap(), reason: String::new() };
    given::<Identity>([bot_created(), issued(), revoked])
        .when(rotate())
        .then_rejected(&Rejection::stale("key_1 was revoked or has expired; issue a new key"));
    given::<Identity>([bot_created()]).when(rotate()).then_rejected(&Rejection::not_found("key", &"key_1"));
}

#[test]
fn hours_of_a_key_are_in_the_tenants_time_zone() {
    let with = |hours: &str| command(IssueKey { hours: vec![hours.parse().unwrap()], ..issue() });
    let state = [bot_created()].into_iter().fold(Identity::default(), |mut state, event| {
        state.apply(&event, Timestamp(0));
        state
    });
    let berlin = Stamp { timezone: "Europe/Berlin".to_owned(), ..stamp() };
    let recorded = |hours: &str| match &state.decide(&with(hours), &berlin).unwrap()[..] {
        [IdentityEvent::KeyIssued { hours, .. }] => hours[0].to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(recorded("Mon 08:00-18:00"), "Mon 08:00-18:00 Europe/Berlin");
    assert_eq!(recorded("Mon 08:00-18:00 UTC"), "Mon 08:00-18:00 UTC");
    let refused = "08:00-18:00 Mars/Olympus names no IANA time zone such as Europe/Berlin";
    given::<Identity>([bot_created()])
        .when(with("08:00-18:00 Mars/Olympus"))
        .then_rejected(&Rejection::invalid("hours", refused));
    let many = IssueKey { addresses: vec!["10.0.0.0/8".parse().unwrap(); ADDRESSES_MAX + 1], ..issue() };
    given::<Identity>([bot_created()])
        .when(command(many))
        .then_rejected(&Rejection::invalid("addresses", "would have 65 entries; at most 64 are allowed"));
}
