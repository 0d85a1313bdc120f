//! What is said of decisions: which grant allows, which terms fail.
//!
//! The policies decide; here the same grants are read once more to say why. A law (`tests/laws.rs`) holds the two
//! together: they never disagree.

use steward_events::event::Condition;
use steward_events::id::PrincipalId;
use steward_events::permission::Permission;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::held_rights::HeldRights;
use super::request::{AccessRequest, Context};

/// The grant that allows, in words.
pub(super) fn granted(
    held: &[HeldRights],
    permission: &Permission,
    scope: &Scope,
    context: &Context,
    now: Timestamp,
) -> String {
    let allows =
        |held: &&HeldRights| held.covers(permission, scope).is_some() && held.terms_fail(context, now).is_none();
    held.iter().find(allows).map_or_else(String::new, |held| in_words(held, permission, scope))
}

/// `svc_1 is admin on acme (admin → developer permits task:*), only for small, until 2026-12-01T00:00:00Z`
pub(super) fn in_words(held: &HeldRights, permission: &Permission, scope: &Scope) -> String {
    let mut words = held.grant.to_string();
    if let Some(pattern) = held.covers(permission, scope) {
        let path: Vec<&str> = held.permissions.path(pattern).into_iter().map(AsRef::as_ref).collect();
        words = format!("{words} ({} permits {pattern})", path.join(" → "));
    }
    if let Some(Condition { models, cost_max }) = &held.terms.condition {
        if !models.is_empty() {
            let models: Vec<&str> = models.iter().map(AsRef::as_ref).collect();
            words = format!("{words}, only for {}", models.join(", "));
        }
        if let Some(cost_max) = cost_max {
            words = format!("{words}, only for calls that cost at most {cost_max}");
        }
    }
    match held.terms.expires {
        Some(expires) => format!("{words}, until {expires}"),
        None => words,
    }
}

/// The no with these words.
pub(super) fn forbidden(request: &AccessRequest, reason: String, would_allow: String) -> Rejection {
    forbidden_to(&request.principal, request, reason, would_allow)
}

/// The same, to the one who really acts.
pub(super) fn forbidden_to(
    principal: &PrincipalId,
    request: &AccessRequest,
    reason: String,
    would_allow: String,
) -> Rejection {
    Rejection::Forbidden {
        principal: principal.clone(),
        permission: request.permission.clone(),
        scope: request.scope.clone(),
        reason,
        would_allow,
    }
}

/// Whose terms fail, or that there is nothing that could.
pub(super) fn not_granted(held: &[HeldRights], request: &AccessRequest, now: Timestamp) -> String {
    let AccessRequest { permission, scope, context, .. } = request;
    let covering = held.iter().filter(|held| held.covers(permission, scope).is_some());
    let mut failing = covering.filter_map(|held| Some(format!("{} {}", held.grant, held.terms_fail(context, now)?)));
    failing.next().unwrap_or_else(|| format!("no grant of {permission} at {scope} or above"))
}
