//! What would have been, had commands been sent before: two authorities are folded along the log, and the second has the
//! commands' events at each moment. Each recorded request is asked of both; only where they differ there is an effect.
//!
//! Whatever is recorded meanwhile, the commands hold: after each change of rights they are supposed again.

use std::collections::BTreeSet;

use steward_authority::{AccessRequest, Authority, Context, changes_rights, read_changes};
use steward_events::command::{Command, LedgerCommand};
use steward_events::commit::{Commit, Entry, Recorded};
use steward_events::event::{AggregateKind, CallContext, DenialEvent, DenialKind, Event, Purpose, UsageEvent};
use steward_events::id::{CallId, PrincipalId, TenantId};
use steward_events::permission::Permission;
use steward_events::quantity::{Amounts, NanoDollars, Position};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::sender::KeyRef;
use steward_events::timestamp::Timestamp;
use steward_events::view::View;
use steward_queries::{Happened, Outcome, Rehearsal, RehearseQuery};

use super::budget::{Fit, Supposed};
use super::effects::{Effects, Same};
use super::scan::{Scan, Takes};
use super::wanted::{COMMANDED, Places, Wanted};
use crate::engine::Engine;
use crate::engine::read_model::{NoAnswer, Query};

/// A part ends when it has so many effects that differ.
const EFFECTS_MAX: usize = 1_000;

/// Answers `asked` about the tenant of `query`.
pub(super) async fn rehearse(engine: &Engine, query: &Query<'_>, asked: &RehearseQuery) -> Result<Rehearsal, NoAnswer> {
    let now = engine.ports.clock.now();
    if asked.since > now {
        return Err(Rejection::invalid("since", format!("{} is in the future", asked.since)).into());
    }
    let tenant = query.tenant();
    let timezone = engine.authority.read().timezone(tenant).to_owned();
    let mut takes = Rehearsing::new(tenant, asked, &timezone)?;
    let kinds: Vec<AggregateKind> =
        COMMANDED.iter().copied().chain([AggregateKind::Usage, AggregateKind::Denials]).collect();
    let scan = Scan { engine, shard: query.shard, tenant, kinds: &kinds };
    let start = if let Some(after) = asked.after {
        after
    } else {
        // A window that had begun before is as full as it was then.
        let windows = takes.budgets.iter().map(|budget| budget.begins(asked.since));
        scan.begin(windows.min().unwrap_or(asked.since).min(asked.since)).await?
    };
    let next = scan.part(start, asked.until, &mut takes).await?;
    Ok(takes.finish(next, asked.until.unwrap_or(now)))
}

struct Rehearsing {
    tenant: TenantId,
    since: Timestamp,
    until: Timestamp,
    was: Authority,
    /// The same with the commands; none before they are supposed to be sent.
    would: Option<Authority>,
    changes: Vec<(u32, Command)>,
    budgets: Vec<Supposed>,
    places: Places,
    effects: Effects,
    took_effect: BTreeSet<u32>,
    sums: Rehearsal,
}

impl Rehearsing {
    fn new(tenant: &TenantId, asked: &RehearseQuery, timezone: &str) -> Result<Self, Rejection> {
        let (mut changes, mut budgets) = (Vec::new(), Vec::new());
        for (place, command) in (0..).zip(read_changes(&asked.changes)?) {
            match command {
                Command::Ledger(LedgerCommand::SetBudget(set)) => {
                    if !set.scope.is_within(tenant) {
                        let reason = format!("{} is outside tenant {tenant}", set.scope);
                        return Err(Rejection::invalid(&format!("changes[{place}]"), reason));
                    }
                    let so_far = asked.so_far.iter().find(|so_far| so_far.change == place);
                    budgets.push(Supposed::new(place, set, timezone, so_far));
                }
                // What it lets through was refused for want of budget, and of that too little is recorded.
                Command::Ledger(LedgerCommand::RemoveBudget(_)) => {}
                command if changes_rights(&command) => changes.push((place, command)),
                command => {
                    let (noun, verb) = command.name();
                    let reason = format!("{noun}.{verb} cannot be rehearsed: it changes neither rights nor budgets");
                    return Err(Rejection::invalid(&format!("changes[{place}]"), reason));
                }
            }
        }
        Ok(Self {
            tenant: tenant.clone(),
            since: asked.since,
            until: asked.until.unwrap_or(Timestamp(u64::MAX)),
            was: Authority::default(),
            would: None,
            changes,
            budgets,
            places: Places::default(),
            effects: Effects::default(),
            took_effect: BTreeSet::new(),
            sums: Rehearsal::default(),
        })
    }

    fn finish(self, next: Option<Position>, end: Timestamp) -> Rehearsal {
        let through = if next.is_some() { self.sums.through } else { end };
        let so_far = if next.is_some() { self.budgets.iter().map(Supposed::so_far).collect() } else { Vec::new() };
        Rehearsal {
            unlisted: self.effects.unlisted(),
            effects: self.effects.into_list(),
            took_effect: self.took_effect.into_iter().collect(),
            through,
            next,
            so_far,
            ..self.sums
        }
    }

