//! What the command line prints: one writer, so that what others wrote cannot steer a terminal or pass for another line.
//!
//! A reader that has closed its end of the pipe (`| head`) is no failure: what is printed then goes nowhere, and the
//! command ends as it would have.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use steward_events::free_text::{shown, shown_in_json, shown_in_lines};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Nobody reads what is printed any more.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// True once nobody reads what is printed: what goes on for the reader's sake may end.
pub fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Prints one line.
pub fn say(line: Arguments<'_>) {
    print(&shown(&line.to_string()));
}

/// Prints lines, as a table or a document has them.
pub fn say_lines(text: &str) {
    print(&shown_in_lines(text.trim_end_matches('\n')));
}

/// Prints a message beside the output, on standard error.
pub fn complain(message: Arguments<'_>) {
    // Nobody is left to be told that nobody listens.
    let _ = writeln!(std::io::stderr().lock(), "{}", shown_in_lines(&message.to_string()));
}

fn print(text: &str) {
    if is_closed() {
        return;
    }
    match writeln!(std::io::stdout().lock(), "{text}") {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => CLOSED.store(true, Ordering::Relaxed),
        Err(error) => {
            CLOSED.store(true, Ordering::Relaxed);
            complain(format_args!("steward: what was to be printed cannot be written: {error}"));
        }
    }
}

/// A table with these headings; columns named in `right` are numbers.
pub fn table(headings: &[&str], right: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headings.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| shown(cell)));
    }
    for (at, heading) in headings.iter().enumerate() {
        if let Some(column) = table.column_mut(at) {
            column.set_padding((0, 2));
            if right.contains(heading) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.trim_fmt()
}

/// Prints `value` as indented JSON.
pub fn json(value: &impl serde::Serialize) -> Result<(), steward_events::BoxError> {
    say_json(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints `value` as JSON in one line.
pub fn json_line(value: &impl serde::Serialize) -> Result<(), steward_events::BoxError> {
    say_json(&serde_json::to_string(value)?);
    Ok(())
}

fn say_json(document: &str) {
    print(&shown_in_json(document));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_in_its_row() {
        let rows = [vec!["key_1".to_owned(), "x\nkey_2 forged\u{1b}[2J".to_owned()]];
        let text = table(&["KEY", "WHY"], &[], rows);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("x\\nkey_2 forged\\u{1b}[2J"), "{text}");
    }
}
