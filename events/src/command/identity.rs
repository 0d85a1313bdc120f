//! Commands about people, service accounts and keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::{KeyHash, Profile};
use crate::id::{AgentId, KeyId, ModelId, PrincipalId, TaskId, TenantId};
use crate::ids::Ids;
use crate::permission::PermissionPattern;
use crate::scope::Scope;
use crate::sealed::{Content, KeyDigest, KeyOwner, Sealable};
use crate::sender::KeyRef;
use crate::timestamp::Timestamp;

commands! {
    IdentityCommand of Identity {
        "user" "invite" => InviteUser, Callers, "Invite a person";
        "user" "disable" => DisableUser, Callers, "Disable a person or service account, at once and for ever";
        "user" "erase" => EraseUser, Callers, "Erase who a person is, everywhere and for ever; they are disabled with it";
        "user" "record-destroyed" => RecordDestroyedKey, System, "Record that the data key of an erased person is gone";
        "account" "create" => CreateAccount, Callers, "Create a service account for a program";
        "key" "issue" => IssueKey, Callers, "Issue an API key that acts as a service account or person";
        "key" "revoke" => RevokeKey, Callers, "Revoke an API key at once";
    }
}

/// Lets a person in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteUser {
    /// Id of the person, `p_…`; made if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<PrincipalId>,
    /// Profile of the person; sealed before it is recorded.
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
    /// Principal to disable.
    pub principal: PrincipalId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for DisableUser {}

/// Erases a person: their data key is destroyed, so that nobody can read their profile any more, in the log, in views,
/// in exports and in backups. What they did stays, under their opaque id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseUser {
    /// Person to erase.
    pub principal: PrincipalId,
    /// Reason, for people; it is not erased, so name nobody in it.
    #[serde(default)]
    pub reason: String,
}

impl Body for EraseUser {}

/// Records that a person's data key is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordDestroyedKey {
    /// Whose.
    pub principal: PrincipalId,
    /// Which wrapped key it was; left out if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrapped: Option<KeyDigest>,
}

impl Body for RecordDestroyedKey {}

/// Creates a service account; its principal id follows from its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAccount {
    /// Name of the account, unique in the tenant: `a-z`, `0-9`, `_` and `-`.
    pub name: String,
}

impl Body for CreateAccount {}

/// Issues a key. The secret is made by the sender and never sent: only its hash is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueKey {
    /// Public id of the key, `key_…`; made if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// Service account or person of this tenant as which the key acts.
    pub principal: PrincipalId,
    /// BLAKE3 of the secret. Leave it out over REST and in the CLI: the secret is made for you and shown once.
    pub hash: KeyHash,
    /// Scope on which calls are booked and beyond which the key reaches nothing; the whole tenant if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Models that the key may use; if empty, all that the grants allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelId>,
    /// Moment at which the key stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Agent for which the key acts; only parts of Steward may set this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// Task for which the key is made; only parts of Steward may set this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Permissions that the key is for; if empty, all that the grants allow, or only calls if it names models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<PermissionPattern>,
    /// Key that ends this one when it ends; only parts of Steward may set this.
    #[schemars(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<KeyRef>,
}

impl Body for IssueKey {
    fn begins_in_project(&self) -> bool {
        true
    }
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
    /// Id of the key.
    pub key: KeyId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for RevokeKey {}
