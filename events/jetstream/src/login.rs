//! The bus asks who somebody is: auth callout.
//!
//! The server passes on every login that is not one of the roles'. This service asks the [`Authenticator`] whose API key
//! it is and answers with what that caller may do, signed; for anybody else it answers no. If nobody serves this, nobody
//! but the roles gets in; so every gateway does, in one queue group. What it let in it also shows out: see [`sessions`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures::StreamExt;
use nkeys::KeyPair;
use serde::Deserialize;
use steward_events::BoxError;
use steward_events::sender::SESSION_TIME_MAX;
use steward_events::timestamp::Timestamp;
use steward_ports::bus::{Authenticator, BusCaller, LoginRefused};
use steward_ports::clock::{Clock, SystemClock};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;

mod connections;
mod jwt;
mod permissions;
mod sessions;

pub use connections::Logins;

use connections::Connections;
use sessions::{ClientId, Sessions};

/// Logins looked at at once; the others wait, and the server gives up on them after its own time-out.
const IN_FLIGHT_MAX: usize = 64;

/// The longest that one login may take to look up.
const LOOK_UP_TIME_MAX: Duration = Duration::from_secs(5);

/// Where the server asks.
const ASKED: &str = "$SYS.REQ.USER.AUTH";

/// Where the server tells of connections that have closed.
const CLOSED: &str = "$SYS.ACCOUNT.*.DISCONNECT";

/// Serves logins until `shutdown`; returns once it listens.
///
/// `closing` is a connection as [`crate::Role::Sessions`]. `issuer_seed` is that of the account key which the server trusts: [`crate::server::Server::login_seed`].
///
/// # Errors
/// If the seed is none, or the bus does not take the subscription.
pub async fn serve(
    connection: &Connection,
    closing: &Connection,
    issuer_seed: &str,
    bounds: &Logins,
    authenticator: Arc<dyn Authenticator>,
    shutdown: CancellationToken,
) -> Result<JoinHandle<()>, BoxError> {
    let login = Arc::new(Login {
        connection: connection.clone(),
        issuer: KeyPair::from_seed(issuer_seed)?,
        sessions: Arc::new(Sessions::new(closing.clone(), Arc::clone(&authenticator))),
        connections: Connections::new(bounds.clone(), SESSION_TIME_MAX),
        authenticator,
        clock: SystemClock::default(),
    });
    let closed = closing.client.subscribe(CLOSED).await?;
    closing.flush().await?;
    let mut asked = connection.client.queue_subscribe(ASKED, "login".to_owned()).await?;
    connection.flush().await?;
    let permits = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let watching = tokio::spawn(Arc::clone(&login.sessions).watch());
    let counting = tokio::spawn(count_closed(Arc::clone(&login), closed));
    Ok(tokio::spawn(async move {
        let mut begun = JoinSet::new();
        loop {
            let message = tokio::select! {
                () = shutdown.cancelled() => break,
                message = asked.next() => message,
            };
            let (Some(message), Ok(permit)) = (message, Arc::clone(&permits).acquire_owned().await) else { break };
            while begun.try_join_next().is_some() {}
            let login = Arc::clone(&login);
            begun.spawn(async move {
                login.answer(&message).await;
                drop(permit);
            });
        }
        if let Err(error) = asked.unsubscribe().await {
            tracing::debug!(%error, "the connection was closed already");
        }
        while begun.join_next().await.is_some() {}
        watching.abort();
        counting.abort();
    }))
}

struct Login {
    connection: Connection,
    issuer: KeyPair,
    sessions: Arc<Sessions>,
    connections: Connections,
    authenticator: Arc<dyn Authenticator>,
    clock: SystemClock,
}

/// What of the news that a connection has closed matters here.
#[derive(Deserialize)]
struct ClosedClient {
    server: ServerId,
    client: ClientInfo,
}

