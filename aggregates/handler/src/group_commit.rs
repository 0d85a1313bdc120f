//! One stream's decisions, one commit at a time: while one is on its way to the log, what queues up is the next (see `lane`).
//!
//! Nothing is promised before it is known. An acceptance leaves when its commit is acknowledged. A refusal, or an
//! acceptance that changes nothing, leaves when the state it rests on is: by the commit of its batch, or, if nothing of
//! the batch was to be recorded, by asking the log's leader that nobody was there before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use steward_aggregates::aggregate::{Aggregate, Stamp};
use steward_events::command::{Command, Commands};
use steward_events::commit::Entry;
use steward_events::digest::BodyHash;
use steward_events::event::{Event, Quotas};
use steward_events::id::{CommandId, CommitId, CorrelationId, PrincipalId};
use steward_events::ids::Ids;
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_events::request::Reply;
use steward_events::scope::Scope;
use steward_events::sender::KeyRef;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_ports::append::{AppendError, append};
use steward_ports::bus::Failure;
use steward_ports::clock::Clock;
use steward_ports::log::{EventLog, LogError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::config::HandlerConfig;
use crate::skew::Skew;
use crate::stream::Folded;

/// After so many lost races a worker waits before the next …
const RIVALRY: u32 = 4;
/// … ever longer, up to this.
const RIVAL_PAUSE_MAX: Duration = Duration::from_millis(50);

/// What the workers of all streams share.
pub(crate) struct Env {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) config: HandlerConfig,
    pub(crate) skew: Skew,
    /// Where streams get tasks of their own.
    pub(crate) runtime: Handle,
}

impl Env {
    /// Whether decisions may go by the clock of this process.
    pub(crate) async fn clock_is_right(&self) -> Result<(), Failure> {
        self.skew.check(&*self.clock, &*self.log).await.map_err(|error| Failure(error.to_string()))
    }
}

/// One command, read, authorised and sealed, waiting to be decided.
pub(crate) struct Job {
    pub(crate) command: Command,
    pub(crate) id: CommandId,
    pub(crate) issued_at: Timestamp,
    pub(crate) actor: PrincipalId,
    pub(crate) key: Option<KeyRef>,
    pub(crate) on_behalf_of: Option<PrincipalId>,
    pub(crate) causation: Option<String>,
    pub(crate) correlation: CorrelationId,
    pub(crate) reach: Scope,
    /// What was asked; none of parts of Steward.
    pub(crate) body: Option<BodyHash>,
    pub(crate) timezone: String,
    pub(crate) quotas: Quotas,
    pub(crate) bytes: usize,
    pub(crate) reply: oneshot::Sender<Result<Reply, Failure>>,
}

/// What was decided, still unsaid.
#[derive(Clone)]
enum Outcome {
    /// Events in this commit.
    Recorded { events: Vec<String>, answer: serde_json::Value },
    /// Nothing to record now; the events of an earlier time, if it was decided before.
    AlreadyDecided { events: Vec<String>, position: Option<Position>, answer: serde_json::Value },
    /// No.
    Refused(Rejection),
}

/// Decides for one stream.
pub(crate) struct Worker<A> {
    env: Arc<Env>,
    folded: Folded<A>,
    loaded: bool,
    /// False while a decision is under way.
    settled: bool,
}

impl<A: Aggregate> Worker<A> {
    /// Of a stream of which nothing is known yet.
    pub(crate) fn new(env: &Arc<Env>, name: &StreamName) -> Box<Self> {
        let (env, folded) = (Arc::clone(env), Folded::empty(name.clone()));
        Box::new(Self { env, folded, loaded: false, settled: true })
    }

    /// True if it need not read the stream first.
    pub(crate) const fn is_ready(&self) -> bool {
        self.loaded
    }

    /// False if it was left in the middle of a decision: it may know less than is recorded.
    pub(crate) const fn is_settled(&self) -> bool {
        self.settled
    }

    /// Settles the batch, and tells the senders.
    pub(crate) async fn settle_or_split(&mut self, batch: Vec<Job>) {
        self.settled = false;
        self.settle_whole_or_split(batch).await;
        self.settled = true;
    }

