//! Work that must run to its end: in the task of whoever waits for it, which saves a task and two wakes; if they go away
//! before, on in a task of its own.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Whether those who waited for a work have left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left(Arc<AtomicBool>);

impl Left {
    /// True from then on.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until they have left. To be awaited by the very work: it is polled anew when they do, which is all the waking
    /// that this needs.
    pub(crate) async fn wait(&self) {
        poll_fn(|_| if self.is_set() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Bytes that a work may take. Every call takes them and they are copied, whatever becomes of it, so what few calls need has
/// a box of its own.
const WORK_BYTES_MAX: usize = 12 * 1_024;

/// A work on its way.
pub(crate) struct RunToEnd<T: Send + 'static> {
    /// None once it has ended.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    left: Left,
    tracked: TaskTrackerToken,
}

impl<T: Send + 'static> RunToEnd<T> {
    /// Begins `work`, which hears by `left` when nobody waits any more. Until it has ended, `tracker` counts it.
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static, left: Left, tracker: &TaskTracker) -> Self {
        debug_assert!(size_of_val(&work) <= WORK_BYTES_MAX, "a call takes {} bytes", size_of_val(&work));
        Self { work: Some(Box::pin(work)), left, tracked: tracker.token() }
    }

    /// True once it has ended.
    pub(crate) const fn has_ended(&self) -> bool {
        self.work.is_none()
    }
}

impl<T: Send + 'static> Future for RunToEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // A work that panics is gone: it could not go on.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.work = Some(work);
        }
        Poll::Ready(ready!(polled))
    }
}

impl<T: Send + 'static> Drop for RunToEnd<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        self.left.set();
        // Without a runtime the process is ending, and nothing runs on.
        if let Ok(runtime) = Handle::try_current() {
            let tracked = self.tracked.clone();
            runtime.spawn(async move {
                drop(work.await);
                drop(tracked);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    /// A work that waits for those who wait for it to leave, and for a word.
    fn work(tracker: &TaskTracker) -> (RunToEnd<&'static str>, oneshot::Sender<()>, oneshot::Receiver<bool>) {
        let (word, hears) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let left = Left::default();
        let of_work = left.clone();
        let work = async move {
            tokio::select! {
                () = of_work.wait() => {}
                _ = hears => {}
            }
            _ = tell.send(of_work.is_set());
            "done"
        };
        (RunToEnd::new(work, left, tracker), word, told)
    }

    #[tokio::test]
    async fn it_runs_where_it_is_waited_for() {
        let tracker = TaskTracker::new();
        let (work, word, told) = work(&tracker);
        assert_eq!(tracker.len(), 1);
        word.send(()).unwrap();
        assert_eq!(work.await, "done");
        assert!(!told.await.unwrap());
        assert!(tracker.is_empty());
    }

    #[tokio::test]
    async fn it_goes_on_when_nobody_waits_and_hears_of_that() {
        let tracker = TaskTracker::new();
        let (mut work, _word, told) = work(&tracker);
        assert!(futures::poll!(&mut work).is_pending());
        drop(work);
        assert!(told.await.unwrap());
        tracker.close();
        tokio::time::timeout(Duration::from_secs(5), tracker.wait()).await.unwrap();
    }

    #[tokio::test]
    async fn it_goes_on_although_nobody_ever_waited() {
        let tracker = TaskTracker::new();
        let (work, _word, told) = work(&tracker);
        drop(work);
        assert!(told.await.unwrap());
    }
}
