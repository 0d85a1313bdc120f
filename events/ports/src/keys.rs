//! Data keys: wrapped by the master key, kept in a vault outside the log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;
use steward_events::BoxError;
use steward_events::sealed::{DataKey, KeyOwner, SealError};

/// Where wrapped data keys are kept. It sees ciphertext only.
#[async_trait]
pub trait KeyVault: Send + Sync + 'static {
    /// The wrapped key called `name`, if there is one.
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, BoxError>;
    /// Keeps `wrapped` under `name` unless something is there; returns what is there afterwards.
    async fn put_if_absent(&self, name: &str, wrapped: Vec<u8>) -> Result<Vec<u8>, BoxError>;
    /// Destroys the key called `name`, beyond recovery.
    async fn destroy(&self, name: &str) -> Result<(), BoxError>;
}

/// A data key is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It was destroyed, or never made: what it sealed is erased.
    #[error("the data key of {0} does not exist: its content is erased")]
    Erased(String),
    /// The master key is not the one that wrapped it.
    #[error("this master key does not open the data key of {0}")]
    WrongMasterKey(String, #[source] SealError),
    /// The vault did not answer.
    #[error("the key vault is unavailable")]
    Unavailable(#[source] BoxError),
}

/// The most data keys that are kept open; others are opened again.
const OPENED_MAX: u64 = 10_000;

/// For how many memory is taken at first.
const OPENED_EXPECTED: usize = 64;

/// Opens data keys with the master key, and keeps them in memory.
pub struct Keyring {
    master: DataKey,
    vault: Arc<dyn KeyVault>,
    opened: Cache<KeyOwner, DataKey>,
}

impl Keyring {
    /// A keyring over `vault`.
    pub fn new(master: DataKey, vault: Arc<dyn KeyVault>) -> Self {
        Self { master, vault, opened: Cache::with_weighter(OPENED_EXPECTED, OPENED_MAX, UnitWeighter) }
    }

    /// The owner's key, to open what it sealed.
    pub async fn find(&self, owner: &KeyOwner) -> Result<DataKey, KeyError> {
        if let Some(key) = self.remembered(owner) {
            return Ok(key);
        }
        let name = owner.vault_name();
        let wrapped = self.vault.get(&name).await.map_err(KeyError::Unavailable)?;
        self.unwrap(owner, &wrapped.ok_or(KeyError::Erased(name))?)
    }

    /// The owner's key, made if there is none yet.
    pub async fn find_or_make(&self, owner: &KeyOwner) -> Result<DataKey, KeyError> {
        match self.find(owner).await {
            Err(KeyError::Erased(name)) => {
                let fresh = DataKey::random().map_err(KeyError::Unavailable)?;
                let wrapped = self.master.encrypt(fresh.as_bytes(), name.as_bytes()).map_err(KeyError::Unavailable)?;
                let kept = self.vault.put_if_absent(&name, wrapped).await.map_err(KeyError::Unavailable)?;
                self.unwrap(owner, &kept)
            }
            found => found,
        }
    }

    /// Destroys the owner's key: what it sealed cannot be read any more, by anyone.
    pub async fn destroy(&self, owner: &KeyOwner) -> Result<(), KeyError> {
        self.opened.remove(owner);
        self.vault.destroy(&owner.vault_name()).await.map_err(KeyError::Unavailable)
    }

    fn remembered(&self, owner: &KeyOwner) -> Option<DataKey> {
        self.opened.get(owner)
    }

    fn unwrap(&self, owner: &KeyOwner, wrapped: &[u8]) -> Result<DataKey, KeyError> {
        let name = owner.vault_name();
        let wrong = |error| KeyError::WrongMasterKey(name.clone(), error);
        let bytes = self.master.decrypt(wrapped, name.as_bytes()).map_err(wrong)?;
        let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| wrong(SealError::DoesNotOpen))?;
        let key = DataKey::from_bytes(bytes);
        self.opened.insert(owner.clone(), key.clone());
        Ok(key)
    }
}

/// A vault in memory, for tests.
#[derive(Default)]
pub struct MemoryVault(Mutex<HashMap<String, Vec<u8>>>);

#[async_trait]
impl KeyVault for MemoryVault {
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, BoxError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())
    }
    async fn put_if_absent(&self, name: &str, wrapped: Vec<u8>) -> Result<Vec<u8>, BoxError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.entry(name.to_owned()).or_insert(wrapped).clone())
    }
    async fn destroy(&self, name: &str) -> Result<(), BoxError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }
}
