//! Who read what people did: histories, commits, tasks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::PrincipalId;
use crate::permission::Permission;
use crate::quantity::SchemaVersion;

/// Events of reading. One writer a journal, at a bounded rate: each is there, by itself or in a sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum ReadEvent {
    /// Somebody read something.
    Read {
        /// Who.
        principal: PrincipalId,
        /// With which query, as its permission.
        query: Permission,
        /// What was asked: the query's body as JSON, cut if it is long.
        asked: String,
    },
    /// So many more were read, and are not kept one by one.
    LeftOut {
        /// Who; none if it was many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        principal: Option<PrincipalId>,
        /// How many, by query.
        queries: BTreeMap<Permission, u64>,
    },
}

impl ReadEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(1);
}
