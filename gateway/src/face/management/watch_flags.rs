//! Waits until a caller's feature flags are others than it has seen: `GET /api/v1/tenants/{tenant}/flags/watch`.
//!
//! One request waits for one change and is answered from what this gateway follows live, so nothing is asked of anybody; each
//! request finds the key anew, so it waits no longer than the key holds. It must not know how a flag is decided.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use http::header;
use schemars::JsonSchema;
use serde::Serialize;
use steward_calls::Taker;
use steward_events::digest::CommitHash;
use steward_events::id::{FlagId, PrincipalId};

use super::{Management, read_tenant, refusal};
use crate::error::Error;
use crate::observe::Arrival;

/// How long a request waits that does not say it.
const WAIT: u64 = 25;

/// The longest that one waits.
pub(super) const WAIT_MAX: u64 = 30;

/// What is asked.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// The version that the caller has; it is answered at once if it has none.
    after: Option<String>,
    /// How many seconds to wait.
    wait_s: Option<u64>,
}

/// The caller's flags.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Watched {
    /// For whom.
    principal: PrincipalId,
    /// Each flag, on or off. A flag that is not set is not named: take it for off.
    flags: BTreeMap<FlagId, bool>,
    /// To be given as `after` next time.
    version: String,
}

impl Watched {
    fn new(principal: PrincipalId, flags: Vec<(FlagId, bool)>) -> Self {
        let flags: BTreeMap<FlagId, bool> = flags.into_iter().collect();
        let text = format!("{principal} {flags:?}");
        let version = CommitHash::of(text.as_bytes()).to_string().chars().take(16).collect();
        Self { principal, flags, version }
    }
}

pub(super) async fn watch(
    State(management): State<Arc<Management>>,
    Path(tenant): Path<String>,
    Query(asked): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let answered = async {
        let key = management.door.authenticate(&parts).await?;
        let tenant = read_tenant(&tenant)?;
        let asked = read(asked)?;
        let _permit = management.watches.enter(&Taker::from(&*key.holder))?;
        let seen = |flags: &[(FlagId, bool)]| {
            let now = Watched::new(key.holder.principal.clone(), flags.to_vec());
            asked.after.as_deref() == Some(now.version.as_str())
        };
        let wait = Duration::from_secs(asked.wait_s.unwrap_or(WAIT).min(WAIT_MAX));
        let flags = management.access.flags_unless(&key, &tenant, seen, wait).await?;
        let body = serde_json::to_vec(&Watched::new(key.holder.principal.clone(), flags));
        body.map_err(|error| Error::unavailable(error.to_string()))
    };
    match answered.await {
        Ok(body) => {
            let mut response = Response::new(body.into());
            let json = http::HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
        Err(error) => refusal::refuse(&error, Arrival::of(&parts)),
    }
}

/// What the URL says; anything else is refused by name.
fn read(fields: Vec<(String, String)>) -> Result<Asked, Error> {
    let mut asked = Asked::default();
    for (name, value) in fields {
        match name.as_str() {
            "after" => asked.after = Some(value),
            "wait_s" => {
                let seconds = value.parse().map_err(|_| Error::bad("wait_s", "is a number of seconds"))?;
                asked.wait_s = Some(seconds);
            }
            _ => return Err(Error::bad("query", "has only after and wait_s")),
        }
    }
    Ok(asked)
}
