//! An error, in whatever public shape it is told.

use crate::json::{Json, Object};
use crate::retry_after::AskAgain;

/// Characters of a provider's own words that are kept.
const WORDS_MAX: usize = 2_000;
/// Problems of a list that are told.
const PROBLEMS_MAX: usize = 8;

/// What went wrong, in the words of who says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// What.
    pub message: Option<String>,
    /// A word for it.
    pub code: Option<String>,
    /// The kind of error.
    pub kind: Option<String>,
    /// The field that is to blame.
    pub param: Option<String>,
    /// The HTTP status that it names.
    pub status: Option<u16>,
    /// When to come back, where that stands in the body: Google says it so (`google.rpc.RetryInfo`).
    pub ask_again: Option<AskAgain>,
}

impl Problem {
    /// The problem that the body of a refusal tells. It may be cut off.
    pub fn of_refusal(body: &[u8]) -> Self {
        let json = Json::begun(body);
        if !json.is_object() {
            return json
                .text()
                .map(|message| Self { message: Some(short(&message)), ..Self::default() })
                .unwrap_or_default();
        }
        Self::told(&json.object()).unwrap_or_else(|| Self::flat(json))
    }

    /// The problem that stands where an answer, or a piece of one, was expected; none if it is an answer.
    pub fn instead_of_answer(json: &Object<'_>) -> Option<Self> {
        if let Some(problem) = Self::told(json) {
            return Some(problem);
        }
        let names_itself = ["object", "type"].iter().any(|name| json.get(name).is_some_and(|word| word.is("error")));
        let is_answer = json.get("choices").is_some() || json.said("usage").is_some();
        let is_flat = ["detail", "message"].iter().any(|name| json.get(name).is_some_and(|said| !said.is_nothing()));
        (names_itself || (!is_answer && is_flat)).then(|| Self::flat(json.whole()))
    }

    /// Under `error`, unless that says that nothing is wrong.
    fn told(json: &Object<'_>) -> Option<Self> {
        let error = json.get("error").filter(|error| !error.is_nothing())?;
        if error.is_object() {
            return Some(Self::flat(error));
        }
        let around = Self::flat(json.whole());
        let message = error.text().map(|text| short(&text)).or(around.message);
        Some(Self { message, ..around })
    }

    /// Fields of an object. A `code` that is a number is a status, not a word.
    fn flat(json: Json<'_>) -> Self {
        let text = |name: &str| Some(short(&json.get(name)?.text()?)).filter(|text| !text.is_empty());
        let status = |name: &str| Some(json.said(name)?.count()?).and_then(status_of);
        let code = text("code").filter(|code| code.parse::<u64>().is_err());
        let (listed, place) = json.get("detail").map(detail).unwrap_or_default();
        Self {
            message: text("message").or_else(|| text("msg")).or(listed).or_else(|| text("error_description")),
            code,
            kind: text("type"),
            param: text("param").or(place),
            status: status("code").or_else(|| status("status")).or_else(|| status("status_code")),
            ask_again: json.get("details").and_then(retry_info),
        }
    }

    /// True if the account that pays the provider has nothing left: asking again does not help until somebody pays.
    pub fn is_out_of_credit(&self) -> bool {
        const WORDS: &[&str] = &[
            "insufficient_quota",
            "insufficient_balance",
            "insufficient_credit",
            "insufficient_funds",
            "exceeded_current_quota",
            "billing_hard_limit",
            "billing_not_active",
            "credit_balance",
            "out_of_credit",
            "no_credit",
            "billing_error",
        ];
        let names_it = |said: &Option<String>| {
            let said = said.as_deref().unwrap_or_default().to_ascii_lowercase().replace([' ', '-'], "_");
            WORDS.iter().any(|word| said.contains(word))
        };
        // Anthropic has no word for it but these.
        let says_it = self.message.as_deref().is_some_and(|said| said.starts_with("Your credit balance is too low"));
        names_it(&self.code) || names_it(&self.kind) || says_it
    }
}

/// `detail`: a text, an object with a message, or a list of problems, each with what is wrong and where.
fn detail(detail: Json<'_>) -> (Option<String>, Option<String>) {
    if let Some(text) = detail.text() {
        return (Some(short(&text)), None);
    }
    if detail.is_object() {
        let inner = Problem::flat(detail);
        return (inner.message, inner.param);
    }
    let mut place = None;
    let mut told = Vec::new();
    for problem in detail.items().take(PROBLEMS_MAX) {
        let Some(message) = problem.text().or_else(|| problem.get("msg").or_else(|| problem.get("message"))?.text())
        else {
            continue;
        };
        let at = problem.get("loc").map(|loc| {
            let parts =
                loc.items().filter_map(|part| part.text().or_else(|| part.count().map(|number| number.to_string())));
            parts.skip_while(|part| part == "body").collect::<Vec<_>>().join(".")
        });
        let at = at.filter(|at| !at.is_empty());
        told.push(at.as_ref().map_or_else(|| message.clone(), |at| format!("{at}: {message}")));
        place = place.or(at);
    }
    ((!told.is_empty()).then(|| short(&told.join("; "))), place)
}

