//! Reads bodies: no longer and no slower than configured, as far as there is memory for them.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use steward_calls::BodyMemory;

use crate::error::Error;

/// The bounds of one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyBounds {
    pub(crate) bytes_max: usize,
    pub(crate) time_max: Duration,
}

/// Reads `body`, and takes `memory` for what has come of it: what a client says will come may never do so.
pub(crate) async fn read(body: Body, bounds: BodyBounds, memory: &mut BodyMemory) -> Result<Bytes, Error> {
    let said = usize::try_from(hyper::body::Body::size_hint(&body).lower()).unwrap_or(usize::MAX);
    if said > bounds.bytes_max {
        return Err(Error::TooLarge(bounds.bytes_max));
    }
    // At once, before it comes: a client that says how much it is need not send it in vain.
    memory.would_fit(said)?;
    let reading = collect(body, bounds.bytes_max, memory);
    tokio::time::timeout(bounds.time_max, reading).await.unwrap_or(Err(Error::TooSlow))
}

/// Puts the pieces of `body` together.
async fn collect(mut body: Body, bytes_max: usize, memory: &mut BodyMemory) -> Result<Bytes, Error> {
    let mut whole = Bytes::new();
    let mut pieces = BytesMut::new();
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| steward_calls::Error::BadRequest {
            param: None,
            message: format!("the body broke off: {error}"),
        })?;
        let Ok(piece) = frame.into_data() else { continue };
        length += piece.len();
        if length > bytes_max {
            return Err(Error::TooLarge(bytes_max));
        }
        memory.grow(piece.len())?;
        // Most bodies come in one piece, which needs no copy.
        if whole.is_empty() && pieces.is_empty() {
            whole = piece;
        } else {
            pieces.extend_from_slice(&std::mem::take(&mut whole));
            pieces.extend_from_slice(&piece);
        }
    }
    Ok(if pieces.is_empty() { whole } else { pieces.freeze() })
}
