//! Pages of rows in the order of their keys, and the names by which the next page is asked for.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use steward_events::BoxError;
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_queries::{Page, Paging};

use super::key::Key;
use super::view_store::Snapshot;

/// The most rows that are looked at for one page of a filtered list: what comes after is another page.
pub const ROWS_READ_MAX: usize = 20_000;

/// Between the parts of a row's name in [`Page::next`]. No name in Steward holds it.
const SEPARATOR: char = '~';

/// A part of a list: rows with what their keys say after the prefix, and where to go on, if there is more.
pub struct Part<T> {
    position: Position,
    rows: Vec<(Vec<u8>, T)>,
    more_after: Option<Vec<u8>>,
}

/// The key of the row after which a page begins.
///
/// # Errors
/// [`Rejection::Invalid`] for what no page has in `next`.
pub fn after(prefix: &Key, paging: &Paging) -> Result<Option<Key>, Rejection> {
    let Some(name) = &paging.after else { return Ok(None) };
    if name.contains('\0') {
        return Err(Rejection::invalid("after", "take what the page before has in `next`"));
    }
    Ok(Some(name.split(SEPARATOR).fold(prefix.clone(), Key::text)))
}

/// The rows under `prefix` that `wanted` makes something of, after the key `after`, at most `limit`, looking at no more
/// than `read_max`. `within` narrows the search to keys that begin with it, if all that is wanted does.
///
/// # Errors
/// If the store cannot be read.
pub fn part<R: DeserializeOwned, T>(
    rows: &Snapshot<'_>,
    prefix: &Key,
    within: Option<&Key>,
    after: Option<&Key>,
    (limit, read_max): (usize, usize),
    mut wanted: impl FnMut(R) -> Result<Option<T>, BoxError>,
) -> Result<Part<T>, BoxError> {
    let mut part = Part { position: rows.position(), rows: Vec::new(), more_after: None };
    let (mut read, mut failed) = (0_usize, None);
    let mut last_read: Vec<u8> = Vec::new();
    rows.scan(within.unwrap_or(prefix), after, |key, row| {
        let name = key.get(prefix.as_bytes().len()..).unwrap_or_default();
        if part.rows.len() == limit || read == read_max {
            part.more_after = Some(std::mem::take(&mut last_read));
            return false;
        }
        read += 1;
        last_read = name.to_vec();
        match wanted(row) {
            Ok(Some(row)) => part.rows.push((name.to_vec(), row)),
            Ok(None) => {}
            Err(error) => {
                failed = Some(error);
                return false;
            }
        }
        true
    })?;
    failed.map_or(Ok(part), Err)
}

impl<T> Part<T> {
    /// No rows.
    pub const fn empty() -> Self {
        Self { position: Position(0), rows: Vec::new(), more_after: None }
    }

    /// Adds a row that stands in no store, unless there is one of its `name`, or the name lies before or behind the part.
    pub fn fill(&mut self, name: &str, after: Option<&str>, row: T) {
        let key = [name.as_bytes(), &[0]].concat();
        let behind = self.more_after.as_ref().is_some_and(|last| key > *last);
        if after.is_some_and(|after| name <= after) || behind {
            return;
        }
        if let Err(place) = self.rows.binary_search_by(|(known, _)| known.cmp(&key)) {
            self.rows.insert(place, (key, row));
        }
    }

    /// The part as a page.
    pub fn page(self) -> Page<T> {
        Page {
            position: self.position,
            next: self.more_after.map(|name| text(&name)),
            rows: self.rows.into_iter().map(|(_, row)| row).collect(),
        }
    }

    /// A page of both lists in one order. Where both have a row of one name, `both` makes one of them; the position is
    /// that of the first list. Both parts were read with the same limit and without a bound on what is looked at.
    pub fn merge<U>(self, other: Part<T>, limit: usize, both: impl Fn(Option<T>, Option<T>) -> Option<U>) -> Page<U> {
        let has_more = self.more_after.is_some() || other.more_after.is_some();
        let mut pairs: BTreeMap<Vec<u8>, (Option<T>, Option<T>)> = BTreeMap::new();
        for (name, row) in self.rows {
            pairs.entry(name).or_default().0 = Some(row);
        }
        for (name, row) in other.rows {
            pairs.entry(name).or_default().1 = Some(row);
        }
        let more = has_more || pairs.len() > limit;
        let last = pairs.keys().nth(limit.saturating_sub(1)).or_else(|| pairs.keys().next_back()).cloned();
        let rows = pairs.into_values().take(limit).filter_map(|(own, inherited)| both(own, inherited)).collect();
        Page { position: self.position, rows, next: last.filter(|_| more).map(|name| text(&name)) }
    }
}

fn text(name: &[u8]) -> String {
    let name = name.strip_suffix(&[0]).unwrap_or(name);
    String::from_utf8_lossy(name).replace('\0', &SEPARATOR.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str], limit: usize) -> Part<String> {
        let rows =
            names.iter().take(limit).map(|name| (format!("{name}\0").into_bytes(), (*name).to_owned())).collect();
        let more_after = (names.len() > limit).then(|| format!("{}\0", names[limit - 1]).into_bytes());
        Part { position: Position(7), rows, more_after }
    }

    /// Pages of both lists, each read from where the page before ended.
    fn pages(own: &[&str], inherited: &[&str], limit: usize) -> Vec<Vec<String>> {
        let (mut pages, mut after) = (Vec::new(), String::new());
        loop {
            let rest = |all: &[&'static str]| -> Vec<&'static str> {
                all.iter().copied().filter(|name| *name > after.as_str()).collect()
            };
            let (own, inherited) = (leak(own), leak(inherited));
            let (own, inherited) = (rest(&own), rest(&inherited));
            let page = list(&own, limit).merge(list(&inherited, limit), limit, Option::or);
            pages.push(page.rows);
            match page.next {
                Some(next) => after = next,
                None => return pages,
            }
        }
    }

    fn leak(names: &[&str]) -> Vec<&'static str> {
        names.iter().map(|name| &*Box::leak((*name).to_owned().into_boxed_str())).collect()
    }

    #[test]
    fn merged_pages_hold_every_row_once_and_in_order() {
        let (own, inherited) = (["b", "c", "f"], ["a", "b", "d", "e", "f", "g"]);
        for limit in 1..9 {
            let pages = pages(&own, &inherited, limit);
            assert!(pages.iter().all(|page| page.len() <= limit), "{limit}: {pages:?}");
            assert_eq!(pages.concat(), ["a", "b", "c", "d", "e", "f", "g"], "{limit}");
        }
    }

    #[test]
    fn the_name_of_a_row_leads_back_to_its_key() {
        let prefix = Key::of(&"acme".parse().unwrap()).text("grant");
        let key = prefix.clone().text("p_ana").text("owner").text("acme/support");
        let name = text(&key.as_bytes()[prefix.as_bytes().len()..]);
        assert_eq!(name, "p_ana~owner~acme/support");
        let paging = |name: &str| Paging::new(None, Some(name), None);
        assert_eq!(after(&prefix, &paging(&name)).unwrap(), Some(key));
        assert!(after(&prefix, &paging("a\0b")).is_err());
    }
}
