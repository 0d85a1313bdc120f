//! One connection: bytes written and read within the task of the call that has it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::io::poll_read_buf;

use super::Failed;
use super::head::{HEAD_BYTES_MAX, Head, HeadEnd, NoHead};

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;
/// Heads of interim answers (`100 Continue`, `103 Early Hints`) that are passed over.
const INTERIM_MAX: usize = 8;

/// How its bytes go.
pub(super) enum Transport {
    /// As they are.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection that is there.
pub(crate) struct Connection {
    transport: Transport,
    /// What was read and not taken yet.
    pub(super) read: BytesMut,
}

impl Connection {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, read: BytesMut::new() }
    }

    /// True if nothing came on it since it was put aside: neither its end nor what nobody asked for.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        self.read.is_empty() && self.poll_read(&mut nobody).is_pending()
    }

    /// Takes in what has come already. False if nothing has.
    pub(super) fn read_what_is_there(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        matches!(self.poll_read(&mut nobody), Poll::Ready(Ok(1..)))
    }

    /// Reads more. Nought at the end.
    pub(super) async fn read_more(&mut self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx)).await
    }

    /// Writes a request. False if the answer came before all of it was written: then no more of it is.
    pub(super) async fn write(&mut self, head: &[u8], body: &[u8]) -> Result<bool, Failed> {
        let (mut written, whole) = (0, head.len() + body.len());
        let mut ends = HeadEnd::default();
        poll_fn(|cx| {
            while written < whole {
                let rest = match written.checked_sub(head.len()) {
                    None => [IoSlice::new(&head[written..]), IoSlice::new(body)],
                    Some(of_body) => [IoSlice::new(&body[of_body..]), IoSlice::new(&[])],
                };
                match self.poll_write(cx, &rest) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(more)) => written += more,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        // Who refuses a long request may say so before it has read all of it, and then read no more.
                        match ready!(self.poll_read(cx))? {
                            0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                            _ if ends.find(&self.read).is_some() => return Poll::Ready(Ok(false)),
                            _ if self.read.len() > HEAD_BYTES_MAX => return Poll::Ready(Ok(false)),
                            _ => {}
                        }
                    }
                }
            }
            self.poll_flush(cx).map_ok(|()| true)
        })
        .await
        .or_else(|error| {
            // It may have answered before it closed.
            if self.read_what_is_there() { Ok(false) } else { Err(Failed::broke(error)) }
        })
    }

    /// Reads the head of an answer, past interim ones.
    pub(super) async fn read_head(&mut self) -> Result<Head, Failed> {
        for _ in 0..=INTERIM_MAX {
            let head = self.read_any_head().await?;
            match head.status.as_u16() {
                101 => break,
                100..200 => {}
                _ => return Ok(head),
            }
        }
        Err(Failed::Broke("its answer has no end of interim answers".to_owned()))
    }

    async fn read_any_head(&mut self) -> Result<Head, Failed> {
        let mut ends = HeadEnd::default();
        loop {
            match ends.find(&self.read) {
                Some(length) if length <= HEAD_BYTES_MAX => {
                    let bytes = self.read.split_to(length);
                    return Head::read(&bytes).map_err(Failed::broke);
                }
                None if self.read.len() <= HEAD_BYTES_MAX => {}
                _ => return Err(Failed::broke(NoHead::TooLong)),
            }
            if self.read_more().await.map_err(Failed::broke)? == 0 {
                return Err(Failed::Broke("it closed the connection before it answered".to_owned()));
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.reserve(READ_BYTES);
        match &mut self.transport {
            Transport::Plain(stream) => poll_read_buf(Pin::new(stream), cx, &mut self.read),
            Transport::Tls(stream) => poll_read_buf(Pin::new(stream), cx, &mut self.read),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
}
