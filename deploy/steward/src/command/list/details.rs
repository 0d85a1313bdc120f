//! What `steward tenant show` prints below a tenant's row: its settings, plan, quotas, flags and projects.

use serde_json::Value;

use super::cells::text;
use super::look::Look;
use crate::output;

/// What is shown, with the noun whose list looks the same.
const TABLES: [(&str, &str); 3] = [("quotas", "quota"), ("flags", "flag"), ("projects", "project")];

/// Prints them, as far as the answer has them.
pub(super) fn print(row: &Value) {
    let Some(details) = row.get("details").filter(|details| details.is_object()) else { return };
    println!("{:<12}{}", "plan", text(details, "/plan"));
    println!("{:<12}{}", "revision", text(details, "/revision"));
    let settings = details.get("settings").and_then(Value::as_object);
    for (name, value) in settings.into_iter().flatten().filter(|(name, _)| *name != "timezone") {
        println!("{:<12}{}", name.replace('_', " "), super::cells::plain(value));
    }
    for (field, noun) in TABLES {
        let rows = details.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let rows = rows.iter().filter(|row| field != "quotas" || is_told(row));
        let Some(look) = Look::of_noun(noun) else { continue };
        let cells: Vec<Vec<String>> = rows.map(|row| look.cells(row)).collect();
        if !cells.is_empty() {
            println!("\n{field}:");
            output::say_lines(&output::table(&look.headings(), &look.right(), cells));
        }
    }
}

/// A quota that somebody set, or of which there is something.
fn is_told(row: &Value) -> bool {
    ["limit", "taken"].iter().any(|field| row.get(*field).is_some_and(|value| !value.is_null()))
}
