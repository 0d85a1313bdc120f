//! Content is sealed before anything is decided on it: what reaches a decision or the log is already unreadable.

use steward_events::BoxError;
use steward_events::command::Command;
use steward_events::digest::BodyHash;
use steward_events::id::TenantId;
use steward_events::request::Format;
use steward_ports::keys::Keyring;

/// Seals what is plain in `command`, with the keys that the command names. Returns the digest of the whole command, with the
/// same keys if there is content: erased content cannot be guessed from it.
pub(crate) async fn seal(command: &mut Command, tenant: &TenantId, keyring: &Keyring) -> Result<BodyHash, BoxError> {
    let spec = command.spec();
    let asked =
        [spec.noun.as_bytes(), b".", spec.verb.as_bytes(), b" ", &command.write(Format::MessagePack)?[..]].concat();
    let mut digest = BodyHash::of(&asked);
    let place = command.body().sealed_at();
    for (content, owner) in command.body_mut().sealed(tenant) {
        if content.is_plain() {
            let key = keyring.find_or_make(&owner).await?;
            digest = key.digest(&asked);
            content.seal(owner, &key, &place)?;
        }
    }
    Ok(digest)
}
