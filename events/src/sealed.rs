//! Content that only the holder of a data key can read: prompts, answers, people's names.
//!
//! XChaCha20-Poly1305 under a data key of the tenant or the person. The log keeps the ciphertext for ever; destroying
//! the data key erases the content, while the hash chain stays whole because it covers the ciphertext.

use std::fmt;
use std::marker::PhantomData;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::digest::BodyHash;
use crate::id::{PrincipalId, TenantId};

/// Whose data key seals something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyOwner {
    /// The tenant's.
    Tenant(TenantId),
    /// One person's, within their tenant.
    Person(TenantId, PrincipalId),
}

impl KeyOwner {
    /// A name for the key's place in the vault.
    pub fn vault_name(&self) -> String {
        match self {
            Self::Tenant(tenant) => format!("tenant.{tenant}"),
            Self::Person(tenant, person) => format!("person.{tenant}.{person}"),
        }
    }
}

impl fmt::Display for KeyOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(tenant) => write!(f, "tenant {tenant}"),
            Self::Person(tenant, person) => write!(f, "{person} of tenant {tenant}"),
        }
    }
}

/// SHA-256 of a wrapped data key, as 64 hex digits: says which key it was, and helps nobody to find it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct KeyDigest(#[schemars(regex(pattern = "^[0-9a-f]{64}$"))] String);

impl KeyDigest {
    /// The digest of a wrapped key.
    pub fn of(wrapped: &[u8]) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in Sha256::digest(wrapped) {
            // Writing to a text does not fail.
            _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KeyDigest {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(text))
        } else {
            Err("a digest of a data key is 64 lower-case hex digits")
        }
    }
}

/// A data key that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DestroyedKey {
    /// Whose it was.
    pub owner: KeyOwner,
    /// Which wrapped key it was; none if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrapped: Option<KeyDigest>,
}

/// A fold of the log that knows whose content was erased.
pub trait KnowsErased {
    /// All of them, in the order in which it was folded: what has been read once does not change.
    fn erased(&self) -> &[KeyOwner];

    /// Whether this owner's was: a person's is with that of their tenant.
    fn is_erased(&self, owner: &KeyOwner) -> bool;
}

/// 256 secret bits.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

/// Sealing or opening did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Wrong key, or the bytes were changed.
    #[error("sealed content does not open: the content was changed, or this is not its key")]
    DoesNotOpen,
    /// It opens, but is not what was expected.
    #[error("sealed content is not readable: {0}")]
    Unreadable(String),
}

impl DataKey {
    /// From raw bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// If the operating system has none.
    pub fn random() -> Result<Self, crate::BoxError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// The raw bytes, to be wrapped.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest that only holders of this key can make.
    pub fn digest(&self, bytes: &[u8]) -> BodyHash {
        BodyHash::shortened(&self.keyed("steward 2026-11 digests of commands", &[bytes]))
    }

    fn keyed(&self, purpose: &str, parts: &[&[u8]]) -> blake3::Hash {
        let key = Zeroizing::new(blake3::derive_key(purpose, self.0.as_slice()));
        let mut hasher = blake3::Hasher::new_keyed(&key);
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finalize()
    }

    /// Encrypts `plain`, bound to `context`: it opens only with the same.
    ///
    /// # Errors
    /// If there is no randomness for a nonce.
    pub fn encrypt(&self, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, crate::BoxError> {
        let mut nonce = [0_u8; 24];
        getrandom::fill(&mut nonce)?;
        self.encrypt_with(nonce, plain, context)
    }

    fn encrypt_with(&self, nonce: [u8; 24], plain: &[u8], context: &[u8]) -> Result<Vec<u8>, crate::BoxError> {
        let cipher = XChaCha20Poly1305::new(&Key::from(*self.0));
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: context })
            .map_err(|_| "plaintext too long to seal")?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`Self::encrypt`] made.
    ///
    /// # Errors
    /// [`SealError::DoesNotOpen`].
    pub fn decrypt(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, body) = sealed.split_first_chunk::<24>().ok_or(SealError::DoesNotOpen)?;
        XChaCha20Poly1305::new(&Key::from(*self.0))
            .decrypt(&XNonce::from(*nonce), Payload { msg: body, aad: context })
            .map(Zeroizing::new)
            .map_err(|_| SealError::DoesNotOpen)
    }
}

/// A `T` that only the owner's data key opens.
pub struct Sealed<T> {
    owner: KeyOwner,
    bytes: Vec<u8>,
    what: PhantomData<fn() -> T>,
}

#[derive(Serialize, Deserialize)]
struct Recorded {
    owner: KeyOwner,
    #[serde(with = "serde_bytes")]
    sealed: Vec<u8>,
}

impl<T> Sealed<T> {
    /// Whose key opens it.
    pub const fn owner(&self) -> &KeyOwner {
        &self.owner
    }

    /// Equal for equal content that was sealed with one key for one place.
    pub fn digest(&self) -> BodyHash {
        BodyHash::of(&self.bytes)
    }
}