/// Of a list of details the one that says when to come back.
fn retry_info(details: Json<'_>) -> Option<AskAgain> {
    details.items().take(PROBLEMS_MAX).find_map(|detail| AskAgain::after(&detail.get("retryDelay")?.text()?))
}

fn status_of(code: u64) -> Option<u16> {
    u16::try_from(code).ok().filter(|status| (400..600).contains(status))
}

fn short(text: &str) -> String {
    text.chars().take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> (Option<String>, Option<String>, Option<String>, Option<u16>) {
        let Problem { message, code, param, status, .. } = Problem::of_refusal(body.as_bytes());
        (message, code, param, status)
    }

    #[test]
    fn every_public_shape_is_read() {
        let text = |text: &str| Some(text.to_owned());
        for (body, expected) in [
            (r#"{"error":{"message":"m","type":"t","param":"p","code":"c"}}"#, (text("m"), text("c"), text("p"), None)),
            (r#"{"error":"m"}"#, (text("m"), None, None, None)),
            (r#"{"error":"m","code":"c"}"#, (text("m"), text("c"), None, None)),
            (r#"{"error":true,"message":"m"}"#, (text("m"), None, None, None)),
            (
                r#"{"object":"error","message":"m","param":"messages","code":400}"#,
                (text("m"), None, text("messages"), Some(400)),
            ),
            (r#"{"detail":"m"}"#, (text("m"), None, None, None)),
            (r#"{"detail":{"message":"m","param":"p"}}"#, (text("m"), None, text("p"), None)),
            (
                r#"{"detail":[{"loc":["body","messages",0,"role"],"msg":"m"},{"msg":"n"}]}"#,
                (text("messages.0.role: m; n"), None, text("messages.0.role"), None),
            ),
            (r#"{"error":{"message":"m","code":"429"}}"#, (text("m"), None, None, Some(429))),
            (r#""m""#, (text("m"), None, None, None)),
            (r#"{"error":{"message":"m","echo":"xxx"#, (text("m"), None, None, None)),
            ("<html>", (None, None, None, None)),
            ("", (None, None, None, None)),
        ] {
            assert_eq!(told(body), expected, "{body}");
        }
    }

    #[test]
    fn google_says_in_the_body_when_to_come_back() {
        let wait = |details: &str| {
            let body = format!(r#"{{"error":{{"code":429,"message":"m","details":{details}}}}}"#);
            let again = Problem::of_refusal(body.as_bytes()).ask_again;
            again.map(|again| again.wait(steward_events::timestamp::Timestamp(0)).as_millis())
        };
        let quota = r#"{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[]}"#;
        let retry = |delay: &str| {
            format!(r#"[{quota},{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":{delay}}}]"#)
        };
        assert_eq!(wait(&retry(r#""34.5s""#)), Some(34_500));
        for nothing in [retry(r#""soon""#), retry("7"), format!("[{quota}]"), "7".to_owned()] {
            assert_eq!(wait(&nothing), None, "{nothing}");
        }
    }

    #[test]
    fn an_error_that_says_nothing_is_none() {
        let instead = |text: &str| Problem::instead_of_answer(&Json::read(text.as_bytes()).unwrap().object());
        for nothing in ["null", "\"\"", "{}", "false", "0", "[]"] {
            assert_eq!(instead(&format!(r#"{{"choices":[],"error":{nothing}}}"#)), None, "{nothing}");
        }
        assert_eq!(instead(r#"{"choices":[{"delta":{}}],"message":"hi"}"#), None);
        assert_eq!(instead(r#"{"error":{"message":"busy","code":429}}"#).unwrap().status, Some(429));
        assert_eq!(instead(r#"{"object":"error","message":"m","choices":[]}"#).unwrap().message.unwrap(), "m");
        assert_eq!(
            instead(r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#).unwrap().kind.unwrap(),
            "overloaded_error"
        );
        assert_eq!(instead(r#"{"detail":"m"}"#).unwrap().message.unwrap(), "m");
    }

    #[test]
    fn an_empty_account_is_told_from_a_rate() {
        let out = |code: &str| Problem { code: Some(code.to_owned()), ..Problem::default() }.is_out_of_credit();
        assert!(out("insufficient_quota") && out("billing_hard_limit_reached") && out("Insufficient Balance"));
        assert!(!out("rate_limit_exceeded") && !out("quota_per_minute"));
    }
}
