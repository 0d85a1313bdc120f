//! Answers: a body in the request's format, in parts if it is large; a refusal also in the headers of NATS services.

use async_nats::HeaderMap;
use async_nats::client::PublishError;
use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE, Request, error};
use bytes::Bytes;
use steward_events::id::{PrincipalId, SystemPart, TenantId};
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_events::request::{Format, Reply};

use super::parts;
use crate::connection::Connection;
use crate::envelope::{CONTENT_TYPE, MORE, Malformed};
use crate::role;

/// The longest message that is put into a header.
const MESSAGE_CHARS_MAX: usize = 500;

/// The status of a rejection, like HTTP's.
pub const fn status(rejection: &Rejection) -> u16 {
    match rejection {
        Rejection::Invalid { .. } => 400,
        Rejection::BudgetExhausted { .. } => 402,
        Rejection::Forbidden { .. } | Rejection::QuotaExceeded { .. } | Rejection::Suspended { .. } => 403,
        Rejection::UnknownTenant { .. } | Rejection::NotFound { .. } => 404,
        Rejection::AlreadyExists { .. } | Rejection::Stale { .. } => 409,
        Rejection::Expired => 410,
        Rejection::Busy { .. } => 429,
        Rejection::Reused { .. } => 422,
    }
}

/// What is sent back.
pub(super) struct ServiceAnswer {
    body: Bytes,
    format: Format,
    /// Status and message, if it is a refusal.
    refused: Option<(u16, String)>,
}

impl ServiceAnswer {
    pub(super) const fn good(body: Bytes, format: Format) -> Self {
        Self { body, format, refused: None }
    }

    pub(super) fn reply(reply: &Reply, format: Format) -> Self {
        let refused = reply.rejection.as_ref().map(|rejection| (status(rejection), rejection.to_string()));
        match format.write(reply) {
            Ok(body) => Self { body: body.into(), format, refused },
            Err(error) => Self { body: Bytes::new(), format, refused: Some((500, error.to_string())) },
        }
    }

    pub(super) fn rejected(rejection: Rejection, format: Format) -> Self {
        Self::reply(&Reply::refused(rejection, Position(0)), format)
    }

    pub(super) fn malformed(Malformed { field, reason }: Malformed) -> Self {
        Self::rejected(Rejection::Invalid { field, reason }, Format::Json)
    }

    /// Sends it, part by part; the service counts it as one.
    pub(super) async fn send(self, connection: &Connection, request: &Request) -> Result<(), PublishError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, self.format.content_type());
        if let Some((code, message)) = &self.refused {
            headers.insert(NATS_SERVICE_ERROR_CODE, code.to_string());
            headers.insert(NATS_SERVICE_ERROR, one_line(message));
        }
        let mut parts = parts(&self.body);
        let last = parts.pop().unwrap_or_default();
        if let Some(reply) = request.message.reply.clone() {
            let mut headers = headers.clone();
            headers.insert(MORE, "true");
            for part in parts {
                connection.client.publish_with_headers(reply.clone(), headers.clone(), part).await?;
            }
        }
        request.respond_with_headers(Ok(last), headers).await
    }
}

/// Says that the machinery failed; what exactly was logged where it happened.
pub(super) async fn fail(request: &Request, reason: &str) -> Result<(), PublishError> {
    request.respond(Err(error::Error { code: 503, status: one_line(reason) })).await
}

/// A header is one line.
fn one_line(message: &str) -> String {
    message.chars().take(MESSAGE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// True if a client that sends as `principal` of `tenant` may hear answers at `reply`.
///
/// Their own inbox; an operator's or a part of Steward's, which stand in the tenant `steward`, whichever tenant they send
/// to; and the gateway's, which sends for callers that it has authenticated.
pub(super) fn is_inbox_of(reply: &str, tenant: &TenantId, principal: &PrincipalId) -> bool {
    let steward = TenantId::steward();
    let acts_anywhere = principal.is_system() || principal.as_str().starts_with("op_");
    role::is_in_inbox(reply, tenant.as_str(), principal.as_str())
        || (acts_anywhere && role::is_in_inbox(reply, steward.as_str(), principal.as_str()))
        || role::is_in_inbox(reply, steward.as_str(), SystemPart::Gateway.principal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_go_to_the_senders_inbox_only() {
        let (acme, p1) = (TenantId::new("acme").unwrap(), PrincipalId::new("p_1").unwrap());
        let (op, worker) = (PrincipalId::new("op_1").unwrap(), PrincipalId::new("sys_worker").unwrap());
        for (reply, principal, theirs) in [
            ("_INBOX.acme.p_1.x", &p1, true),
            ("_INBOX.acme.p_1.x.y", &p1, true),
            ("_INBOX.acme.p_1", &p1, false),
            ("_INBOX.acme.p_1.", &p1, false),
            ("_INBOX.acme.p_12.x", &p1, false),
            ("_INBOX.acme.p_2.x", &p1, false),
            ("_INBOX.globex.p_1.x", &p1, false),
            ("_INBOX.steward.p_1.x", &p1, false),
            ("_INBOX.steward.sys_worker.x", &p1, false),
            ("evt.00.acme.ledger.main", &p1, false),
            ("_INBOX.steward.op_1.x", &op, true),
            ("_INBOX.steward.op_2.x", &op, false),
            ("_INBOX.steward.sys_worker.x", &worker, true),
            ("_INBOX.steward.sys_gateway.x", &p1, true),
        ] {
            assert_eq!(is_inbox_of(reply, &acme, principal), theirs, "{principal} at {reply}");
        }
    }

    #[test]
    fn a_large_body_is_split_and_an_empty_one_whole() {
        assert_eq!(parts(&Bytes::new()).len(), 1);
        assert_eq!(parts(&Bytes::from(vec![0; super::super::PART_BYTES_MAX])).len(), 1);
        let large = Bytes::from(vec![7; super::super::PART_BYTES_MAX * 2 + 1]);
        assert_eq!(parts(&large).iter().map(Bytes::len).sum::<usize>(), large.len());
        assert_eq!(parts(&large).len(), 3);
    }
}
