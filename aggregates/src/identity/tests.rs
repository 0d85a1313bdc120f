use steward_events::event::Profile;
use steward_events::sealed::{Content, DataKey, KeyDigest, KeyOwner, Sealed};

use super::*;
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
    let create = IdentityCommand::CreateAccount(CreateAccount { name: "bot".to_owned() });
    given::<Identity>([]).when(create.clone()).then([bot_created()]);
    given::<Identity>([bot_created()]).when(create.clone()).then([]);
    given::<Identity>([bot_created(), bot_disabled()]).when(create).then_rejected(&disabled_for_good(&bot()));
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
    let create = IdentityCommand::CreateAccount(CreateAccount { name: "bot".to_owned() });
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
    let another = CreateAccount { name: "another".to_owned() }.into();
    let (one, two) = (bounded(QuotaKind::Accounts, 1), bounded(QuotaKind::Accounts, 2));
    assert_eq!(identity.decide(&another, &one), Err(exceeded(QuotaKind::Accounts, 1)));
    assert!(identity.decide(&another, &two).is_ok());
    let again = CreateAccount { name: "bot".to_owned() }.into();
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
