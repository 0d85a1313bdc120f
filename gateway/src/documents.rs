//! What is served, described for machines: `/openapi.json` and `/asyncapi.json`.

use std::sync::LazyLock;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

mod asyncapi;
mod openapi;
pub(crate) mod refusals;

pub use asyncapi::asyncapi;
pub use openapi::openapi;

/// The paths.
pub(crate) fn routes() -> Router {
    Router::new().route("/openapi.json", get(serve_openapi)).route("/asyncapi.json", get(serve_asyncapi))
}

async fn serve_openapi() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi().to_string());
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

async fn serve_asyncapi() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| asyncapi().to_string());
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// Makes schemas that refer to each other within such a document.
fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings.into_generator()
}

/// What both documents say of the API.
fn info() -> Value {
    json!({
        "title": "Steward",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "A company's gateway to models: who may call what, at which cost, with a log that proves it.",
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    })
}
