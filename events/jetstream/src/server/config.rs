//! The server's configuration, written anew at every start: users and permissions come from the one table of roles.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::error::ServerError;
use super::files::write_private;
use super::options::Options;
use super::secrets::Secrets;
use crate::MESSAGE_BYTES_MAX;
use crate::durability::Durability;
use crate::names::ACCOUNT;
use crate::role::Role;

/// More than any disk: else the server takes three quarters of what is free when it starts, and refuses everything once the
/// log is longer than that. Whoever runs it watches the disk.
const FILE_STORE_BYTES_MAX: u64 = 1 << 60;

/// Connections to one server: callers' and roles'. Callers' are counted before, so that there is room for roles.
const CONNECTIONS_MAX: u32 = 8_192;

/// Subscriptions of one connection: the server bounds them here, for it does not heed the same bound in the token of a caller
/// who was let in by the login. A role takes one for each query that it waits for, and one for each shard that it follows.
const SUBSCRIPTIONS_MAX: u32 = 4_096;

/// Bytes that may wait for one connection to read them; then the server closes it. Flow control lets 32 MiB be on the way to a
/// role that follows the log.
const PENDING_BYTES_MAX: u32 = 36 * 1024 * 1024;

/// What goes into it.
pub(super) struct Wanted<'a> {
    pub(super) dir: &'a Path,
    pub(super) port: u16,
    pub(super) options: &'a Options,
    pub(super) secrets: &'a Secrets,
}

/// Where it is written.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("nats-server.conf")
}

/// Where the server logs.
pub(super) fn log_path(dir: &Path) -> PathBuf {
    dir.join("nats-server.log")
}

/// Where goes what the server says before it has read where to log.
pub(super) fn said_path(dir: &Path) -> PathBuf {
    dir.join("nats-server.err")
}

pub(super) fn write(dir: &Path, text: &str) -> Result<(), ServerError> {
    write_private(&path(dir), text)
}

/// The text: JSON, which the server reads as well as its own format.
pub(super) fn render(wanted: &Wanted<'_>) -> String {
    // The server's own account is for closing connections, and for nothing else.
    let (own, users): (Vec<Role>, Vec<Role>) = Role::ALL.into_iter().partition(|role| *role == Role::Sessions);
    let of = |roles: Vec<Role>| roles.into_iter().map(|role| user(role, wanted.secrets)).collect::<Vec<_>>();
    let names: Vec<&str> = Role::ALL.into_iter().map(Role::user).collect();
    let mut jetstream =
        json!({ "store_dir": text(&wanted.dir.join("jetstream")), "max_file_store": FILE_STORE_BYTES_MAX });
    if wanted.options.durability == Durability::Strict {
        jetstream["sync_interval"] = json!("always");
    }
    let mut config = json!({
        "server_name": wanted.options.cluster.as_ref().map_or("steward", |cluster| &cluster.node),
        "host": "127.0.0.1",
        "port": wanted.port,
        "log_file": text(&log_path(wanted.dir)),
        "logfile_size_limit": 16 * 1024 * 1024,
        "logfile_max_num": 3,
        "max_payload": MESSAGE_BYTES_MAX,
        "max_connections": CONNECTIONS_MAX,
        "max_subscriptions": SUBSCRIPTIONS_MAX,
        "max_pending": PENDING_BYTES_MAX,
        "jetstream": jetstream,
        "accounts": {
            ACCOUNT: { "jetstream": "enabled", "users": of(users) },
            "SYS": { "users": of(own) },
        },
        "system_account": "SYS",
        "authorization": {
            "timeout": 10,
            // Everybody but the roles is a caller, and the login service says whether there is such a caller.
            "auth_callout": { "issuer": wanted.secrets.login_issuer(), "account": ACCOUNT, "auth_users": names },
        },
    });
    if let Some(cluster) = &wanted.options.cluster {
        let routes: Vec<String> = cluster.ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        config["cluster"] = json!({ "name": "steward", "host": "127.0.0.1", "port": cluster.port, "routes": routes });
    }
    format!("{config:#}\n")
}

fn user(role: Role, secrets: &Secrets) -> Value {
    let may = role.permissions();
    json!({
        "user": role.user(),
        "password": secrets.password(role),
        "permissions": {
            "publish": { "allow": may.publish, "deny": may.publish_never },
            "subscribe": { "allow": may.subscribe },
        },
    })
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
