//! What an acknowledgement survives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an acknowledgement of the bus survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// The death of any process: what was acknowledged is in the page cache of the machine.
    #[default]
    ProcessCrash,
    /// Power loss too: every append is synced before it is acknowledged.
    Strict,
}
