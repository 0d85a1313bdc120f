//! People and machines are told: an event that is worth it becomes a message of each channel that wants it, and each message is
//! sent until its receiver has it.
//!
//! Knows channels, notices and messages from a fold of the log. Two loops: one has the channels record what is to be told,
//! the other sends what is recorded and due. Before a message is sent, that is recorded, so that two workers do not send it
//! at once. A worker that dies while it sends leaves a message of which nobody knows whether it arrived: when its time is
//! over it is sent again, under the same id, by which the receiver can tell. Pauses between attempts need no timers: the
//! log says when a message is due, and every worker reads it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use steward_events::BoxError;
use steward_events::command::{FinishSending, NotifyChannels, SendingOutcome, StartSending};
use steward_events::event::{AggregateKind, NoticeSource};
use steward_events::id::{ChannelId, TenantId};
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;
use steward_events::view::View;
use steward_ports::live::{Live, NotFresh};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Channels, Mail};
use crate::dispatch::{Cause, Dispatch, DispatchError};
use crate::driving::fairness::Turns;
use crate::process::Error;
use crate::{WorkerPorts, wake};

mod known;
mod mail;
mod outgoing;
mod post;
mod sender;
mod signature;
mod wording;

use known::{Known, Ready};
use outgoing::Failure;
use sender::Sender;

/// Which kinds this process manager reads.
pub const READS: &[AggregateKind] = Known::KINDS;

/// Messages sent at once, and of these, those of one tenant.
const SENDING_MAX: usize = 32;
const SENDING_PER_TENANT_MAX: usize = 4;
/// Tenants whose channels are told at once.
const TELLING_MAX: usize = 8;
/// How long to wait before what could not be recorded is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// The pause after a message that somebody else has, or that is not due by the clock of those who decide.
const STALE_PAUSE: Duration = Duration::from_millis(300);
/// How long what was recorded may take to be seen in the log.
const SEEN_TIME_MAX: Duration = Duration::from_secs(10);
/// Beyond the time of an attempt, others wait so long before they try.
const CLAIM_SLACK: Duration = Duration::from_secs(5);
/// The longest time that one attempt may take, whatever the configuration says.
const SEND_TIME_MAX: Duration = Duration::from_mins(2);
/// By this factor the pause grows from attempt to attempt.
const RETRY_FACTOR: u32 = 4;

/// Tells people and machines until told to stop; then ends the attempts that it makes.
///
/// # Errors
/// [`Error`] if the log holds what this build cannot read.
pub async fn run(
    ports: WorkerPorts,
    (config, mail): (Channels, Mail),
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let sender = match Sender::new(&ports, &config, &mail) {
        Ok(sender) => sender,
        Err(error) => {
            tracing::error!(%error, "nobody is told anything: channels cannot be used with this configuration");
            shutdown.cancelled().await;
            return Ok(());
        }
    };
    let worker = Arc::new(Telling {
        live: Live::start(ports.log.clone(), ports.clock.clone()),
        dispatch: Dispatch::new(&ports),
        run: format!("w_{}", ports.ids.unique()),
        sender,
        config,
        ports,
    });
    // Without the whole past, what was told would be told again.
    tokio::select! {
        caught_up = wake::caught_up(&worker.live) => caught_up?,
        () = shutdown.cancelled() => return Ok(()),
    }
    tokio::select! {
        stopped = worker.tell() => Err(stopped.into()),
        sent = Arc::clone(&worker).send(shutdown) => Ok(sent?),
    }
}

struct Telling {
    ports: WorkerPorts,
    config: Channels,
    dispatch: Dispatch,
    live: Live<Known>,
    sender: Sender,
    /// This run, in claims.
    run: String,
}

