//! What is served where.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use http::Method;
use tower::ServiceExt;

use crate::documents;
use crate::face::{self, Bundles, HotRoute};
use crate::observe::{Observer, observe, observe_matched};
use crate::probes::{self, Probes};

/// All paths.
#[derive(Clone)]
pub(crate) struct Routes {
    hot: Arc<Vec<HotRoute>>,
    router: Router,
    observer: Arc<Observer>,
}

impl Routes {
    /// All faces, probes and documents. What is unknown is refused in the manner of the face that it would belong to.
    pub(crate) fn new(bundles: &Bundles, probes: &Probes, observer: Observer) -> Self {
        let observer = Arc::new(observer);
        let elsewhere = face::ELSEWHERE.refuse;
        let own = probes::routes(probes, &bundles.door, elsewhere).merge(documents::routes());
        let mut router = own.method_not_allowed_fallback(face::no_such_method(elsewhere));
        for face in face::ALL {
            let unknown = Router::new().fallback(face::no_such_path(face.refuse));
            router = router.merge((face.routes)(bundles)).nest(face.root, unknown);
        }
        let observing = from_fn_with_state(Arc::clone(&observer), observe_matched);
        let hot = face::ALL.iter().flat_map(|face| (face.hot)(bundles)).collect();
        Self { hot: Arc::new(hot), router: router.fallback(face::no_such_path(elsewhere)).layer(observing), observer }
    }

    /// Answers `request`.
    pub(crate) fn answer(&self, request: Request) -> impl Future<Output = Response> + Send + use<> {
        let routes = self.clone();
        async move {
            let is_hot = |hot: &&HotRoute| request.method() == Method::POST && request.uri().path() == hot.path;
            match routes.hot.iter().find(is_hot) {
                Some(hot) => observe(&routes.observer, hot.path, request, &hot.handle).await,
                None => routes.router.oneshot(request).await.unwrap_or_else(|never| match never {}),
            }
        }
    }
}
