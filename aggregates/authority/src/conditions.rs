//! Conditions: whether each part holds, and how it is told. Grants and denials ask the same.

use steward_events::event::{Condition, DenialSpec};
use steward_events::id::DataClass;
use steward_events::permission::Permission;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::request::Context;

/// A moment or an amount as the policies compare it: what is beyond Cedar's numbers is its largest.
pub(super) fn long(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// What conditions are about.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) now: Timestamp,
    pub(super) context: &'a Context,
    pub(super) data_class: &'a DataClass,
}

/// Whether one part of a condition holds; one that is not there does.
pub(super) type Part = fn(&Condition, &Facts<'_>) -> bool;

/// Every part but the cost.
const BESIDE_COST: [Part; 5] = [models, hours, data_classes, tools, arguments];

pub(super) fn models(of: &Condition, facts: &Facts<'_>) -> bool {
    of.models.is_empty() || facts.context.model.as_ref().is_some_and(|model| of.models.contains(model))
}

pub(super) fn cost(of: &Condition, facts: &Facts<'_>) -> bool {
    let within = |max: u64| facts.context.cost.is_some_and(|cost| long(cost.0) <= long(max));
    of.cost_max.is_none_or(|max| within(max.0))
}

pub(super) fn hours(of: &Condition, facts: &Facts<'_>) -> bool {
    of.hours.is_empty() || of.hours.iter().any(|hours| hours.contain(facts.now))
}

pub(super) fn data_classes(of: &Condition, facts: &Facts<'_>) -> bool {
    of.data_classes.is_empty() || facts.context.any_class || of.data_classes.contains(facts.data_class)
}

pub(super) fn tools(of: &Condition, facts: &Facts<'_>) -> bool {
    of.tools.is_empty() || facts.context.tool.as_ref().is_some_and(|tool| of.tools.contains(tool))
}

pub(super) fn arguments(of: &Condition, facts: &Facts<'_>) -> bool {
    let met = |arguments| of.arguments.iter().all(|rule| rule.is_met(arguments));
    of.arguments.is_empty() || facts.context.arguments.as_ref().is_some_and(met)
}

/// True if every part but the cost holds.
pub(super) fn hold_beside_cost(of: &Condition, facts: &Facts<'_>) -> bool {
    BESIDE_COST.iter().all(|part| part(of, facts))
}

/// True if a denial stands in the way of this, for whom it is meant.
pub(super) fn denies(denial: &DenialSpec, permission: &Permission, scope: &Scope, facts: &Facts<'_>) -> bool {
    let over = denial.until.is_some_and(|until| long(until.0) <= long(facts.now.0));
    !over && is_about(denial, permission, scope) && applies(denial, facts)
}

/// True if a denial is about this, terms aside.
pub(super) fn is_about(denial: &DenialSpec, permission: &Permission, scope: &Scope) -> bool {
    denial.on.contains(scope) && denial.permissions.iter().any(|pattern| pattern.covers(permission))
}

/// True if its condition lets it apply. Of requests of any class it is not said that they are of a class that is denied.
fn applies(denial: &DenialSpec, facts: &Facts<'_>) -> bool {
    let Some(condition) = &denial.condition else { return !denial.unless };
    let class = if facts.context.any_class && !condition.data_classes.is_empty() {
        denial.unless
    } else {
        data_classes(condition, facts)
    };
    let others = [models, cost, hours, tools, arguments].iter().all(|part: &Part| part(condition, facts));
    (class && others) != denial.unless
}

/// The parts in words, each as what it holds for: `only for small`.
pub(super) fn told(of: &Condition) -> Vec<String> {
    let Condition { models, cost_max, hours, data_classes, tools, arguments } = of;
    let named = |names: Vec<&str>| names.join(", ");
    let mut told = Vec::new();
    if !models.is_empty() {
        told.push(format!("only for {}", named(models.iter().map(AsRef::as_ref).collect())));
    }
    if let Some(cost_max) = cost_max {
        told.push(format!("only for calls that cost at most {cost_max}"));
    }
    if !hours.is_empty() {
        let hours: Vec<String> = hours.iter().map(ToString::to_string).collect();
        told.push(format!("only within {}", hours.join(" or ")));
    }
    if !data_classes.is_empty() {
        told.push(format!("only for data of class {}", named(data_classes.iter().map(AsRef::as_ref).collect())));
    }
    if !tools.is_empty() {
        told.push(format!("only to run {}", tools.join(", ")));
    }
    if !arguments.is_empty() {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        told.push(format!("only with {}", arguments.join(" and ")));
    }
    told
}

/// The first part that does not hold, in words.
pub(super) fn unmet(of: &Condition, facts: &Facts<'_>) -> Option<String> {
    let parts: [(Part, Condition); 6] = [
        (models, Condition { models: of.models.clone(), ..Condition::default() }),
        (cost, Condition { cost_max: of.cost_max, ..Condition::default() }),
        (hours, Condition { hours: of.hours.clone(), ..Condition::default() }),
        (data_classes, Condition { data_classes: of.data_classes.clone(), ..Condition::default() }),
        (tools, Condition { tools: of.tools.clone(), ..Condition::default() }),
        (arguments, Condition { arguments: of.arguments.clone(), ..Condition::default() }),
    ];
    let (_, alone) = parts.into_iter().find(|(part, alone)| !part(alone, facts))?;
    told(&alone).into_iter().next().map(|part| format!("holds {part}"))
}
