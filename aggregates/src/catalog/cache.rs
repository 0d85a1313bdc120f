//! Whether answers of models are given more than once, and since when those that are kept count.

use std::collections::BTreeMap;

use steward_events::command::{PurgeCache, SetCache};
use steward_events::event::{CachePolicy, CatalogEvent, Similar, Similarity};
use steward_events::id::ModelId;
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;

use super::ITEMS_MAX;
use crate::limit;

/// The longest that an answer is kept, in seconds: a day.
pub const TTL_MAX_S: u32 = 86_400;

/// What one catalog says of kept answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Caches {
    policies: BTreeMap<ModelId, CachePolicy>,
    purged: BTreeMap<ModelId, Timestamp>,
}

/// What holds for the kept answers of a model, for one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CacheTerms {
    /// Whether and how long.
    pub policy: CachePolicy,
    /// When the tenant, and the operators, said that what was kept until then is not given any more. Each by their own
    /// clock: two purges that are later than all before differ in both.
    pub purged: [Option<Timestamp>; 2],
}

/// Further apart, questions are often others.
const SIMILARITY_MIN: f64 = 0.8;

fn check_similar(similar: &Similar, set: &SetCache) -> Result<(), Rejection> {
    if set.ttl_s == 0 {
        return Err(Rejection::invalid("similar", "needs ttl_s: only what is kept can be given to another question"));
    }
    if similar.model == set.model {
        return Err(Rejection::invalid("similar.model", "must be another model, one that makes embeddings"));
    }
    if similar.threshold < Similarity::of(SIMILARITY_MIN) {
        return Err(Rejection::invalid("similar.threshold", format!("must be at least {SIMILARITY_MIN}")));
    }
    Ok(())
}

impl Caches {
    pub(super) fn set(&self, set: &SetCache) -> Result<Vec<CatalogEvent>, Rejection> {
        let (model, policy) = (set.model.clone(), set.policy());
        if policy.ttl_s > TTL_MAX_S {
            return Err(Rejection::invalid("ttl_s", format!("must be at most {TTL_MAX_S}, a day")));
        }
        if policy.shared && policy.ttl_s == 0 {
            return Err(Rejection::invalid("shared", "needs ttl_s: only what is kept can be given by other gateways"));
        }
        if let Some(similar) = &policy.similar {
            check_similar(similar, set)?;
        }
        if self.policies.get(&model) == Some(&policy) {
            return Ok(vec![]);
        }
        limit::count("caches", self.policies.len() + 1, ITEMS_MAX)?;
        Ok(vec![CatalogEvent::CacheSet { model, policy }])
    }

    pub(super) fn purge(&self, PurgeCache { model }: &PurgeCache) -> Result<Vec<CatalogEvent>, Rejection> {
        limit::count("purges", self.purged.len() + 1, ITEMS_MAX)?;
        Ok(vec![CatalogEvent::CachePurged { model: model.clone() }])
    }

    pub(super) fn was_set(&mut self, model: ModelId, policy: CachePolicy) {
        self.policies.insert(model, policy);
    }

    pub(super) fn was_purged(&mut self, model: ModelId, at: Timestamp) {
        self.purged.insert(model, at);
    }

