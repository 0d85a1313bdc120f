//! How each list is printed: its columns, examples, and what to do where it is empty.

use schemars::generate::SchemaSettings;
use serde_json::Value;
use steward_events::quantity::NanoDollars;
use steward_events::query::QuerySpec;

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
        let (columns, examples, make_one) = known(spec.view);
        if columns.is_empty() {
            return Self { columns: by_fields(spec), examples, make_one };
        }
        let column = |(heading, is_number, cell): &Known| Column {
            heading: (*heading).to_owned(),
            is_number: *is_number,
            cell: Cell::Made(*cell),
        };
        Self { columns: columns.iter().map(column).collect(), examples, make_one }
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

/// Heading, whether it is a number, and its cell.
type Known = (&'static str, bool, fn(&Value) -> String);
type Words = &'static [&'static str];

fn known(noun: &str) -> (&'static [Known], Words, Option<&'static str>) {
    match noun {
        "key" => (
            KEY,
            &["steward key list --state active", "steward key list --principal support-bot --tenant acme"],
            Some("steward key issue support-bot --on TENANT"),
        ),
        "grant" => (
            GRANT,
            &["steward grant list --principal support-bot --tenant acme", "steward grant list --scope acme/support"],
            Some("steward grant give support-bot agent --on TENANT"),
        ),
        "role" => (
            ROLE,
            &["steward role list --tenant acme"],
            Some("steward role define reader --permissions cost:report --tenant TENANT"),
        ),
        "user" => (
            USER,
            &["steward user list --state active --tenant acme"],
            Some("steward user invite ana@example.org --tenant TENANT"),
        ),
        "account" => (
            ACCOUNT,
            &["steward account list --tenant acme"],
            Some("steward account create support-bot --tenant TENANT"),
        ),
        "agent" => (
            AGENT,
            &["steward agent list --model small --tenant acme"],
            Some("steward agent define researcher --model small --instructions \"Answer briefly.\" --tenant TENANT"),
        ),
        "budget" => (
            BUDGET,
            &["steward budget list --tenant acme", "steward budget list --scope acme/support --unit money"],
            Some("steward budget set TENANT \"$5.00\" --per day"),
        ),
        "provider" => (
            PROVIDER,
            &["steward provider list"],
            Some("steward provider set local http://127.0.0.1:9090/v1 --kind openai"),
        ),
        "model" => (
            MODEL,
            &["steward model list --tenant acme", "steward model list --provider local"],
            Some("steward apply company.toml"),
        ),
        "price" => (
            PRICE,
            &["steward price list --model small"],
            Some("steward price set small --input '$1.00/M' --cached '$1.00/M' --output '$1.00/M'"),
        ),
        "tenant" => (
            TENANT,
            &["steward tenant list --state suspended", "steward tenant show acme"],
            Some("steward tenant create acme"),
        ),
        _ => (&[], &[], None),
    }
}

const KEY: &[Known] = &[
    ("KEY", false, |row| text(row, "/key")),
    ("ACTS AS", false, |row| named(row, "/principal")),
    ("SCOPE", false, |row| text(row, "/scope")),
    ("STATE", false, |row| text(row, "/state")),
    ("MODELS", false, |row| or(text(row, "/models"), "all it may")),
    ("EXPIRES", false, |row| moment(row, "/expires")),
    ("ISSUED", false, |row| moment(row, "/issued_at")),
];

const GRANT: &[Known] = &[
    ("TO", false, |row| named(row, "/to")),
    ("ROLE", false, |row| text(row, "/role")),
    ("ON", false, |row| text(row, "/on")),
    ("STATE", false, |row| text(row, "/state")),
    ("EXPIRES", false, |row| moment(row, "/expires")),
    ("ONLY FOR", false, condition),
    ("GIVEN", false, |row| moment(row, "/given_at")),
];

const ROLE: &[Known] = &[
    ("ROLE", false, |row| text(row, "/role")),
    ("PERMISSIONS", false, |row| text(row, "/permissions")),
    ("INHERITS", false, |row| text(row, "/inherits")),
    ("FROM", false, from),
];

const USER: &[Known] = &[
    ("PRINCIPAL", false, |row| text(row, "/principal")),
    ("EMAIL", false, |row| if flag(row, "/erased") { "(erased)".to_owned() } else { text(row, "/email") }),
    ("NAME", false, |row| text(row, "/name")),
    ("STATE", false, |row| text(row, "/state")),
    ("INVITED", false, |row| moment(row, "/invited_at")),
];

const ACCOUNT: &[Known] = &[
    ("NAME", false, |row| text(row, "/name")),
    ("PRINCIPAL", false, |row| text(row, "/principal")),
    ("STATE", false, |row| text(row, "/state")),
    ("CREATED", false, |row| moment(row, "/created_at")),
];

const AGENT: &[Known] = &[
    ("AGENT", false, |row| text(row, "/agent")),
    ("MODEL", false, |row| text(row, "/spec/model")),
    ("PATTERN", false, |row| text(row, "/spec/pattern")),
    ("STEPS MAX", true, |row| text(row, "/spec/steps_max")),
    ("REVISION", true, |row| text(row, "/revision")),
    ("DEFINED", false, |row| moment(row, "/defined_at")),
];

const PROVIDER: &[Known] = &[
    ("PROVIDER", false, |row| text(row, "/provider")),
    ("KIND", false, |row| text(row, "/kind")),
    ("URL", false, |row| text(row, "/url")),
    ("KEY FROM", false, |row| text(row, "/key")),
    ("FROM", false, from),
];