    fn is_asked(&self, at: Timestamp) -> bool {
        at >= self.since && at < self.until
    }

    /// Supposes the commands, if their time has come. Those that would be refused now may be accepted later.
    fn suppose(&mut self, at: Timestamp) {
        if at < self.since || self.changes.is_empty() {
            return;
        }
        let would = self.would.get_or_insert_with(|| self.was.copy_of(&self.tenant));
        for (place, command) in &self.changes {
            if would.suppose(&self.tenant, command, at).unwrap_or(false) {
                self.took_effect.insert(*place);
            }
        }
    }

    fn apply(&mut self, recorded: &Recorded<'_>) {
        self.was.apply(recorded);
        if let Some(would) = &mut self.would {
            would.apply(recorded);
        }
    }

    fn usage(&mut self, event: &UsageEvent, entry: &Entry) {
        match event {
            UsageEvent::CallStarted { call, context, worst, .. } => {
                if entry.at >= self.since && self.would.is_none() {
                    self.suppose(entry.at);
                }
                self.call(call, context, *worst, entry.at);
            }
            UsageEvent::CallFinished { call, used, late, .. } => {
                self.budgets.iter_mut().for_each(|budget| budget.end(call, *used + *late));
            }
            UsageEvent::LeaseClosed { .. } => {}
        }
    }

    fn call(&mut self, call: &CallId, context: &CallContext, worst: Amounts, at: Timestamp) {
        let asked = self.is_asked(at);
        self.sums.calls += u64::from(asked);
        if asked && let Some(because) = self.refused_call(context, worst.money, at) {
            let same = Self::same_call(Outcome::Refused, context, None);
            return self.effects.tell(same, because, call.as_str(), (worst, at));
        }
        let touched = |budget: &&mut Supposed| budget.touches(&context.scopes);
        let fits = self.budgets.iter_mut().filter(touched).map(|budget| (budget.fits(worst, at), budget));
        let told = fits.filter(|(fit, _)| asked && *fit != Fit::Fits).max_by_key(|(fit, _)| *fit == Fit::No);
        let told = told.map(|(fit, budget)| (fit, budget.change, budget.left(at)));
        let is_refused = told.as_ref().is_some_and(|(fit, ..)| *fit == Fit::No);
        for budget in self.budgets.iter_mut().filter(touched) {
            self.took_effect.insert(budget.change);
            if !is_refused {
                budget.begin(call, worst, at);
            }
        }
        if let Some((fit, change, because)) = told {
            let outcome = if fit == Fit::No { Outcome::Refused } else { Outcome::Waits };
            self.effects.tell(Self::same_call(outcome, context, Some(change)), because, call.as_str(), (worst, at));
        }
    }

    /// Why the call would have been refused, if it would have been.
    fn refused_call(&self, context: &CallContext, cost: NanoDollars, at: Timestamp) -> Option<String> {
        let would = self.would.as_ref()?;
        let asked = match &context.purpose {
            // Nobody made it.
            Purpose::Shadow => return None,
            Purpose::StandIn { asked } => Some(asked),
            Purpose::Asked => None,
        };
        let scopes = &context.scopes;
        asked.into_iter().chain([&scopes.model]).find_map(|model| {
            let request = AccessRequest {
                tenant: self.tenant.clone(),
                principal: scopes.principal.clone(),
                key: Some(KeyRef { tenant: self.tenant.clone(), key: scopes.key.clone() }),
                permission: Permission::model_invoke(),
                scope: scopes.path.clone(),
                // Of which class its data was is not on record.
                context: Context {
                    model: Some(model.clone()),
                    cost: Some(cost),
                    any_class: true,
                    ..Context::default()
                },
            };
            let refused = would.authorise(&request, at).err()?;
            self.was.authorise(&request, at).is_ok().then(|| why(refused))
        })
    }

    fn same_call(outcome: Outcome, context: &CallContext, budget: Option<u32>) -> Same {
        let scopes = &context.scopes;
        Same {
            what: Happened::Call,
            outcome,
            principal: scopes.principal.clone(),
            key: Some(scopes.key.clone()),
            permission: Permission::model_invoke(),
            model: Some(scopes.model.clone()),
            scope: scopes.path.clone(),
            budget,
        }
    }

    fn command(&mut self, wanted: Wanted, id: &str, at: Timestamp) {
        self.sums.commands += 1;
        let Wanted { principal, key, permission, scope } = wanted;
        let Some(would) = &self.would else { return };
        let request = self.request(&principal, key.as_ref(), &permission, &scope);
        let Err(refused) = would.authorise_as_such(&request, at) else { return };
        if self.was.authorise_as_such(&request, at).is_ok() {
            let (what, outcome, key) = (Happened::Command, Outcome::Refused, key.map(|key| key.key));
            let same = Same { what, outcome, principal, key, permission, model: None, scope, budget: None };
            self.effects.tell(same, why(refused), id, (Amounts::ZERO, at));
        }
    }

