//! The door that every request passes, by whatever face it comes: a good key, a permit to run, a body within bounds.
//!
//! Knows who comes and how much they bring. It must not know what is asked for, nor how a no looks.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};
use steward_authority::Context;
use steward_calls::{Accepted, Access, AuthenticatedKey, BodyMemory, CallPermit, IdempotencyKey, Limits, Taker};
use steward_events::event::AddressRange;
use steward_events::id::TenantId;
use steward_events::permission::Permission;
use steward_events::scope::Scope;
use steward_ports::clock::Clock;

use crate::body::{self, BodyBounds};
use crate::capacity::LogCapacity;
use crate::coding;
use crate::config::Config;
use crate::data_class;
use crate::error::Error;
use crate::face::cache_header;
use crate::observe::Arrival;
use crate::origin;
use crate::serve::Peer;
use crate::tags;
use crate::wrong_keys::WrongKeys;

/// Lets requests in.
pub(crate) struct Door {
    access: Arc<Access>,
    limits: Limits,
    capacity: LogCapacity,
    wrong_keys: Arc<WrongKeys>,
    trusted_proxies: Vec<AddressRange>,
    body: BodyBounds,
    management_body: BodyBounds,
    clock: Arc<dyn Clock>,
}

impl Door {
    /// With the bounds of `config`.
    pub(crate) fn new(
        access: Arc<Access>,
        capacity: LogCapacity,
        clock: Arc<dyn Clock>,
        wrong_keys: Arc<WrongKeys>,
        config: &Config,
    ) -> Self {
        Self {
            access,
            limits: Limits::new(config.limits()),
            capacity,
            wrong_keys,
            trusted_proxies: config.trusted_proxies.clone(),
            body: BodyBounds { bytes_max: config.body_bytes_max, time_max: config.receive_time_max },
            management_body: BodyBounds {
                bytes_max: config.management_body_bytes_max,
                time_max: config.receive_time_max,
            },
            clock,
        }
    }

    /// Lets a model call in.
    pub(crate) async fn accept(&self, head: &Parts, body: Body) -> Result<Accepted, Error> {
        let began = self.clock.monotonic();
        let key = self.authenticate(head).await?;
        let tags = tags::read(&head.headers)?;
        let data_class = data_class::read(&head.headers)?;
        let idempotency_key = idempotency_key(&head.headers)?;
        // Before a byte of the body is read: who may call nothing takes no room from those who may.
        self.access.may_call_something(&key).await?;
        let by = Taker::from(&*key.holder);
        let permit = self.limits.enter(&by)?;
        let mut memory = self.limits.body_memory(&by);
        let body = body::read(body, self.body, &mut memory).await?;
        let body = coding::unpack(&head.headers, body, self.body.bytes_max, &mut memory)?;
        // After the body: a client that still sends might not see the answer.
        (self.capacity.calls)().map_err(Error::unavailable)?;
        let request = Arrival::of(head).id.clone();
        let anew = cache_header::wants_anew(&head.headers);
        let (permit, memory) = (Some(permit), Some(memory));
        Ok(Accepted { key, permit, body, memory, tags, data_class, request, began, anew, idempotency_key })
    }

    /// Who calls, if their key is good.
    pub(crate) async fn authenticate(&self, head: &Parts) -> Result<AuthenticatedKey, Error> {
        let secret = key(&head.headers)?;
        let peer = head.extensions.get::<Peer>().map(|Peer(address)| *address);
        let address = peer.and_then(|peer| origin::address(peer, &head.headers, &self.trusted_proxies));
        if !self.access.has_known(secret) {
            // Before anything is asked of the log: guessing must stay cheap for us. Keys are never held up by others
            // behind the same address, and one that was revoked is told so however often it comes.
            self.count_wrong_key(address.or(peer))?;
        }
        let key = self.access.find(secret).await?;
        Arrival::of(head).comes_from(&key.holder);
        self.access.admit(&key.holder, address)?;
        Ok(key)
    }

    /// Whether the metrics of all tenants may be read: with a key of an operator who may read metrics everywhere.
    pub(crate) async fn lets_scrape(&self, head: &Parts) -> Result<(), Error> {
        let AuthenticatedKey { holder, .. } = self.authenticate(head).await?;
        let everywhere = Scope::everything();
        Ok(self.access.authorise(&holder, &TenantId::steward(), Self::scrape(), everywhere, Context::default())?)
    }

    fn scrape() -> Permission {
        // A row of the table of queries; a test asks for it.
        #[allow(clippy::expect_used)]
        Permission::new("metrics", "read").expect("two tokens")
    }

