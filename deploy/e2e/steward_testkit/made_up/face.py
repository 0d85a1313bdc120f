"""One more face, under `/made-up/`: a file and a line in the list of faces."""

from steward_testkit.source_tree import Growth

PLACES = ("gateway/src/face.rs", "gateway/src/face/")

GREETING = '''//! A made-up face: greets those who are let in.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;
use schemars::SchemaGenerator;
use serde_json::{Map, Value};

use super::{Bundles, Face, no_such_method};
use crate::door::Door;
use crate::error::Error;
use crate::observe::Arrival;

/// The face.
pub(super) const FACE: Face = Face { root: "/made-up/", routes, hot: |_| Vec::new(), refuse, describe };

fn routes(bundles: &Bundles) -> Router {
    Router::new()
        .route("/made-up/greeting", post(greeting))
        .method_not_allowed_fallback(no_such_method(refuse))
        .with_state(Arc::clone(&bundles.door))
}

async fn greeting(State(door): State<Arc<Door>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match door.accept(&parts, body).await {
        Ok(_) => "welcome".into_response(),
        Err(error) => refuse(&error, Arrival::of(&parts)),
    }
}

fn refuse(error: &Error, _: &Arrival) -> Response {
    (StatusCode::BAD_REQUEST, error.to_string()).into_response()
}

fn describe(_: &mut SchemaGenerator) -> Map<String, Value> {
    Map::new()
}
'''


def grow(it: Growth):
    it.create("gateway/src/face/greeting.rs", GREETING)
    it.before("gateway/src/face.rs", "mod management;", "mod greeting;")
    it.replace("gateway/src/face.rs", r"(ALL: &\[Face\] = &\[)", r"\1greeting::FACE, ")
