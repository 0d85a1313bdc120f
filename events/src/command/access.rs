//! Commands about roles and grants.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::{Condition, GrantId};
use crate::id::{PrincipalId, RoleId, TenantId};
use crate::permission::{Permission, PermissionPattern};
use crate::scope::Scope;
use crate::timestamp::Timestamp;

mod elevation;
mod review;
mod rules;

pub use elevation::{
    AllowElevation, ApproveElevation, DisallowElevation, EndElevation, RefuseElevation, RequestElevation,
};
pub use review::{CloseReview, ConfirmReviewed, RevokeReviewed, StartReview};
pub use rules::{RemoveDenial, RemoveRole, RemoveSeparation, SetDataClass, SetDenial, SetSeparation};

commands! {
    AccessCommand of Access {
        "role" "define" => DefineRole, Callers, "Define what a role permits and which roles it inherits";
        "role" "remove" => RemoveRole, Callers, "Remove a role that nobody holds, or with all its grants";
        "grant" "give" => GiveGrant, Callers, "Give a principal or a group a role for a scope and everything below it";
        "grant" "revoke" => RevokeGrant, Callers, "Revoke a grant at once";
        "group" "define" => DefineGroup, Callers, "Make a group that holds grants for its members, or say what it is for";
        "group" "join" => JoinGroup, Callers, "Put a person or service account into a group: they hold what it holds";
        "group" "leave" => LeaveGroup, Callers, "Take somebody out of a group at once";
        "group" "remove" => RemoveGroup, Callers, "Remove a group at once, with its grants";
        "deny" "set" => SetDenial, Callers, "Deny something to somebody, whatever is granted";
        "deny" "remove" => RemoveDenial, Callers, "Deny something no more";
        "separation" "set" => SetSeparation, Callers, "Separate duties: name roles that nobody may hold together";
        "separation" "remove" => RemoveSeparation, Callers, "Let roles be held together again";
        "elevation" "allow" => AllowElevation, Callers, "Let somebody ask for a role for a limited time";
        "elevation" "disallow" => DisallowElevation, Callers, "Let a role be asked for no more";
        "elevation" "request" => RequestElevation, Callers, "Ask for a role for a limited time";
        "elevation" "approve" => ApproveElevation, Callers, "Approve what somebody asked for";
        "elevation" "refuse" => RefuseElevation, Callers, "Refuse what somebody asked for";
        "elevation" "end" => EndElevation, Callers, "End an elevation before its time";
        "review" "start" => StartReview, Callers, "Start a review of who holds what";
        "review" "confirm" => ConfirmReviewed, Callers, "Confirm that grants of a review are still needed";
        "review" "revoke" => RevokeReviewed, Callers, "Revoke grants of a review, many at once";
        "review" "close" => CloseReview, Callers, "Close a review, and revoke what nobody confirmed if it is due and says so";
        "data-class" "set" => SetDataClass, Callers, "Set the class of data that requests at a scope have unless they name one";
        "trial" "start" => StartTrial, Callers, "Set a grant aside to see whether it is needed: its first use gives it back";
        "trial" "stop" => StopTrial, Callers, "End a trial and let the grant count as before";
        "trial" "need" => NeedTrial, System, "Give back a grant that was needed during its trial";
        "trial" "end" => EndTrial, System, "Revoke a grant that was not needed during its trial";
    }
}

/// Says what a role means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefineRole {
    /// Name of the role.
    pub role: RoleId,
    /// Permissions of the role itself, e.g. `task:*`.
    pub permissions: Vec<PermissionPattern>,
    /// Roles whose permissions this role inherits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inherits: Vec<RoleId>,
}

impl Body for DefineRole {}

/// Gives a principal a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GiveGrant {
    /// Principal or group that gets the role.
    pub to: PrincipalId,
    /// Role.
    pub role: RoleId,
    /// Scope of the grant: `tenant` or `tenant/project`.
    pub on: Scope,
    /// End of the grant; if left out, the grant holds until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The grant counts only for calls that meet this condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

impl GiveGrant {
    /// The grant it makes.
    pub fn id(&self) -> GrantId {
        GrantId { to: self.to.clone(), role: self.role.clone(), on: self.on.clone() }
    }
}

impl Body for GiveGrant {
    fn begins_in_project(&self) -> bool {
        true
    }
    fn scope(&self, _: &TenantId) -> Scope {
        self.on.clone()
    }
}

/// Takes a grant back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeGrant {
    /// Principal or group that loses the role.
    pub to: PrincipalId,
    /// Role.
    pub role: RoleId,
    /// Scope of the grant: `tenant` or `tenant/project`.
    pub on: Scope,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl RevokeGrant {
    /// The grant it ends.
    pub fn id(&self) -> GrantId {
        GrantId { to: self.to.clone(), role: self.role.clone(), on: self.on.clone() }
    }
}

impl Body for RevokeGrant {
    fn scope(&self, _: &TenantId) -> Scope {
        self.on.clone()
    }
}

/// Makes a group, or changes what it is for; its id follows from its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefineGroup {
    /// Name of the group, unique in the tenant: `a-z`, `0-9`, `_` and `-`.
    pub name: String,
    /// What it is for, for people.
    #[serde(default)]
    pub description: String,
}

impl Body for DefineGroup {}

/// Puts somebody into a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinGroup {
    /// Group, `g_…`.
    pub group: PrincipalId,
    /// Person or service account that gets what the group holds.
    pub member: PrincipalId,
}

impl Body for JoinGroup {}

/// Takes somebody out of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaveGroup {
    /// Group, `g_…`.
    pub group: PrincipalId,
    /// Member that loses what the group holds.
    pub member: PrincipalId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for LeaveGroup {}

/// Removes a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveGroup {
    /// Group, `g_…`.
    pub group: PrincipalId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for RemoveGroup {}

/// Sets a grant aside for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartTrial {
    /// Principal that holds the grant.
    pub to: PrincipalId,
    /// Role.
    pub role: RoleId,
    /// Scope of the grant: `tenant` or `tenant/project`.
    pub on: Scope,
    /// End of the trial: the grant is revoked then, unless it was needed before.
    pub until: Timestamp,
}

/// Ends a trial by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopTrial {
    /// Principal that holds the grant.
    pub to: PrincipalId,
    /// Role.
    pub role: RoleId,
    /// Scope of the grant: `tenant` or `tenant/project`.
    pub on: Scope,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

/// Gives back a grant that was needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeedTrial {
    /// Principal that holds the grant.
    pub to: PrincipalId,
    /// Role.
    pub role: RoleId,
    /// Scope of the grant.
    pub on: Scope,
    /// The trial, by its end: of another one nothing is decided.
    pub until: Timestamp,
    /// What it was needed for, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<Permission>,
    /// Where it was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

/// Ends a trial whose time is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndTrial {
    /// Principal that holds the grant.
    pub to: PrincipalId,
    /// Role.
    pub role: RoleId,
    /// Scope of the grant.
    pub on: Scope,
    /// The trial, by its end: of another one nothing is decided.
    pub until: Timestamp,
}

macro_rules! of_a_grant {
    ($($body:ident),+) => {$(
        impl $body {
            /// The grant it is about.
            pub fn id(&self) -> GrantId {
                GrantId { to: self.to.clone(), role: self.role.clone(), on: self.on.clone() }
            }
        }

        impl Body for $body {
            fn scope(&self, _: &TenantId) -> Scope {
                self.on.clone()
            }
        }
    )+};
}

of_a_grant!(StartTrial, StopTrial, NeedTrial, EndTrial);
