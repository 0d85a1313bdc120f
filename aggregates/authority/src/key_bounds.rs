//! No key makes another that is more than itself.

use steward_events::command::IssueKey;
use steward_events::event::{AddressRange, OpenHours};
use steward_events::id::TenantId;
use steward_events::permission::PermissionPattern;
use steward_events::scope::Scope;

use steward_aggregates::identity::{CALLING, Key};

/// What would have to be asked for to get a key like this.
pub(super) fn as_issued(key: &Key) -> IssueKey {
    IssueKey {
        key: None,
        principal: key.principal.clone(),
        hash: key.hash.clone(),
        scope: Some(key.scope.clone()),
        models: key.models.clone(),
        expires: key.expires,
        agent: key.agent.clone(),
        task: key.task.clone(),
        permissions: key.permissions.clone(),
        parent: key.parent.clone(),
        addresses: key.addresses.clone(),
        hours: key.hours.clone(),
    }
}

/// True if something is asked for that none of `own` covers, where these are all that there is; everything, if nothing is
/// named.
fn is_wider<T>(own: &[T], asked: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    !own.is_empty() && (asked.is_empty() || asked.iter().any(|asked| !own.iter().any(|own| covers(own, asked))))
}

/// In what `issue` asks for more than `own`, if it does. Hours without a time zone are in `timezone`.
pub(super) fn exceeds(own: &Key, issue: &IssueKey, tenant: &TenantId, timezone: &str) -> Option<String> {
    let scope = issue.scope.clone().unwrap_or_else(|| Scope::tenant(tenant));
    let for_what: Vec<PermissionPattern> = match (issue.permissions.is_empty(), issue.models.is_empty()) {
        (false, _) => issue.permissions.clone(),
        (true, false) => CALLING.iter().filter_map(|text| text.parse().ok()).collect(),
        (true, true) => vec![PermissionPattern::everything()],
    };
    let other_models = issue.models.is_empty() || issue.models.iter().any(|model| !own.models.contains(model));
    if own.agent.is_some() || own.task.is_some() {
        return Some("a key made for a task makes no keys".to_owned());
    }
    if !own.scope.contains(&scope) {
        return Some(format!("your key reaches {} and below, not {scope}", own.scope));
    }
    if !own.models.is_empty() && other_models {
        let models: Vec<&str> = own.models.iter().map(AsRef::as_ref).collect();
        return Some(format!("your key is only for {}", models.join(", ")));
    }
    if let Some(more) = for_what.iter().find(|pattern| !own.is_for_all_of(pattern)) {
        return Some(format!("your key is not for {more}"));
    }
    let hours: Vec<OpenHours> = issue.hours.iter().cloned().map(|hours| hours.or_zone(timezone)).collect();
    if is_wider(&own.addresses, &issue.addresses, AddressRange::covers) {
        let ranges: Vec<String> = own.addresses.iter().map(ToString::to_string).collect();
        return Some(format!("your key may be used only from {}; so must what it makes", ranges.join(" and ")));
    }
    if is_wider(&own.hours, &hours, OpenHours::cover) {
        let hours: Vec<String> = own.hours.iter().map(ToString::to_string).collect();
        return Some(format!("your key may be used only {}; so must what it makes", hours.join(" and ")));
    }
    let end = own.expires?;
    issue.expires.is_none_or(|expires| expires > end).then(|| format!("your key ends at {end}"))
}