/// Takes back connections as they close.
async fn count_closed(login: Arc<Login>, mut closed: Subscriber) {
    while let Some(message) = closed.next().await {
        // Whatever else the server may tell of there is none of those that were let in here.
        let Ok(ClosedClient { server, client }) = serde_json::from_slice(&message.payload) else { continue };
        login.connections.end(&ClientId { server: server.id, number: client.id });
    }
}

/// What of a request matters here.
#[derive(Deserialize)]
struct LoginRequest {
    nats: ConnectingClient,
}

#[derive(Deserialize)]
struct ConnectingClient {
    server_id: ServerId,
    user_nkey: String,
    client_info: ClientInfo,
    connect_opts: ConnectOptions,
}

/// Which connection of its server it is, and where it comes from.
#[derive(Deserialize)]
struct ClientInfo {
    id: u64,
    #[serde(default)]
    host: String,
}

#[derive(Deserialize)]
struct ServerId {
    id: String,
}

/// A key may come as a token, or as a password to any user name.
#[derive(Deserialize)]
struct ConnectOptions {
    #[serde(default)]
    auth_token: String,
    #[serde(default)]
    pass: String,
}

impl Login {
    async fn answer(&self, message: &Message) {
        let Some(reply) = message.reply.clone() else { return };
        let asked: LoginRequest = match jwt::payload(&message.payload) {
            Ok(asked) => asked,
            Err(error) => {
                tracing::warn!(error, "a login request that cannot be read");
                return;
            }
        };
        let ConnectingClient { server_id, user_nkey, client_info, connect_opts } = asked.nats;
        let now = self.clock.now();
        let address = client_info.host.parse().ok();
        let verdict = match self.look_up(&connect_opts, address).await {
            Ok(caller) => {
                let client = ClientId { server: server_id.id.clone(), number: client_info.id };
                match self.begin(&client, &caller, now) {
                    Ok(()) => jwt::user(&self.issuer, &user_nkey, &caller, now),
                    Err(why) => {
                        self.authenticator.refused(LoginRefused { caller: Some(&caller), address, why });
                        Err(why.into())
                    }
                }
            }
            Err(why) => {
                self.authenticator.refused(LoginRefused { caller: None, address, why });
                Err(why.into())
            }
        };
        let signed = jwt::response(&self.issuer, &user_nkey, &server_id.id, verdict.map_err(|e| e.to_string()), now);
        let sent = match signed {
            Ok(token) => self.connection.client.publish(reply, token.into()).await.map_err(BoxError::from),
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::warn!(error, "a login could not be answered");
        }
    }

    /// Counts the connection and watches what it is let in for.
    fn begin(&self, client: &ClientId, caller: &BusCaller, now: Timestamp) -> Result<(), &'static str> {
        self.connections.begin(client.clone(), caller, self.clock.monotonic())?;
        // What ended while it was looked up is not begun.
        if self.sessions.begin(client, caller, now) {
            return Ok(());
        }
        self.connections.end(client);
        Err("no such key")
    }

    async fn look_up(&self, given: &ConnectOptions, address: Option<IpAddr>) -> Result<BusCaller, &'static str> {
        let secret = match (given.auth_token.as_str(), given.pass.as_str()) {
            ("", secret) | (secret, "") => secret,
            (token, password) if token == password => token,
            _ => return Err("two keys"),
        };
        if secret.is_empty() {
            return Err("no credentials");
        }
        let found = tokio::time::timeout(LOOK_UP_TIME_MAX, self.authenticator.authenticate(secret, address)).await;
        let caller = found.map_err(|_| "not looked up in time")?.ok_or("no such key")?;
        // Whatever a tenant calls its principals: nobody becomes a part of Steward by a key, and operators are Steward's.
        let operator = caller.principal.as_str().starts_with("op_");
        if caller.principal.is_system() || (operator && !caller.tenant.is_steward()) {
            return Err("a reserved principal");
        }
        Ok(caller)
    }
}
