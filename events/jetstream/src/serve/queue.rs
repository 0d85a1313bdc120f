//! Who is next: requests wait by tenant and principal, and are begun in turn.
//!
//! Knows counts and bytes. It must not know what a request is. Each tenant and each principal may have so many begun and so
//! many waiting; what is over that is refused at once, so that nobody waits behind another's flood. Parts of Steward act for
//! all tenants and wait in a lane of their own.

use std::collections::{HashMap, VecDeque};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward_events::id::{PrincipalId, TenantId};

/// Requests of one noun or view at a time, begun and waiting. The last quarter of what may wait is for tenants of which
/// next to nothing waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Requests {
    /// Bytes of one request's body; a larger one is refused when it comes.
    pub body_bytes_max: usize,
    /// Begun at once, over all tenants.
    pub begun_max: usize,
    /// Begun at once for one tenant.
    pub begun_per_tenant_max: usize,
    /// Begun at once for one principal.
    pub begun_per_principal_max: usize,
    /// Waiting, over all tenants; further ones are told to come back.
    pub waiting_max: usize,
    /// Waiting of one tenant.
    pub waiting_per_tenant_max: usize,
    /// Waiting of one principal.
    pub waiting_per_principal_max: usize,
    /// Bytes of what waits, over all tenants; half of it of one tenant.
    pub waiting_bytes_max: usize,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            body_bytes_max: 256 * 1024,
            begun_max: 4_096,
            begun_per_tenant_max: 512,
            begun_per_principal_max: 128,
            waiting_max: 8_192,
            waiting_per_tenant_max: 2_048,
            waiting_per_principal_max: 1_024,
            waiting_bytes_max: 32 * 1024 * 1024,
        }
    }
}

/// Whose requests share their bounds: a tenant's, or those of the parts of Steward.
type LaneOf = Option<TenantId>;

/// Requests that wait, and how many are begun for whom.
pub(super) struct Queue<T> {
    bounds: Requests,
    lanes: HashMap<LaneOf, Lane<T>>,
    /// Lanes in which something waits, the next one first.
    turns: VecDeque<LaneOf>,
    begun: usize,
    waiting: Waiting,
}

#[derive(Clone, Copy, Default)]
struct Waiting {
    count: usize,
    bytes: usize,
}

struct Lane<T> {
    principals: HashMap<PrincipalId, Own<T>>,
    turns: VecDeque<PrincipalId>,
    begun: usize,
    waiting: Waiting,
}

/// What is one principal's.
struct Own<T> {
    waiting: VecDeque<(T, usize)>,
    begun: usize,
}

/// A place, to be given back to [`Queue::end`].
#[derive(Clone, Debug)]
pub(super) struct Place {
    lane: LaneOf,
    principal: PrincipalId,
}

/// There is no room to wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full<T> {
    pub(super) request: T,
    /// Whose room is full, for people.
    pub(super) whose: &'static str,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { principals: HashMap::new(), turns: VecDeque::new(), begun: 0, waiting: Waiting::default() }
    }
}

impl<T> Default for Own<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), begun: 0 }
    }
}

impl<T> Queue<T> {
    pub(super) fn new(bounds: Requests) -> Self {
        Self { bounds, lanes: HashMap::new(), turns: VecDeque::new(), begun: 0, waiting: Waiting::default() }
    }

    /// Lets `request` wait for its turn.
    ///
    /// # Errors
    /// [`Full`] if there is no room.
    pub(super) fn push(
        &mut self,
        tenant: &TenantId,
        principal: &PrincipalId,
        bytes: usize,
        request: T,
    ) -> Result<(), Full<T>> {
        let lane = (!principal.is_system()).then(|| tenant.clone());
        if let Some(whose) = self.full(&lane, principal, bytes) {
            self.forget_idle(&lane, principal);
            return Err(Full { request, whose });
        }
        let Lane { principals, turns, waiting, .. } = self.lanes.entry(lane.clone()).or_default();
        if waiting.count == 0 {
            self.turns.push_back(lane);
        }
        let own = principals.entry(principal.clone()).or_default();
        if own.waiting.is_empty() {
            turns.push_back(principal.clone());
        }
        own.waiting.push_back((request, bytes));
        for waiting in [waiting, &mut self.waiting] {
            waiting.count += 1;
            waiting.bytes += bytes;
        }
        Ok(())
    }

