//! A connection whose client does not read is closed: it would keep its permit and its answer for ever.
//!
//! Knows bytes and time. It must not know what they mean.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Fails a write of which nothing can be written for a while.
pub(crate) struct WriteStallTimeout<S> {
    inner: S,
    stall_max: Duration,
    /// Ends the wait that is under way; kept between waits.
    limit: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl<S> WriteStallTimeout<S> {
    pub(crate) const fn new(inner: S, stall_max: Duration) -> Self {
        Self { inner, stall_max, limit: None, waiting: false }
    }

    /// Passes on what the write said, unless it has waited too long.
    fn bound<T>(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.waiting = false;
            return wrote;
        }
        let until = Instant::now() + self.stall_max;
        let limit = self.limit.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if !self.waiting {
            self.waiting = true;
            limit.as_mut().reset(until);
        }
        if limit.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteStallTimeout<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteStallTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.bound(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.bound(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const STALL_MAX: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_reader_of_nothing_is_dropped_but_slow_ones_stay() {
        let (ours, mut theirs) = duplex(4);
        let mut ours = WriteStallTimeout::new(ours, STALL_MAX);
        let writing = tokio::spawn(async move { ours.write_all(&[7; 16]).await.map(|()| ours) });
        for _ in 0..4 {
            tokio::time::sleep(STALL_MAX / 4).await;
            theirs.read_exact(&mut [0; 4]).await.unwrap();
        }
        let mut ours = writing.await.unwrap().unwrap();
        let error = ours.write_all(&[7; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(theirs);
    }
}
