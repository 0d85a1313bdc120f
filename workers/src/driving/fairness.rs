//! Whose turn it is: tenants take turns, so that one with a thousand tasks does not make the others wait for them all.

use std::collections::{BTreeMap, HashMap};

use steward_events::id::TenantId;

/// Remembers who had the last turn.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    last: Option<TenantId>,
}

impl Turns {
    /// Takes at most `free` things, one a tenant and round, beginning after the tenant that had the last turn. No tenant
    /// gets beyond `each_max`, what it has `running` included.
    pub(crate) fn take<T>(
        &mut self,
        waiting: BTreeMap<TenantId, Vec<T>>,
        running: &HashMap<TenantId, usize>,
        each_max: usize,
        free: usize,
    ) -> Vec<T> {
        let mut lines: Vec<(TenantId, std::vec::IntoIter<T>, usize)> = waiting
            .into_iter()
            .map(|(tenant, things)| {
                let room = each_max.saturating_sub(running.get(&tenant).copied().unwrap_or(0));
                (tenant, things.into_iter(), room)
            })
            .collect();
        let first = lines.iter().position(|(tenant, ..)| self.last.as_ref().is_none_or(|last| tenant > last));
        lines.rotate_left(first.unwrap_or(0));
        let mut taken = Vec::new();
        let mut anything = true;
        while anything && taken.len() < free {
            anything = false;
            for (tenant, things, room) in &mut lines {
                if taken.len() == free {
                    break;
                }
                if *room > 0
                    && let Some(thing) = things.next()
                {
                    *room -= 1;
                    anything = true;
                    self.last = Some(tenant.clone());
                    taken.push(thing);
                }
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn waiting(of: &[(&str, usize)]) -> BTreeMap<TenantId, Vec<String>> {
        of.iter().map(|(name, count)| (tenant(name), (1..=*count).map(|n| format!("{name}{n}")).collect())).collect()
    }

    #[test]
    fn tenants_take_turns_across_rounds() {
        let mut turns = Turns::default();
        let none = HashMap::new();
        assert_eq!(turns.take(waiting(&[("a", 9), ("b", 1), ("c", 9)]), &none, 9, 4), ["a1", "b1", "c1", "a2"]);
        assert_eq!(turns.take(waiting(&[("a", 9), ("b", 9), ("c", 9)]), &none, 9, 1), ["b1"]);
        assert_eq!(turns.take(waiting(&[("a", 9), ("b", 9)]), &none, 9, 1), ["a1"], "after the last comes the first");
    }

    #[test]
    fn only_a_tenant_at_its_bound_waits() {
        let mut turns = Turns::default();
        let running = HashMap::from([(tenant("a"), 2)]);
        assert_eq!(turns.take(waiting(&[("a", 9), ("b", 9)]), &running, 3, 9), ["a1", "b1", "b2", "b3"]);
        assert_eq!(turns.take(waiting(&[("a", 9)]), &HashMap::from([(tenant("a"), 3)]), 3, 9), Vec::<String>::new());
        assert_eq!(turns.take(waiting(&[("a", 9)]), &HashMap::new(), 3, 0), Vec::<String>::new());
    }
}
