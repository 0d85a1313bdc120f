//! Data keys: wrapped by the master key, kept in a vault outside the log.
//!
//! A key that is destroyed leaves a mark in the vault, so that nobody makes another of its name. What counts is the log: a
//! keyring that [follows](Keyring::follow) it opens nothing of an owner that was erased, whatever a vault that was restored
//! from a backup may hold.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;
use steward_events::BoxError;
use steward_events::quantity::Shard;
use steward_events::sealed::{DataKey, KeyDigest, KeyOwner, KnowsErased, SealError};
use steward_events::view::View;
use tokio::task::JoinSet;

use crate::live::Live;

/// What a vault has under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nothing: no key was ever made.
    Nothing,
    /// A wrapped key.
    Key(Vec<u8>),
    /// A key was here, or might have been, and none will be again.
    Destroyed,
}

/// Where wrapped data keys are kept. It sees ciphertext only.
#[async_trait]
pub trait KeyVault: Send + Sync + 'static {
    /// What is kept under `name`.
    async fn get(&self, name: &str) -> Result<Held, BoxError>;
    /// Keeps `wrapped` under `name` unless something is there; returns what is there afterwards.
    async fn put_if_absent(&self, name: &str, wrapped: Vec<u8>) -> Result<Held, BoxError>;
    /// Destroys the key called `name`, beyond recovery, and keeps the name from being used again. Which key it was, also if
    /// it was destroyed before; none if there was none.
    async fn destroy(&self, name: &str) -> Result<Option<KeyDigest>, BoxError>;
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
    /// Whether an owner was erased, by what the log says.
    erased: RwLock<Option<AskErased>>,
}

/// Asks the fold that is followed whether an owner was erased.
type AskErased = Box<dyn Fn(&KeyOwner) -> bool + Send + Sync>;

impl Keyring {
    /// A keyring over `vault`.
    pub fn new(master: DataKey, vault: Arc<dyn KeyVault>) -> Self {
        let opened = Cache::with_weighter(OPENED_EXPECTED, OPENED_MAX, UnitWeighter);
        Self { master, vault, opened, erased: RwLock::default() }
    }

    /// From now on nothing is opened or sealed for those whom `live` knows to be erased, and their keys leave the memory as
    /// soon as it hears of it, while what is returned lives. The last to be followed counts.
    pub fn follow<V: View + KnowsErased>(self: &Arc<Self>, live: &Arc<Live<V>>) -> JoinSet<()> {
        let asked = Arc::downgrade(live);
        // A fold that has ended has ended with its process: nobody opens anything there.
        let ask: AskErased = Box::new(move |owner| asked.upgrade().is_some_and(|live| live.read().is_erased(owner)));
        *self.erased.write().unwrap_or_else(PoisonError::into_inner) = Some(ask);
        let (keyring, mut tasks) = (Arc::downgrade(self), JoinSet::new());
        tasks.spawn(hear_of_erased(Arc::downgrade(live), move |owner| {
            if let Some(keyring) = keyring.upgrade() {
                keyring.forget(owner);
            }
        }));
        tasks
    }

    fn forget(&self, owner: &KeyOwner) {
        self.opened.retain(|kept, _| match (owner, kept) {
            (KeyOwner::Tenant(erased), KeyOwner::Tenant(tenant) | KeyOwner::Person(tenant, _)) => erased != tenant,
            (person, kept) => person != kept,
        });
    }

    /// The owner's key, to open what it sealed.
    pub async fn find(&self, owner: &KeyOwner) -> Result<DataKey, KeyError> {
        self.check(owner)?;
        if let Some(key) = self.remembered(owner) {
            return Ok(key);
        }
        let name = owner.vault_name();
        match self.vault.get(&name).await.map_err(KeyError::Unavailable)? {
            Held::Key(wrapped) => self.unwrap(owner, &wrapped),
            Held::Nothing | Held::Destroyed => Err(KeyError::Erased(name)),
        }
    }

    /// The owner's key, made if there was none yet.
    ///
    /// # Errors
    /// [`KeyError::Erased`] for an owner that was erased: nothing new is sealed for it.
    pub async fn find_or_make(&self, owner: &KeyOwner) -> Result<DataKey, KeyError> {
        self.check(owner)?;
        if let Some(key) = self.remembered(owner) {
            return Ok(key);
        }
        let name = owner.vault_name();
        let held = match self.vault.get(&name).await.map_err(KeyError::Unavailable)? {
            Held::Nothing => {
                let fresh = DataKey::random().map_err(KeyError::Unavailable)?;
                let wrapped = self.master.encrypt(fresh.as_bytes(), name.as_bytes()).map_err(KeyError::Unavailable)?;
                self.vault.put_if_absent(&name, wrapped).await.map_err(KeyError::Unavailable)?
            }
            held => held,
        };
        match held {
            Held::Key(wrapped) => self.unwrap(owner, &wrapped),
            Held::Nothing | Held::Destroyed => Err(KeyError::Erased(name)),
        }
    }

    /// Destroys the owner's key: what it sealed cannot be read any more, by anyone. Which key it was, also if it was
    /// destroyed before.
    pub async fn destroy(&self, owner: &KeyOwner) -> Result<Option<KeyDigest>, KeyError> {
        let destroyed = self.vault.destroy(&owner.vault_name()).await.map_err(KeyError::Unavailable);
        // After it: what was opened meanwhile is forgotten too.
        self.opened.remove(owner);
        destroyed
    }

