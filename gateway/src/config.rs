//! What a gateway can be told. Every setting has a default that works.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward_calls::LimitBounds;
use steward_events::event::AddressRange;
use steward_events::setting::Span;

/// The gateway's settings.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// The most bytes of one request's body.
    pub body_bytes_max: usize,
    /// The most bytes of the body of a management request: a command or a query.
    pub management_body_bytes_max: usize,
    /// The most bytes of all requests' bodies held at once: half of it of one tenant, a quarter of one principal; the last
    /// quarter is for tenants that hold no more than one body. Further ones are told to come back. As much again may be
    /// on its way to providers.
    pub bodies_bytes_max: usize,
    /// How long a client may take to send its headers, and again its body.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub receive_time_max: Duration,
    /// Connections at once; further ones wait in the operating system's queue.
    pub connections_max: NonZeroUsize,
    /// Connections at once from one address; further ones are closed. A proxy in front of the gateway is one address.
    pub connections_per_address_max: NonZeroUsize,
    /// Proxies in front of the gateway, as ranges of addresses: of a connection from one of these, `x-forwarded-for` says
    /// where the caller is. It matters for keys that may be used only from some addresses.
    pub trusted_proxies: Vec<AddressRange>,
    /// Model calls at once, over all tenants; further ones are told to come back. The last quarter is for tenants that have
    /// few of them.
    pub calls_max: NonZeroUsize,
    /// Model calls at once of one tenant.
    pub calls_per_tenant_max: NonZeroUsize,
    /// Model calls at once of one principal, whatever their keys.
    pub calls_per_principal_max: NonZeroUsize,
    /// Model calls at once with one key.
    pub calls_per_key_max: NonZeroUsize,
    /// Model calls of batches at once, over all tenants; the workers are told to come back with further ones, so that calls
    /// that somebody waits for go first.
    pub batch_calls_max: NonZeroUsize,
    /// Wrong keys that one client address may try in a minute before it is told to wait.
    pub wrong_keys_per_minute_max: NonZeroU32,
    /// The most bytes of one file that is kept for `/v1/files`.
    pub file_bytes_max: u64,
    /// The most bytes of all files of one tenant.
    pub files_per_tenant_bytes_max: u64,
    /// How long a file is kept whose owner does not say it, at most 90 days.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub file_kept_for: Duration,
    /// How long running calls may go on after a stop was asked for; then they are cut.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub drain_time_max: Duration,
    /// How long the answer to `tenant:create` waits until the tenant may be used.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub tenant_open_wait_max: Duration,
    /// How model calls wait and give up.
    pub calls: steward_calls::Config,
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
            management_body_bytes_max: 256 * 1024,
            bodies_bytes_max: 256 * 1024 * 1024,
            receive_time_max: Duration::from_secs(20),
            connections_max: positive(8_192),
            connections_per_address_max: positive(6_144),
            trusted_proxies: Vec::new(),
            calls_max: positive(4_096),
            calls_per_tenant_max: positive(1_024),
            calls_per_principal_max: positive(768),
            calls_per_key_max: positive(512),
            batch_calls_max: positive(256),
            wrong_keys_per_minute_max: NonZeroU32::MIN.saturating_add(59),
            file_bytes_max: 64 * 1024 * 1024,
            files_per_tenant_bytes_max: 1024 * 1024 * 1024,
            file_kept_for: Duration::from_hours(24 * 30),
            drain_time_max: Duration::from_secs(30),
            tenant_open_wait_max: Duration::from_secs(5),
            calls: steward_calls::Config::default(),
        }
    }
}

impl Config {
    /// How long and how large files may be.
    pub(crate) const fn files(&self) -> FileBounds {
        FileBounds {
            bytes_max: self.file_bytes_max,
            per_tenant_bytes_max: self.files_per_tenant_bytes_max,
            kept_for: self.file_kept_for,
            stall_max: self.receive_time_max,
        }
    }

    /// What requests may take of this process.
    pub(crate) const fn limits(&self) -> LimitBounds {
        LimitBounds {
            calls_max: self.calls_max,
            calls_per_tenant_max: self.calls_per_tenant_max,
            calls_per_principal_max: self.calls_per_principal_max,
            calls_per_key_max: self.calls_per_key_max,
            batch_calls_max: self.batch_calls_max,
            body_bytes_max: self.body_bytes_max,
            bodies_bytes_max: self.bodies_bytes_max,
        }
    }
}

/// The bounds of files that callers keep here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileBounds {
    /// Bytes of one.
    pub(crate) bytes_max: u64,
    /// Bytes of all of a tenant's.
    pub(crate) per_tenant_bytes_max: u64,
    /// How long one is kept that does not say it.
    pub(crate) kept_for: Duration,
    /// How long a client may send nothing of one.
    pub(crate) stall_max: Duration,
}