    /// Whose room is full, if one's is.
    fn full(&self, of: &LaneOf, principal: &PrincipalId, bytes: usize) -> Option<&'static str> {
        let bounds = &self.bounds;
        let lane = self.lanes.get(of);
        let Waiting { count, bytes: held } = lane.map_or_else(Waiting::default, |lane| lane.waiting);
        let few = count < bounds.waiting_max / 64 && held + bytes <= bounds.body_bytes_max;
        let part = |all: usize| if few { all } else { all - all / 4 };
        if self.waiting.count >= part(bounds.waiting_max)
            || self.waiting.bytes.saturating_add(bytes) > part(bounds.waiting_bytes_max)
        {
            return Some("all tenants");
        }
        if of.is_none() {
            return None;
        }
        if count >= bounds.waiting_per_tenant_max || held.saturating_add(bytes) > bounds.waiting_bytes_max / 2 {
            return Some("this tenant");
        }
        let own = lane.and_then(|lane| lane.principals.get(principal)).map_or(0, |own| own.waiting.len());
        (own >= bounds.waiting_per_principal_max).then_some("this principal")
    }

    /// The next request that may be begun, with its place.
    pub(super) fn next(&mut self) -> Option<(Place, T)> {
        if self.begun >= self.bounds.begun_max {
            return None;
        }
        for _ in 0..self.turns.len() {
            let of = self.turns.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&of) else { continue };
            let (of_lane, of_principal) = match of {
                Some(_) => (self.bounds.begun_per_tenant_max, self.bounds.begun_per_principal_max),
                None => (self.bounds.begun_max, self.bounds.begun_max),
            };
            let found = if lane.begun < of_lane { lane.next(of_principal) } else { None };
            if let Some((_, _, bytes)) = &found {
                self.begun += 1;
                self.waiting.count -= 1;
                self.waiting.bytes -= bytes;
            }
            if lane.waiting.count > 0 {
                self.turns.push_back(of.clone());
            }
            if let Some((principal, request, _)) = found {
                return Some((Place { lane: of, principal }, request));
            }
        }
        None
    }

    /// Takes back the place of a request that has ended.
    pub(super) fn end(&mut self, Place { lane: of, principal }: &Place) {
        self.begun = self.begun.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(of) {
            lane.begun = lane.begun.saturating_sub(1);
            if let Some(own) = lane.principals.get_mut(principal) {
                own.begun = own.begun.saturating_sub(1);
            }
        }
        self.forget_idle(of, principal);
    }

    /// Nothing is kept of those for whom nothing waits and nothing is begun.
    fn forget_idle(&mut self, of: &LaneOf, principal: &PrincipalId) {
        let Some(lane) = self.lanes.get_mut(of) else { return };
        if lane.principals.get(principal).is_some_and(|own| own.begun == 0 && own.waiting.is_empty()) {
            lane.principals.remove(principal);
        }
        if lane.principals.is_empty() {
            self.lanes.remove(of);
        }
    }
}

