//! Options made from a body's JSON schema: one a property, those of a nested object by their own names.

use std::time::Duration;

use clap::ArgMatches;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};
use steward_events::BoxError;
use steward_events::event::Target;
use steward_events::id::{PrincipalId, TenantId};
use steward_events::quantity::NanoDollars;
use steward_events::timestamp::Timestamp;
use steward_ports::clock::{Clock, SystemClock};

/// How a command is typed shorter than its schema says.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shorthand {
    /// Options that may stand without their name, in this order.
    pub(crate) positionals: &'static [&'static str],
    /// Options that have another name here: (flag, property).
    pub(crate) renames: &'static [(&'static str, &'static str)],
}

/// One option of a command.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// As it is typed.
    pub(crate) flag: String,
    /// Where it goes in the body.
    path: Vec<String>,
    /// What it means.
    pub(crate) help: String,
    /// May be given more than once.
    pub(crate) many: bool,
    /// What may be given, if that is a short list of words.
    pub(crate) words: Vec<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Json,
    /// JSON where it is some, else text.
    Word,
}

/// The options of a body, made from its schema.
pub(crate) fn fields(schema: fn(&mut SchemaGenerator) -> Schema, short: &Shorthand) -> Vec<Field> {
    let mut generator =
        schemars::generate::SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into_generator();
    let mut found = Vec::new();
    collect(&schema(&mut generator).to_value(), &[], short, &mut found);
    found
}

/// Puts what was typed into `body`.
pub(crate) fn read(
    fields: &[Field],
    matches: &ArgMatches,
    tenant: &TenantId,
    body: &mut Map<String, Value>,
) -> Result<(), BoxError> {
    for field in fields {
        let Ok(Some(texts)) = matches.try_get_many::<String>(&field.flag) else { continue };
        let values = texts.map(|text| value(field, text, tenant)).collect::<Result<Vec<_>, _>>()?;
        let whole = if field.many { Value::Array(values) } else { values.into_iter().last().unwrap_or_default() };
        insert(body, &field.path, whole);
    }
    Ok(())
}

/// Objects that are typed as one: what they hold has names of its own.
const WHOLE: [&str; 2] = ["condition", "similar"];

fn collect(schema: &Value, path: &[String], short: &Shorthand, found: &mut Vec<Field>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, whole) in properties {
        let property = without_null(whole);
        let mut path = path.to_vec();
        path.push(name.clone());
        let plain_object = property.get("properties").is_some();
        if plain_object && path.len() == 1 && !WHOLE.contains(&name.as_str()) {
            collect(property, &path, short, found);
            continue;
        }
        let renamed = short.renames.iter().find(|(_, to)| to == name).map(|(flag, _)| *flag);
        let many = is_list(property);
        let items = property.get("items").unwrap_or(property);
        found.push(Field {
            flag: renamed.unwrap_or(name).replace('_', "-"),
            path,
            help: [whole, property]
                .iter()
                .find_map(|of| of.get("description")?.as_str())
                .unwrap_or_default()
                .to_owned(),
            many,
            words: words(items),
            kind: kind(if many { items } else { property }),
        });
    }
}

/// An optional property is `anyOf [T, null]` or `type: [t, null]`.
fn without_null(property: &Value) -> &Value {
    let alternatives = property.get("anyOf").and_then(Value::as_array);
    let some =
        alternatives.and_then(|all| all.iter().find(|one| one.get("type").and_then(Value::as_str) != Some("null")));
    some.unwrap_or(property)
}

fn is_list(property: &Value) -> bool {
    match property.get("type") {
        Some(Value::String(one)) => one == "array",
        // A list that may be left out.
        Some(Value::Array(all)) => all.iter().any(|one| one == "array"),
        _ => false,
    }
}

/// The words of an enumeration; none of anything else.
fn words(property: &Value) -> Vec<String> {
    let all = property.get("oneOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let constants = all.iter().filter_map(|one| one.get("const"));
    let listed = property.get("enum").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    constants.chain(listed).filter_map(word).collect()
}

fn word(constant: &Value) -> Option<String> {
    match constant {
        Value::String(word) => Some(word.clone()),
        Value::Bool(_) => Some(constant.to_string()),
        _ => None,
    }
}

fn kind(property: &Value) -> Kind {
    let types = match property.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ if property
            .get("oneOf")
            .is_some_and(|all| all.as_array().is_some_and(|a| a.iter().all(|o| o.get("const").is_some()))) =>
        {
            vec!["string"]
        }
        _ => vec![],
    };
    if types.contains(&"string") && types.contains(&"boolean") {
        Kind::Word
    } else if types.contains(&"string") {
        Kind::Text
    } else if types.contains(&"integer") || types.contains(&"number") {
        Kind::Number
    } else {
        Kind::Json
    }
}

