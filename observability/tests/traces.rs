//! Spans on their way to a collector, over real gRPC; and no collector at all.

// Helpers of tests are not tests to clippy; what is not as expected here is a failed test.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::io;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use steward_observability::{Config, Error, LogFormat, Service, propagate, subscriber};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing::instrument::WithSubscriber;

fn config(otlp: &str) -> Config {
    Config { logs: Some(LogFormat::Json), filter: "info".into(), otlp: otlp.to_owned(), listen: None }
}

fn service() -> Service {
    Service { name: "steward-test".into(), version: "1.2.3".into(), instance: "run-1".into() }
}

/// A gRPC server of one method, by hand: keeps what it is sent and answers with an empty message and status 0.
async fn collect(listener: TcpListener, received: mpsc::UnboundedSender<(String, Bytes)>) {
    while let Ok((stream, _)) = listener.accept().await {
        let received = received.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let received = received.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                received.send((path, body)).unwrap();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                let frames = [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)];
                let body = BodyFrames(frames.into_iter().collect());
                let response = Response::builder().header("content-type", "application/grpc").body(BoxBody::new(body));
                Ok::<_, Infallible>(response.unwrap())
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

struct BodyFrames(std::collections::VecDeque<Frame<Bytes>>);

impl hyper::body::Body for BodyFrames {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.pop_front().map(Ok))
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_reaches_the_collector_with_fields_and_service() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut received) = mpsc::unbounded_channel();
    tokio::spawn(collect(listener, sender));
    let (subscriber, guard) = subscriber(&config(&url), &service(), io::sink).unwrap();
    let passed_on = async {
        let span = tracing::info_span!("drive_task", task.id = "t_42");
        propagate::follow(&span, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        span.in_scope(|| {
            tracing::info!("step done");
            propagate::current_traceparent()
        })
    }
    .with_subscriber(subscriber)
    .await
    .unwrap();
    assert!(passed_on.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{passed_on}");
    tokio::task::spawn_blocking(move || drop(guard)).await.unwrap();
    let (path, body) = received.try_recv().expect("dropping the guard has sent the span");
    assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    for text in ["drive_task", "task.id", "t_42", "step done", "service.name", "steward-test", "run-1"] {
        assert!(contains(&body, text), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_or_silent_collector_delays_nothing() {
    // One address where nobody listens, one where connections are accepted and never answered.
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away_url = format!("http://{}", away.local_addr().unwrap());
    drop(away);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    for url in [away_url, silent_url] {
        let (subscriber, guard) = subscriber(&config(&url), &service(), io::sink).unwrap();
        let began = Instant::now();
        // More spans than the queue holds.
        async {
            for number in 0..10_000 {
                tracing::info_span!("busy", number).in_scope(|| ());
            }
        }
        .with_subscriber(subscriber)
        .await;
        assert!(began.elapsed() < Duration::from_secs(5), "spans waited {:?} for {url}", began.elapsed());
        let began = Instant::now();
        tokio::task::spawn_blocking(move || drop(guard)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(8), "the end waited {:?} for {url}", began.elapsed());
    }
}

#[tokio::test]
async fn an_invalid_address_is_refused() {
    for url in ["localhost:4317", "https://collector:4317", "http://"] {
        assert!(matches!(subscriber(&config(url), &service(), io::sink).map(|_| ()), Err(Error::Otlp { .. })), "{url}");
    }
}
