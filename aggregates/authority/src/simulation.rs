//! For whom rights would change if commands were sent: two authorities, the second with the commands' events, asked the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use steward_events::command::{Audience, COMMANDS, Command, CommandSpec};
use steward_events::event::Condition;
use steward_events::id::{DataClass, PrincipalId, TenantId};
use steward_events::permission::Permission;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;
use steward_queries::{ChangedRights, ExplainQuery, Explanation, QuerySpec, Question, RightsAt, Simulation, Supposed};

use super::explain::explained;
use super::policy::{self, Circumstances, Verdict};
use super::rights::Rights;
use super::supposed::changes_rights;
use super::{AccessRequest, Authority, Context};
use steward_aggregates::access::Access;
use steward_aggregates::access::role::Closure;
use steward_aggregates::identity::Identity;

/// The most permissions that one page lists; the principal that goes beyond is the page's last.
const LISTED_MAX: usize = 5_000;

/// How far somebody may go with one permission at one scope.
#[derive(Clone, Debug, PartialEq)]
enum Reach {
    /// Not at all.
    No,
    /// If one of these conditions holds.
    Under(Vec<Condition>),
    /// Always.
    Yes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Gained,
    Lost,
    Altered,
}

/// All that an answer about somebody as such rests on, their name aside: who stand alike are answered alike.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Standing {
    suspended: bool,
    active: bool,
    operator: bool,
    grants: Vec<StandingGrant>,
    /// What is denied to them, as text.
    denials: String,
}

/// Where a grant holds, its terms if it has any, and what it permits.
type StandingGrant = (Scope, String, Meaning);

/// What a role permits, as one place in memory, which it keeps.
#[derive(Clone)]
struct Meaning(Arc<Closure>);

impl PartialEq for Meaning {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Meaning {}

impl std::hash::Hash for Meaning {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl Standing {
    /// True if both are answered alike though they come from two authorities.
    fn is_as(&self, other: &Self) -> bool {
        let as_many = self.grants.len() == other.grants.len();
        as_many
            && self.differs_in_grants_only(other)
            && self.grants.iter().zip(&other.grants).all(|(a, b)| is_one(a, b))
    }

    /// True if all else is alike.
    fn differs_in_grants_only(&self, other: &Self) -> bool {
        (self.suspended, self.active, self.operator) == (other.suspended, other.active, other.operator)
            && self.denials == other.denials
    }

    /// What grants permit that only one of both has.
    fn apart<'a>(&'a self, other: &'a Self) -> Vec<&'a Closure> {
        let only = |one: &'a Self, other: &'a Self| {
            one.grants.iter().filter(move |grant| !other.grants.iter().any(|known| is_one(grant, known)))
        };
        only(self, other).chain(only(other, self)).map(|(.., meaning)| &*meaning.0).collect()
    }
}

/// True if these are the same grant, known to two authorities.
fn is_one((on, terms, own): &StandingGrant, (other_on, other_terms, other): &StandingGrant) -> bool {
    on == other_on && terms == other_terms && (own == other || own.0.patterns().eq(other.0.patterns()))
}

/// One principal, as an authority knows them.
struct Known<'a> {
    authority: &'a Authority,
    rights: Arc<Rights>,
    standing: Standing,
}

impl<'a> Known<'a> {
    fn new(authority: &'a Authority, tenant: &TenantId, principal: &PrincipalId) -> Self {
        let rights = authority.rights(tenant, principal);
        let grants = rights.held.iter().map(|held| {
            let terms = if held.terms.is_plain() && !held.terms.is_set_aside() {
                String::new()
            } else {
                format!("{:?}", held.terms)
            };
            (held.grant.on.clone(), terms, Meaning(Arc::clone(&held.permissions)))
        });
        let standing = Standing {
            suspended: authority.suspended(tenant).is_some(),
            active: principal.as_str().starts_with("agent_") || authority.inactive(tenant, principal).is_none(),
            operator: authority.is_operator(principal),
            grants: grants.collect(),
            denials: if rights.denials.is_empty() { String::new() } else { format!("{:?}", rights.denials) },
        };
        Self { authority, rights, standing }
    }

