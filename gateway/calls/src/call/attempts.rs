//! Which target a call asks next, while none has answered. Pure: time and chance are given to it.
//!
//! First every target of the course once, without waiting; then those that may be better soon, after a pause that grows. What
//! a target refused for what the request is goes only to targets that are there for such refusals.

use std::collections::VecDeque;
use std::time::Duration;

use steward_aggregates::catalog::Course;
use steward_events::event::RefusedFor;

use crate::recourse::Recourse;
use crate::targets::TargetsConfig;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// The target, by its number in the route.
    pub(super) target: usize,
    /// How long to wait before.
    pub(super) wait: Duration,
    /// True if it is to be asked although it should be left alone: there is no other.
    pub(super) last_resort: bool,
}

/// The attempts of one call, as far as they have come.
pub(super) struct Attempts<'a> {
    config: &'a TargetsConfig,
    /// To be asked in this round.
    queue: VecDeque<usize>,
    /// To be asked if nobody else is left: they should be left alone.
    put_off: VecDeque<usize>,
    /// To be asked only after a refusal for one of these reasons.
    after_refusal: Vec<(usize, &'a [RefusedFor])>,
    /// The request was refused for this.
    refused_for: Option<RefusedFor>,
    /// Asked in vain, and not before this time again.
    again: Vec<(usize, Duration)>,
    /// They take no more before this time.
    full: Vec<(usize, Duration)>,
    /// Until when those are waited for.
    full_until: Option<Duration>,
    /// From 0 on: in the first one nobody waits.
    round: u32,
}

impl<'a> Attempts<'a> {
    /// Over a course; `on` says for which refusals a target is.
    pub(super) fn new(course: &Course, on: impl Fn(usize) -> &'a [RefusedFor], config: &'a TargetsConfig) -> Self {
        Self {
            config,
            queue: course.order.iter().copied().collect(),
            put_off: VecDeque::new(),
            after_refusal: course.after_refusal.iter().map(|number| (*number, on(*number))).collect(),
            refused_for: None,
            again: Vec::new(),
            full: Vec::new(),
            full_until: None,
            round: 0,
        }
    }

    /// The next target to ask; none if there is nobody left.
    pub(super) fn next(&mut self, now: Duration, lot: u64) -> Option<Next> {
        if let Some(target) = self.unasked() {
            let is_last = self.queue.is_empty() && self.put_off.is_empty() && !self.has_meant();
            return Some(Next { target, wait: Duration::ZERO, last_resort: is_last && self.round == 0 });
        }
        if let Some(target) = self.put_off.pop_front() {
            return Some(Next { target, wait: Duration::ZERO, last_resort: true });
        }
        let (again, full) = (soonest(&self.again), soonest(&self.full));
        if let Some((place, at)) = full
            && again.is_none_or(|(_, other)| at <= other)
        {
            let (target, _) = self.full.remove(place);
            return Some(Next { target, wait: at.saturating_sub(now), last_resort: false });
        }
        let (place, at) = again?;
        let (target, _) = self.again.remove(place);
        let pause = self.config.retry_after(self.round, lot);
        self.round = self.round.saturating_add(1);
        Some(Next { target, wait: at.saturating_sub(now).max(pause), last_resort: false })
    }

    /// The next target that may be asked while another one is; none but those that nobody asked yet.
    pub(super) fn hedge(&mut self) -> Option<Next> {
        let target = self.queue.pop_front()?;
        Some(Next { target, wait: Duration::ZERO, last_resort: false })
    }

    /// The target that was next is to be left alone: it is asked if nobody else is left, but not a second time.
    pub(super) fn put_off(&mut self, target: usize) {
        if self.round == 0 {
            self.put_off.push_back(target);
        }
    }

    /// The target that was next takes no more for `wait`: all others are asked before, then it is waited for, within a bound
    /// over all such waits.
    pub(super) fn full(&mut self, target: usize, wait: Duration, now: Duration) {
        let until = *self.full_until.get_or_insert(now.saturating_add(self.config.minute_wait_max));
        let at = now.saturating_add(wait);
        if at <= until {
            self.full.push((target, at));
        }
    }

