//! Commands about people, service accounts and keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::{KeyHash, Profile};
use crate::id::{AgentId, KeyId, ModelId, PrincipalId, TaskId, TenantId};
use crate::ids::Ids;
use crate::scope::Scope;
use crate::sealed::{Content, KeyOwner, Sealable};
use crate::timestamp::Timestamp;

commands! {
    IdentityCommand of Identity {
        "user" "invite" => InviteUser, Callers, "Let a person in";
        "user" "disable" => DisableUser, Callers, "Stop a person or service account at once";
        "account" "create" => CreateAccount, Callers, "Create a service account for a program";
        "key" "issue" => IssueKey, Callers, "Issue an API key that acts as a service account or person";
        "key" "revoke" => RevokeKey, Callers, "Revoke an API key at once";
    }
}

/// Lets a person in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteUser {
    /// Their opaque id; made if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<PrincipalId>,
    /// Who they are; sealed before it is recorded.
    pub profile: Content<Profile>,
}

impl Body for InviteUser {
    fn complete(&mut self, fresh: &dyn Ids) {
        if self.principal.is_none() {
            self.principal = PrincipalId::new(format!("p_{}", fresh.unique())).ok();
        }
    }
    fn sealed(&mut self, tenant: &TenantId) -> Vec<(&mut dyn Sealable, KeyOwner)> {
        // A person's own key, so that they can be erased. Without an id the invitation is refused as it is.
        let owner = self.principal.clone().map(|person| KeyOwner::Person(tenant.clone(), person));
        owner.map(|owner| (&mut self.profile as &mut dyn Sealable, owner)).into_iter().collect()
    }
}

/// Stops a principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DisableUser {
    /// Whom.
    pub principal: PrincipalId,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

impl Body for DisableUser {}

/// Creates a service account; its principal id follows from its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAccount {
    /// Its name, unique in the tenant: a token.
    pub name: String,
}

impl Body for CreateAccount {}

/// Issues a key. The secret is made by the sender and never sent: only its hash is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueKey {
    /// The key's public id; made if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// As whom it acts: a service account or a person of this tenant.
    pub principal: PrincipalId,
    /// BLAKE3 of the secret. Over REST and in the CLI leave it out: the secret is then made for you and shown once.
    pub hash: KeyHash,
    /// Where its calls are booked, and the most it can reach; the whole tenant if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The models it may use; all that its grants allow if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelId>,
    /// When it stops working by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The agent it acts for; only parts of Steward may say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The task it is made for; only parts of Steward may say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
}

impl Body for IssueKey {
    fn scope(&self, tenant: &TenantId) -> Scope {
        self.scope.clone().unwrap_or_else(|| Scope::tenant(tenant))
    }
    fn complete(&mut self, fresh: &dyn Ids) {
        if self.key.is_none() {
            self.key = KeyId::new(format!("key_{}", fresh.unique())).ok();
        }
    }
}

/// Revokes a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeKey {
    /// Which.
    pub key: KeyId,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

impl Body for RevokeKey {}
