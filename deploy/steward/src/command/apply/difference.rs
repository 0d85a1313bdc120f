//! What differs between the file and the log, for people and for machines.

use serde_json::{Map, Value, json};

use super::setting::{Kind, Setting, Settings};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// Only in the file.
    New(Setting),
    /// In both, with other fields: the file's setting, and the fields that hold.
    Changed(Setting, Map<String, Value>),
    /// Only in the log.
    OnlyInLog(Setting),
}

/// All differences, in the order in which they can be made.
pub(super) fn differences(file: &Settings, log: &Settings) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    for (name, wanted) in file {
        match log.get(name) {
            None => found.push(Difference::New(wanted.clone())),
            Some(holds) if holds.fields != wanted.fields => {
                found.push(Difference::Changed(wanted.clone(), holds.fields.clone()));
            }
            Some(_) => {}
        }
    }
    inherited_first(&mut found);
    // A project is never gone: that others are there is nothing to do.
    let only_in_log = log.iter().filter(|(name, _)| !file.contains_key(name) && name.kind != Kind::Project);
    found.extend(only_in_log.map(|(_, setting)| Difference::OnlyInLog(setting.clone())));
    found
}

/// A role is defined after those that it inherits.
fn inherited_first(found: &mut [Difference]) {
    let begin = found.iter().position(|one| one.setting().kind == Kind::Role).unwrap_or(found.len());
    for at in begin..found.len() {
        // Whoever inherits nothing of what is still to come is next; a circle stays as it is, and is refused.
        let rest = &found[at..];
        let tenant = &rest[0].setting().tenant;
        let of = |one: &Difference| one.setting().kind == Kind::Role && one.setting().tenant == *tenant;
        if !of(&rest[0]) {
            continue;
        }
        let waits = |one: &Difference| {
            let inherits = one.setting().fields.get("inherits").and_then(Value::as_array);
            let names = inherits.into_iter().flatten().filter_map(Value::as_str);
            names.into_iter().any(|name| rest.iter().any(|other| of(other) && other.setting().id("role") == name))
        };
        if let Some(next) = rest.iter().position(|one| of(one) && !waits(one)) {
            found[at..=at + next].rotate_right(1);
        }
    }
}

impl Difference {
    /// Whose it is.
    pub(super) const fn setting(&self) -> &Setting {
        match self {
            Self::New(setting) | Self::Changed(setting, _) | Self::OnlyInLog(setting) => setting,
        }
    }

    /// One line.
    pub(super) fn line(&self) -> String {
        let (noun, label) = (self.setting().kind.noun(), &self.setting().label);
        match self {
            Self::New(setting) => format!("+ {noun} {label}{}", all(&setting.fields)),
            Self::OnlyInLog(setting) => format!("- {noun} {label}{} (only in the log)", all(&setting.fields)),
            Self::Changed(setting, holds) => {
                let mut names: Vec<&String> = setting.fields.keys().chain(holds.keys()).collect();
                names.sort_unstable();
                names.dedup();
                let changed = names.into_iter().filter(|name| setting.fields.get(*name) != holds.get(*name));
                let changed: Vec<String> = changed
                    .map(|name| format!("{name} {} → {}", text(holds.get(name)), text(setting.fields.get(name))))
                    .collect();
                format!("~ {noun} {label}: {}", changed.join(", "))
            }
        }
    }

    /// The same for machines.
    pub(super) fn json(&self) -> Value {
        let Setting { tenant, kind, id, .. } = self.setting();
        let (change, wanted, holds) = match self {
            Self::New(setting) => ("+", Some(&setting.fields), None),
            Self::Changed(setting, holds) => ("~", Some(&setting.fields), Some(holds)),
            Self::OnlyInLog(setting) => ("-", None, Some(&setting.fields)),
        };
        json!({ "change": change, "tenant": tenant, "kind": kind.noun(), "id": id, "file": wanted, "log": holds })
    }
}

fn all(fields: &Map<String, Value>) -> String {
    if fields.is_empty() {
        return String::new();
    }
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name} {}", text(Some(value)))).collect();
    format!(": {}", fields.join(", "))
}

fn text(value: Option<&Value>) -> String {
    match value {
        None => "none".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(all)) => {
            let all: Vec<String> = all.iter().map(|one| text(Some(one))).collect();
            format!("[{}]", all.join(", "))
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use steward_events::id::TenantId;

    use super::*;

    fn settings(all: &[(Kind, &str, Value)]) -> Settings {
        let tenant: TenantId = "acme".parse().unwrap();
        let one = |(kind, id, fields): &(Kind, &str, Value)| {
            Setting::new(&tenant, *kind, (json!({ kind.noun(): id }), (*id).to_owned()), fields.clone())
        };
        all.iter().map(one).map(|setting| (setting.name(), setting)).collect()
    }

    fn lines(file: &[(Kind, &str, Value)], log: &[(Kind, &str, Value)]) -> Vec<String> {
        differences(&settings(file), &settings(log)).iter().map(Difference::line).collect()
    }

    #[test]
    fn what_is_new_changed_and_only_in_the_log_is_shown() {
        let same = (Kind::Role, "same", json!({ "permissions": ["a:b"] }));
        let role = |permissions: &[&str]| json!({ "permissions": permissions, "inherits": [] });
        let shown = lines(
            &[same.clone(), (Kind::Role, "reader", role(&["a:b", "c:d"])), (Kind::Account, "bot", json!({}))],
            &[same, (Kind::Role, "reader", role(&["a:b"])), (Kind::Agent, "old", json!({ "model": "m" }))],
        );
        let expected = [
            "~ role reader: permissions [a:b] → [a:b, c:d]",
            "+ account bot",
            "- agent old: model m (only in the log)",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn roles_come_after_those_that_they_inherit() {
        let role = |name, inherits: &[&str]| (Kind::Role, name, json!({ "inherits": inherits }));
        let order = lines(&[role("a", &["b", "c"]), role("b", &["c"]), role("c", &["agent"])], &[]);
        let names: Vec<&str> = order.iter().map(|line| &line[7..8]).collect();
        assert_eq!(names, ["c", "b", "a"]);
        assert_eq!(lines(&[role("a", &["b"]), role("b", &["a"])], &[]).len(), 2, "a circle is the decider's to refuse");
    }

    #[test]
    fn a_changed_time_zone_is_set() {
        let zone = |zone: &str| settings(&[(Kind::Tenant, "acme", json!({ "timezone": zone }))]);
        let found = differences(&zone("Europe/Berlin"), &zone("UTC"));
        assert_eq!(found[0].line(), "~ tenant acme: timezone UTC → Europe/Berlin");
        let sent = found[0].setting().change().unwrap();
        assert_eq!((sent.tenant.as_str(), sent.noun, sent.verb), ("acme", "tenant", "set"));
        assert_eq!(sent.body, json!({ "timezone": "Europe/Berlin" }));
    }
}
