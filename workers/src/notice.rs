//! THE TABLE of notices: which event tells somebody what. An event that nobody is told of has an arm that says so.
//!
//! Knows what a notice says. Must not know channels: who is told is decided by them. A notice repeats no sealed content.

use std::collections::{BTreeMap, HashMap};

use steward_events::commit::Recorded;
use steward_events::event::{
    BatchEvent, BudgetKey, BudgetSpec, ChannelEvent, DenialEvent, ElevationRequest, IdentityEvent, LedgerEvent, Notice,
    NoticeKind, Severity, TaskEvent, TenantEvent,
};
use steward_events::free_text::{shown, shown_in_lines};
use steward_events::id::{BudgetId, ElevationId, TenantId};
use steward_events::quantity::{NanoDollars, Unit};
use steward_events::scope::Scope;

use crate::task::open_tasks::{TaskRef, task_of};

mod access;

/// The longest text and field of a notice, in bytes: what is longer ends with `…`.
const TEXT_BYTES_MAX: usize = 1_500;
const FIELD_BYTES_MAX: usize = 300;
const TITLE_BYTES_MAX: usize = 200;

/// What has to be remembered of earlier events to say what a later one means.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    budgets: HashMap<(TenantId, BudgetId), (BudgetKey, BudgetSpec)>,
    /// Where the open tasks and batches belong, and of a task by which agent it is done.
    works: HashMap<TaskRef, (Scope, Option<String>)>,
    /// Roles that were asked for and are not held yet.
    elevations: HashMap<(TenantId, ElevationId), ElevationRequest>,
}

impl Notices {
    /// What an event of a ledger tells.
    pub(crate) fn ledger(&mut self, event: &LedgerEvent, recorded: &Recorded<'_>) -> Option<Notice> {
        let tenant = &recorded.stream.tenant;
        match event {
            LedgerEvent::BudgetSet { budget, key, spec, .. } => {
                self.budgets.insert((tenant.clone(), budget.clone()), (key.clone(), spec.clone()));
                None
            }
            LedgerEvent::BudgetRemoved { budget } => {
                self.budgets.remove(&(tenant.clone(), budget.clone()));
                None
            }
            LedgerEvent::ThresholdCrossed { budget, window, percent } => {
                let (key, spec) = self.budgets.get(&(tenant.clone(), budget.clone()))?;
                let severity = if *percent >= 100 { Severity::Critical } else { Severity::Warning };
                let mut notice = notice(NoticeKind::BudgetThreshold, severity, key.scope.clone(), recorded);
                notice.about = format!("budget {key}");
                notice.title = format!("{percent} % of the budget {key} is spent");
                notice.text = if spec.hard {
                    "What does not fit into the budget is refused.".to_owned()
                } else {
                    "Spending beyond the budget is recorded, and nothing is refused.".to_owned()
                };
                notice.fields.insert("limit".to_owned(), amount(spec.limit, key.unit));
                notice.fields.insert("percent".to_owned(), percent.to_string());
                notice.fields.insert("window from".to_owned(), window.from.to_string());
                notice.act = Some(format!("steward budget list --scope {} --tenant {tenant}", key.scope));
                notice.ends = window.to;
                Some(notice)
            }
            LedgerEvent::LeaseGranted { .. }
            | LedgerEvent::LeaseRenewed { .. }
            | LedgerEvent::LeaseEnded { .. }
            | LedgerEvent::LeaseCorrected { .. }
            | LedgerEvent::RequestQueued { .. }
            | LedgerEvent::RequestDequeued { .. }
            | LedgerEvent::LeaseRecalled { .. } => None,
        }
    }

    /// What an event of a task tells.
    pub(crate) fn task(&mut self, event: &TaskEvent, recorded: &Recorded<'_>) -> Option<Notice> {
        let task = task_of(recorded.stream)?;
        match event {
            TaskEvent::Submitted { scope, agent, .. } => {
                self.works.insert(task, (scope.clone(), Some(agent.to_string())));
                None
            }
            TaskEvent::Failed { reason, .. } => {
                let (scope, agent) = self.works.remove(&task)?;
                let id = &task.task;
                let mut notice = notice(NoticeKind::TaskFailed, Severity::Warning, scope, recorded);
                notice.about = format!("task {id}");
                notice.title = format!("The task {id} failed");
                notice.text.clone_from(reason);
                notice.fields.extend(agent.map(|agent| ("agent".to_owned(), agent)));
                notice.act = Some(format!("steward task show {id} --tenant {}", task.tenant));
                Some(notice)
            }
            TaskEvent::Finished { .. } | TaskEvent::Cancelled { .. } => {
                self.works.remove(&task);
                None
            }
            // Of the rest nobody is told.
            _ => None,
        }
    }

