//! As whom a request comes: the token of its subject after the tenant. Only the login to the bus, and the gateway, say
//! who may write which.
//!
//! | token | who |
//! |---|---|
//! | `sys_…` | a part of Steward |
//! | `key_…` | the holder of this key of the tenant that the request is about |
//! | `op_key_…` | the holder of this key of the tenant `steward`, whatever the request is about |
//! | any other | a principal, through one of its keys that are not narrowed |

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{ID_BYTES_MAX, KeyId, PrincipalId, TenantId};

/// The longest that a caller's connection to the bus lasts before it must log in again: what a key could do on the bus
/// ends after this even if nobody closes the connection.
pub const SESSION_TIME_MAX: Duration = Duration::from_mins(5);

/// What the ids of keys begin with.
const KEY: &str = "key_";

/// What stands before the id of a key of the tenant `steward`. Ids of people and operators never begin so.
pub const OPERATORS_KEY: &str = "op_key_";

/// The longest id of a key: with what may stand before it, it is a token.
pub const KEY_BYTES_MAX: usize = ID_BYTES_MAX - (OPERATORS_KEY.len() - KEY.len());

/// True if the sender is an operator, or holds an operator's key: only the tenant `steward` makes ids that begin so.
pub fn is_of_an_operator(sender: &PrincipalId) -> bool {
    sender.as_str().starts_with("op_")
}

/// A key, with the tenant that issued it: two tenants may choose the same id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRef {
    /// Who issued it; `steward` for operators.
    pub tenant: TenantId,
    /// Which.
    pub key: KeyId,
}

impl KeyRef {
    /// The token by which this key's holder sends requests.
    pub fn speaks_as(&self) -> PrincipalId {
        let token = if self.tenant.is_steward() { format!("op_{}", self.key) } else { self.key.to_string() };
        // The id of a key is a token, and short enough: the aggregate of identities sees to that.
        PrincipalId::new(token).unwrap_or_else(|_| PrincipalId::nobody())
    }

    /// The key that `sender` names in a request about `tenant`; none if it names no key.
    pub fn spoken(sender: &PrincipalId, tenant: &TenantId) -> Option<Self> {
        let (tenant, key) = if sender.as_str().starts_with(OPERATORS_KEY) {
            (TenantId::steward(), sender.as_str().strip_prefix("op_")?)
        } else if sender.as_str().starts_with(KEY) {
            (tenant.clone(), sender.as_str())
        } else {
            return None;
        };
        Some(Self { tenant, key: KeyId::new(key).ok()? })
    }
}

impl std::fmt::Display for KeyRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.tenant, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_spoken() {
        let (acme, globex) = ("acme".parse().unwrap(), "globex".parse().unwrap());
        let of = |tenant: &TenantId| KeyRef { tenant: tenant.clone(), key: "key_1".parse().unwrap() };
        assert_eq!(KeyRef::spoken(&of(&acme).speaks_as(), &acme), Some(of(&acme)));
        for about in [&acme, &globex, &TenantId::steward()] {
            let operators = of(&TenantId::steward());
            assert_eq!(KeyRef::spoken(&operators.speaks_as(), about), Some(operators), "{about}");
        }
        assert_ne!(of(&acme).speaks_as(), of(&TenantId::steward()).speaks_as(), "the same id is not the same key");
        for nobodys in ["p_1", "op_1", "sys_worker", "svc_key_1"] {
            assert_eq!(KeyRef::spoken(&nobodys.parse().unwrap(), &acme), None, "{nobodys}");
        }
    }

    #[test]
    fn the_longest_id_of_a_key_can_be_spoken() {
        let key = KeyId::new(format!("key_{}", "a".repeat(KEY_BYTES_MAX - KEY.len()))).unwrap();
        let operators = KeyRef { tenant: TenantId::steward(), key };
        assert_eq!(KeyRef::spoken(&operators.speaks_as(), &"acme".parse().unwrap()), Some(operators));
    }
}
