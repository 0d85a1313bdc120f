"""One more view, `census`, which counts the tenants of a shard, and its query: a file each, and a line in each list."""

from steward_testkit.source_tree import Growth

PLACES = ("projectors/src/view.rs", "projectors/src/view/", "projectors/src/views.rs", "events/queries/src/lib.rs", "events/queries/src/")

CENSUS = '''//! A made-up view: when each tenant was last heard of.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use steward_events::commit::Recorded;
use steward_events::event::TenantEvent;
use steward_events::timestamp::Timestamp;
use steward_queries::{Census as CensusAnswer, CensusQuery};

use crate::engine::Engine;
use crate::engine::key::Key;
use crate::engine::projector::{Projector, reads};
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};
use crate::engine::rows::Rows;
use crate::engine::runner::Runner;

/// The read model.
pub struct CensusView {
    rows: Arc<Runner<Census>>,
}

impl CensusView {
    /// Over the engine's log and store.
    pub fn new(engine: &Engine) -> Self {
        Self { rows: engine.runner() }
    }
}

#[async_trait]
impl ReadModel for CensusView {
    fn nouns(&self) -> &'static [&'static str] {
        &["census"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        Some(Arc::<Runner<_>>::clone(&self.rows))
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        let CensusQuery {} = query.read()?;
        query.write(&CensusAnswer { shards: u64::from(query.shard.0) })
    }
}

/// The fold.
pub struct Census;

/// When a tenant was last heard of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CensusRow {
    at: Timestamp,
}

impl Projector for Census {
    const NAME: &'static str = "census-v1";
    type Row = CensusRow;

    reads!(Tenant => count);
}

fn count(_: &TenantEvent, recorded: &Recorded<'_>, rows: &mut Rows<CensusRow>) {
    *rows.row(&Key::of(&recorded.stream.tenant)) = Some(CensusRow { at: recorded.entry.at });
}
'''

QUERY = '''//! A made-up query.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks how many there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CensusQuery {}

/// How many there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Census {
    /// How many.
    pub shards: u64,
}
'''


def grow(it: Growth):
    it.create("projectors/src/view/census.rs", CENSUS)
    it.before("projectors/src/view.rs", "pub mod cost;", "pub mod census;")
    it.before("projectors/src/views.rs", "use crate::view::cost::", "use crate::view::census::CensusView;")
    it.before("projectors/src/views.rs", "Arc::new(CostView::new(engine)),", "Arc::new(CensusView::new(engine)),")
    it.create("events/queries/src/census.rs", QUERY)
    it.before("events/queries/src/lib.rs", "mod cost;", "mod census;")
    it.before("events/queries/src/lib.rs", "pub use cost::", "pub use census::{Census, CensusQuery};")
    it.before("events/queries/src/lib.rs", '"cost" "report" =>', '"census" "read" => CensusQuery, Census, OfTheTenant, "How many tenants there are";')
