//! Carries out what an account asks for: one task an account, one append and one command under way at a time.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use steward_events::command::Command;
use steward_events::commit::Commit;
use steward_events::id::{CallId, LeaseId, PrincipalId, SystemPart};
use steward_events::quantity::{Amounts, Position};
use steward_events::request::{Envelope, Format, Request};
use steward_ports::append::{AppendError, Appended, append};
use steward_ports::dispatch::{Patience, send_until_decided};
use steward_ports::journal::read_to_end;
use steward_ports::log::{EventLog, LogError, Stored};
use steward_ports::trace;
use tokio::sync::{mpsc, oneshot};

use super::account::fresh;
use super::account::{Account, CommandOutcome, Identity, Job, Now, Numbers, PendingCommand, Waiting};
use super::{AdmissionConfig, AdmissionPorts, Finish, Settled};

/// How long one command is tried before the account looks again at what to ask. Commands are kept apart by lease and
/// turn, so one that was given up may still be decided without harm.
const COMMAND_PATIENCE: Patience = Patience {
    pause_min: Duration::from_millis(20),
    pause_max: Duration::from_secs(1),
    time_max: Duration::from_secs(20),
};

/// Messages that are taken in before the account is looked at again.
const MESSAGES_MAX: usize = 256;

/// Turns that others get before a commit is made. Measured at 32 calls at once: none 0.19 commits a call, one 0.15,
/// three 0.10, six no fewer.
const GATHER_TURNS: u32 = 3;

/// After the journal could not be read or written.
const JOURNAL_PAUSE: Duration = Duration::from_millis(200);

/// What an account is told.
pub(super) enum Message {
    Reserve(Waiting),
    Finish(CallId, Finish, Option<oneshot::Sender<Settled>>),
    Recalled(LeaseId),
    Moved,
    Revoke(&'static str),
    Drain,
}

/// Reaches an account. Asks are bounded by the account's line, finishes by the calls it admitted.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) inbox: mpsc::UnboundedSender<Message>,
    pub(super) waiting: Arc<AtomicBool>,
    /// How many percent of the tightest budget are left; more than 100 if none is touched.
    pub(super) left_percent: Arc<AtomicU8>,
    /// What could be reserved without asking the ledger.
    pub(super) free: Arc<Mutex<Amounts>>,
}

enum Done {
    Read(Result<Vec<Stored>, LogError>),
    Appended(Result<Appended, AppendError>),
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One account and what is under way for it.
pub(super) struct Actor {
    pub(super) ports: AdmissionPorts,
    pub(super) me: Identity,
    pub(super) config: AdmissionConfig,
    pub(super) numbers: Numbers,
    pub(super) inbox: mpsc::UnboundedReceiver<Message>,
    pub(super) waiting: Arc<AtomicBool>,
    pub(super) left_percent: Arc<AtomicU8>,
    pub(super) free: Arc<Mutex<Amounts>>,
}

impl Actor {
    /// Runs until the account holds nothing and is not asked for anything.
    pub(super) async fn run(mut self) {
        let ports = self.ports.clone();
        let now = || Now { mono: ports.clock.monotonic(), wall: ports.clock.now() };
        let mut account = Account::new(self.me.clone(), self.config.clone(), Arc::clone(&ports.ids), now());
        let mut journal: Option<Work<Done>> = None;
        let mut command: Option<Work<CommandOutcome>> = None;
        let mut journal_pause_until = Duration::ZERO;
        let mut messages = Vec::new();
        loop {
            account.step(now());
            account.forget_over();
            if journal.is_none() && now().mono >= journal_pause_until {
                if account.has_to_record() && account.has_several_calls() {
                    self.gather(&mut account).await;
                }
                journal = account.next_job(now()).map(|job| work(Arc::clone(&ports.log), job));
            }
            if command.is_none() {
                let next = account.next_command(now(), &self.numbers);
                command = next.map(|next| self.send(next, account.first_waiting()));
            }
            self.waiting.store(account.is_waiting(), Ordering::Relaxed);
            self.left_percent.store(account.left_percent().unwrap_or(u8::MAX), Ordering::Relaxed);
            *self.free.lock().unwrap_or_else(PoisonError::into_inner) = account.free(now());
            if journal.is_none() && command.is_none() && account.is_over(now()) {
                // Requests that came meanwhile are dropped with the inbox; their senders find another account.
                return;
            }
            let mut wake = account.wake_at(now());
            if journal.is_none() && journal_pause_until > now().mono {
                wake = wake.min(journal_pause_until);
            }
            let sleep = tokio::time::sleep(wake.saturating_sub(now().mono));
            tokio::select! {
                biased;
                received = self.inbox.recv_many(&mut messages, MESSAGES_MAX) => {
                    if received == 0 {
                        // Admission itself is gone, and this task is about to be ended.
                        return;
                    }
                    messages.drain(..).for_each(|message| take(&mut account, message, now()));
                }
                done = maybe(&mut journal) => {
                    journal = None;
                    if let Err(error) = finish_work(&mut account, done, now()) {
                        tracing::warn!(stream = %self.me.journal, %error, "the usage journal has trouble; trying again");
                        journal_pause_until = now().mono + JOURNAL_PAUSE;
                    }
                }
                outcome = maybe(&mut command) => {
                    command = None;
                    account.replied(outcome, now());
                }
                () = sleep => {}
            }
        }
    }