fn insert(body: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => _ = body.insert(last.clone(), value),
        [first, rest @ ..] => {
            let inner = body.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

fn value(field: &Field, text: &str, tenant: &TenantId) -> Result<Value, BoxError> {
    let property = field.path.last().map(String::as_str).unwrap_or_default();
    Ok(match (property, field.kind) {
        ("group", _) => Value::String(group(tenant, text)?.to_string()),
        ("to" | "account", Kind::Text)
        | ("principal" | "principals" | "askers" | "approvers" | "reviewers" | "member" | "owner" | "user", _) => {
            Value::String(principal(tenant, text)?.to_string())
        }
        ("grants", _) => grant(text, tenant)?,
        ("duration_s" | "longest_s", _) => seconds(text)?,
        ("expires" | "from" | "until" | "ends" | "due", _) => Value::String(moment(text)?.to_string()),
        ("unused_since", _) => Value::String(past_moment(text)?.to_string()),
        ("targets", _) => target(text)?,
        (_, Kind::Text) => Value::String(text.to_owned()),
        (_, Kind::Word) => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
        (_, Kind::Number) if text.starts_with('$') => Value::from(pico_a_token(text)?),
        (_, Kind::Number | Kind::Json) => {
            serde_json::from_str(text).map_err(|error| format!("--{}: {text:?} is not JSON: {error}", field.flag))?
        }
    })
}

/// A group's id, or the group of that name.
fn group(tenant: &TenantId, text: &str) -> Result<PrincipalId, BoxError> {
    if text.starts_with("g_") { Ok(PrincipalId::new(text)?) } else { Ok(PrincipalId::group(tenant, text)) }
}

/// A principal id, `group:` and the name of a group, or the service account of that name.
pub(crate) fn principal(tenant: &TenantId, text: &str) -> Result<PrincipalId, BoxError> {
    if let Some(name) = text.strip_prefix("group:") {
        return group(tenant, name);
    }
    let is_id = ["p_", "svc_", "op_", "sys_", "g_"].iter().any(|prefix| text.starts_with(prefix));
    Ok(if is_id { PrincipalId::new(text)? } else { PrincipalId::service_account(tenant, text) })
}

/// A moment, `today`, or a span from now on such as `30d`.
pub(crate) fn moment(text: &str) -> Result<Timestamp, BoxError> {
    moment_at(text, Timestamp::plus)
}

/// A moment of what has been: `today`, or a span back from now such as `7d`.
pub(crate) fn past_moment(text: &str) -> Result<Timestamp, BoxError> {
    moment_at(text, |now, span| {
        let span = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Timestamp(now.0.saturating_sub(span))
    })
}

fn moment_at(text: &str, after: fn(Timestamp, Duration) -> Timestamp) -> Result<Timestamp, BoxError> {
    let now = SystemClock::default().now();
    if text == "today" {
        return Ok(now.to_string()[..10].parse()?);
    }
    match humantime::parse_duration(text) {
        Ok(span) => Ok(after(now, span)),
        Err(_) => Ok(text.parse()?),
    }
}

/// `$1.00/M` in pico-dollars a token.
pub(crate) fn pico_a_token(text: &str) -> Result<u64, BoxError> {
    let dollars = text
        .strip_suffix("/M")
        .ok_or_else(|| format!("{text:?} is not a price such as $1.00/M (for a million tokens)"))?;
    let NanoDollars(nano) = dollars.parse()?;
    if nano % 1_000 != 0 {
        return Err(format!("{text:?} has more digits than a pico-dollar a token").into());
    }
    Ok(nano / 1_000)
}

/// `PRINCIPAL:ROLE:SCOPE`.
fn grant(text: &str, tenant: &TenantId) -> Result<Value, BoxError> {
    let mut parts = text.splitn(3, ':');
    let (Some(to), Some(role), Some(on)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(
            format!("{text:?} is no grant: write PRINCIPAL:ROLE:SCOPE, e.g. support-bot:agent:acme/support").into()
        );
    };
    Ok(serde_json::json!({ "to": principal(tenant, to)?, "role": role, "on": on }))
}

/// A span such as `30m`, or a number of seconds.
fn seconds(text: &str) -> Result<Value, BoxError> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Value::from(seconds));
    }
    let span = humantime::parse_duration(text).map_err(|_| format!("{text:?} is no span of time such as 30m or 4h"))?;
    Ok(Value::from(span.as_secs()))
}

/// `provider/model-there`, and behind it what is not as usual.
pub(crate) fn target(text: &str) -> Result<Value, BoxError> {
    Ok(serde_json::to_value(text.parse::<Target>()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_points_where_it_is_meant() {
        let now = SystemClock::default().now();
        let week = Duration::from_hours(7 * 24);
        assert!(moment("7d").unwrap() >= now.plus(week));
        let past = past_moment("7d").unwrap();
        assert!(past.plus(week) >= now && past < now);
        assert_eq!(past_moment("2026-11-01").unwrap(), moment("2026-11-01").unwrap());
    }

    #[test]
    fn a_price_is_written_for_a_million_tokens() {
        assert_eq!(pico_a_token("$1.00/M").unwrap(), 1_000_000);
        assert_eq!(pico_a_token("$0.15/M").unwrap(), 150_000);
        assert!(pico_a_token("$1.00").is_err());
    }
}
