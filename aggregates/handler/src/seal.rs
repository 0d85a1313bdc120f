//! Content is sealed before anything is decided on it: what reaches a decision or the log is already unreadable.

use steward_events::BoxError;
use steward_events::command::Command;
use steward_events::digest::BodyHash;
use steward_events::id::TenantId;
use steward_events::rejection::Rejection;
use steward_events::request::Format;
use steward_ports::keys::{KeyError, Keyring};

/// Content cannot be sealed.
pub(crate) enum NotSealed {
    /// Whose it would be was erased.
    Refused(Rejection),
    /// The machinery failed.
    Failed(BoxError),
}

impl From<BoxError> for NotSealed {
    fn from(error: BoxError) -> Self {
        Self::Failed(error)
    }
}

/// Seals what is plain in `command`, with the keys that the command names. Returns the digest of the whole command, with the
/// same keys if there is content: erased content cannot be guessed from it.
pub(crate) async fn seal(command: &mut Command, tenant: &TenantId, keyring: &Keyring) -> Result<BodyHash, NotSealed> {
    let spec = command.spec();
    let asked =
        [spec.noun.as_bytes(), b".", spec.verb.as_bytes(), b" ", &command.write(Format::MessagePack)?[..]].concat();
    let mut digest = BodyHash::of(&asked);
    let place = command.body().sealed_at();
    for (content, owner) in command.body_mut().sealed(tenant) {
        if content.is_plain() {
            let key = match keyring.find_or_make(&owner).await {
                Err(KeyError::Erased(_)) => {
                    let reason = format!("the content of {owner} was erased, so nothing new is kept for it");
                    return Err(NotSealed::Refused(Rejection::stale(reason)));
                }
                found => found.map_err(BoxError::from)?,
            };
            digest = key.digest(&asked);
            content.seal(owner, &key, &place)?;
        }
    }
    Ok(digest)
}
