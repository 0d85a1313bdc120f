//! Pages of lists: the same fields in every query that lists, the same shape in every answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use steward_events::quantity::Position;

/// How many rows a page has if the query does not say.
pub const PAGE_ROWS: u32 = 100;

/// The most rows of one page.
pub const PAGE_ROWS_MAX: u32 = 1_000;

/// One page of a list, in the order of the rows' names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    /// The rows include the tenant's shard up to here.
    pub position: Position,
    /// The rows. A page may have fewer than its limit, even none, and yet be followed by another.
    pub rows: Vec<T>,
    /// The next page is that of the same query with `after` set to this; none at the end.
    pub next: Option<String>,
}

/// Which part of a list a query wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paging {
    /// At most so many rows.
    pub limit: usize,
    /// After the row of this name, as the page before has it in `next`.
    pub after: Option<String>,
    /// From a state that includes this position.
    pub min_position: Option<Position>,
}

impl Paging {
    /// As a query has it; a limit beyond [`PAGE_ROWS_MAX`] counts as that.
    pub fn new(limit: Option<u32>, after: Option<&str>, min_position: Option<Position>) -> Self {
        let limit = limit.unwrap_or(PAGE_ROWS).clamp(1, PAGE_ROWS_MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, after: after.map(str::to_owned), min_position }
    }
}

/// A query that lists: its filters, and the fields that every list has.
macro_rules! list_query {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[$field_doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$kind>,)*
            /// At most so many rows a page (100 if left out, 1000 at most).
            #[serde(skip_serializing_if = "Option::is_none")]
            pub limit: Option<u32>,
            /// The page after this one: what the page before has in `next`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub after: Option<String>,
            /// Answer only from a state that includes this position.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub min_position: Option<Position>,
        }

        impl $name {
            /// Which part of the list it wants.
            pub fn paging(&self) -> Paging {
                Paging::new(self.limit, self.after.as_deref(), self.min_position)
            }
        }
    };
}

pub(super) use list_query;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_row_to_its_bound() {
        for (limit, rows) in [(None, 100), (Some(0), 1), (Some(7), 7), (Some(1_000), 1_000), (Some(1_001), 1_000)] {
            assert_eq!(Paging::new(limit, None, None).limit, rows, "{limit:?}");
        }
    }
}
