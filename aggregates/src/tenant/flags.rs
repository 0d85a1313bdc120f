//! A tenant's feature flags.

use steward_events::command::{RemoveFlag, SetFlag};
use steward_events::event::{FlagSpec, PlanSpec, TenantEvent};
use steward_events::id::FlagId;
use steward_events::rejection::Rejection;

use super::Tenant;
use crate::limit;

/// The most feature flags of one tenant.
pub const FLAGS_MAX: usize = 500;

/// The most principals that one flag names, on and off each.
const NAMED_MAX: usize = 1_000;

impl Tenant {
    /// The flags that it has set itself.
    pub fn own_flags(&self) -> impl Iterator<Item = (&FlagId, &FlagSpec)> {
        self.flags.iter()
    }

    /// The flags that hold in it, in order: its own, and of its plan those that it has not set; true if it has it from the plan.
    pub fn flags(&self, plan: Option<&PlanSpec>) -> Vec<(FlagId, FlagSpec, bool)> {
        let of_plan = plan.into_iter().flat_map(|plan| &plan.flags).filter(|of| !self.flags.contains_key(&of.flag));
        let of_plan = of_plan.map(|of| {
            let spec = FlagSpec { state: of.state, ..FlagSpec::default() };
            (of.flag.clone(), spec, true)
        });
        let own = self.own_flags().map(|(flag, spec)| (flag.clone(), spec.clone(), false));
        let mut all: Vec<_> = own.chain(of_plan).collect();
        all.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        all
    }

    pub(super) fn set_flag(&self, set: &SetFlag) -> Result<Vec<TenantEvent>, Rejection> {
        let SetFlag { flag, state, on_for, off_for } = set.clone();
        limit::count("on_for", on_for.len(), NAMED_MAX)?;
        limit::count("off_for", off_for.len(), NAMED_MAX)?;
        if let Some(both) = on_for.iter().find(|principal| off_for.contains(principal)) {
            return Err(Rejection::invalid("off_for", format!("{both} is named in on_for too: leave it out of one")));
        }
        let spec = FlagSpec { state, on_for, off_for };
        match self.flags.get(&flag) {
            Some(known) if *known == spec => Ok(vec![]),
            known => {
                limit::count("flags", self.flags.len() + usize::from(known.is_none()), FLAGS_MAX)?;
                Ok(vec![TenantEvent::FlagSet { flag, spec }])
            }
        }
    }

    pub(super) fn remove_flag(&self, remove: &RemoveFlag) -> Result<Vec<TenantEvent>, Rejection> {
        let flag = remove.flag.clone();
        if self.flags.contains_key(&flag) {
            Ok(vec![TenantEvent::FlagRemoved { flag }])
        } else {
            Err(Rejection::not_found("flag", &flag))
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_events::command::TenantCommand;
    use steward_events::event::PlanFlag;

    use super::*;
    use crate::aggregate::Aggregate;
    use crate::spec::given;

    fn opened() -> TenantEvent {
        TenantEvent::Created { tenant: "acme".parse().unwrap(), timezone: "UTC".to_owned() }
    }

    fn set(flag: &str, state: &str) -> TenantCommand {
        let (flag, state) = (flag.parse().unwrap(), state.parse().unwrap());
        SetFlag { flag, state, on_for: vec![], off_for: vec![] }.into()
    }

    fn was_set(flag: &str, state: &str) -> TenantEvent {
        let spec = FlagSpec { state: state.parse().unwrap(), ..FlagSpec::default() };
        TenantEvent::FlagSet { flag: flag.parse().unwrap(), spec }
    }

    #[test]
    fn a_flag_is_set_changed_and_removed() {
        given::<Tenant>([opened()]).when(set("search", "25%")).then([was_set("search", "25%")]);
        given::<Tenant>([opened(), was_set("search", "25%")]).when(set("search", "25%")).then([]);
        let remove = || RemoveFlag { flag: "search".parse().unwrap() };
        let removed = TenantEvent::FlagRemoved { flag: "search".parse().unwrap() };
        given::<Tenant>([opened(), was_set("search", "on")]).when(remove()).then([removed]);
        given::<Tenant>([opened()]).when(remove()).then_rejected(&Rejection::not_found("flag", &"search"));
    }

    #[test]
    fn nobody_is_named_both_on_and_off() {
        let ana: Vec<_> = vec!["p_ana".parse().unwrap()];
        let both =
            SetFlag { flag: "a".parse().unwrap(), state: "on".parse().unwrap(), on_for: ana.clone(), off_for: ana };
        let refused = Rejection::invalid("off_for", "p_ana is named in on_for too: leave it out of one");
        given::<Tenant>([opened()]).when(both).then_rejected(&refused);
    }

    #[test]
    fn a_plans_flag_holds_until_the_tenant_sets_it() {
        let plan = PlanSpec {
            flags: vec![PlanFlag { flag: "search".parse().unwrap(), state: "on".parse().unwrap() }],
            ..PlanSpec::default()
        };
        let mut tenant = Tenant::default();
        let shown = |tenant: &Tenant| {
            let all = tenant.flags(Some(&plan)).into_iter();
            all.map(|(flag, spec, of_plan)| format!("{flag} {} {of_plan}", spec.state)).collect::<Vec<_>>()
        };
        assert_eq!(shown(&tenant), ["search on true"]);
        tenant.apply(&was_set("search", "off"), steward_events::timestamp::Timestamp(0));
        assert_eq!(shown(&tenant), ["search off false"]);
    }

    #[test]
    fn a_tenant_has_no_more_flags_than_its_bound() {
        let all = (0..FLAGS_MAX).map(|number| was_set(&format!("f{number}"), "on"));
        let refused = Rejection::invalid("flags", "would have 501 entries; at most 500 are allowed");
        given::<Tenant>([opened()].into_iter().chain(all)).when(set("another", "on")).then_rejected(&refused);
    }
}