impl<T: Serialize + DeserializeOwned> Sealed<T> {
    /// Seals `content` with the owner's key, for a place: the same content in the same place is the same bytes, so that a
    /// command that comes again is known. In another place nobody sees that it is the same.
    ///
    /// # Errors
    /// If the content cannot be serialised.
    pub fn seal(content: &T, owner: KeyOwner, key: &DataKey, place: &str) -> Result<Self, crate::BoxError> {
        let plain = Zeroizing::new(rmp_serde::to_vec_named(content)?);
        let context = owner.vault_name();
        // Made of all that is sealed and where, by a key that nobody else has: two contents do not share a nonce.
        let nonce = key.keyed("steward 2026-11 nonces of content", &[context.as_bytes(), place.as_bytes(), &plain]);
        let nonce = nonce.as_bytes().first_chunk().copied().unwrap_or([0; 24]);
        let bytes = key.encrypt_with(nonce, &plain, context.as_bytes())?;
        Ok(Self { owner, bytes, what: PhantomData })
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`SealError`] if the key is another or the content is.
    pub fn open(&self, key: &DataKey) -> Result<T, SealError> {
        let plain = key.decrypt(&self.bytes, self.owner.vault_name().as_bytes())?;
        rmp_serde::from_slice(&plain).map_err(|error| SealError::Unreadable(error.to_string()))
    }
}

impl<T> Clone for Sealed<T> {
    fn clone(&self) -> Self {
        Self { owner: self.owner.clone(), bytes: self.bytes.clone(), what: PhantomData }
    }
}

impl<T> PartialEq for Sealed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.owner == other.owner && self.bytes == other.bytes
    }
}

impl<T> Eq for Sealed<T> {}

impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes for {})", self.bytes.len(), self.owner.vault_name())
    }
}

impl<T> Serialize for Sealed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(&format_args!(
                "sealed, {} bytes, {}",
                self.bytes.len(),
                self.owner.vault_name()
            ));
        }
        Recorded { owner: self.owner.clone(), sealed: self.bytes.clone() }.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Sealed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Recorded { owner, sealed } = Recorded::deserialize(deserializer)?;
        Ok(Self { owner, bytes: sealed, what: PhantomData })
    }
}

/// Content on its way in: plain in a command, sealed by the handler before anything is decided or recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<T> {
    /// As the caller sent it.
    Plain(T),
    /// As it is recorded.
    Sealed(Sealed<T>),
}

impl<T> Content<T> {
    /// The sealed form, once the handler has made it.
    pub const fn sealed(&self) -> Option<&Sealed<T>> {
        match self {
            Self::Plain(_) => None,
            Self::Sealed(sealed) => Some(sealed),
        }
    }
}

/// Content of any type, to be sealed where it stands.
pub trait Sealable: Send {
    /// True until it is sealed.
    fn is_plain(&self) -> bool;

    /// Seals it with the owner's key, for a place, unless it is sealed already.
    ///
    /// # Errors
    /// As [`Sealed::seal`].
    fn seal(&mut self, owner: KeyOwner, key: &DataKey, place: &str) -> Result<(), crate::BoxError>;
}

impl<T: Serialize + DeserializeOwned + Send> Sealable for Content<T> {
    fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    fn seal(&mut self, owner: KeyOwner, key: &DataKey, place: &str) -> Result<(), crate::BoxError> {
        if let Self::Plain(plain) = self {
            *self = Self::Sealed(Sealed::seal(plain, owner, key, place)?);
        }
        Ok(())
    }
}

/// Only plain content crosses the bus in commands; nobody can hand in a sealed blob of their own.
impl<T: Serialize> Serialize for Content<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(plain) => plain.serialize(serializer),
            Self::Sealed(_) => Err(serde::ser::Error::custom("sealed content does not travel in commands")),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Content<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::Plain)
    }
}

impl<T: JsonSchema> JsonSchema for Content<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_content_opens_only_with_its_key_in_its_place() {
        let owner = KeyOwner::Tenant(TenantId::new("acme").unwrap());
        let key = DataKey::random().unwrap();
        let sealed = Sealed::seal(&"hello".to_owned(), owner.clone(), &key, "t_1").unwrap();
        assert_eq!(sealed.open(&key).unwrap(), "hello");
        assert_eq!(sealed.open(&DataKey::random().unwrap()), Err(SealError::DoesNotOpen));
        let moved = Sealed::<String> { owner: KeyOwner::Tenant(TenantId::new("other").unwrap()), ..sealed.clone() };
        assert_eq!(moved.open(&key), Err(SealError::DoesNotOpen));
        let seal = |text: &str, place| Sealed::seal(&text.to_owned(), owner.clone(), &key, place).unwrap().digest();
        assert_eq!(sealed.digest(), seal("hello", "t_1"), "sent again, it is the same");
        for other in [seal("hello", "t_2"), seal("hallo", "t_1")] {
            assert_ne!(sealed.digest(), other);
        }
        let mut changed = sealed.clone();
        *changed.bytes.last_mut().unwrap() ^= 1;
        assert_eq!(changed.open(&key), Err(SealError::DoesNotOpen));
    }
}
