//! Opens sealed content for a caller who may read it.

use serde::{Serialize, de::DeserializeOwned};

use steward_events::sealed::Sealed;
use steward_ports::keys::{KeyError, Keyring};

/// What `sealed` holds.
///
/// # Errors
/// [`KeyError::Erased`] if its owner was erased; else the key cannot be had, or is another.
pub async fn open<T: Serialize + DeserializeOwned>(keyring: &Keyring, sealed: &Sealed<T>) -> Result<T, KeyError> {
    let key = keyring.find(sealed.owner()).await?;
    sealed.open(&key).map_err(|error| KeyError::WrongMasterKey(sealed.owner().vault_name(), error))
}
