//! Lists in the order in which things came, whose pages are asked for by what stands last on the page before.

use serde::de::DeserializeOwned;

use steward_events::BoxError;
use steward_events::commit::Recorded;
use steward_events::id::TenantId;
use steward_queries::{Order, Page, Paging};

use super::key::Key;
use super::page::{ROWS_READ_MAX, after, part};
use super::view_store::Snapshot;

/// When something came, among all of its tenant: position and, because one commit may hold several events, index.
pub type Moment = (u64, u32);

/// When this was recorded.
pub const fn moment(recorded: &Recorded<'_>) -> Moment {
    (recorded.position.0, recorded.index)
}

/// Where the list of `tenant` in this order begins.
pub fn list(tenant: &TenantId, order: Order) -> Key {
    Key::of(tenant).text(match order {
        Order::Desc => "newest",
        Order::Asc => "oldest",
    })
}

/// Where what came at `moment` stands in that list, after its beginning.
pub fn place((position, index): Moment, order: Order) -> String {
    let (position, index) = match order {
        Order::Desc => (u64::MAX - position, u32::MAX - index),
        Order::Asc => (position, index),
    };
    format!("{position:016x}{index:08x}")
}

/// The keys under which the index of `tenant` names what came at `moment`.
pub fn entries(tenant: &TenantId, moment: Moment) -> [Key; 2] {
    [Order::Desc, Order::Asc].map(|order| list(tenant, order).text(&place(moment, order)))
}

/// One page of what `wanted` makes of the entries of the list. `paging` may name what the page begins after: `found` says
/// when that came. None if it names nothing.
///
/// # Errors
/// If the store cannot be read.
pub fn page<R: DeserializeOwned, T>(
    rows: &Snapshot<'_>,
    (tenant, order): (&TenantId, Order),
    mut paging: Paging,
    found: impl Fn(&str) -> Result<Option<Moment>, BoxError>,
    wanted: impl FnMut(R) -> Result<Option<T>, BoxError>,
) -> Result<Option<Page<T>>, BoxError> {
    if let Some(name) = &paging.after {
        match found(name)? {
            Some(moment) => paging.after = Some(place(moment, order)),
            None if is_place(name) => {}
            None => return Ok(None),
        }
    }
    let prefix = list(tenant, order);
    let Ok(after) = after(&prefix, &paging) else { return Ok(None) };
    Ok(Some(part(rows, &prefix, None, after.as_ref(), (paging.limit, ROWS_READ_MAX), wanted)?.page()))
}

fn is_place(name: &str) -> bool {
    name.len() == 24 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stand_first_in_one_order_and_last_in_the_other() {
        let moments = [(0, 0), (0, 1), (1, 0), (7 << 40, 3), (u64::MAX, u32::MAX)];
        for pair in moments.windows(2) {
            let [older, newer] = [0, 1].map(|at| pair[at]);
            assert!(place(newer, Order::Desc) < place(older, Order::Desc), "{pair:?}");
            assert!(place(newer, Order::Asc) > place(older, Order::Asc), "{pair:?}");
        }
        assert!(is_place(&place((5, 0), Order::Desc)) && !is_place("file-5"));
    }
}
