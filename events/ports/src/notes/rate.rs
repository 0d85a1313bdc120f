//! Which notes are kept one by one, and what the others add up to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use steward_events::id::TenantId;
use steward_events::permission::Permission;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::{By, Note, What};

/// The most notes of one principal or address that are kept in a second …
pub(super) const KEPT_EACH_MAX: u32 = 5;
/// … and of one tenant, and again so many sums.
pub(super) const KEPT_OF_TENANT_MAX: u32 = 20;
/// The same is kept once in this time.
pub(super) const SAME_AGAIN: Duration = Duration::from_secs(10);
/// After which time a sum of refusals is written …
pub(super) const SUM_OF_DENIALS: Duration = Duration::from_secs(1);
/// … and one of reading, which some programs do all day.
pub(super) const SUM_OF_READS: Duration = Duration::from_secs(10);
/// How many principals and addresses are told apart; of further ones all is summed by tenant.
const KNOWN_MAX: usize = 10_000;
/// How many different notes of one are told apart.
const DIFFERENT_MAX: usize = 64;
/// How much of what a sum is about is named.
const SAMPLE_MAX: usize = 8;

/// What becomes of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is written.
    Alone,
    /// It is the first of a sum.
    SummedFirst,
    /// It is in a sum.
    Summed,
}

/// Whose notes are counted together, and whether these are looks.
type Whose = (TenantId, By, bool);

/// The notes of the last moments.
#[derive(Debug, Default)]
pub(super) struct Rate {
    known: HashMap<Whose, Recent>,
    tenants: HashMap<TenantId, Second>,
    /// How many of `known` have a sum.
    sums: usize,
}

/// How many were kept in a second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    at: u64,
    kept: u32,
}

#[derive(Debug, Default)]
struct Recent {
    second: Second,
    /// What was kept, and when.
    same: HashMap<(What, Option<Permission>, Option<Scope>, String), Timestamp>,
    sum: Option<Sum>,
}

/// Notes that were not kept one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) since: Timestamp,
    pub(super) kinds: BTreeMap<What, u64>,
    /// How often each permission was wanted, as far as they are told apart.
    pub(super) permissions: BTreeMap<Permission, u64>,
    pub(super) scopes: BTreeSet<Scope>,
}

impl Second {
    /// Counts one more, if there is room in this second.
    fn take(&mut self, now: Timestamp, most: u32) -> bool {
        let at = now.0 / 1_000_000;
        if self.at != at {
            *self = Self { at, kept: 0 };
        }
        let room = self.kept < most;
        self.kept += u32::from(room);
        room
    }
}

