//! The account's journal: what is appended next, and what an append's outcome means.
//!
//! Finishes are recorded always; starts only while their lease is open. A conflict means that somebody closed a lease:
//! the tail is read, and what was to be recorded is decided again.

use std::collections::VecDeque;

use steward_events::commit::{Commit, Entry};
use steward_events::event::{
    AnswerSource, CallContext, CallOutcome, Saved, Savings, Tags, TokenUsage, UnpricedSet, UsageEvent,
};
use steward_events::id::{CallId, CommandId, CommitId, CorrelationId, LeaseId, PrincipalId, SystemPart};
use steward_events::quantity::{Amounts, NanoDollars, Position};
use steward_events::shared::Shared;
use steward_events::stream::StreamName;
use steward_ports::append::{AppendError, Appended};
use steward_ports::journal::StreamEnd;
use steward_ports::log::{LogError, Stored};
use tokio::sync::oneshot;

use super::{Account, Admitted, Now, Waiting};
use crate::admission::{Finish, Followed, Refusal, Settled, Sharing, mutations};

/// The most calls that one commit starts or finishes.
const BATCH_MAX: usize = 256;

/// The end of the journal, as far as it is known.
#[derive(Default)]
pub(super) struct Head {
    end: StreamEnd,
    /// The tail was read at least once, and nothing is known to be missing.
    is_read: bool,
}

/// A finish to be recorded.
pub(super) struct Finished {
    pub(super) call: CallId,
    pub(super) finish: Finish,
    pub(super) used: Amounts,
    pub(super) late: Amounts,
    /// What an estimate leaves open.
    pub(super) open: Amounts,
    pub(super) settled: Option<oneshot::Sender<Settled>>,
}

/// What is to be recorded, and what is under way.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) starts: VecDeque<Waiting>,
    pub(super) finishes: VecDeque<Finished>,
    flying: Option<Flying>,
}

struct Flying {
    expected: Position,
    commit: Commit,
    starts: Vec<Waiting>,
    finishes: Vec<Finished>,
    closes: Vec<LeaseId>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty() && self.finishes.is_empty() && self.flying.is_none()
    }
}

/// What the journal needs done.
pub(in crate::admission) enum Job {
    /// Read what stands after this position, until the leader knows of no more.
    Read(StreamName, Position),
    /// Append this commit after this position, by the rule for appends.
    Append(Position, Commit),
}

impl Account {
    /// What to do next in the journal, if nothing is under way.
    pub(in crate::admission) fn next_job(&mut self, now: Now) -> Option<Job> {
        if !self.head.is_read {
            return Some(Job::Read(self.me.journal.clone(), self.head.end.position));
        }
        if let Some(flying) = &self.outbox.flying {
            // Its outcome is unknown: only the same commit can tell.
            return Some(Job::Append(flying.expected, flying.commit.clone()));
        }
        self.return_stranded(now);
        let starts: Vec<Waiting> = take(&mut self.outbox.starts);
        let finishes: Vec<Finished> = take(&mut self.outbox.finishes);
        let starting: Vec<_> = starts.iter().filter_map(|w| self.calls.get(&w.call)).map(|c| &c.lease).collect();
        let closes: Vec<LeaseId> = (self.leases.iter())
            .filter(|(id, held)| held.closing.is_some() && !held.closed && !starting.contains(id))
            .map(|(id, _)| id.clone())
            .collect();
        if starts.is_empty() && finishes.is_empty() && closes.is_empty() {
            return None;
        }
        let commit = self.commit(&starts, &finishes, &closes, now);
        let mut flying = Flying { expected: self.head.end.position, commit, starts, finishes, closes };
        if !mutations::waits_for_the_start() {
            for waiting in &mut flying.starts {
                self.tell(waiting);
            }
        }
        let job = Job::Append(flying.expected, flying.commit.clone());
        self.outbox.flying = Some(flying);
        Some(job)
    }

    /// Starts whose lease ended or ran out before they were recorded wait again.
    fn return_stranded(&mut self, now: Now) {
        let starts: Vec<Waiting> = self.outbox.starts.drain(..).collect();
        let (good, stranded): (Vec<_>, Vec<_>) = starts.into_iter().partition(|waiting| {
            let lease = self.calls.get(&waiting.call).and_then(|call| self.leases.get(&call.lease));
            mutations::may_start_on(lease.is_some_and(|held| held.is_usable(now.mono)))
        });
        self.outbox.starts.extend(good);
        for waiting in stranded.into_iter().rev() {
            self.put_back(waiting);
        }
    }

