//! Whether what is said of a model can be right.

use std::collections::BTreeSet;

use steward_events::event::{Feature, ModelSpec};
use steward_events::quantity::Tokens;
use steward_events::rejection::Rejection;

use super::CONTEXT_MAX;

/// Refuses what can be true of no model.
pub(super) fn check(spec: &ModelSpec) -> Result<(), Rejection> {
    let ModelSpec { context_max, output_max, operations, features, ends: _, tokenizer: _ } = spec;
    if *output_max == Tokens(0) || output_max > context_max {
        return Err(Rejection::invalid("spec.output_max", "must be at least 1 and at most context_max"));
    }
    if *context_max > CONTEXT_MAX {
        return Err(Rejection::invalid("spec.context_max", format!("must be at most {CONTEXT_MAX}")));
    }
    let each_once = |count: usize, different: usize, field| {
        let twice = || Rejection::invalid(field, "names one twice; name each once");
        if count == different { Ok(()) } else { Err(twice()) }
    };
    each_once(operations.len(), operations.iter().collect::<BTreeSet<_>>().len(), "spec.operations")?;
    each_once(features.len(), features.iter().collect::<BTreeSet<_>>().len(), "spec.features")?;
    if !features.is_empty() && !features.contains(&Feature::Text) {
        return Err(Rejection::invalid("spec.features", "lacks text, which every model takes; add it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use steward_events::event::Operation;

    use super::*;

    #[test]
    fn what_a_model_can_do_is_named_once_each() {
        let spec = ModelSpec::of(Tokens(100), Tokens(10));
        let with = |operations: &[Operation], features: &[Feature]| {
            check(&ModelSpec { operations: operations.to_vec(), features: features.to_vec(), ..spec.clone() })
        };
        assert_eq!(with(&[], &[]), Ok(()));
        assert_eq!(with(&[Operation::Chat, Operation::Responses], &[Feature::Text, Feature::Tools]), Ok(()));
        for (operations, features, field) in [
            (&[Operation::Chat, Operation::Chat][..], &[][..], "spec.operations"),
            (&[], &[Feature::Text, Feature::Text], "spec.features"),
            (&[], &[Feature::Tools], "lacks text"),
        ] {
            let refused = with(operations, features).unwrap_err().to_string();
            assert!(refused.contains(field), "{refused}");
        }
    }
}
