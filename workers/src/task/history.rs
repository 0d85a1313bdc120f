//! What has happened to one task, from its stream: the input, the finished steps, and whose claim counts.

use std::collections::BTreeMap;
use std::time::Duration;

use steward_events::commit::Commit;
use steward_events::event::{Event, StepKind, TaskEvent, TaskInput, TaskOutput};
use steward_events::quantity::{Epoch, Position, StepNumber};
use steward_events::sealed::{SealError, Sealed};
use steward_events::stream::StreamName;
use steward_ports::keys::{KeyError, Keyring};
use steward_ports::log::{EventLog, LogError};

use crate::pattern::{Done, Progress};

/// A replica may be a little behind: how often it is asked for what is known to be there.
const READS_MAX: u32 = 100;
const READ_PAUSE: Duration = Duration::from_millis(20);

/// The fold of a task's stream.
#[derive(Debug, Default)]
pub(crate) struct History {
    position: Position,
    input: Option<Sealed<TaskInput>>,
    finished: BTreeMap<StepNumber, (StepKind, Sealed<TaskOutput>)>,
    /// The claim that counts, and the worker that holds it.
    pub(crate) claim: Option<(Epoch, String)>,
}

/// A task's content cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    /// Its data key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its data key opens something else.
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// It was never submitted.
    #[error("the task has no input")]
    NoInput,
}

impl History {
    /// Reads `stream`, at least up to `position`.
    pub(crate) async fn load(log: &dyn EventLog, stream: &StreamName, position: Position) -> Result<Self, LogError> {
        let mut history = Self::default();
        for _ in 0..READS_MAX {
            for stored in log.load(stream, history.position).await? {
                history.apply(&Commit::decode(stream, &stored.bytes)?, stored.position);
            }
            if history.position >= position {
                return Ok(history);
            }
            tokio::time::sleep(READ_PAUSE).await;
        }
        Err(LogError::Unavailable(format!("{stream} is readable up to {}, not {position}", history.position).into()))
    }

    fn apply(&mut self, commit: &Commit, position: Position) {
        for recorded in commit.recorded(position) {
            let Event::Task(event) = recorded.event else { continue };
            match event {
                TaskEvent::Submitted { input, .. } => self.input = Some(input.clone()),
                TaskEvent::Claimed { epoch, worker, .. } => self.claim = Some((*epoch, worker.clone())),
                TaskEvent::StepFinished { step, kind, output, .. } => {
                    self.finished.insert(*step, (*kind, output.clone()));
                }
                TaskEvent::ClaimExtended { .. }
                | TaskEvent::StepStarted { .. }
                | TaskEvent::Finished { .. }
                | TaskEvent::Failed { .. }
                | TaskEvent::Cancelled { .. } => {}
            }
        }
        self.position = position;
    }

    /// Opens the content.
    pub(crate) async fn open(&self, keyring: &Keyring) -> Result<Progress, ContentError> {
        let input = self.input.as_ref().ok_or(ContentError::NoInput)?;
        let prompt = input.open(&keyring.find(input.owner()).await?)?.prompt;
        let mut done = Vec::with_capacity(self.finished.len());
        for (kind, output) in self.finished.values() {
            let text = output.open(&keyring.find(output.owner()).await?)?.text;
            done.push(Done { kind: *kind, text });
        }
        Ok(Progress { prompt, done })
    }
}
