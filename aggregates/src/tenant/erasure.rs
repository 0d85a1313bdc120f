//! Guards how a tenant is erased: asked for while it is suspended and by its name, cancelled while there is time, and then
//! for good. What was destroyed is recorded once.

use std::collections::BTreeSet;

use steward_events::command::{EraseTenant, RecordDestroyed};
use steward_events::event::TenantEvent;
use steward_events::id::TenantId;
use steward_events::rejection::Rejection;
use steward_events::sealed::{DestroyedKey, KeyOwner};

use crate::aggregate::Stamp;
use crate::limit;

/// The most destroyed keys of one record.
pub const DESTROYED_MAX: usize = 500;

/// Why an erased tenant may do nothing.
pub(super) const ERASED: &str = "it was erased, which cannot be undone; its name stays taken";

/// How far an erasure is.
#[derive(Clone, Debug, Default)]
pub(super) enum Erasure {
    #[default]
    None,
    /// It can be cancelled.
    Asked,
    /// It cannot. Which keys are known to be gone, and whether what was kept beside the log is.
    Done { destroyed: BTreeSet<KeyOwner>, contents: bool },
}

impl Erasure {
    /// True once it cannot be cancelled.
    pub(super) const fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }

    /// Refuses to let a tenant act again that is erased, or about to be.
    pub(super) fn lets_resume(&self, stamp: &Stamp) -> Result<(), Rejection> {
        match self {
            Self::None => Ok(()),
            Self::Done { .. } => Err(erased(&stamp.tenant)),
            Self::Asked => Err(Rejection::stale(
                "the tenant is about to be erased; first keep it: steward tenant cancel-erase --tenant NAME",
            )),
        }
    }

    pub(super) fn ask(
        &self,
        erase: &EraseTenant,
        is_suspended: bool,
        stamp: &Stamp,
    ) -> Result<Vec<TenantEvent>, Rejection> {
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
        match self {
            Self::Asked | Self::Done { .. } => Ok(vec![]),
            Self::None if !is_suspended => {
                let first =
                    "the tenant is not suspended; first stop it: steward tenant suspend --tenant NAME --reason WHY";
                Err(Rejection::stale(first))
            }
            Self::None => Ok(vec![TenantEvent::ErasureAsked { reason: erase.reason.clone() }]),
        }
    }

    pub(super) fn cancel(&self, stamp: &Stamp) -> Result<Vec<TenantEvent>, Rejection> {
        match self {
            Self::None => Ok(vec![]),
            Self::Asked => Ok(vec![TenantEvent::ErasureCancelled]),
            Self::Done { .. } => Err(erased(&stamp.tenant)),
        }
    }

    pub(super) fn carry_out(&self) -> Result<Vec<TenantEvent>, Rejection> {
        match self {
            Self::Asked => Ok(vec![TenantEvent::Erased]),
            Self::Done { .. } => Ok(vec![]),
            Self::None => Err(Rejection::stale("the erasure was cancelled")),
        }
    }

    pub(super) fn record_destroyed(&self, record: &RecordDestroyed) -> Result<Vec<TenantEvent>, Rejection> {
        limit::count("keys", record.keys.len(), DESTROYED_MAX)?;
        let Self::Done { destroyed, contents: contents_gone } = self else {
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

    /// Takes in what happened; other events of the tenant change nothing.
    pub(super) fn apply(&mut self, event: &TenantEvent) {
        match event {
            TenantEvent::ErasureAsked { .. } => *self = Self::Asked,
            TenantEvent::ErasureCancelled => *self = Self::None,
            TenantEvent::Erased => *self = Self::Done { destroyed: BTreeSet::new(), contents: false },
            TenantEvent::Destroyed { keys, contents } => {
                if let Self::Done { destroyed, contents: gone } = self {
                    destroyed.extend(keys.iter().map(|key| key.owner.clone()));
                    *gone |= contents.is_some();
                }
            }
            _ => {}
        }
    }
}

fn erased(tenant: &TenantId) -> Rejection {
    Rejection::Suspended { tenant: tenant.clone(), reason: ERASED.to_owned() }
}

#[cfg(test)]
mod tests {
    use steward_events::command::{CancelErasure, CarryOutErasure, ResumeTenant, SuspendTenant, TenantCommand};
    use steward_events::sealed::KeyDigest;

    use super::*;
    use crate::spec::given;
    use crate::tenant::Tenant;

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
