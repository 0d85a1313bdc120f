//! What is to hold and what holds, in one form: settings with names and fields, and the commands that make them so.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use steward_events::BoxError;
use steward_events::id::TenantId;

use crate::command::options::target;

/// What can be written in company.toml, in the order in which it can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Tenant,
    Provider,
    Model,
    Route,
    Price,
    Cache,
    Prompt,
    Role,
    Account,
    Project,
    Budget,
    Grant,
    Agent,
}

impl Kind {
    /// As people call it; the noun of its commands.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Route => "route",
            Self::Price => "price",
            Self::Cache => "cache",
            Self::Prompt => "prompt",
            Self::Role => "role",
            Self::Account => "account",
            Self::Project => "project",
            Self::Budget => "budget",
            Self::Grant => "grant",
            Self::Agent => "agent",
        }
    }

    const fn verb(self) -> &'static str {
        match self {
            Self::Tenant | Self::Account | Self::Project => "create",
            Self::Role | Self::Agent => "define",
            Self::Grant => "give",
            Self::Provider | Self::Model | Self::Route | Self::Price | Self::Cache | Self::Prompt | Self::Budget => {
                "set"
            }
        }
    }

    /// The list that shows it.
    pub(crate) const fn list(self) -> &'static str {
        match self {
            Self::Route | Self::Cache | Self::Prompt => "model",
            other => other.noun(),
        }
    }

    /// The command that takes it back, if there is one.
    const fn removal(self) -> Option<&'static str> {
        match self {
            Self::Budget => Some("remove"),
            Self::Grant => Some("revoke"),
            _ => None,
        }
    }
}

/// Which setting: two of one name are the same, with other fields perhaps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    /// What the platform offers comes first, because tenants use it.
    of_tenant: bool,
    pub(crate) tenant: TenantId,
    pub(crate) kind: Kind,
    id: String,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) tenant: TenantId,
    pub(crate) kind: Kind,
    /// What tells it from others of its kind.
    pub(crate) id: Map<String, Value>,
    /// What can be changed about it. None is left out, and so is an empty list.
    pub(crate) fields: Map<String, Value>,
    /// Its name for people.
    pub(crate) label: String,
}

/// All settings, by name.
pub(crate) type Settings = BTreeMap<Name, Setting>;

/// What is sent.
pub(crate) struct Sending {
    pub(crate) tenant: TenantId,
    pub(crate) noun: &'static str,
    pub(crate) verb: &'static str,
    pub(crate) body: Value,
}

impl Setting {
    pub(crate) fn new(tenant: &TenantId, kind: Kind, (id, label): (Value, String), fields: Value) -> Self {
        let object = |value: Value| match value {
            Value::Object(object) => object,
            _ => Map::new(),
        };
        let fields = object(without_empty(fields));
        Self { tenant: tenant.clone(), kind, id: object(without_empty(id)), fields, label }
    }

    pub(crate) fn name(&self) -> Name {
        let id = Value::Object(self.id.clone()).to_string();
        let of_tenant = !self.tenant.is_steward();
        Name { of_tenant, tenant: self.tenant.clone(), kind: self.kind, id }
    }

    /// A text of its id.
    pub(crate) fn id(&self, name: &str) -> &str {
        self.id.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The command that makes it so.
    pub(crate) fn command(&self) -> Result<Sending, BoxError> {
        let mut body = self.id.clone();
        match self.kind {
            Kind::Model => {
                let mut spec = self.fields.clone();
                let output_max = spec.entry("output_max").or_insert_with(|| json!(OUTPUT_MAX)).clone();
                // Of a model of the platform a tenant says only the output.
                spec.entry("context_max").or_insert(output_max);
                body.insert("spec".to_owned(), Value::Object(spec));
            }
            Kind::Route => {
                let texts = self.fields.get("targets").and_then(Value::as_array).cloned().unwrap_or_default();
                let targets = texts.iter().map(|text| target(text.as_str().unwrap_or_default()));
                body.insert("targets".to_owned(), json!(targets.collect::<Result<Vec<_>, _>>()?));
                let more = ["policy", "terms"].into_iter().filter_map(|name| self.fields.get_key_value(name));
                body.extend(more.map(|(name, value)| (name.clone(), value.clone())));
            }
            Kind::Role => {
                body.insert("permissions".to_owned(), json!([]));
                body.extend(self.fields.clone());
            }
            Kind::Agent => _ = body.insert("spec".to_owned(), Value::Object(self.fields.clone())),
            _ => body.extend(self.fields.clone()),
        }
        let tenant = if self.kind == Kind::Tenant { TenantId::steward() } else { self.tenant.clone() };
        if self.kind == Kind::Budget {
            // The limit says the unit.
            body.remove("unit");
        }
        Ok(Sending { tenant, noun: self.kind.noun(), verb: self.kind.verb(), body: Value::Object(body) })
    }

    /// The command that changes what holds otherwise: but of a tenant, the one that makes it.
    pub(crate) fn change(&self) -> Result<Sending, BoxError> {
        if self.kind != Kind::Tenant {
            return self.command();
        }
        let (tenant, body) = (self.tenant.clone(), Value::Object(self.fields.clone()));
        Ok(Sending { tenant, noun: self.kind.noun(), verb: "set", body })
    }

    /// The command that takes it back, if there is one.
    pub(crate) fn removal(&self) -> Option<Sending> {
        let (tenant, noun, body) = (self.tenant.clone(), self.kind.noun(), Value::Object(self.id.clone()));
        self.kind.removal().map(|verb| Sending { tenant, noun, verb, body })
    }
}

/// Output tokens of a model of which the file does not say it.
pub(crate) const OUTPUT_MAX: u64 = 1_024;

/// Without what says nothing: null, and lists and tables without entries.
fn without_empty(value: Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, without_empty(value)));
            Value::Object(fields.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(without_empty).collect()),
        other => other,
    }
}
