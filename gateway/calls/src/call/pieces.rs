//! The pieces of a streamed answer on their way from what makes them to the connection that takes them: both run in the
//! connection's task, so there is one place for one piece and nobody is woken.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::run_to_end::{Left, RunToEnd};

type Piece = Result<Bytes, Error>;

/// The place for one piece.
#[derive(Clone, Default)]
pub(super) struct Slot {
    piece: Arc<Mutex<Option<Piece>>>,
    left: Left,
}

impl Slot {
    /// Whether the client has gone.
    pub(super) const fn left(&self) -> &Left {
        &self.left
    }

    /// Hands a piece over. Returns when the connection wants more, or the client has gone.
    pub(super) async fn put(&self, piece: Piece) {
        *self.lock() = Some(piece);
        // Who takes it polls again for the next: nobody needs to be woken.
        let is_taken = || self.left.is_set() || self.lock().is_none();
        poll_fn(|_| if is_taken() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    fn take(&self) -> Option<Piece> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Piece>> {
        self.piece.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A streamed answer, as it comes; polled by the connection that it goes to. What makes it is recorded to its end also if
/// this is dropped before.
pub struct Pieces {
    work: RunToEnd<()>,
    slot: Slot,
}

impl Pieces {
    /// What `work` puts into `slot`.
    pub(super) fn new(work: impl Future<Output = ()> + Send + 'static, slot: Slot, tracker: &TaskTracker) -> Self {
        Self { work: RunToEnd::new(work, slot.left.clone(), tracker), slot }
    }
}

impl Stream for Pieces {
    type Item = Piece;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let polled = if self.work.has_ended() { Poll::Ready(()) } else { Pin::new(&mut self.work).poll(cx) };
        match (self.slot.take(), polled) {
            (Some(piece), _) => Poll::Ready(Some(piece)),
            (None, Poll::Ready(())) => Poll::Ready(None),
            (None, Poll::Pending) => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn pieces_come_one_by_one_and_in_order() {
        let slot = Slot::default();
        let maker = slot.clone();
        let make = async move {
            for piece in ["a", "b", "c"] {
                maker.put(Ok(Bytes::from_static(piece.as_bytes()))).await;
                tokio::task::yield_now().await;
            }
        };
        let pieces = Pieces::new(make, slot, &TaskTracker::new());
        let seen: Vec<_> = pieces.map(Result::unwrap).collect().await;
        assert_eq!(seen, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn who_leaves_holds_up_nobody() {
        let (slot, (tell, told)) = (Slot::default(), oneshot::channel());
        let maker = slot.clone();
        let make = async move {
            maker.put(Ok(Bytes::from_static(b"a"))).await;
            maker.put(Ok(Bytes::from_static(b"b"))).await;
            _ = tell.send(maker.left().is_set());
        };
        let mut pieces = Pieces::new(make, slot, &TaskTracker::new());
        assert_eq!(pieces.next().await.unwrap().unwrap(), "a");
        drop(pieces);
        assert!(told.await.unwrap());
    }
}
