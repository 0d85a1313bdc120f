//! A worker's hold on something durable, a task or a batch: one holds it at a time.
//!
//! A claim is fenced by its epoch, not by time: a worker whose claim lapsed may go on until another has claimed. From
//! then on its epoch is stale and it writes nothing.

use std::time::Duration;

use steward_events::quantity::Epoch;
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;

use crate::limit;

/// The longest claim: a dead worker blocks what it held no longer.
pub const CLAIM_TIME_MAX: Duration = Duration::from_hours(1);

/// The longest name of a worker, in bytes.
pub const WORKER_BYTES_MAX: usize = 120;

/// Who drives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The claim's number: the highest counts.
    pub epoch: Epoch,
    /// The worker, by its run.
    pub worker: String,
    /// When it lapses unless it is extended.
    pub until: Timestamp,
}

/// What a request for a claim comes to.
pub(crate) enum Taken {
    /// This claim is another one than before.
    New(Claim),
    /// The worker has it already, until now.
    Held(Epoch),
}

/// What `worker` gets that asks for `what` until a moment; `held` is the last claim, lapsed or not.
pub(crate) fn take(
    what: &str,
    held: Option<&Claim>,
    (worker, until): (&str, Timestamp),
    at: Timestamp,
) -> Result<Taken, Rejection> {
    limit::text("worker", worker, WORKER_BYTES_MAX)?;
    check_until(until, at)?;
    match held.filter(|held| held.until > at) {
        Some(held) if held.worker != worker => {
            Err(Rejection::stale(format!("{} drives the {what} until {}", held.worker, held.until)))
        }
        Some(held) => Ok(Taken::Held(held.epoch)),
        None => {
            let epoch = Epoch(held.map_or(0, |lapsed| lapsed.epoch.0).saturating_add(1));
            Ok(Taken::New(Claim { epoch, worker: worker.to_owned(), until }))
        }
    }
}

/// The claim that counts, if it is `epoch`'s.
pub(crate) fn must_hold<'a>(what: &str, held: Option<&'a Claim>, epoch: Epoch) -> Result<&'a Claim, Rejection> {
    match held {
        Some(claim) if claim.epoch == epoch => Ok(claim),
        Some(claim) => Err(Rejection::stale(format!("the {what} is now under claim {}, not {epoch}", claim.epoch))),
        None => Err(Rejection::stale(format!("nobody has claimed the {what}"))),
    }
}

/// Until when `held` is extended that is asked for until a moment: none if that changes nothing. A moment in the past ends
/// it now, so that the next worker need not wait.
pub(crate) fn extended(held: &Claim, until: Timestamp, at: Timestamp) -> Result<Option<Timestamp>, Rejection> {
    if until <= at {
        return Ok((held.until > at).then_some(at));
    }
    check_until(until, at)?;
    Ok((until > held.until).then_some(until))
}

fn check_until(until: Timestamp, at: Timestamp) -> Result<(), Rejection> {
    limit::future("until", Some(until), at)?;
    if until > at.plus(CLAIM_TIME_MAX) {
        return Err(Rejection::invalid("until", format!("a claim holds for at most {} s", CLAIM_TIME_MAX.as_secs())));
    }
    Ok(())
}
