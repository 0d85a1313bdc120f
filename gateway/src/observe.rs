//! What every request gets, whatever it asks for: an id, a span, its time and its count.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use http::request::Parts;
use steward_authority::KeyHolder;
use steward_events::event::DenialKind;
use steward_events::id::{CorrelationId, PrincipalId, TenantId};
use steward_events::ids::Ids;
use steward_events::permission::Permission;
use steward_events::scope::Scope;
use steward_ports::clock::Clock;
use steward_ports::notes::{By, Note, Notes, What};
use tracing::Instrument;

use crate::metrics::Metrics;
use crate::serve::Peer;
use crate::trace;

/// What is needed to observe.
pub(crate) struct Observer {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) metrics: Metrics,
    pub(crate) notes: Notes,
}

/// A refusal, as it is noted: a part of the answer that stays here.
#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) kind: DenialKind,
    pub(crate) permission: Option<Permission>,
    pub(crate) scope: Option<Scope>,
    pub(crate) reason: String,
}

/// Who a request came from, once their key is known.
#[derive(Debug)]
struct Caller {
    tenant: TenantId,
    principal: PrincipalId,
}

/// A request as it came in.
#[derive(Clone)]
pub(crate) struct Arrival {
    /// Its id: in every answer, in the log as correlation.
    pub(crate) id: CorrelationId,
    /// When, by the monotonic clock.
    pub(crate) at: Duration,
    caller: Arc<OnceLock<Caller>>,
}

impl Arrival {
    pub(crate) fn new(id: CorrelationId, at: Duration) -> Self {
        Self { id, at, caller: Arc::default() }
    }

    /// Remembers who it comes from.
    pub(crate) fn comes_from(&self, holder: &KeyHolder) {
        let KeyHolder { tenant, principal, .. } = holder;
        // It has one key.
        let _ = self.caller.set(Caller { tenant: tenant.clone(), principal: principal.clone() });
    }

    /// The one that [`observe`] gave.
    pub(crate) fn of(parts: &Parts) -> &Self {
        // The middleware stands before every route.
        #[allow(clippy::expect_used)]
        parts.extensions.get::<Self>().expect("every request has its id")
    }
}

impl Observer {
    /// Who was refused: by their key, else by their address, which is the operators' matter.
    fn note(&self, denied: &Denied, arrival: &Arrival, peer: Option<Peer>) {
        let Denied { kind, permission, scope, reason } = denied;
        let (tenant, by) = match (arrival.caller.get(), peer) {
            (Some(Caller { tenant, principal }), _) => (tenant.clone(), By::Principal(principal.clone())),
            (None, Some(Peer(address))) => (TenantId::steward(), By::Address(address)),
            (None, None) => (TenantId::steward(), By::Many),
        };
        self.notes.note(Note {
            tenant,
            by,
            what: What::Denial(*kind),
            permission: permission.clone(),
            scope: scope.clone(),
            text: reason.clone(),
            correlation: Some(arrival.id.clone()),
        });
    }
}

/// The same as a layer of a router, for all that it matched.
pub(crate) async fn observe_matched(State(observer): State<Arc<Observer>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    observe(&observer, route, request, |request| next.run(request)).await
}

/// Gives the request its id, times it and counts it, as one of `route`, which `next` answers.
pub(crate) async fn observe<F: Future<Output = Response>>(
    observer: &Observer,
    route: &str,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let at = observer.clock.monotonic();
    let id = request_id(&*observer.ids, &request);
    let (arrival, peer) = (Arrival::new(id.clone(), at), request.extensions().get::<Peer>().copied());
    request.extensions_mut().insert(arrival.clone());
    let span = trace::request(request.method().as_str(), route, &id);
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    steward_ports::trace::follow(&span, traceparent);
    let mut response = next(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    if let Some(denied) = response.extensions().get::<Arc<Denied>>() {
        observer.note(denied, &arrival, peer);
    }
    let took = observer.clock.monotonic().saturating_sub(at);
    observer.metrics.answered(route, response.status().as_u16());
    tracing::debug!(
        parent: &span,
        http.route = route,
        http.response.status_code = response.status().as_u16(),
        request.id = %id,
        duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "answered"
    );
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// The caller's, if it belongs to a chain already; else a new one.
fn request_id(ids: &dyn Ids, request: &Request) -> CorrelationId {
    let given = request.headers().get("steward-correlation").and_then(|value| value.to_str().ok()?.parse().ok());
    given.unwrap_or_else(|| {
        // Prefix and unique part are tokens.
        #[allow(clippy::expect_used)]
        CorrelationId::new(format!("req_{}", ids.unique())).expect("a unique id is a token")
    })
}
