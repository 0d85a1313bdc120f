"""One more event, `TaskPaused`: docs/CONTRIBUTING.md names its places."""

from steward_testkit.source_tree import Growth

# The event and its golden bytes, its aggregate, its readers, the face that shows it.
PLACES = ("events/src/event/", "events/tests/wire/", "aggregates/", "projectors/src/", "workers/")


def grow(it: Growth):
    variant = """
/// Nobody drives the task until a question is answered.
Paused {
    /// The claim, which ends.
    epoch: Epoch,
    /// What is waited for.
    reason: String,
},
"""
    it.after("events/src/event/task.rs", "pub enum TaskEvent {", "\n".join("    " + line if line else "" for line in variant.strip().split("\n")))
    it.replace("events/src/event/task.rs", r"(SCHEMA: SchemaVersion = SchemaVersion)\((\d+)\)", lambda found: f"{found[1]}({int(found[2]) + 1})")
    it.before(
        "events/tests/wire/examples.rs",
        'Event::Task(TaskEvent::Cancelled { .. }) => "task.cancelled":',
        """
Event::Task(TaskEvent::Paused { .. }) => "task.paused":
    TaskEvent::Paused { epoch: epoch(), reason: "which budget pays?".to_owned() };
""",
    )
    it.before("aggregates/src/", "TaskEvent::Cancelled { .. } => self.end", "TaskEvent::Paused { .. } => self.claim = None,")
    it.before("aggregates/authority/tests/", "TaskEvent::Finished { epoch, .. } | TaskEvent::Failed { epoch, .. } => {", "TaskEvent::Paused { epoch, .. } => Some(*epoch),")
    it.before("projectors/src/", "TaskEvent::Submitted { .. } => TaskState::Waiting,", "TaskEvent::Paused { .. } => TaskState::Waiting,")
    it.before("projectors/src/", "TaskEvent::Cancelled { reason } => {", "TaskEvent::Paused { reason, .. } => view.reason = Some(reason.clone()),")
    it.before("workers/src/", "| TaskEvent::Finished { .. }", "| TaskEvent::Paused { .. }")
    it.before("workers/src/", "TaskEvent::ClaimExtended { .. } | TaskEvent::StepStarted { .. } |", "TaskEvent::Paused { .. } => {}")
    it.before("workers/src/", "TaskEvent::StepStarted { .. } | TaskEvent::StepFinished { .. } => {}", "TaskEvent::Paused { .. } => self.close(&task),")
    it.before("workers/tests/", 'TaskEvent::Cancelled { .. } => Some("cancelled")', 'TaskEvent::Paused { .. } => Some("paused"),')
