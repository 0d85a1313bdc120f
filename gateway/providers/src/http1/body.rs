//! The body of an answer. When it is whole, its connection waits for the next call; dropped before, it is closed, which ends
//! the call at the other end.

use std::sync::Arc;

use bytes::Bytes;

use super::Failed;
use super::connection::Connection;
use super::endpoint::Home;
use super::framing::{Framing, Next};

/// A body that comes.
pub(crate) struct Body {
    /// None once it is whole.
    connection: Option<Connection>,
    framing: Framing,
    /// Where the connection goes then; none if it cannot serve again.
    home: Option<Arc<Home>>,
}

impl Body {
    pub(super) const fn new(connection: Connection, framing: Framing, home: Option<Arc<Home>>) -> Self {
        Self { connection: Some(connection), framing, home }
    }

    /// What comes next, as far as it has been read already.
    pub(crate) fn next_read(&mut self) -> Result<Next, Failed> {
        let Some(connection) = &mut self.connection else { return Ok(Next::End) };
        let next = self.framing.next(&mut connection.read).map_err(Failed::broke)?;
        if next == Next::End {
            self.is_whole();
        }
        Ok(next)
    }

    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        loop {
            match self.next_read()? {
                Next::Piece(piece) => return Ok(Some(piece)),
                Next::End => return Ok(None),
                Next::More => {}
            }
            let Some(connection) = &mut self.connection else { return Ok(None) };
            if connection.read_more().await.map_err(Failed::broke)? == 0 {
                self.connection = None;
                return self.framing.closed().map(|()| None).map_err(Failed::broke);
            }
        }
    }

    fn is_whole(&mut self) {
        if let (Some(connection), Some(home)) = (self.connection.take(), self.home.take())
            && connection.read.is_empty()
        {
            home.put(connection);
        }
    }
}

impl Drop for Body {
    /// An answer whose last event was read may lack only the mark of its end, which has come by then.
    fn drop(&mut self) {
        if self.home.is_none() {
            return;
        }
        for _ in 0..2 {
            while matches!(self.next_read(), Ok(Next::Piece(_))) {}
            let there = self.connection.as_mut().is_some_and(Connection::read_what_is_there);
            if !there {
                return;
            }
        }
    }
}
