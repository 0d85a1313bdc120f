use steward_events::event::{Hours, RoutePolicy, Target};
use steward_events::id::TenantId;

use super::*;
use crate::spec::{given, stamp};

mod secrets;

const NOW: Timestamp = Timestamp(1_000_000);

fn model() -> ModelId {
    "small".parse().unwrap()
}

fn price(input: u64) -> Rates {
    let each = PicoDollarsPerToken(input);
    Rates { input: each, cached: each, output: each, ..Rates::default() }
}

fn priced(from: u64, until: Option<u64>, input: u64) -> CatalogEvent {
    let (from, until) = (Timestamp(from), until.map(Timestamp));
    CatalogEvent::PriceSet { model: model(), from, until, price: price(input), variants: vec![], source: None }
}

fn price_set(from: u64, input: u64) -> CatalogEvent {
    priced(from, None, input)
}

fn set_price(from: Option<u64>, input: u64) -> CatalogCommand {
    CatalogCommand::SetPrice(from_on(from, input))
}

fn from_on(from: Option<u64>, input: u64) -> SetPrice {
    let from = from.map(Timestamp);
    SetPrice { model: model(), from, until: None, price: price(input), variants: vec![], source: None }
}

fn provider(key: Option<&str>) -> SetProvider {
    SetProvider {
        provider: "local".parse().unwrap(),
        kind: ProviderKind::Openai,
        url: "http://127.0.0.1:9090/v1".to_owned(),
        key: key.map(ToOwned::to_owned),
    }
}

/// In the tenant `steward`, whose models need no route to have a price.
fn in_steward(events: impl IntoIterator<Item = CatalogEvent>) -> crate::spec::Given<Catalog> {
    given::<Catalog>(events).of(TenantId::steward())
}

fn steward() -> Stamp {
    Stamp { tenant: TenantId::steward(), ..stamp() }
}

#[test]
fn a_price_without_a_start_begins_now() {
    in_steward([]).when(set_price(None, 5)).then([price_set(NOW.0, 5)]);
    in_steward([price_set(1, 5)]).when(set_price(None, 5)).then([]);
    in_steward([price_set(1, 5)]).when(set_price(None, 6)).then([price_set(NOW.0, 6)]);
}

#[test]
fn only_the_first_price_may_begin_in_the_past() {
    in_steward([]).when(set_price(Some(10), 5)).then([price_set(10, 5)]);
    let refused = Rejection::invalid(
        "from",
        "1970-01-01T00:00:00.00002Z is in the past, and small already had a price then; a price must begin now or later",
    );
    in_steward([price_set(10, 5)]).when(set_price(Some(20), 6)).then_rejected(&refused);
    in_steward([price_set(10, 5)]).when(set_price(Some(10), 5)).then([]);
    in_steward([price_set(10, 5)]).when(set_price(Some(2_000_000), 6)).then([price_set(2_000_000, 6)]);
}

#[test]
fn a_price_has_a_bound() {
    in_steward([])
        .when(set_price(None, PRICE_MAX.0 + 1))
        .then_rejected(&Rejection::invalid("price", "must be at most one dollar a token"));
}

#[test]
fn the_price_in_force_is_the_latest_that_has_begun() {
    let mut catalog = Catalog::default();
    for event in [price_set(10, 1), price_set(20, 2)] {
        catalog.apply(&event, NOW);
    }
    assert_eq!(catalog.price_at(&model(), Timestamp(9)), None);
    assert_eq!(catalog.price_at(&model(), Timestamp(19)).unwrap().1.base, price(1));
    assert_eq!(catalog.price_at(&model(), Timestamp(20)).unwrap().0.from, Timestamp(20));
}

#[test]
fn a_price_that_has_ended_leaves_none_until_another_begins() {
    let mut catalog = Catalog::default();
    for event in [price_set(10, 1), priced(20, Some(30), 2), price_set(40, 3)] {
        catalog.apply(&event, NOW);
    }
    let at = |at| catalog.price_at(&model(), Timestamp(at)).map(|(_, price)| price.base);
    assert_eq!([at(19), at(20), at(29)], [Some(price(1)), Some(price(2)), Some(price(2))]);
    assert_eq!([at(30), at(39), at(40)], [None, None, Some(price(3))], "a call is not free, it has no price");
}

#[test]
fn a_price_may_begin_in_a_past_without_price() {
    let ended = || in_steward([price_set(5, 4), priced(10, Some(20), 5)]);
    ended().when(set_price(Some(20), 6)).then([price_set(20, 6)]);
    let refused = Rejection::invalid(
        "from",
        "1970-01-01T00:00:00.000019Z is in the past, and small already had a price then; a price must begin now or later",
    );
    ended().when(set_price(Some(19), 6)).then_rejected(&refused);
    let refused = Rejection::invalid("until", "is not after the price's beginning");
    let never = SetPrice { until: Some(NOW), ..from_on(None, 5) };
    in_steward([]).when(CatalogCommand::SetPrice(never)).then_rejected(&refused);
}

