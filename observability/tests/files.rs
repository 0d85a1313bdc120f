//! The files that others read: well formed, and of no metric that does not exist.

// Helpers of tests are not tests to clippy; what is not as expected here is a failed test.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

/// As the projectors, the gateway and this crate name them; `steward_gateway_*` histograms by their buckets.
const EXIST: &[&str] = &[
    "steward_calls_total",
    "steward_tokens_total",
    "steward_cost_dollars_total",
    "steward_denials_total",
    "steward_self_approvals_total",
    "steward_tasks",
    "steward_check_ready",
    "steward_gateway_requests_total",
    "steward_gateway_attempts_total",
    "steward_gateway_calls_running",
    "steward_gateway_overhead_seconds_bucket",
    "steward_gateway_first_byte_seconds_bucket",
];

fn named(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("steward_")).collect()
}

fn expressions(dashboard: &serde_json::Value) -> Vec<&str> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().unwrap()).collect()
}

#[test]
fn the_dashboard_and_the_alerts_name_metrics_that_exist() {
    let dashboard: serde_json::Value = serde_json::from_str(include_str!("../grafana/steward.json")).unwrap();
    let expressions = expressions(&dashboard);
    assert!(expressions.len() > 10);
    let alerts = include_str!("../prometheus/alerts.yml");
    let known: BTreeSet<&str> = EXIST.iter().copied().collect();
    for text in expressions.into_iter().chain([alerts]) {
        let unknown: Vec<&str> = named(text).difference(&known).copied().collect();
        assert_eq!(unknown, Vec::<&str>::new(), "in {text}");
    }
}

#[test]
fn the_template_has_every_field_of_a_log_line() {
    let template: serde_json::Value = serde_json::from_str(include_str!("../elk/index-template.json")).unwrap();
    let properties = &template["template"]["mappings"]["properties"];
    for field in [
        "@timestamp",
        "message",
        "ecs.version",
        "log.level",
        "log.logger",
        "service.name",
        "service.version",
        "service.node.name",
        "trace.id",
        "span.id",
        "organization.id",
        "user.id",
        "task.id",
        "event.duration",
        "error.message",
    ] {
        let path = field.split('.').collect::<Vec<_>>().join("/properties/");
        assert!(properties.pointer(&format!("/{path}/type")).is_some(), "{field}");
    }
}