    /// What an event of a batch tells.
    pub(crate) fn batch(&mut self, event: &BatchEvent, recorded: &Recorded<'_>) -> Option<Notice> {
        let batch = task_of(recorded.stream)?;
        match event {
            BatchEvent::Submitted { scope, .. } => {
                self.works.insert(batch, (scope.clone(), None));
                None
            }
            BatchEvent::Failed { problems, .. } => {
                let (scope, _) = self.works.remove(&batch)?;
                let id = &batch.task;
                let mut notice = notice(NoticeKind::BatchFailed, Severity::Warning, scope, recorded);
                notice.about = format!("batch {id}");
                notice.title = format!("The batch {id} failed");
                notice.text = problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
                notice.fields.insert("problems".to_owned(), problems.len().to_string());
                notice.act = Some(format!("steward batch show {id} --tenant {}", batch.tenant));
                Some(notice)
            }
            BatchEvent::Ended { .. } => {
                self.works.remove(&batch);
                None
            }
            BatchEvent::Claimed { .. }
            | BatchEvent::ClaimExtended { .. }
            | BatchEvent::Started { .. }
            | BatchEvent::Finalizing { .. }
            | BatchEvent::CancelAsked { .. } => None,
        }
    }
}

/// What an event of a tenant's life tells.
pub(crate) fn tenant(event: &TenantEvent, recorded: &Recorded<'_>) -> Option<Notice> {
    let tenant = &recorded.stream.tenant;
    let (kind, severity, title, text) = match event {
        TenantEvent::Suspended { reason } => (
            NoticeKind::TenantSuspended,
            Severity::Critical,
            format!("The tenant {tenant} is suspended: nothing of it may act"),
            reason.clone(),
        ),
        TenantEvent::Resumed => {
            let title = format!("The tenant {tenant} may act again");
            (NoticeKind::TenantResumed, Severity::Info, title, String::new())
        }
        TenantEvent::Created { .. }
        | TenantEvent::ErasureAsked { .. }
        | TenantEvent::ErasureCancelled
        | TenantEvent::Erased
        | TenantEvent::Destroyed { .. }
        | TenantEvent::SettingsChanged { .. }
        | TenantEvent::ProjectCreated { .. }
        | TenantEvent::ProjectRenamed { .. }
        | TenantEvent::ProjectArchived { .. }
        | TenantEvent::ProjectRestored { .. }
        | TenantEvent::FlagSet { .. }
        | TenantEvent::FlagRemoved { .. }
        | TenantEvent::QuotaSet { .. }
        | TenantEvent::QuotaRemoved { .. }
        | TenantEvent::PlanSet { .. }
        | TenantEvent::PlanDefined { .. } => return None,
    };
    let mut notice = notice(kind, severity, Scope::tenant(tenant), recorded);
    notice.about = format!("tenant {tenant}");
    (notice.title, notice.text) = (title, text);
    notice.act = Some(format!("steward tenant show {tenant}"));
    Some(notice)
}

/// What an event of people, accounts and keys tells.
pub(crate) fn identity(event: &IdentityEvent, recorded: &Recorded<'_>) -> Option<Notice> {
    let tenant = &recorded.stream.tenant;
    // Keys that workers make and take back with their tasks are nobody's news.
    let by_a_worker = recorded.entry.actor.is_system();
    match event {
        IdentityEvent::UserDisabled { principal, reason } => {
            let scope = Scope::tenant(tenant);
            let mut notice = notice(NoticeKind::UserDisabled, Severity::Info, scope, recorded);
            notice.about = format!("principal {principal}");
            notice.title = format!("{principal} may do nothing any more");
            notice.text.clone_from(reason);
            notice.act = Some(format!("steward user list --tenant {tenant}"));
            Some(notice)
        }
        IdentityEvent::KeyIssued { key, principal, scope, expires, task: None, .. } if !by_a_worker => {
            let mut notice = notice(NoticeKind::KeyIssued, Severity::Info, scope.clone(), recorded);
            notice.about = format!("key {key}");
            notice.title = format!("{} issued the key {key}", recorded.entry.actor);
            notice.fields.insert("acts as".to_owned(), principal.to_string());
            notice.fields.insert("expires".to_owned(), expires.map_or("never".to_owned(), |at| at.to_string()));
            notice.act = Some(format!("steward key list --principal {principal} --tenant {tenant}"));
            Some(notice)
        }
        IdentityEvent::KeyRevoked { key, reason } if !by_a_worker => {
            let mut notice = notice(NoticeKind::KeyRevoked, Severity::Info, Scope::tenant(tenant), recorded);
            notice.about = format!("key {key}");
            notice.title = format!("{} revoked the key {key}", recorded.entry.actor);
            notice.text.clone_from(reason);
            notice.act = Some(format!("steward key list --state revoked --tenant {tenant}"));
            Some(notice)
        }
        IdentityEvent::KeyIssued { .. }
        | IdentityEvent::KeyRevoked { .. }
        | IdentityEvent::AccountCreated { .. }
        | IdentityEvent::OwnerSet { .. }
        | IdentityEvent::KeyReplaced { .. }
        | IdentityEvent::UserInvited { .. }
        | IdentityEvent::UserChanged { .. }
        | IdentityEvent::UserEnabled { .. }
        | IdentityEvent::UserErased { .. }
        | IdentityEvent::UserKeyDestroyed { .. } => None,
    }
}