#[test]
fn a_price_with_all_fields_is_recorded_whole() {
    let tier = PriceVariant { context_above: Some(Tokens(272_000)), tier: None, hours: vec![], rates: price(10) };
    let set = SetPrice {
        until: Some(Timestamp(3_000_000)),
        variants: vec![tier],
        source: Some("the provider's page of 2026-11-01".to_owned()),
        ..from_on(Some(2_000_000), 5)
    };
    let SetPrice { model, until, price, variants, source, .. } = set.clone();
    let event = CatalogEvent::PriceSet { model, from: Timestamp(2_000_000), until, price, variants, source };
    in_steward([]).when(CatalogCommand::SetPrice(set.clone())).then([event.clone()]);
    in_steward([event]).when(CatalogCommand::SetPrice(set)).then([]);
}

#[test]
fn a_variant_says_when_it_applies_and_is_bounded() {
    let always = PriceVariant { context_above: None, tier: None, hours: vec![], rates: price(1) };
    let hours = |from: &str, to: &str| Hours { days: vec![], from: from.parse().unwrap(), to: to.parse().unwrap() };
    let refused = |variants: Vec<PriceVariant>, field: &str, reason: &str| {
        let set = CatalogCommand::SetPrice(SetPrice { variants, ..from_on(None, 5) });
        in_steward([]).when(set).then_rejected(&Rejection::invalid(field, reason));
    };
    refused(vec![always.clone()], "variants", "one says of no call that it applies");
    let dear = PriceVariant { context_above: Some(Tokens(1)), rates: price(PRICE_MAX.0 + 1), ..always.clone() };
    refused(vec![dear.clone()], "variants.rates", "must be at most one dollar a token");
    let some = PriceVariant { rates: price(1), ..dear };
    refused(vec![some; VARIANTS_MAX + 1], "variants", "would have 33 entries; at most 32 are allowed");
    let over_midnight = PriceVariant { hours: vec![hours("23:00", "01:00")], ..always.clone() };
    refused(vec![over_midnight], "variants.hours", "end before they begin; write one span for each day");
    let many = PriceVariant { hours: vec![hours("01:00", "02:00"); HOURS_MAX + 1], ..always };
    refused(vec![many], "variants.hours", "would have 15 entries; at most 14 are allowed");
}

#[test]
fn the_price_of_image_search_or_call_is_bounded() {
    for dear in [
        Rates { image: Some(NanoDollars(UNIT_PRICE_MAX.0 + 1)), ..price(1) },
        Rates { search: Some(NanoDollars(UNIT_PRICE_MAX.0 + 1)), ..price(1) },
        Rates { call: Some(NanoDollars(UNIT_PRICE_MAX.0 + 1)), ..price(1) },
    ] {
        let set = CatalogCommand::SetPrice(SetPrice { price: dear, ..from_on(None, 5) });
        let refused = Rejection::invalid("price", "a price of one image, search or call is at most $1000.00");
        in_steward([]).when(set).then_rejected(&refused);
    }
}

#[test]
fn only_steward_refers_to_surroundings_of_the_gateway() {
    let refused = Rejection::invalid(
        "key",
        "only providers of the tenant steward may refer to env: and file:; write secret:NAME, after steward secret set NAME",
    );
    for reference in ["env:LOCAL_KEY", "file:/run/secrets/key"] {
        let set = || CatalogCommand::SetProvider(provider(Some(reference)));
        given::<Catalog>([]).when(set()).then_rejected(&refused);
        assert_eq!(Catalog::default().decide(&set(), &steward()).unwrap().len(), 1);
    }
}

#[test]
fn a_provider_set_again_changes_nothing() {
    let SetProvider { provider: id, kind, url, key } = provider(None);
    let set = CatalogEvent::ProviderSet { provider: id, kind, url, key };
    given::<Catalog>([set]).when(CatalogCommand::SetProvider(provider(None))).then([]);
}

#[test]
fn a_model_has_room_for_its_output() {
    let spec = |context, output| ModelSpec::of(Tokens(context), Tokens(output));
    let set = |spec| CatalogCommand::SetModel(SetModel { model: model(), spec });
    let fits = CatalogEvent::ModelSet { model: model(), spec: spec(100, 100) };
    given::<Catalog>([]).when(set(spec(100, 100))).then([fits.clone()]);
    given::<Catalog>([fits]).when(set(spec(100, 100))).then([]);
    let refused = Rejection::invalid("spec.output_max", "must be at least 1 and at most context_max");
    for wrong in [spec(100, 101), spec(100, 0)] {
        given::<Catalog>([]).when(set(wrong)).then_rejected(&refused);
    }
    let refused = Rejection::invalid("spec.context_max", "must be at most 100000000");
    given::<Catalog>([]).when(set(spec(CONTEXT_MAX.0 + 1, 1))).then_rejected(&refused);
}

