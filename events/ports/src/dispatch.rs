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