impl Rate {
    pub(super) fn keep(&mut self, note: &Note, now: Timestamp) -> Kept {
        let whose = (note.tenant.clone(), note.by.clone(), note.what == What::Read);
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&whose) {
            self.forget_idle(now);
            if self.known.len() >= KNOWN_MAX {
                return self.sum(note, now);
            }
        }
        let recent = self.known.entry(whose).or_default();
        let same = (note.what.clone(), note.permission.clone(), note.scope.clone(), note.text.clone());
        let again = recent.same.get(&same).is_some_and(|kept_at| now.since(*kept_at) < SAME_AGAIN);
        if !again {
            let tenant = self.tenants.entry(note.tenant.clone()).or_default();
            let room = recent.second.take(now, KEPT_EACH_MAX) && tenant.take(now, KEPT_OF_TENANT_MAX);
            if room {
                if recent.same.len() >= DIFFERENT_MAX {
                    recent.same.retain(|_, kept_at| now.since(*kept_at) < SAME_AGAIN);
                }
                if recent.same.len() < DIFFERENT_MAX {
                    recent.same.insert(same, now);
                }
                return Kept::Alone;
            }
        }
        self.sum(note, now)
    }

    /// Adds it to the sum of those whose doing it was; to the tenant's if they are not told apart.
    pub(super) fn sum(&mut self, note: &Note, now: Timestamp) -> Kept {
        let reading = note.what == What::Read;
        let own = (note.tenant.clone(), note.by.clone(), reading);
        let whose = if self.known.contains_key(&own) { own } else { (note.tenant.clone(), By::Many, reading) };
        let recent = self.known.entry(whose).or_default();
        let first = recent.sum.is_none();
        let sum = recent.sum.get_or_insert_with(|| Sum::of(now));
        *sum.kinds.entry(note.what.clone()).or_default() += 1;
        if let Some(permission) = &note.permission
            && (sum.permissions.len() < SAMPLE_MAX || sum.permissions.contains_key(permission))
        {
            *sum.permissions.entry(permission.clone()).or_default() += 1;
        }
        if let Some(scope) = &note.scope
            && sum.scopes.len() < SAMPLE_MAX
        {
            sum.scopes.insert(scope.clone());
        }
        self.sums += usize::from(first);
        if first { Kept::SummedFirst } else { Kept::Summed }
    }

    /// The sums whose time is over, and whether there are others. Those of a tenant with many are one.
    pub(super) fn take_sums(&mut self, now: Timestamp, all: bool) -> (Vec<(TenantId, By, Sum)>, bool) {
        let mut taken: Vec<(TenantId, By, Sum)> = Vec::new();
        let mut of_tenant: HashMap<(TenantId, bool), u32> = HashMap::new();
        let mut many: BTreeMap<(TenantId, bool), Sum> = BTreeMap::new();
        for ((tenant, by, reading), recent) in &mut self.known {
            let time = if *reading { SUM_OF_READS } else { SUM_OF_DENIALS };
            let over = |sum: &Sum| all || now.since(sum.since) >= time || now < sum.since;
            let Some(sum) = recent.sum.take_if(|sum| over(sum)) else { continue };
            self.sums -= 1;
            let count = of_tenant.entry((tenant.clone(), *reading)).or_default();
            *count += 1;
            if *count <= KEPT_OF_TENANT_MAX && *by != By::Many {
                taken.push((tenant.clone(), by.clone(), sum));
            } else {
                let whole = many.entry((tenant.clone(), *reading)).or_insert_with(|| Sum::of(sum.since));
                whole.add(sum);
            }
        }
        taken.extend(many.into_iter().map(|((tenant, _), sum)| (tenant, By::Many, sum)));
        self.forget_idle(now);
        (taken, self.sums > 0)
    }

    /// Forgets those of whom nothing was noted for a while.
    fn forget_idle(&mut self, now: Timestamp) {
        self.known.retain(|_, recent| {
            recent.same.retain(|_, kept_at| now.since(*kept_at) < SAME_AGAIN);
            recent.sum.is_some() || !recent.same.is_empty()
        });
        let second = now.0 / 1_000_000;
        self.tenants.retain(|_, tenant| tenant.at == second);
    }
}

impl Sum {
    fn of(since: Timestamp) -> Self {
        Self { since, kinds: BTreeMap::new(), permissions: BTreeMap::new(), scopes: BTreeSet::new() }
    }

