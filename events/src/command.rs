//! Orders: imperative, one file an aggregate; and THE TABLE, from which subjects, permissions, REST routes, OpenAPI,
//! AsyncAPI, CLI verbs, the role matrix and docs/COMMANDS.md are made.

use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};

use crate::event::AggregateKind;
use crate::id::{StreamId, TenantId};
use crate::ids::Ids;
use crate::permission::Permission;
use crate::rejection::Rejection;
use crate::request::Format;
use crate::scope::Scope;

mod access;
mod agent;
mod catalog;
mod checkpoint;
mod identity;
mod ledger;
mod task;
mod tenant;

pub use access::{DefineRole, GiveGrant, RevokeGrant};
pub use agent::DefineAgent;
pub use catalog::{SetModel, SetPrice, SetProvider, SetRoute};
pub use checkpoint::{RequestCheckpoint, SignCheckpoint};
pub use identity::{CreateAccount, DisableUser, InviteUser, IssueKey, RevokeKey};
pub use ledger::{
    CorrectLease, EndLease, GrantLease, LeaseRequest, RecallLease, RemoveBudget, RenewLease, SetBudget, WithdrawRequest,
};
pub use task::{CancelTask, ClaimTask, ExtendClaim, FailTask, FinishStep, FinishTask, StartStep, SubmitTask};
pub use tenant::{CreateTenant, OpenTenant, ResumeTenant, SuspendTenant};

/// What every command's body says of itself.
pub trait Body: Serialize + DeserializeOwned + JsonSchema {
    /// Which stream of its aggregate decides it. `main` where a tenant has just one.
    fn stream(&self) -> StreamId {
        StreamId::main()
    }

    /// Where the sender needs the permission.
    fn scope(&self, tenant: &TenantId) -> Scope {
        Scope::tenant(tenant)
    }

    /// Fills in ids that the sender left out. The handler does this once, before deciding.
    fn complete(&mut self, _fresh: &dyn Ids) {}
}

/// Who may send a command at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Whoever holds the permission.
    Callers,
    /// Only parts of Steward; in no API.
    System,
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct CommandSpec {
    /// What it is about; also the name of the NATS service.
    pub noun: &'static str,
    /// What to do.
    pub verb: &'static str,
    /// Whose decision it is.
    pub aggregate: AggregateKind,
    /// Who may send it.
    pub audience: Audience,
    /// One line for `--help` and the docs.
    pub help: &'static str,
    /// The JSON schema of its body.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl CommandSpec {
    /// `noun:verb`.
    pub fn permission(&self) -> Permission {
        // The table's words are tokens; a test says so.
        #[allow(clippy::expect_used)]
        Permission::new(self.noun, self.verb).expect("the table holds tokens")
    }
}

impl std::fmt::Debug for CommandSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.noun, self.verb)
    }
}

/// The row of `noun.verb`, if there is one.
pub fn find(noun: &str, verb: &str) -> Option<&'static CommandSpec> {
    COMMANDS.iter().find(|spec| spec.noun == noun && spec.verb == verb)
}

/// The nouns, in the table's order, each once.
pub fn nouns() -> Vec<&'static str> {
    let mut nouns: Vec<&str> = Vec::new();
    for spec in COMMANDS {
        if !nouns.contains(&spec.noun) {
            nouns.push(spec.noun);
        }
    }
    nouns
}

