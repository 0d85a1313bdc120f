//! Content is sealed before anything is decided on it: what reaches a decision or the log is already unreadable.

use serde::Serialize;
use serde::de::DeserializeOwned;
use steward_events::BoxError;
use steward_events::command::{Command, IdentityCommand, TaskCommand};
use steward_events::id::TenantId;
use steward_events::sealed::{Content, KeyOwner, Sealed};
use steward_ports::keys::Keyring;

/// Seals what is plain in `command`, with the key of the tenant or of the person it is about.
pub(crate) async fn seal(command: &mut Command, tenant: &TenantId, keyring: &Keyring) -> Result<(), BoxError> {
    let of_tenant = || KeyOwner::Tenant(tenant.clone());
    match command {
        Command::Identity(IdentityCommand::InviteUser(invite)) => {
            let person = invite.principal.clone().ok_or("an invitation without an id")?;
            seal_one(&mut invite.profile, KeyOwner::Person(tenant.clone(), person), keyring).await
        }
        Command::Task(TaskCommand::SubmitTask(submit)) => seal_one(&mut submit.input, of_tenant(), keyring).await,
        Command::Task(TaskCommand::FinishStep(finish)) => seal_one(&mut finish.output, of_tenant(), keyring).await,
        Command::Task(TaskCommand::FinishTask(finish)) => seal_one(&mut finish.output, of_tenant(), keyring).await,
        Command::Task(_)
        | Command::Registry(_)
        | Command::Tenant(_)
        | Command::Identity(_)
        | Command::Access(_)
        | Command::Ledger(_)
        | Command::Catalog(_)
        | Command::Agent(_)
        | Command::Checkpoint(_) => Ok(()),
    }
}

async fn seal_one<T: Serialize + DeserializeOwned>(
    content: &mut Content<T>,
    owner: KeyOwner,
    keyring: &Keyring,
) -> Result<(), BoxError> {
    if let Content::Plain(plain) = content {
        let key = keyring.find_or_make(&owner).await?;
        *content = Content::Sealed(Sealed::seal(plain, owner, &key)?);
    }
    Ok(())
}
