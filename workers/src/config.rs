//! What a worker process needs to be told.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward_events::provider_key::SecretValue;
use steward_events::setting::Span;

/// Every key has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where workers reach models, without `/v1`; the gateway of this configuration if not set.
    pub gateway_url: Option<String>,
    /// Tasks this process drives at once; the others wait in the log.
    pub tasks_concurrent_max: NonZeroU32,
    /// Of these, tasks of one tenant.
    pub tasks_per_tenant_max: NonZeroU32,
    /// Batches this process runs at once; the others wait in the log.
    pub batches_concurrent_max: NonZeroU32,
    /// Of these, batches of one tenant.
    pub batches_per_tenant_max: NonZeroU32,
    /// Model calls of batches that this process makes at once, over all of them: they leave room for calls that somebody
    /// waits for.
    pub batch_calls_max: NonZeroU32,
    /// The most lines of one batch.
    pub batch_lines_max: NonZeroU32,
    /// The most bytes of the answers of one batch, less than a file may have.
    pub batch_output_bytes_max: usize,
    /// Silence after which a task or batch passes to another worker, e.g. `30s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub claim_timeout: Duration,
    /// The longest that one step, or one line of a batch, may take, waits for a gateway that is away included.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub step_time_max: Duration,
    /// How long the key of a task or batch works, unless it is revoked before; one that takes longer gets another.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub key_lifetime: Duration,
    /// How long a stopping process goes on with the steps it is in.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub drain_time_max: Duration,
    /// How long the erasure of a tenant waits after it was asked for, and can be cancelled.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub erasure_wait: Duration,
    /// The signing of trees: a section of its own in steward.toml.
    #[serde(skip)]
    pub transparency: Transparency,
    /// How people and machines are told: a section of its own in steward.toml.
    #[serde(skip)]
    pub channels: Channels,
    /// The mail server: a section of its own in steward.toml.
    #[serde(skip)]
    pub mail: Mail,
}

/// Signed checkpoints of every tenant's history: when one is signed, and who hears of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Transparency {
    /// What this installation is called in checkpoints, best a domain of yours, e.g. `steward.example.com`; after its key
    /// if not set. Who verifies knows the installation by this name, so the name does not change.
    pub name: Option<String>,
    /// A history that has grown is signed at most so often, unless somebody asks.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub checkpoint_every: Duration,
    /// Outside places that are handed every checkpoint: folders, and addresses to POST to.
    pub witnesses: Vec<String>,
}

/// Channels: how often a message is tried, and where the receivers of tenants may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Channels {
    /// Attempts that are made for one message; after the last it is a dead letter.
    pub attempts_max: NonZeroU32,
    /// The pause after the first attempt; each further one is four times as long.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub retry_first: Duration,
    /// The longest pause between two attempts.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub retry_max: Duration,
    /// The longest that one attempt may take, at most `2m`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub send_time_max: Duration,
    /// Whether channels of tenants may be at private addresses and without TLS, as those of the operators may.
    pub tenant_channels_anywhere: bool,
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            attempts_max: NonZeroU32::new(10).unwrap_or(NonZeroU32::MIN),
            retry_first: Duration::from_secs(5),
            retry_max: Duration::from_hours(2),
            send_time_max: Duration::from_secs(15),
            tenant_channels_anywhere: false,
        }
    }
}

/// The mail server through which channels of the kind `mail` write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// Its name or address; there are no mails if not set.
    pub host: Option<String>,
    /// Its port; 587 with `starttls`, 465 with `tls` and 25 with `none` if not set.
    pub port: Option<u16>,
    /// How the connection is protected.
    pub tls: MailTls,
    /// Name under which one logs in, if one has to.
    pub user: Option<String>,
    /// Where the password is: `env:NAME` or `file:PATH`.
    pub password: Option<String>,
    /// In whose name mails are written, e.g. `Steward <steward@example.com>`.
    pub from: Option<String>,
    /// Mails go to addresses of these domains only; to any if empty.
    pub domains: Vec<String>,
    /// The password itself.
    #[serde(skip)]
    pub secret: Option<SecretValue>,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// It begins in the clear and goes on in TLS, or ends.
    #[default]
    Starttls,
    /// It is TLS from its beginning.
    Tls,
    /// Not at all: only for a mail server on the same machine.
    None,
}

impl Default for Transparency {
    fn default() -> Self {
        Self { name: None, checkpoint_every: Duration::from_secs(60), witnesses: Vec::new() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gateway_url: None,
            tasks_concurrent_max: NonZeroU32::new(16).unwrap_or(NonZeroU32::MIN),
            tasks_per_tenant_max: NonZeroU32::new(4).unwrap_or(NonZeroU32::MIN),
            batches_concurrent_max: NonZeroU32::new(8).unwrap_or(NonZeroU32::MIN),
            batches_per_tenant_max: NonZeroU32::new(2).unwrap_or(NonZeroU32::MIN),
            batch_calls_max: NonZeroU32::new(16).unwrap_or(NonZeroU32::MIN),
            batch_lines_max: NonZeroU32::new(50_000).unwrap_or(NonZeroU32::MIN),
            batch_output_bytes_max: 48 * 1024 * 1024,
            claim_timeout: Duration::from_secs(30),
            step_time_max: Duration::from_mins(5),
            key_lifetime: Duration::from_hours(1),
            drain_time_max: Duration::from_secs(15),
            erasure_wait: Duration::from_hours(24),
            transparency: Transparency::default(),
            channels: Channels::default(),
            mail: Mail::default(),
        }
    }
}
