//! A budget with another limit, held against the calls that were made: the ledger's arithmetic, call by call in the order of
//! the log. What the log does not tell is which leases gateways held beside their calls; here a call holds out its own worst
//! case and nothing else.

use std::collections::{BTreeMap, HashMap};

use steward_events::command::SetBudget;
use steward_events::id::CallId;
use steward_events::quantity::{Amounts, Limit};
use steward_events::scope::ScopeSet;
use steward_events::timestamp::Timestamp;
use steward_events::window;
use steward_queries::{BudgetSoFar, OpenCall, WindowSoFar};

/// The most running calls of one budget that are told apart; what is beyond counts as spent in full.
const OPEN_MAX: usize = 4_096;

/// Windows that are kept after another has begun: calls that began in one may end later.
const WINDOWS_MAX: usize = 64;

/// Whether a call fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// There is room.
    Fits,
    /// There would be if no other call ran.
    Waits,
    /// What is spent leaves no room.
    No,
}

/// One budget as it is supposed to be.
#[derive(Debug)]
pub(super) struct Supposed {
    /// The command, by its place.
    pub(super) change: u32,
    set: SetBudget,
    timezone: String,
    windows: BTreeMap<Timestamp, Row>,
    /// When the window ends that was asked for last.
    now: Option<(Timestamp, Option<Timestamp>)>,
    open: HashMap<CallId, (Timestamp, u64)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    spent: u64,
    held: u64,
}

impl Supposed {
    pub(super) fn new(change: u32, set: SetBudget, timezone: &str, so_far: Option<&BudgetSoFar>) -> Self {
        let mut budget = Self {
            change,
            set,
            timezone: timezone.to_owned(),
            windows: BTreeMap::new(),
            now: None,
            open: HashMap::new(),
        };
        for WindowSoFar { from, spent } in so_far.iter().flat_map(|so_far| &so_far.windows).take(WINDOWS_MAX) {
            budget.windows.entry(*from).or_default().spent = *spent;
        }
        for OpenCall { call, from, worst } in so_far.iter().flat_map(|so_far| &so_far.open).take(OPEN_MAX) {
            budget.windows.entry(*from).or_default().held += worst;
            budget.open.insert(call.clone(), (*from, *worst));
        }
        budget
    }

    /// The first moment from which calls must be known for the window that holds `at`.
    pub(super) fn begins(&self, at: Timestamp) -> Timestamp {
        window::bounds(self.set.per, at, &self.timezone).0
    }

    pub(super) fn touches(&self, scopes: &ScopeSet) -> bool {
        self.set.hard && scopes.touches(&self.set.scope, self.set.subject.as_ref())
    }

    /// Whether a call that may use `worst` fits at `at`.
    pub(super) fn fits(&mut self, worst: Amounts, at: Timestamp) -> Fit {
        let Limit { unit, amount: limit } = self.set.limit;
        let need = worst.get(unit);
        let Row { spent, held } = *self.row(at).1;
        if need > limit.saturating_sub(spent) {
            Fit::No
        } else if need > limit.saturating_sub(spent).saturating_sub(held) {
            Fit::Waits
        } else {
            Fit::Fits
        }
    }

    /// The call runs.
    pub(super) fn begin(&mut self, call: &CallId, worst: Amounts, at: Timestamp) {
        let worst = worst.get(self.set.limit.unit);
        let full = self.open.len() >= OPEN_MAX;
        let (from, row) = self.row(at);
        if full {
            row.spent = row.spent.saturating_add(worst);
            return;
        }
        row.held = row.held.saturating_add(worst);
        self.open.insert(call.clone(), (from, worst));
    }

    /// The call has used so much.
    pub(super) fn end(&mut self, call: &CallId, used: Amounts) {
        let Some((from, worst)) = self.open.remove(call) else { return };
        if let Some(row) = self.windows.get_mut(&from) {
            row.held = row.held.saturating_sub(worst);
            row.spent = row.spent.saturating_add(used.get(self.set.limit.unit));
        }
    }

    /// What is left of it at `at`, in words.
    pub(super) fn left(&mut self, at: Timestamp) -> String {
        let Limit { unit, amount } = self.set.limit;
        let spent = self.row(at).1.spent;
        let left = Limit { unit, amount: amount.saturating_sub(spent) };
        format!("the budget of {} at {} has {left} left", self.set.limit, self.set.scope)
    }

    pub(super) fn so_far(&self) -> BudgetSoFar {
        let windows = self.windows.iter().rev().take(WINDOWS_MAX);
        BudgetSoFar {
            change: self.change,
            windows: windows.map(|(from, row)| WindowSoFar { from: *from, spent: row.spent }).collect(),
            open: (self.open.iter())
                .map(|(call, (from, worst))| OpenCall { call: call.clone(), from: *from, worst: *worst })
                .collect(),
        }
    }

    fn row(&mut self, at: Timestamp) -> (Timestamp, &mut Row) {
        let from = match self.now {
            Some((from, to)) if from <= at && to.is_none_or(|to| at < to) => from,
            _ => {
                let (from, to) = window::bounds(self.set.per, at, &self.timezone);
                self.now = Some((from, to));
                while self.windows.len() >= WINDOWS_MAX {
                    self.windows.pop_first();
                }
                from
            }
        };
        (from, self.windows.entry(from).or_default())
    }
}

#[cfg(test)]
mod tests {
    use steward_events::quantity::{NanoDollars, Tokens};

    use super::*;

    const NOON: Timestamp = Timestamp(1_795_435_200_000_000);
    const DAY: u64 = 86_400_000_000;

    fn budget(limit: &str, so_far: Option<&BudgetSoFar>) -> Supposed {
        let body = format!(r#"{{"scope":"acme","limit":"{limit}","per":"day"}}"#);
        Supposed::new(0, serde_json::from_str(&body).unwrap(), "UTC", so_far)
    }

    fn tokens(count: u64) -> Amounts {
        Amounts { calls: 1, tokens: Tokens(count), money: NanoDollars(0) }
    }

    fn call(name: &str) -> CallId {
        name.parse().unwrap()
    }

    #[test]
    fn what_runs_makes_wait_and_what_is_spent_refuses() {
        let mut budget = budget("100 tokens", None);
        budget.begin(&call("a"), tokens(60), NOON);
        assert_eq!(budget.fits(tokens(40), NOON), Fit::Fits);
        assert_eq!(budget.fits(tokens(41), NOON), Fit::Waits);
        assert_eq!(budget.fits(tokens(101), NOON), Fit::No);
        budget.end(&call("a"), tokens(30));
        assert_eq!((budget.fits(tokens(70), NOON), budget.fits(tokens(71), NOON)), (Fit::Fits, Fit::No));
        assert_eq!(budget.fits(tokens(100), Timestamp(NOON.0 + DAY)), Fit::Fits, "another day");
    }

    #[test]
    fn a_part_goes_on_where_the_last_one_ended() {
        let mut whole = budget("100 tokens", None);
        whole.begin(&call("a"), tokens(60), NOON);
        let mut part = budget("100 tokens", Some(&whole.so_far()));
        for budget in [&mut whole, &mut part] {
            assert_eq!(budget.fits(tokens(41), NOON), Fit::Waits);
            budget.end(&call("a"), tokens(90));
            assert_eq!((budget.fits(tokens(10), NOON), budget.fits(tokens(11), NOON)), (Fit::Fits, Fit::No));
        }
    }
}
