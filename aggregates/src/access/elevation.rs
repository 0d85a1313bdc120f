//! Elevation: a role that is asked for, for a limited time, and approved by another; in an emergency by the asker.
//!
//! Who may ask and approve by a rule is looked at by the authority, which knows all that they hold; here stands what no
//! race may break: one approval, not by the asker unless the rule says so, and an end.

use std::time::Duration;

use serde_json::{Value, json};
use steward_events::command::{
    AllowElevation, ApproveElevation, DisallowElevation, EndElevation, RefuseElevation, RequestElevation,
};
use steward_events::event::{AccessEvent, ElevationRequest, ElevationRule, GrantId};
use steward_events::id::{ElevationId, PrincipalId, RoleId, RuleId};
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;

use super::{Access, Terms};
use crate::aggregate::Stamp;
use crate::limit;

/// The most rules of one tenant.
const RULES_MAX: usize = 200;

/// The most principals or roles that one rule names.
const NAMED_MAX: usize = 50;

/// The shortest and the longest time that can be asked for, in seconds.
const SECONDS: std::ops::RangeInclusive<u64> = 1..=604_800;

/// How long a request waits for somebody who approves it.
const LAPSES_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// The most elevations that are open or running, of a tenant and of one principal.
const OPEN_MAX: usize = 500;
const OPEN_MAX_EACH: usize = 10;

/// So many that are over are kept to be shown.
const OVER_KEPT_MAX: usize = 200;

/// One time that somebody asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elevation {
    /// What was asked for.
    pub request: ElevationRequest,
    /// When.
    pub requested_at: Timestamp,
    /// What came of it.
    pub state: State,
    /// The terms under which the role is held, if it was approved.
    terms: Terms,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing yet.
    Requested,
    /// Somebody said yes.
    Approved {
        /// Who.
        by: PrincipalId,
        /// Until when the role is held.
        until: Timestamp,
    },
    /// Somebody said no, then.
    Refused(Timestamp),
    /// It was taken back before anybody said yes, then.
    Withdrawn(Timestamp),
}

impl Elevation {
    /// True once nothing can come of it any more.
    pub fn is_over(&self, now: Timestamp) -> bool {
        match self.state {
            State::Requested => self.request.lapses <= now,
            State::Approved { until, .. } => until <= now,
            State::Refused(_) | State::Withdrawn(_) => true,
        }
    }

    fn grant(&self) -> GrantId {
        let ElevationRequest { by, role, on, .. } = self.request.clone();
        GrantId { to: by, role, on }
    }
}

impl Access {
    /// The rule of this name.
    pub fn elevation_rule(&self, rule: &RuleId) -> Option<&ElevationRule> {
        self.elevation_rules.get(rule)
    }

    /// The elevation of this id, if it is not long over.
    pub fn elevation(&self, elevation: &ElevationId) -> Option<&Elevation> {
        self.elevations.get(elevation)
    }

    /// The elevations that are open or running, and the last before them.
    pub fn elevations(&self) -> impl Iterator<Item = (&ElevationId, &Elevation)> {
        self.elevations.iter()
    }

