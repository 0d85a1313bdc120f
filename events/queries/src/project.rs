//! Projects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{Page, Paging, list_query};
use steward_events::id::ProjectId;
use steward_events::quantity::Position;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

list_query! {
    /// Lists projects.
    ListProjects {
        /// Only those in this state: `active`, `archived` or `implicit`.
        state: ProjectState,
    }
}

/// Shows one project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowProject {
    /// Id of the project.
    pub project: ProjectId,
    /// Answer only from a state that includes this position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_position: Option<Position>,
}

/// Projects.
pub type ProjectPage = Page<ProjectRow>;

/// One project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectRow {
    /// Id of the project.
    pub project: ProjectId,
    /// What people call it.
    pub name: String,
    /// Its scope.
    pub scope: Scope,
    /// Whether it may be used.
    pub state: ProjectState,
    /// Why it is archived, if it is.
    pub reason: Option<String>,
    /// When it was created; none if nobody did.
    pub created_at: Option<Timestamp>,
}

/// Whether a project may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProjectState {
    /// It may be used.
    Active,
    /// Nothing new begins there until it is restored.
    Archived,
    /// Nobody created it: keys or grants are there from before the tenant had projects. It may be used.
    Implicit,
}
