//! How a request and an answer lie on the bus: subject, headers, body, parts.
//!
//! What arrives is hostile until read here. Headers that are absent are made up; one that is there and is wrong is an
//! error that names it.

use async_nats::{HeaderMap, HeaderValue, Message};
use bytes::Bytes;
use steward_events::free_text;
use steward_events::id::{CommandId, CorrelationId, InvalidId, PrincipalId, TenantId, is_token};
use steward_events::ids::Ids;
use steward_events::request::{Envelope, Format, Request};
use steward_ports::clock::Clock;
use steward_ports::trace;

/// The command's id; made once, kept over retries.
pub(crate) const COMMAND_ID: &str = "steward-command-id";
/// When it was issued, RFC 3339.
pub(crate) const ISSUED_AT: &str = "steward-issued-at";
/// For whom; heeded from parts of Steward only.
pub(crate) const ON_BEHALF_OF: &str = "steward-on-behalf-of";
/// What led to it.
pub(crate) const CAUSATION: &str = "steward-causation";
/// The chain it belongs to.
pub(crate) const CORRELATION: &str = "steward-correlation";
/// W3C trace context.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// How the body is written.
pub(crate) const CONTENT_TYPE: &str = "content-type";
/// On each part of an answer but the last: another follows.
pub(crate) const MORE: &str = "steward-more";

/// The longest causation or trace context that is kept.
const HEADER_BYTES_MAX: usize = 256;

/// A request that cannot be read: what is wrong, for its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// A header's name, or `subject`.
    pub(crate) field: String,
    /// What is wrong.
    pub(crate) reason: String,
}

impl Malformed {
    fn new(field: &str, reason: impl Into<String>) -> Self {
        Self { field: field.to_owned(), reason: reason.into() }
    }
}

/// Who sends, read from the subject alone: this much is vouched for by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) tenant: TenantId,
    pub(crate) principal: PrincipalId,
    noun: String,
    verb: String,
}

/// Reads `cmd|qry.<tenant>.<principal>.<noun>.<verb>`.
pub(crate) fn read_subject(subject: &str) -> Result<Sender, Malformed> {
    let mut tokens = subject.split('.').skip(1);
    let parts = (tokens.next(), tokens.next(), tokens.next(), tokens.next(), tokens.next());
    let (Some(tenant), Some(principal), Some(noun), Some(verb), None) = parts else {
        return Err(Malformed::new("subject", "write <kind>.<tenant>.<principal>.<noun>.<verb>"));
    };
    let wrong = |error: InvalidId| Malformed::new("subject", error.to_string());
    if let Some(word) = [noun, verb].into_iter().find(|word| !is_token(word)) {
        return Err(Malformed::new("subject", format!("{word:?} is no word of a command")));
    }
    Ok(Sender {
        tenant: TenantId::new(tenant).map_err(wrong)?,
        principal: PrincipalId::new(principal).map_err(wrong)?,
        noun: noun.to_owned(),
        verb: verb.to_owned(),
    })
}

/// Reads the rest of a request.
pub(crate) fn read_request(
    sender: Sender,
    headers: Option<&HeaderMap>,
    body: Bytes,
    clock: &dyn Clock,
    ids: &dyn Ids,
) -> Result<Request, Malformed> {
    let header = |name: &'static str| headers.and_then(|headers| headers.get_last(name)).map(HeaderValue::as_str);
    let short = |name: &'static str| match header(name) {
        Some(text) if text.len() > HEADER_BYTES_MAX => {
            Err(Malformed::new(name, format!("{} bytes; {HEADER_BYTES_MAX} are allowed", text.len())))
        }
        text => Ok(text.map(str::to_owned)),
    };
    let command = header(COMMAND_ID).map_or_else(|| CommandId::new(ids.unique()), CommandId::new);
    let command = command.map_err(|error| Malformed::new(COMMAND_ID, error.to_string()))?;
    let issued_at = header(ISSUED_AT).map_or_else(|| Ok(clock.now()), str::parse);
    let correlation = header(CORRELATION).map_or_else(|| CorrelationId::new(command.as_str()), CorrelationId::new);
    let on_behalf_of = header(ON_BEHALF_OF).filter(|_| sender.principal.is_system()).map(PrincipalId::new).transpose();
    let envelope = Envelope {
        issued_at: issued_at.map_err(|error| Malformed::new(ISSUED_AT, error.to_string()))?,
        on_behalf_of: on_behalf_of.map_err(|error| Malformed::new(ON_BEHALF_OF, error.to_string()))?,
        causation: short(CAUSATION)?
            .map(|text| free_text::causation(&text).map_err(|why| Malformed::new(CAUSATION, why)))
            .transpose()?,
        correlation: correlation.map_err(|error| Malformed::new(CORRELATION, error.to_string()))?,
        traceparent: short(TRACEPARENT)?.filter(|text| free_text::is_traceparent(text)),
        command,
    };
    let format = Format::of(header(CONTENT_TYPE), &body);
    let Sender { tenant, principal, noun, verb } = sender;
    Ok(Request { tenant, principal, noun, verb, envelope, format, body })
}

