//! Which view reads which kind of event, as a file that people read and reviews see change: `tests/reads.txt`. A new kind
//! is a new column, so that every view is asked whether it reads it. To accept a change, run with `READS=accept`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may end at once

use std::fmt::Write as _;

use steward_events::event::AggregateKind;
use steward_projectors::Config;

use company::Company;

#[path = "support/company.rs"]
mod company;
#[path = "support/events.rs"]
mod events;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reads.txt");

#[tokio::test]
#[allow(clippy::disallowed_methods)] // a switch for the person who runs the test
async fn the_table_of_views_and_kinds_is_as_reviewed() {
    let company = Company::founded(Config::default()).await;
    let mut table = format!("{:<18}", "view");
    for kind in AggregateKind::ALL {
        write!(table, " {kind}").unwrap();
    }
    table.push('\n');
    for (view, reads) in company.projectors.reads() {
        write!(table, "{view:<18}").unwrap();
        for kind in AggregateKind::ALL {
            let word = if reads.contains(&kind) { "reads" } else { "-" };
            write!(table, " {word:<width$}", width = kind.as_str().len()).unwrap();
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    if std::env::var("READS").is_ok_and(|word| word == "accept") {
        std::fs::write(PATH, &table).unwrap();
    }
    let reviewed = std::fs::read_to_string(PATH).unwrap();
    assert_eq!(table, reviewed, "which view reads what has changed; read the difference, then accept it");
}
