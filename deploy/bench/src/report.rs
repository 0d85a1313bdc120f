//! What was measured, for people and for machines.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::figures::{Figures, STRICT, Target};
use super::machine::Machine;
use super::plot::Series;
use super::unit::{Unit, figure};
use steward_node::output;

/// Everything that one run of the bench found.
pub struct Report {
    /// Where.
    pub(super) machine: Machine,
    /// `release` or `debug`.
    pub(super) build: &'static str,
    /// True if it was a short run, good for nothing but to see that it works.
    pub(super) quick: bool,
    /// Runs of which each figure is the median.
    pub(super) runs: usize,
    /// The figures.
    pub(super) figures: Figures,
    /// How figures grow.
    pub(super) growth: Vec<Series>,
    /// What could not be measured, and why.
    pub(super) notes: Vec<String>,
}

impl Report {
    /// For machines: figures by part, then all that explains them.
    pub fn json(&self) -> Value {
        let mut all = self.figures.json();
        let named = |row: Option<Value>, name: &str| row.map(|value| (name.to_owned(), value));
        let rows = || self.figures.rows().map(|(name, _, _)| name);
        let ratios = rows().filter_map(|name| named(self.figures.ratio(name).map(|ratio| json!(ratio)), name));
        all.insert("of_baseline".to_owned(), Value::Object(ratios.collect()));
        let met = rows().filter_map(|name| named(self.figures.met(name).map(|met| json!(met)), name));
        all.insert("target_met".to_owned(), Value::Object(met.collect()));
        all.insert("growth".to_owned(), json!(self.growth));
        all.insert("notes".to_owned(), json!(self.notes));
        all.insert("machine".to_owned(), json!(self.machine));
        all.insert("build".to_owned(), json!(self.build));
        all.insert("quick".to_owned(), json!(self.quick));
        all.insert("runs".to_owned(), json!(self.runs));
        Value::Object(all)
    }

    /// For people, as small tables.
    pub fn text(&self) -> String {
        let mut text = format!("{}; {} build, medians of {}\n", self.machine.line(), self.build, self.runs);
        if self.quick {
            text.push_str("A quick run: it shows that the bench works, not how fast anything is.\n");
        }
        for part in self.parts() {
            let rows = self.rows(&part).into_iter().map(|row| row.to_vec());
            let headings = [part.as_str(), "figure", "of baseline", "target", ""];
            text.push('\n');
            text.push_str(&output::table(&headings, &["figure", "of baseline"], rows));
            text.push('\n');
        }
        for note in &self.notes {
            _ = write!(text, "\n{note}\n");
        }
        text
    }

    /// As the tables of a page.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        for part in self.parts() {
            _ = write!(text, "\n## {part}\n\n| | figure | of its baseline | target | |\n|---|--:|--:|---|---|\n");
            for [what, figure, ratio, target, met] in self.rows(&part) {
                _ = writeln!(text, "| {what} | {figure} | {ratio} | {target} | {met} |");
            }
        }
        for note in &self.notes {
            _ = write!(text, "\n{note}\n");
        }
        text
    }

    /// The first words of the figures' names, in their order.
    fn parts(&self) -> Vec<String> {
        let mut parts: Vec<String> = self.figures.rows().map(|(name, _, _)| part_of(name)).collect();
        parts.dedup();
        parts
    }

    fn rows(&self, part: &str) -> Vec<[String; 5]> {
        let of_part = self.figures.rows().filter(|(name, _, _)| part_of(name) == part);
        of_part
            .map(|(name, value, meaning)| {
                let ratio =
                    self.figures.ratio(name).map_or_else(String::new, |ratio| format!("{:.1} %", ratio * 100.0));
                let target =
                    if name.starts_with(STRICT) { String::new() } else { target(meaning.target, meaning.unit) };
                let met = self.figures.met(name).map_or("", |met| if met { "met" } else { "missed" });
                [meaning.what.to_owned(), figure(value, meaning.unit), ratio, target, met.to_owned()]
            })
            .collect()
    }
}

fn part_of(name: &str) -> String {
    match name.strip_prefix(STRICT) {
        Some(rest) => format!("{}, strict durability", part_of(rest)),
        None => name.split('.').next().unwrap_or_default().to_owned(),
    }
}

fn target(target: Target, unit: Unit) -> String {
    match target {
        Target::AtLeast(least) => format!("≥ {}", figure(least, unit)),
        Target::AtMost(most) => format!("≤ {}", figure(most, unit)),
        Target::PartOfBaseline(part) => format!("≥ {} % of its baseline", (part * 1_000.0).round() / 10.0),
        Target::None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut figures = Figures::default();
        figures.set("gateway.direct_per_s", 84_000.4);
        figures.set("gateway.calls_per_s", 12_600.0);
        figures.set("gateway.cpu_us_per_call", 112.5);
        figures.extend(figures.clone().prefixed(STRICT));
        let machine = Machine {
            cores: 2,
            processor: "test".to_owned(),
            memory_mib: 24 * 1024,
            kernel: "6".to_owned(),
            load_before: 0.0,
            others: 0.0,
        };
        Report { machine, build: "release", quick: false, runs: 3, figures, growth: Vec::new(), notes: Vec::new() }
    }

    #[test]
    fn each_figure_stands_beside_its_baseline_and_its_target() {
        let text = report().text();
        let line = |what: &str| text.lines().find(|line| line.starts_with(what)).unwrap().to_owned();
        let calls = line("calls through the gateway");
        for part in ["12,600/s", "15.0 %", "≥ 11 % of its baseline", "met"] {
            assert!(calls.contains(part), "{part} in {calls}");
        }
        assert!(line("processor time").ends_with("missed"), "{text}");
        assert!(text.contains("gateway, strict durability"), "{text}");
    }

    #[test]
    fn a_page_has_a_table_a_part() {
        let page = report().markdown();
        assert_eq!(page.matches("\n## ").count(), 2, "{page}");
        assert!(page.contains("| 84,000/s |"), "{page}");
    }

    #[test]
    fn json_says_which_targets_were_met() {
        let json = report().json();
        assert_eq!(json.pointer("/gateway/direct_per_s"), Some(&json!(84_000.4)));
        assert_eq!(json["target_met"]["gateway.cpu_us_per_call"], json!(false));
        assert_eq!(json["of_baseline"]["gateway.calls_per_s"].as_f64().map(|r| (r * 100.0).round()), Some(15.0));
        assert!(json["target_met"].get("strict.gateway.calls_per_s").is_none());
    }
}
