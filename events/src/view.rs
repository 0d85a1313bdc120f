//! What a fold of the log is; who keeps one current is the business of ports and projectors.
//!
//! A view says once which aggregates it reads ([`view!`](crate::view)): the log is filtered by that, and for each of
//! them it takes in every event there is, so a new event asks its readers and nobody else.

use crate::commit::Recorded;
use crate::event::{AggregateEvents, AggregateKind};

/// A fold: no clock, no input or output; the same events give the same view.
pub trait View: Default + Send + Sync + 'static {
    /// The kinds it reads.
    const KINDS: &'static [AggregateKind];

    /// Takes in one event. Total: what has happened cannot be refused.
    fn apply(&mut self, recorded: &Recorded<'_>);
}

/// A view's part for the events of one aggregate: a `match` without `_`, so that the compiler names it when there is a
/// new event.
pub trait Reads<E: AggregateEvents> {
    /// Takes in one event of that aggregate.
    fn read(&mut self, event: &E, recorded: &Recorded<'_>);
}

/// Makes a [`View`] of a type that [`Reads`] the events of some aggregates: `view!(Catalogs, reads CatalogEvent)`.
#[macro_export]
macro_rules! view {
    ($view:ty, reads $($events:ty),+) => {
        impl $crate::view::View for $view {
            const KINDS: &'static [$crate::event::AggregateKind] =
                &[$(<$events as $crate::event::AggregateEvents>::KIND),+];

            fn apply(&mut self, recorded: &$crate::commit::Recorded<'_>) {
                $(if let Some(event) = <$events as $crate::event::AggregateEvents>::from_event(recorded.event) {
                    $crate::view::Reads::<$events>::read(self, event, recorded);
                })+
            }
        }
    };
}
