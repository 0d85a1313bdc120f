//! Who may do what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{Condition, DenialSpec, ElevationRequest, ElevationRule, ReviewSpec, SeparationSpec};
use crate::id::{DataClass, ElevationId, PrincipalId, ReviewId, RoleId, RuleId};
use crate::permission::{Permission, PermissionPattern};
use crate::quantity::SchemaVersion;
use crate::scope::Scope;
use crate::timestamp::Timestamp;

/// Events of a tenant's roles and grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum AccessEvent {
    /// A role means this from now on.
    RoleDefined {
        /// Name of the role.
        role: RoleId,
        /// What it permits by itself.
        permissions: Vec<PermissionPattern>,
        /// Roles whose permissions this role inherits.
        inherits: Vec<RoleId>,
    },
    /// A principal holds a role at a scope and below.
    RoleGranted {
        /// The grant.
        grant: GrantId,
        /// Until when; none is until revoked.
        expires: Option<Timestamp>,
        /// The grant counts only for calls that meet this condition.
        condition: Option<Condition>,
    },
    /// The grant is gone.
    GrantRevoked {
        /// Which.
        grant: GrantId,
        /// Why.
        reason: String,
    },
    /// A group is there, or is for something else from now on.
    GroupDefined {
        /// Its id, which holds its grants.
        group: PrincipalId,
        /// Its name, unique in the tenant.
        name: String,
        /// What it is for, for people.
        description: String,
    },
    /// Somebody holds what the group holds.
    GroupJoined {
        /// The group.
        group: PrincipalId,
        /// Who.
        member: PrincipalId,
    },
    /// Somebody holds it no more.
    GroupLeft {
        /// The group.
        group: PrincipalId,
        /// Who.
        member: PrincipalId,
        /// Why.
        reason: String,
    },
    /// The group is gone, with its grants and memberships.
    GroupRemoved {
        /// Which.
        group: PrincipalId,
        /// Why.
        reason: String,
    },
    /// A role means nothing any more.
    RoleRemoved {
        /// Which.
        role: RoleId,
        /// Why.
        reason: String,
    },
    /// Something is denied from now on, whatever is granted.
    DenialSet {
        /// Its name.
        denial: RuleId,
        /// What, where and to whom.
        spec: DenialSpec,
    },
    /// It is denied no more.
    DenialRemoved {
        /// Which.
        denial: RuleId,
        /// Why.
        reason: String,
    },
    /// Nobody may be given these roles together any more.
    SeparationSet {
        /// Its name.
        separation: RuleId,
        /// Which roles, where, and who holds them already.
        spec: SeparationSpec,
    },
    /// They may be held together again.
    SeparationRemoved {
        /// Which.
        separation: RuleId,
        /// Why.
        reason: String,
    },
    /// A role may be asked for, for a time.
    ElevationAllowed {
        /// The rule's name.
        rule: RuleId,
        /// Who may ask for what, and who approves.
        spec: ElevationRule,
    },
    /// It may be asked for no more; what was approved before goes on to its end.
    ElevationDisallowed {
        /// Which rule.
        rule: RuleId,
        /// Why.
        reason: String,
    },
    /// Somebody asked for a role for a time.
    ElevationRequested {
        /// The elevation.
        elevation: ElevationId,
        /// What was asked for.
        request: ElevationRequest,
    },
    /// The role is held from now on, until the moment told.
    ElevationApproved {
        /// The elevation.
        elevation: ElevationId,
        /// Who approved it.
        by: PrincipalId,
        /// Until when.
        until: Timestamp,
        /// True if who asked approved it: somebody must look at it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        self_approved: bool,
        /// Why.
        reason: String,
    },
    /// It was not approved.
    ElevationRefused {
        /// The elevation.
        elevation: ElevationId,
        /// Why.
        reason: String,
    },
    /// It ended before its time.
    ElevationEnded {
        /// The elevation.
        elevation: ElevationId,
        /// Why.
        reason: String,
    },
    /// Who holds what is looked at.
    ReviewStarted {
        /// The review.
        review: ReviewId,
        /// Of what, until when and by whom.
        spec: ReviewSpec,
    },
    /// These grants stay.
    GrantsConfirmed {
        /// In which review.
        review: ReviewId,
        /// Which.
        grants: Vec<GrantId>,
        /// Why.
        reason: String,
    },
    /// The review is over.
    ReviewClosed {
        /// The review.
        review: ReviewId,
        /// How many grants nobody had looked at.
        unreviewed: u32,
        /// Why.
        reason: String,
    },
    /// Requests at a scope and below are of this class of data, unless they say another.
    DataClassSet {
        /// Where.
        scope: Scope,
        /// Which class; none is that of the scope above.
        class: Option<DataClass>,
    },
    /// The grant is set aside to see whether it is needed: it counts only for what nothing else allows, and the first such
    /// use gives it back.
    TrialStarted {
        /// Which.
        grant: GrantId,
        /// Until when; it is revoked then.
        until: Timestamp,
    },
    /// The grant is given back: it counts as before.
    TrialEnded {
        /// Which.
        grant: GrantId,
        /// The trial, by its end.
        until: Timestamp,
        /// What it was needed for, if that ended the trial and is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permission: Option<Permission>,
        /// Where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<Scope>,
        /// Why, for people.
        reason: String,
    },
}

impl AccessEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(2);
}

/// A grant is known by what it says: giving it twice changes only its end and condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantId {
    /// Who holds it.
    pub to: PrincipalId,
    /// Role.
    pub role: RoleId,
    /// At which scope and below.
    pub on: Scope,
}

impl std::fmt::Display for GrantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {} on {}", self.to, self.role, self.on)
    }
}
