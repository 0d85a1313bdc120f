//! Contexts that were read before: the calls of a journal mostly share one, commit after commit.
//!
//! A context is found by all of its bytes, so what is found is what reading them again would give.

use std::sync::LazyLock;

use quick_cache::sync::Cache;

use crate::event::CallContext;
use crate::request::msgpack;
use crate::shared::Shared;

/// How many are kept; others are read again.
const KEPT_MAX: usize = 1_024;

/// The longest that is kept, in bytes. Names of usual length come to 250.
const BYTES_MAX: usize = 1_024;

static KEPT: LazyLock<Cache<Box<[u8]>, Shared<CallContext>>> = LazyLock::new(|| Cache::new(KEPT_MAX));

/// The context that these bytes say; none if they say no context.
pub(super) fn read(bytes: &[u8]) -> Option<Shared<CallContext>> {
    if let Some(known) = KEPT.get(bytes) {
        return Some(known);
    }
    let context: Shared<CallContext> = msgpack::read_part(bytes).ok()?;
    if bytes.len() <= BYTES_MAX {
        KEPT.insert(bytes.into(), context.clone());
    }
    Some(context)
}