/// What an event of a journal of refusals tells.
pub(crate) fn denials(event: &DenialEvent, recorded: &Recorded<'_>) -> Option<Notice> {
    let DenialEvent::LeftOut { principal, address, kinds, .. } = event else { return None };
    let tenant = &recorded.stream.tenant;
    let who = principal.as_ref().map(ToString::to_string).or_else(|| address.clone());
    let who = who.unwrap_or_else(|| "many".to_owned());
    let mut notice = notice(NoticeKind::DenialsBurst, Severity::Warning, Scope::tenant(tenant), recorded);
    notice.about = format!("refusals of {who}");
    notice.title = format!("{} requests of {who} were refused at once", kinds.values().sum::<u64>());
    notice.fields.extend(kinds.iter().map(|(kind, count)| (kind.as_str().to_owned(), count.to_string())));
    notice.act = Some(format!("steward replay --kind denials --last 50 --tenant {tenant}"));
    Some(notice)
}

/// What an event of the channels themselves tells.
pub(crate) fn channel(event: &ChannelEvent, recorded: &Recorded<'_>) -> Option<Notice> {
    match event {
        ChannelEvent::Disabled { channel, reason } => {
            let tenant = &recorded.stream.tenant;
            let scope = Scope::tenant(tenant);
            let mut notice = notice(NoticeKind::ChannelDisabled, Severity::Warning, scope, recorded);
            notice.about = format!("channel {channel}");
            notice.title = format!("The receiver of the channel {channel} wants nothing any more");
            notice.text.clone_from(reason);
            notice.act = Some(format!("steward channel show {channel} --tenant {tenant}"));
            Some(notice)
        }
        ChannelEvent::Set { .. }
        | ChannelEvent::Removed { .. }
        | ChannelEvent::Noticed { .. }
        | ChannelEvent::SendingStarted { .. }
        | ChannelEvent::Delivered { .. }
        | ChannelEvent::SendingFailed { .. }
        | ChannelEvent::DeadLettered { .. }
        | ChannelEvent::DeadLetterDropped { .. }
        | ChannelEvent::RedeliveryAsked { .. } => None,
    }
}

/// A notice that says nothing yet.
fn notice(kind: NoticeKind, severity: Severity, scope: Scope, recorded: &Recorded<'_>) -> Notice {
    Notice {
        kind,
        severity,
        scope,
        at: recorded.entry.at,
        about: String::new(),
        title: String::new(),
        text: String::new(),
        fields: BTreeMap::new(),
        act: None,
        ends: None,
    }
}

/// The notice with texts that are neither too long nor hold characters that are not seen.
pub(crate) fn fitted(mut notice: Notice) -> Notice {
    notice.title = shortened(&shown(&notice.title), TITLE_BYTES_MAX);
    notice.about = shortened(&shown(&notice.about), TITLE_BYTES_MAX);
    notice.text = shortened(&shown_in_lines(&notice.text), TEXT_BYTES_MAX);
    for value in notice.fields.values_mut() {
        *value = shortened(&shown(value), FIELD_BYTES_MAX);
    }
    notice.act = notice.act.filter(|act| act.len() <= FIELD_BYTES_MAX);
    notice
}

fn shortened(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

fn amount(limit: u64, unit: Unit) -> String {
    match unit {
        Unit::Calls => format!("{limit} calls"),
        Unit::Tokens => format!("{limit} tokens"),
        Unit::Money => NanoDollars(limit).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_fits_whatever_its_event_says() {
        let mut long = Notice {
            kind: NoticeKind::TaskFailed,
            severity: Severity::Info,
            scope: "acme".parse().unwrap(),
            at: steward_events::timestamp::Timestamp(0),
            about: "é".repeat(500),
            title: "line\r\nBcc: all@example.com".to_owned(),
            text: "ü".repeat(5_000),
            fields: BTreeMap::from([("a".to_owned(), "\u{202e}".repeat(400))]),
            act: Some("x".repeat(1_000)),
            ends: None,
        };
        long = fitted(long);
        assert_eq!(long.title, "line\\r\\nBcc: all@example.com", "one line stays one line");
        assert!(long.about.len() <= TITLE_BYTES_MAX + 3 && long.text.len() <= TEXT_BYTES_MAX + 3);
        assert!(long.fields["a"].len() <= FIELD_BYTES_MAX + 3 && long.act.is_none());
    }
}
