//! Guards a tenant's life: opened once, suspended and resumed by those who may.

use steward_events::command::TenantCommand;
use steward_events::event::TenantEvent;
use steward_events::id::TenantId;
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};
use crate::limit;

/// One tenant's life and settings.
#[derive(Clone, Debug, Default)]
pub struct Tenant {
    open: Option<OpenedTenant>,
    suspended: Option<String>,
}

#[derive(Clone, Debug)]
struct OpenedTenant {
    tenant: TenantId,
    timezone: String,
}

impl Tenant {
    /// True once the tenant may be used.
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Why it is suspended, if it is.
    pub fn suspended(&self) -> Option<&str> {
        self.suspended.as_deref()
    }

    /// IANA name of its time zone; `UTC` before it is open.
    pub fn timezone(&self) -> &str {
        self.open.as_ref().map_or("UTC", |open| &open.timezone)
    }

    fn must_be_open(&self, stamp: &Stamp) -> Result<(), Rejection> {
        if self.is_open() { Ok(()) } else { Err(Rejection::UnknownTenant { tenant: stamp.tenant.clone() }) }
    }
}

impl Aggregate for Tenant {
    type Command = TenantCommand;
    type Event = TenantEvent;

    fn decide(&self, command: &TenantCommand, stamp: &Stamp) -> Result<Vec<TenantEvent>, Rejection> {
        match command {
            TenantCommand::OpenTenant(_) if self.is_open() => Ok(vec![]),
            TenantCommand::OpenTenant(open) => {
                limit::time_zone(&open.timezone)?;
                Ok(vec![TenantEvent::Created { tenant: stamp.tenant.clone(), timezone: open.timezone.clone() }])
            }
            TenantCommand::SuspendTenant(suspend) => {
                self.must_be_open(stamp)?;
                limit::reason(&suspend.reason)?;
                if stamp.tenant.is_steward() {
                    return Err(Rejection::invalid(
                        "tenant",
                        "steward cannot be suspended, because nobody could resume it",
                    ));
                }
                if self.suspended.is_some() {
                    return Ok(vec![]);
                }
                Ok(vec![TenantEvent::Suspended { reason: suspend.reason.clone() }])
            }
            TenantCommand::ResumeTenant(_) => {
                self.must_be_open(stamp)?;
                Ok(if self.suspended.is_some() { vec![TenantEvent::Resumed] } else { vec![] })
            }
        }
    }

    fn apply(&mut self, event: &TenantEvent, _: Timestamp) {
        match event {
            TenantEvent::Created { tenant, timezone } => {
                self.open = Some(OpenedTenant { tenant: tenant.clone(), timezone: timezone.clone() });
            }
            TenantEvent::Suspended { reason } => self.suspended = Some(reason.clone()),
            TenantEvent::Resumed => self.suspended = None,
        }
    }

    fn answer(&self, _: &TenantCommand) -> serde_json::Value {
        match &self.open {
            Some(open) => serde_json::json!({ "tenant": open.tenant, "suspended": self.suspended }),
            None => serde_json::Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_events::command::{OpenTenant, ResumeTenant, SuspendTenant};

    use super::*;
    use crate::spec::given;

    fn open() -> TenantCommand {
        TenantCommand::OpenTenant(OpenTenant { timezone: "Europe/Berlin".to_owned() })
    }

    fn suspend(reason: &str) -> TenantCommand {
        TenantCommand::SuspendTenant(SuspendTenant { reason: reason.to_owned() })
    }

    fn resume() -> TenantCommand {
        TenantCommand::ResumeTenant(ResumeTenant {})
    }

    fn created() -> TenantEvent {
        let tenant = "acme".parse().unwrap();
        TenantEvent::Created { tenant, timezone: "Europe/Berlin".to_owned() }
    }

    fn suspended() -> TenantEvent {
        TenantEvent::Suspended { reason: "unpaid".to_owned() }
    }

    #[test]
    fn it_is_opened_once() {
        given::<Tenant>([]).when(open()).then([created()]);
        given::<Tenant>([created()]).when(open()).then([]);
    }

    #[test]
    fn it_is_suspended_and_resumed() {
        given::<Tenant>([created()]).when(suspend("unpaid")).then([suspended()]);
        given::<Tenant>([created(), suspended()]).when(suspend("again")).then([]);
        given::<Tenant>([created(), suspended()]).when(resume()).then([TenantEvent::Resumed]);
        given::<Tenant>([created()]).when(resume()).then([]);
    }

    #[test]
    fn a_tenant_that_was_never_opened_cannot_be_suspended() {
        let unknown = Rejection::UnknownTenant { tenant: "acme".parse().unwrap() };
        given::<Tenant>([]).when(suspend("unpaid")).then_rejected(&unknown);
    }

    #[test]
    fn a_reason_has_a_bound() {
        let long = "a".repeat(limit::REASON_BYTES_MAX + 1);
        let refused = Rejection::invalid("reason", "is 1001 bytes long; at most 1000 are allowed");
        given::<Tenant>([created()]).when(suspend(&long)).then_rejected(&refused);
    }
}
