//! The line: calls that do not fit now but may once others settle, first come, first served.
//!
//! A ticket keeps what its call needs from those behind it, in the budgets that both touch and in no other. It is kept
//! by asking again; the ticket of a gateway that died is void after [`TICKET_TTL`].

use std::time::Duration;

use steward_events::id::CallId;
use steward_events::quantity::Amounts;
use steward_events::scope::ScopeSet;
use steward_events::timestamp::Timestamp;

/// How long a ticket is good without being asked for again.
pub const TICKET_TTL: Duration = Duration::from_secs(3);

/// A ticket this old is recorded anew when asked for again.
pub(super) const TICKET_REFRESH: Duration = Duration::from_secs(1);

/// The most tickets at once in a tenant.
pub const LINE_MAX: usize = 1_024;

/// A place in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Whose.
    pub call: CallId,
    /// For which scopes.
    pub scopes: ScopeSet,
    /// What those behind may not take.
    pub need: Amounts,
    /// When it was last asked for.
    pub seen: Timestamp,
}

impl Ticket {
    /// True if its holder was heard of lately.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now.since(self.seen) <= TICKET_TTL
    }
}

/// The tickets, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(Vec<Ticket>);

impl Line {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Ticket> {
        self.0.iter()
    }

    pub(super) fn ticket(&self, call: &CallId) -> Option<&Ticket> {
        self.0.iter().find(|ticket| ticket.call == *call)
    }

    /// The live tickets before `call`'s; all of them if it has none.
    pub(super) fn ahead_of<'a>(&'a self, call: &'a CallId, now: Timestamp) -> impl Iterator<Item = &'a Ticket> {
        let end = self.0.iter().position(|ticket| ticket.call == *call && ticket.is_live(now));
        self.0[..end.unwrap_or(self.0.len())].iter().filter(move |ticket| ticket.is_live(now) && ticket.call != *call)
    }

    pub(super) fn void(&self, now: Timestamp) -> impl Iterator<Item = &Ticket> {
        self.0.iter().filter(move |ticket| !ticket.is_live(now))
    }

    pub(super) fn live(&self, now: Timestamp) -> usize {
        self.0.iter().filter(|ticket| ticket.is_live(now)).count()
    }

    /// Takes a place at the end, or keeps the one there is.
    pub(super) fn put(&mut self, ticket: Ticket) {
        match self.0.iter_mut().find(|held| held.call == ticket.call) {
            Some(held) => *held = ticket,
            None => self.0.push(ticket),
        }
    }

    pub(super) fn remove(&mut self, call: &CallId) {
        self.0.retain(|ticket| ticket.call != *call);
    }
}
