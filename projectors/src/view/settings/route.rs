//! Where a call of a model would go, by the very function by which gateways choose. What a gateway alone knows, which
//! targets fail and how soon each answers, is not known here: the answer says so where it matters.

use steward_aggregates::catalog::{CallFacts, Course, LeftOut, Price, Standing};
use steward_events::BoxError;
use steward_events::event::{Rates, RoutePolicy, Target, TokenUsage};
use steward_events::id::TenantId;
use steward_events::quantity::NanoDollars;
use steward_events::rejection::Rejection;
use steward_events::shard::STEWARD_SHARD;
use steward_events::timestamp::Timestamp;
use steward_queries::{ExplainedTarget, RouteExplanation, RouteQuery};

use super::{SettingsRow, SettingsView, StoredModel, models};
use crate::engine::key::Key;
use crate::engine::read_model::{NoAnswer, Query};
use crate::engine::view_store::Snapshot;

mod notes;

impl SettingsView {
    pub(super) async fn route(&self, query: &Query<'_>) -> Result<RouteExplanation, NoAnswer> {
        let asked: RouteQuery = query.read()?;
        let key = |tenant: &TenantId| models(tenant).text(asked.model.as_str());
        let own = key(query.tenant());
        let own = self.rows.read(query.shard, asked.min_position, move |rows| routed(rows, &own)).await?;
        let is_inherited = own.is_none();
        let found = if is_inherited && !query.tenant().is_steward() {
            let of_platform = key(&TenantId::steward());
            self.rows.read(STEWARD_SHARD, None, move |rows| routed(rows, &of_platform)).await?
        } else {
            own
        };
        let found = found.ok_or_else(|| Rejection::not_found("route of the model", &asked.model))?;
        Ok(explained(&found, is_inherited, &asked, self.engine.ports.clock.now()))
    }
}

/// The model at this key, if it has a route.
fn routed(rows: &Snapshot<'_>, key: &Key) -> Result<Option<StoredModel>, BoxError> {
    Ok(match rows.get::<SettingsRow>(key)? {
        Some(SettingsRow::Model(stored)) if stored.is_routed() => Some(stored),
        _ => None,
    })
}

/// Every target: those to try in order, then those for refusals, then those that are left out.
fn explained(model: &StoredModel, inherited: bool, asked: &RouteQuery, now: Timestamp) -> RouteExplanation {
    let targets = model.targets.as_deref().unwrap_or_default();
    let costs: Vec<_> = targets.iter().map(|target| cost(model, target, asked, now)).collect();
    let facts = CallFacts { input: asked.input_tokens, tags: &asked.tags, ..CallFacts::default() };
    let standing = |cost: &Option<NanoDollars>| Standing { cost: *cost, ..Standing::default() };
    let mut course = Course::of(model.policy, targets.iter().zip(costs.iter().map(standing)), &facts);
    // Who is among a share of callers or calls is not known here.
    course.order.retain(|number| targets[*number].canary.is_none());
    let told = Told { policy: model.policy, targets, costs: &costs, order: &course.order };
    let tried = course.order.iter().enumerate().map(|(place, number)| {
        let place = u32::try_from(place + 1).ok();
        (*number, place, told.why(*number) + &bounds(&targets[*number]))
    });
    let after_refusal = course.after_refusal.iter().map(|number| {
        let on: Vec<&str> = targets[*number].on.iter().map(|reason| reason.as_str()).collect();
        (*number, None, format!("only after a refusal for {}", on.join(" or ")))
    });
    let is_for_it = |number: &usize| {
        let why = course.left_out.iter().find(|(left_out, _)| left_out == number);
        why.is_none_or(|(_, why)| matches!(why, LeftOut::Canary | LeftOut::Shadow))
    };
    let parts = (0..targets.len()).filter(is_for_it);
    let parts = parts.filter_map(|number| Some((number, None, share(&targets[number])?)));
    let left_out = course.left_out.iter().filter(|(_, why)| !matches!(why, LeftOut::Canary | LeftOut::Shadow));
    let left_out = left_out.map(|(number, why)| (*number, None, why.to_string()));
    let all = tried.chain(after_refusal).chain(parts).chain(left_out);
    let explained =
        all.map(|(number, place, reason)| ExplainedTarget { target: targets[number].clone(), place, reason });
    let notes = notes::of(model, inherited, now);
    RouteExplanation { policy: model.policy, inherited, targets: explained.collect(), notes }
}

