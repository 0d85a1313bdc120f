//! Whether the targets of a route can be right, each by itself and all together.

use steward_events::event::Target;
use steward_events::rejection::Rejection;

use crate::limit;

/// The most targets of one route.
pub const TARGETS_MAX: usize = 8;

/// The longest name of a model at its provider, in bytes.
pub const UPSTREAM_MODEL_BYTES_MAX: usize = 200;

/// The greatest weight of a target.
pub const WEIGHT_MAX: u32 = 1_000;

/// The most tags of a target, and of a call.
pub const TAGS_MAX: usize = 8;

/// The longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 64;

/// Refuses targets that can not be meant so.
pub(super) fn check(targets: &[Target]) -> Result<(), Rejection> {
    if targets.is_empty() {
        return Err(Rejection::invalid("targets", "must name at least one target"));
    }
    limit::count("targets", targets.len(), TARGETS_MAX)?;
    targets.iter().try_for_each(check_one)?;
    let is_for_all = |target: &Target| target.on.is_empty() && target.canary.is_none() && target.shadow.is_none();
    if !targets.iter().any(is_for_all) {
        let reason =
            "every one waits for another to refuse, is a canary or a shadow; one must be there for all callers";
        return Err(Rejection::invalid("targets", reason));
    }
    Ok(())
}

fn check_one(target: &Target) -> Result<(), Rejection> {
    let Target { upstream_model, weight, tags, input_min, input_max, on, canary, shadow, .. } = target;
    if upstream_model.is_empty() {
        return Err(Rejection::invalid("targets.upstream_model", "is empty"));
    }
    limit::text("targets.upstream_model", upstream_model, UPSTREAM_MODEL_BYTES_MAX)?;
    if !(1..=WEIGHT_MAX).contains(weight) {
        let reason = format!("must be from 1 to {WEIGHT_MAX}; leave out a target that is to get no calls");
        return Err(Rejection::invalid("targets.weight", reason));
    }
    limit::count("targets.tags", tags.len(), TAGS_MAX)?;
    if let Some(wrong) = tags.iter().find(|tag| !is_tag(tag)) {
        let shown: String = wrong.chars().filter(char::is_ascii_graphic).take(TAG_BYTES_MAX).collect();
        let reason = format!("{shown:?} is not of 1 to {TAG_BYTES_MAX} letters, digits, -, _, . and :");
        return Err(Rejection::invalid("targets.tags", reason));
    }
    if input_min.zip(*input_max).is_some_and(|(min, max)| min > max) {
        return Err(Rejection::invalid("targets.input_min", "is more than input_max: no call has so many tokens"));
    }
    if canary.is_some() && shadow.is_some() {
        return Err(Rejection::invalid("targets.shadow", "who answers some callers is no shadow; write two targets"));
    }
    for (field, share) in [("targets.canary", canary), ("targets.shadow", shadow)] {
        if share.is_some_and(|share| share.get() > 100) {
            return Err(Rejection::invalid(field, "is a share of at most 100%"));
        }
    }
    limit::count("targets.on", on.len(), 2)
}

/// What can stand in a header and between commas.
fn is_tag(tag: &str) -> bool {
    let is_meant = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=TAG_BYTES_MAX).contains(&tag.len()) && tag.bytes().all(is_meant)
}

#[cfg(test)]
mod tests {
    use steward_events::quantity::Tokens;

    use super::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[track_caller]
    fn refused(target: Target, field: &str) {
        let refused = check(&[self::target("a/first"), target]).unwrap_err();
        assert!(refused.to_string().contains(field), "{refused}");
    }

    #[test]
    fn a_target_is_bounded_and_taken_at_its_bounds() {
        let tag = "t".repeat(TAG_BYTES_MAX);
        let at_bounds = Target {
            weight: WEIGHT_MAX,
            tags: vec![tag.clone(); TAGS_MAX],
            input_min: Some(Tokens(5)),
            input_max: Some(Tokens(5)),
            ..target("a/x")
        };
        assert_eq!(check(std::slice::from_ref(&at_bounds)), Ok(()));
        refused(Target { weight: WEIGHT_MAX + 1, ..at_bounds.clone() }, "targets.weight");
        refused(Target { weight: 0, ..at_bounds.clone() }, "targets.weight");
        refused(Target { tags: vec![tag.clone(); TAGS_MAX + 1], ..at_bounds.clone() }, "targets.tags");
        for wrong in [format!("{tag}t"), String::new(), "a b".to_owned(), "a,b".to_owned(), "\u{202e}".to_owned()] {
            refused(Target { tags: vec![wrong], ..at_bounds.clone() }, "targets.tags");
        }
        refused(Target { input_min: Some(Tokens(6)), ..at_bounds }, "targets.input_min");
    }

    #[test]
    fn a_route_has_a_target_that_is_tried_first() {
        let waits = target("a/x on=context_length");
        assert!(check(std::slice::from_ref(&waits)).is_err());
        assert_eq!(check(&[target("a/x"), waits]), Ok(()));
        for part in ["a/x canary=100%", "a/x shadow=100%"] {
            assert!(check(&[target(part)]).is_err(), "{part}");
            assert_eq!(check(&[target(part), target("a/y")]), Ok(()));
        }
        refused(target("a/x canary=101%"), "targets.canary");
        refused(target("a/x canary=5% shadow=5%"), "targets.shadow");
    }
}