    /// Lets calls that are at work come as far as to ask or to finish: the commit that is made next takes them too, and
    /// all who read the log have fewer to read. A call that is alone would only wait: each turn looks at every socket
    /// and may wake another thread for nothing.
    async fn gather(&mut self, account: &mut Account) {
        for _ in 0..GATHER_TURNS {
            tokio::task::yield_now().await;
        }
        let now = Now { mono: self.ports.clock.monotonic(), wall: self.ports.clock.now() };
        while let Ok(message) = self.inbox.try_recv() {
            take(account, message, now);
        }
        account.step(now);
    }

    fn send(&self, command: PendingCommand, for_call: Option<&Waiting>) -> Work<CommandOutcome> {
        let bus = Arc::clone(&self.ports.bus);
        let request = self.request(&command.into(), for_call);
        Box::pin(async move {
            let sent = send_until_decided(&*bus, &request?, COMMAND_PATIENCE).await;
            sent.map_err(|error| error.to_string())
        })
    }

    /// The command as a request. It belongs to the chain and trace of `for_call`, if a call waits for its answer.
    fn request(&self, command: &Command, for_call: Option<&Waiting>) -> Result<Request, String> {
        let (noun, verb) = command.name();
        let body: Bytes = command.write(Format::MessagePack).map_err(|error| error.to_string())?;
        let ids = &*self.ports.ids;
        Ok(Request {
            tenant: self.me.tenant.clone(),
            principal: PrincipalId::system(SystemPart::Gateway),
            noun: noun.to_owned(),
            verb: verb.to_owned(),
            envelope: Envelope {
                command: fresh(ids),
                issued_at: self.ports.clock.now(),
                on_behalf_of: Some(self.me.scopes.principal.clone()),
                causation: None,
                correlation: for_call.map_or_else(|| fresh(ids), |call| call.wanted.request.clone()),
                traceparent: for_call.and_then(|call| call.span.in_scope(trace::current_traceparent)),
            },
            format: Format::MessagePack,
            body,
        })
    }
}

fn take(account: &mut Account, message: Message, now: Now) {
    match message {
        Message::Reserve(waiting) => account.reserve(waiting),
        Message::Finish(call, finish, settled) => account.finish(&call, finish, now, settled),
        Message::Recalled(lease) => account.recalled(&lease),
        Message::Moved => account.nudged(now),
        Message::Revoke(reason) => account.revoke(reason),
        Message::Drain => account.drain(),
    }
}

fn finish_work(account: &mut Account, done: Done, now: Now) -> Result<(), steward_events::BoxError> {
    match done {
        Done::Read(outcome) => Ok(account.read(outcome)?),
        Done::Appended(outcome) => Ok(account.appended(outcome, now)?),
    }
}

fn work(log: Arc<dyn EventLog>, job: Job) -> Work<Done> {
    match job {
        Job::Read(stream, after) => Box::pin(async move { Done::Read(read_to_end(&*log, &stream, after).await) }),
        Job::Append(expected, commit) => Box::pin(append_commit(log, expected, commit)),
    }
}

async fn append_commit(log: Arc<dyn EventLog>, expected: Position, commit: Commit) -> Done {
    Done::Appended(append(&*log, expected, &commit).await)
}

/// Waits for work that is under way; for ever if none is.
async fn maybe<T>(work: &mut Option<Work<T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}