    /// Reads the body of a management request with this key, within bounds.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        key: &AuthenticatedKey,
    ) -> Result<(Bytes, BodyMemory), Error> {
        let mut memory = self.limits.body_memory(&Taker::from(&*key.holder));
        let body = body::read(body, self.management_body, &mut memory).await?;
        let body = coding::unpack(headers, body, self.management_body.bytes_max, &mut memory)?;
        Ok((body, memory))
    }

    /// Lets in a body that is taken in piece by piece: the right to run, and memory for what is held of it at once.
    pub(crate) fn admit(&self, key: &AuthenticatedKey, held_bytes: usize) -> Result<(CallPermit, BodyMemory), Error> {
        let by = Taker::from(&*key.holder);
        let (permit, mut memory) = (self.limits.enter(&by)?, self.limits.body_memory(&by));
        memory.grow(held_bytes)?;
        (self.capacity.calls)().map_err(Error::unavailable)?;
        Ok((permit, memory))
    }

    fn count_wrong_key(&self, address: Option<IpAddr>) -> Result<(), Error> {
        let Some(address) = address else { return Ok(()) };
        if self.wrong_keys.count(address) { Ok(()) } else { Err(Error::TooManyWrongKeys) }
    }
}

/// The headers beside `Authorization` that a key may come in: Azure's clients and Anthropic's send it so.
const KEY_HEADERS: [&str; 2] = ["api-key", "x-api-key"];

/// The one key that came, in whichever of the headers.
fn key(headers: &HeaderMap) -> Result<&str, Error> {
    let mut key = only(headers, header::AUTHORIZATION.as_str())?.map(bearer).transpose()?;
    for name in KEY_HEADERS {
        let Some(value) = only(headers, name)? else { continue };
        let value = Some(value.trim()).filter(|value| !value.is_empty()).ok_or(Error::NoKey)?;
        if key.is_some_and(|key| key != value) {
            return Err(Error::bad(name, "holds another key than another header: send one key"));
        }
        key = Some(value);
    }
    key.ok_or(Error::NoKey)
}

/// The header by which a caller names a call that may come again.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Error> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::bad("Idempotency-Key", "is there more than once: send one key"));
    }
    let read = IdempotencyKey::read(value.to_str().unwrap_or_default());
    read.map(Some).map_err(|why| Error::bad("Idempotency-Key", why))
}

/// What the header says, if it is there.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Error> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        // Whoever stands between the caller and here may have looked at the other one.
        return Err(Error::bad(name, "is there more than once: send one key"));
    }
    Ok(Some(value.to_str().map_err(|_| steward_calls::Error::WrongKey)?))
}

/// The secret of `Bearer …`.
fn bearer(value: &str) -> Result<&str, Error> {
    let (scheme, secret) = value.split_once(' ').ok_or(Error::NoKey)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::NoKey);
    }
    let secret = secret.trim();
    if secret.is_empty() { Err(Error::NoKey) } else { Ok(secret) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_are_none() {
        for other in ["Bearer def", "Bearer abc", "Basic abc", ""] {
            let mut headers = HeaderMap::new();
            headers.append(header::AUTHORIZATION, "Bearer abc".parse().unwrap());
            headers.append(header::AUTHORIZATION, other.parse().unwrap());
            assert!(matches!(key(&headers), Err(Error::Call(steward_calls::Error::BadRequest { .. }))), "{other:?}");
        }
    }

    /// With these headers.
    fn found(of: &[(&'static str, &str)]) -> Result<String, Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in of {
            headers.append(*name, value.parse().unwrap());
        }
        key(&headers).map(str::to_owned)
    }

    #[test]
    fn a_key_comes_in_the_header_that_its_client_knows() {
        for name in KEY_HEADERS {
            assert_eq!(found(&[(name, " abc ")]).unwrap(), "abc");
            assert_eq!(found(&[(name, "abc"), ("authorization", "Bearer abc")]).unwrap(), "abc");
            assert!(matches!(found(&[(name, "")]), Err(Error::NoKey)));
        }
        assert_eq!(found(&[("api-key", "abc"), ("x-api-key", "abc")]).unwrap(), "abc");
        assert!(matches!(found(&[]), Err(Error::NoKey)));
    }

    #[test]
    fn two_different_keys_are_none_wherever_they_stand() {
        for headers in [
            [("authorization", "Bearer abc"), ("api-key", "def")],
            [("authorization", "Bearer abc"), ("x-api-key", "def")],
            [("api-key", "abc"), ("x-api-key", "def")],
            [("api-key", "abc"), ("api-key", "abc")],
        ] {
            let refused = found(&headers);
            assert!(matches!(refused, Err(Error::Call(steward_calls::Error::BadRequest { .. }))), "{headers:?}");
        }
        let unread = found(&[("authorization", "Basic abc"), ("api-key", "abc")]);
        assert!(matches!(unread, Err(Error::NoKey)), "who reads only that header would see no key");
    }

    #[test]
    fn only_a_bearer_is_a_key() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            key(&headers).map(str::to_owned)
        };
        assert_eq!(read("Bearer  abc ").unwrap(), "abc");
        assert_eq!(read("bearer abc").unwrap(), "abc");
        for value in ["Basic abc", "abc", "Bearer ", "Bearer"] {
            assert!(matches!(read(value), Err(Error::NoKey)), "{value}");
        }
    }
}