    fn commit(&mut self, starts: &[Waiting], finishes: &[Finished], closes: &[LeaseId], now: Now) -> Commit {
        self.head.end.at = self.head.end.at.max(now.wall);
        let mut entries = Vec::with_capacity(starts.len() + finishes.len() + closes.len());
        for finished in finishes {
            let Some(call) = self.calls.get(&finished.call) else { continue };
            let (context, source, saved) = borne(&finished.finish.sharing, &call.wanted.context);
            let event = UsageEvent::CallFinished {
                call: finished.call.clone(),
                lease: call.lease.clone(),
                context,
                tokens: finished.finish.tokens,
                cost: finished.finish.cost,
                variant: finished.finish.variant,
                unpriced: finished.finish.unpriced,
                source,
                saved,
                savings: finished.finish.savings.clone(),
                used: finished.used,
                late: finished.late,
                outcome: finished.finish.outcome.clone(),
                duration_ms: finished.finish.duration_ms,
                tags: Tags::default(),
            };
            entries.push(self.entry(event, (&finished.call).into(), &call.wanted.request));
        }
        for waiting in starts {
            let Some(call) = self.calls.get(&waiting.call) else { continue };
            let started = UsageEvent::CallStarted {
                call: waiting.call.clone(),
                lease: call.lease.clone(),
                context: call.wanted.context.clone(),
                worst: call.reserved,
                request: call.wanted.request.clone(),
                tags: Tags::default(),
            };
            let finished = waiting.given.as_ref().map(|given| given.finished(&call.lease, &call.wanted.context));
            let mut entry = self.entry(started, (&waiting.call).into(), &call.wanted.request);
            entry.events.extend(finished.map(Into::into));
            entries.push(entry);
        }
        for lease in closes {
            let reason = self.leases.get(lease).and_then(|held| held.closing).unwrap_or("closed").to_owned();
            let event = UsageEvent::LeaseClosed { lease: lease.clone(), reason };
            let correlation = fresh::<CorrelationId>(&*self.ids);
            entries.push(self.entry(event, fresh::<CommandId>(&*self.ids), &correlation));
        }
        self.head.end.next(fresh::<CommitId>(&*self.ids), self.me.journal.clone(), entries)
    }

    fn entry(&self, event: UsageEvent, command: CommandId, request: &CorrelationId) -> Entry {
        Entry {
            command,
            at: self.head.end.at,
            actor: PrincipalId::system(SystemPart::Gateway),
            on_behalf_of: Some(self.me.scopes.principal.clone()),
            key: None,
            causation: None,
            correlation: request.clone(),
            body: None,
            events: vec![event.into()],
        }
    }

    /// What came of [`Job::Append`].
    ///
    /// # Errors
    /// Why it has to be tried again, for the log.
    pub(in crate::admission) fn appended(
        &mut self,
        outcome: Result<Appended, AppendError>,
        now: Now,
    ) -> Result<(), AppendError> {
        match outcome {
            Ok(appended) => {
                if let Some(flying) = self.outbox.flying.take() {
                    self.usage.fold(&flying.commit, appended.position);
                    self.head.end.advance(&flying.commit, appended);
                    self.recorded(flying, now);
                }
                Ok(())
            }
            Err(AppendError::Conflict) => {
                self.head.is_read = false;
                Ok(())
            }
            Err(error @ AppendError::Unavailable(_)) => Err(error),
            Err(error @ AppendError::Refused(_)) => {
                if let Some(flying) = self.outbox.flying.take() {
                    for waiting in flying.starts {
                        self.forget_start(waiting, &error);
                    }
                    // An event may not be refused: it stays to be recorded, and its call stays charged.
                    self.outbox.finishes.extend(flying.finishes);
                }
                Err(error)
            }
        }
    }

    fn forget_start(&mut self, waiting: Waiting, error: &AppendError) {
        if let Some(call) = self.calls.remove(&waiting.call)
            && let Some(held) = self.leases.get_mut(&call.lease)
        {
            held.give_back(call.reserved);
        }
        (waiting.answer)(Err(Refusal::Unavailable(error.to_string().into())));
    }

    fn recorded(&mut self, flying: Flying, now: Now) {
        for finished in flying.finishes {
            self.settle(finished);
        }
        for waiting in flying.starts {
            self.started(waiting, now);
        }
        for lease in flying.closes {
            if let Some(held) = self.leases.get_mut(&lease) {
                held.closed = true;
                held.end_due = true;
            }
        }
    }

    fn settle(&mut self, finished: Finished) {
        let Some(call) = self.calls.remove(&finished.call) else { return };
        let Finished { used, late, open, settled, .. } = finished;
        let mut waits = false;
        if let Some(held) = self.leases.get_mut(&call.lease) {
            held.finished(call.reserved, used, late, open);
            // Of a lease that is closed, others tell.
            waits = !late.is_zero() && !held.closed && held.closing.is_none();
            held.pressure |= waits;
        }
        let recorded = Settled { used, late, budget_left: self.budget_left() };
        match settled {
            Some(sender) if waits => self.unreleased.push((call.lease, recorded, sender)),
            // Nobody may be listening any more; the event stands.
            Some(sender) => _ = sender.send(recorded),
            None => {}
        }
    }

