//! The section `[telemetry]` of steward.toml.

use std::io::IsTerminal;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Logs, traces, and where a process tells how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How log lines look; if not set, `human` on a terminal and `json` elsewhere.
    pub logs: Option<LogFormat>,
    /// What is logged and traced, e.g. `info` or `info,steward_gateway=debug`.
    pub filter: String,
    /// Where spans go by OTLP over gRPC, e.g. `http://127.0.0.1:4317`; nowhere if empty.
    pub otlp: String,
    /// Where a process serves `/livez`, `/readyz` and `/metrics` to those who watch it, without a key: an address that only
    /// they reach. Nowhere if not set; gateways answer on their own port too, `/metrics` with an operator's key only.
    pub listen: Option<SocketAddr>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One JSON object a line, with the names of the Elastic Common Schema.
    Json,
    /// For people.
    Human,
}

impl Default for Config {
    fn default() -> Self {
        Self { logs: None, filter: "info,async_nats=warn".to_owned(), otlp: String::new(), listen: None }
    }
}

impl Config {
    /// How lines on standard error look.
    pub(crate) fn log_format(&self) -> LogFormat {
        let on_terminal = || if std::io::stderr().is_terminal() { LogFormat::Human } else { LogFormat::Json };
        self.logs.unwrap_or_else(on_terminal)
    }
}
