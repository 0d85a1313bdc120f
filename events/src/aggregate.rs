//! THE LIST of aggregates and journals: one line each. Kinds, names, schemas, the unions of events and of commands,
//! decoding, and (in `steward-aggregates`) the deciders are made from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Hands the list to the macro `$make`. A line is `module: Kind, Events` and, if an aggregate decides there, its
/// `Commands`; a line without commands is a journal, which has writers and no decider.
///
/// The module bears the name of the kind in subjects. Events are in `event/<module>.rs` and commands in
/// `command/<module>.rs` of this crate; the decider is `<module>::<Kind>` of `steward-aggregates`.
#[macro_export]
macro_rules! aggregates {
    ($make:ident) => {
        $make! {
            /// Where each tenant is placed; one stream a tenant name, all in the tenant `steward`.
            registry: Registry, RegistryEvent, RegistryCommand;
            /// A tenant's life and settings.
            tenant: Tenant, TenantEvent, TenantCommand;
            /// People, service accounts and keys.
            identity: Identity, IdentityEvent, IdentityCommand;
            /// Roles and grants.
            access: Access, AccessEvent, AccessCommand;
            /// Budgets and leases.
            ledger: Ledger, LedgerEvent, LedgerCommand;
            /// Journal of one gateway run for one set of scopes.
            usage: Usage, UsageEvent;
            /// Providers, models, prices.
            catalog: Catalog, CatalogEvent, CatalogCommand;
            /// One agent definition.
            agent: Agent, AgentEvent, AgentCommand;
            /// One task.
            task: Task, TaskEvent, TaskCommand;
            /// Which places of a tenant's quotas its agents and open tasks take.
            quota: Quota, QuotaEvent, QuotaCommand;
            /// The files that are kept beside the log.
            file: File, FileEvent, FileCommand;
            /// One batch of model calls.
            batch: Batch, BatchEvent, BatchCommand;
            /// Journal of refusals worth keeping.
            denials: Denials, DenialEvent;
            /// Journal of who read what people did.
            reads: Reads, ReadEvent;
            /// Signed states of the tenants' trees, and requests for them.
            checkpoint: Checkpoint, CheckpointEvent, CheckpointCommand;
            /// The channels by which people and machines are told, and what is sent through them.
            channel: Channel, ChannelEvent, ChannelCommand;
        }
    };
}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $module:ident: $kind:ident, $events:ident $(, $commands:ident)?;)+) => {
        /// Which aggregate or journal a stream belongs to: the third token of its subject.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum AggregateKind {
            $($(#[$doc])+ $kind,)+
        }

        impl AggregateKind {
            /// All of them.
            pub const ALL: [Self; [$(stringify!($module)),+].len()] = [$(Self::$kind,)+];

            /// The token in subjects.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($module),)+
                }
            }
        }
    };
}

aggregates!(kinds);

impl fmt::Display for AggregateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no aggregate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a kind of event such as ledger or task")]
pub struct UnknownKind(pub String);

impl FromStr for AggregateKind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let named = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        named.ok_or_else(|| UnknownKind(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_name_in_subjects_and_records() {
        for kind in AggregateKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("ledgers".parse::<AggregateKind>().is_err());
    }
}
