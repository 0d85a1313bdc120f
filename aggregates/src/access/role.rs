//! What roles mean: permissions of their own, and those of the roles they inherit; and the roles that are built in.

use std::collections::BTreeSet;

use steward_events::command::{COMMANDS, CommandSpec};
use steward_events::id::RoleId;
use steward_events::permission::{Permission, PermissionPattern};
use steward_queries::{QUERIES, QuerySpec};

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
/// it: a tenant's life (`tenant:suspend`, `tenant:resume`) and quotas (`quota:*`), its upstreams (`provider:*`) and their secrets
/// (`secret:*`); and what is denied (`deny:*`), or an admin could take from owners what they could not give back to themselves.
pub const BUILT_IN: &[(&str, &[&str], &[&str])] = &[
    ("agent", &["model:invoke", "task:submit", "flag:read"], &[]),
    ("billing", &["cost:*", "budget:*", "price:list", "model:list", "account:list", "key:list", "tenant:show"], &[]),
    // Lists and shows everything.
    (
        "auditor",
        &[
            "history:*",
            "audit:*",
            "checkpoint:request",
            "channel:dead-letters",
            "access:*",
            "cost:*",
            "metrics:*",
            "*:list",
            "*:show",
            "*:explain",
        ],
        &[],
    ),
    (
        "developer",
        &[
            "agent:*",
            "task:*",
            "file:*",
            "batch:*",
            "key:issue",
            "key:list",
            "key:rotate",
            "key:show",
            "account:list",
            "role:list",
            "budget:list",
            "model:list",
            "price:list",
            "route:explain",
            "tenant:show",
            "project:list",
            "project:show",
            "flag:list",
            "cost:report",
            "metrics:read",
            "access:explain",
            "elevation:request",
            "elevation:end",
            "elevation:list",
            "elevation:show",
            "elevation-rule:list",
        ],
        &["agent"],
    ),
    (
        "admin",
        &[
            "user:*",
            "account:*",
            "key:*",
            "role:*",
            "grant:*",
            "group:*",
            "trial:*",
            "separation:*",
            "elevation:*",
            "review:*",
            "data-class:*",
            "model:*",
            "route:*",
            "price:*",
            "cache:*",
            "prompt:*",
            "channel:*",
            "project:*",
            "flag:*",
            "tenant:set",
            "tenant:revert",
        ],
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

/// What a role permits, what it inherits included: each pattern once, with the role that names it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// Every role that is reached, each after the one that inherits it, which stands at the number.
    reached: Vec<(RoleId, Option<usize>)>,
    patterns: Vec<(PermissionPattern, usize)>,
}

impl Closure {
    /// All that is permitted.
    pub fn patterns(&self) -> impl Iterator<Item = &PermissionPattern> {
        self.patterns.iter().map(|(pattern, _)| pattern)
    }

    /// The role and all that it inherits.
    pub fn roles(&self) -> impl Iterator<Item = &RoleId> {
        self.reached.iter().map(|(role, _)| role)
    }

    /// The first pattern that covers `permission`.
    pub fn covering(&self, permission: &Permission) -> Option<&PermissionPattern> {
        self.patterns().find(|pattern| pattern.covers(permission))
    }

    /// The path of inheritance that leads to `pattern`, the role itself first.
    pub fn path(&self, pattern: &PermissionPattern) -> Vec<&RoleId> {
        let named = self.patterns.iter().find(|(known, _)| known == pattern).map(|(_, at)| *at);
        let ends = std::iter::successors(named, |at| self.reached.get(*at)?.1);
        let mut path: Vec<&RoleId> = ends.filter_map(|at| Some(&self.reached.get(at)?.0)).collect();
        path.reverse();
        path
    }
}

/// Every permission of `role`.
pub fn closure(role: &RoleId, known: impl Fn(&RoleId) -> Option<RoleSpec>) -> Closure {
    let (mut closure, mut patterns) = (Closure::default(), BTreeSet::new());
    let mut seen = BTreeSet::from([role.clone()]);
    closure.reached.push((role.clone(), None));
    let mut open = vec![0];
    while let Some(at) = open.pop() {
        let Some(spec) = closure.reached.get(at).and_then(|(role, _)| known(role)) else { continue };
        let new = spec.permissions.into_iter().filter(|pattern| patterns.insert(pattern.clone()));
        closure.patterns.extend(new.map(|pattern| (pattern, at)));
        for inherited in spec.inherits {
            if seen.insert(inherited.clone()) {
                open.push(closure.reached.len());
                closure.reached.push((inherited, Some(at)));
            }
        }
    }
    closure
}

/// True if some command, query or call needs what `pattern` says; any other says nothing.
pub(super) fn means_something(pattern: &PermissionPattern) -> bool {
    let commands = COMMANDS.iter().map(CommandSpec::permission);
    let queries = QUERIES.iter().map(QuerySpec::permission);
    commands.chain(queries).chain(Permission::of_the_gateway()).any(|permission| pattern.covers(&permission))
}

/// How many roles stand on the longest path that `next` leads along from `role`, itself included; no further than
/// `depth_max`, which also ends a circle.
pub(super) fn depth<'a>(role: &'a RoleId, next: &impl Fn(&'a RoleId) -> Vec<&'a RoleId>, depth_max: usize) -> usize {
    let mut level = BTreeSet::from([role]);
    for depth in 1..=depth_max {
        level = level.into_iter().flat_map(next).collect();
        if level.is_empty() {
            return depth;
        }
    }
    depth_max + 1
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
        let closure = closure(&"admin".parse().unwrap(), built_in);
        let path: Vec<&str> = closure.path(&"model:invoke".parse().unwrap()).into_iter().map(AsRef::as_ref).collect();
        assert_eq!(path, ["admin", "developer", "agent"]);
    }

    #[test]
    fn a_closure_holds_each_pattern_once() {
        let all = |of: &str| RoleSpec {
            permissions: ["task:list", "task:show"].map(|text| text.parse().unwrap()).to_vec(),
            inherits: of.parse().into_iter().collect(),
        };
        let known = |role: &RoleId| match role.as_str() {
            "a" => Some(all("b")),
            "b" => Some(all("c")),
            _ => Some(all("agent")),
        };
        let closure = closure(&"a".parse().unwrap(), known);
        assert_eq!((closure.patterns.len(), closure.reached.len()), (2, 4));
    }

    #[test]
    fn a_pattern_that_nothing_needs_says_nothing() {
        for (pattern, means) in [
            ("model:invoke", true),
            ("user:*", true),
            ("*:list", true),
            ("*:*", true),
            ("user:x0", false),
            ("x:*", false),
        ] {
            assert_eq!(means_something(&pattern.parse().unwrap()), means, "{pattern}");
        }
        for (name, permissions, _) in BUILT_IN {
            assert!(permissions.iter().all(|text| means_something(&text.parse().unwrap())), "{name}");
        }
    }

    #[test]
    fn a_cycle_in_the_log_ends() {
        let spec = |to: &str| RoleSpec { permissions: vec![], inherits: vec![to.parse().unwrap()] };
        let known = |role: &RoleId| Some(if role.as_str() == "a" { spec("b") } else { spec("a") });
        assert_eq!(closure(&"a".parse().unwrap(), known).patterns().count(), 0);
        assert!(reaches(&["b".parse().unwrap()], &"a".parse().unwrap(), known));
    }
}
