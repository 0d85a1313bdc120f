//! What may be said in a condition, within bounds, and its hours made whole.

use steward_events::event::{ArgumentRule, Condition};
use steward_events::rejection::Rejection;

use crate::limit::{self, MODELS_MAX};

/// The most hours of one condition.
const HOURS_MAX: usize = 16;

/// The most classes of data of one condition.
const CLASSES_MAX: usize = 32;

/// The most tools of one condition.
const TOOLS_MAX: usize = 64;

/// The most rules for arguments of one condition.
const ARGUMENTS_MAX: usize = 16;

/// The most values that one argument may have.
const VALUES_MAX: usize = 64;

/// The longest tool's name, pointer, beginning or value, in bytes.
const TEXT_BYTES_MAX: usize = 200;

/// `condition` as it is recorded: hours that name no zone are in `timezone` for good.
pub(super) fn checked(condition: Option<&Condition>, timezone: &str) -> Result<Option<Condition>, Rejection> {
    let Some(condition) = condition else { return Ok(None) };
    limit::count("condition.models", condition.models.len(), MODELS_MAX)?;
    limit::count("condition.hours", condition.hours.len(), HOURS_MAX)?;
    limit::count("condition.data_classes", condition.data_classes.len(), CLASSES_MAX)?;
    limit::count("condition.tools", condition.tools.len(), TOOLS_MAX)?;
    limit::count("condition.arguments", condition.arguments.len(), ARGUMENTS_MAX)?;
    for tool in &condition.tools {
        limit::text("condition.tools", tool, TEXT_BYTES_MAX)?;
    }
    condition.arguments.iter().try_for_each(check_argument)?;
    let hours: Vec<_> = condition.hours.iter().cloned().map(|hours| hours.or_zone(timezone)).collect();
    hours.iter().try_for_each(limit::hours)?;
    Ok(Some(Condition { hours, ..condition.clone() }))
}

fn check_argument(rule: &ArgumentRule) -> Result<(), Rejection> {
    const FIELD: &str = "condition.arguments";
    let ArgumentRule { at, one_of, prefix, max } = rule;
    if !at.starts_with('/') {
        return Err(Rejection::invalid(FIELD, format!("{at:?} is no JSON pointer: write e.g. /path")));
    }
    if one_of.is_empty() && prefix.is_none() && max.is_none() {
        return Err(Rejection::invalid(FIELD, format!("{at} needs one_of, prefix or max")));
    }
    limit::count("condition.arguments.one_of", one_of.len(), VALUES_MAX)?;
    std::iter::once(at).chain(one_of).chain(prefix).try_for_each(|text| limit::text(FIELD, text, TEXT_BYTES_MAX))
}
