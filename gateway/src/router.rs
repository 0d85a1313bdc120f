//! What is served where.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;

use crate::documents;
use crate::face::{self, Bundles};
use crate::observe::{Observer, observe};
use crate::probes::{self, Probes};

/// All paths. What is unknown is refused in the manner of the face that it would belong to.
pub(crate) fn router(bundles: &Bundles, probes: &Probes, observer: Observer) -> Router {
    let elsewhere = face::ELSEWHERE.refuse;
    let own = probes::routes(probes, &bundles.door, elsewhere).merge(documents::routes());
    let mut router = own.method_not_allowed_fallback(face::no_such_method(elsewhere));
    for face in face::ALL {
        let unknown = Router::new().fallback(face::no_such_path(face.refuse));
        router = router.merge((face.routes)(bundles)).nest(face.root, unknown);
    }
    router.fallback(face::no_such_path(elsewhere)).layer(from_fn_with_state(Arc::new(observer), observe))
}
