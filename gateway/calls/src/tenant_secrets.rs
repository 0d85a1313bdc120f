//! Secrets of tenants, by which their own providers are called: asked for over the bus when a call needs one, then kept in
//! memory for a while and overwritten when dropped.
//!
//! The gateway has no data key, so it can open nothing that is sealed. The projectors open one secret at a time, for the
//! gateway alone, and put each opening on record. Which secret counts is what the catalog says: another digest is another
//! secret, so one that was replaced is never used again, and one that no provider refers to is not looked for.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use steward_aggregates::catalog::RecordedSecret;
use steward_events::digest::BodyHash;
use steward_events::id::{CommandId, CorrelationId, PrincipalId, SecretId, SystemPart, TenantId};
use steward_events::ids::Ids;
use steward_events::provider_key::SecretValue;
use steward_events::rejection::Rejection;
use steward_events::request::{Envelope, Format, Request};
use steward_ports::bus::CommandBus;
use steward_ports::clock::Clock;
use steward_ports::trace::current_traceparent;
use steward_queries::{OpenSecret, OpenedSecret};
use tokio::sync::Mutex;

/// How long a secret is used without asking again: after that one whose data key was destroyed is gone here too.
const ASK_AGAIN: Duration = Duration::from_mins(10);

/// How long it is used while nobody answers.
const KEPT_TIME_MAX: Duration = Duration::from_hours(1);

/// After one could not be opened: calls that come meanwhile do not ask.
const PAUSE: Duration = Duration::from_secs(1);

/// The most secrets that are kept; others are asked for again.
const KEPT_COUNT_MAX: usize = 4_096;

/// Opens secrets of tenants, and keeps them in memory.
pub(crate) struct TenantSecrets {
    bus: Arc<dyn CommandBus>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    kept: Cache<(TenantId, SecretId), Arc<Mutex<Slot>>>,
}

/// What is known of one name. Held while it is asked for, so that calls which come at once ask once.
#[derive(Default)]
struct Slot {
    opened: Option<Opened>,
    /// Which could not be opened, and when.
    failed: Option<(BodyHash, Duration)>,
}

struct Opened {
    value: SecretValue,
    digest: BodyHash,
    asked_at: Duration,
}

/// A secret cannot be had. Why is in the log of this process: it is the operators' matter, not the callers'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotOpened;

/// Why there is no answer that helps.
enum Refused {
    /// It is not there, or was erased.
    Gone(String),
    /// Nobody answered, or the machinery failed.
    Unknown(String),
}

impl TenantSecrets {
    pub(crate) fn new(bus: Arc<dyn CommandBus>, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { bus, clock, ids, kept: Cache::new(KEPT_COUNT_MAX) }
    }

    /// The secret that is recorded as `secret`, or one that was set in its place since; for a call of the chain
    /// `correlation`.
    pub(crate) async fn open(
        &self,
        secret: &RecordedSecret,
        correlation: &CorrelationId,
    ) -> Result<SecretValue, NotOpened> {
        let slot = self.slot(secret);
        let mut slot = slot.lock().await;
        let now = self.clock.monotonic();
        if let Some(value) = slot.opened_within(ASK_AGAIN, secret, now) {
            return Ok(value);
        }
        if !slot.is_paused(secret, now) {
            match self.ask(secret, correlation).await {
                Ok(OpenedSecret { value, digest }) => {
                    let opened = Opened { value: value.clone(), digest, asked_at: now };
                    *slot = Slot { opened: Some(opened), failed: None };
                    return Ok(value);
                }
                Err(why) => slot.fail(secret, why, self.clock.monotonic()),
            }
        }
        slot.opened_within(KEPT_TIME_MAX, secret, now).ok_or(NotOpened)
    }

    /// Drops what is kept of a tenant that was erased.
    pub(crate) fn forget(&self, erased: &TenantId) {
        self.kept.retain(|(tenant, _), _| tenant != erased);
    }

    fn slot(&self, RecordedSecret { tenant, secret, .. }: &RecordedSecret) -> Arc<Mutex<Slot>> {
        let name = (tenant.clone(), secret.clone());
        if let Some(slot) = self.kept.get(&name) {
            return slot;
        }
        self.forget_old();
        let made = self.kept.get_or_insert_with(&name, || Ok::<_, std::convert::Infallible>(Arc::default()));
        made.unwrap_or_else(|never| match never {})
    }

    /// Drops what is too old to be used, so that nothing lies in memory for good that no call needs any more.
    fn forget_old(&self) {
        let now = self.clock.monotonic();
        self.kept.retain(|_, slot| {
            // One that is being asked for is needed.
            slot.try_lock().map_or(true, |slot| {
                slot.opened.as_ref().is_some_and(|opened| now.saturating_sub(opened.asked_at) < KEPT_TIME_MAX)
            })
        });
    }

    async fn ask(&self, recorded: &RecordedSecret, correlation: &CorrelationId) -> Result<OpenedSecret, Refused> {
        let RecordedSecret { tenant, secret, position, .. } = recorded;
        let unknown = |error: &dyn std::fmt::Display| Refused::Unknown(error.to_string());
        let (format, query) = (Format::MessagePack, OpenSecret { secret: secret.clone(), min_position: *position });
        let request = Request {
            tenant: tenant.clone(),
            principal: PrincipalId::system(SystemPart::Gateway),
            noun: "secret".to_owned(),
            verb: "open".to_owned(),
            envelope: Envelope {
                command: CommandId::new(self.ids.unique()).map_err(|error| unknown(&error))?,
                issued_at: self.clock.now(),
                on_behalf_of: None,
                causation: None,
                correlation: correlation.clone(),
                traceparent: current_traceparent(),
            },
            format,
            body: format.write(&query).map_err(|error| unknown(&error))?.into(),
        };
        let answer = self.bus.query(request).await.map_err(|error| unknown(&error))?;
        let answer = answer.map_err(|rejection| match rejection {
            Rejection::Busy { reason } => Refused::Unknown(reason),
            other => Refused::Gone(other.to_string()),
        })?;
        format.read(&answer).map_err(|_| Refused::Unknown("the answer cannot be read".to_owned()))
    }
}

impl Slot {
    /// The secret as it is recorded, if it was asked for within `age_max`.
    fn opened_within(&self, age_max: Duration, secret: &RecordedSecret, now: Duration) -> Option<SecretValue> {
        let opened = self.opened.as_ref().filter(|opened| opened.digest == secret.digest)?;
        (now.saturating_sub(opened.asked_at) < age_max).then(|| opened.value.clone())
    }

    fn is_paused(&self, secret: &RecordedSecret, now: Duration) -> bool {
        self.failed.is_some_and(|(digest, at)| digest == secret.digest && now.saturating_sub(at) < PAUSE)
    }

    fn fail(&mut self, RecordedSecret { tenant, secret, digest, .. }: &RecordedSecret, why: Refused, now: Duration) {
        self.failed = Some((*digest, now));
        let reason = match why {
            Refused::Gone(reason) => {
                self.opened = None;
                reason
            }
            Refused::Unknown(reason) => reason,
        };
        tracing::error!(tenant.id = %tenant, secret = %secret, %reason, "a provider's secret cannot be opened");
    }
}

#[cfg(test)]
mod tests;
