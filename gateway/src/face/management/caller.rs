//! Who sends what about which tenant: the requests of callers, as they go over the bus.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, header};
use steward_aggregates::catalog::Catalogs;
use steward_calls::{Access, AuthenticatedKey, Files, Limits};
use steward_events::free_text;
use steward_events::id::{CommandId, TenantId};
use steward_events::ids::Ids;
use steward_events::permission::Permission;
use steward_events::request::{Envelope, Format, Request};
use steward_ports::bus::CommandBus;
use steward_ports::clock::Clock;
use steward_ports::live::Live;
use steward_ports::trace::current_traceparent;

use crate::capacity::LogCapacity;
use crate::config::Config;
use crate::door::Door;
use crate::error::Error;
use crate::observe::Arrival;

/// The longest text taken over from a request's header.
const HEADER_BYTES_MAX: usize = 200;

/// What sending commands and queries needs.
pub(crate) struct Management {
    pub(crate) door: Arc<Door>,
    pub(crate) bus: Arc<dyn CommandBus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) access: Arc<Access>,
    pub(crate) catalogs: Arc<Live<Catalogs>>,
    pub(crate) files: Files,
    pub(crate) capacity: LogCapacity,
    pub(crate) waits: Waits,
    /// How many wait for flags at once: as many as may call at once.
    pub(crate) watches: Limits,
}

/// How long the answer to a command waits for what follows from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// Until this gateway knows of what was recorded.
    pub(crate) known_max: Duration,
    /// Until a new tenant may be used.
    pub(crate) tenant_open_max: Duration,
}

impl From<&Config> for Waits {
    fn from(config: &Config) -> Self {
        Self { known_max: config.calls.fresh_wait_max, tenant_open_max: config.tenant_open_wait_max }
    }
}

/// A caller with its request: of which tenant it speaks, and in which format.
pub(in crate::face) struct ManagementCaller<'a> {
    pub(in crate::face) management: &'a Management,
    pub(in crate::face) parts: &'a Parts,
    pub(in crate::face) key: AuthenticatedKey,
    pub(in crate::face) tenant: TenantId,
    pub(in crate::face) format: Format,
}

impl ManagementCaller<'_> {
    /// That the caller may send this to the tenant at all. Whether it is allowed is decided where it goes: by the key,
    /// which the request names as its sender.
    pub(super) fn check(&self, permission: Permission) -> Result<(), Error> {
        Ok(Access::check_reach(&self.key.holder, &self.tenant, permission)?)
    }

    pub(in crate::face) fn request(
        &self,
        (noun, verb): (&str, &str),
        command: CommandId,
        format: Format,
        body: Bytes,
    ) -> Result<Request, Error> {
        let AuthenticatedKey { holder, .. } = &self.key;
        let envelope = Envelope {
            command,
            issued_at: match self.header("steward-issued-at") {
                Some(text) => text.parse().map_err(|_| Error::bad("steward-issued-at", "is no RFC 3339 time"))?,
                None => self.management.clock.now(),
            },
            on_behalf_of: None,
            causation: self.causation()?,
            correlation: Arrival::of(self.parts).id.clone(),
            traceparent: current_traceparent().or_else(|| {
                self.header("traceparent").filter(|text| free_text::is_traceparent(text)).map(str::to_owned)
            }),
        };
        Ok(Request {
            tenant: self.tenant.clone(),
            principal: holder.speaks_as(),
            noun: noun.to_owned(),
            verb: verb.to_owned(),
            envelope,
            format,
            body,
        })
    }

    /// `Idempotency-Key` is the command's id: the same is decided once.
    pub(in crate::face) fn command_id(&self) -> Result<CommandId, Error> {
        let given = self.parts.headers.get("idempotency-key").or_else(|| self.parts.headers.get("steward-command-id"));
        let fresh = || format!("c_{}", self.management.ids.unique());
        let text = match given {
            Some(value) => value.to_str().unwrap_or("").trim_matches('"').to_ascii_lowercase(),
            None => fresh(),
        };
        CommandId::new(text).map_err(|error| Error::bad("Idempotency-Key", error.to_string()))
    }

    fn causation(&self) -> Result<Option<String>, Error> {
        const NAME: &str = "steward-causation";
        let Some(value) = self.parts.headers.get(NAME) else { return Ok(None) };
        let read = value.to_str().map_err(|_| "holds characters outside ASCII").and_then(free_text::causation);
        read.map(Some).map_err(|why| Error::bad(NAME, why))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok().filter(|text| text.len() <= HEADER_BYTES_MAX)
    }

    /// A body in the caller's format.
    pub(super) fn respond(&self, body: impl Into<Body>) -> Response {
        let mut response = Response::new(body.into());
        let content_type = HeaderValue::from_static(self.format.content_type());
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }
}
