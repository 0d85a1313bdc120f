//! Reviews: grants that somebody has to confirm, or else they are shown, or end.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use steward_events::command::{CloseReview, ConfirmReviewed, RevokeReviewed, StartReview};
use steward_events::event::{AccessEvent, GrantId, ReviewSpec};
use steward_events::id::ReviewId;
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;

use super::removal::REVOKED_MAX;
use super::separation::overlap;
use super::{Access, Terms};
use crate::aggregate::Stamp;
use crate::limit;

/// The most reviews that are not closed.
const OPEN_MAX: usize = 20;

/// The most reviewers of one.
const REVIEWERS_MAX: usize = 50;

/// The most grants of one command.
const GRANTS_MAX: usize = 500;

/// The longest that a review takes.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3_600);

/// A review that is not closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Of what, until when and by whom.
    pub spec: ReviewSpec,
    /// Since when.
    pub started_at: Timestamp,
    /// What was confirmed.
    pub confirmed: BTreeSet<GrantId>,
}

impl Review {
    /// True if it has to look at this grant.
    pub fn is_of(&self, grant: &GrantId, terms: &Terms) -> bool {
        self.spec.on.contains(&grant.on) && terms.elevation.is_none() && terms.given_at <= self.started_at
    }
}

impl Access {
    /// The reviews that are not closed.
    pub fn reviews(&self) -> impl Iterator<Item = (&ReviewId, &Review)> {
        self.reviews.iter()
    }

    /// The review of this name, unless it is closed.
    pub fn review(&self, review: &ReviewId) -> Option<&Review> {
        self.reviews.get(review)
    }

    /// The grants of a review that nobody has confirmed.
    pub fn unreviewed<'a>(&'a self, review: &'a Review) -> impl Iterator<Item = GrantId> + use<'a> {
        let all = self.grants.keys().flat_map(|to| self.given_to(to));
        let of = all.filter(|(grant, terms)| review.is_of(grant, terms) && !review.confirmed.contains(grant));
        of.map(|(grant, _)| grant)
    }

    /// The first review that has to look at this grant, and nobody has confirmed it.
    pub fn unreviewed_in(&self, grant: &GrantId, terms: &Terms) -> Option<&ReviewId> {
        let open = |review: &Review| review.is_of(grant, terms) && !review.confirmed.contains(grant);
        self.reviews.iter().find(|(_, review)| open(review)).map(|(name, _)| name)
    }

    pub(super) fn start_review(&self, start: &StartReview, stamp: &Stamp) -> Result<Vec<AccessEvent>, Rejection> {
        let StartReview { review, on, due, reviewers, revoke_unreviewed } = start.clone();
        super::within("on", &on, stamp)?;
        limit::count("reviewers", reviewers.len(), REVIEWERS_MAX)?;
        let spec = ReviewSpec { on, due, reviewers, revoke_unreviewed };
        match self.reviews.get(&review) {
            Some(known) if known.spec == spec => return Ok(vec![]),
            Some(_) => return Err(Rejection::AlreadyExists { what: "review".to_owned(), id: review.to_string() }),
            None => {}
        }
        limit::future("due", Some(due), stamp.at)?;
        if due > stamp.at.plus(LONGEST) {
            return Err(Rejection::invalid("due", "is more than a year away"));
        }
        limit::count("open reviews", self.reviews.len() + 1, OPEN_MAX)?;
        // A grant has one moment at which it ends.
        let rival = |other: &Review| other.spec.revoke_unreviewed && overlap(&other.spec.on, &spec.on);
        if revoke_unreviewed && let Some((other, _)) = self.reviews.iter().find(|(_, other)| rival(other)) {
            let reason = format!("the review {other} revokes there too: close it first");
            return Err(Rejection::invalid("revoke_unreviewed", reason));
        }
        Ok(vec![AccessEvent::ReviewStarted { review, spec }])
    }

    fn open_review(&self, review: &ReviewId) -> Result<&Review, Rejection> {
        self.reviews.get(review).ok_or_else(|| Rejection::not_found("open review", review))
    }

    /// The grants that are told, each once, if the sender may look at them and the review has to.
    fn looked_at(&self, review: &Review, grants: &[GrantId], stamp: &Stamp) -> Result<BTreeSet<GrantId>, Rejection> {
        limit::count("grants", grants.len(), GRANTS_MAX)?;
        if grants.is_empty() {
            return Err(Rejection::invalid("grants", "name one or more; steward access review lists them"));
        }
        check_reviewer(review, stamp)?;
        for grant in grants {
            let terms = self.terms(grant).ok_or_else(|| Rejection::not_found("grant", grant))?;
            if !review.is_of(grant, terms) {
                let reason = format!("{grant} is not of this review: it is of another scope, or was given since");
                return Err(Rejection::invalid("grants", reason));
            }
        }
        Ok(grants.iter().cloned().collect())
    }