    fn denial(&mut self, event: &DenialEvent, entry: &Entry) {
        let in_question = |kind: DenialKind| match kind {
            DenialKind::Forbidden | DenialKind::Suspended => !self.changes.is_empty(),
            DenialKind::BudgetExhausted => true,
            _ => false,
        };
        match event {
            DenialEvent::Denied {
                kind: DenialKind::Forbidden,
                principal: Some(principal),
                permission: Some(permission),
                scope: Some(scope),
                ..
            } => self.refusal(principal, permission, scope, entry),
            DenialEvent::Denied { kind, .. } => self.sums.unknown += u64::from(in_question(*kind)),
            DenialEvent::LeftOut { kinds, .. } => {
                let counted = kinds.iter().filter(|(kind, _)| in_question(**kind));
                self.sums.unknown += counted.map(|(_, count)| count).sum::<u64>();
            }
            DenialEvent::Spared { .. } => {}
        }
    }

    /// Asked of somebody as such: by which key and with which model they came is not recorded.
    fn refusal(&mut self, principal: &PrincipalId, permission: &Permission, scope: &Scope, entry: &Entry) {
        self.sums.refusals += 1;
        let Some(would) = &self.would else { return };
        let at = entry.at;
        let request = self.request(principal, None, permission, scope);
        if self.was.authorise_as_such(&request, at).is_ok() {
            return;
        }
        let (outcome, because) = match would.authorise_as_such(&request, at) {
            Ok(allowed) => (Outcome::Allowed, allowed.reason.to_string()),
            Err(_) if self.was.allowed_under_conditions(&request, at).is_some() => return,
            Err(_) => match would.allowed_under_conditions(&request, at) {
                Some(because) => (Outcome::AllowedUnderConditions, because),
                None => return,
            },
        };
        let (principal, permission, scope) = (principal.clone(), permission.clone(), scope.clone());
        let what = Happened::Refusal;
        let same = Same { what, outcome, principal, key: None, permission, model: None, scope, budget: None };
        self.effects.tell(same, because, entry.correlation.as_str(), (Amounts::ZERO, at));
    }

    fn request(
        &self,
        principal: &PrincipalId,
        key: Option<&KeyRef>,
        permission: &Permission,
        scope: &Scope,
    ) -> AccessRequest {
        AccessRequest {
            tenant: self.tenant.clone(),
            principal: principal.clone(),
            key: key.cloned(),
            permission: permission.clone(),
            scope: scope.clone(),
            context: Context::default(),
        }
    }
}

impl Takes for Rehearsing {
    fn authority(&mut self) -> &mut Authority {
        &mut self.was
    }

    fn inherit(&mut self, commit: &Commit) {
        for recorded in commit.recorded(Position(0)) {
            self.apply(&recorded);
        }
        if self.would.is_some()
            && let Some(entry) = commit.entries.last()
        {
            self.suppose(entry.at.max(self.since));
        }
    }

    fn take(&mut self, commit: &Commit, position: Position) -> bool {
        let kind = commit.stream.kind;
        for entry in &commit.entries {
            self.sums.through = self.sums.through.max(entry.at);
        }
        match kind {
            AggregateKind::Usage => {
                for recorded in commit.recorded(position) {
                    if let Event::Usage(event) = recorded.event {
                        self.usage(event, recorded.entry);
                    }
                }
            }
            AggregateKind::Denials => {
                for recorded in commit.recorded(position) {
                    if let Event::Denials(event) = recorded.event
                        && self.is_asked(recorded.entry.at)
                    {
                        self.suppose_first(recorded.entry.at);
                        self.denial(event, recorded.entry);
                    }
                }
            }
            _ => self.take_decided(commit, position),
        }
        self.effects.len() < EFFECTS_MAX
    }
}

impl Rehearsing {
    fn suppose_first(&mut self, at: Timestamp) {
        if self.would.is_none() {
            self.suppose(at);
        }
    }

    /// A commit of an aggregate: whoever sent its commands needed a right, before what they changed.
    fn take_decided(&mut self, commit: &Commit, position: Position) {
        let is_of_rights = Authority::KINDS.contains(&commit.stream.kind);
        let mut index = 0;
        for entry in &commit.entries {
            let Some(event) = entry.events.first() else { continue };
            let (stream, version) = (&commit.stream, commit.version);
            let recorded = Recorded { stream, position, version, index, entry, event };
            index += u32::try_from(entry.events.len()).unwrap_or(u32::MAX);
            if let Some(wanted) = self.places.wanted(entry, &recorded, &self.was)
                && self.is_asked(entry.at)
            {
                self.suppose_first(entry.at);
                self.command(wanted, entry.command.as_str(), entry.at);
            }
            if is_of_rights {
                for event in &entry.events {
                    self.apply(&Recorded { event, ..recorded });
                }
                self.suppose(entry.at);
            }
        }
    }
}

/// Why not, without what would help.
fn why(rejection: Rejection) -> String {
    match rejection {
        Rejection::Forbidden { reason, .. } => reason,
        other => other.to_string(),
    }
}