macro_rules! command_table {
    ($($kind:ident as $orders:ident { $($noun:literal $verb:literal => $body:ident, $audience:ident, $help:literal;)+ })+) => {
        $(
            #[doc = concat!("Orders that the aggregate ", stringify!($kind), " decides.")]
            #[derive(Clone, Debug, PartialEq)]
            pub enum $orders {
                $(#[doc = $help] $body($body),)+
            }

            impl From<$orders> for Command {
                fn from(order: $orders) -> Self {
                    Self::$kind(order)
                }
            }

            $(
                impl From<$body> for Command {
                    fn from(body: $body) -> Self {
                        Self::$kind($orders::$body(body))
                    }
                }
            )+
        )+

        /// Any order.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Command {
            $(#[doc = concat!("For the aggregate ", stringify!($kind), ".")] $kind($orders),)+
        }

        /// The table.
        pub const COMMANDS: &[CommandSpec] = &[
            $($(CommandSpec {
                noun: $noun,
                verb: $verb,
                aggregate: AggregateKind::$kind,
                audience: Audience::$audience,
                help: $help,
                schema: <$body as JsonSchema>::json_schema,
            },)+)+
        ];

        impl Command {
            /// Reads the body of `noun.verb`.
            ///
            /// # Errors
            /// [`Rejection::NotFound`] for an unknown command, [`Rejection::Invalid`] naming what is wrong in the body.
            pub fn read(noun: &str, verb: &str, format: Format, body: &[u8]) -> Result<Self, Rejection> {
                let invalid = |reason: String| Rejection::invalid("body", reason);
                match (noun, verb) {
                    $($(($noun, $verb) => format.read_named::<$body>(body).map(Into::into).map_err(invalid),)+)+
                    _ => Err(Rejection::not_found("command", &format!("{noun}.{verb}"))),
                }
            }

            /// Its noun and verb.
            pub const fn name(&self) -> (&'static str, &'static str) {
                match self {
                    $($(Self::$kind($orders::$body(_)) => ($noun, $verb),)+)+
                }
            }

            /// Its body, written.
            ///
            /// # Errors
            /// If it cannot be written; sealed content, for one, does not travel.
            pub fn write(&self, format: Format) -> Result<Bytes, crate::BoxError> {
                match self {
                    $($(Self::$kind($orders::$body(body)) => format.write(body).map(Bytes::from),)+)+
                }
            }

            /// Whose decision it is.
            pub const fn aggregate(&self) -> AggregateKind {
                match self {
                    $(Self::$kind(_) => AggregateKind::$kind,)+
                }
            }

            /// Which stream of that aggregate.
            pub fn stream(&self) -> StreamId {
                match self {
                    $($(Self::$kind($orders::$body(body)) => body.stream(),)+)+
                }
            }

            /// Where the sender needs the permission.
            pub fn scope(&self, tenant: &TenantId) -> Scope {
                match self {
                    $($(Self::$kind($orders::$body(body)) => body.scope(tenant),)+)+
                }
            }

            /// Fills in ids that the sender left out.
            pub fn complete(&mut self, fresh: &dyn Ids) {
                match self {
                    $($(Self::$kind($orders::$body(body)) => body.complete(fresh),)+)+
                }
            }
        }
    };
}

command_table! {
    Registry as RegistryCommand {
        "tenant" "create" => CreateTenant, Callers, "Create a tenant: take its name and place it in a shard";
    }
    Tenant as TenantCommand {
        "tenant" "open" => OpenTenant, System, "Open a tenant that was placed";
        "tenant" "suspend" => SuspendTenant, Callers, "Stop everything a tenant does, until it is resumed";
        "tenant" "resume" => ResumeTenant, Callers, "Let a suspended tenant act again";
    }
    Identity as IdentityCommand {
        "user" "invite" => InviteUser, Callers, "Let a person in";
        "user" "disable" => DisableUser, Callers, "Stop a person or service account at once";
        "account" "create" => CreateAccount, Callers, "Create a service account for a program";
        "key" "issue" => IssueKey, Callers, "Issue an API key that acts as a service account or person";
        "key" "revoke" => RevokeKey, Callers, "Revoke an API key at once";
    }
    Access as AccessCommand {
        "role" "define" => DefineRole, Callers, "Define what a role permits and which roles it inherits";
        "grant" "give" => GiveGrant, Callers, "Give a principal a role at a scope and below";
        "grant" "revoke" => RevokeGrant, Callers, "Take a grant back at once";
    }
    Ledger as LedgerCommand {
        "budget" "set" => SetBudget, Callers, "Set a budget's limit for a scope and window";
        "budget" "remove" => RemoveBudget, Callers, "Remove a budget";
        "lease" "grant" => GrantLease, System, "Lend a gateway part of the budgets of a set of scopes";
        "lease" "renew" => RenewLease, System, "Report what was used and change a lease's terms";
        "lease" "withdraw" => WithdrawRequest, System, "Take a call that has given up out of the line";
        "lease" "recall" => RecallLease, System, "Ask holders for what is free";
        "lease" "end" => EndLease, System, "End a lease whose journal is closed";
        "lease" "correct" => CorrectLease, System, "Replace a worst case by the fact after a lease's end";
    }
    Catalog as CatalogCommand {
        "provider" "set" => SetProvider, Callers, "Set where an upstream is and what it speaks";
        "model" "set" => SetModel, Callers, "Set a model that callers may name";
        "route" "set" => SetRoute, Callers, "Set where calls of a model go, tried in order";
        "price" "set" => SetPrice, Callers, "Set a model's price from a date on";
    }
    Agent as AgentCommand {
        "agent" "define" => DefineAgent, Callers, "Define an agent, or change it";
    }
    Task as TaskCommand {
        "task" "submit" => SubmitTask, Callers, "Give an agent a task";
        "task" "cancel" => CancelTask, Callers, "Cancel a task and stop its calls";
        "task" "claim" => ClaimTask, System, "Drive a task from now on";
        "task" "extend" => ExtendClaim, System, "Keep driving a task";
        "task" "start-step" => StartStep, System, "Record that a step begins";
        "task" "finish-step" => FinishStep, System, "Record a step's result";
        "task" "finish" => FinishTask, System, "Record that a task is done";
        "task" "fail" => FailTask, System, "Record that a task cannot be done";
    }
    Checkpoint as CheckpointCommand {
        "checkpoint" "request" => RequestCheckpoint, Callers, "Have a tenant's history signed now, not at the next turn";
        "checkpoint" "sign" => SignCheckpoint, System, "Record a signed state of a tenant's history";
    }
}

/// The permission and scope a command needs.
impl Command {
    /// Its row in the table.
    pub fn spec(&self) -> &'static CommandSpec {
        let (noun, verb) = self.name();
        // Both are made from the same rows.
        #[allow(clippy::expect_used)]
        find(noun, verb).expect("every command has its row")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