    /// Settles the batch as one commit; if the log will not take that, each command as its own.
    async fn settle_whole_or_split(&mut self, batch: Vec<Job>) {
        let Err(refused) = self.settle(batch).await else { return };
        for job in refused {
            if let Err(refused) = self.settle(vec![job]).await {
                tell_all(refused, || Failure("the event log does not accept a commit of this size".to_owned()));
            }
        }
    }

    /// Decides until it is recorded or confirmed, then tells the senders. Gives the batch back if the log refuses it.
    async fn settle(&mut self, batch: Vec<Job>) -> Result<(), Vec<Job>> {
        for attempt in 0..self.env.config.decisions_max.get() {
            if attempt >= RIVALRY {
                // Whoever lost reads again first and loses again to one who need not: the rival's line is let run dry.
                tokio::time::sleep(RIVAL_PAUSE_MAX.min(Duration::from_millis(attempt.into()))).await;
            }
            if let Err(error) = self.load().await {
                self.fail(batch, &error);
                return Ok(());
            }
            let (outcomes, entries) = self.decide(&batch);
            if entries.is_empty() {
                match self.folded.take_next(&*self.env.log, self.env.clock.now()).await {
                    Ok(false) => {
                        tell(batch, outcomes, self.folded.end.position);
                        return Ok(());
                    }
                    Ok(true) => continue,
                    Err(error) => {
                        self.fail(batch, &error);
                        return Ok(());
                    }
                }
            }
            match self.commit(entries).await {
                Ok(position) => {
                    tell(batch, outcomes, position);
                    return Ok(());
                }
                Err(AppendError::Conflict) => self.loaded = false,
                Err(AppendError::Refused(error)) => {
                    tracing::warn!(stream = %self.folded.name, commands = batch.len(), %error, "commit refused");
                    return Err(batch);
                }
                Err(error @ AppendError::Unavailable(_)) => {
                    // It may yet be recorded. The next decision starts after the same position: whichever of the two
                    // gets there, the other meets a conflict, and a retry is known by its command id.
                    self.fail(batch, &error.into());
                    return Ok(());
                }
            }
        }
        tracing::warn!(stream = %self.folded.name, "others were first every time");
        tell_all(batch, || Failure("other commands were recorded first every time; send the command again".to_owned()));
        Ok(())
    }

    /// Reads the stream's tail when it is not known to be here: at first, and when another was first.
    async fn load(&mut self) -> Result<(), LogError> {
        if self.loaded {
            return Ok(());
        }
        let now = self.env.clock.now();
        let before = self.folded.end.position;
        self.folded.load_tail(&*self.env.log, now).await?;
        if self.folded.end.position == before {
            // A replica may lag behind; the leader knows who was first.
            self.folded.take_next(&*self.env.log, now).await?;
        }
        self.loaded = true;
        Ok(())
    }

    /// Decides each command on the state that those before it lead to.
    fn decide(&mut self, batch: &[Job]) -> (Vec<Outcome>, Vec<Entry>) {
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut entries: Vec<Entry> = Vec::new();
        let mut in_batch: HashMap<(&CommandId, &PrincipalId), usize> = HashMap::new();
        for (index, job) in batch.iter().enumerate() {
            let twin =
                in_batch.get(&(&job.id, &job.actor)).map(|first| (&batch[*first], outcomes.get(*first).cloned()));
            let outcome = match twin {
                Some((first, Some(recorded))) if first.body == job.body => recorded,
                Some(_) => Outcome::Refused(Rejection::Reused { id: job.id.clone() }),
                None => self.decide_one(job, &mut entries),
            };
            if batch.len() > 1 && matches!(outcome, Outcome::Recorded { .. }) {
                in_batch.entry((&job.id, &job.actor)).or_insert(index);
            }
            outcomes.push(outcome);
        }
        (outcomes, entries)
    }

