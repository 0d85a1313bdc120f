//! Commands: imperative, one file an aggregate. Each file begins with its part of THE TABLE, one row a command; from the
//! table subjects, permissions, REST routes, OpenAPI, AsyncAPI, CLI verbs, the role matrix and docs/COMMANDS.md are made.

use crate::event::{AggregateKind, QuotaKind};
use crate::id::{StreamId, TenantId};
use crate::ids::Ids;
use crate::scope::Scope;
use crate::sealed::{KeyOwner, Sealable};

#[macro_use]
mod table;

mod access;
mod agent;
mod batch;
mod catalog;
mod channel;
mod checkpoint;
mod file;
mod identity;
mod ledger;
mod quota;
mod registry;
mod task;
mod tenant;

pub use access::{
    AccessCommand, AllowElevation, ApproveElevation, CloseReview, ConfirmReviewed, DefineGroup, DefineRole,
    DisallowElevation, EndElevation, EndTrial, GiveGrant, JoinGroup, LeaveGroup, NeedTrial, RefuseElevation,
    RemoveDenial, RemoveGroup, RemoveRole, RemoveSeparation, RequestElevation, RevokeGrant, RevokeReviewed,
    SetDataClass, SetDenial, SetSeparation, StartReview, StartTrial, StopTrial,
};
pub use agent::{AgentCommand, DefineAgent};
pub use batch::{
    BatchCommand, CancelBatch, ClaimBatch, EndBatch, ExtendBatch, FailBatch, FinalizeBatch, StartBatch, SubmitBatch,
};
pub use catalog::{
    CatalogCommand, MakeSecret, PurgeCache, RemoveSecret, SetCache, SetModel, SetPrice, SetPrompt, SetProvider,
    SetRoute, SetSecret,
};
pub use channel::{
    ChannelCommand, FinishSending, NotifyChannels, RedeliverMessage, RemoveChannel, SendingOutcome, SetChannel,
    StartSending, TestChannel,
};
pub use checkpoint::{CheckpointCommand, RequestCheckpoint, SignCheckpoint};
pub use file::{FileCommand, KeepFile, RemoveFile};
pub use identity::{
    CreateAccount, DisableUser, EnableUser, EraseUser, IdentityCommand, InviteUser, IssueKey, RecordDestroyedKey,
    RevokeKey, RotateKey, SetOwner, SetUser,
};
pub use ledger::{
    CorrectLease, EndLease, GrantLease, LeaseRequest, LedgerCommand, RecallLease, RemoveBudget, RenewLease, SetBudget,
    WithdrawRequest,
};
pub use quota::{QuotaCommand, ReturnPlace, TakePlace};
pub use registry::{CreateTenant, RegistryCommand, RetireTenant};
pub use table::{Audience, COMMANDS, Command, CommandSpec, Commands, collection, find, nouns};
pub use task::{
    CancelTask, ClaimTask, ExtendClaim, FailTask, FinishStep, FinishTask, StartStep, SubmitTask, TaskCommand,
};
pub use tenant::{
    ArchiveProject, CancelErasure, CarryOutErasure, CreateProject, DefinePlan, EraseTenant, OpenTenant,
    RecordDestroyed, RemoveFlag, RemoveQuota, RenameProject, RestoreProject, ResumeTenant, RevertTenant, SetFlag,
    SetPlan, SetQuota, SetTenant, SuspendTenant, TenantCommand,
};

/// What every command's body says of itself. The handler knows no command: all that it does for some and not for others
/// is said here.
pub trait Body {
    /// Which stream of its aggregate decides it. `main` where a tenant has just one.
    fn stream(&self) -> StreamId {
        StreamId::main()
    }

    /// Where the sender needs the permission.
    fn scope(&self, tenant: &TenantId) -> Scope {
        Scope::tenant(tenant)
    }

    /// True if what it sets belongs to the level at which the sender holds the permission.
    fn has_level(&self) -> bool {
        false
    }

    /// Fills in ids that the sender left out. The handler does this once, before deciding.
    fn complete(&mut self, _fresh: &dyn Ids) {}

    /// False if it is decided also for a tenant that is not open yet.
    fn needs_open_tenant(&self) -> bool {
        true
    }

    /// The stream whose first event says where the sender needs the permission, if the command does not.
    fn concerns(&self) -> Option<Reference> {
        None
    }

    /// Streams of the same tenant that must exist: its own stream cannot know of them.
    fn references(&self) -> Vec<Reference> {
        Vec::new()
    }

    /// Which quota the thing that it makes takes a place of, if it has a stream of its own: no other stream can count it.
    fn takes_place_of(&self) -> Option<QuotaKind> {
        None
    }

    /// True if something new begins at its scope: the project there must exist, and not be archived.
    fn begins_in_project(&self) -> bool {
        false
    }

    /// What is sealed before anything is decided, and with whose key.
    fn sealed(&mut self, _tenant: &TenantId) -> Vec<(&mut dyn Sealable, KeyOwner)> {
        Vec::new()
    }

    /// For which place that is sealed: the same content there is the same bytes, and in no other place.
    fn sealed_at(&self) -> String {
        self.stream().to_string()
    }
}

/// A stream that a command refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Of which aggregate.
    pub kind: AggregateKind,
    /// Which of them.
    pub id: StreamId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permission::Permission;
    use crate::request::Format;

    #[test]
    fn every_row_is_a_token_pair_and_stands_once() {
        for (at, spec) in COMMANDS.iter().enumerate() {
            assert!(Permission::new(spec.noun, spec.verb).is_ok(), "{spec:?}");
            assert!(!COMMANDS[..at].iter().any(|s| (s.noun, s.verb) == (spec.noun, spec.verb)), "{spec:?} twice");
        }
    }

    #[test]
    fn unknown_fields_are_refused_by_name() {
        let body = br#"{"scope":"acme","limit":"$5","colour":"red"}"#;
        let rejection = Command::read("budget", "set", Format::Json, body).unwrap_err();
        assert!(rejection.to_string().contains("colour"), "{rejection}");
    }
}
