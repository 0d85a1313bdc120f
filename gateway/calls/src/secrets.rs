//! Secrets by reference: what is configured and recorded names where a secret is found, never the secret.

use std::fmt;
use std::sync::Arc;

/// What reads a secret by its reference.
type Resolver = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Resolves references to secrets, anew at every call, so that a rotated file counts at once.
#[derive(Clone)]
pub struct Secrets(Arc<Resolver>);

impl Secrets {
    /// Through `resolve`, which gets the whole reference, e.g. `env:OPENAI_API_KEY`.
    pub fn new(resolve: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(resolve))
    }

    /// The secret, trimmed; none if there is none or it could not stand in a header.
    pub fn find(&self, reference: &str) -> Option<String> {
        let secret = (self.0)(reference)?.trim().to_owned();
        (!secret.is_empty() && secret.bytes().all(|b| b.is_ascii_graphic() || b == b' ')).then_some(secret)
    }
}

impl Default for Secrets {
    /// Knows references to files only (`file:PATH`).
    fn default() -> Self {
        Self::new(|reference| std::fs::read_to_string(reference.strip_prefix("file:")?).ok())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}
