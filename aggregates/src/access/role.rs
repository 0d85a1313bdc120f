//! What roles mean: permissions of their own, and those of the roles they inherit; and the roles that are built in.

use std::collections::BTreeSet;

use steward_events::id::RoleId;
use steward_events::permission::PermissionPattern;

/// A role's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSpec {
    /// Permissions of the role itself, e.g. `task:*`.
    pub permissions: Vec<PermissionPattern>,
    /// Roles whose permissions this role inherits.
    pub inherits: Vec<RoleId>,
}

/// The built-in roles, the least powerful first. The first start records them in the tenant `steward`, where an
/// operator may change what they mean; other tenants cannot. Left out of `admin`, so that only owners and operators do
/// it: a tenant's life (`tenant:*`) and its upstreams (`provider:*`).
pub const BUILT_IN: &[(&str, &[&str], &[&str])] = &[
    ("agent", &["model:invoke", "task:submit"], &[]),
    ("billing", &["cost:*", "budget:*", "price:list", "model:list", "account:list", "key:list", "tenant:show"], &[]),
    // Lists and shows everything.
    (
        "auditor",
        &["history:*", "audit:*", "checkpoint:request", "access:*", "cost:*", "metrics:*", "*:list", "*:show"],
        &[],
    ),
    (
        "developer",
        &[
            "agent:*",
            "task:*",
            "key:issue",
            "key:list",
            "account:list",
            "role:list",
            "budget:list",
            "model:list",
            "price:list",
            "tenant:show",
            "cost:report",
            "metrics:read",
            "access:explain",
        ],
        &["agent"],
    ),
    (
        "admin",
        &["user:*", "account:*", "key:*", "role:*", "grant:*", "model:*", "route:*", "price:*"],
        &["developer", "auditor", "billing"],
    ),
    ("owner", &["*:*"], &[]),
];

/// What the built-in role `role` means, if it is one.
pub fn built_in(role: &RoleId) -> Option<RoleSpec> {
    let (_, permissions, inherits) = BUILT_IN.iter().find(|(name, ..)| *name == role.as_str())?;
    // The table's words are well formed; a test says so.
    Some(RoleSpec {
        permissions: permissions.iter().filter_map(|text| text.parse().ok()).collect(),
        inherits: inherits.iter().filter_map(|text| text.parse().ok()).collect(),
    })
}

/// The names of the built-in roles, the least powerful first.
pub fn built_in_ids() -> impl Iterator<Item = RoleId> {
    BUILT_IN.iter().filter_map(|(name, ..)| name.parse().ok())
}

/// Every permission of `role`, each with the path of inheritance that leads to it, `role` itself first.
pub fn closure(role: &RoleId, known: impl Fn(&RoleId) -> Option<RoleSpec>) -> Vec<(PermissionPattern, Vec<RoleId>)> {
    let mut permissions = Vec::new();
    let mut seen = BTreeSet::from([role.clone()]);
    let mut open = vec![vec![role.clone()]];
    while let Some(path) = open.pop() {
        let Some(spec) = path.last().and_then(&known) else { continue };
        permissions.extend(spec.permissions.into_iter().map(|permission| (permission, path.clone())));
        for inherited in spec.inherits {
            if seen.insert(inherited.clone()) {
                open.push([path.as_slice(), &[inherited]].concat());
            }
        }
    }
    permissions
}

/// True if `target` is among `from` or what they inherit.
pub(super) fn reaches(from: &[RoleId], target: &RoleId, known: impl Fn(&RoleId) -> Option<RoleSpec>) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = from.to_vec();
    while let Some(role) = open.pop() {
        if role == *target {
            return true;
        }
        if let Some(spec) = known(&role)
            && seen.insert(role)
        {
            open.extend(spec.inherits);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_table_is_well_formed() {
        for (name, permissions, inherits) in BUILT_IN {
            let spec = built_in(&name.parse().unwrap()).unwrap();
            assert_eq!((spec.permissions.len(), spec.inherits.len()), (permissions.len(), inherits.len()), "{name}");
            assert!(spec.inherits.iter().all(|role| built_in(role).is_some()), "{name}");
        }
        assert_eq!(built_in_ids().count(), BUILT_IN.len());
    }

    #[test]
    fn a_closure_names_the_path() {
        let paths = closure(&"admin".parse().unwrap(), built_in);
        let (_, path) = paths.iter().find(|(pattern, _)| pattern.as_str() == "model:invoke").unwrap();
        let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
        assert_eq!(path, ["admin", "developer", "agent"]);
    }

    #[test]
    fn a_cycle_in_the_log_ends() {
        let spec = |to: &str| RoleSpec { permissions: vec![], inherits: vec![to.parse().unwrap()] };
        let known = |role: &RoleId| Some(if role.as_str() == "a" { spec("b") } else { spec("a") });
        assert!(closure(&"a".parse().unwrap(), known).is_empty());
        assert!(reaches(&["b".parse().unwrap()], &"a".parse().unwrap(), known));
    }
}
