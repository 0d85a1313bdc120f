//! Guards a tenant's life: opened once, suspended and resumed by those who may, erased in two steps.

use std::collections::BTreeSet;

use steward_events::command::{EraseTenant, RecordDestroyed, SuspendTenant, TenantCommand};
use steward_events::event::TenantEvent;
use steward_events::id::TenantId;
use steward_events::rejection::Rejection;
use steward_events::sealed::{DestroyedKey, KeyOwner};
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};
use crate::limit;

/// The most destroyed keys of one record.
pub const DESTROYED_MAX: usize = 500;

/// Why an erased tenant may do nothing.
const ERASED: &str = "it was erased, which cannot be undone; its name stays taken";

/// One tenant's life and settings.
#[derive(Clone, Debug, Default)]
pub struct Tenant {
    open: Option<OpenedTenant>,
    suspended: Option<String>,
    erasure: Erasure,
}

#[derive(Clone, Debug)]
struct OpenedTenant {
    tenant: TenantId,
    timezone: String,
}

/// How far an erasure is.
#[derive(Clone, Debug, Default)]
enum Erasure {
    #[default]
    None,
    /// It can be cancelled.
    Asked,
    /// It cannot. Which keys are known to be gone, and whether what was kept beside the log is.
    Done { destroyed: BTreeSet<KeyOwner>, contents: bool },
}

impl Tenant {
    /// True once the tenant may be used.
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Why it is suspended, if it is: an erased tenant is, for good.
    pub fn suspended(&self) -> Option<&str> {
        self.suspended.as_deref()
    }

    /// True once nobody may read its content.
    pub const fn is_erased(&self) -> bool {
        matches!(self.erasure, Erasure::Done { .. })
    }

    /// IANA name of its time zone; `UTC` before it is open.
    pub fn timezone(&self) -> &str {
        self.open.as_ref().map_or("UTC", |open| &open.timezone)
    }

    fn must_be_open(&self, stamp: &Stamp) -> Result<(), Rejection> {
        if self.is_open() { Ok(()) } else { Err(Rejection::UnknownTenant { tenant: stamp.tenant.clone() }) }
    }

    fn suspend(&self, suspend: &SuspendTenant, stamp: &Stamp) -> Result<Vec<TenantEvent>, Rejection> {
        self.must_be_open(stamp)?;
        limit::reason(&suspend.reason)?;
        if stamp.tenant.is_steward() {
            return Err(Rejection::invalid("tenant", "steward cannot be suspended, because nobody could resume it"));
        }
        if self.suspended.is_some() {
            return Ok(vec![]);
        }
        Ok(vec![TenantEvent::Suspended { reason: suspend.reason.clone() }])
    }

    fn resume(&self, stamp: &Stamp) -> Result<Vec<TenantEvent>, Rejection> {
        self.must_be_open(stamp)?;
        match self.erasure {
            Erasure::Done { .. } => Err(erased(&stamp.tenant)),
            Erasure::Asked => Err(Rejection::stale(
                "the tenant is about to be erased; first keep it: steward tenant cancel-erase --tenant NAME",
            )),
            Erasure::None => Ok(if self.suspended.is_some() { vec![TenantEvent::Resumed] } else { vec![] }),
        }
    }

    fn erase(&self, erase: &EraseTenant, stamp: &Stamp) -> Result<Vec<TenantEvent>, Rejection> {
        self.must_be_open(stamp)?;
        limit::reason(&erase.reason)?;
        if stamp.tenant.is_steward() {
            return Err(Rejection::invalid(
                "tenant",
                "steward cannot be erased: it holds who operates this installation",
            ));
        }
        if erase.confirm != stamp.tenant {
            let reason = format!("must name the tenant that is erased, {}, not {}", stamp.tenant, erase.confirm);
            return Err(Rejection::invalid("confirm", reason));
        }
        match self.erasure {
            Erasure::Asked | Erasure::Done { .. } => Ok(vec![]),
            Erasure::None if self.suspended.is_none() => {
                let first =
                    "the tenant is not suspended; first stop it: steward tenant suspend --tenant NAME --reason WHY";
                Err(Rejection::stale(first))
            }
            Erasure::None => Ok(vec![TenantEvent::ErasureAsked { reason: erase.reason.clone() }]),
        }
    }

