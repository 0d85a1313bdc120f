//! Conditions: what else must hold of a request for a grant, or a denial, to count.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::OpenHours;
use crate::id::{DataClass, ModelId};
use crate::quantity::NanoDollars;

/// What else must hold for a grant to count; every part that is present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The call names one of these models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelId>,
    /// The call's worst case costs no more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_max: Option<NanoDollars>,
    /// It is within one of these hours, e.g. `Mon-Fri 08:00-18:00 Europe/Berlin`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<OpenHours>,
    /// The request is of one of these classes of data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_classes: Vec<DataClass>,
    /// It runs one of these tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// The tool's arguments meet all of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<ArgumentRule>,
}

impl Condition {
    /// True if it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What one argument of a tool must be; every part that is present. An argument that is not there meets nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArgumentRule {
    /// Which argument, as a JSON pointer: `/path`, `/options/limit`.
    pub at: String,
    /// It is one of these: a text as it is, a number or `true` as JSON writes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// It is a text that begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// It is a number, and no more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
}

impl ArgumentRule {
    /// True if `arguments` meet it.
    pub fn is_met(&self, arguments: &Value) -> bool {
        let Some(argument) = arguments.pointer(&self.at) else { return false };
        let one = || match argument {
            Value::String(text) => self.one_of.contains(text),
            Value::Number(_) | Value::Bool(_) | Value::Null => self.one_of.contains(&argument.to_string()),
            Value::Array(_) | Value::Object(_) => false,
        };
        // A path that leads upwards begins like one that does not.
        let climbs = |text: &str| text.split(['/', '\\']).any(|part| part == "..");
        let begins = |prefix: &str| argument.as_str().is_some_and(|text| text.starts_with(prefix) && !climbs(text));
        (self.one_of.is_empty() || one())
            && self.prefix.as_deref().is_none_or(begins)
            && self.max.is_none_or(|max| is_at_most(argument, max))
    }
}

/// True for a number that is no more than `max`.
fn is_at_most(argument: &Value, max: i64) -> bool {
    if let Some(number) = argument.as_i64() {
        return number <= max;
    }
    // A whole number beyond i64 is more than any bound; of the others a float is near enough.
    #[allow(clippy::cast_precision_loss)]
    argument.as_f64().is_some_and(|number| !argument.is_u64() && number <= max as f64)
}

impl fmt::Display for ArgumentRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, one_of, prefix, max } = self;
        f.write_str(at)?;
        if !one_of.is_empty() {
            write!(f, " one of {}", one_of.join(", "))?;
        }
        if let Some(prefix) = prefix {
            write!(f, " begins with {prefix}")?;
        }
        match max {
            Some(max) => write!(f, " at most {max}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_what_its_rule_says() {
        let arguments = serde_json::json!({ "path": "/data/in", "up": "/data/../etc", "n": 5, "f": 5.5, "yes": true });
        let rule = |text: &str| serde_json::from_str::<ArgumentRule>(text).unwrap().is_met(&arguments);
        assert!(rule(r#"{"at":"/path","prefix":"/data/"}"#) && !rule(r#"{"at":"/path","prefix":"/etc/"}"#));
        assert!(!rule(r#"{"at":"/up","prefix":"/data/"}"#), "it leads out of where it begins");
        assert!(rule(r#"{"at":"/n","max":5}"#) && !rule(r#"{"at":"/n","max":4}"#) && !rule(r#"{"at":"/f","max":5}"#));
        assert!(rule(r#"{"at":"/n","one_of":["4","5"]}"#) && rule(r#"{"at":"/yes","one_of":["true"]}"#));
        assert!(!rule(r#"{"at":"/none","one_of":["x"]}"#) && !rule(r#"{"at":"/path","max":5}"#));
        let huge = serde_json::json!({ "n": u64::MAX });
        let at_most = ArgumentRule { at: "/n".to_owned(), max: Some(i64::MAX), ..ArgumentRule::default() };
        assert!(!at_most.is_met(&huge));
    }
}
