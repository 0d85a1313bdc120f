//! What was measured, by name, held against baselines of the same run and against what the project wants; `table` says
//! what each name means.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::sample::median;

mod table;

pub(super) use table::Target;
use table::{FIGURES, Meaning};

use Target::{AtLeast, AtMost, PartOfBaseline};

/// What stands before the names of figures measured with `durability = "strict"`.
pub(super) const STRICT: &str = "strict.";

/// What `name` means.
pub(super) fn meaning(name: &str) -> Option<&'static Meaning> {
    let name = name.strip_prefix(STRICT).unwrap_or(name);
    FIGURES.iter().find(|row| row.name == name)
}

/// Figures by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// Notes one.
    pub(super) fn set(&mut self, name: &str, value: f64) {
        debug_assert!(meaning(name).is_some(), "{name} is not in the table");
        self.0.insert(name.to_owned(), value);
    }

    /// Adds to one.
    #[allow(clippy::cast_precision_loss)] // counts of a benchmark
    pub(super) fn count(&mut self, name: &str, more: u64) {
        *self.0.entry(name.to_owned()).or_default() += more as f64;
    }

    /// One of them.
    pub(super) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Takes in others.
    pub(super) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// The same under names that begin with `prefix`.
    pub(super) fn prefixed(self, prefix: &str) -> Self {
        Self(self.0.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect())
    }

    /// The median of each over runs, and of its part of its baseline.
    pub(super) fn of_runs(runs: &[Self]) -> Self {
        let names = runs.first().map(|first| first.0.keys()).into_iter().flatten();
        let middle = |name: &String| median(runs.iter().filter_map(|run| run.get(name)).collect());
        Self(names.map(|name| (name.clone(), middle(name))).collect())
    }

    /// All of them with their meanings, in the table's order, strict ones last.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, f64, &'static Meaning)> {
        ["", STRICT].into_iter().flat_map(move |prefix| {
            FIGURES.iter().filter_map(move |row| {
                let (name, value) = self.0.get_key_value(&format!("{prefix}{}", row.name))?;
                Some((name.as_str(), *value, row))
            })
        })
    }

    /// The part of its baseline that `name` is.
    pub(super) fn ratio(&self, name: &str) -> Option<f64> {
        let prefix = if name.starts_with(STRICT) { STRICT } else { "" };
        let baseline = self.get(&format!("{prefix}{}", meaning(name)?.baseline?))?;
        (baseline > 0.0).then(|| self.get(name).map(|value| value / baseline)).flatten()
    }

    /// Whether `name` is as it should be; none if nothing was said of it, or not of this durability.
    pub(super) fn met(&self, name: &str) -> Option<bool> {
        if name.starts_with(STRICT) {
            return None;
        }
        let value = self.get(name)?;
        match meaning(name)?.target {
            AtLeast(least) => Some(value >= least),
            AtMost(most) => Some(value <= most),
            PartOfBaseline(part) => self.ratio(name).map(|ratio| ratio >= part),
            Target::None => None,
        }
    }

    /// Nested by the names' parts.
    pub(super) fn json(&self) -> Map<String, Value> {
        let mut all = Map::new();
        for (name, value) in &self.0 {
            // Three decimals are more than any of them is good for.
            let value = json!((value * 1_000.0).round() / 1_000.0);
            let mut at = &mut all;
            let mut parts = name.split('.').peekable();
            while let Some(part) = parts.next() {
                if parts.peek().is_none() {
                    at.insert(part.to_owned(), value.clone());
                } else if let Value::Object(inner) = at.entry(part).or_insert_with(|| json!({})) {
                    at = inner;
                    continue;
                }
                break;
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(direct: f64, calls: f64) -> Figures {
        let mut figures = Figures::default();
        figures.set("gateway.direct_per_s", direct);
        figures.set("gateway.calls_per_s", calls);
        figures
    }

    #[test]
    fn every_name_stands_once_and_every_baseline_is_there() {
        for (at, row) in FIGURES.iter().enumerate() {
            assert!(!FIGURES[..at].iter().any(|other| other.name == row.name), "{}", row.name);
            assert!(row.baseline.is_none_or(|name| meaning(name).is_some()), "{}", row.name);
            assert_eq!(row.name.split('.').count(), 2, "{}", row.name);
        }
    }

    #[test]
    fn a_figure_is_held_against_its_baseline() {
        let figures = Figures::of_runs(&[run(100.0, 10.0), run(80.0, 30.0), run(90.0, 12.0)]);
        assert_eq!(figures, run(90.0, 12.0));
        assert_eq!(figures.met("gateway.calls_per_s"), Some(true), "12 of 90");
        assert_eq!(run(100.0, 10.0).met("gateway.calls_per_s"), Some(false));
        assert_eq!(figures.met("gateway.direct_per_s"), None);
        let strict = figures.prefixed(STRICT);
        assert!((strict.ratio("strict.gateway.calls_per_s").unwrap() - 12.0 / 90.0).abs() < 1e-9);
        assert_eq!(strict.met("strict.gateway.calls_per_s"), None);
    }

    #[test]
    fn json_is_nested_by_part() {
        let mut figures = run(2.0, 1.0);
        figures.extend(run(4.0, 3.0).prefixed(STRICT));
        let json = Value::Object(figures.json());
        assert_eq!(json.pointer("/gateway/calls_per_s"), Some(&json!(1.0)));
        assert_eq!(json.pointer("/strict/gateway/direct_per_s"), Some(&json!(4.0)));
    }
}
