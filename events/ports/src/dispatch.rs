//! Sends a command until it is decided.
//!
//! No answer says nothing: the command may have been decided. The same command id is decided once, so it is sent again,
//! byte for byte, for as long as that is worth it.

use std::time::Duration;

use steward_events::request::{Reply, Request};
use tokio::time::Instant;

use crate::bus::{BusError, CommandBus};

/// How long, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The pause after the first attempt without an answer; doubled after each further one …
    pub pause_min: Duration,
    /// … up to this.
    pub pause_max: Duration,
    /// After so long no further attempt is made. Well below the ten minutes for which handlers know a command's id.
    pub time_max: Duration,
}

/// Sends `request` until it is decided: the reply is a yes or a no.
///
/// # Errors
/// What the last attempt met, if there was no answer in time. The command may have been decided.
pub async fn send_until_decided(
    bus: &dyn CommandBus,
    request: &Request,
    patience: Patience,
) -> Result<Reply, BusError> {
    let began = Instant::now();
    let mut pause = patience.pause_min;
    loop {
        match bus.command(request.clone()).await {
            Ok(reply) => return Ok(reply),
            Err(error) if began.elapsed() >= patience.time_max => return Err(error),
            Err(error) => {
                let command = format_args!("{}.{}", request.noun, request.verb);
                tracing::debug!(%command, %error, "no answer; sending the command again");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(patience.pause_max);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use bytes::Bytes;
    use steward_events::id::{CommandId, CorrelationId, PrincipalId, TenantId};
    use steward_events::quantity::Position;
    use steward_events::rejection::Rejection;
    use steward_events::request::{Envelope, Format};
    use steward_events::timestamp::Timestamp;

    use super::*;

    /// A bus on which the first commands get no answer, and the next one a no.
    struct Silent {
        times: u32,
        heard: AtomicU32,
    }

    #[async_trait]
    impl CommandBus for Silent {
        async fn command(&self, _: Request) -> Result<Reply, BusError> {
            if self.heard.fetch_add(1, Ordering::Relaxed) < self.times {
                return Err(BusError::TimedOut { subject: "cmd".to_owned() });
            }
            Ok(Reply::refused(Rejection::Expired, Position(1)))
        }

        async fn query(&self, _: Request) -> Result<Result<Bytes, Rejection>, BusError> {
            Err(BusError::NobodyListens { subject: "qry".to_owned() })
        }
    }

    const PATIENCE: Patience = Patience {
        pause_min: Duration::from_millis(50),
        pause_max: Duration::from_secs(1),
        time_max: Duration::from_secs(10),
    };

    async fn send(times: u32) -> (Result<Reply, BusError>, u32) {
        let request = Request {
            tenant: TenantId::new("acme").unwrap(),
            principal: PrincipalId::new("p_test").unwrap(),
            noun: "tenant".to_owned(),
            verb: "resume".to_owned(),
            envelope: Envelope {
                command: CommandId::new("c1").unwrap(),
                issued_at: Timestamp(1),
                on_behalf_of: None,
                causation: None,
                correlation: CorrelationId::new("r1").unwrap(),
                traceparent: None,
            },
            format: Format::Json,
            body: Bytes::from_static(b"{}"),
        };
        let bus = Silent { times, heard: AtomicU32::new(0) };
        let sent = send_until_decided(&bus, &request, PATIENCE).await;
        (sent, bus.heard.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_is_sent_until_it_is_decided() {
        let (sent, heard) = send(5).await;
        assert!(!sent.unwrap().accepted, "a no is an answer");
        assert_eq!(heard, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_without_an_answer_is_given_up_in_time() {
        let began = Instant::now();
        let (sent, _) = send(u32::MAX).await;
        assert!(matches!(sent, Err(BusError::TimedOut { .. })));
        assert!(began.elapsed() <= PATIENCE.time_max + PATIENCE.pause_max);
    }
}
