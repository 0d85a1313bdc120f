//! Secrets of a tenant: which there are, for people; and one itself, for the gateway alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{Page, Paging, list_query};
use steward_events::digest::BodyHash;
use steward_events::id::{PrincipalId, ProviderId, SecretId};
use steward_events::provider_key::SecretValue;
use steward_events::quantity::Position;
use steward_events::timestamp::Timestamp;

list_query! {
    /// Lists secrets.
    ListSecrets {
        /// Only the one that this provider uses.
        provider: ProviderId,
    }
}

/// Secrets, without what they are.
pub type SecretPage = Page<SecretRow>;

/// One secret. What it is, no list says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRow {
    /// Name of the secret.
    pub secret: SecretId,
    /// When it was set last.
    pub set_at: Timestamp,
    /// Who set it then.
    pub set_by: PrincipalId,
    /// The providers that use it.
    pub providers: Vec<ProviderId>,
}

/// Opens a secret, to be sent to the provider that uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSecret {
    /// Name of the secret.
    pub secret: SecretId,
    /// As it is in a state that includes this position: that at which the sender knows it was set.
    pub min_position: Position,
}

/// A secret, opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenedSecret {
    /// The secret.
    pub value: SecretValue,
    /// The digest of its recorded form: which of the secrets that had this name it is.
    #[schemars(with = "Vec<u8>")]
    pub digest: BodyHash,
}
