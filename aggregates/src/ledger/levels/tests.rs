use steward_events::command::{LedgerCommand, RemoveBudget, SetBudget};
use steward_events::quantity::Limit;
use steward_events::timestamp::Timestamp;

use super::*;
use crate::aggregate::Aggregate;
use crate::spec::stamp;

fn id<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

/// A ledger, and who sends commands to it: each with where the right is held.
#[derive(Default)]
struct Books {
    ledger: Ledger,
    sent: u64,
}

impl Books {
    fn send(&mut self, who: (&str, &str), command: impl Into<LedgerCommand>) -> Result<usize, Rejection> {
        let (actor, reach) = who;
        self.sent += 1;
        // The id of a command is its sender's choice: here they are all the same.
        let at = Timestamp(self.sent * 1_000_000);
        let stamp = Stamp { actor: id(actor), reach: id(reach), at, ..stamp() };
        let events = self.ledger.decide(&command.into(), &stamp)?;
        for event in &events {
            self.ledger.apply(event, at);
        }
        Ok(events.len())
    }

    /// Scope, level and limit of each budget.
    fn all(&self) -> Vec<(String, String, u64)> {
        let row = |budget: &super::super::Budget| {
            (budget.key.scope.to_string(), budget.key.level.to_string(), budget.spec.limit)
        };
        let mut all: Vec<_> = self.ledger.budgets().map(|(_, budget)| row(budget)).collect();
        all.sort();
        all
    }
}

const OPERATOR: (&str, &str) = ("op_root", "*");
const BILLING: (&str, &str) = ("p_bill", "acme");
const OF_SUPPORT: (&str, &str) = ("p_sue", "acme/support");
const OF_MAIL: (&str, &str) = ("p_mel", "acme/support/mail");

fn set(scope: &str, amount: u64) -> SetBudget {
    let limit = Limit { unit: Unit::Money, amount };
    SetBudget { scope: id(scope), subject: None, limit, per: Window::Day, hard: true, warn: vec![], level: None }
}

fn remove(scope: &str) -> RemoveBudget {
    RemoveBudget { scope: id(scope), subject: None, unit: Unit::Money, per: Window::Day, level: None }
}

fn all(rows: &[(&str, &str, u64)]) -> Vec<(String, String, u64)> {
    rows.iter().map(|(scope, level, limit)| ((*scope).to_owned(), (*level).to_owned(), *limit)).collect()
}

#[test]
fn budgets_of_several_levels_stand_beside_each_other() {
    let mut books = Books::default();
    for (number, who) in [OPERATOR, BILLING, OF_SUPPORT, OF_MAIL].into_iter().enumerate() {
        books.send(who, set("acme/support/mail", number as u64)).unwrap();
    }
    let expected = [("*", 0), ("acme", 1), ("acme/support", 2), ("acme/support/mail", 3)];
    assert_eq!(books.all(), all(&expected.map(|(level, limit)| ("acme/support/mail", level, limit))));
    // Set again, each changes its own.
    books.send(BILLING, set("acme/support/mail", 1_000_000)).unwrap();
    assert_eq!(books.all()[0].2, 0);
    assert_eq!(books.all()[1].2, 1_000_000);
}

#[test]
fn nobody_changes_or_removes_what_is_set_above() {
    let mut books = Books::default();
    books.send(OPERATOR, set("acme", 10)).unwrap();
    books.send(BILLING, set("acme/support", 20)).unwrap();
    let before = books.all();
    for (who, scope, who_may) in [(BILLING, "acme", "operators"), (OF_SUPPORT, "acme/support", "acme")] {
        let refused = books.send(who, remove(scope)).unwrap_err();
        assert_eq!(refused.code(), "forbidden");
        assert!(refused.to_string().contains(who_may), "{refused}");
    }
    for (who, scope, level) in [
        (BILLING, "acme", BudgetLevel::Platform),
        (OF_SUPPORT, "acme/support", BudgetLevel::Tenant),
        (OF_SUPPORT, "acme/support", BudgetLevel::Platform),
    ] {
        let raised = SetBudget { level: Some(level), ..set(scope, 1_000_000) };
        assert_eq!(books.send(who, raised).unwrap_err().code(), "forbidden");
        let removed = RemoveBudget { level: Some(level), ..remove(scope) };
        assert_eq!(books.send(who, removed).unwrap_err().code(), "forbidden");
    }
    assert_eq!(books.all(), before);
}

#[test]
fn those_above_change_what_is_below_by_naming_its_level() {
    let mut books = Books::default();
    books.send(OF_MAIL, set("acme/support/mail", 1)).unwrap();
    books.send(BILLING, set("acme", 2)).unwrap();
    // Without a level it is not their own that is spoken of, and nothing is guessed.
    let unclear = books.send(OPERATOR, remove("acme")).unwrap_err();
    assert!(unclear.to_string().contains("level tenant"), "{unclear}");
    let lowered = SetBudget { level: Some(BudgetLevel::Tenant), ..set("acme", 0) };
    books.send(OPERATOR, lowered).unwrap();
    let project = Some(BudgetLevel::Project);
    books.send(BILLING, SetBudget { level: project, ..set("acme/support/mail", 0) }).unwrap();
    assert_eq!(books.all(), all(&[("acme", "acme", 0), ("acme/support/mail", "acme/support/mail", 0)]));
    books.send(BILLING, RemoveBudget { level: project, ..remove("acme/support/mail") }).unwrap();
    books.send(BILLING, SetBudget { level: project, ..set("acme/support/mail", 5) }).unwrap();
    assert_eq!(books.all()[1], ("acme/support/mail".to_owned(), "acme/support".to_owned(), 5));
    let nowhere = books.send(BILLING, SetBudget { level: project, ..set("acme", 5) }).unwrap_err();
    assert_eq!(nowhere.code(), "invalid");
}

#[test]
fn a_tenant_that_has_used_up_its_number_can_still_be_bounded() {
    let mut books = Books::default();
    for number in 0..BUDGETS_MAX {
        books.send(BILLING, set(&format!("acme/p{number}"), 1)).unwrap();
    }
    assert_eq!(books.send(BILLING, set("acme", 1)).unwrap_err().code(), "invalid");
    books.send(OPERATOR, set("acme", 1)).unwrap();
}

#[test]
fn the_budget_of_a_task_belongs_where_the_task_does() {
    let mut books = Books::default();
    let worker = ("sys_worker", "*");
    let subject = Some(Subject::Task(id("t_1")));
    books.send(worker, SetBudget { subject: subject.clone(), ..set("acme/support", 3) }).unwrap();
    books.send(OPERATOR, SetBudget { subject: subject.clone(), ..set("acme/support", 2) }).unwrap();
    let levels = [("acme/support", "*", 2), ("acme/support", "acme/support", 3)];
    assert_eq!(books.all(), all(&levels));
    for level in [BudgetLevel::Project, BudgetLevel::Platform] {
        let ended = RemoveBudget { subject: subject.clone(), level: Some(level), ..remove("acme/support") };
        books.send(worker, ended).unwrap();
    }
    assert_eq!(books.all(), []);
}
