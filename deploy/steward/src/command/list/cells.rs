//! What stands in the cells of lists: values as people read them.

use serde::Deserialize;
use serde_json::Value;
use steward_events::event::Target;
use steward_events::quantity::NanoDollars;

/// A value for people: lists with commas, `-` for none.
pub(super) fn text(row: &Value, path: &str) -> String {
    match row.pointer(path) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(all)) if all.is_empty() => "-".to_owned(),
        Some(Value::Array(all)) => all.iter().map(plain).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}

pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn or(text: String, otherwise: &str) -> String {
    if text == "-" { otherwise.to_owned() } else { text }
}

/// A name where one is known, else the id.
pub(super) fn named(row: &Value, id: &str) -> String {
    row.get("name").and_then(Value::as_str).map_or_else(|| text(row, id), str::to_owned)
}

pub(super) fn flag(row: &Value, path: &str) -> bool {
    row.pointer(path) == Some(&Value::Bool(true))
}

/// To the minute, in UTC.
pub(super) fn moment(row: &Value, path: &str) -> String {
    let whole = text(row, path);
    whole.get(..16).map_or(whole.clone(), |minute| minute.replace('T', " "))
}

pub(super) fn from(row: &Value) -> String {
    if flag(row, "/inherited") { "platform" } else { "own" }.to_owned()
}

pub(super) fn percents(row: &Value, path: &str) -> String {
    let all = row.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() { "-".to_owned() } else { all.iter().map(|one| format!("{one}%")).collect::<Vec<_>>().join(", ") }
}

/// `{"key": "key_1"}` as `key key_1`.
pub(super) fn subject(row: &Value) -> String {
    let subject = row.get("subject").and_then(Value::as_object).and_then(|subject| subject.iter().next());
    subject.map_or_else(|| "-".to_owned(), |(kind, id)| format!("{kind} {}", plain(id)))
}

pub(super) fn condition(row: &Value) -> String {
    let parts = [
        ("/condition/models", ""),
        ("/condition/cost_max", "calls up to "),
        ("/condition/hours", ""),
        ("/condition/data_classes", "data "),
        ("/condition/tools", "tools "),
        ("/condition/arguments", "arguments "),
    ];
    let told = parts.map(|(path, before)| (before, text(row, path))).into_iter().filter(|(_, part)| part != "-");
    let told: Vec<String> = told.map(|(before, part)| format!("{before}{part}")).collect();
    if told.is_empty() { "-".to_owned() } else { told.join(", ") }
}

/// Where a channel's messages go, as far as that is no secret.
pub(super) fn receiver(row: &Value) -> String {
    match text(row, "/recipients") {
        none if none == "-" => or(text(row, "/url"), &format!("secret {}", text(row, "/secret"))),
        recipients => recipients,
    }
}

/// A channel's newest message, and how it went.
pub(super) fn last_message(row: &Value) -> String {
    if row.pointer("/messages/0").is_none() {
        return "-".to_owned();
    }
    let went = format!("{} {}", text(row, "/messages/0/kind"), text(row, "/messages/0/state"));
    match text(row, "/messages/0/reason") {
        none if none == "-" => went,
        reason => format!("{went}: {reason}"),
    }
}

/// Targets as they are typed, behind the policy if it is not the usual one.
pub(super) fn targets(row: &Value) -> String {
    let targets = row.get("targets").map(Vec::<Target>::deserialize).and_then(Result::ok).unwrap_or_default();
    let all = targets.iter().map(Target::to_string).collect::<Vec<_>>().join(", ");
    match row.get("policy").and_then(Value::as_str) {
        _ if targets.is_empty() => "-".to_owned(),
        Some(policy) => format!("{policy}: {all}"),
        None => all,
    }
}

/// A list of two fields each: `agents 5, keys 10`.
pub(super) fn pairs(row: &Value, path: &str, (name, value): (&str, &str)) -> String {
    let all = row.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let one = |of: &Value| format!("{} {}", text(of, name), text(of, value));
    if all.is_empty() { "-".to_owned() } else { all.iter().map(one).collect::<Vec<_>>().join(", ") }
}

/// Pico-dollars a token as dollars for a million tokens.
pub(super) fn price(row: &Value, path: &str) -> String {
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
        let two = json!([
            { "provider": "local", "upstream_model": "smollm2", "weight": 9 },
            { "provider": "other", "upstream_model": "x" },
        ]);
        let weighted = json!({ "policy": "weighted", "targets": two });
        assert_eq!(targets(&weighted), "weighted: local/smollm2 weight=9, other/x");
        assert_eq!(targets(&json!({ "targets": [] })), "-");
        assert_eq!(moment(&row, "/until"), "-");
    }
}
