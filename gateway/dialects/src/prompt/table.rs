//! A list of equal objects as CSV: names once, then a line for each.

use std::fmt::Write;

use steward_answers::json::Json;

/// Objects from which on it is a table.
const ROWS_MIN: usize = 3;

/// `json`, a list of objects with the same fields in the same order, none of which holds others, as CSV; none if it is
/// something else. Texts stand in quotes where they would be read as something else, and nothing is what is null.
pub(super) fn of(json: &str) -> Option<String> {
    let rows: Vec<Json<'_>> = Json::read(json.as_bytes())?.items().collect();
    let names: Vec<String> = rows.first()?.fields().map(|(name, _)| name.text()).collect::<Option<_>>()?;
    if rows.len() < ROWS_MIN || names.is_empty() {
        return None;
    }
    let mut table = String::with_capacity(json.len());
    line(&mut table, names.iter().map(|name| quoted(name)));
    for row in rows {
        let mut cells = Vec::with_capacity(names.len());
        for (number, (name, value)) in row.fields().enumerate() {
            if !name.is(names.get(number)?) {
                return None;
            }
            cells.push(cell(value)?);
        }
        if cells.len() != names.len() {
            return None;
        }
        line(&mut table, cells.into_iter());
    }
    Some(table)
}

fn line(table: &mut String, cells: impl Iterator<Item = String>) {
    for (number, cell) in cells.enumerate() {
        // Memory takes what is written to it.
        let _ = write!(table, "{}{cell}", if number == 0 { "" } else { "," });
    }
    table.push('\n');
}

fn cell(value: Json<'_>) -> Option<String> {
    if value.is_object() || value.is_list() {
        return None;
    }
    match value.raw() {
        b"null" => Some(String::new()),
        raw if value.is_text() => {
            let text = value.text()?;
            // What would be read as a number, true, false or nothing stands in quotes.
            let is_word = matches!(text.as_str(), "" | "true" | "false" | "null");
            Some(if !is_word && text.trim().parse::<f64>().is_err() {
                quoted(&text)
            } else {
                String::from_utf8(raw.to_vec()).ok()?
            })
        }
        raw => String::from_utf8(raw.to_vec()).ok(),
    }
}

/// As CSV has it: in quotes if a comma, a quote, the end of a line or space at an end stands in it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_objects_are_lines_of_a_table() {
        let json = r#"[{"id":1,"name":"Ana, \"x\"","paid":null},{"id":2.50,"name":"007","paid":true},{"id":3,"name":"","paid":"null"}]"#;
        assert_eq!(of(json).unwrap(), "id,name,paid\n1,\"Ana, \"\"x\"\"\",\n2.50,\"007\",true\n3,\"\",\"null\"\n");
    }

    #[test]
    fn anything_else_is_no_table() {
        for json in [
            r#"[{"a":1},{"a":2}]"#,
            r#"[{"a":1},{"a":2},{"b":3}]"#,
            r#"[{"a":1},{"a":2},{"a":3,"b":4}]"#,
            r#"[{"a":1,"b":2},{"a":2,"b":2},{"b":3,"a":4}]"#,
            r#"[{"a":1},{"a":2},{"a":[3]}]"#,
            r#"[{"a":1},{"a":2},3]"#,
            "[{},{},{}]",
            "[]",
            r#"{"a":1}"#,
        ] {
            assert_eq!(of(json), None, "{json}");
        }
    }
}