    fn check(&self, owner: &KeyOwner) -> Result<(), KeyError> {
        let ask = self.erased.read().unwrap_or_else(PoisonError::into_inner);
        let erased = ask.as_ref().is_some_and(|is_erased| is_erased(owner));
        if erased { Err(KeyError::Erased(owner.vault_name())) } else { Ok(()) }
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
        // Erased while it was fetched: then it has been forgotten before it came.
        self.check(owner).inspect_err(|_| _ = self.opened.remove(owner))?;
        Ok(key)
    }
}

/// How long to wait without any sign before looking again all the same.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Tells `forget` of each owner that `live` knows to be erased, once, until `live` ends.
pub async fn hear_of_erased<V: View + KnowsErased>(live: Weak<Live<V>>, forget: impl Fn(&KeyOwner) + Send) {
    let mut told = 0;
    loop {
        let moved = {
            let Some(live) = live.upgrade() else { return };
            let moves: Vec<_> = (0_u16..).map_while(|shard| live.moves(Shard(shard))).collect();
            let new = live.read().erased().get(told..).map(<[_]>::to_vec).unwrap_or_default();
            told += new.len();
            new.iter().for_each(&forget);
            moves
        };
        let any = moved.into_iter().map(|mut moved| Box::pin(async move { moved.changed().await.is_ok() }));
        let any: Vec<_> = any.collect();
        if any.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        } else {
            _ = tokio::time::timeout(LOOK_EVERY, futures::future::select_all(any)).await;
        }
    }
}

/// A vault in memory, for tests.
#[derive(Default)]
pub struct MemoryVault(Mutex<HashMap<String, Held>>, Mutex<HashMap<String, KeyDigest>>);

#[async_trait]
impl KeyVault for MemoryVault {
    async fn get(&self, name: &str) -> Result<Held, BoxError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.get(name).cloned().unwrap_or(Held::Nothing))
    }
    async fn put_if_absent(&self, name: &str, wrapped: Vec<u8>) -> Result<Held, BoxError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.entry(name.to_owned()).or_insert(Held::Key(wrapped)).clone())
    }
    async fn destroy(&self, name: &str) -> Result<Option<KeyDigest>, BoxError> {
        let mut destroyed = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Held::Key(wrapped)) = kept.insert(name.to_owned(), Held::Destroyed) {
            destroyed.insert(name.to_owned(), KeyDigest::of(&wrapped));
        }
        Ok(destroyed.get(name).cloned())
    }
}

#[cfg(test)]
mod tests {
    use steward_events::commit::Recorded;
    use steward_events::event::AggregateKind;

    use super::*;
    use crate::clock::SystemClock;
    use crate::log::memory::MemoryLog;

    fn ana() -> KeyOwner {
        KeyOwner::Person("acme".parse().unwrap(), "p_ana".parse().unwrap())
    }

    fn keyring(vault: &Arc<MemoryVault>) -> Arc<Keyring> {
        Arc::new(Keyring::new(DataKey::from_bytes([7; 32]), Arc::clone(vault) as _))
    }

    #[tokio::test]
    async fn no_key_is_made_for_an_owner_whose_key_was_destroyed() {
        let vault = Arc::new(MemoryVault::default());
        let one = keyring(&vault);
        one.find_or_make(&ana()).await.unwrap();
        let destroyed = one.destroy(&ana()).await.unwrap();
        assert!(destroyed.is_some());
        assert_eq!(keyring(&vault).destroy(&ana()).await.unwrap(), destroyed, "told again, after a crash for one");
        for keyring in [one, keyring(&vault)] {
            assert!(matches!(keyring.find(&ana()).await, Err(KeyError::Erased(_))));
            assert!(matches!(keyring.find_or_make(&ana()).await, Err(KeyError::Erased(_))));
        }
    }

    /// Everybody of acme is erased.
    #[derive(Default)]
    struct Erased;
    impl View for Erased {
        const KINDS: &'static [AggregateKind] = &[AggregateKind::Tenant];
        fn apply(&mut self, _: &Recorded<'_>) {}
    }
    impl KnowsErased for Erased {
        fn erased(&self) -> &[KeyOwner] {
            static ALL: std::sync::LazyLock<Vec<KeyOwner>> =
                std::sync::LazyLock::new(|| vec![KeyOwner::Tenant("acme".parse().unwrap())]);
            &ALL
        }
        fn is_erased(&self, owner: &KeyOwner) -> bool {
            *owner == ana()
        }
    }

    #[tokio::test]
    async fn a_restored_key_of_an_erased_owner_opens_nothing() {
        let vault = Arc::new(MemoryVault::default());
        let before = keyring(&vault);
        before.find_or_make(&ana()).await.unwrap();
        let live = Arc::new(Live::<Erased>::start(Arc::new(MemoryLog::default()), Arc::new(SystemClock::default())));
        let _following = before.follow(&live);
        assert!(matches!(before.find(&ana()).await, Err(KeyError::Erased(_))));
        let forgotten = async {
            while before.remembered(&ana()).is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), forgotten).await.expect("it leaves the memory");
    }
}
