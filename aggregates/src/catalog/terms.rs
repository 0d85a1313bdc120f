//! Whether what else a route says can be meant.

use std::collections::BTreeMap;

use steward_events::event::{ModelSpec, RouteTerms, Target};
use steward_events::id::ModelId;
use steward_events::rejection::Rejection;

/// Refuses terms that say nothing, or nothing that can be done.
pub(super) fn check(
    terms: &RouteTerms,
    (model, targets): (&ModelId, &[Target]),
    models: &BTreeMap<ModelId, ModelSpec>,
) -> Result<(), Rejection> {
    let RouteTerms { hedge_after, degrade_to, degrade_below, degrade_down, .. } = terms;
    let answers = targets.iter().filter(|target| target.on.is_empty() && target.shadow.is_none());
    if hedge_after.is_some() && answers.count() < 2 {
        let reason = "there is one target only, and a hedge asks another; add one, or leave it out";
        return Err(Rejection::invalid("terms.hedge_after", reason));
    }
    let says_when = degrade_below.is_some() || *degrade_down;
    match degrade_to {
        None if says_when => Err(Rejection::invalid("terms.degrade_to", "is missing: no model is named to stand in")),
        Some(_) if !says_when => {
            Err(Rejection::invalid("terms.degrade_to", "says not when; add degrade_below, degrade_down or both"))
        }
        Some(to) if to == model => Err(Rejection::invalid("terms.degrade_to", "is the model itself; name another")),
        Some(to) if !models.contains_key(to) => {
            let reason = format!("there is no model {to} in this catalog; set it first with steward model set");
            Err(Rejection::invalid("terms.degrade_to", reason))
        }
        _ if degrade_below.is_some_and(|percent| percent.get() > 100) => {
            Err(Rejection::invalid("terms.degrade_below", "is a share of at most 100 percent"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU8;

    use steward_events::event::HedgeAfter;

    use super::*;

    #[test]
    fn terms_that_can_not_be_meant_are_refused() {
        let model: ModelId = "large".parse().unwrap();
        let models = [("large", 1), ("tiny", 2)].map(|(name, _)| (name.parse().unwrap(), ModelSpec::default()));
        let models = BTreeMap::from(models);
        let targets = ["a/x", "b/x", "c/x shadow=5%"].map(|text| text.parse::<Target>().unwrap());
        let plain = RouteTerms::default();
        let hedged = RouteTerms { hedge_after: Some(HedgeAfter::P95), ..plain.clone() };
        let to =
            |name: &str| RouteTerms { degrade_to: Some(name.parse().unwrap()), degrade_down: true, ..plain.clone() };
        for good in [plain.clone(), hedged.clone(), to("tiny")] {
            assert_eq!(check(&good, (&model, &targets), &models), Ok(()));
        }
        let below = |percent| RouteTerms { degrade_below: NonZeroU8::new(percent), ..to("tiny") };
        assert_eq!(check(&below(100), (&model, &targets), &models), Ok(()));
        for (wrong, named) in [
            (to("large"), "itself"),
            (to("unknown"), "model set"),
            (RouteTerms { degrade_down: false, ..to("tiny") }, "says not when"),
            (RouteTerms { degrade_to: None, ..to("tiny") }, "degrade_to"),
            (below(101), "degrade_below"),
        ] {
            let refused = check(&wrong, (&model, &targets), &models).unwrap_err().to_string();
            assert!(refused.contains(named), "{refused}");
        }
        let alone = check(&hedged, (&model, &[targets[0].clone(), targets[2].clone()]), &models).unwrap_err();
        assert!(alone.to_string().contains("hedge_after"), "{alone}");
    }
}
