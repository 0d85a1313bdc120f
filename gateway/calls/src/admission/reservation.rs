//! The right to make one call, on its way to its caller and with it: whoever loses it finishes it.

use std::time::Duration;

use steward_events::id::{CallId, LeaseId};
use steward_events::quantity::{Amounts, NanoDollars};
use tokio::sync::{mpsc, oneshot};

use super::account::{Admitted, never_sent};
use super::actor::Message;
use super::{Finish, FinishError, Refusal, Settled};

/// How long a finish waits to be acknowledged before its caller is told that it is late.
const FINISH_TIME_MAX: Duration = Duration::from_secs(30);

/// The right to make one call, acknowledged by the log.
#[must_use = "a reservation that is not finished stays charged at its worst case"]
#[derive(Debug)]
pub struct Reservation {
    /// The attempt.
    pub call: CallId,
    /// What it is paid from.
    pub lease: LeaseId,
    /// The most it may use: less than the worst case asked for if the budget is short and the caller set no limit.
    pub granted: Amounts,
    /// What is left of the tightest budget in money, as far as this gateway knows.
    pub(super) budget_left: Option<NanoDollars>,
    account: mpsc::UnboundedSender<Message>,
}

impl Reservation {
    pub(super) fn new(admitted: Admitted, account: mpsc::UnboundedSender<Message>) -> Self {
        let Admitted { call, lease, granted, budget_left } = admitted;
        Self { call, lease, granted, budget_left, account }
    }

    /// Records what the call used. Returns when the log has acknowledged it.
    ///
    /// # Errors
    /// [`FinishError`] if that takes too long; it is still tried.
    pub async fn finish(self, finish: Finish) -> Result<Settled, FinishError> {
        let (settled, hears) = oneshot::channel();
        self.account
            .send(Message::Finish(self.call, finish, Some(settled)))
            .map_err(|_| FinishError("admission has stopped".into()))?;
        match tokio::time::timeout(FINISH_TIME_MAX, hears).await {
            Ok(Ok(settled)) => Ok(settled),
            Ok(Err(gone)) => Err(FinishError(gone.into())),
            Err(elapsed) => Err(FinishError(elapsed.into())),
        }
    }
}

/// A reservation on its way to its caller. Dropped there unseen, it is finished as never sent.
pub(super) struct Unclaimed(pub(super) Option<Reservation>);

impl Unclaimed {
    pub(super) fn claim(mut self) -> Result<Reservation, Refusal> {
        self.0.take().ok_or_else(|| Refusal::Closed("claimed twice".to_owned()))
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(Reservation { call, account, .. }) = self.0.take() {
            let finish = never_sent("the caller went away before the call was made");
            // Without its account the gateway is gone, and the call stays charged at its worst case.
            let _ = account.send(Message::Finish(call, finish, None));
        }
    }
}

/// The account itself finishes what it could not hand over.
pub(super) fn forget_unclaimed(outcome: Result<Unclaimed, Refusal>) {
    if let Ok(mut unclaimed) = outcome {
        unclaimed.0 = None;
    }
}
