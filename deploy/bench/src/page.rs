//! `docs/PERFORMANCE.md`: what one run found, as tables and pictures, written by that run.

use std::fmt::Write as _;
use std::path::Path;

use steward_events::BoxError;

use super::report::Report;

/// The part of the processors that others may use in a run that counts as quiet.
const QUIET_MAX: f64 = 0.05;

/// Writes `report` to `page`, and its pictures into the folder of the page's name beside it.
pub(super) fn write(report: &Report, page: &Path) -> Result<(), BoxError> {
    let stem = page.file_stem().ok_or("--write needs the name of a page")?.to_string_lossy().to_lowercase();
    let folder = page.with_file_name(&stem);
    let mut text = opening(report);
    text.push_str(&report.markdown());
    if !report.growth.is_empty() {
        std::fs::create_dir_all(&folder)?;
        text.push_str("\n## growth\n");
    }
    for series in &report.growth {
        series.draw(&folder.join(format!("{}.svg", series.name)))?;
        _ = write!(text, "\n![{}]({stem}/{}.svg)\n", series.title, series.name);
    }
    std::fs::write(page, text).map_err(|error| format!("{}: {error}", page.display()).into())
}

fn opening(report: &Report) -> String {
    let machine = report.machine.line();
    let quiet = if report.machine.others <= QUIET_MAX {
        "The machine was quiet."
    } else {
        "The machine was not quiet: other programs ran at the same time. The ratios are right; the figures themselves are too low."
    };
    let quick = if report.quick { "This was a quick run, which shows only that the bench works.\n" } else { "" };
    format!(
        "# Performance\n\n\
         Written by `steward bench --write`; do not edit. To repeat the measurement see `steward bench --help`.\n\n\
         {machine}; {} build; medians of {}. {quiet}\n{quick}\n\
         The mock upstream, the load generator, the nats-server and every role share these processors. Everything is on: \
         API keys, permissions, a hard budget of the tenant, both acknowledgements of each call, projectors. A figure \
         that has a baseline stands beside its baseline of the same run: the same load sent straight to the mock, or \
         the same messages through the bare client.\n",
        report.build, report.runs
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;
    use crate::machine::Machine;
    use crate::plot::Series;

    #[test]
    fn a_page_shows_machine_load_and_its_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("PERFORMANCE.md");
        let [name, title, x, y] = ["ready", "Until ready", "events", "ms"].map(str::to_owned);
        let lines = vec![("a".to_owned(), vec![(10.0, 1.0), (100.0, 2.0)])];
        let machine = Machine { others: 0.5, ..Machine::look() };
        let mut figures = Figures::default();
        figures.set("gateway.calls_per_s", 5.0);
        let growth = vec![Series { name, title, x, y, by_factors: true, lines }];
        let report = Report {
            machine,
            build: "release",
            quick: false,
            runs: 3,
            figures,
            growth,
            notes: vec!["nginx was not measured.".to_owned()],
        };
        write(&report, &page).unwrap();
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.contains("\nnginx was not measured.\n"), "{text}");
        assert!(text.contains("not quiet") && text.contains("![Until ready](performance/ready.svg)"), "{text}");
        assert!(folder.path().join("performance/ready.svg").is_file());
    }
}
