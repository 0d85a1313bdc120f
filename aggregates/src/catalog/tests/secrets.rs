//! Secrets: what is recorded of them, and who may use and remove them.

use steward_events::command::{MakeSecret, RemoveSecret, SetSecret};
use steward_events::id::SecretId;
use steward_events::provider_key::SecretValue;
use steward_events::sealed::{Content, DataKey, KeyOwner, Sealed};

use super::*;

fn openai() -> SecretId {
    "openai".parse().unwrap()
}

fn sealed(value: &str) -> Sealed<SecretValue> {
    let owner = KeyOwner::Tenant("acme".parse().unwrap());
    Sealed::seal(&value.parse().unwrap(), owner, &DataKey::from_bytes([7; 32]), "secret/openai").unwrap()
}

fn set(value: &str) -> SetSecret {
    SetSecret { secret: openai(), value: Content::Sealed(sealed(value)) }
}

fn is_set(value: &str) -> CatalogEvent {
    CatalogEvent::SecretSet { secret: openai(), value: sealed(value) }
}

fn removed() -> CatalogEvent {
    CatalogEvent::SecretRemoved { secret: openai() }
}

fn provider_is_set(key: Option<&str>) -> CatalogEvent {
    let SetProvider { provider, kind, url, key } = provider(key);
    CatalogEvent::ProviderSet { provider, kind, url, key }
}

#[test]
fn a_secret_is_recorded_sealed_and_once() {
    given::<Catalog>([]).when(set("sk-1")).then([is_set("sk-1")]);
    given::<Catalog>([is_set("sk-1")]).when(set("sk-1")).then([]);
    given::<Catalog>([is_set("sk-1")]).when(set("sk-2")).then([is_set("sk-2")]);
    given::<Catalog>([is_set("sk-1"), removed()]).when(set("sk-1")).then([is_set("sk-1")]);
}

#[test]
fn a_secret_of_stewards_own_is_made_once_and_used_by_nobody_else() {
    let own = SecretId::contents_key();
    let is_set = |value| CatalogEvent::SecretSet { secret: SecretId::contents_key(), value: sealed(value) };
    let make = |value| MakeSecret { secret: SecretId::contents_key(), value: Content::Sealed(sealed(value)) };
    given::<Catalog>([]).when(make("one")).then([is_set("one")]);
    given::<Catalog>([is_set("one")]).when(make("another")).then([]);
    let another = MakeSecret { secret: openai(), ..make("one") };
    given::<Catalog>([]).when(another).then_rejected(&Rejection::invalid("secret", "does not begin with sys_"));
    let reserved =
        Rejection::invalid("secret", "names that begin with sys_ are of Steward's own secrets: choose another");
    let set = SetSecret { secret: own.clone(), ..set("mine") };
    given::<Catalog>([is_set("one")]).when(set).then_rejected(&reserved);
    given::<Catalog>([is_set("one")]).when(RemoveSecret { secret: own }).then_rejected(&reserved);
    // It would be sent wherever the tenant likes.
    let uses = CatalogCommand::SetProvider(provider(Some("secret:sys_contents")));
    given::<Catalog>([is_set("one")]).when(uses).then_rejected(&reserved);
}

#[test]
fn a_plain_secret_is_refused_without_being_repeated() {
    let plain = SetSecret { secret: openai(), value: Content::Plain("sk-marker".parse().unwrap()) };
    assert!(!format!("{plain:?}").contains("marker"));
    given::<Catalog>([]).when(plain).then_rejected(&Rejection::invalid("value", "was not sealed"));
}

#[test]
fn a_provider_uses_a_secret_of_its_own_catalog() {
    let with_secret = || CatalogCommand::SetProvider(provider(Some("secret:openai")));
    given::<Catalog>([is_set("sk-1")]).when(with_secret()).then([provider_is_set(Some("secret:openai"))]);
    let refused = Rejection::invalid("key", "there is no such secret: set it first, with steward secret set");
    given::<Catalog>([]).when(with_secret()).then_rejected(&refused);
    given::<Catalog>([is_set("sk-1"), removed()]).when(with_secret()).then_rejected(&refused);
    in_steward([]).when(with_secret()).then_rejected(&refused);
}

#[test]
fn a_secret_that_a_provider_uses_stays() {
    let remove = || CatalogCommand::RemoveSecret(RemoveSecret { secret: openai() });
    let used = provider_is_set(Some("secret:openai"));
    let refused = Rejection::invalid("secret", "the provider local uses it: set that provider without it first");
    given::<Catalog>([is_set("sk-1"), used.clone()]).when(remove()).then_rejected(&refused);
    given::<Catalog>([is_set("sk-1"), used, provider_is_set(None)]).when(remove()).then([removed()]);
    let unknown = Rejection::not_found("secret", &openai());
    given::<Catalog>([]).when(remove()).then_rejected(&unknown);
    given::<Catalog>([is_set("sk-1"), removed()]).when(remove()).then_rejected(&unknown);
}

#[test]
fn secrets_are_bounded_and_can_be_replaced_at_the_bound() {
    let mut full: Vec<CatalogEvent> = (1..SECRETS_MAX)
        .map(|number| CatalogEvent::SecretSet { secret: format!("s{number}").parse().unwrap(), value: sealed("sk-1") })
        .collect();
    given::<Catalog>(full.clone()).when(set("sk-1")).then([is_set("sk-1")]);
    full.push(is_set("sk-1"));
    given::<Catalog>(full.clone()).when(set("sk-2")).then([is_set("sk-2")]);
    let another = SetSecret { secret: "another".parse().unwrap(), ..set("sk-1") };
    let refused = Rejection::invalid("secrets", "would have 1001 entries; at most 1000 are allowed");
    given::<Catalog>(full).when(another).then_rejected(&refused);
}
