//! All settings, as the types have them: names and meanings from the schema, defaults from the defaults.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};
use steward_events::setting::SPAN_FORMAT;

use super::Config;

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its section and name, e.g. `gateway.listen`.
    pub path: String,
    /// What its value is, e.g. `span of time`.
    pub form: String,
    /// Its value if nobody sets it; null if it then has none.
    pub default: Value,
    /// What it means.
    pub meaning: String,
}

/// One section and what it is about, in the order of the types.
pub(super) struct Section {
    pub(super) path: String,
    pub(super) meaning: String,
}

impl Setting {
    /// The environment variable that overrides it.
    pub fn variable(&self) -> String {
        variable(&self.path)
    }

    /// Its section; empty for what stands above all sections.
    pub fn section(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// Its name within its section.
    pub fn name(&self) -> &str {
        self.path.rsplit_once('.').map_or(&self.path, |(_, name)| name)
    }
}

/// The environment variable that overrides the setting at `path`.
pub(super) fn variable(path: &str) -> String {
    format!("STEWARD_{}", path.to_uppercase().replace('.', "__"))
}

/// Every setting, in the order of the types.
pub fn settings() -> Vec<Setting> {
    walk().1
}

/// Every section, in the order of the types.
pub(super) fn sections() -> Vec<Section> {
    walk().0
}

fn walk() -> (Vec<Section>, Vec<Setting>) {
    let generator = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into_generator();
    let schema = generator.into_root_schema_for::<Config>().to_value();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut walk = Walk { sections: Vec::new(), settings: Vec::new() };
    walk.section("", &schema, &defaults);
    (walk.sections, walk.settings)
}

struct Walk {
    sections: Vec<Section>,
    settings: Vec<Setting>,
}

impl Walk {
    fn section(&mut self, path: &str, schema: &Value, defaults: &Value) {
        let Some(properties) = properties(schema) else { return };
        // A section's own settings stand before its sub-sections, as they must in TOML.
        let (nested, own): (Vec<_>, Vec<_>) = properties.iter().partition(|(_, of)| self::properties(of).is_some());
        for (name, of) in own {
            let default = defaults.get(name).cloned().unwrap_or_default();
            self.settings.push(Setting { path: joined(path, name), form: form(of), default, meaning: meaning(of) });
        }
        for (name, of) in nested {
            let path = joined(path, name);
            self.sections.push(Section { path: path.clone(), meaning: meaning(of) });
            self.section(&path, of, defaults.get(name).unwrap_or(&Value::Null));
        }
    }
}

fn joined(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// What a schema of a section has; none if it is that of a value.
fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    present(schema).get("properties")?.as_object()
}

/// The schema of what may be left out, if it is not.
fn present(schema: &Value) -> &Value {
    let choices = schema.get("anyOf").and_then(Value::as_array);
    choices.and_then(|all| all.iter().find(|choice| choice["type"] != "null")).unwrap_or(schema)
}

fn meaning(schema: &Value) -> String {
    let text = schema.get("description").or_else(|| present(schema).get("description"));
    text.and_then(Value::as_str).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a value is, for people.
fn form(schema: &Value) -> String {
    let schema = present(schema);
    let words = choices(schema);
    if !words.is_empty() {
        return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find_map(|kind| kind.as_str().filter(|kind| *kind != "null")),
        kind => kind.as_str(),
    };
    match (kind, schema["format"].as_str()) {
        (Some("string"), Some(format)) if format == SPAN_FORMAT => "span of time".to_owned(),
        (Some("integer"), _) if schema["minimum"] == 1 => "number, 1 or more".to_owned(),
        (Some("integer"), _) => "number".to_owned(),
        (Some("boolean"), _) => "true or false".to_owned(),
        (Some("array"), _) => format!("list of {}", form(&schema["items"])),
        _ => "text".to_owned(),
    }
}

/// The words of which the value is one.
fn choices(schema: &Value) -> Vec<&str> {
    let of = |key: &str| schema.get(key).and_then(Value::as_array).into_iter().flatten();
    of("enum").filter_map(Value::as_str).chain(of("oneOf").filter_map(|one| one["const"].as_str())).collect()
}