    /// What holds by `own`, the tenant's catalog, and `above`, the platform's if the model is the platform's.
    pub(super) fn terms(own: Option<&Self>, above: Option<&Self>, model: &ModelId) -> CacheTerms {
        let policy = |of: Option<&Self>| of.and_then(|of| of.policies.get(model)).cloned();
        let purged = |of: Option<&Self>| of.and_then(|of| of.purged.get(model)).copied();
        CacheTerms {
            policy: policy(own).or_else(|| policy(above)).unwrap_or_default(),
            purged: [purged(own), purged(above)],
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_events::command::CatalogCommand;

    use steward_events::event::{Coalesce, SimilarMode};

    use super::super::Catalog;
    use super::*;
    use crate::spec::given;

    fn model() -> ModelId {
        "small".parse().unwrap()
    }

    fn set(ttl_s: u32, coalesce: Coalesce) -> CatalogCommand {
        CatalogCommand::SetCache(SetCache { model: model(), ttl_s, coalesce, shared: false, similar: None })
    }

    fn was_set(ttl_s: u32, coalesce: Coalesce) -> CatalogEvent {
        CatalogEvent::CacheSet { model: model(), policy: CachePolicy { ttl_s, coalesce, ..CachePolicy::default() } }
    }

    #[test]
    fn a_policy_is_recorded_when_it_changes() {
        given::<Catalog>([]).when(set(600, Coalesce::First)).then([was_set(600, Coalesce::First)]);
        given::<Catalog>([was_set(600, Coalesce::First)]).when(set(600, Coalesce::First)).then([]);
        given::<Catalog>([was_set(600, Coalesce::First)])
            .when(set(600, Coalesce::Even))
            .then([was_set(600, Coalesce::Even)]);
        given::<Catalog>([was_set(600, Coalesce::First)]).when(set(0, Coalesce::Off)).then([was_set(0, Coalesce::Off)]);
    }

    #[test]
    fn an_answer_is_kept_for_a_day_at_most() {
        given::<Catalog>([]).when(set(TTL_MAX_S, Coalesce::Off)).then([was_set(TTL_MAX_S, Coalesce::Off)]);
        let refused = Rejection::invalid("ttl_s", "must be at most 86400, a day");
        given::<Catalog>([]).when(set(TTL_MAX_S + 1, Coalesce::Off)).then_rejected(&refused);
    }

    #[test]
    fn only_what_is_kept_is_shared() {
        let shared = |ttl_s| SetCache { model: model(), ttl_s, coalesce: Coalesce::First, shared: true, similar: None };
        let policy = CachePolicy { ttl_s: 1, coalesce: Coalesce::First, shared: true, similar: None };
        let set = |ttl_s| CatalogCommand::SetCache(shared(ttl_s));
        given::<Catalog>([]).when(set(1)).then([CatalogEvent::CacheSet { model: model(), policy }]);
        let refused = Rejection::invalid("shared", "needs ttl_s: only what is kept can be given by other gateways");
        given::<Catalog>([]).when(set(0)).then_rejected(&refused);
    }

    #[test]
    fn what_is_similar_is_near_and_measured_by_another_model() {
        let set = |ttl_s, embeddings: &str, threshold| {
            let similar = Similar {
                model: embeddings.parse().unwrap(),
                threshold: Similarity::of(threshold),
                mode: SimilarMode::Shadow,
            };
            CatalogCommand::SetCache(SetCache {
                model: model(),
                ttl_s,
                coalesce: Coalesce::Off,
                shared: false,
                similar: Some(similar),
            })
        };
        let CatalogCommand::SetCache(good) = set(60, "embed", 0.8) else { panic!("another command") };
        given::<Catalog>([])
            .when(set(60, "embed", 0.8))
            .then([CatalogEvent::CacheSet { model: model(), policy: good.policy() }]);
        for (command, field, why) in [
            (set(0, "embed", 0.9), "similar", "needs ttl_s: only what is kept can be given to another question"),
            (set(60, "small", 0.9), "similar.model", "must be another model, one that makes embeddings"),
            (set(60, "embed", 0.799), "similar.threshold", "must be at least 0.8"),
        ] {
            given::<Catalog>([]).when(command).then_rejected(&Rejection::invalid(field, why));
        }
    }

    #[test]
    fn every_purge_is_recorded() {
        let purge = || CatalogCommand::PurgeCache(PurgeCache { model: model() });
        let purged = || CatalogEvent::CachePurged { model: model() };
        given::<Catalog>([]).when(purge()).then([purged()]);
        given::<Catalog>([purged()]).when(purge()).then([purged()]);
    }
}
