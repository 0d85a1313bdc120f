//! What the parts of Steward may send: a fixed table, not grants. The bus lets only those roles speak as them.

use std::collections::HashSet;
use std::sync::LazyLock;

use steward_events::command::{Audience, COMMANDS, Command, IdentityCommand, LedgerCommand};
use steward_events::event::BudgetLevel;
use steward_events::id::{PrincipalId, SystemPart};
use steward_events::permission::Permission;
use steward_events::scope::{Scope, Subject};
use steward_queries::QUERIES;

/// One row.
struct SystemRight {
    part: SystemPart,
    permission: &'static str,
    /// Also while the tenant is suspended: it records what happened, or makes less possible.
    while_suspended: bool,
    /// Only for what belongs to a task.
    for_tasks: bool,
}

const fn row(part: SystemPart, permission: &'static str, while_suspended: bool, for_tasks: bool) -> SystemRight {
    SystemRight { part, permission, while_suspended, for_tasks }
}

use SystemPart::{Gateway, Worker};

const TABLE: &[SystemRight] = &[
    row(Gateway, "lease:grant", false, false),
    row(Gateway, "lease:renew", true, false),
    row(Gateway, "lease:withdraw", true, false),
    row(Gateway, "lease:recall", true, false),
    row(Gateway, "lease:end", true, false),
    row(Gateway, "lease:correct", true, false),
    row(Gateway, "secret:open", false, false),
    row(Gateway, "file:keep", false, false),
    row(Gateway, "secret:make", false, false),
    row(Worker, "lease:recall", true, false),
    row(Worker, "lease:end", true, false),
    row(Worker, "lease:correct", true, false),
    row(Worker, "tenant:open", true, false),
    row(Worker, "tenant:carry-out-erasure", true, false),
    row(Worker, "tenant:record-destroyed", true, false),
    row(Worker, "tenant:retire", true, false),
    row(Worker, "user:record-destroyed", true, false),
    row(Worker, "checkpoint:sign", true, false),
    row(Worker, "audit:due", true, false),
    row(Worker, "audit:tree", true, false),
    row(Worker, "channel:notify", true, false),
    row(Worker, "channel:start-sending", true, false),
    row(Worker, "channel:finish-sending", true, false),
    row(Worker, "task:submit", false, false),
    row(Worker, "task:claim", false, false),
    row(Worker, "task:extend", false, false),
    row(Worker, "task:start-step", false, false),
    row(Worker, "task:finish-step", true, false),
    row(Worker, "task:finish", true, false),
    row(Worker, "task:fail", true, false),
    row(Worker, "task:cancel", true, false),
    row(Worker, "batch:claim", false, false),
    row(Worker, "batch:extend", false, false),
    row(Worker, "batch:start", false, false),
    row(Worker, "batch:finalize", true, false),
    row(Worker, "batch:end", true, false),
    row(Worker, "batch:fail", true, false),
    row(Worker, "trial:need", true, false),
    row(Worker, "trial:end", true, false),
    row(Worker, "key:issue", false, true),
    row(Worker, "key:revoke", true, true),
    row(Worker, "budget:set", false, true),
    row(Worker, "budget:remove", true, true),
    row(Worker, "quota:take", true, false),
    row(Worker, "quota:return", true, false),
];

fn find(principal: &PrincipalId, permission: &Permission) -> Option<&'static SystemRight> {
    TABLE.iter().find(|row| row.part.principal() == principal.as_str() && row.permission == permission.as_str())
}

/// True for what only parts of Steward send: not even `*:*` reaches it, or an owner could end leases that are unpaid.
pub(super) fn is_reserved(permission: &Permission) -> bool {
    static RESERVED: LazyLock<HashSet<(&str, &str)>> = LazyLock::new(|| {
        let commands = COMMANDS.iter().filter(|spec| spec.audience == Audience::System);
        let queries = QUERIES.iter().filter(|spec| spec.only.is_some());
        commands.map(|spec| (spec.noun, spec.verb)).chain(queries.map(|spec| (spec.view, spec.verb))).collect()
    });
    RESERVED.contains(&permission.parts())
}

/// True if this part of Steward may do this, with what belongs to tasks if the table says so.
pub(super) fn may(principal: &PrincipalId, permission: &Permission) -> bool {
    find(principal, permission).is_some()
}

/// True if it may do so also while the tenant is suspended.
pub(super) fn may_while_suspended(principal: &PrincipalId, permission: &Permission) -> bool {
    find(principal, permission).is_some_and(|row| row.while_suspended)
}

/// True if `command` concerns a budget that a plan gives: one of the platform, for the whole tenant.
pub(super) fn is_of_a_plan(command: &Command, tenant: &Scope) -> bool {
    let (scope, subject, level) = match command {
        Command::Ledger(LedgerCommand::SetBudget(set)) => (&set.scope, &set.subject, set.level),
        Command::Ledger(LedgerCommand::RemoveBudget(remove)) => (&remove.scope, &remove.subject, remove.level),
        _ => return false,
    };
    scope == tenant && subject.is_none() && level == Some(BudgetLevel::Platform)
}

/// True if the table says: only what belongs to a task.
pub(super) fn only_for_tasks(principal: &PrincipalId, permission: &Permission) -> bool {
    find(principal, permission).is_some_and(|row| row.for_tasks)
}

/// True if `command` concerns a task's own key or budget. `is_task_key` tells what is known of a key.
pub(super) fn is_for_a_task(command: &Command, is_task_key: impl Fn(&steward_events::id::KeyId) -> bool) -> bool {
    match command {
        Command::Identity(IdentityCommand::IssueKey(issue)) => issue.task.is_some(),
        Command::Identity(IdentityCommand::RevokeKey(revoke)) => is_task_key(&revoke.key),
        Command::Ledger(LedgerCommand::SetBudget(set)) => matches!(set.subject, Some(Subject::Task(_))),
        Command::Ledger(LedgerCommand::RemoveBudget(remove)) => matches!(remove.subject, Some(Subject::Task(_))),
        _ => false,
    }
}

/// A renewal that asks for more is refused while the tenant is suspended; one that only reports is not.
pub(super) fn asks_for_more(command: &Command) -> bool {
    matches!(command, Command::Ledger(LedgerCommand::RenewLease(renew)) if renew.request.is_some())
}

#[cfg(test)]
mod tests {
    use steward_events::command::COMMANDS;
    use steward_queries::QUERIES;

    use super::*;

    #[test]
    fn every_row_is_a_command_or_query() {
        for row in TABLE {
            let permission: Permission = row.permission.parse().unwrap();
            let command = COMMANDS.iter().any(|spec| spec.permission() == permission);
            assert!(command || QUERIES.iter().any(|spec| spec.permission() == permission), "{permission}");
        }
    }

    #[test]
    fn every_command_of_the_system_has_a_sender() {
        for spec in COMMANDS.iter().filter(|spec| spec.audience == Audience::System) {
            assert!(TABLE.iter().any(|row| spec.permission().as_str() == row.permission), "{spec:?}");
        }
    }

    #[test]
    fn a_query_of_one_part_is_that_parts_alone() {
        for spec in QUERIES {
            let Some(part) = spec.only else { continue };
            let permission = spec.permission();
            assert!(is_reserved(&permission), "{permission}");
            let rows: Vec<_> = TABLE.iter().filter(|row| permission.as_str() == row.permission).collect();
            assert!(rows.iter().all(|row| row.part == part) && rows.len() == 1, "{permission}");
        }
    }
}