fn routed_by(targets: Vec<Target>, policy: RoutePolicy) -> CatalogCommand {
    CatalogCommand::SetRoute(SetRoute { model: model(), targets, policy })
}

#[test]
fn a_route_with_another_policy_is_another_route() {
    let (provider, model_set, plain) = own();
    let weighted = Target { weight: 9, ..plain.clone() };
    let set = |targets: &[Target], policy| CatalogEvent::RouteSet { model: model(), targets: targets.to_vec(), policy };
    let had = set(std::slice::from_ref(&plain), RoutePolicy::Ordered);
    let given = || given::<Catalog>([provider.clone(), model_set.clone(), had.clone()]);
    given().when(routed_by(vec![plain.clone()], RoutePolicy::Ordered)).then([]);
    for (targets, policy) in [([plain], RoutePolicy::Sticky), ([weighted], RoutePolicy::Ordered)] {
        given().when(routed_by(targets.to_vec(), policy)).then([set(&targets, policy)]);
    }
}

#[test]
fn a_target_that_can_not_be_meant_is_refused() {
    let (provider, model_set, plain) = own();
    let none = Target { weight: 0, ..plain };
    let reason = "must be from 1 to 1000; leave out a target that is to get no calls";
    let refused = Rejection::invalid("targets.weight", reason);
    given::<Catalog>([provider, model_set]).when(routed_by(vec![none], RoutePolicy::Weighted)).then_rejected(&refused);
}

#[test]
fn a_default_route_leads_somewhere() {
    let target = Target::new("local".parse().unwrap(), "smollm2");
    let route = |targets| routed_by(targets, RoutePolicy::Ordered);
    let nowhere = Rejection::invalid("targets", "must name at least one target");
    given::<Catalog>([]).when(route(vec![])).then_rejected(&nowhere);
    let many = Rejection::invalid("targets", "would have 9 entries; at most 8 are allowed");
    given::<Catalog>([]).when(route(vec![target.clone(); TARGETS_MAX + 1])).then_rejected(&many);
    let in_steward = Catalog::default().decide(&route(vec![target]), &steward());
    assert_eq!(in_steward, Err(Rejection::not_found("provider", &"local")));
}

/// The tenant's own provider, its model, and a target there.
fn own() -> (CatalogEvent, CatalogEvent, Target) {
    let SetProvider { provider, kind, url, key } = provider(None);
    let target = Target::new(provider.clone(), "smollm2");
    let spec = ModelSpec::of(Tokens(100), Tokens(10));
    (CatalogEvent::ProviderSet { provider, kind, url, key }, CatalogEvent::ModelSet { model: model(), spec }, target)
}

#[test]
fn a_tenant_routes_to_its_own_providers_only() {
    let (provider, model_set, target) = own();
    let foreign = Target::new("platforms".parse().unwrap(), "dear");
    let route = |targets| routed_by(targets, RoutePolicy::Ordered);
    let routed = CatalogEvent::RouteSet { model: model(), targets: vec![target.clone()], policy: RoutePolicy::Ordered };
    given::<Catalog>([provider.clone(), model_set.clone()]).when(route(vec![target.clone()])).then([routed]);
    for (given, targets) in [
        (vec![provider.clone(), model_set.clone()], vec![foreign.clone()]),
        (vec![provider.clone(), model_set], vec![target.clone(), foreign]),
        // A model of the platform, which is not said to be the tenant's own.
        (vec![provider], vec![target]),
    ] {
        let mut catalog = Catalog::default();
        for event in &given {
            catalog.apply(event, NOW);
        }
        let refused = catalog.decide(&route(targets), &stamp()).unwrap_err();
        assert_eq!(refused.code(), "forbidden", "{refused}");
        let Rejection::Forbidden { would_allow, .. } = refused else { unreachable!() };
        assert!(would_allow.contains("operator") && would_allow.contains("--tenant acme"), "{would_allow}");
    }
}

#[test]
fn a_tenant_prices_only_what_goes_to_its_own_providers() {
    let (provider, model_set, target) = own();
    let routed = CatalogEvent::RouteSet { model: model(), targets: vec![target], policy: RoutePolicy::Ordered };
    for given in [vec![], vec![provider.clone()], vec![provider.clone(), model_set.clone()]] {
        let mut catalog = Catalog::default();
        for event in &given {
            catalog.apply(event, NOW);
        }
        let refused = catalog.decide(&set_price(None, 0), &stamp()).unwrap_err();
        assert_eq!(refused.code(), "forbidden", "{refused}");
    }
    given::<Catalog>([provider, model_set, routed]).when(set_price(None, 0)).then([price_set(NOW.0, 0)]);
}
