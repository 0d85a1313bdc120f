//! A route in company.toml: a list of targets, or a table with targets and a policy.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};
use steward_events::event::{RoutePolicy, RouteTerms, Target};

/// `route = ["local/small"]`, or `route = { policy = "weighted", targets = ["local/small weight=9", "other/small"] }`. Read by
/// hand, so that a slip in one is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    targets: Vec<Target>,
    policy: RoutePolicy,
    terms: RouteTerms,
}

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    targets: Vec<String>,
    #[serde(default)]
    policy: RoutePolicy,
    #[serde(default)]
    terms: RouteTerms,
}

impl Route {
    /// True if it leads nowhere.
    pub(super) const fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// What it says, in the form of a setting.
    pub(super) fn fields(&self) -> Value {
        fields(&self.targets, self.policy, &self.terms)
    }
}

/// The fields of the setting of a route: each target as its text; the policy where it is not the usual one, and what else the
/// route says.
pub(super) fn fields(targets: &[Target], policy: RoutePolicy, terms: &RouteTerms) -> Value {
    let targets: Vec<String> = targets.iter().map(Target::to_string).collect();
    json!({ "targets": targets, "policy": (!policy.is_usual()).then_some(policy), "terms": terms })
}

impl<'de> Deserialize<'de> for Route {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Route;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of targets such as provider/model, or a table of targets and policy")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Route, A::Error> {
                let Written { targets, policy, terms } = Written::deserialize(MapAccessDeserializer::new(map))?;
                read(&targets, policy, terms)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Route, A::Error> {
                let targets = Vec::<String>::deserialize(SeqAccessDeserializer::new(seq))?;
                read(&targets, RoutePolicy::default(), RouteTerms::default())
            }
        }

        deserializer.deserialize_any(Reading)
    }
}

fn read<E: Error>(targets: &[String], policy: RoutePolicy, terms: RouteTerms) -> Result<Route, E> {
    let targets = targets.iter().map(|text| text.parse().map_err(E::custom)).collect::<Result<_, _>>()?;
    Ok(Route { targets, policy, terms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Model {
        route: Route,
    }

    fn route(text: &str) -> Result<Route, String> {
        toml::from_str::<Model>(&format!("route = {text}")).map(|model| model.route).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_and_a_table_say_the_same() {
        let list = route(r#"["a/x  weight=9", "b/y"]"#).unwrap();
        assert_eq!(route(r#"{ targets = ["a/x weight=9", "b/y"], policy = "ordered" }"#).unwrap(), list);
        assert_eq!(list.fields(), json!({ "targets": ["a/x weight=9", "b/y"], "policy": null, "terms": {} }));
        let sticky = route(r#"{ targets = ["a/x"], policy = "sticky" }"#).unwrap();
        assert_eq!(sticky.fields()["policy"], "sticky");
        let bounded = route(r#"{ targets = ["a/x"], terms = { first_byte_ms = 500 } }"#).unwrap();
        assert_eq!(bounded.fields()["terms"], json!({ "first_byte_ms": 500 }));
    }

    #[test]
    fn a_slip_in_a_route_is_named() {
        for (text, named) in [
            (r#"["x"]"#, "provider/model"),
            (r#"{ targets = ["a/x"], polcy = "sticky" }"#, "polcy"),
            (r#"{ targets = ["a/x"], policy = "random" }"#, "weighted"),
            (r#"{ targets = ["a/x"], terms = { first_byte = 5 } }"#, "first_byte_ms"),
        ] {
            let error = route(text).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