    fn reach(&self, permission: &Permission, scope: &Scope, now: Timestamp) -> Reach {
        let Standing { suspended, active, operator, .. } = self.standing;
        let circumstances = Circumstances {
            now,
            permission,
            scope,
            context: &Context::default(),
            suspended: suspended && !policy::audits(permission, operator),
            operator,
            active,
            key: None,
            data_class: DataClass::unclassified(),
            denial: None,
        };
        match self.rights.evaluate(&circumstances, self.authority.policies.for_report()).0 {
            Verdict::Granted => Reach::Yes,
            Verdict::Forbidden(_) | Verdict::InDoubt => Reach::No,
            Verdict::NotGranted => {
                let current = self.rights.covering(permission, scope).filter(|held| !held.terms.is_over(now));
                let conditions: Vec<Condition> = current.filter_map(|held| held.terms.condition.clone()).collect();
                if conditions.is_empty() { Reach::No } else { Reach::Under(conditions) }
            }
        }
    }
}

type Lists = [Vec<RightsAt>; 3];

impl Authority {
    /// What `commands` would change in `tenant` for whom, if they were sent now, from the principal after `after` on.
    ///
    /// # Errors
    /// As the first command would be refused that is.
    pub fn simulate(
        &self,
        tenant: &TenantId,
        commands: &[Command],
        question: Option<&Question>,
        after: Option<&PrincipalId>,
        now: Timestamp,
    ) -> Result<Simulation, Rejection> {
        self.open(tenant)?;
        let mut supposed = self.copy_of(tenant);
        let mut page = Simulation::default();
        for (place, command) in (0..).zip(commands) {
            let named = |error| Rejection::invalid(&format!("changes[{place}]"), format!("would be refused: {error}"));
            if !changes_rights(command) || !supposed.suppose(tenant, command, now).map_err(named)? {
                page.without_effect.push(place);
            }
        }
        page.question = question.map(|question| Supposed {
            before: self.answer_to(tenant, question, now),
            after: supposed.answer_to(tenant, question, now),
        });
        if page.without_effect.len() < commands.len() {
            self.compare(&supposed, tenant, after, now, &mut page);
        }
        Ok(page)
    }

    fn answer_to(&self, tenant: &TenantId, question: &Question, now: Timestamp) -> Explanation {
        let Question { principal, permission, scope, model, cost } = question.clone();
        if model.is_none() && cost.is_none() {
            return self.explain(tenant, &ExplainQuery { principal, permission, scope, at: None, address: None }, now);
        }
        let context = Context { model, cost, ..Context::default() };
        let request = AccessRequest { tenant: tenant.clone(), principal, key: None, permission, scope, context };
        match self.authorise_as_such(&request, now) {
            Ok(allowed) => Explanation { allowed: true, reason: allowed.reason.to_string(), would_allow: None },
            Err(rejection) => explained(rejection),
        }
    }

    fn compare(
        &self,
        supposed: &Self,
        tenant: &TenantId,
        after: Option<&PrincipalId>,
        now: Timestamp,
        page: &mut Simulation,
    ) {
        let permissions = permissions();
        let mut alike: HashMap<(Standing, Standing), Lists> = HashMap::new();
        let mut listed = 0;
        for principal in self.known(tenant).union(&supposed.known(tenant)) {
            if after.is_some_and(|after| principal <= after) {
                continue;
            }
            page.principals += 1;
            let known = [self, supposed].map(|authority| Known::new(authority, tenant, principal));
            let [before, then] = &known;
            if before.standing.is_as(&then.standing) {
                continue;
            }
            let standings = (before.standing.clone(), then.standing.clone());
            let lists = alike.entry(standings).or_insert_with(|| differences(&known, tenant, &permissions, now));
            listed += lists.iter().flatten().map(|at| at.permissions.len()).sum::<usize>();
            let [gained, lost, altered] = lists.clone();
            if !(gained.is_empty() && lost.is_empty() && altered.is_empty()) {
                let name = supposed.name(tenant, principal);
                page.rows.push(ChangedRights { principal: principal.clone(), name, gained, lost, altered });
            }
            if listed >= LISTED_MAX {
                page.next = Some(principal.clone());
                return;
            }
        }
    }

