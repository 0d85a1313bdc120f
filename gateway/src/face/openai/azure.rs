//! The same API as Azure places it: below `/openai/v1`, and below a deployment, whose name is the model's here. Every
//! `api-version` is taken: what is spoken is what the upstream speaks.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::routing::{get, post};
use schemars::SchemaGenerator;
use serde_json::{Map, Value};

use super::calls::CALLS;
use super::{OpenAi, describe, models, paths_below, refusal, state};
use crate::face::{Bundles, Face, no_such_method};

/// The face.
pub(in crate::face) const FACE: Face =
    Face { root: "/openai/", routes, hot: |_| Vec::new(), refuse: refusal::refuse, describe: paths };

/// Where a deployment is.
const DEPLOYMENT: &str = "/openai/deployments/{model}";

fn routes(bundles: &Bundles) -> Router {
    let mut router = paths_below("/openai/v1").route("/openai/models", get(models));
    for call in CALLS.iter().filter(|call| call.deployed) {
        let handle = async move |State(face): State<Arc<OpenAi>>, Path(model): Path<String>, request: Request| {
            face.call(call, Some(&model), request).await
        };
        router = router.route(&format!("{DEPLOYMENT}{}", call.path), post(handle));
    }
    router.method_not_allowed_fallback(no_such_method(refusal::refuse_known_path)).with_state(state(bundles))
}

fn paths(_: &mut SchemaGenerator) -> Map<String, Value> {
    let mut paths = describe::below("/openai/v1");
    paths.insert("/openai/models".to_owned(), describe::models());
    for call in CALLS.iter().filter(|call| call.deployed) {
        paths.insert(format!("{DEPLOYMENT}{}", call.path), describe::deployed(call));
    }
    paths
}
