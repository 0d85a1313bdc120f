//! What a caller is told of a provider's failure. Providers know nothing of it.

use std::time::Duration;

use http::StatusCode;
use steward_events::id::ProviderId;

use crate::error::Error;
use crate::upstream::{Billed, Cause, Failure, Refused};

/// The words for the caller.
pub(super) fn told(failure: Failure, provider: &ProviderId) -> Error {
    match failure.cause {
        Cause::Refused(refused) if refused.is_about_the_request() => {
            let Refused { status, message, code, param, .. } = refused;
            let message = message.unwrap_or_else(|| format!("provider {provider} answered {status}"));
            Error::UpstreamRefused { status, message, code, param }
        }
        Cause::Refused(Refused { status, retry_after, .. }) if status == StatusCode::TOO_MANY_REQUESTS => Error::Busy {
            reason: format!("provider {provider} answered {status}"),
            retry_after: retry_after.unwrap_or(Duration::from_secs(1)),
        },
        Cause::Refused(Refused { status, .. }) if failure.billed == Billed::Possibly => {
            Error::UpstreamTimedOut(format!("provider {provider} answered {status}"))
        }
        Cause::Refused(Refused { status, .. }) => {
            Error::UpstreamFailed(format!("provider {provider} answered {status}"))
        }
        Cause::Unreachable(why) => Error::UpstreamFailed(format!("provider {provider} cannot be reached: {why}")),
        Cause::TimedOut(what) => Error::UpstreamTimedOut(format!("provider {provider}: {what}")),
        Cause::Broke(why) => Error::UpstreamBroke(format!("provider {provider}: {why}")),
    }
}
