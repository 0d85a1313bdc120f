//! Bounds on what callers may put into events: what is recorded is kept for ever.

use steward_events::event::{OpenHours, QuotaKind};
use steward_events::free_text::is_refused;
use steward_events::rejection::Rejection;
use steward_events::timestamp::{Timestamp, time_zone_exists};

use crate::aggregate::Stamp;

/// The longest reason that is recorded, in bytes.
pub const REASON_BYTES_MAX: usize = 1_000;

/// The most models that a key or a condition names.
pub const MODELS_MAX: usize = 64;

/// Refuses a text longer than `bytes_max`, or with characters that are not seen, other than line breaks and tabs.
pub(crate) fn text(field: &str, text: &str, bytes_max: usize) -> Result<(), Rejection> {
    if text.len() > bytes_max {
        return Err(Rejection::invalid(
            field,
            format!("is {} bytes long; at most {bytes_max} are allowed", text.len()),
        ));
    }
    if let Some(hidden) = text.chars().find(|c| is_refused(*c)) {
        let reason = format!("contains a character that is not seen: {}; leave it out", hidden.escape_unicode());
        return Err(Rejection::invalid(field, reason));
    }
    Ok(())
}

/// Refuses a reason that is too long.
pub(crate) fn reason(reason: &str) -> Result<(), Rejection> {
    text("reason", reason, REASON_BYTES_MAX)
}

/// Refuses a reason that is too long, or says nothing.
pub(crate) fn said(reason: &str) -> Result<(), Rejection> {
    if reason.trim().is_empty() {
        return Err(Rejection::invalid("reason", "say why; it is recorded and shown to others"));
    }
    self::reason(reason)
}

/// Refuses a collection that holds, or would hold, more than `count_max`.
pub fn count(field: &str, count: usize, count_max: usize) -> Result<(), Rejection> {
    if count > count_max {
        return Err(Rejection::invalid(field, format!("would have {count} entries; at most {count_max} are allowed")));
    }
    Ok(())
}

/// Refuses one more of what the tenant has `taken` already, where that is as many as it may have.
pub(crate) fn quota(stamp: &Stamp, quota: QuotaKind, taken: impl FnOnce() -> usize) -> Result<(), Rejection> {
    let Some(limit) = stamp.quotas.limit(quota) else { return Ok(()) };
    let taken = u64::try_from(taken()).unwrap_or(u64::MAX);
    if taken < limit {
        return Ok(());
    }
    Err(Rejection::QuotaExceeded { quota: quota.to_string(), limit, taken })
}

/// Refuses a moment that is not after `at`.
pub(crate) fn future(field: &str, moment: Option<Timestamp>, at: Timestamp) -> Result<(), Rejection> {
    match moment {
        Some(moment) if moment <= at => Err(Rejection::invalid(field, format!("{moment} is not in the future"))),
        _ => Ok(()),
    }
}

/// Refuses a time zone that does not exist.
pub(crate) fn time_zone(name: &str) -> Result<(), Rejection> {
    if time_zone_exists(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(40).collect();
    Err(Rejection::invalid("timezone", format!("{shown:?} is not an IANA time zone such as Europe/Berlin")))
}

/// Refuses hours in a time zone that does not exist.
pub(crate) fn hours(hours: &OpenHours) -> Result<(), Rejection> {
    let known = hours.zone().is_some_and(time_zone_exists);
    let refused = || Rejection::invalid("hours", format!("{hours} names no IANA time zone such as Europe/Berlin"));
    if known { Ok(()) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_be_as_long_as_its_bound() {
        assert_eq!(reason(&"a".repeat(REASON_BYTES_MAX)), Ok(()));
        assert!(reason(&"a".repeat(REASON_BYTES_MAX + 1)).is_err());
        for hidden in ["bell\u{7}", "turned \u{202e}round", "no\u{200b}width", "\u{feff}mark", "\u{9b}31m"] {
            assert!(reason(hidden).is_err(), "{hidden:?}");
        }
        assert_eq!(reason("two\nlines"), Ok(()));
    }

    #[test]
    fn only_time_zones_that_exist() {
        assert_eq!(time_zone("UTC"), Ok(()));
        assert!(time_zone("Europe/Atlantis").is_err());
        assert!(time_zone("").is_err());
    }
}
