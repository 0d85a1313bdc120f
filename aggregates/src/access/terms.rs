//! Until when and under which condition a grant holds.

use steward_events::event::Condition;
use steward_events::id::ElevationId;
use steward_events::timestamp::Timestamp;

/// Until when and under which condition a grant holds, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Until when; none is until revoked.
    pub expires: Option<Timestamp>,
    /// The grant counts only for calls that meet this condition.
    pub condition: Option<Condition>,
    /// When it was given as it is now.
    pub given_at: Timestamp,
    /// The elevation by which it is held, if it was asked for.
    pub elevation: Option<ElevationId>,
    /// When it ends unless a review confirms it before.
    pub review_due: Option<Timestamp>,
    /// Until when the grant is set aside: it counts only for what nothing else allows, and is given back then.
    pub trial: Option<Timestamp>,
}

impl Terms {
    /// When the grant ends by itself; none is never.
    pub fn ends(&self) -> Option<Timestamp> {
        self.expires.into_iter().chain(self.review_due).min()
    }

    /// True if the grant holds always and for everything its role permits.
    pub const fn is_plain(&self) -> bool {
        self.expires.is_none() && self.condition.is_none() && self.review_due.is_none()
    }

    /// True while the grant is set aside for a trial.
    pub const fn is_set_aside(&self) -> bool {
        self.trial.is_some()
    }

    /// True once the grant has ended by itself.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ends().is_some_and(|end| end <= now)
    }
}
