//! The passwords of the parts of Steward, and the seed that signs logins: made once, in a file that only its owner reads.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde::{Deserialize, Serialize};

use super::error::ServerError;
use super::files::{create_private_dir, write_private};
use crate::role::Role;

/// What is secret about a bus.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// By user name.
    passwords: BTreeMap<String, String>,
    /// An account nkey.
    login_seed: String,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// Those kept in `dir`.
    pub fn load(dir: &Path) -> Result<Self, ServerError> {
        let path = path(dir);
        let text = fs::read(&path).map_err(ServerError::file(&path))?;
        let damaged = |reason: String| ServerError::Damaged { path: path.clone(), reason };
        let secrets: Self = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if let Some(missing) = Role::ALL.into_iter().find(|role| !secrets.passwords.contains_key(role.user())) {
            return Err(damaged(format!("it has no password of {missing}")));
        }
        KeyPair::from_seed(&secrets.login_seed).map_err(|error| damaged(format!("login seed: {error}")))?;
        Ok(secrets)
    }

    /// Those kept in `dir`, made if there are none.
    pub fn load_or_generate(dir: &Path) -> Result<Self, ServerError> {
        match Self::load(dir) {
            Err(ServerError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                let secrets = Self::generate()?;
                secrets.keep(dir)?;
                Ok(secrets)
            }
            loaded => loaded,
        }
    }

    /// Those kept in `dir`, copied from `other` if there are none: servers of one cluster let the same parts in.
    pub fn load_or_copy(dir: &Path, other: &Path) -> Result<Self, ServerError> {
        match Self::load(dir) {
            Err(ServerError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                let secrets = Self::load(other)?;
                create_private_dir(dir)?;
                secrets.keep(dir)?;
                Ok(secrets)
            }
            loaded => loaded,
        }
    }

    fn keep(&self, dir: &Path) -> Result<(), ServerError> {
        write_private(&path(dir), &serde_json::to_string_pretty(self).unwrap_or_default())
    }

    fn generate() -> Result<Self, ServerError> {
        let mut passwords = BTreeMap::new();
        for role in Role::ALL {
            passwords.insert(role.user().to_owned(), URL_SAFE_NO_PAD.encode(random()?));
        }
        let account = KeyPair::new_from_raw(nkeys::KeyPairType::Account, random()?);
        let login_seed =
            account.and_then(|account| account.seed()).map_err(|error| no_randomness(&error.to_string()))?;
        Ok(Self { passwords, login_seed })
    }

    /// A role's password.
    pub fn password(&self, role: Role) -> &str {
        self.passwords.get(role.user()).map_or("", String::as_str)
    }

    /// The seed of the account nkey that signs logins.
    pub fn login_seed(&self) -> &str {
        &self.login_seed
    }

    /// Its public half, which the server trusts.
    pub(super) fn login_issuer(&self) -> String {
        KeyPair::from_seed(&self.login_seed).map(|pair| pair.public_key()).unwrap_or_default()
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("secrets.json")
}

fn random() -> Result<[u8; 32], ServerError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| no_randomness(&error.to_string()))?;
    Ok(bytes)
}

fn no_randomness(reason: &str) -> ServerError {
    ServerError::Damaged { path: PathBuf::from("the source of randomness"), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_read_by_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let made = Secrets::load_or_generate(dir.path()).unwrap();
        assert_eq!(Secrets::load_or_generate(dir.path()).unwrap(), made);
        assert_ne!(made.password(Role::Admin), made.password(Role::Gateway));
        assert!(made.login_issuer().starts_with('A'));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(path(dir.path())).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_cluster_shares_the_secrets_of_its_first_server() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dir = second.path().join("nats");
        assert!(Secrets::load_or_copy(&dir, first.path()).is_err(), "there is nothing to copy yet");
        let made = Secrets::load_or_generate(first.path()).unwrap();
        assert_eq!(Secrets::load_or_copy(&dir, first.path()).unwrap(), made);
        let other = tempfile::tempdir().unwrap();
        Secrets::load_or_generate(other.path()).unwrap();
        assert_eq!(Secrets::load_or_copy(&dir, other.path()).unwrap(), made, "its own are never replaced");
    }

    #[test]
    fn a_damaged_file_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(path(dir.path()), "{}").unwrap();
        assert!(matches!(Secrets::load_or_generate(dir.path()), Err(ServerError::Damaged { .. })));
    }
}
