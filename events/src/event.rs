//! Events: past tense, complete, their units in their types. One file per aggregate or journal.
//!
//! Recorded as `{type, data}` within a [`crate::commit::Commit`] that names the aggregate and its schema. A recorded
//! shape never changes: a change is an optional field or a new variant, and raises the aggregate's
//! [`AggregateEvents::SCHEMA`].

use std::fmt;
use std::io;

use serde::{Serialize, de::DeserializeOwned};

pub use crate::aggregate::{AggregateKind, UnknownKind};
use crate::quantity::SchemaVersion;
use crate::scope::Scope;

mod access;
mod access_rules;
mod agent;
mod batch;
mod cache;
mod call;
mod catalog;
mod channel;
mod checkpoint;
mod condition;
mod denials;
mod file;
mod flag;
mod identity;
mod key_limits;
mod ledger;
mod model_spec;
mod notice;
mod open_hours;
mod plan;
mod price;
mod prompt;
mod quota;
mod reads;
mod registry;
mod route;
mod route_terms;
mod savings;
mod target_id;
mod task;
mod tenant;
mod usage;

pub use access::{AccessEvent, GrantId};
pub use access_rules::{DenialSpec, ElevationRequest, ElevationRule, ReviewSpec, SeparationSpec, Whom};
pub use agent::{AgentEvent, AgentSpec, PatternKind};
pub use batch::{BatchEnd, BatchEndpoint, BatchEvent, BatchMetadata, BatchProblem, InvalidMetadata, LineCounts};
pub use cache::{CachePolicy, Coalesce, Similar, SimilarMode, Similarity};
pub use call::{
    AnswerSource, CallContext, CallOutcome, InvalidTags, Operation, Purpose, Saved, TAG_KEY_BYTES_MAX,
    TAG_VALUE_BYTES_MAX, TAGS_MAX, Tags, TokenUsage,
};
pub use catalog::{CatalogEvent, ProviderKind};
pub use channel::{Addressed, ChannelEvent, ChannelKind, ChannelSpec, InvalidRecipients, RECIPIENTS_MAX, Recipients};
pub use checkpoint::CheckpointEvent;
pub use condition::{ArgumentRule, Condition};
pub use denials::{DenialEvent, DenialKind};
pub use file::{FileEvent, FileName, FilePurpose};
pub use flag::{FlagSpec, FlagState, InvalidFlagState};
pub use identity::{IdentityEvent, KeyHash, Profile};
pub use key_limits::AddressRange;
pub use ledger::{BudgetKey, BudgetLevel, BudgetSpec, LeaseTerms, LedgerEvent, UnsettledCall, WindowBounds};
pub use model_spec::{Feature, ModelSpec, Tokenizer};
pub use notice::{InvalidPattern, Notice, NoticeKind, NoticePattern, NoticeSource, Severity};
pub use open_hours::OpenHours;
pub use plan::{PlanBudget, PlanFlag, PlanQuota, PlanSpec};
pub use price::{Hours, PriceVariant, PriceVersion, Rates, ServiceTier, TimeOfDay, Unpriced, UnpricedSet, Weekday};
pub use prompt::{PromptPolicy, PromptWindow};
pub use quota::{QuotaEvent, QuotaKind, Quotas};
pub use reads::ReadEvent;
pub use registry::RegistryEvent;
pub use route::{InvalidTarget, RefusedFor, RoutePolicy, Target};
pub use route_terms::{HedgeAfter, InvalidHedge, RouteTerms};
pub use savings::{Saving, SavingCause, Savings};
pub use target_id::{InvalidTargetId, TargetId};
pub use task::{SpentStep, StepKind, TaskEvent, TaskInput, TaskOutput};
pub use tenant::{TenantEvent, TenantSettings};
pub use usage::UsageEvent;

/// The events of one aggregate.
pub trait AggregateEvents:
    Serialize + DeserializeOwned + Clone + fmt::Debug + PartialEq + Send + Sync + Into<Event> + 'static
{
    /// Whose events these are.
    const KIND: AggregateKind;
    /// Raised with every change of shape, so that an older reader stops instead of misreading.
    const SCHEMA: SchemaVersion;

    /// These events, if that is what `event` is.
    fn from_event(event: &Event) -> Option<&Self>;
}

macro_rules! event_union {
    ($($(#[$doc:meta])+ $module:ident: $kind:ident, $events:ident $(, $commands:ident)?;)+) => {
        /// Any event.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Event {
            $(#[doc = concat!("Of `", stringify!($module), "`.")] $kind($events),)+
        }

        $(
            impl From<$events> for Event {
                fn from(event: $events) -> Self {
                    Self::$kind(event)
                }
            }

            impl AggregateEvents for $events {
                const KIND: AggregateKind = AggregateKind::$kind;
                const SCHEMA: SchemaVersion = $events::SCHEMA;

                fn from_event(event: &Event) -> Option<&Self> {
                    match event {
                        Event::$kind(event) => Some(event),
                        _ => None,
                    }
                }
            }
        )+

        impl Event {
            /// Whose event this is.
            pub const fn kind(&self) -> AggregateKind {
                match self {
                    $(Self::$kind(_) => AggregateKind::$kind,)+
                }
            }
        }

        impl AggregateKind {
            /// The schema that this build writes and the newest that it reads.
            pub const fn schema(self) -> SchemaVersion {
                match self {
                    $(Self::$kind => $events::SCHEMA,)+
                }
            }
        }
    };
}

crate::aggregates!(event_union);

impl Event {
    /// Where it belongs, if it is what began a stream that belongs somewhere below its tenant.
    pub const fn scope(&self) -> Option<&Scope> {
        match self {
            Self::Task(TaskEvent::Submitted { scope, .. }) | Self::Batch(BatchEvent::Submitted { scope, .. }) => {
                Some(scope)
            }
            _ => None,
        }
    }

    /// The event's name for people and replies: `<aggregate>.<type>`, e.g. `ledger.budget_set`.
    pub fn name(&self) -> String {
        let mut head = Head(Vec::new());
        // It ends with an error as soon as the type is known: the rest, which may be large, is not written.
        let _ = serde_json::to_writer(&mut head, self);
        format!("{}.{}", self.kind(), head.recorded_type().unwrap_or("unknown"))
    }
}

/// The beginning of an event as JSON, up to the end of its type.
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
