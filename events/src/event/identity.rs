//! Who exists in a tenant, and with which keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{AddressRange, OpenHours};
use crate::id::{AgentId, KeyId, ModelId, PrincipalId, TaskId};
use crate::permission::PermissionPattern;
use crate::quantity::SchemaVersion;
use crate::scope::Scope;
use crate::sealed::{KeyDigest, Sealed};
use crate::sender::KeyRef;
use crate::timestamp::Timestamp;

/// Events of a tenant's people, service accounts and keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum IdentityEvent {
    /// A service account exists. Its name is no secret; it names a program.
    AccountCreated {
        /// Its opaque id.
        principal: PrincipalId,
        /// Its name, unique in the tenant.
        name: String,
    },
    /// A person may sign in.
    UserInvited {
        /// Their opaque id.
        principal: PrincipalId,
        /// Who they are, readable until they are erased.
        profile: Sealed<Profile>,
    },
    /// Somebody answers for a service account: it may act while they may.
    OwnerSet {
        /// The account.
        account: PrincipalId,
        /// The person.
        owner: PrincipalId,
    },
    /// A person is known otherwise from now on.
    UserChanged {
        /// Whom it concerns.
        principal: PrincipalId,
        /// Who they are, readable until they are erased.
        profile: Sealed<Profile>,
    },
    /// A person or account may act again, by the keys that were not revoked.
    UserEnabled {
        /// Whom it concerns.
        principal: PrincipalId,
        /// Why.
        reason: String,
    },
    /// A person or account may do nothing from now on, until it is enabled.
    UserDisabled {
        /// Whom it concerns.
        principal: PrincipalId,
        /// Why.
        reason: String,
    },
    /// A key acts as its principal, at or below a scope.
    KeyIssued {
        /// The key's public id.
        key: KeyId,
        /// As whom it acts.
        principal: PrincipalId,
        /// BLAKE3 of the whole secret.
        hash: KeyHash,
        /// Where its calls are booked, and the most that it can reach.
        scope: Scope,
        /// The models it may use; empty means all that its grants allow.
        models: Vec<ModelId>,
        /// Moment at which the key stops working.
        expires: Option<Timestamp>,
        /// The agent it acts for, if one.
        agent: Option<AgentId>,
        /// The task it was made for, if one.
        task: Option<TaskId>,
        /// The permissions it is for; empty means all that its grants allow, or calls only if it names models.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        permissions: Vec<PermissionPattern>,
        /// The key that ends this one when it ends: that by which the task was submitted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<KeyRef>,
        /// From where it may be used; empty means from everywhere.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        addresses: Vec<AddressRange>,
        /// When it may be used, each with its time zone; empty means always.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hours: Vec<OpenHours>,
        /// The first of the keys that this one replaces, each made for the one before: its budgets hold on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<KeyId>,
    },
    /// Another key was made in place of this one, which ends soon.
    KeyReplaced {
        /// Which.
        key: KeyId,
        /// The key in its place.
        by: KeyId,
        /// Moment at which the old key stops working.
        until: Timestamp,
    },
    /// A key works no more.
    KeyRevoked {
        /// Which.
        key: KeyId,
        /// Why.
        reason: String,
    },
    /// Nobody may read who a person was from now on; they were disabled before.
    UserErased {
        /// Whom it concerns.
        principal: PrincipalId,
        /// Why.
        reason: String,
    },
    /// The data key of a person who was erased is gone: the proof.
    UserKeyDestroyed {
        /// Whose.
        principal: PrincipalId,
        /// Which wrapped key it was; none if there was none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wrapped: Option<KeyDigest>,
    },
}

impl IdentityEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(3);
}

/// What is known of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Mail address.
    pub email: String,
    /// Name of the person.
    #[serde(default)]
    pub name: String,
}

/// BLAKE3 of an API key's secret, as 64 hex digits. Keys carry 160 random bits, so a fast hash is enough.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct KeyHash(#[schemars(regex(pattern = "^[0-9a-f]{64}$"))] String);

impl KeyHash {
    /// The hash of a secret.
    pub fn of(secret: &str) -> Self {
        Self(blake3::hash(secret.as_bytes()).to_hex().to_string())
    }

    /// Compares in constant time.
    pub fn matches(&self, secret: &str) -> bool {
        blake3::Hash::from_hex(&self.0).is_ok_and(|hash| hash == blake3::hash(secret.as_bytes()))
    }
}

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}…", &self.0[..8])
    }
}

impl From<KeyHash> for String {
    fn from(hash: KeyHash) -> Self {
        hash.0
    }
}

impl TryFrom<String> for KeyHash {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(text))
        } else {
            Err("a key hash is the BLAKE3 of the secret as 64 lower-case hex digits")
        }
    }
}
