//! What a notice may hold: it is recorded for ever, and goes into messages of several forms.

use steward_events::event::Notice;
use steward_events::rejection::Rejection;

use crate::limit;

/// The longest title, text and field of a notice, in bytes.
const TITLE_BYTES_MAX: usize = 300;
const TEXT_BYTES_MAX: usize = 2_000;
const FIELD_BYTES_MAX: usize = 500;

/// The most fields of a notice.
const FIELDS_MAX: usize = 16;

/// Refuses a notice that would not fit into the log or into a message.
pub(super) fn check(notice: &Notice) -> Result<(), Rejection> {
    limit::text("notice.title", &notice.title, TITLE_BYTES_MAX)?;
    limit::text("notice.text", &notice.text, TEXT_BYTES_MAX)?;
    limit::text("notice.about", &notice.about, TITLE_BYTES_MAX)?;
    limit::text("notice.act", notice.act.as_deref().unwrap_or_default(), TITLE_BYTES_MAX)?;
    limit::count("notice.fields", notice.fields.len(), FIELDS_MAX)?;
    for (name, value) in &notice.fields {
        limit::text("notice.fields", name, FIELD_BYTES_MAX)?;
        limit::text("notice.fields", value, FIELD_BYTES_MAX)?;
    }
    Ok(())
}
