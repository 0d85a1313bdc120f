//! Lists of the rules of access, and of who holds what, since when, from whom and used when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{Page, list_query};
use super::{GrantState, Paging};
use steward_events::event::{Condition, ElevationRule, GrantId, ReviewSpec, Whom};
use steward_events::id::{DataClass, ElevationId, PrincipalId, ReviewId, RoleId, RuleId};
use steward_events::permission::PermissionPattern;
use steward_events::quantity::Position;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

list_query! {
    /// Asks for who holds what.
    ReviewAccess {
        /// Only of this principal.
        principal: PrincipalId,
        /// Only of this role.
        role: RoleId,
        /// Only at this scope and below.
        scope: Scope,
        /// Only what this review has to look at, and nobody has confirmed.
        review: ReviewId,
        /// Only grants that were not used for so many days.
        unused_days: u32,
    }
}

list_query! {
    /// Asks for the denials of a tenant, those of the platform included.
    ListDenials {
        /// Only at this scope and below.
        scope: Scope,
    }
}

list_query! {
    /// Asks for the separations of duties.
    ListSeparations {
        /// Only those that name this role.
        role: RoleId,
    }
}

list_query! {
    /// Asks for the roles that may be asked for.
    ListElevationRules {
        /// Only at this scope and below.
        scope: Scope,
    }
}

list_query! {
    /// Asks for the elevations that are open or running, and for the last ones before them.
    ListElevations {
        /// Only of this principal.
        principal: PrincipalId,
        /// Only of this state.
        state: ElevationState,
    }
}

list_query! {
    /// Asks for the reviews that are not closed.
    ListReviews {
        /// Only of this scope and below.
        scope: Scope,
    }
}

list_query! {
    /// Asks for the scopes that have a class of data of their own.
    ListDataClasses {
        /// Only at this scope and below.
        scope: Scope,
    }
}

/// Grants for a review.
pub type ReviewedPage = Page<ReviewedGrant>;

/// Denials.
pub type DenialPage = Page<DenialRow>;

/// Separations of duties.
pub type SeparationPage = Page<SeparationRow>;

/// Roles that may be asked for.
pub type ElevationRulePage = Page<ElevationRuleRow>;

/// Elevations.
pub type ElevationPage = Page<ElevationRow>;

/// Reviews.
pub type ReviewPage = Page<ReviewRow>;

/// Classes of data.
pub type DataClassPage = Page<DataClassRow>;

/// One grant with what a reviewer wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewedGrant {
    /// Who holds it.
    pub to: PrincipalId,
    /// The service account's name, if one holds it.
    pub name: Option<String>,
    /// Role.
    pub role: RoleId,
    /// At which scope and below.
    pub on: Scope,
    /// Until when; none is until revoked.
    pub expires: Option<Timestamp>,
    /// The grant counts only for calls that meet this condition.
    pub condition: Option<Condition>,
    /// Whether it counts.
    pub state: GrantState,
    /// The elevation by which it is held, if it was asked for.
    pub elevation: Option<ElevationId>,
    /// Since when it is as it is now.
    pub since: Timestamp,
    /// Who gave it, if that is known.
    pub given_by: Option<PrincipalId>,
    /// The day on which something that the role permits was last used.
    pub last_used: Option<Timestamp>,
    /// The review that has to look at it, and nobody has confirmed it.
    pub unreviewed: Option<ReviewId>,
    /// The separations of duties that its holder breaks.
    pub breaks: Vec<RuleId>,
}

impl ReviewedGrant {
    /// The grant.
    pub fn id(&self) -> GrantId {
        GrantId { to: self.to.clone(), role: self.role.clone(), on: self.on.clone() }
    }
}

/// One denial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DenialRow {
    /// Its name.
    pub denial: RuleId,
    /// What is denied.
    pub permissions: Vec<PermissionPattern>,
    /// At which scope and below.
    pub on: Scope,
    /// To whom.
    pub whom: Whom,
    /// Only requests that meet this, or that do not.
    pub condition: Option<Condition>,
    /// True if all requests are denied but those that meet the condition.
    pub unless: bool,
    /// Until when; none is until it is removed.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// True if the platform set it.
    pub platform: bool,
}

/// One separation of duties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeparationRow {
    /// Its name.
    pub separation: RuleId,
    /// Roles that nobody may hold together.
    pub roles: Vec<RoleId>,
    /// At which scope and below.
    pub on: Scope,
    /// Why.
    pub reason: String,
    /// Who holds them together all the same, from before it was set; the first hundred.
    pub broken_by: Vec<PrincipalId>,
}

/// One role that may be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ElevationRuleRow {
    /// Its name.
    pub rule: RuleId,
    /// Who may ask for what, and who approves.
    #[serde(flatten)]
    pub spec: ElevationRule,
}

/// Asks for one elevation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElevationQuery {
    /// Its id.
    pub elevation: ElevationId,
}

/// How far an elevation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ElevationState {
    /// Somebody has to approve it.
    Requested,
    /// Nobody approved it in time.
    Lapsed,
    /// The role is held.
    Active,
    /// Somebody refused it.
    Refused,
    /// It is over.
    Ended,
}

/// One elevation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ElevationRow {
    /// Its id.
    pub elevation: ElevationId,
    /// By which rule.
    pub rule: RuleId,
    /// Who asked.
    pub by: PrincipalId,
    /// For which role.
    pub role: RoleId,
    /// At which scope and below.
    pub on: Scope,
    /// For how long, in seconds.
    pub duration_s: u64,
    /// Why.
    pub reason: String,
    /// How far it is.
    pub state: ElevationState,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Who approved it.
    pub approved_by: Option<PrincipalId>,
    /// When it ends, or ended; of one that is asked for, when it lapses.
    pub until: Timestamp,
}

/// One review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewRow {
    /// Its name.
    pub review: ReviewId,
    /// Of what, until when and by whom.
    #[serde(flatten)]
    pub spec: ReviewSpec,
    /// When it was started.
    pub started_at: Timestamp,
    /// How many of its grants were confirmed.
    pub confirmed: u32,
    /// How many nobody has looked at.
    pub unreviewed: u32,
    /// True once it is due.
    pub overdue: bool,
}

/// The class of data of one scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DataClassRow {
    /// Scope and everything below it.
    pub scope: Scope,
    /// The class of requests there that name none.
    pub class: DataClass,
}

/// Asks what would be lost if a role were removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleUseQuery {
    /// The role.
    pub role: RoleId,
}

/// What hangs on a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleUse {
    /// How many hold it.
    pub holders_count: u32,
    /// Who holds it, and what each would lose; the first thousand.
    pub holders: Vec<RoleHolder>,
    /// Roles that inherit it.
    pub heirs: Vec<RoleId>,
    /// Denials, separations and elevations that name it.
    pub rules: Vec<RuleId>,
    /// Why it cannot be removed as it is; none if it can, with `revoke_grants` if it is held.
    pub obstacle: Option<String>,
}

/// Somebody who holds a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleHolder {
    /// Who.
    pub to: PrincipalId,
    /// The service account's name, if it is one.
    pub name: Option<String>,
    /// At which scope and below.
    pub on: Scope,
    /// Until when; none is until revoked.
    pub expires: Option<Timestamp>,
    /// What no other grant of theirs gives them there.
    pub loses: Vec<PermissionPattern>,
}