/// Of whom or what it gets a part, if it gets only that.
fn share(target: &Target) -> Option<String> {
    let canary = target
        .canary
        .map(|share| format!("before all others for {share}% of callers, each key always or never{}", bounds(target)));
    canary.or_else(|| {
        target.shadow.map(|share| format!("once more, for nobody, after {share}% of answers, where a budget has room"))
    })
}

/// What the call costs at `target` if it writes all that it may, at the base rates of the price in force; none without one.
fn cost(model: &StoredModel, target: &Target, asked: &RouteQuery, now: Timestamp) -> Option<NanoDollars> {
    let most = model.spec.as_ref().map(|spec| spec.output_max).unwrap_or_default();
    let output = asked.output_tokens.map_or(most, |wanted| wanted.min(most));
    let usage = TokenUsage { input: asked.input_tokens, output, ..TokenUsage::default() };
    let id = target.id();
    let own = model.rates_at(Some(&id), now).or_else(|| model.rates_at(None, now));
    own.map(|rates: Rates| Price::from(rates).charge(&usage, now).cost)
}

/// What its provider takes a minute.
fn bounds(target: &Target) -> String {
    let rpm = target.rpm.map(|rpm| format!("{rpm} requests"));
    let tpm = target.tpm.map(|tpm| format!("{tpm} tokens"));
    let both: Vec<String> = [rpm, tpm].into_iter().flatten().collect();
    if both.is_empty() { String::new() } else { format!("; it is passed over beyond {} a minute", both.join(" or ")) }
}

/// A course, as far as it is told.
struct Told<'a> {
    policy: RoutePolicy,
    targets: &'a [Target],
    costs: &'a [Option<NanoDollars>],
    order: &'a [usize],
}