impl<T> Lane<T> {
    /// The next request of a principal that may have another one begun.
    fn next(&mut self, begun_max: usize) -> Option<(PrincipalId, T, usize)> {
        for _ in 0..self.turns.len() {
            let principal = self.turns.pop_front()?;
            let Some(own) = self.principals.get_mut(&principal) else { continue };
            let found = if own.begun < begun_max { own.waiting.pop_front() } else { None };
            if !own.waiting.is_empty() {
                self.turns.push_back(principal.clone());
            }
            if let Some((request, bytes)) = found {
                own.begun += 1;
                self.begun += 1;
                self.waiting.count -= 1;
                self.waiting.bytes -= bytes;
                return Some((principal, request, bytes));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Requests = Requests {
        body_bytes_max: 10,
        begun_max: 8,
        begun_per_tenant_max: 4,
        begun_per_principal_max: 2,
        waiting_max: 64,
        waiting_per_tenant_max: 16,
        waiting_per_principal_max: 8,
        waiting_bytes_max: 400,
    };

    fn push(queue: &mut Queue<u32>, tenant: &str, principal: &str, number: u32) -> Result<(), &'static str> {
        let pushed = queue.push(&tenant.parse().unwrap(), &principal.parse().unwrap(), 10, number);
        pushed.map_err(|full| full.whose)
    }

    fn begun(queue: &mut Queue<u32>) -> Vec<(Place, u32)> {
        std::iter::from_fn(|| queue.next()).collect()
    }

    #[test]
    fn tenants_and_principals_take_turns() {
        let mut queue = Queue::new(BOUNDS);
        for number in 0..6 {
            push(&mut queue, "acme", "p_a", number).unwrap();
        }
        push(&mut queue, "acme", "p_b", 10).unwrap();
        push(&mut queue, "globex", "p_a", 20).unwrap();
        let order: Vec<u32> = begun(&mut queue).into_iter().map(|(_, number)| number).collect();
        assert_eq!(order, [0, 20, 10, 1], "one principal has two at once");
    }

    #[test]
    fn a_place_is_given_to_the_next_of_the_same() {
        let mut queue = Queue::new(BOUNDS);
        for number in 0..3 {
            push(&mut queue, "acme", "p_a", number).unwrap();
        }
        let places = begun(&mut queue);
        assert_eq!(places.len(), 2);
        queue.end(&places[0].0);
        let (place, number) = queue.next().unwrap();
        assert_eq!(number, 2);
        queue.end(&place);
        queue.end(&places[1].0);
        assert!(queue.lanes.is_empty() && queue.turns.is_empty(), "nothing is kept of those that are idle");
        assert_eq!((queue.begun, queue.waiting.count, queue.waiting.bytes), (0, 0, 0));
    }

    #[test]
    fn a_flood_is_refused_and_leaves_room_for_others() {
        let mut queue = Queue::new(BOUNDS);
        for number in 0..8 {
            push(&mut queue, "acme", "p_a", number).unwrap();
        }
        assert_eq!(push(&mut queue, "acme", "p_a", 8), Err("this principal"));
        for number in 0..8 {
            push(&mut queue, "acme", "p_b", number).unwrap();
        }
        assert_eq!(push(&mut queue, "acme", "p_c", 0), Err("this tenant"));
        // Other floods fill three quarters of the room for bytes, 30 requests; who has nothing waiting still gets in.
        for number in 0..14 {
            push(&mut queue, "globex", if number < 7 { "p_a" } else { "p_b" }, number).unwrap();
        }
        assert_eq!(push(&mut queue, "globex", "p_c", 0), Err("all tenants"));
        push(&mut queue, "initech", "p_a", 1).unwrap();
        // All that may be begun for one tenant is begun, and the others come between.
        let first: Vec<Place> = begun(&mut queue).into_iter().map(|(place, _)| place).collect();
        assert_eq!(first.len(), 8);
        assert!(first.iter().take(3).any(|place| place.lane == Some("initech".parse().unwrap())));
    }

    #[test]
    fn parts_of_steward_have_a_lane_of_their_own() {
        let mut queue = Queue::new(BOUNDS);
        for number in 0..20 {
            push(&mut queue, "acme", "sys_worker", number).unwrap();
        }
        push(&mut queue, "acme", "p_a", 100).unwrap();
        let order: Vec<u32> = begun(&mut queue).into_iter().map(|(_, number)| number).collect();
        assert_eq!(order, [0, 100, 1, 2, 3, 4, 5, 6]);
    }
}
