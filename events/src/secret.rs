//! API keys as text: `stw_<tenant>_<secret>`. A key names its tenant, so that a key of one tenant is never looked up in
//! another's. Knows the form alone; who holds a key, and whether it works, is decided elsewhere.

use std::fmt;

use crate::id::TenantId;
use crate::ids::ALPHABET;

/// The longest text that is read as a key.
pub const KEY_BYTES_MAX: usize = 200;

const PREFIX: &str = "stw_";

/// A secret that people copy: 32 letters, five bits of each of the `random` bytes.
pub fn letters(random: &[u8; 32]) -> String {
    random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}

/// The text of a key of `tenant` with this `secret`, which holds no `_`.
pub fn api_key(tenant: &TenantId, secret: impl fmt::Display) -> String {
    format!("{PREFIX}{tenant}_{secret}")
}

/// The tenant that `key` names, if it has the form of a key.
pub fn tenant_of(key: &str) -> Option<TenantId> {
    if key.len() > KEY_BYTES_MAX {
        return None;
    }
    key.strip_prefix(PREFIX)?.rsplit_once('_')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_tenant() {
        let tenant = TenantId::new("my_team").unwrap();
        assert_eq!(tenant_of(&api_key(&tenant, letters(&[7; 32]))), Some(tenant));
        assert_eq!(tenant_of("stw_acme_abc").unwrap().as_str(), "acme");
        for wrong in ["", "stw_", "stw_acme", "acme_abc", "stw_A_b", "stw_*_b", &format!("stw_a_{}", "x".repeat(300))] {
            assert!(tenant_of(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn letters_follow_random_bytes_and_cover_the_alphabet() {
        let bytes: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap() | 0xe0);
        assert_eq!(letters(&bytes).as_bytes(), ALPHABET);
        assert_ne!(letters(&[0; 32]), letters(&[1; 32]));
    }
}
