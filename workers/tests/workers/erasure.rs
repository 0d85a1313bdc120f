//! Who is erased loses their data keys, whatever happens to the workers; and what was destroyed is told once.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steward_events::command::{CreateTenant, EraseTenant, EraseUser, InviteUser, SuspendTenant};
use steward_events::event::{Event, IdentityEvent, Profile, TenantEvent};
use steward_events::id::PrincipalId;
use steward_events::sealed::{Content, KeyOwner};
use steward_ports::contents::{Before, ContentName, ContentStore};
use steward_ports::keys::{KeyError, Keyring};
use steward_workers::Config;

use crate::env::{WorkersEnv, eventually, tenant};
use crate::gateway::{Do, Gateway};

/// So many people beside Ana.
const PEOPLE: usize = 30;

async fn company() -> WorkersEnv {
    let env = WorkersEnv::new(Gateway::start(|_| Do::Hang).await).await.with_tenant("acme").await;
    for number in 0..PEOPLE {
        let principal = Some(format!("p_{number}").parse().unwrap());
        let profile = Content::Plain(Profile { email: format!("{number}@example.com"), name: String::new() });
        env.send_as(&env.desk.operator, "acme", InviteUser { principal, profile }).await.unwrap();
    }
    env
}

fn person(who: &str) -> KeyOwner {
    KeyOwner::Person(tenant("acme"), who.parse().unwrap())
}

async fn ask_to_erase(env: &WorkersEnv) {
    let suspend = SuspendTenant { reason: "contract ended".to_owned() };
    env.send_as(&env.desk.operator, "acme", suspend).await.unwrap();
    let erase = EraseTenant { confirm: tenant("acme"), reason: "contract ended".to_owned() };
    env.send_as(&env.desk.operator, "acme", erase).await.unwrap();
}

/// How often each destroyed key was told, and what was said of contents.
async fn destroyed(env: &WorkersEnv) -> (BTreeMap<KeyOwner, usize>, Vec<u64>) {
    let (mut told, mut removed) = (BTreeMap::new(), Vec::new());
    for event in env.events("acme").await {
        if let Event::Tenant(TenantEvent::Destroyed { keys, contents }) = event {
            for key in keys {
                // Nothing was ever sealed with the tenant's own.
                assert_eq!(key.wrapped.is_none(), matches!(key.owner, KeyOwner::Tenant(_)), "{}", key.owner);
                *told.entry(key.owner).or_default() += 1;
            }
            removed.extend(contents);
        }
    }
    (told, removed)
}

async fn is_gone(keyring: &Keyring, owner: &KeyOwner) -> bool {
    let (found, made) = (keyring.find(owner).await, keyring.find_or_make(owner).await);
    matches!((found, made), (Err(KeyError::Erased(_)), Err(KeyError::Erased(_))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_key_is_destroyed_and_told_once() {
    let env = company().await;
    let both = (env.start(), env.start());
    let erase = EraseUser { principal: "p_3".parse().unwrap(), reason: "asked for it".to_owned() };
    env.send_as(&env.desk.operator, "acme", erase).await.unwrap();
    let told = async || {
        let told = |event: &&Event| matches!(event, Event::Identity(IdentityEvent::UserKeyDestroyed { .. }));
        env.events("acme").await.iter().filter(told).count()
    };
    eventually("the proof", async || told().await == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(told().await, 1, "two workers tell it once");
    assert!(is_gone(&env.keyring, &person("p_3")).await);
    assert!(env.keyring.find(&person("p_4")).await.is_ok(), "nobody else");
    let again = InviteUser {
        principal: Some(PrincipalId::new("p_3").unwrap()),
        profile: Content::Plain(Profile { email: "3@example.com".to_owned(), name: String::new() }),
    };
    let refused = env.send_as(&env.desk.operator, "acme", again).await.unwrap_err();
    assert!(refused.to_string().contains("was erased"), "{refused}");
    drop(both);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_erased_however_often_its_workers_die() {
    let env = company().await;
    let name = ContentName::new(&tenant("acme"), "file", "file-1").unwrap();
    let hour = Duration::from_hours(1);
    env.contents.put(&name, Bytes::from_static(b"sealed"), hour, Before::Anything).await.unwrap();
    ask_to_erase(&env).await;
    let done = async || !destroyed(&env).await.1.is_empty();
    // Killed again and again, each time a little later, two at once.
    let mut life = Duration::from_micros(500);
    while !done().await {
        let both = (env.start(), env.start());
        tokio::time::sleep(life).await;
        drop(both);
        life *= 2;
    }
    let both = (env.start(), env.start());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (told, removed) = destroyed(&env).await;
    assert_eq!(told.len(), PEOPLE + 2, "the tenant's, Ana's and theirs");
    assert!(told.values().all(|times| *times == 1), "{told:?}");
    assert_eq!(removed.len(), 1);
    assert_eq!(env.contents.count(), 0);
    assert!(is_gone(&env.keyring, &KeyOwner::Tenant(tenant("acme"))).await);
    assert!(is_gone(&env.keyring, &person("p_ana")).await);
    let create = CreateTenant { tenant: tenant("acme"), timezone: "UTC".to_owned() };
    let refused = env.send_as(&env.desk.operator, "steward", create).await.unwrap_err();
    assert!(refused.to_string().contains("was erased, and its name stays taken"), "{refused}");
    drop(both);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_waits_keeps_its_keys() {
    let env = company().await;
    let config = Config { erasure_wait: Duration::from_hours(1), ..env.config() };
    let process = env.start_with(config, env.bus());
    ask_to_erase(&env).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(env.desk.asked("tenant.carry-out-erasure").await.is_empty());
    assert!(env.keyring.find(&person("p_ana")).await.is_ok());
    process.stop().await;
}
