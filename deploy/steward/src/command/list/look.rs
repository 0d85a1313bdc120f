//! How a list is printed: as `nouns.rs` says, else one column a field of its rows.

use schemars::generate::SchemaSettings;
use serde_json::Value;
use steward_queries::QuerySpec;

use super::cells::text;
use super::nouns::{DEAD_LETTER, KnownColumn, LISTS};
use super::rules::RULES;

/// How one list is printed.
pub(super) struct Look {
    columns: Vec<Column>,
    /// Typed so.
    pub(super) examples: &'static [&'static str],
    /// What makes the first row; `TENANT` stands for the tenant.
    pub(super) make_one: Option<&'static str>,
}

/// One column.
struct Column {
    heading: String,
    is_number: bool,
    cell: Cell,
}

/// What stands in a column.
enum Cell {
    /// Made of the whole row.
    Made(fn(&Value) -> String),
    /// A field as it is.
    Field(String),
}

impl Look {
    /// The look of `spec`: as this file says, else one column a field of its rows.
    pub(super) fn of(spec: &QuerySpec) -> Self {
        let dead_letters = spec.verb == "dead-letters";
        let plain = || Self { columns: by_fields(spec), examples: &[], make_one: None };
        let known = if dead_letters { Self::with(spec.view, DEAD_LETTER) } else { Self::of_noun(spec.view) };
        known.unwrap_or_else(plain)
    }

    /// The look of the rows of `noun`, if this file says one.
    pub(super) fn of_noun(noun: &str) -> Option<Self> {
        let known = LISTS.iter().chain(RULES).find(|known| known.noun == noun)?;
        Self::with(noun, known.columns)
    }

    /// The same, with other columns.
    fn with(noun: &str, columns: &[KnownColumn]) -> Option<Self> {
        let known = LISTS.iter().chain(RULES).find(|known| known.noun == noun)?;
        let column = |(heading, is_number, cell): &KnownColumn| Column {
            heading: (*heading).to_owned(),
            is_number: *is_number,
            cell: Cell::Made(*cell),
        };
        let columns = columns.iter().map(column).collect();
        Some(Self { columns, examples: known.examples, make_one: Some(known.make_one) })
    }

    /// The headings.
    pub(super) fn headings(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.heading.as_str()).collect()
    }

    /// The headings of columns of numbers.
    pub(super) fn right(&self) -> Vec<&str> {
        self.columns.iter().filter(|column| column.is_number).map(|column| column.heading.as_str()).collect()
    }

    /// A row's cells.
    pub(super) fn cells(&self, row: &Value) -> Vec<String> {
        let cell = |column: &Column| match &column.cell {
            Cell::Made(made) => made(row),
            Cell::Field(name) => text(row, &format!("/{name}")),
        };
        self.columns.iter().map(cell).collect()
    }
}

/// One column a field of the answer's rows, or of the answer itself if that is one row.
fn by_fields(spec: &QuerySpec) -> Vec<Column> {
    let mut generator =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    let answer = (spec.answer)(&mut generator).to_value();
    let row = answer.pointer("/properties/rows/items/properties").or_else(|| answer.pointer("/properties"));
    let fields = row.and_then(Value::as_object).into_iter().flat_map(|fields| fields.keys());
    let column =
        |name: &String| Column { heading: name.to_uppercase(), is_number: false, cell: Cell::Field(name.clone()) };
    fields.map(column).collect()
}
