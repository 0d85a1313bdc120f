//! An answer piece by piece: passed on as it comes, metered, cut off when the reservation is used up; its end recorded
//! before `[DONE]` goes out.

use std::convert::Infallible;
use std::task::Poll;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, poll};
use http::{HeaderValue, header};
use steward_events::event::{CallOutcome, TokenUsage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::attempt::{Finished, Started};
use super::meter::Meter;
use super::{Call, describe};
use crate::error::Error;
use crate::openai::Chunk;
use crate::provider::Failure;

/// Bytes of events that came together and go on as one piece: each piece costs a system call here, another at the client.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// Pieces that wait for a slow client.
const PIECES_WAITING_MAX: usize = 4;

type Events = BoxStream<'static, Result<Bytes, Failure>>;
type Sender = mpsc::Sender<Result<Bytes, Infallible>>;

/// Why no more is passed on.
enum End {
    /// The answer is whole.
    Done,
    /// The provider broke off, or said that it failed.
    Broke(Error),
    /// More came than was reserved.
    UsedUp,
    /// The client does not listen any more.
    CallerGone,
    /// The gateway stops and cannot wait.
    Stopped,
}

/// Answers with what comes. Must be called within the call's own task tracker.
pub(super) fn answer(call: Call, started: Started, events: Events) -> Response {
    let (sender, receiver) = mpsc::channel(PIECES_WAITING_MAX);
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(receiver)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies that buffer would hold back every piece.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    describe(headers, &call, &started);
    let calls = call.edge.calls.clone();
    let passing = Passing {
        call,
        started,
        sender,
        meter: Meter::default(),
        ready: BytesMut::new(),
        held: None,
        usage_said: false,
        choice_ended: false,
    };
    calls.spawn(passing.run(events));
    response
}

/// A stream on its way.
struct Passing {
    call: Call,
    started: Started,
    sender: Sender,
    meter: Meter,
    /// Events that came together, ready to go.
    ready: BytesMut,
    /// The provider's report of usage, kept for the end.
    held: Option<Bytes>,
    /// The provider's report of usage came.
    usage_said: bool,
    choice_ended: bool,
}

impl Passing {
    async fn run(mut self, events: Events) {
        // Returning ends the call at the provider, if it is not over.
        let end = self.pass(events).await;
        let Self { call, started, sender, meter, held, .. } = self;
        let (tokens, outcome) = used(&call, &meter, &end);
        let finished = started.finish(tokens, outcome).await;
        let last = match (end, finished) {
            (End::Done, Ok(finished)) => last_events(held, &finished),
            (End::UsedUp, Ok(finished)) => last_events(Some(cut_off(&call)), &finished),
            (End::Broke(error), Ok(_)) | (_, Err(error)) => event(error.openai_body().to_string().as_bytes()),
            (End::Stopped, Ok(_)) => {
                let error = Error::UpstreamBroke("the gateway stops; the answer is cut".to_owned());
                event(error.openai_body().to_string().as_bytes())
            }
            (End::CallerGone, Ok(_)) => return,
        };
        let _ = tokio::time::timeout(call.edge.config.upstream.client_stall_max, sender.send(Ok(last))).await;
    }

    /// Passes on until there is a reason to end.
    async fn pass(&mut self, mut events: Events) -> End {
        // The first goes at once, alone: people wait for it.
        let mut gathers = false;
        loop {
            let next = tokio::select! {
                next = events.next() => next,
                () = self.sender.closed() => return End::CallerGone,
                () = self.call.edge.cut.cancelled() => return End::Stopped,
            };
            let mut end = self.take(next);
            while gathers && end.is_none() && self.ready.len() < PIECE_BYTES_MAX {
                // The connection hands over one piece at a time, when it is its turn.
                tokio::task::yield_now().await;
                match poll!(events.next()) {
                    Poll::Ready(next) => end = self.take(next),
                    Poll::Pending => break,
                }
            }
            gathers = true;
            let heard = self.send_ready().await;
            if let Some(end) = end {
                return end;
            }
            if !heard {
                return End::CallerGone;
            }
        }
    }

    /// Sends what is ready. False if the client does not take it.
    async fn send_ready(&mut self) -> bool {
        if self.ready.is_empty() {
            return true;
        }
        let piece = self.ready.split().freeze();
        let stall_max = self.call.edge.config.upstream.client_stall_max;
        matches!(tokio::time::timeout(stall_max, self.sender.send(Ok(piece))).await, Ok(Ok(())))
    }

    /// Makes what comes next ready to go on, or says why nothing does any more.
    fn take(&mut self, next: Option<Result<Bytes, Failure>>) -> Option<End> {
        let data = match next {
            Some(Ok(data)) => data,
            // All has been said: what breaks now takes nothing away.
            Some(Err(_)) if self.choice_ended && self.usage_said => return Some(End::Done),
            Some(Err(failure)) => return Some(End::Broke(failure.into_error(&self.started.provider))),
            // Some providers leave out `[DONE]`; an answer that ended is whole all the same.
            None if self.choice_ended => return Some(End::Done),
            None => return Some(End::Broke(self.broke("its answer ended before it was whole"))),
        };
        let Ok(chunk) = Chunk::read(&data, self.call.ask.include_usage) else {
            return Some(End::Broke(self.broke("a piece of its answer cannot be read")));
        };
        match chunk {
            Chunk::Done => Some(End::Done),
            Chunk::Failed { message } => Some(End::Broke(self.broke(&message))),
            Chunk::Piece { data, usage, only_usage, text_bytes, finished } => {
                self.meter.count(text_bytes, usage);
                self.choice_ended |= finished;
                if only_usage {
                    self.usage_said = true;
                    self.held = data;
                } else if let Some(data) = data {
                    put_event(&mut self.ready, &data);
                }
                let reserved = self.started.output_each.saturating_mul(self.call.plan.estimate.choices);
                // At an end of its own a provider may count a little more than was asked for: that is late, not endless.
                let goes_on = !finished && !only_usage;
                (goes_on && self.meter.certain_output() > reserved).then_some(End::UsedUp)
            }
        }
    }

    fn broke(&self, why: &str) -> Error {
        Error::UpstreamBroke(format!("provider {}: {why}", self.started.provider))
    }
}

/// What to record.
fn used(call: &Call, meter: &Meter, end: &End) -> (TokenUsage, CallOutcome) {
    let reason = match (end, meter.reported()) {
        (End::Done, Some(reported)) => return (reported, CallOutcome::Completed),
        (End::Done, None) => "the provider did not say what it used".to_owned(),
        (End::Broke(error), _) => format!("the stream broke off ({})", error.status().as_u16()),
        (End::UsedUp, _) => "cut off: the reservation is used up".to_owned(),
        (End::CallerGone, _) => "the caller broke off".to_owned(),
        (End::Stopped, _) => "cut: the gateway stopped".to_owned(),
    };
    (meter.probable(&call.plan.estimate), CallOutcome::Estimated { reason })
}

fn event(data: &[u8]) -> Bytes {
    let mut event = BytesMut::new();
    put_event(&mut event, data);
    event.freeze()
}

fn put_event(to: &mut BytesMut, data: &[u8]) {
    to.reserve(data.len() + 8);
    for line in data.split(|b| *b == b'\n') {
        to.put_slice(b"data: ");
        to.put_slice(line);
        to.put_u8(b'\n');
    }
    to.put_u8(b'\n');
}

/// As a provider says that it stopped at `max_tokens`.
fn cut_off(call: &Call) -> Bytes {
    let chunk = serde_json::json!({
        "id": format!("chatcmpl-{}", call.caller.request),
        "object": "chat.completion.chunk",
        "created": call.edge.clock.now().0 / 1_000_000,
        "model": call.ask.model,
        "choices": [{ "index": 0, "delta": {}, "finish_reason": "length" }],
    });
    Bytes::from(chunk.to_string())
}

/// What comes when the end is recorded: the usage if the caller wants it, the cost as a comment (clients pass over it),
/// `[DONE]`.
fn last_events(held: Option<Bytes>, finished: &Finished) -> Bytes {
    let mut last = BytesMut::new();
    if let Some(data) = held {
        put_event(&mut last, &data);
    }
    last.put_slice(format!(": x-steward-response-cost: {}\n", finished.cost).as_bytes());
    if let Some(left) = finished.budget_left {
        last.put_slice(format!(": x-steward-budget-remaining: {left}\n").as_bytes());
    }
    last.put_slice(b"\ndata: [DONE]\n\n");
    last.freeze()
}