    /// `CallStarted` is acknowledged: the call may go, unless the time for that has passed.
    fn started(&mut self, mut waiting: Waiting, now: Now) {
        if waiting.given.is_some() {
            return self.was_given(waiting);
        }
        let lease = self.calls.get(&waiting.call).and_then(|call| self.leases.get(&call.lease));
        let in_time = lease.is_some_and(|held| now.mono < held.start_until);
        let call = waiting.call.clone();
        if in_time || !mutations::waits_for_the_start() {
            if !self.tell(&mut waiting) {
                self.finish(&call, never_sent("the caller went away before the call was made"), now, None);
            }
            return;
        }
        self.finish(&call, never_sent("its lease ran out before the call was made"), now, None);
        // The next attempt is another call: a call starts once.
        waiting.call = fresh::<CallId>(&*self.ids);
        match &self.stopped {
            Some(why) => _ = (waiting.answer)(Err(Refusal::Closed(why.clone()))),
            None => self.line.push_front(waiting),
        }
    }

    /// A call that was given its answer is over when that is recorded, whoever hears of it.
    fn was_given(&mut self, mut waiting: Waiting) {
        self.tell(&mut waiting);
        if let Some(call) = self.calls.remove(&waiting.call)
            && let Some(held) = self.leases.get_mut(&call.lease)
        {
            held.give_back(call.reserved);
        }
    }

    fn tell(&self, waiting: &mut Waiting) -> bool {
        let Some(call) = self.calls.get(&waiting.call) else { return false };
        let (lease, granted, budget_left) = (call.lease.clone(), call.reserved, self.budget_left());
        let admitted = Admitted { call: waiting.call.clone(), lease, granted, budget_left };
        // Answered once; with the rule "acknowledged first" dropped, this comes twice.
        std::mem::replace(&mut waiting.answer, Box::new(|_| true))(Ok(admitted))
    }

    /// What came of [`Job::Read`].
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(in crate::admission) fn read(&mut self, outcome: Result<Vec<Stored>, LogError>) -> Result<(), LogError> {
        for stored in outcome? {
            let commit = Commit::decode(&self.me.journal, &stored.bytes)?;
            self.usage.fold(&commit, stored.position);
            self.head.end.advance(&commit, (&stored).into());
        }
        self.head.is_read = true;
        for (id, held) in &mut self.leases {
            held.closed |= self.usage.is_closed(id);
        }
        let closed = self.unreleased.iter().map(|(lease, ..)| lease).filter(|lease| self.usage.is_closed(lease));
        for lease in closed.cloned().collect::<Vec<_>>() {
            self.release_settled(&lease);
        }
        if let Some(flying) = self.outbox.flying.take() {
            self.decide_again(flying);
        }
        Ok(())
    }

    /// The commit was not recorded and, its slot being taken, never will be.
    fn decide_again(&mut self, flying: Flying) {
        for waiting in flying.starts.into_iter().rev() {
            self.outbox.starts.push_front(waiting);
        }
        for finished in flying.finishes.into_iter().rev() {
            self.outbox.finishes.push_front(finished);
        }
    }
}

fn take<T>(queue: &mut VecDeque<T>) -> Vec<T> {
    queue.drain(..queue.len().min(BATCH_MAX)).collect()
}

/// Who answered, whether for this call, and what others bear.
fn borne(sharing: &Sharing, reserved_for: &Shared<CallContext>) -> (Shared<CallContext>, AnswerSource, Saved) {
    match sharing {
        Sharing::Alone => (reserved_for.clone(), AnswerSource::Provider, Saved::default()),
        Sharing::Led(saved) => (reserved_for.clone(), AnswerSource::Provider, *saved),
        Sharing::Followed(followed) => {
            let Followed { call, target, price, saved } = &**followed;
            let answered_by = (&target.provider, &target.upstream_model, price);
            let is_as_reserved =
                answered_by == (&reserved_for.provider, &reserved_for.upstream_model, &reserved_for.price);
            let context = if is_as_reserved {
                reserved_for.clone()
            } else {
                let (provider, upstream_model) = (target.provider.clone(), target.upstream_model.clone());
                let price = price.clone();
                Shared::new(CallContext { provider, upstream_model, price, ..CallContext::clone(reserved_for) })
            };
            (context, AnswerSource::Shared { call: call.clone() }, *saved)
        }
    }
}

/// A call that certainly never went upstream.
pub(crate) fn never_sent(reason: &str) -> Finish {
    Finish {
        tokens: TokenUsage::default(),
        cost: NanoDollars(0),
        variant: 0,
        unpriced: UnpricedSet::default(),
        savings: Savings::default(),
        outcome: CallOutcome::NotBilled { reason: reason.to_owned() },
        duration_ms: 0,
        sharing: Sharing::Alone,
    }
}

/// A new id of any kind.
pub(in crate::admission) fn fresh<T>(ids: &dyn steward_events::ids::Ids) -> T
where
    T: std::str::FromStr<Err = steward_events::id::InvalidId>,
{
    // `Ids` promises 26 lower-case base-32 characters, and a test says so.
    #[allow(clippy::expect_used)]
    ids.unique().parse().expect("26 base-32 characters are an id")
}
