//! What a route says beside its targets, in sentences.

use steward_events::event::{ModelSpec, RouteTerms};
use steward_events::timestamp::Timestamp;

use super::super::StoredModel;

/// All of it, and whether the model has an end.
pub(super) fn of(model: &StoredModel, inherited: bool, now: Timestamp) -> Vec<String> {
    let spec = model.spec.iter().flat_map(|spec| card(spec, now));
    spec.chain(times(&model.terms)).chain(hedge(&model.terms)).chain(degrade(&model.terms, inherited)).collect()
}

fn card(spec: &ModelSpec, now: Timestamp) -> Vec<String> {
    let end = spec.ends.map(|ends| {
        let when = if ends <= now { format!("ended on {ends}:") } else { format!("ends on {ends}: from then on") };
        format!("The model {when} its calls are refused.")
    });
    let only = |what: &str, words: Vec<&str>| {
        (!words.is_empty()).then(|| format!("Calls that want other {what} than {} are refused.", words.join(", ")))
    };
    let operations = only("operations", spec.operations.iter().map(|operation| operation.as_str()).collect());
    let features = only("features", spec.features.iter().map(|feature| feature.as_str()).collect());
    [end, operations, features].into_iter().flatten().collect()
}

fn times(terms: &RouteTerms) -> Option<String> {
    let RouteTerms { connect_ms, first_byte_ms, idle_ms, whole_ms, .. } = terms;
    let all = [
        ("connect", connect_ms),
        ("begin its answer", first_byte_ms),
        ("pause within it", idle_ms),
        ("take in all", whole_ms),
    ];
    let said: Vec<String> = all.into_iter().filter_map(|(what, ms)| Some(format!("{} ms to {what}", (*ms)?))).collect();
    (!said.is_empty()).then(|| format!("An attempt has at most {}.", said.join(", ")))
}

fn hedge(terms: &RouteTerms) -> Option<String> {
    let after = terms.hedge_after?;
    Some(format!(
        "After {after} without an answer the next target is asked too; the first answer counts, both are paid."
    ))
}

fn degrade(terms: &RouteTerms, inherited: bool) -> Option<String> {
    let to = terms.degrade_to.as_ref()?;
    let below = terms.degrade_below.map(|percent| format!("less than {percent}% of a budget are left"));
    let down = terms.degrade_down.then(|| "all targets fail".to_owned());
    let when: Vec<String> = [below, down].into_iter().flatten().collect();
    let for_whom =
        if inherited { " For calls of this tenant that does not hold: the route is not its own." } else { "" };
    Some(format!("The model {to} stands in when {}.{for_whom}", when.join(" or when ")))
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU8, NonZeroU32};

    use super::*;

    #[test]
    fn each_term_is_a_sentence() {
        let terms = RouteTerms {
            first_byte_ms: NonZeroU32::new(500),
            whole_ms: NonZeroU32::new(9_000),
            degrade_to: Some("tiny".parse().unwrap()),
            degrade_below: NonZeroU8::new(20),
            degrade_down: true,
            ..RouteTerms::default()
        };
        assert_eq!(
            times(&terms).unwrap(),
            "An attempt has at most 500 ms to begin its answer, 9000 ms to take in all."
        );
        let told = degrade(&terms, false).unwrap();
        assert_eq!(told, "The model tiny stands in when less than 20% of a budget are left or when all targets fail.");
        assert!(degrade(&terms, true).unwrap().contains("not its own"));
        let spec = ModelSpec { ends: Some(Timestamp(5)), ..ModelSpec::default() };
        assert!(card(&spec, Timestamp(5))[0].contains("ended") && card(&spec, Timestamp(4))[0].contains("ends on"));
        assert_eq!((times(&RouteTerms::default()), hedge(&RouteTerms::default())), (None, None));
    }
}
