//! Keys of rows.

use steward_events::id::TenantId;

/// A row's key: the tenant first, so that a tenant's rows lie together, can be exported, and can be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// The beginning of all keys of `tenant`.
    pub fn of(tenant: &TenantId) -> Self {
        let mut bytes = Vec::with_capacity(160);
        bytes.extend_from_slice(tenant.as_str().as_bytes());
        bytes.push(0);
        Self(bytes)
    }

    /// The same, then a text. No name in Steward holds a zero byte, so texts end with one.
    pub fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    /// The same, then a number, so that keys sort by it.
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// A bound after all keys that begin with this one and go on with a text: texts are ASCII.
    pub fn end(mut self) -> Self {
        self.0.push(0xff);
        self
    }

    /// A key as it was stored.
    pub(crate) const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