    fn add(&mut self, more: Self) {
        for (kind, count) in more.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        for (permission, count) in more.permissions {
            if self.permissions.len() < SAMPLE_MAX || self.permissions.contains_key(&permission) {
                *self.permissions.entry(permission).or_default() += count;
            }
        }
        let room = SAMPLE_MAX.saturating_sub(self.scopes.len());
        self.scopes.extend(more.scopes.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use steward_events::event::DenialKind;

    use super::*;

    const START: Timestamp = Timestamp(1_000_000);

    fn denied(principal: &str, scope: &str) -> Note {
        Note {
            tenant: "acme".parse().unwrap(),
            by: By::Principal(principal.parse().unwrap()),
            what: What::Denial(DenialKind::Forbidden),
            permission: Some("budget:set".parse().unwrap()),
            scope: Some(scope.parse().unwrap()),
            text: "no grant".to_owned(),
            correlation: None,
        }
    }

    fn kept(rate: &mut Rate, notes: impl IntoIterator<Item = Note>, now: Timestamp) -> usize {
        notes.into_iter().filter(|note| rate.keep(note, now) == Kept::Alone).count()
    }

    #[test]
    fn noise_hides_nothing_and_is_summed_at_the_end_of_the_second() {
        let mut rate = Rate::default();
        let noise = (0..40).map(|n| denied("p_a", &format!("acme/p{n}")));
        assert_eq!(kept(&mut rate, noise, START), 5);
        assert_eq!(rate.keep(&denied("p_a", "acme/vault"), START), Kept::Summed);
        assert_eq!(rate.take_sums(START.plus(Duration::from_millis(999)), false), (vec![], true));
        let (sums, more) = rate.take_sums(START.plus(SUM_OF_DENIALS), false);
        let [(tenant, By::Principal(by), sum)] = sums.as_slice() else { panic!("{sums:?}") };
        assert_eq!((tenant.as_str(), by.as_str(), more), ("acme", "p_a", false));
        assert_eq!(sum.kinds[&What::Denial(DenialKind::Forbidden)], 36, "all that was not kept, the last one too");
        assert_eq!((sum.permissions.len(), sum.scopes.len()), (1, SAMPLE_MAX));
    }

    #[test]
    fn one_principals_noise_leaves_others_their_notes() {
        let mut rate = Rate::default();
        assert_eq!(kept(&mut rate, (0..100).map(|n| denied("p_a", &format!("acme/p{n}"))), START), 5);
        assert_eq!(rate.keep(&denied("p_b", "acme/vault"), START), Kept::Alone);
    }

    #[test]
    fn many_principals_are_summed_by_tenant() {
        let mut rate = Rate::default();
        let noise = (0..100).flat_map(|n| [0, 1].map(|m| denied(&format!("p_{n}"), &format!("acme/p{m}"))));
        assert_eq!(kept(&mut rate, noise, START), usize::try_from(KEPT_OF_TENANT_MAX).unwrap());
        let (sums, _) = rate.take_sums(START.plus(SUM_OF_DENIALS), false);
        assert_eq!(sums.len(), usize::try_from(KEPT_OF_TENANT_MAX).unwrap() + 1);
        let all: u64 = sums.iter().flat_map(|(_, _, sum)| sum.kinds.values()).sum();
        assert_eq!(all, 180, "each is in one of the sums");
        assert!(sums.iter().any(|(_, by, _)| *by == By::Many));
    }

    #[test]
    fn the_same_is_kept_at_intervals() {
        let mut rate = Rate::default();
        let same = || denied("p_a", "acme");
        assert_eq!(rate.keep(&same(), START), Kept::Alone);
        assert_eq!(rate.keep(&same(), START.plus(Duration::from_secs(2))), Kept::SummedFirst);
        assert_eq!(rate.keep(&same(), START.plus(SAME_AGAIN)), Kept::Alone);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut rate = Rate::default();
        for n in 0..KNOWN_MAX + 100 {
            rate.keep(&denied(&format!("p_{n}"), "acme"), START);
        }
        assert!(rate.known.len() <= KNOWN_MAX + 1, "one more for all the others");
        let (sums, _) = rate.take_sums(START.plus(SUM_OF_DENIALS), true);
        let all: u64 = sums.iter().flat_map(|(_, _, sum)| sum.kinds.values()).sum();
        assert_eq!(usize::try_from(all).unwrap() + usize::try_from(KEPT_OF_TENANT_MAX).unwrap(), KNOWN_MAX + 100);
        rate.take_sums(START.plus(SAME_AGAIN), true);
        assert!(rate.known.is_empty() && rate.tenants.is_empty(), "nothing is kept of those that are idle");
    }
}
