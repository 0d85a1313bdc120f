//! Scopes: paths at which grants and budgets hold, and the set of scopes that one call touches.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{AgentId, KeyId, ModelId, PrincipalId, TaskId, TenantId, is_token};

/// The deepest scope that is accepted, in segments.
pub const SCOPE_SEGMENTS_MAX: usize = 6;

/// A path `tenant/project/…`; `*` is the whole installation. What holds at a scope holds below it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Arc<str>);

/// Why a text is not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a scope: write tenant, or tenant/project (a-z, 0-9, '_', '-'; at most {SCOPE_SEGMENTS_MAX} parts), or '*' for everything"
)]
pub struct InvalidScope(pub String);

impl Scope {
    /// Everything, over all tenants. Only operators hold grants here.
    pub fn everything() -> Self {
        Self(Arc::from("*"))
    }

    /// The whole of one tenant.
    pub fn tenant(tenant: &TenantId) -> Self {
        Self(Arc::from(tenant.as_str()))
    }

    /// The scope `segment` below this one.
    ///
    /// # Errors
    /// [`InvalidScope`] if the segment is no token or the path grows too deep.
    pub fn child(&self, segment: &str) -> Result<Self, InvalidScope> {
        format!("{self}/{segment}").parse()
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if `other` is this scope or lies below it.
    pub fn contains(&self, other: &Scope) -> bool {
        &*self.0 == "*" || other.0.strip_prefix(&*self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// True if this is `tenant` or lies below it.
    pub fn is_within(&self, tenant: &TenantId) -> bool {
        self.0.split('/').next() == Some(tenant.as_str())
    }

    /// The first segment below the tenant, if there is one.
    pub fn project(&self) -> Option<&str> {
        self.0.split('/').nth(1)
    }

    /// This scope and all above it, the nearest first, ending with [`Scope::everything`].
    pub fn ancestors(&self) -> impl Iterator<Item = Scope> + '_ {
        self.ancestor_paths().map(|path| Self(Arc::from(path)))
    }

    /// The same as text.
    pub fn ancestor_paths(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(&*self.0), |path| match path.rsplit_once('/') {
            Some((above, _)) => Some(above),
            None if *path == "*" => None,
            None => Some("*"),
        })
    }
}

/// So that a map by scope is asked with a path.
impl Borrow<str> for Scope {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let whole = text == "*" || (text.split('/').count() <= SCOPE_SEGMENTS_MAX && text.split('/').all(is_token));
        if whole { Ok(Self(Arc::from(text))) } else { Err(InvalidScope(text.chars().take(80).collect())) }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer)
    }
}

impl JsonSchema for Scope {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scope".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "tenant, tenant/project, or * for everything",
                       "pattern": "^(\\*|[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*){0,5})$" })
    }
}

/// Counts only calls of one principal, key, model, agent or task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Calls made by this principal.
    Principal(PrincipalId),
    /// Calls made with this key.
    Key(KeyId),
    /// Calls of this model.
    Model(ModelId),
    /// Calls made by this agent.
    Agent(AgentId),
    /// Calls made for this task.
    Task(TaskId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(id) => write!(f, "principal {id}"),
            Self::Key(id) => write!(f, "key {id}"),
            Self::Model(id) => write!(f, "model {id}"),
            Self::Agent(id) => write!(f, "agent {id}"),
            Self::Task(id) => write!(f, "task {id}"),
        }
    }
}

/// The set of scopes that a call touches. Leases are per set; budgets of every member bind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopeSet {
    /// The path: tenant, or tenant/project.
    pub path: Scope,
    /// Who calls.
    pub principal: PrincipalId,
    /// With which key.
    pub key: KeyId,
    /// Which model, as the caller names it.
    pub model: ModelId,
    /// For which agent, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// For which task, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The first of the keys that this one replaces, if it replaces one: budgets of that key count on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<KeyId>,
}

impl ScopeSet {
    /// True if a budget at `scope` for `subject` (none: everything at that scope) counts calls of this set.
    pub fn touches(&self, scope: &Scope, subject: Option<&Subject>) -> bool {
        scope.contains(&self.path)
            && match subject {
                None => true,
                Some(Subject::Principal(id)) => *id == self.principal,
                Some(Subject::Key(id)) => *id == self.key || self.line.as_ref() == Some(id),
                Some(Subject::Model(id)) => *id == self.model,
                Some(Subject::Agent(id)) => self.agent.as_ref() == Some(id),
                Some(Subject::Task(id)) => self.task.as_ref() == Some(id),
            }
    }

    /// A short name of this set, safe as part of a subject: equal sets have equal names.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in [self.path.as_str(), self.principal.as_str(), self.key.as_str(), self.model.as_str()]
            .into_iter()
            .chain([self.agent.as_ref().map_or("", AsRef::as_ref), self.task.as_ref().map_or("", AsRef::as_ref)])
        {
            hasher.update(part.as_bytes());
            hasher.update(&[0]);
        }
        // The line follows from the key.
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_contains_itself_and_its_children_only() {
        let acme: Scope = "acme".parse().unwrap();
        assert!(acme.contains(&acme));
        assert!(acme.contains(&"acme/support".parse().unwrap()));
        assert!(!acme.contains(&"acme2".parse().unwrap()));
        assert!(Scope::everything().contains(&acme));
        assert!(!acme.contains(&Scope::everything()));
    }

    #[test]
    fn ancestors_end_with_everything() {
        let scope: Scope = "acme/support/mail".parse().unwrap();
        let up: Vec<String> = scope.ancestors().map(|s| s.to_string()).collect();
        assert_eq!(up, ["acme/support/mail", "acme/support", "acme", "*"]);
    }

    #[test]
    fn wildcards_and_empty_parts_are_refused() {
        for text in ["", "/", "acme/", "acme/*", "acme//x", "a/b/c/d/e/f/g", "acme.x"] {
            assert!(text.parse::<Scope>().is_err(), "{text:?}");
        }
    }
}
