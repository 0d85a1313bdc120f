//! Guards one rule: a tenant's name is taken once, and its place never changes.

use steward_events::command::{RegistryCommand, RetireTenant};
use steward_events::event::RegistryEvent;
use steward_events::id::TenantId;
use steward_events::quantity::Shard;
use steward_events::rejection::Rejection;
use steward_events::shard::choose_shard;
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};
use crate::limit;

/// One tenant name, taken or free.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    placed: Option<TenantPlace>,
    erased: bool,
}

#[derive(Clone, Debug)]
struct TenantPlace {
    tenant: TenantId,
    shard: Shard,
    timezone: String,
}

impl Registry {
    /// Where the tenant is, once it is placed.
    pub fn shard(&self) -> Option<Shard> {
        self.placed.as_ref().map(|placed| placed.shard)
    }

    fn retire(&self, retire: &RetireTenant) -> Result<Vec<RegistryEvent>, Rejection> {
        match &self.placed {
            None => Err(Rejection::not_found("tenant", &retire.tenant)),
            Some(_) if self.erased => Ok(vec![]),
            Some(placed) => Ok(vec![RegistryEvent::TenantErased { tenant: placed.tenant.clone() }]),
        }
    }
}

impl Aggregate for Registry {
    type Command = RegistryCommand;
    type Event = RegistryEvent;

    fn decide(&self, command: &RegistryCommand, stamp: &Stamp) -> Result<Vec<RegistryEvent>, Rejection> {
        let create = match command {
            RegistryCommand::CreateTenant(create) => create,
            RegistryCommand::RetireTenant(retire) => return self.retire(retire),
        };
        if self.erased {
            let reason = format!("{} was erased, and its name stays taken; choose another name", create.tenant);
            return Err(Rejection::invalid("tenant", reason));
        }
        if create.tenant.is_steward() {
            return Err(Rejection::invalid("tenant", "steward is reserved; choose another name"));
        }
        limit::time_zone(&create.timezone)?;
        match &self.placed {
            Some(placed) if placed.timezone == create.timezone => Ok(vec![]),
            Some(placed) => Err(Rejection::AlreadyExists { what: "tenant".to_owned(), id: placed.tenant.to_string() }),
            None => Ok(vec![RegistryEvent::TenantPlaced {
                tenant: create.tenant.clone(),
                shard: choose_shard(&create.tenant, stamp.shards),
                timezone: create.timezone.clone(),
            }]),
        }
    }

    fn apply(&mut self, event: &RegistryEvent, _: Timestamp) {
        let (tenant, shard, timezone) = match event {
            RegistryEvent::TenantPlaced { tenant, shard, timezone } => (tenant, shard, timezone),
            RegistryEvent::TenantErased { .. } => {
                self.erased = true;
                return;
            }
        };
        // The first to take the name has it, whatever else stands in the stream.
        self.placed.get_or_insert_with(|| TenantPlace {
            tenant: tenant.clone(),
            shard: *shard,
            timezone: timezone.clone(),
        });
    }

    fn answer(&self, _: &RegistryCommand) -> serde_json::Value {
        match &self.placed {
            Some(placed) => serde_json::json!({ "tenant": placed.tenant, "shard": placed.shard }),
            None => serde_json::Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_events::command::CreateTenant;

    use super::*;
    use crate::spec::given;

    fn create(tenant: &str, timezone: &str) -> RegistryCommand {
        RegistryCommand::CreateTenant(CreateTenant { tenant: tenant.parse().unwrap(), timezone: timezone.to_owned() })
    }

    fn placed(tenant: &str) -> RegistryEvent {
        let tenant: TenantId = tenant.parse().unwrap();
        let shard = choose_shard(&tenant, 8);
        RegistryEvent::TenantPlaced { tenant, shard, timezone: "UTC".to_owned() }
    }

    #[test]
    fn a_free_name_is_taken() {
        given::<Registry>([]).when(create("acme", "UTC")).then([placed("acme")]);
    }

    #[test]
    fn asking_again_for_the_same_changes_nothing() {
        given::<Registry>([placed("acme")]).when(create("acme", "UTC")).then([]);
    }

    #[test]
    fn a_taken_name_is_refused() {
        let taken = Rejection::AlreadyExists { what: "tenant".to_owned(), id: "acme".to_owned() };
        given::<Registry>([placed("acme")]).when(create("acme", "Asia/Tokyo")).then_rejected(&taken);
    }

    #[test]
    fn the_name_of_an_erased_tenant_stays_taken() {
        let tenant: TenantId = "acme".parse().unwrap();
        let retire = || RegistryCommand::RetireTenant(RetireTenant { tenant: tenant.clone() });
        let erased = || RegistryEvent::TenantErased { tenant: tenant.clone() };
        given::<Registry>([placed("acme")]).when(retire()).then([erased()]);
        given::<Registry>([placed("acme"), erased()]).when(retire()).then([]);
        given::<Registry>([]).when(retire()).then_rejected(&Rejection::not_found("tenant", &"acme"));
        let taken = Rejection::invalid("tenant", "acme was erased, and its name stays taken; choose another name");
        given::<Registry>([placed("acme"), erased()]).when(create("acme", "UTC")).then_rejected(&taken);
    }

    #[test]
    fn the_reserved_name_and_unknown_time_zones_are_refused() {
        let reserved = Rejection::invalid("tenant", "steward is reserved; choose another name");
        given::<Registry>([]).when(create("steward", "UTC")).then_rejected(&reserved);
        let unknown = Rejection::invalid("timezone", "\"Mars\" is not an IANA time zone such as Europe/Berlin");
        given::<Registry>([]).when(create("acme", "Mars")).then_rejected(&unknown);
    }
}
