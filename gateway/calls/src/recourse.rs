//! What can be done about a failed attempt, and whether its target is to blame.

use std::time::Duration;

use http::StatusCode;
use steward_events::event::RefusedFor;
use steward_events::timestamp::Timestamp;

use crate::dialect::Refused;
use crate::upstream::{Billed, Cause, Failure};

/// What can be done about a failed attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recourse {
    /// Another target can do better.
    pub(crate) elsewhere: bool,
    /// The same target may do better soon; within, when it wants to be asked.
    pub(crate) again: Option<Option<Duration>>,
    /// It was refused for what the request is, which another model may take.
    pub(crate) refused_for: Option<RefusedFor>,
}

/// Whose fault a failed attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The target's; within, how long it wants to be left alone, if it said so.
    Target(Option<Duration>),
    /// The request's: the target does what it should.
    Request,
    /// Nobody's, as far as is known.
    Unknown,
}

impl Failure {
    /// What can be done about it: nothing if it may have been billed.
    pub(crate) fn recourse(&self, now: Timestamp) -> Recourse {
        if self.billed != Billed::No {
            return Recourse::default();
        }
        let elsewhere = Recourse { elsewhere: true, ..Recourse::default() };
        match &self.cause {
            Cause::Refused(refused) => Recourse {
                elsewhere: !refused.is_about_the_request(),
                again: may_pass_soon(refused).then(|| refused.ask_again.map(|again| again.wait(now))),
                refused_for: refused_for(refused),
            },
            Cause::Unreachable(_) => Recourse { again: Some(None), ..elsewhere },
            Cause::Unfit(_) | Cause::Untranslatable { .. } => elsewhere,
            Cause::TimedOut(_) | Cause::Broke(_) => Recourse::default(),
        }
    }

    /// Whose fault it is. A caller can bring about a refusal of any request of its own, and must not have a target of others
    /// left alone by that: only what no request can be to blame for counts against the target.
    pub(crate) fn blame(&self, now: Timestamp) -> Blame {
        match &self.cause {
            Cause::Unreachable(_) | Cause::TimedOut(_) | Cause::Broke(_) => Blame::Target(None),
            Cause::Unfit(_) | Cause::Untranslatable { .. } => Blame::Unknown,
            Cause::Refused(refused) => match refused.status {
                StatusCode::TOO_MANY_REQUESTS => Blame::Target(refused.ask_again.map(|again| again.wait(now))),
                StatusCode::UNAUTHORIZED | StatusCode::REQUEST_TIMEOUT => Blame::Target(None),
                status if refused.out_of_credit || status.is_server_error() => Blame::Target(None),
                _ if refused.is_about_the_request() => Blame::Request,
                _ => Blame::Unknown,
            },
        }
    }
}

/// True if the same request may be taken a moment later.
fn may_pass_soon(refused: &Refused) -> bool {
    !refused.out_of_credit && matches!(refused.status.as_u16(), 429 | 500 | 502 | 503 | 529)
}

/// What a refusal is for, by the words in which providers say so: there is no status for it.
fn refused_for(refused: &Refused) -> Option<RefusedFor> {
    const LENGTH: &[&str] = &[
        "context_length",
        "context length",
        "maximum context",
        "context window",
        "prompt is too long",
        "input is too long",
        "input token count",
        "too many input tokens",
        "too many tokens",
        "string_above_max_length",
    ];
    const FILTER: &[&str] = &[
        "content_filter",
        "content filter",
        "content_policy",
        "content policy",
        "content management policy",
        "moderation_blocked",
        "responsible ai policy",
        "flagged by",
    ];
    if !matches!(refused.status.as_u16(), 400 | 403 | 413 | 422) {
        return None;
    }
    let said =
        [refused.code.as_deref(), refused.message.as_deref()].map(|said| said.unwrap_or_default().to_lowercase());
    let says = |words: &[&str]| words.iter().any(|word| said.iter().any(|said| said.contains(word)));
    if says(LENGTH) || refused.status == StatusCode::PAYLOAD_TOO_LARGE {
        Some(RefusedFor::ContextLength)
    } else {
        says(FILTER).then_some(RefusedFor::ContentFilter)
    }
}

#[cfg(test)]
mod tests {
    use steward_answers::problem::Problem;
    use steward_answers::retry_after::AskAgain;

    use super::*;

    const NOW: Timestamp = Timestamp(0);

    fn refused(status: u16, body: &str) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        Failure::refused(Refused::telling(status, Problem::of_refusal(body.as_bytes())))
    }

    fn what_for(status: u16, body: &str) -> Option<RefusedFor> {
        refused(status, body).recourse(NOW).refused_for
    }

    #[test]
    fn providers_words_for_length_and_filter_are_known() {
        for body in [
            r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#,
            r#"{"error":{"message":"This model's maximum context length is 10 tokens. You asked for 11."}}"#,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 11 tokens > 10 maximum"}}"#,
            r#"{"error":{"code":400,"message":"The input token count (11) exceeds the maximum number of tokens allowed (10)."}}"#,
        ] {
            assert_eq!(what_for(400, body), Some(RefusedFor::ContextLength), "{body}");
        }
        for body in [
            r#"{"error":{"message":"no","code":"content_filter"}}"#,
            r#"{"error":{"message":"no","code":"content_policy_violation"}}"#,
            r#"{"error":{"message":"It was stopped by our Content Management Policy."}}"#,
        ] {
            assert_eq!(what_for(400, body), Some(RefusedFor::ContentFilter), "{body}");
        }
        assert_eq!(what_for(413, ""), Some(RefusedFor::ContextLength));
        assert_eq!(what_for(400, r#"{"error":{"message":"there is no such field"}}"#), None);
        assert_eq!(what_for(500, r#"{"error":{"code":"context_length_exceeded"}}"#), None, "a failure of its own");
    }

    #[test]
    fn only_what_was_certainly_not_billed_is_asked_again() {
        let again = |failure: Failure| failure.recourse(NOW).again;
        for status in [429, 500, 502, 503, 529] {
            assert_eq!(again(refused(status, "")), Some(None), "{status}");
        }
        for status in [400, 401, 402, 403, 404, 408, 422, 501, 504] {
            assert_eq!(again(refused(status, "")), None, "{status}");
        }
        assert_eq!(again(Failure::unbilled(Cause::Unreachable("refused".to_owned()))), Some(None));
        for failure in [
            Failure::unbilled(Cause::Unfit("no key".to_owned())),
            Failure::possibly(Cause::Broke("cut".to_owned())),
            Failure::possibly(Cause::TimedOut("late")),
            refused(429, r#"{"error":{"code":"insufficient_quota"}}"#),
        ] {
            assert_eq!(again(failure), None);
        }
    }

    #[test]
    fn a_caller_can_not_have_a_target_left_alone() {
        for status in [400, 413, 415, 422] {
            assert_eq!(refused(status, "").blame(NOW), Blame::Request, "{status}");
        }
        for status in [403, 404, 409] {
            assert_eq!(refused(status, "").blame(NOW), Blame::Unknown, "{status}");
        }
        assert_eq!(Failure::unbilled(Cause::Unfit(String::new())).blame(NOW), Blame::Unknown);
        for status in [401, 402, 408, 429, 500, 503, 504] {
            assert_eq!(refused(status, "").blame(NOW), Blame::Target(None), "{status}");
        }
        let wait = Duration::from_secs(7);
        let busy = Refused { ask_again: Some(AskAgain::In(wait)), ..Refused::of(StatusCode::TOO_MANY_REQUESTS) };
        assert_eq!(Failure::refused(busy).blame(NOW), Blame::Target(Some(wait)));
    }
}
