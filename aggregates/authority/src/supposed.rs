//! Commands that are supposed and not sent: decided by the same deciders as those that are, and folded like their events.

use steward_events::command::{Audience, Command};
use steward_events::commit::{Entry, Recorded};
use steward_events::event::Event;
use steward_events::id::{CommandId, CorrelationId, PrincipalId, StreamId, SystemPart, TenantId};
use steward_events::ids::DerivedIds;
use steward_events::quantity::{Position, Shard, Version};
use steward_events::rejection::Rejection;
use steward_events::request::Format;
use steward_events::scope::Scope;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_events::view::View;
use steward_queries::{CHANGES_MAX, Change};

use super::{Authority, Rules};
use steward_aggregates::aggregate::{Aggregate, Stamp};
use steward_aggregates::limit;

/// The id of what is supposed: it is nowhere recorded.
const SUPPOSED: &str = "supposed";

/// Reads commands as they would be sent.
///
/// # Errors
/// [`Rejection::Invalid`], naming the place, if one is no command that callers send or its body is wrong.
pub fn read_changes(changes: &[Change]) -> Result<Vec<Command>, Rejection> {
    limit::count("changes", changes.len(), CHANGES_MAX)?;
    let read = |(place, change): (usize, &Change)| {
        read_change(change, place).map_err(|error| {
            let reason = format!("{}: {error}", change.command);
            Rejection::invalid(&format!("changes[{place}]"), reason)
        })
    };
    changes.iter().enumerate().map(read).collect()
}

fn read_change(Change { command, body }: &Change, place: usize) -> Result<Command, Rejection> {
    let (noun, verb) = command
        .split_once(['.', ' '])
        .ok_or_else(|| Rejection::invalid("command", "is written noun.verb, e.g. grant.revoke"))?;
    let body = serde_json::to_vec(body).map_err(|error| Rejection::invalid("body", error.to_string()))?;
    let mut read = Command::read(noun, verb, Format::Json, &body)?;
    if read.spec().audience == Audience::System {
        return Err(Rejection::invalid("command", "only parts of Steward send it"));
    }
    read.body_mut().complete(&DerivedIds::from_seed(format!("{SUPPOSED}\0{place}")));
    Ok(read)
}

impl Authority {
    /// What is known of `tenant`, and of steward, whose roles and operators count everywhere; of no other tenant.
    pub fn copy_of(&self, tenant: &TenantId) -> Self {
        let of = [tenant.clone(), TenantId::steward()];
        let rules = of.into_iter().filter_map(|of| Some((of.clone(), self.tenants.get(&of)?.clone())));
        Self { tenants: rules.collect(), ..Self::default() }
    }

    /// Supposes that `command` is sent to `tenant` and accepted at `at`. Says whether that changes anything.
    ///
    /// # Errors
    /// As the command would be refused; [`Rejection::Invalid`] if it is not about who may do what.
    pub fn suppose(&mut self, tenant: &TenantId, command: &Command, at: Timestamp) -> Result<bool, Rejection> {
        let command_id = |error: &dyn std::fmt::Display| Rejection::invalid("command", error.to_string());
        let id = CommandId::new(SUPPOSED).map_err(|error| command_id(&error))?;
        let correlation = CorrelationId::new(SUPPOSED).map_err(|error| command_id(&error))?;
        let events = self.decide_supposed(tenant, command, &self.stamp(tenant, &id, at))?;
        let stream =
            StreamName { shard: Shard(0), tenant: tenant.clone(), kind: command.aggregate(), id: StreamId::main() };
        let entry = Entry {
            command: id,
            at,
            actor: PrincipalId::system(SystemPart::Bootstrap),
            on_behalf_of: None,
            causation: None,
            correlation,
            body: None,
            key: None,
            events,
        };
        for (index, event) in (0..).zip(&entry.events) {
            let (position, version) = (Position(0), Version(0));
            self.apply(&Recorded { stream: &stream, position, version, index, entry: &entry, event });
        }
        Ok(!entry.events.is_empty())
    }

    fn stamp(&self, tenant: &TenantId, command: &CommandId, at: Timestamp) -> Stamp {
        Stamp {
            command: command.clone(),
            at,
            tenant: tenant.clone(),
            actor: PrincipalId::system(SystemPart::Bootstrap),
            key: None,
            on_behalf_of: None,
            reach: if tenant.is_steward() { Scope::everything() } else { Scope::tenant(tenant) },
            timezone: self.timezone(tenant).to_owned(),
            quotas: self.quotas(tenant),
            shards: 1,
        }
    }

    fn decide_supposed(&self, tenant: &TenantId, command: &Command, stamp: &Stamp) -> Result<Vec<Event>, Rejection> {
        let nothing = Rules::default();
        let Rules { life, identity, access, .. } = self.tenants.get(tenant).unwrap_or(&nothing);
        match command {
            Command::Access(command) => decided(access, command, stamp),
            Command::Identity(command) => decided(identity, command, stamp),
            Command::Tenant(command) => decided(life, command, stamp),
            other => {
                let (noun, verb) = other.name();
                Err(Rejection::invalid("command", format!("{noun}.{verb} does not change who may do what")))
            }
        }
    }
}

/// True if this is about who may do what: only such commands can be supposed.
pub const fn changes_rights(command: &Command) -> bool {
    matches!(command, Command::Access(_) | Command::Identity(_) | Command::Tenant(_))
}

fn decided<A: Aggregate>(state: &A, command: &A::Command, stamp: &Stamp) -> Result<Vec<Event>, Rejection> {
    Ok(state.decide(command, stamp)?.into_iter().map(Into::into).collect())
}
