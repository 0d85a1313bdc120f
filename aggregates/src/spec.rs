//! Given/when/then.

use std::fmt::Debug;

use steward_events::commit::{Entry, Recorded};
use steward_events::event::Event;
use steward_events::id::{CommandId, CorrelationId, PrincipalId, StreamId, TenantId};
use steward_events::quantity::{Position, Shard, Version};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_events::view::View;

use crate::aggregate::{Aggregate, Stamp};

/// A stamp for tests: tenant `acme`, principal `p_ana`, at one second past 1970.
#[allow(clippy::unwrap_used)] // literals
pub fn stamp() -> Stamp {
    Stamp {
        command: CommandId::new("c1").unwrap(),
        at: Timestamp(1_000_000),
        tenant: TenantId::new("acme").unwrap(),
        actor: PrincipalId::new("p_ana").unwrap(),
        key: None,
        on_behalf_of: None,
        reach: Scope::tenant(&TenantId::new("acme").unwrap()),
        timezone: "UTC".to_owned(),
        quotas: steward_events::event::Quotas::default(),
        shards: 8,
    }
}

/// What has happened before.
pub struct Given<A> {
    state: A,
    stamp: Stamp,
}

/// What was decided.
pub struct When<E> {
    outcome: Result<Vec<E>, Rejection>,
}

/// Begins with these events, all recorded at the start of 1970.
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let mut state = A::default();
    for event in events {
        state.apply(&event, Timestamp(0));
    }
    Given { state, stamp: stamp() }
}

impl<A: Aggregate> Given<A> {
    /// Decides at this moment.
    pub fn at(mut self, at: Timestamp) -> Self {
        self.stamp.at = at;
        self
    }

    /// In the stream of this tenant.
    pub fn of(mut self, tenant: TenantId) -> Self {
        self.stamp.tenant = tenant;
        self
    }

    /// Decides this command.
    pub fn when(self, command: impl Into<A::Command>) -> When<A::Event> {
        When { outcome: self.state.decide(&command.into(), &self.stamp) }
    }
}

#[allow(clippy::panic)]
impl<E: PartialEq + Debug> When<E> {
    /// Exactly these events follow.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = E>) {
        let expected: Vec<E> = expected.into_iter().collect();
        assert_eq!(self.outcome, Ok(expected));
    }

    /// It is refused, for this reason.
    #[track_caller]
    pub fn then_rejected(self, expected: &Rejection) {
        match self.outcome {
            Err(rejection) => assert_eq!(rejection, *expected),
            Ok(events) => panic!("expected {expected:?}, got {events:?}"),
        }
    }
}

/// Folds one event of `tenant` into `view`, as recorded at `at` by nobody in particular.
#[allow(clippy::unwrap_used)] // literals
pub fn fold(view: &mut impl View, tenant: &TenantId, at: Timestamp, event: impl Into<Event>) {
    let event = event.into();
    let stream = StreamName { shard: Shard(0), tenant: tenant.clone(), kind: event.kind(), id: StreamId::main() };
    let entry = Entry {
        command: CommandId::new("c1").unwrap(),
        at,
        actor: PrincipalId::new("p_ana").unwrap(),
        on_behalf_of: None,
        key: None,
        causation: None,
        correlation: CorrelationId::new("r1").unwrap(),
        body: None,
        events: vec![event.clone()],
    };
    let (position, version) = (Position(1), Version(1));
    view.apply(&Recorded { stream: &stream, position, version, index: 0, entry: &entry, event: &event });
}
