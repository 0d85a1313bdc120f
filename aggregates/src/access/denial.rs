//! Denials: what wins over every grant.

use steward_events::command::{RemoveDenial, SetDenial};
use steward_events::event::{AccessEvent, Condition, DenialSpec, Whom};
use steward_events::id::RuleId;
use steward_events::rejection::Rejection;

use super::{Access, condition, role};
use crate::aggregate::Stamp;
use crate::limit;

/// The most denials of one tenant.
pub(crate) const DENIALS_MAX: usize = 200;

/// The most permissions, principals or roles that one denial names.
const NAMED_MAX: usize = 50;

impl Access {
    /// The denial of this name.
    pub fn denial(&self, denial: &RuleId) -> Option<&DenialSpec> {
        self.denials.get(denial)
    }

    pub(super) fn set_denial(&self, set: &SetDenial, stamp: &Stamp) -> Result<Vec<AccessEvent>, Rejection> {
        let SetDenial { denial, permissions, on, whom, condition, unless, until, reason } = set.clone();
        super::within("on", &on, stamp)?;
        limit::said(&reason)?;
        limit::future("until", until, stamp.at)?;
        limit::count("permissions", permissions.len(), NAMED_MAX)?;
        if permissions.is_empty() {
            return Err(Rejection::invalid("permissions", "name what is denied, e.g. secret:*"));
        }
        if let Some(unknown) = permissions.iter().find(|pattern| !role::means_something(pattern)) {
            let reason = format!("no command, query or call needs {unknown}; docs/COMMANDS.md lists what there is");
            return Err(Rejection::invalid("permissions", reason));
        }
        self.check_whom(&whom)?;
        let condition = condition::checked(condition.as_ref(), &stamp.timezone)?;
        if unless && condition.as_ref().is_none_or(Condition::is_empty) {
            return Err(Rejection::invalid("unless", "needs a condition that says what is not denied"));
        }
        if !unless && condition.as_ref().is_some_and(|condition| condition.cost_max.is_some()) {
            let reason = "would deny what is cheap; with unless: true what costs more is denied";
            return Err(Rejection::invalid("condition.cost_max", reason));
        }
        let spec = DenialSpec { permissions, on, whom, condition, unless, until, reason };
        if self.denials.get(&denial) == Some(&spec) {
            return Ok(vec![]);
        }
        let more = usize::from(!self.denials.contains_key(&denial));
        limit::count("denials", self.denials.len() + more, DENIALS_MAX)?;
        Ok(vec![AccessEvent::DenialSet { denial, spec }])
    }

    fn check_whom(&self, whom: &Whom) -> Result<(), Rejection> {
        let Whom { everyone, principals, roles } = whom;
        limit::count("whom.principals", principals.len(), NAMED_MAX)?;
        limit::count("whom.roles", roles.len(), NAMED_MAX)?;
        if *everyone == (principals.len() + roles.len() > 0) {
            return Err(Rejection::invalid("whom", "name principals or roles, or say everyone: true"));
        }
        match roles.iter().find(|role| !self.knows(role)) {
            Some(unknown) => Err(Rejection::not_found("role", unknown)),
            None => Ok(()),
        }
    }

    pub(super) fn remove_denial(&self, remove: &RemoveDenial) -> Result<Vec<AccessEvent>, Rejection> {
        let RemoveDenial { denial, reason } = remove.clone();
        limit::reason(&reason)?;
        if !self.denials.contains_key(&denial) {
            return Err(Rejection::not_found("denial", &denial));
        }
        Ok(vec![AccessEvent::DenialRemoved { denial, reason }])
    }
}