impl Telling {
    /// Has the channels record what is to be told, each tenant's in the order in which it happened.
    async fn tell(&self) -> NotFresh {
        // How far this run has told, which its fold may not have seen yet; and notices of which no channel wanted to know.
        let mut told: HashMap<TenantId, NoticeSource> = HashMap::new();
        loop {
            let seen = self.live.positions();
            if let Some(why) = self.live.stopped() {
                return NotFresh::Stopped(why);
            }
            let due = self.live.read().due(&told);
            let ended: Vec<_> = stream::iter(due)
                .map(|(tenant, notices)| async move {
                    let mut last = None;
                    for (source, notice) in notices {
                        match self.dispatch.send(&tenant, NotifyChannels { notice, source }, &Cause::default()).await {
                            Ok(_) => {}
                            // It will not be another one; whatever else is refused may be taken later.
                            Err(DispatchError::Rejected(error @ Rejection::Invalid { .. })) => {
                                tracing::error!(tenant.id = %tenant, %error, "a notice is left out: channels do not take it");
                            }
                            Err(error) => {
                                tracing::warn!(tenant.id = %tenant, %error, "a notice is not recorded yet");
                                return (tenant, last, false);
                            }
                        }
                        last = Some(source);
                    }
                    (tenant, last, true)
                })
                .buffer_unordered(TELLING_MAX)
                .collect()
                .await;
            let mut well = true;
            for (tenant, last, all) in ended {
                well &= all;
                if let Some(last) = last {
                    told.insert(tenant, last);
                }
            }
            wake::moved(&self.live, &seen, if well { wake::IDLE_MAX } else { RETRY_PAUSE }).await;
            if !well {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// Sends what is recorded and due.
    async fn send(self: Arc<Self>, shutdown: CancellationToken) -> Result<(), NotFresh> {
        let mut sending: JoinSet<(TenantId, ChannelId)> = JoinSet::new();
        // One message of a channel at a time.
        let mut busy: HashSet<(TenantId, ChannelId)> = HashSet::new();
        let mut turns = Turns::default();
        loop {
            let seen = self.live.positions();
            if let Some(why) = self.live.stopped() {
                return Err(NotFresh::Stopped(why));
            }
            let now = self.ports.clock.now();
            let (ready, next) = self.live.read().ready(now, &busy);
            let mut running: HashMap<TenantId, usize> = HashMap::new();
            for (tenant, _) in &busy {
                *running.entry(tenant.clone()).or_default() += 1;
            }
            let free = SENDING_MAX.saturating_sub(busy.len());
            for message in turns.take(ready, &running, SENDING_PER_TENANT_MAX, free) {
                let name = (message.tenant.clone(), message.channel.clone());
                busy.insert(name.clone());
                let this = Arc::clone(&self);
                sending.spawn(async move {
                    if let Err(error) = this.attempt(&message).await {
                        tracing::warn!(tenant.id = %message.tenant, channel = %message.channel, message = %message.message, %error, "an attempt is not recorded");
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                    name
                });
            }
            let pause = next.map_or(wake::IDLE_MAX, |at| at.since(now).max(Duration::from_millis(1)));
            tokio::select! {
                Some(ended) = sending.join_next(), if !sending.is_empty() => match ended {
                    Ok(name) => _ = busy.remove(&name),
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_) => {}
                },
                () = wake::moved(&self.live, &seen, pause.min(wake::IDLE_MAX)) => {}
                () = shutdown.cancelled() => break,
            }
        }
        let drained = async { while sending.join_next().await.is_some() {} };
        _ = tokio::time::timeout(self.send_time() + CLAIM_SLACK, drained).await;
        Ok(())
    }

    fn send_time(&self) -> Duration {
        self.config.send_time_max.min(SEND_TIME_MAX)
    }

    /// One attempt: recorded, made, and what came of it recorded.
    async fn attempt(&self, ready: &Ready) -> Result<(), BoxError> {
        let Ready { tenant, shard, channel, message } = ready;
        let start = StartSending {
            channel: channel.clone(),
            message: message.clone(),
            worker: self.run.clone(),
            until: self.ports.clock.now().plus(self.send_time() + CLAIM_SLACK),
        };
        let reply = self.dispatch.send(tenant, start, &Cause::default()).await?;
        self.live.reached(*shard, reply.position, SEEN_TIME_MAX).await?;
        let attempt = reply.answer.get("attempt").and_then(serde_json::Value::as_u64);
        let Some(attempt) = attempt.and_then(|attempt| u32::try_from(attempt).ok()) else {
            tokio::time::sleep(STALE_PAUSE).await;
            return Ok(());
        };
        // No notice joins a message from its first attempt on: all that it says is known now.
        let outgoing = self.live.read().outgoing(tenant, channel, message, self.ports.clock.now());
        let Some(outgoing) = outgoing else { return Ok(()) };
        let outcome = match tokio::time::timeout(self.send_time(), self.sender.send(&outgoing)).await {
            Ok(Ok(())) => SendingOutcome::Delivered,
            Ok(Err(Failure::Gone(reason))) => SendingOutcome::Gone { reason },
            Ok(Err(Failure::Never(reason))) => SendingOutcome::Failed { reason, retry_at: None },
            Ok(Err(Failure::Later(reason, pause))) => self.failed(attempt, reason, pause),
            Err(_) => self.failed(attempt, format!("no answer within {} s", self.send_time().as_secs()), None),
        };
        tracing::debug!(tenant.id = %tenant, channel = %channel, message = %message, attempt, ?outcome, "an attempt to tell somebody has ended");
        let finish = FinishSending { channel: channel.clone(), message: message.clone(), attempt, outcome };
        let reply = self.dispatch.send(tenant, finish, &Cause::default()).await?;
        self.live.reached(*shard, reply.position, SEEN_TIME_MAX).await?;
        Ok(())
    }

    fn failed(&self, attempt: u32, reason: String, wanted: Option<Duration>) -> SendingOutcome {
        let retry_at = retry_at(&self.config, attempt, wanted, self.ports.clock.now());
        SendingOutcome::Failed { reason, retry_at }
    }
}

/// When the attempt after this one may begin; none if this was the last.
fn retry_at(config: &Channels, attempt: u32, wanted: Option<Duration>, now: Timestamp) -> Option<Timestamp> {
    if attempt >= config.attempts_max.get() {
        return None;
    }
    let grown = config.retry_first.saturating_mul(RETRY_FACTOR.saturating_pow(attempt.saturating_sub(1)));
    // What the receiver asks for counts, within the same bound.
    Some(now.plus(grown.max(wanted.unwrap_or_default()).min(config.retry_max)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_attempts_end() {
        let config = Channels::default();
        let pause = |attempt, wanted| retry_at(&config, attempt, wanted, Timestamp(0)).map(|at| at.since(Timestamp(0)));
        assert_eq!(pause(1, None), Some(config.retry_first));
        assert_eq!(pause(2, None), Some(config.retry_first * 4));
        assert_eq!(pause(1, Some(Duration::from_secs(60))), Some(Duration::from_secs(60)));
        assert_eq!(pause(1, Some(Duration::from_hours(999))), Some(config.retry_max));
        let last = config.attempts_max.get();
        assert_eq!(pause(last - 1, None), Some(config.retry_max));
        assert_eq!(pause(last, None), None);
    }
}
