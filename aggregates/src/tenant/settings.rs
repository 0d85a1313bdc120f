//! A tenant's settings: each change is a revision, and earlier ones can hold again.

use std::collections::VecDeque;

use steward_events::command::{RevertTenant, SetTenant};
use steward_events::event::{TenantEvent, TenantSettings};
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;

use crate::limit;

/// How many of the last revisions can be gone back to. The log keeps all.
pub const REVISIONS_KEPT: usize = 1_000;

/// The longest name and contact, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// One revision of a tenant's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// 1 is what the tenant was created with.
    pub number: u32,
    /// Since when.
    pub at: Timestamp,
    /// What was set.
    pub settings: TenantSettings,
}

/// The last revisions, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct History(VecDeque<Revision>);

impl History {
    pub(super) fn last(&self) -> Option<&Revision> {
        self.0.back()
    }

    pub(super) fn begin(&mut self, timezone: &str, at: Timestamp) {
        self.take_in(1, &TenantSettings::of_new(timezone), at);
    }

    pub(super) fn take_in(&mut self, number: u32, settings: &TenantSettings, at: Timestamp) {
        if self.0.len() == REVISIONS_KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Revision { number, at, settings: settings.clone() });
    }

    pub(super) fn set(&self, set: &SetTenant) -> Result<Vec<TenantEvent>, Rejection> {
        let Some(last) = self.last() else { return Ok(vec![]) };
        let SetTenant { timezone, display_name, contact, description } = set;
        if let Some(timezone) = timezone {
            limit::time_zone(timezone)?;
        }
        let texts = [
            ("display_name", display_name, NAME_BYTES_MAX),
            ("contact", contact, NAME_BYTES_MAX),
            ("description", description, limit::REASON_BYTES_MAX),
        ];
        for (field, text, bytes_max) in texts {
            limit::text(field, text.as_deref().unwrap_or_default(), bytes_max)?;
        }
        let mut settings = last.settings.clone();
        let fields = [
            (timezone, &mut settings.timezone),
            (display_name, &mut settings.display_name),
            (contact, &mut settings.contact),
            (description, &mut settings.description),
        ];
        for (new, field) in fields {
            if let Some(new) = new {
                field.clone_from(new);
            }
        }
        Ok(last.followed_by(settings, None))
    }

    pub(super) fn revert(&self, revert: &RevertTenant) -> Result<Vec<TenantEvent>, Rejection> {
        let Some(last) = self.last() else { return Ok(vec![]) };
        let (found, field, asked) = match (revert.to, revert.at) {
            (Some(to), None) => (self.0.iter().find(|revision| revision.number == to), "to", format!("revision {to}")),
            (None, Some(at)) => (self.0.iter().rfind(|revision| revision.at <= at), "at", at.to_string()),
            _ => return Err(Rejection::invalid("to", "say either a revision (to) or a moment (at)")),
        };
        let Some(found) = found else {
            let first = self.0.front().map_or(1, |revision| revision.number);
            let reason =
                format!("{asked} is not known; revisions {first} to {} are (steward tenant history)", last.number);
            return Err(Rejection::invalid(field, reason));
        };
        Ok(last.followed_by(found.settings.clone(), Some(found.number)))
    }
}

impl Revision {
    /// What is recorded where these settings follow; nothing if they are the same.
    fn followed_by(&self, settings: TenantSettings, back_to: Option<u32>) -> Vec<TenantEvent> {
        if settings == self.settings {
            return vec![];
        }
        vec![TenantEvent::SettingsChanged { revision: self.number.saturating_add(1), settings, back_to }]
    }
}

#[cfg(test)]
mod tests {
    use steward_events::command::TenantCommand;

    use super::super::Tenant;
    use super::*;
    use crate::spec::given;

    fn created() -> TenantEvent {
        TenantEvent::Created { tenant: "acme".parse().unwrap(), timezone: "UTC".to_owned() }
    }

    fn settings(timezone: &str, name: &str) -> TenantSettings {
        TenantSettings { display_name: name.to_owned(), ..TenantSettings::of_new(timezone) }
    }

    fn changed(revision: u32, settings: TenantSettings, back_to: Option<u32>) -> TenantEvent {
        TenantEvent::SettingsChanged { revision, settings, back_to }
    }

    fn set(timezone: Option<&str>, name: Option<&str>) -> TenantCommand {
        let text = |text: Option<&str>| text.map(str::to_owned);
        SetTenant { timezone: text(timezone), display_name: text(name), ..SetTenant::default() }.into()
    }

    #[test]
    fn a_setting_changes_alone_and_no_change_is_none() {
        let named = || changed(2, settings("UTC", "Acme"), None);
        given::<Tenant>([created()]).when(set(None, Some("Acme"))).then([named()]);
        given::<Tenant>([created(), named()]).when(set(Some("UTC"), Some("Acme"))).then([]);
        let moved = changed(3, settings("Europe/Berlin", "Acme"), None);
        given::<Tenant>([created(), named()]).when(set(Some("Europe/Berlin"), None)).then([moved]);
        given::<Tenant>([created(), named()]).when(set(None, Some(""))).then([changed(3, settings("UTC", ""), None)]);
    }

    #[test]
    fn a_time_zone_must_exist() {
        let unknown = Rejection::invalid("timezone", "\"Mars\" is not an IANA time zone such as Europe/Berlin");
        given::<Tenant>([created()]).when(set(Some("Mars"), None)).then_rejected(&unknown);
    }

    #[test]
    fn earlier_settings_hold_again_as_a_new_change() {
        let history = || {
            [created(), changed(2, settings("UTC", "Acme"), None), changed(3, settings("Europe/Berlin", "Acme"), None)]
        };
        let to = |to| TenantCommand::RevertTenant(RevertTenant { to: Some(to), at: None });
        given::<Tenant>(history()).when(to(1)).then([changed(4, settings("UTC", ""), Some(1))]);
        given::<Tenant>(history()).when(to(3)).then([]);
        let unknown =
            Rejection::invalid("to", "revision 9 is not known; revisions 1 to 3 are (steward tenant history)");
        given::<Tenant>(history()).when(to(9)).then_rejected(&unknown);
        let both = TenantCommand::RevertTenant(RevertTenant { to: Some(1), at: Some(Timestamp(0)) });
        let one = Rejection::invalid("to", "say either a revision (to) or a moment (at)");
        given::<Tenant>(history()).when(both).then_rejected(&one);
    }

    #[test]
    fn a_moment_names_the_settings_that_held_then() {
        let mut history = History::default();
        for (number, second) in [(1, 10), (2, 20), (3, 30)] {
            history.take_in(number, &settings("UTC", &number.to_string()), Timestamp(second));
        }
        let at = |at| history.revert(&RevertTenant { to: None, at: Some(Timestamp(at)) });
        assert_eq!(at(29), Ok(vec![changed(4, settings("UTC", "2"), Some(2))]));
        assert_eq!(at(20), Ok(vec![changed(4, settings("UTC", "2"), Some(2))]));
        assert!(at(9).is_err(), "before there was anything");
    }

    #[test]
    fn no_more_revisions_are_kept_than_the_bound() {
        let mut history = History::default();
        for number in 1..=u32::try_from(REVISIONS_KEPT).unwrap() + 1 {
            history.take_in(number, &settings("UTC", ""), Timestamp(u64::from(number)));
        }
        assert_eq!((history.0.len(), history.0.front().unwrap().number), (REVISIONS_KEPT, 2));
    }
}
