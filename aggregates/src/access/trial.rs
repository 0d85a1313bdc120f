//! Trials: a grant that seems not to be needed is set aside for a time, and given back the moment something needs it.
//!
//! While it is set aside it still counts for what nothing else allows, so nobody is refused anything. Who decides by it says
//! so in a journal (`DenialEvent::Spared`), and a process manager then gives it back.

use steward_events::command::{EndTrial, NeedTrial, StartTrial, StopTrial};
use steward_events::event::{AccessEvent, GrantId};
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;

use super::Access;
use crate::aggregate::Stamp;
use crate::limit;

/// Why a grant is gone whose trial came to its end.
const NOT_NEEDED: &str = "it was not needed during its trial";

/// Why a trial is over whose grant was used.
const NEEDED: &str = "it was needed";

impl Access {
    pub(super) fn start_trial(&self, start: &StartTrial, stamp: &Stamp) -> Result<Vec<AccessEvent>, Rejection> {
        let grant = start.id();
        let Some(terms) = self.terms(&grant) else { return Err(Rejection::not_found("grant", &grant)) };
        limit::future("until", Some(start.until), stamp.at)?;
        if terms.is_over(stamp.at) {
            return Err(Rejection::invalid("on", format!("{grant} has ended; revoke it")));
        }
        if terms.trial == Some(start.until) {
            return Ok(vec![]);
        }
        Ok(vec![AccessEvent::TrialStarted { grant, until: start.until }])
    }

    /// A mistyped grant must not look given back, so a trial that is not there is an error.
    pub(super) fn stop_trial(&self, stop: &StopTrial) -> Result<Vec<AccessEvent>, Rejection> {
        limit::reason(&stop.reason)?;
        let grant = stop.id();
        match self.terms(&grant).and_then(|terms| terms.trial) {
            Some(until) => {
                let (permission, scope) = (None, None);
                Ok(vec![AccessEvent::TrialEnded { grant, until, permission, scope, reason: stop.reason.clone() }])
            }
            None => Err(Rejection::not_found("trial", &grant)),
        }
    }

    /// Decides nothing of a trial that is over, so that it may come from several, and several times.
    pub(super) fn need_trial(&self, need: &NeedTrial) -> Vec<AccessEvent> {
        let NeedTrial { until, permission, scope, .. } = need.clone();
        let grant = need.id();
        if !self.is_on_trial(&grant, until) {
            return vec![];
        }
        vec![AccessEvent::TrialEnded { grant, until, permission, scope, reason: NEEDED.to_owned() }]
    }

    /// Decides nothing before the trial's time is over.
    pub(super) fn end_trial(&self, end: &EndTrial, stamp: &Stamp) -> Vec<AccessEvent> {
        let grant = end.id();
        if stamp.at < end.until || !self.is_on_trial(&grant, end.until) {
            return vec![];
        }
        vec![AccessEvent::GrantRevoked { grant, reason: NOT_NEEDED.to_owned() }]
    }

    fn is_on_trial(&self, grant: &GrantId, until: Timestamp) -> bool {
        self.terms(grant).is_some_and(|terms| terms.trial == Some(until))
    }

    pub(super) fn set_trial(&mut self, grant: &GrantId, until: Option<Timestamp>) {
        let held =
            self.grants.get_mut(&grant.to).and_then(|held| held.get_mut(&(grant.role.clone(), grant.on.clone())));
        if let Some(terms) = held {
            terms.trial = until;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::given;

    const NOON: Timestamp = Timestamp(5_000_000);

    fn grant() -> GrantId {
        GrantId { to: "svc_bot".parse().unwrap(), role: "agent".parse().unwrap(), on: "acme".parse().unwrap() }
    }

    fn held() -> AccessEvent {
        AccessEvent::RoleGranted { grant: grant(), expires: None, condition: None }
    }

    fn started(until: Timestamp) -> AccessEvent {
        AccessEvent::TrialStarted { grant: grant(), until }
    }

    fn start(until: Timestamp) -> StartTrial {
        let GrantId { to, role, on } = grant();
        StartTrial { to, role, on, until }
    }

    fn stop() -> StopTrial {
        let GrantId { to, role, on } = grant();
        StopTrial { to, role, on, reason: "no".to_owned() }
    }

    fn need(until: Timestamp) -> NeedTrial {
        let GrantId { to, role, on } = grant();
        NeedTrial { to, role, on, until, permission: None, scope: None }
    }

    fn end(until: Timestamp) -> EndTrial {
        let GrantId { to, role, on } = grant();
        EndTrial { to, role, on, until }
    }

    fn ended(until: Timestamp, reason: &str) -> AccessEvent {
        let (permission, scope, reason) = (None, None, reason.to_owned());
        AccessEvent::TrialEnded { grant: grant(), until, permission, scope, reason }
    }

    #[test]
    fn a_trial_needs_a_grant_and_an_end() {
        given::<Access>([]).when(start(NOON)).then_rejected(&Rejection::not_found("grant", &grant()));
        let past = Rejection::invalid("until", format!("{NOON} is not in the future"));
        given::<Access>([held()]).at(NOON).when(start(NOON)).then_rejected(&past);
        given::<Access>([held()]).when(start(NOON)).then([started(NOON)]);
        given::<Access>([held(), started(NOON)]).when(start(NOON)).then([]);
    }

    #[test]
    fn what_is_needed_is_given_back_once() {
        let trial = [held(), started(NOON)];
        given::<Access>(trial.clone()).when(need(NOON)).then([ended(NOON, NEEDED)]);
        given::<Access>(trial.clone()).when(need(Timestamp(9))).then([]);
        let back = [held(), started(NOON), ended(NOON, NEEDED)];
        given::<Access>(back.clone()).when(need(NOON)).then([]);
        given::<Access>(back).at(NOON).when(end(NOON)).then([]);
    }

    #[test]
    fn what_is_not_needed_is_revoked_at_the_end() {
        let trial = [held(), started(NOON)];
        given::<Access>(trial.clone()).at(Timestamp(NOON.0 - 1)).when(end(NOON)).then([]);
        let gone = AccessEvent::GrantRevoked { grant: grant(), reason: NOT_NEEDED.to_owned() };
        given::<Access>(trial.clone()).at(NOON).when(end(NOON)).then([gone.clone()]);
        given::<Access>([held(), started(NOON), gone]).at(NOON).when(end(NOON)).then([]);
    }

    #[test]
    fn a_trial_is_stopped_by_hand_or_by_giving_anew() {
        given::<Access>([held(), started(NOON)]).when(stop()).then([ended(NOON, "no")]);
        given::<Access>([held()]).when(stop()).then_rejected(&Rejection::not_found("trial", &grant()));
        let GrantId { to, role, on } = grant();
        let again = steward_events::command::GiveGrant { to, role, on, expires: None, condition: None };
        given::<Access>([held(), started(NOON)]).when(again).then([held()]);
        given::<Access>([held(), started(NOON), held()]).when(need(NOON)).then([]);
    }
}
