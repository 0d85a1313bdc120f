//! The management API: every command and query of the tables in `events`, over HTTP.
//!
//! `POST /api/v1/tenants/<tenant>/<noun>s:<verb>` sends a command, `POST` or `GET …/<view>:<verb>` a query. Routes,
//! documents and checks are made from the tables; only `key:issue` and `tenant:create` need something of their own. This
//! face must not decide: it finds the key and passes on as the key's holder.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use axum::routing::get;
use http::header;
use http::request::Parts;
use steward_events::command::{self as commands, Audience, CommandSpec};
use steward_events::id::TenantId;
use steward_events::rejection::Rejection;
use steward_events::request::Format;
use steward_queries::{self as queries, QuerySpec};

use super::{Bundles, Face, no_such_method};
use crate::error::Error;
use crate::observe::Arrival;

mod caller;
mod command;
mod describe;
mod issue_key;
mod query;
mod refusal;
mod watch_flags;

pub(crate) use caller::Management;

pub(super) use caller::ManagementCaller;
pub(super) use command::decide;
pub(super) use query::ask;

/// The face.
pub(super) const FACE: Face =
    Face { root: "/api/v1/", routes, hot: |_| Vec::new(), refuse: refusal::refuse, describe: describe::paths };

fn routes(bundles: &Bundles) -> Router {
    Router::new()
        .route("/api/v1/tenants/{tenant}/{operation}", get(query_in_url).post(command_or_query))
        .route("/api/v1/tenants/{tenant}/flags/watch", get(watch_flags::watch))
        .method_not_allowed_fallback(no_such_method(FACE.refuse))
        .with_state(Arc::clone(&bundles.management))
}

/// What one path means.
enum Operation {
    Command(&'static CommandSpec),
    Query(&'static QuerySpec),
}

impl Operation {
    /// Of a noun in the plural and a verb, or of a view and a verb.
    fn find(text: &str) -> Option<Self> {
        let (word, verb) = text.split_once(':')?;
        let is_it = |spec: &&CommandSpec| spec.verb == verb && spec.collection() == word;
        // What parts of Steward tell each other is in no API.
        let command = commands::COMMANDS.iter().find(is_it).filter(|spec| spec.audience == Audience::Callers);
        let query = || queries::find(word, verb).filter(|spec| spec.only.is_none());
        command.map(Self::Command).or_else(|| query().map(Self::Query))
    }
}

/// `POST /api/v1/tenants/{tenant}/{operation}`.
async fn command_or_query(
    State(management): State<Arc<Management>>,
    Path((tenant, operation)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let answered = handle(&management, &parts, body, &tenant, &operation).await;
    answered.unwrap_or_else(|error| refusal::refuse(&error, Arrival::of(&parts)))
}

async fn handle(
    management: &Management,
    parts: &Parts,
    body: Body,
    tenant: &str,
    operation: &str,
) -> Result<Response, Error> {
    let key = management.door.authenticate(parts).await?;
    let tenant = read_tenant(tenant)?;
    let found = Operation::find(operation).ok_or_else(|| Error::NoSuchPath(parts.uri.path().to_owned()))?;
    // The memory is held until the answer is there.
    let (body, _memory) = management.door.read(&parts.headers, body, &key).await?;
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let format = Format::of(content_type, &body);
    let caller = ManagementCaller { management, parts, key, tenant, format };
    match found {
        Operation::Command(spec) => command::send(&caller, spec, body).await,
        Operation::Query(spec) => query::send(&caller, spec, body).await,
    }
}

/// `GET /api/v1/tenants/{tenant}/{operation}`: a query in the URL.
async fn query_in_url(
    State(management): State<Arc<Management>>,
    Path((tenant, operation)): Path<(String, String)>,
    Query(fields): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let answered = async {
        let key = management.door.authenticate(&parts).await?;
        let tenant = read_tenant(&tenant)?;
        let spec = match Operation::find(&operation) {
            Some(Operation::Query(spec)) => spec,
            Some(Operation::Command(_)) => return Err(Error::NoSuchMethod(parts.uri.path().to_owned())),
            None => return Err(Error::NoSuchPath(parts.uri.path().to_owned())),
        };
        let body = query::from_url(spec, fields);
        let caller = ManagementCaller { management: &management, parts: &parts, key, tenant, format: Format::Json };
        query::send(&caller, spec, body).await
    };
    answered.await.unwrap_or_else(|error| refusal::refuse(&error, Arrival::of(&parts)))
}

fn read_tenant(text: &str) -> Result<TenantId, Error> {
    Ok(text.parse().map_err(|error: steward_events::id::InvalidId| Rejection::invalid("tenant", error.to_string()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_for_callers_have_a_path() {
        for spec in commands::COMMANDS {
            let found = Operation::find(&format!("{}:{}", spec.collection(), spec.verb));
            match spec.audience {
                Audience::Callers => {
                    assert!(
                        matches!(found, Some(Operation::Command(row)) if (row.noun, row.verb) == (spec.noun, spec.verb))
                    );
                }
                Audience::System => assert!(found.is_none(), "{spec:?}"),
            }
        }
        for spec in queries::QUERIES {
            let found = Operation::find(&format!("{}:{}", spec.view, spec.verb));
            match spec.only {
                None => {
                    assert!(
                        matches!(found, Some(Operation::Query(row)) if (row.view, row.verb) == (spec.view, spec.verb))
                    );
                }
                Some(_) => assert!(found.is_none(), "{}:{}", spec.view, spec.verb),
            }
        }
        assert!(Operation::find("batches:submit").is_some() && Operation::find("batchs:submit").is_none());
        assert!(Operation::find("budget:set").is_none(), "a command is about many");
        assert!(Operation::find("budgets").is_none());
    }
}
