//! What a fold of the log is; who keeps one current is the business of ports and projectors.

use crate::commit::Recorded;
use crate::event::AggregateKind;

/// A fold: no clock, no input or output; the same facts give the same view.
pub trait View: Default + Send + Sync + 'static {
    /// The kinds it reads.
    const KINDS: &'static [AggregateKind];

    /// Takes in one fact. Total: what has happened cannot be refused.
    fn apply(&mut self, recorded: &Recorded<'_>);
}
