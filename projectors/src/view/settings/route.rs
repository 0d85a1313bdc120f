//! Where a call of a model would go, by the very function by which gateways choose. What a gateway alone knows, which
//! targets fail and how soon each answers, is not known here: the answer says so where it matters.

use steward_aggregates::catalog::{CallFacts, Course, Standing};
use steward_events::BoxError;
use steward_events::event::{RoutePolicy, Target};
use steward_events::id::TenantId;
use steward_events::query::{ExplainedTarget, RouteExplanation, RouteQuery};
use steward_events::rejection::Rejection;
use steward_events::shard::STEWARD_SHARD;

use super::{SettingsRow, SettingsView, StoredModel, models};
use crate::engine::key::Key;
use crate::engine::read_model::{NoAnswer, Query};
use crate::engine::view_store::Snapshot;

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
        let StoredModel { targets, policy, .. } =
            found.ok_or_else(|| Rejection::not_found("route of the model", &asked.model))?;
        Ok(explained(policy, &targets.unwrap_or_default(), is_inherited, &asked))
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
fn explained(policy: RoutePolicy, targets: &[Target], inherited: bool, asked: &RouteQuery) -> RouteExplanation {
    let facts = CallFacts { input: asked.input_tokens, tags: &asked.tags, ..CallFacts::default() };
    let standings = targets.iter().map(|target| (target, Standing::default()));
    let course = Course::of(policy, standings, &facts);
    let tried = course.order.iter().enumerate().map(|(place, number)| {
        let reason = why(policy, targets, &course.order, *number);
        (*number, u32::try_from(place + 1).ok(), reason)
    });
    let after_refusal = course.after_refusal.iter().map(|number| {
        let on: Vec<&str> = targets[*number].on.iter().map(|reason| reason.as_str()).collect();
        (*number, None, format!("only after a refusal for {}", on.join(" or ")))
    });
    let left_out = course.left_out.iter().map(|(number, why)| (*number, None, why.to_string()));
    let all = tried.chain(after_refusal).chain(left_out);
    let explained =
        all.map(|(number, place, reason)| ExplainedTarget { target: targets[number].clone(), place, reason });
    RouteExplanation { policy, inherited, targets: explained.collect() }
}

/// Why a target stands where it does.
fn why(policy: RoutePolicy, targets: &[Target], order: &[usize], number: usize) -> String {
    let target = &targets[number];
    let peers = order.iter().map(|number| &targets[*number]).filter(|peer| peer.priority == target.priority);
    let (count, weights) = peers.fold((0, 0_u64), |(count, sum), peer| (count + 1, sum + u64::from(peer.weight)));
    let among = format!("of priority {}", target.priority);
    if count == 1 {
        return format!("the only one {among}");
    }
    match policy {
        RoutePolicy::Ordered => format!("place {} in the route, {among}", number + 1),
        RoutePolicy::Weighted => format!("first by lot in {} of {weights} calls, {among}", target.weight),
        RoutePolicy::LeastLatency => format!("as soon as it answers, which each gateway measures, {among}"),
        RoutePolicy::Sticky => format!("first of {} in {weights} callers and beginnings, {among}", target.weight),
    }
}

#[cfg(test)]
mod tests {
    use steward_events::quantity::Tokens;

    use super::*;

    fn asked(tags: &[&str], input: u64) -> RouteQuery {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        RouteQuery { model: "small".parse().unwrap(), tags, input_tokens: Tokens(input), min_position: None }
    }

    #[test]
    fn every_target_is_told_with_its_place_and_why() {
        let texts = ["a/x weight=9", "b/x input_max=100", "c/x on=context_length", "d/x priority=1", "e/x tags=eu"];
        let targets: Vec<Target> = texts.iter().map(|text| text.parse().unwrap()).collect();
        let told = explained(RoutePolicy::Ordered, &targets, true, &asked(&[], 100));
        let places: Vec<_> = told.targets.iter().map(|row| (row.target.provider.as_str(), row.place)).collect();
        assert_eq!(places, [("a", Some(1)), ("b", Some(2)), ("d", Some(3)), ("c", None), ("e", None)]);
        assert_eq!(told.targets[2].reason, "the only one of priority 1");
        let told = explained(RoutePolicy::Weighted, &targets, true, &asked(&["eu"], 101));
        let by_lot = told.targets.iter().find(|row| row.target.provider.as_str() == "a").unwrap();
        assert_eq!(by_lot.reason, "first by lot in 9 of 10 calls, of priority 0");
        let left_out = told.targets.last().unwrap();
        assert_eq!((left_out.target.provider.as_str(), left_out.place), ("b", None));
    }
}
