//! Cedar, asked: the policies as they are written, and a question put to them in its words. It is the judge of the
//! compiled ones.

use std::collections::HashMap;
use std::sync::LazyLock;

use cedar_policy::{
    Authorizer, Context as CedarContext, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet,
    Request, RestrictedExpression,
};
use steward_events::event::AddressRange;
use steward_events::event::{ArgumentRule, Condition, DenialSpec};
use steward_events::scope::Scope;

use super::conditions;
use super::policy::{Asker, Circumstances, KeyTerms, Policy, Verdict};

struct Engine {
    policies: PolicySet,
    authorizer: Authorizer,
    principal: EntityTypeName,
    group: EntityTypeName,
    grant: EntityTypeName,
    right: EntityTypeName,
    action: EntityTypeName,
    scope: EntityTypeName,
}

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    // Literals of this build; a test asks them.
    #[allow(clippy::expect_used)]
    let name = |text: &str| text.parse().expect("a type name");
    #[allow(clippy::expect_used)]
    let policies = include_str!("policies.cedar").parse().expect("the policies are well formed");
    Engine {
        policies,
        authorizer: Authorizer::new(),
        principal: name("Principal"),
        group: name("Group"),
        grant: name("Grant"),
        right: name("Right"),
        action: name("Action"),
        scope: name("Scope"),
    }
});

/// Whether the asker may; none if the question cannot be put, or a policy cannot be evaluated or is not known here.
pub(super) fn verdict(of: &Circumstances<'_>, asker: &Asker<'_>) -> Option<Verdict> {
    let (who, group) = entity(asker, of)?;
    let (principal, action) = (who.uid(), uid(&ENGINE.action, of.permission.as_str()));
    let request =
        Request::new(principal, action, uid(&ENGINE.scope, of.scope.as_str()), context(of, asker)?, None).ok()?;
    // Rights are no entities of their own, and no group is in another, so there is no circle or double.
    let entities = Entities::from_entities(std::iter::once(who).chain(group), None).ok()?;
    let response = ENGINE.authorizer.is_authorized(&request, &ENGINE.policies, &entities);
    // A policy that fails to evaluate counts for nothing, so a failing `forbid` would let everyone through.
    if response.diagnostics().errors().next().is_some() {
        return None;
    }
    if response.decision() == Decision::Allow {
        return Some(Verdict::Granted);
    }
    let named = response.diagnostics().reason().map(|id| Policy::of_id(ENGINE.policies.annotation(id, "id")?));
    let told = named.collect::<Option<Vec<Policy>>>()?.into_iter().min();
    Some(told.map_or(Verdict::NotGranted, Verdict::Forbidden))
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn right(pattern: &str, scope: &Scope) -> EntityUid {
    uid(&ENGINE.right, &format!("{pattern}@{scope}"))
}

/// The asker, below the right that the grant which is put gives for what is asked: by themselves, or through the group
/// that holds it.
fn entity(asker: &Asker<'_>, of: &Circumstances<'_>) -> Option<(Entity, Option<Entity>)> {
    let held = asker.held();
    let rights = held.and_then(|held| Some(right(held.permissions.covering(of.permission)?.as_str(), &held.grant.on)));
    let rights = rights.into_iter().collect();
    match asker {
        Asker::Principal(id, held) => {
            let who = uid(&ENGINE.principal, id.as_str());
            if held.is_none_or(|held| held.through.is_none()) {
                return Some((Entity::new_no_attrs(who, rights), None));
            }
            let group = uid(&ENGINE.group, held.map_or("", |held| held.grant.to.as_str()));
            let who = Entity::new_no_attrs(who, [group.clone()].into());
            Some((who, Some(Entity::new_no_attrs(group, rights))))
        }
        Asker::Grant(held) => {
            let mut terms: HashMap<String, RestrictedExpression> = HashMap::new();
            if let Some(end) = held.terms.ends() {
                terms.insert("expires".to_owned(), long(end.0));
            }
            if let Some(condition) = &held.terms.condition {
                terms.extend(parts(condition)?);
            }
            let grant = Entity::new(uid(&ENGINE.grant, &held.grant.to_string()), terms, rights).ok()?;
            Some((grant, None))
        }
    }
}

/// The parts of a condition that are there.
fn parts(of: &Condition) -> Option<Vec<(String, RestrictedExpression)>> {
    let Condition { models, cost_max, hours, data_classes, tools, arguments } = of;
    let hours: Vec<String> = hours.iter().map(ToString::to_string).collect();
    let arguments: Vec<String> = arguments.iter().map(serde_json::to_string).collect::<Result<_, _>>().ok()?;
    let sets = [
        ("models", (!models.is_empty()).then(|| texts(models))),
        ("cost_max", cost_max.map(|cost_max| long(cost_max.0))),
        ("hours", (!hours.is_empty()).then(|| texts(&hours))),
        ("data_classes", (!data_classes.is_empty()).then(|| texts(data_classes))),
        ("tools", (!tools.is_empty()).then(|| texts(tools))),
        ("arguments", (!arguments.is_empty()).then(|| texts(&arguments))),
    ];
    Some(sets.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))).collect())
}