    /// What `principal` holds by elevation.
    pub(super) fn elevated(&self, principal: &PrincipalId) -> impl Iterator<Item = (GrantId, &Terms)> + use<'_> {
        let to = principal.clone();
        self.approved().filter(move |elevation| elevation.request.by == to).map(|of| (of.grant(), &of.terms))
    }

    pub(super) fn elevated_principals(&self) -> impl Iterator<Item = &PrincipalId> {
        self.approved().map(|elevation| &elevation.request.by)
    }

    fn approved(&self) -> impl Iterator<Item = &Elevation> {
        self.elevations.values().filter(|elevation| matches!(elevation.state, State::Approved { .. }))
    }

    /// What is asked for or held of `role`: a role that is gone must not be held by what was asked before.
    pub(super) fn elevations_to(&self, role: &RoleId, now: Timestamp) -> impl Iterator<Item = &ElevationId> {
        let open = move |elevation: &Elevation| elevation.request.role == *role && !elevation.is_over(now);
        self.elevations.iter().filter(move |(_, elevation)| open(elevation)).map(|(id, _)| id)
    }

    pub(super) fn allow_elevation(&self, allow: &AllowElevation, stamp: &Stamp) -> Result<Vec<AccessEvent>, Rejection> {
        let AllowElevation { rule, role, on, longest_s, self_approval, .. } = allow.clone();
        let AllowElevation { askers, asker_roles, approvers, approver_roles, .. } = allow.clone();
        super::within("on", &on, stamp)?;
        let roles = std::iter::once(&role).chain(&asker_roles).chain(&approver_roles);
        if let Some(unknown) = roles.into_iter().find(|role| !self.knows(role)) {
            return Err(Rejection::not_found("role", unknown));
        }
        if !SECONDS.contains(&longest_s) {
            return Err(Rejection::invalid("longest_s", format!("is from 1 to {} seconds", SECONDS.end())));
        }
        if askers.is_empty() && asker_roles.is_empty() {
            return Err(Rejection::invalid("askers", "name who may ask: askers or asker_roles"));
        }
        for (field, count) in [
            ("askers", askers.len()),
            ("asker_roles", asker_roles.len()),
            ("approvers", approvers.len()),
            ("approver_roles", approver_roles.len()),
        ] {
            limit::count(field, count, NAMED_MAX)?;
        }
        let spec = ElevationRule { role, on, askers, asker_roles, approvers, approver_roles, self_approval, longest_s };
        if self.elevation_rules.get(&rule) == Some(&spec) {
            return Ok(vec![]);
        }
        let more = usize::from(!self.elevation_rules.contains_key(&rule));
        limit::count("elevation rules", self.elevation_rules.len() + more, RULES_MAX)?;
        Ok(vec![AccessEvent::ElevationAllowed { rule, spec }])
    }

    pub(super) fn disallow_elevation(&self, disallow: &DisallowElevation) -> Result<Vec<AccessEvent>, Rejection> {
        let DisallowElevation { rule, reason } = disallow.clone();
        limit::reason(&reason)?;
        if !self.elevation_rules.contains_key(&rule) {
            return Err(Rejection::not_found("elevation rule", &rule));
        }
        Ok(vec![AccessEvent::ElevationDisallowed { rule, reason }])
    }

    pub(super) fn request_elevation(
        &self,
        asked: &RequestElevation,
        stamp: &Stamp,
    ) -> Result<Vec<AccessEvent>, Rejection> {
        let RequestElevation { elevation, rule, duration_s, reason, self_approve } = asked.clone();
        let elevation = elevation.ok_or_else(|| Rejection::invalid("elevation", "is missing"))?;
        if let Some(known) = self.elevations.get(&elevation) {
            let ElevationRequest { by, rule: of, .. } = &known.request;
            let is_same = (by, of, known.request.duration_s) == (&stamp.actor, &rule, duration_s);
            let taken = || Rejection::AlreadyExists { what: "elevation".to_owned(), id: elevation.to_string() };
            return if is_same { Ok(vec![]) } else { Err(taken()) };
        }
        let spec = self.elevation_rules.get(&rule).ok_or_else(|| Rejection::not_found("elevation rule", &rule))?;
        limit::said(&reason)?;
        if duration_s == 0 || duration_s > spec.longest_s {
            let bound = format!("is from 1 to {} seconds by the rule {rule}", spec.longest_s);
            return Err(Rejection::invalid("duration_s", bound));
        }
        if self_approve && !spec.self_approval {
            let reason = format!("the rule {rule} lets nobody approve their own: leave it out, and ask an approver");
            return Err(Rejection::invalid("self_approve", reason));
        }
        let open = || self.elevations.values().filter(|elevation| !elevation.is_over(stamp.at));
        limit::count("open elevations", open().count() + 1, OPEN_MAX)?;
        let own = open().filter(|elevation| elevation.request.by == stamp.actor);
        limit::count("open elevations of yours", own.count() + 1, OPEN_MAX_EACH)?;
        let (by, role, on) = (stamp.actor.clone(), spec.role.clone(), spec.on.clone());
        self.may_hold_too(&GrantId { to: by.clone(), role: role.clone(), on: on.clone() }, stamp.at)?;
        let lapses = stamp.at.plus(LAPSES_AFTER);
        let until = stamp.at.plus(Duration::from_secs(duration_s));
        let request = ElevationRequest { rule, by: by.clone(), role, on, duration_s, reason: reason.clone(), lapses };
        let requested = AccessEvent::ElevationRequested { elevation: elevation.clone(), request };
        let approved = AccessEvent::ElevationApproved { elevation, by, until, self_approved: true, reason };
        Ok(std::iter::once(requested).chain(self_approve.then_some(approved)).collect())
    }

    fn asked(&self, elevation: &ElevationId) -> Result<&Elevation, Rejection> {
        self.elevations.get(elevation).ok_or_else(|| Rejection::not_found("elevation", elevation))
    }

    pub(super) fn approve_elevation(
        &self,
        approve: &ApproveElevation,
        stamp: &Stamp,
    ) -> Result<Vec<AccessEvent>, Rejection> {
        let ApproveElevation { elevation, reason } = approve.clone();
        limit::reason(&reason)?;
        let found = self.asked(&elevation)?;
        let request = &found.request;
        match &found.state {
            State::Approved { .. } => return Ok(vec![]),
            State::Refused(_) | State::Withdrawn(_) => return Err(Rejection::stale("it was refused or taken back")),
            State::Requested if found.is_over(stamp.at) => {
                return Err(Rejection::stale(format!("it lapsed at {}: it has to be asked for again", request.lapses)));
            }
            State::Requested => {}
        }
        let rule = self.elevation_rules.get(&request.rule);
        let rule = rule.filter(|rule| rule.role == request.role && rule.on == request.on);
        let Some(rule) = rule else {
            return Err(Rejection::stale(format!("the rule {} has changed since it was asked for", request.rule)));
        };
        let self_approved = stamp.actor == request.by || stamp.on_behalf_of.as_ref() == Some(&request.by);
        if self_approved && !rule.self_approval {
            let why = format!("{} asked for it: somebody else has to approve it", request.by);
            return Err(Rejection::invalid("elevation", why));
        }
        if self_approved {
            limit::said(&reason)?;
        }
        self.may_hold_too(&found.grant(), stamp.at)?;
        let until = stamp.at.plus(Duration::from_secs(request.duration_s.min(rule.longest_s)));
        let by = stamp.actor.clone();
        Ok(vec![AccessEvent::ElevationApproved { elevation, by, until, self_approved, reason }])
    }

    pub(super) fn refuse_elevation(
        &self,
        refuse: &RefuseElevation,
        stamp: &Stamp,
    ) -> Result<Vec<AccessEvent>, Rejection> {
        let RefuseElevation { elevation, reason } = refuse.clone();
        limit::reason(&reason)?;
        let found = self.asked(&elevation)?;
        match found.state {
            State::Requested if !found.is_over(stamp.at) => {
                Ok(vec![AccessEvent::ElevationRefused { elevation, reason }])
            }
            State::Requested | State::Refused(_) | State::Withdrawn(_) => Ok(vec![]),
            State::Approved { .. } => Err(Rejection::stale("it was approved: end it with elevation.end")),
        }
    }

    pub(super) fn end_elevation(&self, end: &EndElevation, stamp: &Stamp) -> Result<Vec<AccessEvent>, Rejection> {
        let EndElevation { elevation, reason } = end.clone();
        limit::reason(&reason)?;
        if self.asked(&elevation)?.is_over(stamp.at) {
            return Ok(vec![]);
        }
        Ok(vec![AccessEvent::ElevationEnded { elevation, reason }])
    }

    pub(super) fn apply_elevation(&mut self, event: &AccessEvent, at: Timestamp) {
        match event.clone() {
            AccessEvent::ElevationAllowed { rule, spec } => _ = self.elevation_rules.insert(rule, spec),
            AccessEvent::ElevationDisallowed { rule, .. } => _ = self.elevation_rules.remove(&rule),
            AccessEvent::ElevationRequested { elevation, request } => {
                let (state, terms) = (State::Requested, Terms::default());
                self.elevations.insert(elevation, Elevation { request, requested_at: at, state, terms });
                self.forget_what_is_over(at);
            }
            AccessEvent::ElevationApproved { elevation, by, until, .. } => {
                if let Some(found) = self.elevations.get_mut(&elevation) {
                    found.state = State::Approved { by, until };
                    let (expires, elevation) = (Some(until), Some(elevation));
                    found.terms = Terms { expires, elevation, given_at: at, ..Terms::default() };
                }
            }
            AccessEvent::ElevationRefused { elevation, .. } => {
                if let Some(found) = self.elevations.get_mut(&elevation) {
                    found.state = State::Refused(at);
                }
            }
            AccessEvent::ElevationEnded { elevation, .. } => {
                if let Some(found) = self.elevations.get_mut(&elevation) {
                    match &mut found.state {
                        State::Approved { until, .. } => {
                            *until = at.min(*until);
                            found.terms.expires = Some(*until);
                        }
                        state => *state = State::Withdrawn(at),
                    }
                }
            }
            _ => {}
        }
    }

    fn forget_what_is_over(&mut self, now: Timestamp) {
        let over = self.elevations.iter().filter(|(_, elevation)| elevation.is_over(now));
        let mut over: Vec<_> = over.map(|(id, elevation)| (elevation.requested_at, id.clone())).collect();
        let too_many = over.len().saturating_sub(OVER_KEPT_MAX);
        over.sort_unstable();
        for (_, id) in over.into_iter().take(too_many) {
            self.elevations.remove(&id);
        }
    }

    pub(super) fn told_elevation(&self, elevation: Option<&ElevationId>) -> Value {
        let until = elevation.and_then(|id| self.elevations.get(id)).and_then(|found| match found.state {
            State::Approved { until, .. } => Some(until),
            _ => None,
        });
        match until {
            Some(until) => json!({ "elevation": elevation, "until": until }),
            None => json!({ "elevation": elevation }),
        }
    }
}