    /// Everyone who exists in the tenant or holds something there.
    fn known(&self, tenant: &TenantId) -> BTreeSet<PrincipalId> {
        let people = self.identity(tenant).into_iter().flat_map(Identity::principals).map(|(id, _)| id);
        people.chain(self.access(tenant).into_iter().flat_map(Access::holders)).cloned().collect()
    }
}

/// What callers can be permitted.
pub(super) fn permissions() -> Vec<Permission> {
    let commands = COMMANDS.iter().filter(|spec| spec.audience == Audience::Callers).map(CommandSpec::permission);
    let queries = steward_queries::for_callers().map(QuerySpec::permission);
    let all: BTreeSet<Permission> = commands.chain(queries).chain(Permission::of_the_gateway()).collect();
    all.into_iter().collect()
}

/// What somebody gains, loses and holds under other conditions, each where it is held and not again below.
fn differences(
    [before, then]: &[Known<'_>; 2],
    tenant: &TenantId,
    permissions: &[Permission],
    now: Timestamp,
) -> Lists {
    let whole = if tenant.is_steward() { Scope::everything() } else { Scope::tenant(tenant) };
    // A right can only come, go or change by a grant that does, unless more changes than grants.
    let apart = before.standing.apart(&then.standing);
    let only_grants = before.standing.differs_in_grants_only(&then.standing);
    let may_change =
        |permission: &&Permission| !only_grants || apart.iter().any(|of| of.covering(permission).is_some());
    let permissions: Vec<&Permission> = permissions.iter().filter(may_change).collect();
    let denied =
        [before, then].into_iter().flat_map(|known| known.rights.denials.iter().map(|denial| denial.spec.on.clone()));
    let held = [before, then].into_iter().flat_map(|known| known.rights.held.iter().map(|held| held.grant.on.clone()));
    let scopes = held.chain(denied).filter(|on| whole.contains(on)).chain([whole.clone()]);
    let scopes: BTreeSet<Scope> = scopes.collect();
    let mut lists = Lists::default();
    let mut told: BTreeMap<&Permission, Vec<(&Scope, Reach, Reach)>> = BTreeMap::new();
    // In order, so a scope comes after those that contain it.
    for scope in &scopes {
        let mut here: Vec<(Way, Vec<Condition>, Vec<Permission>)> = Vec::new();
        for &permission in &permissions {
            let (was, is) = (before.reach(permission, scope, now), then.reach(permission, scope, now));
            let told = told.entry(permission).or_default();
            let above = told.iter().rev().find(|(above, ..)| above.contains(scope));
            let is_told = above.map_or(was == is, |(_, above_was, above_is)| *above_was == was && *above_is == is);
            told.push((scope, was.clone(), is.clone()));
            if is_told || was == is {
                continue;
            }
            let way = match (&was, &is) {
                (Reach::No, _) => Way::Gained,
                (_, Reach::No) => Way::Lost,
                _ => Way::Altered,
            };
            let conditions = if let Reach::Under(conditions) = is { conditions } else { Vec::new() };
            match here.iter_mut().find(|(known, under, _)| *known == way && *under == conditions) {
                Some((.., all)) => all.push(permission.clone()),
                None => here.push((way, conditions, vec![permission.clone()])),
            }
        }
        for (way, conditions, permissions) in here {
            let [gained, lost, altered] = &mut lists;
            let list = match way {
                Way::Gained => gained,
                Way::Lost => lost,
                Way::Altered => altered,
            };
            list.push(RightsAt { scope: scope.clone(), permissions, conditions });
        }
    }
    lists
}
