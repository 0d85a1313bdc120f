//! Who sets a budget: each has a level, the scope at which the right was held by which it was set (ADR 23). It is changed
//! and removed by those who hold the right there. Budgets of all levels stand beside each other, and all bind.

use steward_events::event::{BudgetKey, BudgetLevel};
use steward_events::quantity::{Unit, Window};
use steward_events::rejection::Rejection;
use steward_events::scope::{Scope, Subject};

use super::{BUDGETS_MAX, Ledger, PLATFORM_BUDGETS_MAX};
use crate::aggregate::Stamp;

/// What a command says of a budget: all of its key but the level.
pub(super) type Counted<'a> = (&'a Scope, Option<&'a Subject>, Unit, Window);

impl Ledger {
    /// The key of the budget that a command speaks of: of the level that it names, else of the sender's own.
    pub(super) fn addressed(
        &self,
        (scope, subject, unit, window): Counted<'_>,
        level: Option<BudgetLevel>,
        stamp: &Stamp,
    ) -> Result<BudgetKey, Rejection> {
        let at = |level: Scope| BudgetKey { scope: scope.clone(), level, subject: subject.cloned(), unit, window };
        // A part of Steward has no level of its own: what it sets for a task belongs where the task does.
        let own = if stamp.actor.is_system() { scope.clone() } else { stamp.reach.clone() };
        let Some(level) = level else { return Ok(at(own)) };
        let named = match level {
            BudgetLevel::Platform => Scope::everything(),
            BudgetLevel::Tenant => Scope::tenant(&stamp.tenant),
            BudgetLevel::Project => {
                let like = at(own.clone());
                let below = self.levels_of(&like).filter(|at| BudgetLevel::of(at) == level && stamp.reach.contains(at));
                below.min().cloned().or_else(|| project(&own, scope)).ok_or_else(|| {
                    Rejection::invalid(
                        "level",
                        format!("{scope} is no project; budgets of projects are at tenant/project"),
                    )
                })?
            }
        };
        if stamp.reach.contains(&named) { Ok(at(named)) } else { Err(set_above(&at(named), stamp)) }
    }

    /// At which levels there are budgets that count what this one would count.
    fn levels_of<'a>(&'a self, key: &'a BudgetKey) -> impl Iterator<Item = &'a Scope> {
        let same = |other: &&BudgetKey| {
            (&other.scope, &other.subject, other.unit, other.window) == (&key.scope, &key.subject, key.unit, key.window)
        };
        self.budgets.values().map(|budget| &budget.key).filter(same).map(|key| &key.level)
    }

    /// Nobody set this one; perhaps somebody set one like it at another level.
    pub(super) fn not_at_this_level(&self, key: &BudgetKey, stamp: &Stamp) -> Rejection {
        if let Some(below) = self.levels_of(key).find(|level| stamp.reach.contains(level)) {
            let reason = format!("the budget {key} is of the level {0}: name it (level {0})", BudgetLevel::of(below));
            return Rejection::invalid("level", reason);
        }
        match self.levels_of(key).next() {
            Some(above) => set_above(&BudgetKey { level: above.clone(), ..key.clone() }, stamp),
            None => Rejection::not_found("budget", key),
        }
    }

    pub(super) fn check_room(&self, new: &BudgetKey) -> Result<(), Rejection> {
        let is_platforms = |key: &BudgetKey| BudgetLevel::of(&key.level) == BudgetLevel::Platform;
        let beside = self.budgets.values().filter(|budget| is_platforms(&budget.key) == is_platforms(new)).count();
        let (whose, most) =
            if is_platforms(new) { ("of the platform", PLATFORM_BUDGETS_MAX) } else { ("of its own", BUDGETS_MAX) };
        if beside < most {
            return Ok(());
        }
        Err(Rejection::invalid("scope", format!("a tenant has at most {most} budgets {whose}; remove one first")))
    }
}

/// The scope of a project's level: the sender's, if they are no higher; else the project of the budget.
fn project(own: &Scope, scope: &Scope) -> Option<Scope> {
    if BudgetLevel::of(own) == BudgetLevel::Project {
        return Some(own.clone());
    }
    scope.ancestors().filter(|at| BudgetLevel::of(at) == BudgetLevel::Project).last()
}

fn set_above(key: &BudgetKey, stamp: &Stamp) -> Rejection {
    let level = BudgetLevel::of(&key.level);
    let who = match level {
        BudgetLevel::Platform => "operators".to_owned(),
        BudgetLevel::Tenant | BudgetLevel::Project => format!("principals with this right on {}", key.level),
    };
    let Ok(permission) = "budget:set".parse() else { return Rejection::not_found("budget", key) };
    Rejection::Forbidden {
        principal: stamp.actor.clone(),
        permission,
        scope: key.level.clone(),
        reason: format!("the budget {key} of the level {level} is set, changed and removed by {who} only"),
        would_allow: format!("{who}; a budget of your own level binds beside it (leave out the level)"),
    }
}

#[cfg(test)]
mod tests;
