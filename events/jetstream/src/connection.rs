//! One connection to the bus, as somebody.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use bytes::Bytes;
use steward_events::BoxError;
use steward_events::id::{PrincipalId, TenantId};
use tokio::time::Instant;

use crate::role::{self, Role};
use crate::{ANSWER_TIME_MAX, MESSAGE_BYTES_MAX};

/// Where the bus is, and as whom to speak there.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `nats://host:port`, several with commas.
    pub url: String,
    /// How to say who one is.
    pub secret: Secret,
    /// What this one's inboxes begin with; the server allows no others.
    pub inbox: String,
}

/// How to say who one is.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Nothing: for tests that nobody gets in this way.
    None,
    /// A part of Steward.
    Password {
        /// The role's user name.
        user: String,
        /// Its password.
        password: String,
    },
    /// A caller, by API key.
    ApiKey(String),
}

/// Shows no secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match &self.secret {
            Secret::None => "nobody",
            Secret::Password { user, .. } => user,
            Secret::ApiKey(_) => "an api key",
        };
        write!(f, "Credentials({who} at {}, inbox {})", self.url, self.inbox)
    }
}

impl Credentials {
    /// Of a part of Steward.
    pub fn role(url: impl Into<String>, role: Role, password: impl Into<String>) -> Self {
        let secret = Secret::Password { user: role.user().to_owned(), password: password.into() };
        Self { url: url.into(), secret, inbox: role.inbox() }
    }

    /// Of a caller with an API key.
    pub fn caller(
        url: impl Into<String>,
        tenant: &TenantId,
        principal: &PrincipalId,
        api_key: impl Into<String>,
    ) -> Self {
        let inbox = role::inbox(tenant.as_str(), principal.as_str());
        Self { url: url.into(), secret: Secret::ApiKey(api_key.into()), inbox }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server knows no such user, or the password or key is wrong.
    #[error("the bus at {url} refuses the login of {who}")]
    Denied {
        /// Where.
        url: String,
        /// Who asked.
        who: String,
    },
    /// Nobody answers there.
    #[error("the bus at {url} cannot be reached")]
    Unreachable {
        /// Where.
        url: String,
        /// What happened at the last attempt.
        #[source]
        source: BoxError,
    },
}

/// A connection; it comes back by itself after a failure. Cheap to clone.
#[derive(Clone)]
pub struct Connection {
    pub(crate) client: Client,
    inbox: String,
}

impl Connection {
    /// Connects; tries for up to ten seconds while nobody answers.
    pub async fn connect(credentials: &Credentials) -> Result<Self, ConnectError> {
        Self::connect_within(credentials, ANSWER_TIME_MAX).await
    }

    /// Connects; tries for up to `time_max` while nobody answers.
    pub async fn connect_within(credentials: &Credentials, time_max: Duration) -> Result<Self, ConnectError> {
        let until = Instant::now() + time_max;
        loop {
            let error = match connect_once(credentials).await {
                Ok(client) => return Ok(Self { client, inbox: credentials.inbox.clone() }),
                Err(error) => error,
            };
            let url = credentials.url.clone();
            if matches!(error.kind(), ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication) {
                return Err(ConnectError::Denied { url, who: format!("{credentials:?}") });
            }
            if Instant::now() >= until {
                return Err(ConnectError::Unreachable { url, source: error.into() });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// True while the server is at the other end.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// The server's version, e.g. `2.15.1`.
    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// Waits until the server has acted on everything published, subscribed and unsubscribed so far.
    ///
    /// The client's own flush says only that it has left. A server does a connection's work in its order, so that it
    /// answers what nobody hears after all of that.
    pub async fn flush(&self) -> Result<(), BoxError> {
        let nobody = role::nobody(&self.inbox);
        match tokio::time::timeout(ANSWER_TIME_MAX, self.client.request(nobody, Bytes::new())).await? {
            Err(error) if error.kind() != RequestErrorKind::NoResponders => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Sends what is still buffered and closes.
    pub async fn close(&self) {
        if let Err(error) = self.client.drain().await {
            tracing::debug!(%error, "the connection was closed already");
        }
    }
}

/// How often the server is asked whether it is there. A connection whose server has left two of these unanswered is given
/// up and made anew: a server that froze, or a network that swallows packets, closes nothing.
const PING_EVERY: Duration = Duration::from_secs(5);

async fn connect_once(credentials: &Credentials) -> Result<Client, async_nats::ConnectError> {
    let (who, options) = match &credentials.secret {
        Secret::None => ("nobody", ConnectOptions::new()),
        Secret::Password { user, password } => {
            (user.as_str(), ConnectOptions::with_user_and_password(user.clone(), password.clone()))
        }
        Secret::ApiKey(key) => ("caller", ConnectOptions::with_token(key.clone())),
    };
    let name = format!("steward {who}");
    let complained = AtomicBool::new(false);
    let servers: Vec<String> = credentials.url.split(',').map(|url| url.trim().to_owned()).collect();
    options
        .name(&name)
        .custom_inbox_prefix(&credentials.inbox)
        .connection_timeout(Duration::from_secs(5))
        .ping_interval(PING_EVERY)
        .request_timeout(Some(ANSWER_TIME_MAX))
        .subscription_capacity(messages_max(credentials))
        .event_callback(move |event| {
            report(&name, &event, &complained);
            std::future::ready(())
        })
        .connect(servers)
        .await
}

/// Failures of a connection are handled by the client, which connects again; so they are logged here. Attempts to connect
/// again fail many times a second while a server is away: the first is told, until one succeeds.
fn report(name: &str, event: &Event, complained: &AtomicBool) {
    match event {
        Event::Connected => {
            complained.store(false, Ordering::Relaxed);
            tracing::debug!(connection = name, "connected to the bus");
        }
        Event::Disconnected => tracing::warn!(connection = name, "lost the bus; connecting again"),
        Event::Draining | Event::Closed | Event::LameDuckMode => tracing::debug!(connection = name, %event, "bus"),
        Event::ClientError(_) if complained.swap(true, Ordering::Relaxed) => {
            tracing::debug!(connection = name, %event, "the bus still complains");
        }
        Event::SlowConsumer(_) | Event::ServerError(_) | Event::ClientError(_) => {
            tracing::warn!(connection = name, %event, "the bus complains");
        }
    }
}

/// How many messages may wait in one subscription of this connection.
fn messages_max(credentials: &Credentials) -> usize {
    let responders = [Role::AggregatesResponder, Role::ProjectorsResponder];
    match &credentials.secret {
        Secret::Password { user, .. } if responders.iter().any(|role| role.user() == user) => REQUESTS_MAX,
        _ => SUBSCRIPTION_MESSAGES_MAX,
    }
}

/// Requests that may wait to be looked at; each is taken or refused at once, so there are never many.
const REQUESTS_MAX: usize = 4_096;

/// Messages that may wait in one subscription. Flow control lets 32 MB be on the way to a follower, and a commit with its
/// headers has some 500 bytes at least: so none is dropped.
const SUBSCRIPTION_MESSAGES_MAX: usize = 128 * 1024;

// Two halves: a commit fits beside its headers.
const _: () = assert!(steward_events::commit::COMMIT_BYTES_MAX * 2 <= MESSAGE_BYTES_MAX);
