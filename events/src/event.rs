//! Facts: past tense, complete, their units in their types. One file per aggregate or journal.
//!
//! Recorded as `{type, data}` within a [`crate::commit::Commit`] that names the aggregate and its schema. A recorded
//! shape never changes: a change is an optional field or a new variant, and raises the aggregate's [`Facts::SCHEMA`].

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::quantity::SchemaVersion;

mod access;
mod agent;
mod catalog;
mod checkpoint;
mod denials;
mod identity;
mod ledger;
mod registry;
mod task;
mod tenant;
mod usage;

pub use access::{AccessEvent, Condition, GrantId};
pub use agent::{AgentEvent, AgentSpec, PatternKind};
pub use catalog::{CatalogEvent, ModelSpec, Price, PriceVersion, ProviderKind, Target};
pub use checkpoint::CheckpointEvent;
pub use denials::DenialEvent;
pub use identity::{IdentityEvent, KeyHash, Profile};
pub use ledger::{BudgetKey, BudgetSpec, LeaseTerms, LedgerEvent, UnsettledCall, WindowBounds};
pub use registry::RegistryEvent;
pub use task::{StepKind, TaskEvent, TaskInput, TaskOutput};
pub use tenant::{ContentMode, TenantEvent};
pub use usage::{CallOutcome, TokenUsage, UsageEvent, may_close_a_lease};

/// Which decider or journal a log stream belongs to: the third token of its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AggregateKind {
    /// Where each tenant is placed; one stream a tenant name, all in the tenant `steward`.
    Registry,
    /// A tenant's life and settings.
    Tenant,
    /// People, service accounts and keys.
    Identity,
    /// Roles and grants.
    Access,
    /// Budgets and leases.
    Ledger,
    /// Journal of one gateway run for one set of scopes.
    Usage,
    /// Providers, models, prices.
    Catalog,
    /// One agent definition.
    Agent,
    /// One task.
    Task,
    /// Journal of refusals worth keeping.
    Denials,
    /// Signed states of the tenants' trees, and requests for them.
    Checkpoint,
}

impl AggregateKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Registry,
        Self::Tenant,
        Self::Identity,
        Self::Access,
        Self::Ledger,
        Self::Usage,
        Self::Catalog,
        Self::Agent,
        Self::Task,
        Self::Denials,
        Self::Checkpoint,
    ];

    /// The token in subjects.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Tenant => "tenant",
            Self::Identity => "identity",
            Self::Access => "access",
            Self::Ledger => "ledger",
            Self::Usage => "usage",
            Self::Catalog => "catalog",
            Self::Agent => "agent",
            Self::Task => "task",
            Self::Denials => "denials",
            Self::Checkpoint => "checkpoint",
        }
    }

    /// The schema that this build writes and the newest that it reads.
    pub const fn schema(self) -> SchemaVersion {
        match self {
            Self::Registry => RegistryEvent::SCHEMA,
            Self::Tenant => TenantEvent::SCHEMA,
            Self::Identity => IdentityEvent::SCHEMA,
            Self::Access => AccessEvent::SCHEMA,
            Self::Ledger => LedgerEvent::SCHEMA,
            Self::Usage => UsageEvent::SCHEMA,
            Self::Catalog => CatalogEvent::SCHEMA,
            Self::Agent => AgentEvent::SCHEMA,
            Self::Task => TaskEvent::SCHEMA,
            Self::Denials => DenialEvent::SCHEMA,
            Self::Checkpoint => CheckpointEvent::SCHEMA,
        }
    }
}

impl fmt::Display for AggregateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no aggregate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no aggregate")]
pub struct UnknownKind(pub String);

impl FromStr for AggregateKind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownKind(text.chars().take(40).collect()))
    }
}

/// The facts of one aggregate.
pub trait Facts:
    Serialize + DeserializeOwned + Clone + fmt::Debug + PartialEq + Send + Sync + Into<Event> + 'static
{
    /// Whose facts these are.
    const KIND: AggregateKind;
    /// Raised with every change of shape, so that an older reader stops instead of misreading.
    const SCHEMA: SchemaVersion;

    /// These facts, if that is what `event` is.
    fn from_event(event: &Event) -> Option<&Self>;
}

macro_rules! event_union {
    ($($kind:ident($facts:ident)),* $(,)?) => {
        /// Any fact.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Event {
            $(#[doc = concat!("Of the aggregate ", stringify!($kind), ".")] $kind($facts),)*
        }

        $(
            impl From<$facts> for Event {
                fn from(facts: $facts) -> Self {
                    Self::$kind(facts)
                }
            }

            impl Facts for $facts {
                const KIND: AggregateKind = AggregateKind::$kind;
                const SCHEMA: SchemaVersion = $facts::SCHEMA;

                fn from_event(event: &Event) -> Option<&Self> {
                    match event {
                        Event::$kind(facts) => Some(facts),
                        _ => None,
                    }
                }
            }
        )*

        impl Event {
            /// Whose fact this is.
            pub const fn kind(&self) -> AggregateKind {
                match self {
                    $(Self::$kind(_) => AggregateKind::$kind,)*
                }
            }
        }
    };
}

event_union! {
    Registry(RegistryEvent),
    Tenant(TenantEvent),
    Identity(IdentityEvent),
    Access(AccessEvent),
    Ledger(LedgerEvent),
    Usage(UsageEvent),
    Catalog(CatalogEvent),
    Agent(AgentEvent),
    Task(TaskEvent),
    Denials(DenialEvent),
    Checkpoint(CheckpointEvent),
}

impl Event {
    /// The fact's name for people and replies: `<aggregate>.<type>`, e.g. `ledger.budget_set`.
    pub fn name(&self) -> String {
        let mut head = Head(Vec::new());
        // It ends with an error as soon as the type is known: the rest, which may be large, is not written.
        let _ = serde_json::to_writer(&mut head, self);
        format!("{}.{}", self.kind(), head.recorded_type().unwrap_or("unknown"))
    }
}

/// The beginning of a fact as JSON, up to the end of its type.
struct Head(Vec<u8>);

impl Head {
    fn recorded_type(&self) -> Option<&str> {
        let name = self.0.strip_prefix(br#"{"type":""#)?;
        let end = name.iter().position(|byte| *byte == b'"')?;
        std::str::from_utf8(&name[..end]).ok()
    }
}

impl io::Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.recorded_type().is_some() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
