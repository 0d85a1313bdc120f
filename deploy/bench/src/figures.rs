//! What is measured, by name: one table that says what each figure means, which baseline of the same run it is held
//! against, and what the project wants it to be.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::sample::median;
use super::unit::Unit;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// At least this part of its baseline.
    PartOfBaseline(f64),
    /// None was set.
    None,
}

/// One row of the table.
pub(super) struct Meaning {
    /// `part.figure`, also in the JSON.
    pub(super) name: &'static str,
    /// For people.
    pub(super) what: &'static str,
    /// In what.
    pub(super) unit: Unit,
    /// The figure of the same run that this one is a part of.
    pub(super) baseline: Option<&'static str>,
    /// What it should be.
    pub(super) target: Target,
}

const fn row(
    name: &'static str,
    what: &'static str,
    unit: Unit,
    baseline: Option<&'static str>,
    target: Target,
) -> Meaning {
    Meaning { name, what, unit, baseline, target }
}

use Target::{AtLeast, AtMost, PartOfBaseline};
use Unit::{Mebibytes, Micros, Millis, Number, PerSecond};

/// The table.
pub(super) const FIGURES: &[Meaning] = &[
    row("gateway.direct_per_s", "calls straight to the mock, 32 connections", PerSecond, None, Target::None),
    row(
        "gateway.calls_per_s",
        "calls through the gateway, 32 connections",
        PerSecond,
        Some("gateway.direct_per_s"),
        PartOfBaseline(0.12),
    ),
    row("gateway.cpu_us_per_call", "processor time of the gateway a call", Micros, None, AtMost(100.0)),
    row("gateway.appends_per_call", "appends to the log a call", Number, None, Target::None),
    row("gateway.p50_us_at_32", "a call's time at 32 connections, p50", Micros, None, Target::None),
    row("gateway.p99_us_at_32", "a call's time at 32 connections, p99", Micros, None, Target::None),
    row("gateway.direct_p50_us", "a call's time straight to the mock, one connection, p50", Micros, None, Target::None),
    row("gateway.added_p50_us", "what the gateway adds at one connection, p50", Micros, None, AtMost(600.0)),
    row("gateway.added_p99_us", "what the gateway adds at one connection, p99", Micros, None, Target::None),
    row(
        "gateway.direct_streams_per_s",
        "streams of 32 events straight to the mock, 32 connections",
        PerSecond,
        None,
        Target::None,
    ),
    row(
        "gateway.streams_per_s",
        "streams of 32 events through the gateway, 32 connections",
        PerSecond,
        Some("gateway.direct_streams_per_s"),
        AtLeast(5_000.0),
    ),
    row("gateway.added_first_byte_p50_us", "what it adds to a stream's first byte, p50", Micros, None, AtMost(500.0)),
    row("gateway.added_first_byte_p99_us", "what it adds to a stream's first byte, p99", Micros, None, Target::None),
    row("gateway.refused", "calls refused under load", Number, None, Target::None),
    row(
        "projectors.lag_ms",
        "from the end of the load until the cost report shows all of it",
        Millis,
        None,
        AtMost(1_000.0),
    ),
    row("commands.per_s", "commands over many aggregates, 64 in flight", PerSecond, None, AtLeast(10_000.0)),
    row("commands.p50_us", "a command's time, p50", Micros, None, Target::None),
    row("commands.hot_ledger_per_s", "commands on one ledger, 64 in flight", PerSecond, None, AtLeast(3_000.0)),
    row("commands.hot_ledger_p50_us", "such a command's time, p50", Micros, None, Target::None),
    row(
        "log.raw_append_per_s",
        "conditional publishes by the bare client, 64 in flight",
        PerSecond,
        None,
        Target::None,
    ),
    row("log.append_per_s", "appends, acknowledged, 64 writers", PerSecond, Some("log.raw_append_per_s"), Target::None),
    row("log.raw_append_p50_us", "a bare publish's time, p50", Micros, None, Target::None),
    row("log.append_p50_us", "an append's time, p50", Micros, None, Target::None),
    row("replay.raw_events_per_s", "events whose messages the bare client reads", PerSecond, None, Target::None),
    row(
        "replay.events_per_s",
        "events folded into the cost report, rows on disk, 8 events a commit",
        PerSecond,
        Some("replay.raw_events_per_s"),
        AtLeast(200_000.0),
    ),
    row("replay.raw_single_events_per_s", "the same with one event a commit", PerSecond, None, Target::None),
    row(
        "replay.single_events_per_s",
        "events folded into the cost report, one event a commit",
        PerSecond,
        Some("replay.raw_single_events_per_s"),
        Target::None,
    ),
    row("authorise.p50_us", "a decision on access by the policies, 10,000 grants, p50", Micros, None, Target::None),
    row("authorise.p99_us", "a decision on access by the policies, 10,000 grants, p99", Micros, None, Target::None),
    row("authorise.again_p50_us", "the same request again, p50", Micros, None, Target::None),
    row(
        "revocation.p50_ms",
        "from a revocation's acknowledgement to the refusal elsewhere, p50",
        Millis,
        None,
        Target::None,
    ),
    row(
        "revocation.p99_ms",
        "from a revocation's acknowledgement to the refusal elsewhere, p99",
        Millis,
        None,
        AtMost(100.0),
    ),
    row("revocation.max_ms", "the longest of them", Millis, None, Target::None),
    row(
        "revocation.since_sent_p50_ms",
        "from sending the revocation to the refusal elsewhere, p50",
        Millis,
        None,
        Target::None,
    ),
    row(
        "revocation.since_sent_p99_ms",
        "from sending the revocation to the refusal elsewhere, p99",
        Millis,
        None,
        Target::None,
    ),
    row(
        "revocation.still_worked_p99_ms",
        "from the acknowledgement to sending the last call that was answered, p99",
        Millis,
        None,
        Target::None,
    ),
    row("revocation.still_worked_max_ms", "the longest of them", Millis, None, Target::None),
    row(
        "revocation.bus_p50_ms",
        "from the acknowledgement to the refusal on an open bus connection, p50",
        Millis,
        None,
        Target::None,
    ),
    row("revocation.bus_p99_ms", "the same, p99", Millis, None, AtMost(100.0)),
    row("revocation.bus_max_ms", "the longest of them", Millis, None, Target::None),
    row(
        "revocation.bus_still_worked_p50_ms",
        "from the acknowledgement to sending the last command that was still taken there, p50",
        Millis,
        None,
        Target::None,
    ),
    row("revocation.bus_still_worked_p99_ms", "the same, p99", Millis, None, AtMost(100.0)),
    row("revocation.bus_still_worked_max_ms", "the longest of them", Millis, None, Target::None),
    row(
        "revocation.task_p50_ms",
        "from the acknowledgement to the end of a task that was submitted with the key, p50",
        Millis,
        None,
        Target::None,
    ),
    row("revocation.task_p99_ms", "the same, p99", Millis, None, AtMost(100.0)),
    row("revocation.task_max_ms", "the longest of them", Millis, None, Target::None),
    row("revocation.trials", "keys revoked", Number, None, Target::None),
    row("process.ready_ms", "`steward up` on an empty folder, until ready", Millis, None, AtMost(1_000.0)),
    row("process.ready_again_ms", "the same, started again", Millis, None, Target::None),
    row("process.rss_idle_mib", "memory of `steward up`, idle", Mebibytes, None, AtMost(60.0)),
    row("process.rss_loaded_mib", "memory of `steward up` after load", Mebibytes, None, AtMost(120.0)),
    row("process.nats_rss_idle_mib", "memory of its nats-server, idle", Mebibytes, None, Target::None),
    row("process.nats_rss_loaded_mib", "memory of its nats-server after load", Mebibytes, None, Target::None),
    row(
        "process.ready_million_ms",
        "`steward up` on a million events with views, until ready",
        Millis,
        None,
        AtMost(5_000.0),
    ),
    row(
        "process.ready_million_rebuild_ms",
        "the same without its views, which it rebuilds",
        Millis,
        None,
        Target::None,
    ),
    row("neighbour.alone_p50_us", "a slow caller's call while nobody else calls, p50", Micros, None, Target::None),
    row("neighbour.beside_p50_us", "the same while another tenant calls at full load, p50", Micros, None, Target::None),
    row("neighbour.alone_p99_us", "a slow caller's call while nobody else calls, p99", Micros, None, Target::None),
    row("neighbour.beside_p99_us", "the same while another tenant calls at full load, p99", Micros, None, Target::None),
    row("neighbour.queue_wait_p50_us", "what the other tenant's load adds: the wait, p50", Micros, None, Target::None),
    row("neighbour.queue_wait_p99_us", "what the other tenant's load adds: the wait, p99", Micros, None, Target::None),
    row("neighbour.own_load_p50_us", "a call of the loading tenant itself, p50", Micros, None, Target::None),
    row("checks.generator_calls", "calls answered to the load generator", Number, None, Target::None),
    row("checks.upstream_calls", "calls counted by the mock upstream", Number, None, Target::None),
    row("checks.gateway_calls", "of them, through the gateway", Number, None, Target::None),
    row("checks.reported_calls", "calls in the cost report", Number, None, Target::None),
];

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
        let figures = Figures::of_runs(&[run(100.0, 11.0), run(80.0, 30.0), run(90.0, 12.0)]);
        assert_eq!(figures, run(90.0, 12.0));
        assert_eq!(figures.met("gateway.calls_per_s"), Some(true), "12 of 90");
        assert_eq!(run(100.0, 11.0).met("gateway.calls_per_s"), Some(false));
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
