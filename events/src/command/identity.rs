//! Commands about people, service accounts and keys.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::{AddressRange, KeyHash, OpenHours, Profile};
use crate::id::{AgentId, KeyId, ModelId, PrincipalId, TaskId, TenantId};
use crate::ids::Ids;
use crate::permission::PermissionPattern;
use crate::scope::Scope;
use crate::sealed::{Content, KeyDigest, KeyOwner, Sealable};
use crate::sender::KeyRef;
use crate::setting::Span;
use crate::timestamp::Timestamp;

commands! {
    IdentityCommand of Identity {
        "user" "invite" => InviteUser, Callers, "Invite a person";
        "user" "set" => SetUser, Callers, "Change who a person is: mail address and name";
        "user" "disable" => DisableUser, Callers, "Disable a person or service account at once, and the accounts that a person owns";
        "user" "enable" => EnableUser, Callers, "Let a disabled person or service account act again; revoked keys stay revoked";
        "user" "erase" => EraseUser, Callers, "Erase who a person is, everywhere and for ever; they are disabled with it";
        "user" "record-destroyed" => RecordDestroyedKey, System, "Record that the data key of an erased person is gone";
        "account" "create" => CreateAccount, Callers, "Create a service account for a program";
        "account" "set-owner" => SetOwner, Callers, "Say which person answers for a service account; it may act while they may";
        "key" "issue" => IssueKey, Callers, "Issue an API key that acts as a service account or person";
        "key" "rotate" => RotateKey, Callers, "Replace an API key by a new one that may the same; both work for a while";
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

/// Changes who a person is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUser {
    /// Id of the person, `p_…`.
    pub principal: PrincipalId,
    /// Profile of the person; sealed before it is recorded.
    pub profile: Content<Profile>,
}

impl Body for SetUser {
    fn sealed(&mut self, tenant: &TenantId) -> Vec<(&mut dyn Sealable, KeyOwner)> {
        let owner = KeyOwner::Person(tenant.clone(), self.principal.clone());
        vec![(&mut self.profile, owner)]
    }
}

/// Lets a principal act again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnableUser {
    /// Principal to enable.
    pub principal: PrincipalId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for EnableUser {}

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
    /// Person of this tenant who answers for the account; if left out, the person who creates it, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PrincipalId>,
}

impl Body for CreateAccount {}

/// Says who answers for a service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetOwner {
    /// Service account, `svc_…`.
    pub account: PrincipalId,
    /// Person of this tenant who answers for it from now on.
    pub owner: PrincipalId,
}

impl Body for SetOwner {}

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
    /// Ranges of addresses from which the key may be used, e.g. `10.0.0.0/8`; from everywhere if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressRange>,
    /// Hours in which the key may be used, e.g. `Mon-Fri 08:00-18:00 Europe/Berlin`; the tenant's time zone if none is
    /// named; always if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<OpenHours>,
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

/// Replaces a key. The secret of the new one is made by the sender and never sent: only its hash is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// Id of the key that is replaced.
    pub key: KeyId,
    /// Public id of the new key, `key_…`; made if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<KeyId>,
    /// BLAKE3 of the new secret. Leave it out over REST and in the CLI: the secret is made for you and shown once.
    pub hash: KeyHash,
    /// How long the old key goes on working beside the new one, e.g. `24h`, which it is if left out; 30 days at most.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    #[schemars(with = "Option<Span>")]
    pub overlap: Option<Duration>,
}

impl Body for RotateKey {
    fn complete(&mut self, fresh: &dyn Ids) {
        if self.successor.is_none() {
            self.successor = KeyId::new(format!("key_{}", fresh.unique())).ok();
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
