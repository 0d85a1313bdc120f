//! What the first start makes: streams, keys, the first events. Every later start verifies the same.

use std::sync::Arc;

use steward_events::BoxError;
use steward_events::event::KeyHash;
use steward_events::id::TenantId;
use steward_events::secret::api_key;
use steward_jetstream::{Connection, JetStreamLog, JetStreamVault, Role};
use steward_ports::keys::Keyring;
use steward_workers::Notary;

use super::{Installation, Process};
use crate::config::Config;
use crate::files;

/// The operator's key, and whether this start made it.
pub struct Keys {
    /// The operator's.
    pub operator: String,
    /// True if this start made it.
    pub made: bool,
}

/// Makes or verifies the streams. The server's version.
pub async fn provision(installation: &Installation, config: &Config) -> Result<String, BoxError> {
    let admin = installation.connect(Role::Admin).await?;
    let options = config.bus.streams(config.durability);
    let provisioned = steward_jetstream::provision::provision(&admin, config.bus.shards, options).await?;
    tracing::info!(made = provisioned.made.len(), found = provisioned.found.len(), "streams are as they must be");
    let version = admin.server_version();
    admin.close().await;
    Ok(version)
}

/// The first events, and the keys of this installation.
pub async fn bootstrap(installation: &Installation, process: &Process) -> Result<Keys, BoxError> {
    let config = &process.config;
    files::master_key(&config.master_key_file())?;
    notary(config)?;
    let draw = || Ok(api_key(&TenantId::steward(), files::random_secret()?));
    let (operator, made) = files::read_or_make(&config.operator_key_file(), draw)?;
    let log = Arc::new(JetStreamLog::connect(&installation.credentials(Role::Aggregates)?, config.bus.shards).await?);
    steward_handler::bootstrap::first_start(
        log,
        Arc::clone(&process.clock),
        Arc::clone(&process.ids),
        config.bus.shards,
        &KeyHash::of(&operator),
    )
    .await?;
    Ok(Keys { operator, made })
}

/// Opens data keys with the master key.
pub(super) fn keyring(connection: &Connection, config: &Config) -> Result<Arc<Keyring>, BoxError> {
    let (master, _) = files::master_key(&config.master_key_file())?;
    Ok(Arc::new(Keyring::new(master, Arc::new(JetStreamVault::over(connection)))))
}

/// Who signs the checkpoints of this installation.
pub fn notary(config: &Config) -> Result<Notary, BoxError> {
    let key = files::transparency_key(&config.transparency_key_file())?;
    let name = config.transparency.name.clone().unwrap_or_else(|| format!("steward-{}", key.fingerprint()));
    // Refused now rather than at the first signature.
    key.verifier(&name).map_err(|error| format!("transparency.name {name:?}: {error}"))?;
    Ok(Notary { key, name })
}