impl Told<'_> {
    /// Why a target stands where it does.
    fn why(&self, number: usize) -> String {
        let target = &self.targets[number];
        let peers = self.order.iter().map(|number| &self.targets[*number]);
        let peers = peers.filter(|peer| peer.priority == target.priority);
        let (count, weights) = peers.fold((0, 0_u64), |(count, sum), peer| (count + 1, sum + u64::from(peer.weight)));
        let among = format!("of priority {}", target.priority);
        if count == 1 {
            return format!("the only one {among}");
        }
        match self.policy {
            RoutePolicy::Ordered => format!("place {} in the route, {among}", number + 1),
            RoutePolicy::Weighted => format!("first by lot in {} of {weights} calls, {among}", target.weight),
            RoutePolicy::LeastLatency => format!("as soon as it answers, which each gateway measures, {among}"),
            RoutePolicy::LeastCost => {
                let cost = self.costs[number].unwrap_or_default();
                format!("by its cost, {cost} if the call writes all that it may, {among}")
            }
            RoutePolicy::Sticky => format!("first of {} in {weights} callers and beginnings, {among}", target.weight),
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_events::event::{HedgeAfter, ModelSpec, RouteTerms};
    use steward_events::quantity::{PicoDollarsPerToken, Tokens};

    use super::super::ModelPrice;
    use super::*;

    fn asked(tags: &[&str], input: u64) -> RouteQuery {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let model = "small".parse().unwrap();
        RouteQuery { model, tags, input_tokens: Tokens(input), output_tokens: None, min_position: None }
    }

    fn model(policy: RoutePolicy, targets: &[&str]) -> StoredModel {
        StoredModel {
            model: "small".parse().unwrap(),
            spec: Some(ModelSpec::of(Tokens(8_192), Tokens(100))),
            targets: Some(targets.iter().map(|text| text.parse().unwrap()).collect()),
            policy,
            terms: RouteTerms::default(),
            prices: vec![price(None, 1)],
            cache: None,
            prompt: None,
        }
    }

    fn price(target: Option<&str>, pico: u64) -> ModelPrice {
        let each = PicoDollarsPerToken(pico * 1_000_000);
        let rates = Rates { input: each, cached: each, output: each, ..Rates::default() };
        ModelPrice { from: Timestamp(0), until: None, rates, target: target.map(|text| text.parse().unwrap()) }
    }

    const NOW: Timestamp = Timestamp(1_000);

    #[test]
    fn every_target_is_told_with_its_place_and_why() {
        let texts = ["a/x weight=9", "b/x input_max=100", "c/x on=context_length", "d/x priority=1", "e/x tags=eu"];
        let told = explained(&model(RoutePolicy::Ordered, &texts), true, &asked(&[], 100), NOW);
        let places: Vec<_> = told.targets.iter().map(|row| (row.target.provider.as_str(), row.place)).collect();
        assert_eq!(places, [("a", Some(1)), ("b", Some(2)), ("d", Some(3)), ("c", None), ("e", None)]);
        assert_eq!(told.targets[2].reason, "the only one of priority 1");
        let told = explained(&model(RoutePolicy::Weighted, &texts), true, &asked(&["eu"], 101), NOW);
        let by_lot = told.targets.iter().find(|row| row.target.provider.as_str() == "a").unwrap();
        assert_eq!(by_lot.reason, "first by lot in 9 of 10 calls, of priority 0");
        let left_out = told.targets.last().unwrap();
        assert_eq!((left_out.target.provider.as_str(), left_out.place), ("b", None));
    }

    #[test]
    fn the_cheapest_target_is_told_first_with_its_cost() {
        let mut model = model(RoutePolicy::LeastCost, &["a/x rpm=60 tpm=1000", "b/x", "c/x"]);
        model.prices.extend([price(Some("b/x"), 3), price(Some("c/x"), 0)]);
        let told = explained(&model, false, &asked(&[], 100), NOW);
        let order: Vec<_> = told.targets.iter().map(|row| row.target.provider.as_str()).collect();
        assert_eq!(order, ["c", "a", "b"]);
        let reason = "by its cost, $0.0002 if the call writes all that it may, of priority 0; it is passed over beyond \
                      60 requests or 1000 tokens a minute";
        assert_eq!(told.targets[1].reason, reason);
        assert!(told.notes.is_empty(), "{:?}", told.notes);
        model.prices.remove(0);
        let told = explained(&model, false, &asked(&[], 100), NOW);
        assert!(told.targets[2].place.is_none() && told.targets[2].reason.contains("no price"), "{told:?}");
    }

    #[test]
    fn shares_and_terms_are_told() {
        let mut model =
            model(RoutePolicy::Ordered, &["a/x canary=5%", "b/x", "c/x shadow=10%", "d/x tags=eu canary=9%"]);
        model.terms.hedge_after = Some(HedgeAfter::P95);
        let told = explained(&model, false, &asked(&[], 100), NOW);
        let order: Vec<_> = told.targets.iter().map(|row| (row.target.provider.as_str(), row.place)).collect();
        assert_eq!(order, [("b", Some(1)), ("a", None), ("c", None), ("d", None)]);
        assert!(told.targets[1].reason.contains("5% of callers"), "{told:?}");
        assert!(told.targets[2].reason.contains("10% of answers"), "{told:?}");
        assert!(told.targets[3].reason.contains("tags"), "{told:?}");
        assert!(told.notes[0].contains("p95"), "{told:?}");
    }
}