    fn decide_one(&mut self, job: &Job, entries: &mut Vec<Entry>) -> Outcome {
        let Some(command) = A::Command::from_command(&job.command) else {
            return Outcome::Refused(Rejection::not_found("command", &"in this stream"));
        };
        if let Some(seen) = self.folded.recent.find(&job.id, &job.actor) {
            if seen.body != job.body {
                return Outcome::Refused(Rejection::Reused { id: job.id.clone() });
            }
            let answer = self.folded.pending_state.answer(command);
            return Outcome::AlreadyDecided { events: seen.events.to_vec(), position: Some(seen.position), answer };
        }
        if !job.actor.is_system() && self.folded.recent.may_be_forgotten(job.issued_at) {
            return Outcome::Refused(Rejection::Expired);
        }
        let last_at = entries.last().map_or(self.folded.end.at, |entry| entry.at);
        let stamp = Stamp {
            command: job.id.clone(),
            at: self.env.clock.now().max(last_at),
            tenant: self.folded.name.tenant.clone(),
            actor: job.actor.clone(),
            key: job.key.clone(),
            on_behalf_of: job.on_behalf_of.clone(),
            reach: job.reach.clone(),
            timezone: job.timezone.clone(),
            quotas: job.quotas.clone(),
            shards: self.env.log.shards(),
        };
        let events = match self.folded.pending_state.decide(command, &stamp) {
            Ok(events) => events,
            Err(rejection) => return Outcome::Refused(rejection),
        };
        for event in &events {
            self.folded.pending_state.apply(event, stamp.at);
        }
        let answer = self.folded.pending_state.answer(command);
        if events.is_empty() {
            return Outcome::AlreadyDecided { events: Vec::new(), position: None, answer };
        }
        let events: Vec<Event> = events.into_iter().map(Into::into).collect();
        let names = events.iter().map(Event::name).collect();
        entries.push(Entry {
            command: job.id.clone(),
            at: stamp.at,
            actor: stamp.actor,
            on_behalf_of: stamp.on_behalf_of,
            key: stamp.key,
            causation: job.causation.clone(),
            correlation: job.correlation.clone(),
            body: job.body,
            events,
        });
        Outcome::Recorded { events: names, answer }
    }

    /// Appends the entries as one commit. If that fails, nothing of them is left in the fold.
    async fn commit(&mut self, entries: Vec<Entry>) -> Result<Position, AppendError> {
        let id = CommitId::new(self.env.ids.unique()).map_err(|error| AppendError::Refused(error.into()));
        if !self.env.skew.still_holds(&*self.env.clock) {
            self.folded.fall_back();
            return Err(AppendError::Unavailable("the clock of this process was set meanwhile".into()));
        }
        let outcome = match id {
            Ok(id) => {
                let commit = self.folded.end.next(id, self.folded.name.clone(), entries);
                let appended = append(&*self.env.log, self.folded.end.position, &commit).await;
                appended.map(|appended| (commit, appended))
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok((commit, appended)) => {
                self.folded.advance(&commit, appended, self.env.clock.now());
                Ok(appended.position)
            }
            Err(error) => {
                self.folded.fall_back();
                Err(error)
            }
        }
    }

    /// Nobody knows: the senders are told to try again, and the stream is read again before the next decision.
    fn fail(&mut self, batch: Vec<Job>, error: &LogError) {
        tracing::warn!(stream = %self.folded.name, commands = batch.len(), %error, "commands failed");
        self.loaded = false;
        if !matches!(error, LogError::Unavailable(_)) {
            // What was folded before is not trusted either.
            self.folded = Folded::empty(self.folded.name.clone());
        }
        tell_all(batch, || Failure(format!("{error}; send the command again with the same id")));
    }
}

/// Tells the senders what came of their commands, in the state at `position`.
fn tell(batch: Vec<Job>, outcomes: Vec<Outcome>, position: Position) {
    for (job, outcome) in batch.into_iter().zip(outcomes) {
        let accepted = |events, position, answer| Reply {
            accepted: true,
            events,
            position,
            answer,
            rejection: None,
            message: None,
        };
        let reply = match outcome {
            Outcome::Recorded { events, answer } => accepted(events, position, answer),
            Outcome::AlreadyDecided { events, position: then, answer } => {
                accepted(events, then.unwrap_or(position), answer)
            }
            Outcome::Refused(rejection) => Reply::refused(rejection, position),
        };
        // Whoever asked may have gone.
        let _ = job.reply.send(Ok(reply));
    }
}

fn tell_all(batch: Vec<Job>, failure: impl Fn() -> Failure) {
    for job in batch {
        let _ = job.reply.send(Err(failure()));
    }
}
