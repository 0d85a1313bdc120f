//! What a gateway can be told. Every key has a default that works.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward_events::setting::Span;

/// The gateway's settings.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// The most bytes of one request's body.
    pub body_bytes_max: usize,
    /// The most bytes of all requests' bodies held at once, and a quarter of it with one key; further ones are told to come
    /// back. As much again may be on its way to providers.
    pub bodies_bytes_max: usize,
    /// How long a client may take to send its headers, and again its body.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub receive_time_max: Duration,
    /// Connections at once; further ones wait in the operating system's queue.
    pub connections_max: NonZeroUsize,
    /// Model calls at once, over all keys; further ones are told to come back.
    pub calls_max: NonZeroUsize,
    /// Model calls at once with one key.
    pub calls_per_key_max: NonZeroUsize,
    /// Wrong keys that one client address may try in a minute before it is told to wait.
    pub wrong_keys_per_minute_max: NonZeroU32,
    /// The age up to which knowledge of keys and grants counts as fresh.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub fresh_age_max: Duration,
    /// How long to wait for fresh knowledge before refusing.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub fresh_wait_max: Duration,
    /// How long a call that would fit soon waits for budget.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub admission_wait_max: Duration,
    /// How much longer a call that is to be admitted waits for the log to record that; then it is told to come back.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub record_wait_max: Duration,
    /// How long running calls may go on after a stop was asked for; then they are cut.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub drain_time_max: Duration,
    /// How long the answer to `tenant:create` waits until the tenant may be used.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub tenant_open_wait_max: Duration,
    /// Bounds of calls to providers.
    pub upstream: Upstream,
    /// Reads provider keys by reference (`env:NAME`, `file:PATH`). Without one, only `file:` works.
    #[serde(skip)]
    pub secrets: Secrets,
}

impl Default for Config {
    fn default() -> Self {
        const fn positive(n: usize) -> NonZeroUsize {
            match NonZeroUsize::new(n) {
                Some(n) => n,
                None => NonZeroUsize::MIN,
            }
        }
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            body_bytes_max: 8 * 1024 * 1024,
            bodies_bytes_max: 256 * 1024 * 1024,
            receive_time_max: Duration::from_secs(20),
            connections_max: positive(8_192),
            calls_max: positive(4_096),
            calls_per_key_max: positive(512),
            wrong_keys_per_minute_max: NonZeroU32::MIN.saturating_add(59),
            fresh_age_max: Duration::from_millis(80),
            fresh_wait_max: Duration::from_secs(2),
            admission_wait_max: Duration::from_secs(2),
            record_wait_max: Duration::from_secs(15),
            drain_time_max: Duration::from_secs(30),
            tenant_open_wait_max: Duration::from_secs(5),
            upstream: Upstream::default(),
            secrets: Secrets::default(),
        }
    }
}

/// Bounds of one call to a provider.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
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
    /// Targets of a route that one request tries.
    pub attempts_max: NonZeroU32,
    /// How long a client may leave a piece of its answer unread before it counts as gone.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub client_stall_max: Duration,
    /// Whether providers that a tenant set itself may be at private addresses, as those of the operators may.
    pub tenant_providers_anywhere: bool,
    /// An HTTP proxy for calls to providers. The environment's proxy settings are not read, and names
    /// are resolved by the proxy, which must then keep tenants' providers off private addresses.
    pub proxy: Option<String>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            connect_time_max: Duration::from_secs(5),
            first_byte_time_max: Duration::from_mins(2),
            idle_time_max: Duration::from_mins(1),
            total_time_max: Duration::from_mins(10),
            answer_bytes_max: 16 * 1024 * 1024,
            event_bytes_max: 1024 * 1024,
            attempts_max: NonZeroU32::MIN.saturating_add(3),
            client_stall_max: Duration::from_mins(1),
            tenant_providers_anywhere: false,
            proxy: None,
        }
    }
}

/// What reads a secret by its reference.
type Resolver = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Resolves references to secrets, anew at every call, so that a rotated file counts at once.
#[derive(Clone)]
pub struct Secrets(Arc<Resolver>);

impl Secrets {
    /// Through `resolve`, which gets the whole reference, e.g. `env:OPENAI_API_KEY`.
    pub fn new(resolve: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(resolve))
    }

    /// The secret, trimmed; none if there is none or it could not stand in a header.
    pub fn find(&self, reference: &str) -> Option<String> {
        let secret = (self.0)(reference)?.trim().to_owned();
        (!secret.is_empty() && secret.bytes().all(|b| b.is_ascii_graphic())).then_some(secret)
    }
}

impl Default for Secrets {
    fn default() -> Self {
        Self::new(|reference| std::fs::read_to_string(reference.strip_prefix("file:")?).ok())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}
