//! What a caller is told of a provider's failure. Providers know nothing of it.

use std::time::Duration;

use http::StatusCode;
use steward_events::id::ProviderId;
use steward_events::timestamp::Timestamp;

use crate::error::Error;
use crate::upstream::{Billed, Cause, Failure, Refused};

/// The words for the caller.
pub(super) fn told(failure: Failure, provider: &ProviderId, now: Timestamp) -> Error {
    match failure.cause {
        Cause::Refused(Refused { out_of_credit: true, .. }) => Error::UpstreamOutOfCredit(format!(
            "provider {provider} has no credit left for its account: whoever pays it must add some; do not try again before"
        )),
        Cause::Refused(Refused { status, ask_again, message, as_answer, .. })
            if status == StatusCode::TOO_MANY_REQUESTS =>
        {
            let said = message
                .filter(|_| as_answer)
                .map_or_else(|| status.to_string(), |message| format!("{status}: {message}"));
            let retry_after = ask_again.map_or(Duration::from_secs(1), |again| again.wait(now));
            Error::Busy { reason: format!("provider {provider} answered {said}"), retry_after }
        }
        Cause::Refused(refused) if refused.is_about_the_request() || refused.as_answer => {
            let Refused { status, message, code, param, .. } = refused;
            let message = message.unwrap_or_else(|| format!("provider {provider} answered {status}"));
            Error::UpstreamRefused { status, message, code, param }
        }
        Cause::Refused(Refused { status, .. }) if failure.billed == Billed::Possibly => {
            Error::UpstreamTimedOut(format!("provider {provider} answered {status}"))
        }
        Cause::Refused(Refused { status, .. }) => {
            Error::UpstreamFailed(format!("provider {provider} answered {status}"))
        }
        Cause::Unreachable(why) | Cause::Unfit(why) => {
            Error::UpstreamFailed(format!("provider {provider} cannot be reached: {why}"))
        }
        Cause::TimedOut(what) => Error::UpstreamTimedOut(format!("provider {provider}: {what}")),
        Cause::Untranslatable { param, message } => Error::BadRequest { param, message },
        Cause::Broke(why) => Error::UpstreamBroke(format!("provider {provider}: {why}")),
    }
}
