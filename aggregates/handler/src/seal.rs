//! Content is sealed before anything is decided on it: what reaches a decision or the log is already unreadable.

use steward_events::BoxError;
use steward_events::command::Command;
use steward_events::id::TenantId;
use steward_ports::keys::Keyring;

/// Seals what is plain in `command`, with the keys that the command names.
pub(crate) async fn seal(command: &mut Command, tenant: &TenantId, keyring: &Keyring) -> Result<(), BoxError> {
    for (content, owner) in command.body_mut().sealed(tenant) {
        if content.is_plain() {
            let key = keyring.find_or_make(&owner).await?;
            content.seal(owner, &key)?;
        }
    }
    Ok(())
}
