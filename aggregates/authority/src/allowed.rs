//! The yes of the authority, and why.

use std::fmt;

use steward_events::event::GrantId;
use steward_events::id::PrincipalId;
use steward_events::permission::Permission;
use steward_events::scope::Scope;
use steward_events::sender::KeyRef;

use super::held_rights::HeldRights;
use super::request::AccessRequest;
use super::words::in_words;

/// They may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The grant and the path of roles.
    pub reason: Reason,
    /// Who really acts.
    pub principal: PrincipalId,
    /// With which key, if that is known.
    pub key: Option<KeyRef>,
    /// The grant that is set aside for a trial and without which they might not: whoever goes by this answer notes it.
    pub set_aside: Option<GrantId>,
}

/// Why somebody may, put into words where it is read: most who may go on without asking why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(Why);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    Granted { held: Box<HeldRights>, permission: Permission, scope: Scope, agent: Option<PrincipalId> },
    PartOfSteward { part: PrincipalId, permission: Permission },
}

impl Reason {
    /// By this grant; of one who acts through an agent, that may too.
    pub(super) fn granted(held: &HeldRights, request: &AccessRequest, agent: Option<PrincipalId>) -> Self {
        let AccessRequest { permission, scope, .. } = request;
        let (held, permission, scope) = (Box::new(held.clone()), permission.clone(), scope.clone());
        Self(Why::Granted { held, permission, scope, agent })
    }

    /// By what the parts of Steward may do.
    pub(super) fn part_of_steward(part: &PrincipalId, permission: &Permission) -> Self {
        Self(Why::PartOfSteward { part: part.clone(), permission: permission.clone() })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Granted { held, permission, scope, agent } => {
                f.write_str(&in_words(held, permission, scope))?;
                agent.iter().try_for_each(|agent| write!(f, ", acting through {agent}, which may too"))
            }
            Why::PartOfSteward { part, permission } => {
                write!(f, "{part} is the part of Steward that does {permission}")
            }
        }
    }
}
