//! What is said of decisions: which grant allows, which terms fail.
//!
//! The policies decide; here the same grants are read once more to say why. A law (`tests/laws.rs`) holds the two
//! together: they never disagree.

use std::fmt::Write;

use steward_events::id::PrincipalId;
use steward_events::permission::Permission;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;

use super::conditions::{self, Facts};
use super::held_rights::HeldRights;
use super::request::AccessRequest;

/// `svc_1 is admin on acme (admin → developer permits task:*), only for small, until 2026-12-01T00:00:00Z`
pub(super) fn in_words(held: &HeldRights, permission: &Permission, scope: &Scope) -> String {
    let mut words = held.in_short();
    // Writing to a text does not fail.
    if let Some(pattern) = held.covers(permission, scope) {
        let path: Vec<&str> = held.permissions.path(pattern).into_iter().map(AsRef::as_ref).collect();
        _ = write!(words, " ({} permits {pattern})", path.join(" → "));
    }
    for part in held.terms.condition.iter().flat_map(conditions::told) {
        _ = write!(words, ", {part}");
    }
    if let Some(elevation) = &held.terms.elevation {
        _ = write!(words, ", by the elevation {elevation}");
    }
    if let Some(end) = held.terms.ends() {
        _ = write!(words, ", until {end}");
    }
    words
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
pub(super) fn not_granted(held: &[HeldRights], request: &AccessRequest, facts: &Facts<'_>) -> String {
    let AccessRequest { permission, scope, .. } = request;
    let covering = held.iter().filter(|held| held.covers(permission, scope).is_some());
    let mut failing = covering.filter_map(|held| Some(format!("{} {}", held.in_short(), held.terms_fail(facts)?)));
    failing.next().unwrap_or_else(|| format!("no grant of {permission} at {scope} or above"))
}