/// Of the hours and rules for arguments that are named, those that hold.
fn holding(of: &Circumstances<'_>, asker: &Asker<'_>) -> Option<(Vec<String>, Vec<String>)> {
    let of_grant = asker.terms().and_then(|terms| terms.condition.as_ref());
    let named = || of_grant.into_iter().chain(of.denial.and_then(|denial| denial.condition.as_ref()));
    let hours = named().flat_map(|condition| &condition.hours).filter(|hours| hours.contain(of.now));
    let is_met = |rule: &&ArgumentRule| of.context.arguments.as_ref().is_some_and(|given| rule.is_met(given));
    let arguments = named().flat_map(|condition| &condition.arguments).filter(is_met);
    let arguments = arguments.map(serde_json::to_string).collect::<Result<_, _>>().ok()?;
    Some((hours.map(ToString::to_string).collect(), arguments))
}

fn denial_record(denial: &DenialSpec) -> Option<RestrictedExpression> {
    let rights = denial.permissions.iter().map(|pattern| right(pattern.as_str(), &denial.on));
    let mut fields = vec![
        ("rights".to_owned(), RestrictedExpression::new_set(rights.map(RestrictedExpression::new_entity_uid))),
        ("unless".to_owned(), RestrictedExpression::new_bool(denial.unless)),
    ];
    if let Some(until) = denial.until {
        fields.push(("expires".to_owned(), long(until.0)));
    }
    if let Some(condition) = &denial.condition {
        fields.extend(parts(condition)?);
    }
    RestrictedExpression::new_record(fields).ok()
}

fn context(of: &Circumstances<'_>, asker: &Asker<'_>) -> Option<CedarContext> {
    let Circumstances { now, permission, scope, context, data_class, denial, suspended, operator, active, key } = of;
    let (open_hours, met_arguments) = holding(of, asker)?;
    let (noun, verb) = permission.parts();
    let patterns = [permission.as_str(), &format!("{noun}:*"), &format!("*:{verb}"), "*:*"];
    let scopes: Vec<Scope> = scope.ancestors().collect();
    let rights = scopes.iter().flat_map(|at| patterns.iter().map(|pattern| right(pattern, at)));
    let mut pairs = vec![
        ("now", long(now.0)),
        ("rights", RestrictedExpression::new_set(rights.map(RestrictedExpression::new_entity_uid))),
        ("suspended", RestrictedExpression::new_bool(*suspended)),
        ("operator", RestrictedExpression::new_bool(*operator)),
        ("active", RestrictedExpression::new_bool(*active)),
        ("any_class", RestrictedExpression::new_bool(context.any_class)),
        ("data_class", text(data_class.as_str())),
        ("open_hours", texts(&open_hours)),
        ("met_arguments", texts(&met_arguments)),
    ];
    if let Some(tool) = &context.tool {
        pairs.push(("tool", text(tool)));
    }
    if let Some(denial) = denial {
        pairs.push(("denial", denial_record(denial)?));
    }
    if let Some(model) = &context.model {
        pairs.push(("model", text(model.as_str())));
    }
    if let Some(cost) = context.cost {
        pairs.push(("cost", long(cost.0)));
    }
    if let Some(address) = context.address {
        let networks: Vec<String> = AddressRange::all_of(address).map(|range| range.to_string()).collect();
        pairs.push(("networks", texts(&networks)));
    }
    if let Some(key) = key {
        let scopes: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
        pairs.extend([("key", key_record(key)?), ("scopes", texts(&scopes))]);
    }
    CedarContext::from_pairs(pairs.into_iter().map(|(name, value)| (name.to_owned(), value))).ok()
}

fn key_record(key: &KeyTerms<'_>) -> Option<RestrictedExpression> {
    let mut fields = vec![
        ("over".to_owned(), RestrictedExpression::new_bool(key.over)),
        ("closed".to_owned(), RestrictedExpression::new_bool(key.closed)),
        ("is_for_it".to_owned(), RestrictedExpression::new_bool(key.is_for_it)),
        ("scope".to_owned(), text(key.scope.as_str())),
    ];
    if !key.models.is_empty() {
        fields.push(("models".to_owned(), texts(key.models)));
    }
    if !key.addresses.is_empty() {
        let ranges: Vec<String> = key.addresses.iter().map(ToString::to_string).collect();
        fields.push(("addresses".to_owned(), texts(&ranges)));
    }
    RestrictedExpression::new_record(fields).ok()
}

fn long(value: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(conditions::long(value))
}

fn texts<T: AsRef<str>>(values: &[T]) -> RestrictedExpression {
    RestrictedExpression::new_set(values.iter().map(|value| text(value.as_ref())))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cedar_policy::Effect;

    use super::*;

    #[test]
    fn every_written_policy_is_compiled_and_no_other() {
        let written = |effect: Effect| -> Vec<&str> {
            let all = ENGINE.policies.policies().filter(|policy| policy.effect() == effect);
            all.map(|policy| policy.annotation("id").expect("each policy has an id")).collect()
        };
        assert_eq!(written(Effect::Permit), ["granted"]);
        let forbid = written(Effect::Forbid);
        assert_eq!(forbid.len(), Policy::ALL.len());
        let compiled: BTreeSet<&str> = Policy::ALL.into_iter().map(Policy::id).collect();
        assert_eq!(forbid.into_iter().collect::<BTreeSet<_>>(), compiled);
        assert!(Policy::ALL.is_sorted(), "what is told of several is the first of them in both forms");
    }
}