const MODEL: &[Known] = &[
    ("MODEL", false, |row| text(row, "/model")),
    ("GOES TO", false, targets),
    ("INPUT", true, |row| price(row, "/price/input")),
    ("OUTPUT", true, |row| price(row, "/price/output")),
    ("CONTEXT MAX", true, |row| text(row, "/spec/context_max")),
    ("OUTPUT MAX", true, |row| text(row, "/spec/output_max")),
    ("FROM", false, from),
];

const PRICE: &[Known] = &[
    ("MODEL", false, |row| text(row, "/model")),
    ("APPLIES FROM", false, |row| moment(row, "/from")),
    ("UNTIL", false, |row| moment(row, "/until")),
    ("INPUT", true, |row| price(row, "/price/input")),
    ("CACHED", true, |row| price(row, "/price/cached")),
    ("OUTPUT", true, |row| price(row, "/price/output")),
    ("FROM", false, from),
];

const TENANT: &[Known] = &[
    ("TENANT", false, |row| text(row, "/tenant")),
    ("STATE", false, |row| text(row, "/state")),
    ("TIME ZONE", false, |row| text(row, "/timezone")),
    ("CONTENT", false, |row| text(row, "/content")),
    ("SHARD", true, |row| text(row, "/shard")),
    ("CREATED", false, |row| moment(row, "/created_at")),
    ("REASON", false, |row| text(row, "/reason")),
];

const BUDGET: &[Known] = &[
    ("SCOPE", false, |row| text(row, "/scope")),
    ("FOR", false, subject),
    ("PER", false, |row| text(row, "/per")),
    ("LIMIT", true, |row| text(row, "/limit")),
    ("SPENT", true, |row| text(row, "/window/spent")),
    ("HELD", true, |row| text(row, "/window/held")),
    ("FREE", true, |row| text(row, "/window/free")),
    ("KIND", false, |row| if flag(row, "/hard") { "hard" } else { "soft" }.to_owned()),
    ("WARN AT", false, |row| percents(row, "/warn")),
    ("CROSSED", false, |row| percents(row, "/window/warned")),
    ("TURNS", false, |row| moment(row, "/window/to")),
];

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

/// A value for people: lists with commas, `-` for none.
fn text(row: &Value, path: &str) -> String {
    match row.pointer(path) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(all)) if all.is_empty() => "-".to_owned(),
        Some(Value::Array(all)) => all.iter().map(plain).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn or(text: String, otherwise: &str) -> String {
    if text == "-" { otherwise.to_owned() } else { text }
}

/// A name where one is known, else the id.
fn named(row: &Value, id: &str) -> String {
    row.get("name").and_then(Value::as_str).map_or_else(|| text(row, id), str::to_owned)
}

fn flag(row: &Value, path: &str) -> bool {
    row.pointer(path) == Some(&Value::Bool(true))
}

/// To the minute, in UTC.
fn moment(row: &Value, path: &str) -> String {
    let whole = text(row, path);
    whole.get(..16).map_or(whole.clone(), |minute| minute.replace('T', " "))
}

fn from(row: &Value) -> String {
    if flag(row, "/inherited") { "platform" } else { "own" }.to_owned()
}

fn percents(row: &Value, path: &str) -> String {
    let all = row.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() { "-".to_owned() } else { all.iter().map(|one| format!("{one}%")).collect::<Vec<_>>().join(", ") }
}

/// `{"key": "key_1"}` as `key key_1`.
fn subject(row: &Value) -> String {
    let subject = row.get("subject").and_then(Value::as_object).and_then(|subject| subject.iter().next());
    subject.map_or_else(|| "-".to_owned(), |(kind, id)| format!("{kind} {}", plain(id)))
}

fn condition(row: &Value) -> String {
    let models = text(row, "/condition/models");
    let cost = text(row, "/condition/cost_max");
    match (models.as_str(), cost.as_str()) {
        ("-", "-") => "-".to_owned(),
        (_, "-") => models,
        ("-", _) => format!("calls up to {cost}"),
        _ => format!("{models}, calls up to {cost}"),
    }
}

fn targets(row: &Value) -> String {
    let all = row.get("targets").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let target = |one: &Value| format!("{}/{}", text(one, "/provider"), text(one, "/upstream_model"));
    if all.is_empty() { "-".to_owned() } else { all.iter().map(target).collect::<Vec<_>>().join(", ") }
}

/// Pico-dollars a token as dollars for a million tokens.
fn price(row: &Value, path: &str) -> String {
    let pico = row.pointer(path).and_then(Value::as_u64);
    pico.map_or_else(|| "-".to_owned(), |pico| format!("{}/M", NanoDollars(pico.saturating_mul(1_000))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cells_are_for_people() {
        let row = json!({
            "name": null, "principal": "svc_1", "models": [], "expires": "2026-11-23T12:00:00Z",
            "price": { "input": 1_000_000 }, "subject": { "key": "key_1" }, "warn": [50, 80],
            "targets": [{ "provider": "local", "upstream_model": "smollm2" }],
        });
        assert_eq!(named(&row, "/principal"), "svc_1");
        assert_eq!(or(text(&row, "/models"), "all it may"), "all it may");
        assert_eq!(moment(&row, "/expires"), "2026-11-23 12:00");
        assert_eq!(price(&row, "/price/input"), "$1.00/M");
        assert_eq!(subject(&row), "key key_1");
        assert_eq!(percents(&row, "/warn"), "50%, 80%");
        assert_eq!(targets(&row), "local/smollm2");
        assert_eq!(moment(&row, "/until"), "-");
    }
}
