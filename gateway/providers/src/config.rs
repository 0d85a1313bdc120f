//! Bounds of one call to a provider, and where providers may be. Every setting has a default that works.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward_events::setting::Span;

/// The settings of providers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// To connect.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub connect_time_max: Duration,
    /// From sending the request to the first byte of the answer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub first_byte_time_max: Duration,
    /// Between two pieces of an answer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub idle_time_max: Duration,
    /// For the whole call.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub total_time_max: Duration,
    /// Bytes of an answer that is not streamed.
    pub answer_bytes_max: usize,
    /// Bytes of one event of a streamed answer.
    pub event_bytes_max: usize,
    /// Whether providers that a tenant set itself may be at private addresses, as those of the operators may.
    pub tenant_providers_anywhere: bool,
    /// Whether there is the provider `scripted`, which calls nobody and invents its answers: for tests only.
    pub scripted: bool,
    /// An HTTP proxy for calls to providers. The environment's proxy settings are not read, and names
    /// are resolved by the proxy, which must then keep tenants' providers off private addresses.
    pub proxy: Option<String>,
    /// Whether providers at `https` addresses are asked over HTTP/2 where they have it: fewer connections, but more work a
    /// call. Else each call at once has a connection of its own, over HTTP/1.1.
    pub http2: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_time_max: Duration::from_secs(5),
            first_byte_time_max: Duration::from_mins(2),
            idle_time_max: Duration::from_mins(1),
            total_time_max: Duration::from_mins(10),
            answer_bytes_max: 16 * 1024 * 1024,
            event_bytes_max: 16 * 1024 * 1024,
            tenant_providers_anywhere: false,
            scripted: false,
            proxy: None,
            http2: false,
        }
    }
}
