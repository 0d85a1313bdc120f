//! The faces: what the one gateway looks like to those who speak one API. One file a face, and one line in [`ALL`].
//!
//! A face reads its own shapes, passes the door, and renders answers and refusals in its own manner. It must hold no money
//! and no rights.

use std::sync::Arc;

use axum::Router;
use axum::extract::{OriginalUri, Request};
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use futures::future::BoxFuture;
use schemars::SchemaGenerator;
use serde_json::{Map, Value};
use steward_calls::{Calls, Responses};
use steward_ports::clock::Clock;

use crate::config::FileBounds;
use crate::door::Door;
use crate::error::Error;
use crate::observe::Arrival;

mod anthropic;
pub(crate) mod cache_header;
mod management;
mod openai;
mod refusal;
mod summary;

pub(crate) use management::Management;

/// One face.
pub(crate) struct Face {
    /// Where its paths begin: what is unknown there is refused in its manner.
    pub(crate) root: &'static str,
    /// Its paths, whole, each with how it refuses a method.
    pub(crate) routes: fn(&Bundles) -> Router,
    /// Those of them on which most requests come.
    pub(crate) hot: fn(&Bundles) -> Vec<HotRoute>,
    /// How it says no.
    pub(crate) refuse: Refuse,
    /// Its paths, as OpenAPI describes them.
    pub(crate) describe: fn(&mut SchemaGenerator) -> Map<String, Value>,
}

/// A path on which most requests come: looked at first, since a router and its layers cost as much as a call's own work.
pub(crate) struct HotRoute {
    /// The path, whole; for `POST` only.
    pub(crate) path: &'static str,
    /// Answers.
    pub(crate) handle: Box<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>,
}

/// Renders a refusal of the request that arrived so.
pub(crate) type Refuse = fn(&Error, &Arrival) -> Response;

/// What faces are made of. Each takes what it needs.
pub(crate) struct Bundles {
    /// Lets requests in.
    pub(crate) door: Arc<Door>,
    /// Makes model calls.
    pub(crate) calls: Arc<Calls>,
    /// Makes responses, and keeps some.
    pub(crate) responses: Arc<Responses>,
    /// Sends commands and queries.
    pub(crate) management: Arc<Management>,
    /// How long and how large files may be.
    pub(crate) files: FileBounds,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
}

/// All faces.
pub(crate) const ALL: &[Face] = &[management::FACE, openai::FACE, openai::AZURE, anthropic::FACE];

/// In whose manner paths are refused that belong to none.
pub(crate) const ELSEWHERE: &Face = &management::FACE;

/// Refuses an unknown path.
pub(crate) fn no_such_path<S: Clone + Send + Sync + 'static>(refuse: Refuse) -> MethodRouter<S> {
    any(async move |request: Request| refused(request, refuse, Error::NoSuchPath))
}

/// Refuses a method that a path does not take.
pub(crate) fn no_such_method<S: Clone + Send + Sync + 'static>(refuse: Refuse) -> MethodRouter<S> {
    any(async move |request: Request| refused(request, refuse, Error::NoSuchMethod))
}

/// The path may be stripped of what its face begins with; the caller hears all of it.
fn refused(request: Request, refuse: Refuse, error: fn(String) -> Error) -> Response {
    let (parts, _) = request.into_parts();
    let path = parts.extensions.get::<OriginalUri>().map_or(parts.uri.path(), |OriginalUri(uri)| uri.path());
    refuse(&error(path.chars().take(200).collect()), Arrival::of(&parts))
}