    /// The target that was next failed, and this is what can be done about it. False if that is nothing.
    pub(super) fn failed(&mut self, target: usize, recourse: &Recourse, now: Duration) -> bool {
        if let Some(reason) = recourse.refused_for
            && self.after_refusal.iter().any(|(_, on)| on.contains(&reason))
        {
            // All others would refuse it likewise.
            self.queue.clear();
            self.put_off.clear();
            self.again.clear();
            self.full.clear();
            self.refused_for = Some(reason);
            return true;
        }
        if let Some(wait) = recourse.again.filter(|wait| *wait <= self.config.retry_wait_max) {
            self.again.push((target, now.saturating_add(wait)));
        }
        recourse.elsewhere
    }

    fn unasked(&mut self) -> Option<usize> {
        self.queue.pop_front().or_else(|| {
            let reason = self.refused_for?;
            let place = self.after_refusal.iter().position(|(_, on)| on.contains(&reason))?;
            Some(self.after_refusal.remove(place).0)
        })
    }

    fn has_meant(&self) -> bool {
        self.refused_for.is_some_and(|reason| self.after_refusal.iter().any(|(_, on)| on.contains(&reason)))
    }
}

/// The place of the one that is to be asked soonest, and when.
fn soonest(waiting: &[(usize, Duration)]) -> Option<(usize, Duration)> {
    waiting.iter().enumerate().map(|(place, (_, at))| (place, *at)).min_by_key(|(_, at)| *at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(100);
    const NOWHERE: Recourse = Recourse { elsewhere: false, again: None, refused_for: None };
    const ELSEWHERE: Recourse = Recourse { elsewhere: true, ..NOWHERE };
    const SOON: Recourse = Recourse { again: Some(Duration::ZERO), ..ELSEWHERE };
    const LENGTH: &[RefusedFor] = &[RefusedFor::ContextLength];

    fn course(order: &[usize], after_refusal: &[usize]) -> Course {
        Course { order: order.to_vec(), after_refusal: after_refusal.to_vec(), ..Course::default() }
    }

    fn asked(attempts: &mut Attempts<'_>, recourse: &Recourse, most: usize) -> Vec<usize> {
        let mut asked = Vec::new();
        while asked.len() < most
            && let Some(next) = attempts.next(NOW, 0)
        {
            asked.push(next.target);
            if !attempts.failed(next.target, recourse, NOW) {
                break;
            }
        }
        asked
    }

    #[test]
    fn every_target_is_asked_before_any_again() {
        let config = TargetsConfig::default();
        let course = course(&[1, 0], &[2]);
        let attempts = || Attempts::new(&course, |_| LENGTH, &config);
        assert_eq!(asked(&mut attempts(), &SOON, 5), [1, 0, 1, 0, 1]);
        assert_eq!(asked(&mut attempts(), &ELSEWHERE, 5), [1, 0]);
        assert_eq!(asked(&mut attempts(), &NOWHERE, 5), [1]);
    }

    #[test]
    fn what_is_refused_for_its_length_goes_to_targets_for_that() {
        let config = TargetsConfig::default();
        let course = course(&[0, 1], &[2, 3, 4]);
        let on = |number| if number == 3 { &[RefusedFor::ContentFilter][..] } else { LENGTH };
        let refused = |reason| Recourse { refused_for: Some(reason), ..NOWHERE };
        let mut attempts = Attempts::new(&course, on, &config);
        assert_eq!(asked(&mut attempts, &refused(RefusedFor::ContextLength), 9), [0, 2, 4]);
        let mut attempts = Attempts::new(&course, on, &config);
        assert_eq!(asked(&mut attempts, &refused(RefusedFor::ContentFilter), 9), [0, 3]);
        let mut attempts = Attempts::new(&course, |_| &[], &config);
        assert_eq!(asked(&mut attempts, &refused(RefusedFor::ContentFilter), 9), [0], "nobody is there for it");
    }

    #[test]
    fn a_provider_that_wants_a_long_rest_is_not_asked_again() {
        let config = TargetsConfig::default();
        let course = course(&[0], &[]);
        for (wait, again) in [(config.retry_wait_max, true), (config.retry_wait_max + Duration::from_millis(1), false)]
        {
            let mut attempts = Attempts::new(&course, |_| &[], &config);
            attempts.next(NOW, 0);
            assert!(attempts.failed(0, &Recourse { again: Some(wait), ..ELSEWHERE }, NOW));
            let next = attempts.next(NOW, 0);
            assert_eq!(next.map(|next| next.wait), again.then_some(wait));
        }
    }

    #[test]
    fn a_hedge_goes_to_who_was_not_asked_yet() {
        let config = TargetsConfig::default();
        let course = course(&[0, 1], &[2]);
        let mut attempts = Attempts::new(&course, |_| LENGTH, &config);
        attempts.next(NOW, 0);
        assert_eq!(attempts.hedge().map(|next| next.target), Some(1));
        assert_eq!(attempts.hedge(), None, "nobody twice at once, and nobody who is there for refusals");
    }

    #[test]
    fn a_full_target_is_waited_for_after_the_others_and_within_its_bound() {
        let config = TargetsConfig::default();
        let course = course(&[0, 1, 2], &[]);
        let mut attempts = Attempts::new(&course, |_| &[], &config);
        let bound = config.minute_wait_max;
        attempts.next(NOW, 0);
        attempts.full(0, bound, NOW);
        attempts.next(NOW, 0);
        attempts.full(1, bound + Duration::from_millis(1), NOW);
        assert_eq!(attempts.next(NOW, 0).map(|next| next.target), Some(2));
        attempts.full(2, bound / 2, NOW);
        let next = |attempts: &mut Attempts<'_>, now| attempts.next(now, 0).map(|next| (next.target, next.wait));
        assert_eq!(next(&mut attempts, NOW), Some((2, bound / 2)));
        let later = NOW + bound / 2;
        attempts.full(2, bound, later);
        assert_eq!(next(&mut attempts, later), Some((0, bound / 2)), "its time is over for the other");
        assert_eq!(next(&mut attempts, later), None);
    }

    #[test]
    fn a_target_to_be_left_alone_is_the_last_resort_once() {
        let config = TargetsConfig::default();
        let course = course(&[0, 1], &[]);
        let mut attempts = Attempts::new(&course, |_| &[], &config);
        assert_eq!(attempts.next(NOW, 0).map(|next| next.last_resort), Some(false));
        attempts.put_off(0);
        assert_eq!(attempts.next(NOW, 0).map(|next| (next.target, next.last_resort)), Some((1, false)));
        attempts.put_off(1);
        let last = Next { target: 0, wait: Duration::ZERO, last_resort: true };
        assert_eq!(attempts.next(NOW, 0), Some(last));
        attempts.failed(0, &SOON, NOW);
        assert_eq!(attempts.next(NOW, 0).map(|next| next.target), Some(1));
        attempts.failed(1, &ELSEWHERE, NOW);
        assert_eq!(attempts.next(NOW, 0).map(|next| (next.target, next.last_resort)), Some((0, false)));
        attempts.put_off(0);
        assert_eq!(attempts.next(NOW, 0), None);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_its_bound(
            hints in prop::collection::vec(prop::option::of(0_u64..5_000), 1..20), lots in any::<u64>(),
        ) {
            let config = TargetsConfig::default();
            let course = course(&[0, 1, 2], &[]);
            let mut attempts = Attempts::new(&course, |_| &[], &config);
            for hint in hints {
                let Some(next) = attempts.next(NOW, lots) else { break };
                prop_assert!(next.wait <= config.retry_wait_max);
                let again = Some(Duration::from_millis(hint.unwrap_or_default()));
                attempts.failed(next.target, &Recourse { again, ..ELSEWHERE }, NOW);
            }
        }
    }
}
