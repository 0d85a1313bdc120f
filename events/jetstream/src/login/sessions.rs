//! Connections that were let in, until what they were let in for has ended: then the server is told to close them.
//!
//! Nothing rests on this being quick, or done at all: what comes over such a connection is refused by whoever decides, and
//! it ends by itself when it must log in again. It only stops hearing sooner.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use steward_events::sender::SESSION_TIME_MAX;
use steward_events::timestamp::Timestamp;
use steward_ports::bus::{Authenticator, BusCaller};
use steward_ports::clock::{Clock, SystemClock};

use crate::connection::Connection;

/// How often to look whether anything has changed.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How often to look in any case: grants end without an event.
const EXPIRY_EVERY: Duration = Duration::from_secs(1);

/// How long the server may take to say that it has closed a connection.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// A connection: its number on its server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientId {
    pub(super) server: String,
    pub(super) number: u64,
}

struct Session {
    caller: BusCaller,
    /// When the server closes it by itself.
    until: Timestamp,
}

/// Those that this process let in.
pub(super) struct Sessions {
    closing: Connection,
    authenticator: Arc<dyn Authenticator>,
    clock: SystemClock,
    open: Mutex<HashMap<ClientId, Session>>,
}

impl Sessions {
    pub(super) fn new(closing: Connection, authenticator: Arc<dyn Authenticator>) -> Self {
        Self { closing, authenticator, clock: SystemClock::default(), open: Mutex::default() }
    }

    /// Remembers one that is about to be let in; false if what it is let in for has ended meanwhile.
    pub(super) fn begin(&self, client: &ClientId, caller: &BusCaller, now: Timestamp) -> bool {
        let session = Session { caller: caller.clone(), until: now.plus(SESSION_TIME_MAX) };
        // First remembered, then looked at: what ends in between is seen by the one or by the other.
        self.lock().insert(client.clone(), session);
        let holds = self.authenticator.holds(caller);
        if !holds {
            self.lock().remove(client);
        }
        holds
    }

    /// Closes what has ended, for ever.
    pub(super) async fn watch(self: Arc<Self>) {
        let (mut seen, mut looked) = (self.authenticator.version(), self.clock.monotonic());
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let (version, now) = (self.authenticator.version(), self.clock.monotonic());
            if version == seen && now.saturating_sub(looked) < EXPIRY_EVERY {
                continue;
            }
            (seen, looked) = (version, now);
            for (client, caller) in self.ended() {
                tokio::spawn(Arc::clone(&self).close(client, caller));
            }
        }
    }

    /// Takes out those that have ended; those that the server has closed by itself are forgotten.
    fn ended(&self) -> Vec<(ClientId, BusCaller)> {
        let now = self.clock.now();
        let mut ended = Vec::new();
        self.lock().retain(|client, session| {
            if session.until <= now {
                return false;
            }
            let holds = self.authenticator.holds(&session.caller);
            if !holds {
                ended.push((client.clone(), session.caller.clone()));
            }
            holds
        });
        ended
    }

    async fn close(self: Arc<Self>, ClientId { server, number }: ClientId, caller: BusCaller) {
        let subject = format!("$SYS.REQ.SERVER.{server}.KICK");
        let asked = self.closing.client.request(subject, json!({ "cid": number }).to_string().into());
        let said = tokio::time::timeout(CLOSE_TIME_MAX, asked).await;
        let (tenant, principal, key) = (&caller.tenant, &caller.principal, &caller.key);
        match said {
            Ok(Ok(_)) => {
                tracing::info!(tenant.id = %tenant, principal.id = %principal, %key, "closed a connection to the bus");
            }
            Ok(Err(error)) => {
                tracing::warn!(tenant.id = %tenant, principal.id = %principal, %key, %error, "a connection to the bus was not closed");
            }
            Err(_) => {
                tracing::warn!(tenant.id = %tenant, principal.id = %principal, %key, "a connection to the bus was not closed in time");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ClientId, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
