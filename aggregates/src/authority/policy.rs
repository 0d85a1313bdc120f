//! Cedar, asked: the static policies, and a request put to them.
//!
//! Knows how requests look in Cedar's words. It must not know where grants come from (that is `rights`), nor what to
//! tell the one who is denied (that is `words` and `explain`).

use std::sync::LazyLock;

use cedar_policy::{
    Authorizer, Context as CedarContext, Decision, Entities, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};
use steward_events::id::ModelId;
use steward_events::permission::Permission;
use steward_events::query;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::request::Context;

/// What the policies are asked about one request.
pub(super) struct PolicyRequest {
    action: EntityUid,
    resource: EntityUid,
    context: CedarContext,
}

/// What is known of the surroundings of a request.
pub(super) struct Circumstances<'a> {
    pub(super) now: Timestamp,
    pub(super) permission: &'a Permission,
    pub(super) scope: &'a Scope,
    pub(super) context: &'a Context,
    /// True if the tenant is suspended and this is not what it is looked at with (see [`audits`]).
    pub(super) suspended: bool,
    pub(super) operator: bool,
    pub(super) active: bool,
    pub(super) key: Option<KeyTerms<'a>>,
}

/// What of a key its holder's requests depend on.
#[derive(Clone, Copy)]
pub(super) struct KeyTerms<'a> {
    pub(super) scope: &'a Scope,
    pub(super) models: &'a [ModelId],
    pub(super) over: bool,
    /// The permission asked for is one that the key is for.
    pub(super) is_for_it: bool,
}

/// True for what shows a tenant's past and nothing else: a suspension stops what a tenant does, not those who look into
/// it. Operators also list what it has.
pub(super) fn audits(permission: &Permission, operator: bool) -> bool {
    let (noun, verb) = permission.parts();
    match (noun, verb) {
        ("history" | "audit" | "access", _) | ("cost", "report") | ("tenant", "show") | ("checkpoint", "request") => {
            true
        }
        _ => operator && query::find(noun, verb).is_some(),
    }
}

/// What the policies say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Yes.
    Granted,
    /// No grant says yes.
    NotGranted,
    /// The policy with this id says no.
    Forbidden(String),
}

struct Engine {
    policies: PolicySet,
    authorizer: Authorizer,
    principal: EntityTypeName,
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
        grant: name("Grant"),
        right: name("Right"),
        action: name("Action"),
        scope: name("Scope"),
    }
});

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// Somebody.
pub(super) fn principal_uid(id: &str) -> EntityUid {
    uid(&ENGINE.principal, id)
}

/// One of their grants.
pub(super) fn grant_uid(id: &str) -> EntityUid {
    uid(&ENGINE.grant, id)
}

/// A permission or pattern at a scope.
pub(super) fn right_uid(pattern: &str, scope: &Scope) -> EntityUid {
    uid(&ENGINE.right, &format!("{pattern}@{scope}"))
}

/// A moment or an amount; what is beyond Cedar's numbers is its largest.
pub(super) fn long(value: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Texts.
pub(super) fn texts<T: AsRef<str>>(values: &[T]) -> RestrictedExpression {
    RestrictedExpression::new_set(values.iter().map(|value| text(value.as_ref())))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

impl PolicyRequest {
    /// The request, or none if it cannot be put in Cedar's words: then the answer is no.
    pub(super) fn new(circumstances: &Circumstances<'_>) -> Option<Self> {
        let Circumstances { now, permission, scope, context, suspended, operator, active, key } = circumstances;
        let (noun, verb) = permission.parts();
        let patterns = [permission.as_str().to_owned(), format!("{noun}:*"), format!("*:{verb}"), "*:*".to_owned()];
        let scopes: Vec<Scope> = scope.ancestors().collect();
        let rights = scopes.iter().flat_map(|at| patterns.iter().map(|pattern| right_uid(pattern, at)));
        let rights = RestrictedExpression::new_set(rights.map(RestrictedExpression::new_entity_uid));
        let mut pairs = vec![
            ("now", long(now.0)),
            ("rights", rights),
            ("suspended", RestrictedExpression::new_bool(*suspended)),
            ("operator", RestrictedExpression::new_bool(*operator)),
            ("active", RestrictedExpression::new_bool(*active)),
        ];
        if let Some(model) = &context.model {
            pairs.push(("model", text(model.as_str())));
        }
        if let Some(cost) = context.cost {
            pairs.push(("cost", long(cost.0)));
        }
        if let Some(key) = key {
            let scopes: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
            pairs.extend([("key", key_record(key)?), ("scopes", texts(&scopes))]);
        }
        let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value));
        Some(Self {
            action: uid(&ENGINE.action, permission.as_str()),
            resource: uid(&ENGINE.scope, scope.as_str()),
            context: CedarContext::from_pairs(pairs).ok()?,
        })
    }

    /// Asks whether `who` may, given what they are in `entities`.
    pub(super) fn evaluate(&self, who: &EntityUid, entities: &Entities) -> Verdict {
        let request = Request::new(who.clone(), self.action.clone(), self.resource.clone(), self.context.clone(), None);
        let Ok(request) = request else { return Verdict::NotGranted };
        let response = ENGINE.authorizer.is_authorized(&request, &ENGINE.policies, entities);
        // A policy that fails to evaluate counts for nothing, so a failing `forbid` would let everyone through.
        if let Some(error) = response.diagnostics().errors().next() {
            tracing::error!(%error, "an access policy cannot be evaluated; denying");
            return Verdict::Forbidden("policy-error".to_owned());
        }
        match response.decision() {
            Decision::Allow => Verdict::Granted,
            Decision::Deny => {
                let mut named: Vec<&str> =
                    response.diagnostics().reason().filter_map(|id| ENGINE.policies.annotation(id, "id")).collect();
                named.sort_unstable_by_key(|id| precedence(id));
                named.first().map_or(Verdict::NotGranted, |id| Verdict::Forbidden((*id).to_owned()))
            }
        }
    }
}

/// Which of several reasons to tell.
fn precedence(id: &str) -> usize {
    ["tenant-suspended", "principal-inactive", "key-over", "key-permissions", "key-scope", "key-models"]
        .iter()
        .position(|known| *known == id)
        .unwrap_or(usize::MAX)
}

fn key_record(key: &KeyTerms<'_>) -> Option<RestrictedExpression> {
    let mut fields = vec![
        ("over".to_owned(), RestrictedExpression::new_bool(key.over)),
        ("is_for_it".to_owned(), RestrictedExpression::new_bool(key.is_for_it)),
        ("scope".to_owned(), text(key.scope.as_str())),
    ];
    if !key.models.is_empty() {
        fields.push(("models".to_owned(), texts(key.models)));
    }
    RestrictedExpression::new_record(fields).ok()
}
