//! Commands about reviews of who holds what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::GrantId;
use crate::id::{PrincipalId, ReviewId, TenantId};
use crate::scope::Scope;
use crate::timestamp::Timestamp;

/// Starts a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartReview {
    /// Name of the review.
    pub review: ReviewId,
    /// Grants at this scope and below are looked at: `tenant` or `tenant/project`.
    pub on: Scope,
    /// When it is due.
    pub due: Timestamp,
    /// Who looks; if left out, all who may confirm and hold what they confirm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<PrincipalId>,
    /// `true`: a grant that nobody has confirmed ends when the review is due.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoke_unreviewed: bool,
}

impl Body for StartReview {
    fn scope(&self, _: &TenantId) -> Scope {
        self.on.clone()
    }
}

/// Confirms grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmReviewed {
    /// Name of the review.
    pub review: ReviewId,
    /// Grants that stay, at most 500 at once.
    pub grants: Vec<GrantId>,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for ConfirmReviewed {}

/// Revokes grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeReviewed {
    /// Name of the review.
    pub review: ReviewId,
    /// Grants that end, at most 500 at once.
    pub grants: Vec<GrantId>,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for RevokeReviewed {}

/// Closes a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseReview {
    /// Name of the review.
    pub review: ReviewId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for CloseReview {}