    pub(super) fn confirm_reviewed(
        &self,
        confirm: &ConfirmReviewed,
        stamp: &Stamp,
    ) -> Result<Vec<AccessEvent>, Rejection> {
        let ConfirmReviewed { review, grants, reason } = confirm.clone();
        limit::reason(&reason)?;
        let open = self.open_review(&review)?;
        let grants = self.looked_at(open, &grants, stamp)?;
        if let Some(own) = grants.iter().find(|grant| grant.to == stamp.actor) {
            return Err(Rejection::invalid("grants", format!("{own}: nobody confirms what they hold themselves")));
        }
        let grants: Vec<GrantId> = grants.into_iter().filter(|grant| !open.confirmed.contains(grant)).collect();
        if !grants.is_empty() && open.spec.revoke_unreviewed && open.spec.due <= stamp.at {
            return Err(Rejection::stale(format!("the review was due at {}: give them again", open.spec.due)));
        }
        Ok(if grants.is_empty() { vec![] } else { vec![AccessEvent::GrantsConfirmed { review, grants, reason }] })
    }

    pub(super) fn revoke_reviewed(
        &self,
        revoke: &RevokeReviewed,
        stamp: &Stamp,
    ) -> Result<Vec<AccessEvent>, Rejection> {
        let RevokeReviewed { review, grants, reason } = revoke.clone();
        limit::reason(&reason)?;
        let open = self.open_review(&review)?;
        let because = format!("review {review}: {reason}");
        let grants = self.looked_at(open, &grants, stamp)?.into_iter();
        Ok(grants.map(|grant| AccessEvent::GrantRevoked { grant, reason: because.clone() }).collect())
    }

    /// Closes a review. One that revokes does so when it is due, so many grants at a time, and is closed with the last.
    pub(super) fn close_review(&self, close: &CloseReview, stamp: &Stamp) -> Result<Vec<AccessEvent>, Rejection> {
        let CloseReview { review, reason } = close.clone();
        limit::reason(&reason)?;
        let open = self.open_review(&review)?;
        check_reviewer(open, stamp)?;
        let left: Vec<GrantId> = self.unreviewed(open).collect();
        let unreviewed = u32::try_from(left.len()).unwrap_or(u32::MAX);
        let closed = AccessEvent::ReviewClosed { review: review.clone(), unreviewed, reason };
        if !open.spec.revoke_unreviewed || stamp.at < open.spec.due {
            return Ok(vec![closed]);
        }
        let because = format!("review {review}: nobody confirmed it until {}", open.spec.due);
        let all = left.len() <= REVOKED_MAX;
        let revoked = left.into_iter().take(REVOKED_MAX);
        let revoked = revoked.map(|grant| AccessEvent::GrantRevoked { grant, reason: because.clone() });
        Ok(revoked.chain(all.then_some(closed)).collect())
    }

    pub(super) fn apply_review(&mut self, event: &AccessEvent, at: Timestamp) {
        match event.clone() {
            AccessEvent::ReviewStarted { review, spec } => {
                let due = spec.revoke_unreviewed.then_some(spec.due);
                let started = Review { spec, started_at: at, confirmed: BTreeSet::new() };
                if due.is_some() {
                    let grants: Vec<GrantId> = self.unreviewed(&started).collect();
                    self.let_end(&grants, due);
                }
                self.reviews.insert(review, started);
            }
            AccessEvent::GrantsConfirmed { review, grants, .. } => {
                let Some(open) = self.reviews.get_mut(&review) else { return };
                open.confirmed.extend(grants.iter().cloned());
                if open.spec.revoke_unreviewed {
                    self.let_end(&grants, None);
                }
            }
            AccessEvent::ReviewClosed { review, .. } => {
                let Some(closed) = self.reviews.remove(&review) else { return };
                if closed.spec.revoke_unreviewed {
                    let grants: Vec<GrantId> = self.unreviewed(&closed).collect();
                    self.let_end(&grants, None);
                }
            }
            _ => {}
        }
    }

    fn let_end(&mut self, grants: &[GrantId], due: Option<Timestamp>) {
        for GrantId { to, role, on } in grants {
            let held = self.grants.get_mut(to).and_then(|held| held.get_mut(&(role.clone(), on.clone())));
            if let Some(terms) = held {
                terms.review_due = due;
            }
        }
    }

    pub(super) fn told_review(&self, review: &ReviewId) -> Value {
        let left = self.reviews.get(review).map(|open| self.unreviewed(open).count());
        json!({ "review": review, "unreviewed": left })
    }
}

fn check_reviewer(review: &Review, stamp: &Stamp) -> Result<(), Rejection> {
    let reviewers = &review.spec.reviewers;
    if reviewers.is_empty() || reviewers.contains(&stamp.actor) {
        return Ok(());
    }
    let named: Vec<&str> = reviewers.iter().map(AsRef::as_ref).collect();
    Err(Rejection::invalid("review", format!("is looked at by {} only", named.join(", "))))
}
