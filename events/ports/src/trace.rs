//! The W3C trace context of the current span, without naming the tracing back end: the binary installs one.
//!
//! Until it does, there is no context to send, and what is received is not followed.

use std::sync::OnceLock;

use tracing::Span;

/// How the installed back end reads and sets a span's trace context.
#[derive(Clone, Copy, Debug)]
pub struct Propagation {
    /// The current span's context, as a `traceparent` header.
    pub current: fn() -> Option<String>,
    /// Makes a span, not yet entered, a child of what a `traceparent` header says. Hostile text is ignored.
    pub follow: fn(&Span, &str),
    /// True if spans go to somebody who looks at them, and not only into log lines.
    pub recorded: bool,
}

static INSTALLED: OnceLock<Propagation> = OnceLock::new();

/// Installs the back end. The first one stays.
pub fn install(propagation: Propagation) {
    let _ = INSTALLED.set(propagation);
}

/// True if spans go to somebody who looks at them: only then are they worth more than what log lines say of them.
pub fn is_recorded() -> bool {
    INSTALLED.get().is_some_and(|installed| installed.recorded)
}

/// What to send as `traceparent`.
pub fn current_traceparent() -> Option<String> {
    INSTALLED.get().and_then(|installed| (installed.current)())
}

/// Makes `span`, not yet entered, a child of the `traceparent` received, if there is one.
pub fn follow(span: &Span, traceparent: Option<&str>) {
    if let (Some(installed), Some(traceparent)) = (INSTALLED.get(), traceparent) {
        (installed.follow)(span, traceparent);
    }
}
