//! The management API: every order and question of the tables in `events`, over HTTP.
//!
//! `POST /api/v1/tenants/<tenant>/<noun>s:<verb>` sends an order, `POST` or `GET …/<view>:<verb>` asks a question. Routes,
//! documents and checks are made from the tables; only `key:issue` and `tenant:create` need something of their own. This
//! module must not decide: it checks what only the edge can (the key's own bounds) and passes on as the caller.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, header};
use serde_json::Value;
use steward_aggregates::authority::Context;
use steward_events::command::{self, Audience, CommandSpec};
use steward_events::id::{CommandId, TenantId};
use steward_events::permission::Permission;
use steward_events::query::{self, QuerySpec};
use steward_events::rejection::Rejection;
use steward_events::request::{Envelope, Format};
use steward_events::scope::Scope;
use steward_ports::trace::current_traceparent;

use crate::auth::Known;
use crate::error::Error;
use crate::gateway::Edge;
use crate::openai::{known, request_id};
use crate::server::read_body;

mod asyncapi;
mod issue_key;
mod openapi;
mod order;
mod question;

pub use asyncapi::asyncapi;
pub use openapi::openapi;

/// The longest text taken over from a request's header.
const HEADER_BYTES_MAX: usize = 200;

/// What one path means.
enum Operation {
    Order(&'static CommandSpec),
    Ask(&'static QuerySpec),
}

impl Operation {
    /// Of `<noun>s:<verb>` or `<view>:<verb>`.
    fn find(text: &str) -> Option<Self> {
        let (word, verb) = text.split_once(':')?;
        let order = word.strip_suffix('s').and_then(|noun| command::find(noun, verb));
        // What parts of Steward tell each other is in no API.
        let order = order.filter(|spec| spec.audience == Audience::Callers);
        order.map(Self::Order).or_else(|| query::find(word, verb).map(Self::Ask))
    }
}

/// `POST /api/v1/tenants/{tenant}/{operation}`.
pub(crate) async fn order_or_ask(
    State(edge): State<Arc<Edge>>,
    Path((tenant, operation)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let answered = handle(&edge, &parts, body, &tenant, &operation).await;
    answered.unwrap_or_else(|error| error.problem(&request_id(&parts)))
}

async fn handle(edge: &Edge, parts: &Parts, body: Body, tenant: &str, operation: &str) -> Result<Response, Error> {
    let known = known(edge, parts).await?;
    let tenant = read_tenant(tenant)?;
    let found = Operation::find(operation).ok_or_else(|| Error::NoSuchPath(parts.uri.path().to_owned()))?;
    let mut room = edge.limits.room(&known.holder.key);
    let body = read_body(edge, body, &mut room).await?;
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let format = Format::of(content_type, &body);
    let caller = Caller { edge, parts, known, tenant, format };
    match found {
        Operation::Order(spec) => order::send(&caller, spec, body).await,
        Operation::Ask(spec) => question::ask(&caller, spec, body).await,
    }
}

/// `GET /api/v1/tenants/{tenant}/{operation}`: a question in the URL.
pub(crate) async fn ask_in_url(
    State(edge): State<Arc<Edge>>,
    Path((tenant, operation)): Path<(String, String)>,
    Query(fields): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let answered = async {
        let known = known(&edge, &parts).await?;
        let tenant = read_tenant(&tenant)?;
        let spec = match Operation::find(&operation) {
            Some(Operation::Ask(spec)) => spec,
            Some(Operation::Order(_)) => return Err(Error::NoSuchMethod(parts.uri.path().to_owned())),
            None => return Err(Error::NoSuchPath(parts.uri.path().to_owned())),
        };
        let body = question::from_url(spec, fields);
        let caller = Caller { edge: &edge, parts: &parts, known, tenant, format: Format::Json };
        question::ask(&caller, spec, body).await
    };
    answered.await.unwrap_or_else(|error| error.problem(&request_id(&parts)))
}

/// `GET /openapi.json`.
pub(crate) async fn serve_openapi() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi().to_string());
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// `GET /asyncapi.json`.
pub(crate) async fn serve_asyncapi() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| asyncapi().to_string());
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

fn read_tenant(text: &str) -> Result<TenantId, Error> {
    Ok(text.parse().map_err(|error: steward_events::id::InvalidId| Rejection::invalid("tenant", error.to_string()))?)
}

/// Nouns whose commands hand rights on: a narrowed key sends them as itself, so that it hands on no more than it has.
const PASSES_ON: &[&str] = &["key", "grant", "role"];

/// Who asks what of which tenant, and how.
struct Caller<'a> {
    edge: &'a Edge,
    parts: &'a Parts,
    known: Known,
    tenant: TenantId,
    format: Format,
}

