use steward_events::event::{CachePolicy, ProviderKind, Rates};
use steward_events::quantity::{PicoDollarsPerToken, Tokens};

use super::*;

const NOW: Timestamp = Timestamp(1_000_000);

fn id<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

fn provider(name: &str) -> CatalogEvent {
    let url = format!("https://{name}.example.org/v1");
    CatalogEvent::ProviderSet { provider: id(name), kind: ProviderKind::Openai, url, key: None }
}

fn model(name: &str, context_max: u64, output_max: u64) -> CatalogEvent {
    let spec = ModelSpec::of(Tokens(context_max), Tokens(output_max));
    CatalogEvent::ModelSet { model: id(name), spec }
}

fn route(model: &str, provider: &str, upstream_model: &str) -> CatalogEvent {
    let target = Target::new(id(provider), upstream_model);
    let (policy, terms) = (RoutePolicy::Ordered, RouteTerms::default());
    CatalogEvent::RouteSet { model: id(model), targets: vec![target], policy, terms }
}

fn price(model: &str, pico: u64) -> CatalogEvent {
    let each = PicoDollarsPerToken(pico);
    let price = Rates { input: each, cached: each, output: each, ..Rates::default() };
    let (from, until, variants, source, target) = (Timestamp(0), None, vec![], None, None);
    CatalogEvent::PriceSet { model: id(model), from, until, price, variants, source, target }
}

/// The platform sells `big` from `paid`; `acme` has recorded `own`, whatever it may record.
fn catalogs(own: Vec<CatalogEvent>) -> Catalogs {
    let platform =
        vec![provider("paid"), model("big", 8_192, 1_024), route("big", "paid", "big-there"), price("big", 5)];
    let mut catalogs = Catalogs::default();
    for (tenant, events) in [("steward", platform), ("acme", own)] {
        let catalog = catalogs.tenants.entry(id(tenant)).or_default();
        for event in &events {
            catalog.apply(event, NOW);
        }
    }
    catalogs
}

fn offered(catalogs: &Catalogs, name: &str) -> Option<(u64, u64, String, u64, bool)> {
    let offer = catalogs.offer(&id("acme"), &id(name))?;
    let (target, provider) = offer.targets[0];
    let (_, price) = offer.price_at(target, NOW)?;
    let ModelSpec { context_max, output_max, .. } = offer.spec.clone();
    let there = format!("{} at {}", target.upstream_model, provider.url);
    Some((context_max.0, output_max.0, there, price.base.input.0, offer.of_platform))
}

fn of_platform(output_max: u64) -> (u64, u64, String, u64, bool) {
    (8_192, output_max, "big-there at https://paid.example.org/v1".to_owned(), 5, true)
}

/// What a tenant's log holds changes nothing of what the platform pays for, whoever let it be recorded.
#[test]
fn no_event_of_a_tenant_changes_what_the_platform_sells() {
    for own in [
        vec![],
        vec![price("big", 0)],
        vec![route("big", "paid", "dearest-there")],
        vec![route("big", "paid", "dearest-there"), price("big", 0)],
        vec![model("big", 1, 1_000_000)],
        vec![provider("paid")],
        vec![model("big", 8_192, 1_024), route("big", "paid", "dearest-there"), price("big", 0)],
    ] {
        assert_eq!(offered(&catalogs(own.clone()), "big"), Some(of_platform(1_024)), "{own:?}");
    }
    let gratis = catalogs(vec![model("gratis", 100, 10), route("gratis", "paid", "dear"), price("gratis", 0)]);
    assert_eq!(offered(&gratis, "gratis"), None);
    assert_eq!(gratis.models(&id("acme")), BTreeSet::from([&id("big")]));
}

#[test]
fn a_tenant_lowers_the_output_of_a_model_and_nothing_else() {
    let lowered = catalogs(vec![model("big", 1, 1)]);
    assert_eq!(offered(&lowered, "big"), Some(of_platform(1)));
}

#[test]
fn a_model_on_a_tenants_own_provider_is_its_own_wholly() {
    let own = vec![provider("mine"), model("big", 100, 10), route("big", "mine", "x")];
    let expected = |price| Some((100, 10, "x at https://mine.example.org/v1".to_owned(), price, false));
    assert_eq!(offered(&catalogs(own.clone()), "big"), None, "the platform's price is not its price");
    assert_eq!(offered(&catalogs([own, vec![price("big", 0)]].concat()), "big"), expected(0));
}

#[test]
fn a_tenants_own_word_on_kept_answers_counts_first() {
    let set =
        |ttl_s| CatalogEvent::CacheSet { model: id("big"), policy: CachePolicy { ttl_s, ..CachePolicy::default() } };
    let purged = || CatalogEvent::CachePurged { model: id("big") };
    let terms = |own: Vec<CatalogEvent>, above: Vec<CatalogEvent>| {
        let mut catalogs = catalogs(own);
        let platform = catalogs.tenants.get_mut(&id("steward")).unwrap();
        for event in &above {
            platform.apply(event, NOW);
        }
        catalogs.offer(&id("acme"), &id("big")).unwrap().cache
    };
    assert!(terms(vec![], vec![]).policy.is_off());
    assert_eq!(terms(vec![], vec![set(60)]).policy.ttl_s, 60);
    assert_eq!(terms(vec![set(0)], vec![set(60)]).policy.ttl_s, 0);
    assert_eq!(terms(vec![set(9)], vec![]).policy.ttl_s, 9);
    assert_eq!(terms(vec![purged()], vec![]).purged, [Some(NOW), None]);
    assert_eq!(terms(vec![], vec![purged()]).purged, [None, Some(NOW)]);
}