/// How the body of a message is written, and so its answer.
pub(crate) fn format(message: &Message) -> Format {
    let header = message.headers.as_ref().and_then(|headers| headers.get_last(CONTENT_TYPE));
    Format::of(header.map(HeaderValue::as_str), &message.payload)
}

/// The headers of a request.
pub(crate) fn write_headers(request: &Request) -> HeaderMap {
    let envelope = &request.envelope;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, request.format.content_type());
    headers.insert(COMMAND_ID, envelope.command.as_str());
    headers.insert(ISSUED_AT, envelope.issued_at.to_string());
    headers.insert(CORRELATION, envelope.correlation.as_str());
    // A sender that says nothing of a trace is in the current one, if there is one.
    let current = if envelope.traceparent.is_none() { trace::current_traceparent() } else { None };
    let optional = [
        (ON_BEHALF_OF, envelope.on_behalf_of.as_ref().map(PrincipalId::as_str)),
        (CAUSATION, envelope.causation.as_deref()),
        (TRACEPARENT, envelope.traceparent.as_deref().or(current.as_deref())),
    ];
    for (name, value) in optional {
        // A value that no header may hold is left out rather than sent as another.
        if let Some(value) = value.and_then(|value| value.parse::<HeaderValue>().ok()) {
            headers.insert(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use steward_events::ids::CountingIds;
    use steward_events::timestamp::Timestamp;
    use steward_ports::clock::SystemClock;

    use super::*;

    fn read(subject: &str, headers: &[(&'static str, &str)]) -> Result<Request, Malformed> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        let body = Bytes::from_static(b"{}");
        read_request(read_subject(subject)?, Some(&map), body, &SystemClock::default(), &CountingIds::default())
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let request = Request {
            tenant: "acme".parse().unwrap(),
            principal: "sys_worker".parse().unwrap(),
            noun: "task".to_owned(),
            verb: "start-step".to_owned(),
            envelope: Envelope {
                command: "c1".parse().unwrap(),
                issued_at: Timestamp(1_700_000_000_123_456),
                on_behalf_of: Some("p_1".parse().unwrap()),
                causation: Some("evt.00.acme.task.t1@7".to_owned()),
                correlation: "k1".parse().unwrap(),
                traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
            },
            format: Format::MessagePack,
            body: Bytes::from_static(&[0x80]),
        };
        let headers = write_headers(&request);
        let sender = read_subject(&request.command_subject()).unwrap();
        let (clock, ids) = (SystemClock::default(), CountingIds::default());
        assert_eq!(read_request(sender, Some(&headers), request.body.clone(), &clock, &ids).unwrap(), request);
    }

    #[test]
    fn absent_headers_are_made_and_wrong_ones_are_named() {
        let made = read("cmd.acme.p_1.budget.set", &[]).unwrap();
        assert_eq!(made.envelope.correlation.as_str(), made.envelope.command.as_str());
        let long = "x".repeat(HEADER_BYTES_MAX + 1);
        for (name, value) in [
            (CAUSATION, "\u{1b}[2J"),
            (COMMAND_ID, "A b"),
            (ISSUED_AT, "yesterday"),
            (CORRELATION, "*"),
            (CAUSATION, &long),
        ] {
            assert_eq!(read("cmd.acme.p_1.budget.set", &[(name, value)]).unwrap_err().field, name);
        }
        for subject in ["cmd.acme.p_1.budget", "cmd.acme.P.budget.set", "cmd.acme.p_1.budget.set.x", "cmd", ""] {
            assert_eq!(read(subject, &[]).unwrap_err().field, "subject", "{subject}");
        }
    }

    #[test]
    fn only_parts_of_steward_act_on_behalf_of_others() {
        let header = [(ON_BEHALF_OF, "p_victim")];
        assert_eq!(read("cmd.acme.p_1.budget.set", &header).unwrap().envelope.on_behalf_of, None);
        assert!(read("cmd.acme.sys_worker.task.claim", &header).unwrap().envelope.on_behalf_of.is_some());
    }
}