    fn record_destroyed(&self, record: &RecordDestroyed) -> Result<Vec<TenantEvent>, Rejection> {
        limit::count("keys", record.keys.len(), DESTROYED_MAX)?;
        let Erasure::Done { destroyed, contents: contents_gone } = &self.erasure else {
            return Err(Rejection::stale("the tenant is not erased"));
        };
        let mut new: Vec<DestroyedKey> = Vec::new();
        for key in &record.keys {
            if !destroyed.contains(&key.owner) && !new.iter().any(|known| known.owner == key.owner) {
                new.push(key.clone());
            }
        }
        let contents = record.contents.filter(|_| !contents_gone);
        if new.is_empty() && contents.is_none() {
            return Ok(vec![]);
        }
        Ok(vec![TenantEvent::Destroyed { keys: new, contents }])
    }
}

fn erased(tenant: &TenantId) -> Rejection {
    Rejection::Suspended { tenant: tenant.clone(), reason: ERASED.to_owned() }
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
            TenantCommand::SuspendTenant(suspend) => self.suspend(suspend, stamp),
            TenantCommand::ResumeTenant(_) => self.resume(stamp),
            TenantCommand::EraseTenant(erase) => self.erase(erase, stamp),
            TenantCommand::CancelErasure(_) => match self.erasure {
                Erasure::None => Ok(vec![]),
                Erasure::Asked => Ok(vec![TenantEvent::ErasureCancelled]),
                Erasure::Done { .. } => Err(erased(&stamp.tenant)),
            },
            TenantCommand::CarryOutErasure(_) => match self.erasure {
                Erasure::Asked => Ok(vec![TenantEvent::Erased]),
                Erasure::Done { .. } => Ok(vec![]),
                Erasure::None => Err(Rejection::stale("the erasure was cancelled")),
            },
            TenantCommand::RecordDestroyed(record) => self.record_destroyed(record),
        }
    }

    fn apply(&mut self, event: &TenantEvent, _: Timestamp) {
        match event {
            TenantEvent::Created { tenant, timezone } => {
                self.open = Some(OpenedTenant { tenant: tenant.clone(), timezone: timezone.clone() });
            }
            TenantEvent::Suspended { reason } => self.suspended = Some(reason.clone()),
            TenantEvent::Resumed => self.suspended = None,
            TenantEvent::ErasureAsked { .. } => self.erasure = Erasure::Asked,
            TenantEvent::ErasureCancelled => self.erasure = Erasure::None,
            TenantEvent::Erased => {
                self.suspended = Some(ERASED.to_owned());
                self.erasure = Erasure::Done { destroyed: BTreeSet::new(), contents: false };
            }
            TenantEvent::Destroyed { keys, contents } => {
                if let Erasure::Done { destroyed, contents: gone } = &mut self.erasure {
                    destroyed.extend(keys.iter().map(|key| key.owner.clone()));
                    *gone |= contents.is_some();
                }
            }
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
    use steward_events::command::{CancelErasure, CarryOutErasure, OpenTenant, ResumeTenant, SuspendTenant};
    use steward_events::sealed::KeyDigest;

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

    fn erase(confirm: &str) -> TenantCommand {
        let confirm = confirm.parse().unwrap();
        TenantCommand::EraseTenant(EraseTenant { confirm, reason: "left".to_owned() })
    }

    fn asked() -> TenantEvent {
        TenantEvent::ErasureAsked { reason: "left".to_owned() }
    }

    fn cancel() -> TenantCommand {
        TenantCommand::CancelErasure(CancelErasure {})
    }

    fn carry_out() -> TenantCommand {
        TenantCommand::CarryOutErasure(CarryOutErasure {})
    }

    fn gone(person: &str) -> DestroyedKey {
        let owner = KeyOwner::Person("acme".parse().unwrap(), person.parse().unwrap());
        DestroyedKey { owner, wrapped: Some(KeyDigest::of(person.as_bytes())) }
    }

    fn record(keys: Vec<DestroyedKey>, contents: Option<u64>) -> TenantCommand {
        TenantCommand::RecordDestroyed(RecordDestroyed { keys, contents })
    }

    fn erased_as() -> Rejection {
        erased(&"acme".parse().unwrap())
    }

    #[test]
    fn only_a_suspended_tenant_is_erased_and_only_by_name() {
        let first = "the tenant is not suspended; first stop it: steward tenant suspend --tenant NAME --reason WHY";
        given::<Tenant>([created()]).when(erase("acme")).then_rejected(&Rejection::stale(first));
        let other = Rejection::invalid("confirm", "must name the tenant that is erased, acme, not acne");
        given::<Tenant>([created(), suspended()]).when(erase("acne")).then_rejected(&other);
        given::<Tenant>([created(), suspended()]).when(erase("acme")).then([asked()]);
        given::<Tenant>([created(), suspended(), asked()]).when(erase("acme")).then([]);
    }

    #[test]
    fn an_erasure_is_cancelled_while_there_is_time() {
        let waiting = || [created(), suspended(), asked()];
        given::<Tenant>(waiting()).when(cancel()).then([TenantEvent::ErasureCancelled]);
        let first = "the tenant is about to be erased; first keep it: steward tenant cancel-erase --tenant NAME";
        given::<Tenant>(waiting()).when(resume()).then_rejected(&Rejection::stale(first));
        let kept = || [created(), suspended(), asked(), TenantEvent::ErasureCancelled];
        given::<Tenant>(kept()).when(carry_out()).then_rejected(&Rejection::stale("the erasure was cancelled"));
        given::<Tenant>(kept()).when(resume()).then([TenantEvent::Resumed]);
    }

    #[test]
    fn an_erased_tenant_never_comes_back() {
        given::<Tenant>([created(), suspended(), asked()]).when(carry_out()).then([TenantEvent::Erased]);
        let over = || [created(), suspended(), asked(), TenantEvent::Erased];
        given::<Tenant>(over()).when(carry_out()).then([]);
        given::<Tenant>(over()).when(resume()).then_rejected(&erased_as());
        given::<Tenant>(over()).when(cancel()).then_rejected(&erased_as());
        given::<Tenant>(over()).when(suspend("again")).then([]);
    }

    #[test]
    fn each_destroyed_key_is_recorded_once() {
        let over = || vec![created(), suspended(), asked(), TenantEvent::Erased];
        let one = TenantEvent::Destroyed { keys: vec![gone("p_1")], contents: None };
        let before = Rejection::stale("the tenant is not erased");
        given::<Tenant>([created()]).when(record(vec![gone("p_1")], None)).then_rejected(&before);
        given::<Tenant>(over()).when(record(vec![gone("p_1"), gone("p_1")], None)).then([one.clone()]);
        let known: Vec<_> = over().into_iter().chain([one]).collect();
        given::<Tenant>(known.clone()).when(record(vec![gone("p_1")], None)).then([]);
        let rest = TenantEvent::Destroyed { keys: vec![gone("p_2")], contents: Some(3) };
        given::<Tenant>(known.clone()).when(record(vec![gone("p_1"), gone("p_2")], Some(3))).then([rest.clone()]);
        let all: Vec<_> = known.into_iter().chain([rest]).collect();
        given::<Tenant>(all).when(record(vec![gone("p_2")], Some(0))).then([]);
        let many = vec![gone("p_1"); DESTROYED_MAX + 1];
        let refused = limit::count("keys", many.len(), DESTROYED_MAX).unwrap_err();
        given::<Tenant>(over()).when(record(many, None)).then_rejected(&refused);
    }
}
