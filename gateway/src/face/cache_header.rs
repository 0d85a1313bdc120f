//! The headers about kept and shared answers, the same in every face.

use http::{HeaderMap, HeaderValue, header};
use steward_calls::{CacheUse, CallSummary};

/// The header by which a caller asks for an answer of its own, and is told what became of its call.
const CACHE: &str = "x-steward-cache";

/// True if the caller wants no answer that another call got.
pub(crate) fn wants_anew(headers: &HeaderMap) -> bool {
    headers.get_all(CACHE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"bypass"))
}

/// Says what kept and shared answers had to do with a call; nothing where the model has none.
pub(super) fn say(headers: &mut HeaderMap, summary: &CallSummary) {
    let Some(used) = summary.cache else { return };
    headers.insert(CACHE, HeaderValue::from_static(used.as_str()));
    if let CacheUse::Hit { age } | CacheUse::Similar { age, .. } = used {
        headers.insert(header::AGE, HeaderValue::from(age.as_secs()));
    }
    if let CacheUse::Similar { score, .. } | CacheUse::WouldHit { score } = used {
        // Digits and a point.
        if let Ok(score) = HeaderValue::try_from(score.to_string()) {
            headers.insert("x-steward-cache-score", score);
        }
    }
}
