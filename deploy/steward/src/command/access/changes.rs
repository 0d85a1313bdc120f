//! Commands that are supposed: from a file, or from what `apply` would send.

use clap::ArgMatches;
use serde::Deserialize;
use serde_json::{Map, Value};
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_queries::Change;

use crate::command::options::principal;

/// Fields of bodies that hold a principal, for which a service account's name may stand.
const PRINCIPALS: &[&str] = &["to", "principal"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    change: Vec<Written>,
}

/// `command = "grant.revoke"`, and the fields of its body beside it.
#[derive(Deserialize)]
struct Written {
    command: String,
    #[serde(flatten)]
    body: Map<String, Value>,
}

/// What `--with` names; nothing if it is not there.
pub(super) fn typed(matches: &ArgMatches, tenant: &TenantId) -> Result<Vec<Change>, BoxError> {
    let Some(path) = matches.get_one::<String>("with") else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    read(&text, tenant).map_err(|error| format!("{path}: {error}").into())
}

fn read(text: &str, tenant: &TenantId) -> Result<Vec<Change>, BoxError> {
    let file: File = toml::from_str(text)?;
    if file.change.is_empty() {
        return Err(
            "it has no [[change]]; each names a command, e.g. command = \"grant.revoke\", and its fields".into()
        );
    }
    let named = |Written { command, mut body }: Written| {
        for field in PRINCIPALS {
            if let Some(Value::String(text)) = body.get_mut(*field) {
                *text = principal(tenant, text)?.to_string();
            }
        }
        Ok(Change { command, body: Value::Object(body) })
    };
    file.change.into_iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_a_command_with_its_fields_beside_it() {
        let text = "[[change]]\ncommand = \"grant.revoke\"\nto = \"p_ana\"\nrole = \"agent\"\non = \"acme\"\n";
        let changes = read(text, &"acme".parse().unwrap()).unwrap();
        let body = json!({ "to": "p_ana", "role": "agent", "on": "acme" });
        assert_eq!(changes, [Change { command: "grant.revoke".to_owned(), body }]);
        assert!(read("", &"acme".parse().unwrap()).unwrap_err().to_string().contains("[[change]]"));
    }
}