impl Caller<'_> {
    /// Whether the caller may, by what is fresh of the caller's tenant and of the one that it is about. The aggregates
    /// check the principal again; only here is it known with which key, and what that key can reach.
    async fn may(&self, permission: Permission, scope: Scope) -> Result<(), Error> {
        let Known { holder, .. } = &self.known;
        // Only operators reach beyond their own tenant; for others that is refused without asking the log.
        if self.tenant != holder.tenant && holder.tenant.is_steward() {
            let Some(shard) = self.edge.keys.shard(&self.tenant).await? else {
                return Err(Rejection::UnknownTenant { tenant: self.tenant.clone() }.into());
            };
            self.edge.keys.confirm(shard).await?;
        }
        Ok(self.edge.keys.authorise(holder, &self.tenant, permission, scope, Context::default())?)
    }

    fn request(
        &self,
        noun: &str,
        verb: &str,
        format: Format,
        body: bytes::Bytes,
    ) -> Result<steward_events::request::Request, Error> {
        let Known { holder, .. } = &self.known;
        let envelope = Envelope {
            command: self.command_id()?,
            issued_at: match self.header("steward-issued-at") {
                Some(text) => text.parse().map_err(|_| Error::bad("steward-issued-at", "is no RFC 3339 time"))?,
                None => self.edge.clock.now(),
            },
            on_behalf_of: None,
            causation: self.header("steward-causation").map(str::to_owned),
            correlation: request_id(self.parts),
            traceparent: current_traceparent().or_else(|| self.header("traceparent").map(str::to_owned)),
        };
        Ok(steward_events::request::Request {
            tenant: self.tenant.clone(),
            principal: if PASSES_ON.contains(&noun) { holder.speaks_as() } else { holder.principal.clone() },
            noun: noun.to_owned(),
            verb: verb.to_owned(),
            envelope,
            format,
            body,
        })
    }

    /// `Idempotency-Key` is the command's id: the same is decided once.
    fn command_id(&self) -> Result<CommandId, Error> {
        let given = self.parts.headers.get("idempotency-key").or_else(|| self.parts.headers.get("steward-command-id"));
        let fresh = || format!("c_{}", self.edge.ids.unique());
        let text = match given {
            Some(value) => value.to_str().unwrap_or("").trim_matches('"').to_ascii_lowercase(),
            None => fresh(),
        };
        CommandId::new(text).map_err(|error| Error::bad("Idempotency-Key", error.to_string()))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok().filter(|text| text.len() <= HEADER_BYTES_MAX)
    }

    /// A body in the caller's format.
    fn respond(&self, body: impl Into<Body>) -> Response {
        let mut response = Response::new(body.into());
        let content_type = HeaderValue::from_static(self.format.content_type());
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }
}

/// What both documents say of the API.
fn info() -> Value {
    serde_json::json!({
        "title": "Steward",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "A company's gateway to models: who may call what, at which cost, with a log that proves it.",
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_for_callers_has_its_path_and_no_other_has() {
        for spec in command::COMMANDS {
            let found = Operation::find(&format!("{}s:{}", spec.noun, spec.verb));
            match spec.audience {
                Audience::Callers => {
                    assert!(
                        matches!(found, Some(Operation::Order(row)) if (row.noun, row.verb) == (spec.noun, spec.verb))
                    );
                }
                Audience::System => assert!(found.is_none(), "{spec:?}"),
            }
        }
        for spec in query::QUERIES {
            let found = Operation::find(&format!("{}:{}", spec.view, spec.verb));
            assert!(matches!(found, Some(Operation::Ask(row)) if (row.view, row.verb) == (spec.view, spec.verb)));
        }
        assert!(Operation::find("budget:set").is_none(), "an order is about many");
        assert!(Operation::find("budgets").is_none());
    }
}
