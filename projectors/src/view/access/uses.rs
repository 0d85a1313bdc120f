//! Which rights were used since a moment, as the log tells it.

use std::collections::BTreeMap;

use steward_authority::{Authority, agent_principal};
use steward_events::commit::{Commit, Recorded};
use steward_events::event::{AggregateKind, Event, Purpose, ReadEvent, UsageEvent};
use steward_events::id::{ModelId, PrincipalId, TenantId};
use steward_events::permission::Permission;
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;
use steward_events::view::View;
use steward_queries::{LeastPage, LeastQuery, UsedRight};

use super::scan::{Scan, Takes};
use super::wanted::{COMMANDED, Places, Wanted};
use crate::engine::Engine;
use crate::engine::read_model::{NoAnswer, Query};

/// The most different rights that one report is made from.
const USED_MAX: usize = 5_000;

/// Answers `asked` about the tenant of `query`.
pub(super) async fn least(engine: &Engine, query: &Query<'_>, asked: &LeastQuery) -> Result<LeastPage, NoAnswer> {
    let now = engine.ports.clock.now();
    if asked.since > now {
        return Err(Rejection::invalid("since", format!("{} is in the future", asked.since)).into());
    }
    let tenant = query.tenant();
    let mut uses = Uses::new(tenant, asked);
    let kinds: Vec<AggregateKind> =
        COMMANDED.iter().copied().chain([AggregateKind::Usage, AggregateKind::Reads]).collect();
    let scan = Scan { engine, shard: query.shard, tenant, kinds: &kinds };
    let start = match asked.after {
        Some(after) => after,
        None => scan.begin(asked.since).await?,
    };
    let next = scan.part(start, None, &mut uses).await?;
    if uses.is_full() {
        let reason =
            format!("more than {USED_MAX} different rights were used; ask for one principal, or a shorter time");
        return Err(Rejection::invalid("principal", reason).into());
    }
    let through = if next.is_some() { uses.through } else { now };
    let used = uses.used();
    let rows = match next {
        Some(_) => Vec::new(),
        None => engine.authority.read().least(tenant, &used, asked.principal.as_ref(), now),
    };
    Ok(LeastPage { used, rows, through, next })
}

type Right = (PrincipalId, Permission, Scope, Option<ModelId>);

struct Uses {
    tenant: TenantId,
    since: Timestamp,
    only: Option<PrincipalId>,
    authority: Authority,
    places: Places,
    used: BTreeMap<Right, (u64, Timestamp)>,
    through: Timestamp,
}

impl Uses {
    fn new(tenant: &TenantId, asked: &LeastQuery) -> Self {
        let of = |right: &UsedRight| {
            let UsedRight { principal, permission, scope, model, times, last } = right.clone();
            ((principal, permission, scope, model), (times, last))
        };
        Self {
            tenant: tenant.clone(),
            since: asked.since,
            only: asked.principal.clone(),
            authority: Authority::default(),
            places: Places::default(),
            used: asked.used.iter().map(of).collect(),
            through: Timestamp(0),
        }
    }

    fn is_full(&self) -> bool {
        self.used.len() > USED_MAX
    }

    fn used(self) -> Vec<UsedRight> {
        let of = |((principal, permission, scope, model), (times, last)): (Right, (u64, Timestamp))| UsedRight {
            principal,
            permission,
            scope,
            model,
            times,
            last,
        };
        self.used.into_iter().map(of).collect()
    }

    fn count(&mut self, right: Right, at: Timestamp) {
        if at >= self.since && self.only.as_ref().is_none_or(|only| *only == right.0) {
            let (times, last) = self.used.entry(right).or_insert((0, at));
            *times += 1;
            *last = at.max(*last);
        }
    }

    fn take_event(&mut self, recorded: &Recorded<'_>) {
        let at = recorded.entry.at;
        match recorded.event {
            Event::Usage(UsageEvent::CallStarted { context, .. }) if context.purpose != Purpose::Shadow => {
                let scopes = &context.scopes;
                let stands_for = match &context.purpose {
                    Purpose::StandIn { asked } => Some(asked.clone()),
                    _ => None,
                };
                let agent = scopes.agent.as_ref().map(agent_principal);
                for principal in [scopes.principal.clone()].into_iter().chain(agent) {
                    for model in stands_for.iter().chain([&scopes.model]) {
                        let invoke = Permission::model_invoke();
                        self.count((principal.clone(), invoke, scopes.path.clone(), Some(model.clone())), at);
                    }
                }
            }
            Event::Reads(ReadEvent::Read { principal, query, .. }) if !principal.is_system() => {
                self.count((principal.clone(), query.clone(), Scope::tenant(&self.tenant), None), at);
            }
            _ => {}
        }
    }
}

impl Takes for Uses {
    fn authority(&mut self) -> &mut Authority {
        &mut self.authority
    }

    fn inherit(&mut self, commit: &Commit) {
        for recorded in commit.recorded(Position(0)) {
            self.authority.apply(&recorded);
        }
    }

    fn take(&mut self, commit: &Commit, position: Position) -> bool {
        for recorded in commit.recorded(position) {
            self.through = self.through.max(recorded.entry.at);
            let is_first = recorded.entry.events.first().is_some_and(|first| std::ptr::eq(first, recorded.event));
            if is_first && let Some(wanted) = self.places.wanted(recorded.entry, &recorded, &self.authority) {
                let Wanted { principal, permission, scope, key: _ } = wanted;
                self.count((principal, permission, scope, None), recorded.entry.at);
            }
            self.take_event(&recorded);
            self.authority.apply(&recorded);
        }
        !self.is_full()
    }
}
