//! What the policies are asked about one request, and what they answer. Their text is `policies.cedar`.
//!
//! It must not know where grants come from (that is `rights`), nor what to tell the one who is denied (that is `words`
//! and `explain`), nor how they are evaluated: `compiled` does it for every question, `cedar` for some of them again.

use steward_events::event::{AddressRange, DenialSpec};
use steward_events::id::{DataClass, ModelId, PrincipalId};
use steward_events::permission::Permission;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::conditions::Facts;
use super::held_rights::HeldRights;
use super::request::Context;
use steward_aggregates::access::Terms;

/// What is known of the surroundings of a request.
pub(super) struct Circumstances<'a> {
    pub(super) now: Timestamp,
    pub(super) permission: &'a Permission,
    pub(super) scope: &'a Scope,
    pub(super) context: &'a Context,
    /// The class of data of the request, or of where it is about.
    pub(super) data_class: &'a DataClass,
    /// A denial that is meant for whoever asks, if one holds.
    pub(super) denial: Option<&'a DenialSpec>,
    /// True if the tenant is suspended and this is not what it is looked at with (see [`audits`]).
    pub(super) suspended: bool,
    pub(super) operator: bool,
    pub(super) active: bool,
    pub(super) key: Option<KeyTerms<'a>>,
}

impl<'a> Circumstances<'a> {
    /// What conditions are about.
    pub(super) const fn facts(&self) -> Facts<'a> {
        Facts { now: self.now, context: self.context, data_class: self.data_class }
    }
}

/// What of a key its holder's requests depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyTerms<'a> {
    pub(super) scope: &'a Scope,
    pub(super) models: &'a [ModelId],
    /// From where it may be used; from everywhere if empty.
    pub(super) addresses: &'a [AddressRange],
    pub(super) over: bool,
    /// It is outside of its hours.
    pub(super) closed: bool,
    /// The permission asked for is one that the key is for.
    pub(super) is_for_it: bool,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker<'a> {
    /// Somebody, with a plain grant of theirs that covers the request, if there is one.
    Principal(&'a PrincipalId, Option<&'a HeldRights>),
    /// One grant that expires or is conditional, for itself.
    Grant(&'a HeldRights),
}

impl<'a> Asker<'a> {
    /// The grant that is put.
    pub(super) const fn held(&self) -> Option<&'a HeldRights> {
        match self {
            Self::Principal(_, held) => *held,
            Self::Grant(held) => Some(*held),
        }
    }

    /// The terms that are asked about: a grant's own.
    pub(super) const fn terms(&self) -> Option<&'a Terms> {
        match self {
            Self::Principal(..) => None,
            Self::Grant(held) => Some(&held.terms),
        }
    }
}

/// What the policies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Yes.
    Granted,
    /// No grant says yes.
    NotGranted,
    /// This policy says no.
    Forbidden(Policy),
    /// It is not sure what they say: so no.
    InDoubt,
}

/// The policies that forbid; if several do, the first of them is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Policy {
    TenantSuspended,
    OperatorsOnly,
    PrincipalInactive,
    KeyOver,
    KeyHours,
    KeyAddresses,
    KeyPermissions,
    KeyScope,
    KeyModels,
    Denied,
    GrantOver,
    GrantModels,
    GrantCost,
    GrantHours,
    GrantDataClasses,
    GrantTools,
    GrantArguments,
}

impl Policy {
    /// All of them, in order.
    pub(super) const ALL: [Self; 17] = [
        Self::TenantSuspended,
        Self::OperatorsOnly,
        Self::PrincipalInactive,
        Self::KeyOver,
        Self::KeyHours,
        Self::KeyAddresses,
        Self::KeyPermissions,
        Self::KeyScope,
        Self::KeyModels,
        Self::Denied,
        Self::GrantOver,
        Self::GrantModels,
        Self::GrantCost,
        Self::GrantHours,
        Self::GrantDataClasses,
        Self::GrantTools,
        Self::GrantArguments,
    ];

    /// What it is called in `policies.cedar`.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::TenantSuspended => "tenant-suspended",
            Self::OperatorsOnly => "operators-only",
            Self::PrincipalInactive => "principal-inactive",
            Self::KeyOver => "key-over",
            Self::KeyHours => "key-hours",
            Self::KeyAddresses => "key-addresses",
            Self::KeyPermissions => "key-permissions",
            Self::KeyScope => "key-scope",
            Self::KeyModels => "key-models",
            Self::Denied => "denied",
            Self::GrantOver => "grant-over",
            Self::GrantModels => "grant-models",
            Self::GrantCost => "grant-cost",
            Self::GrantHours => "grant-hours",
            Self::GrantDataClasses => "grant-data-classes",
            Self::GrantTools => "grant-tools",
            Self::GrantArguments => "grant-arguments",
        }
    }

    /// The one that is called so.
    pub(super) fn of_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.id() == id)
    }
}

/// True for what shows a tenant's past and nothing else: a suspension stops what a tenant does, not those who look into
/// it. Operators also list what it has.
pub(super) fn audits(permission: &Permission, operator: bool) -> bool {
    let (noun, verb) = permission.parts();
    match (noun, verb) {
        ("history" | "audit" | "access", _) | ("cost", "report") | ("tenant", "show") | ("checkpoint", "request") => {
            true
        }
        _ => operator && steward_queries::find(noun, verb).is_some(),
    }
}
