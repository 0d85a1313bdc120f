//! Timers that survive every process: expiries, retries, cron.

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use steward_events::BoxError;
use steward_events::id::{StreamId, TenantId};
use steward_events::timestamp::Timestamp;

/// Which timer: setting it again moves it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimerKey {
    /// Whose.
    pub tenant: TenantId,
    /// What for, a token such as `lease-expiry`.
    pub kind: String,
    /// Of what.
    pub id: StreamId,
}

/// A timer that has rung. It rings again, somewhere, until it is acknowledged.
#[async_trait]
pub trait Due: Send {
    /// Which timer.
    fn key(&self) -> &TimerKey;
    /// When it was to ring.
    fn at(&self) -> Timestamp;
    /// What was put in it.
    fn payload(&self) -> &[u8];
    /// It has been dealt with.
    async fn done(self: Box<Self>) -> Result<(), BoxError>;
}

/// Sets timers and hears them ring.
#[async_trait]
pub trait Timers: Send + Sync + 'static {
    /// Sets or moves the timer.
    async fn set(&self, key: &TimerKey, at: Timestamp, payload: Vec<u8>) -> Result<(), BoxError>;
    /// Forgets the timer.
    async fn cancel(&self, key: &TimerKey) -> Result<(), BoxError>;
    /// Timers of `kind` as they ring; each goes to one listener.
    async fn due(&self, kind: &str) -> Result<BoxStream<'static, Box<dyn Due>>, BoxError>;
}
