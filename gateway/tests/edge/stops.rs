//! The graceful stop, and clients that are slow on purpose.

use std::time::{Duration, Instant};

use steward_events::event::{CallOutcome, UsageEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::installation::{Installation, chat_body, streamed_chat_body};

#[tokio::test]
async fn a_stop_drains_running_calls_and_returns_leases() {
    let steward = Installation::plain().await;
    steward.model("small", &["script/tokens=5,pace=100"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let response = steward.chat(&key, &streamed_chat_body("small", "hello")).await;
    steward.shutdown.cancel();
    let text = response.text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    steward.running.await.unwrap();
    assert!(TcpStream::connect(steward.url.strip_prefix("http://").unwrap()).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever_and_still_records() {
    let steward = Installation::start(|settings| settings.config.drain_time_max = Duration::from_millis(300)).await;
    steward.model("small", &["mock/stall-mid"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let response = steward.chat(&key, &streamed_chat_body("small", "hello")).await;
    let began = Instant::now();
    steward.shutdown.cancel();
    let text = response.text().await.unwrap_or_default();
    assert!(!text.contains("[DONE]"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(5));
    let finished = steward.await_finished(1).await;
    assert!(matches!(finished[0].outcome, CallOutcome::Estimated { .. }), "{finished:?}");
}

#[tokio::test]
async fn leases_are_closed_when_the_gateway_has_stopped() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    assert_eq!(steward.chat(&key, &chat_body("small", "hello")).await.status(), 200);
    steward.shutdown.cancel();
    for _ in 0..250 {
        let usage = steward.usage("acme").await;
        if usage.iter().any(|event| matches!(event, UsageEvent::LeaseClosed { .. })) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no lease was closed");
}

#[tokio::test]
async fn a_client_sending_headers_or_body_too_slowly_is_dropped() {
    let steward = Installation::start(|settings| settings.config.receive_time_max = Duration::from_millis(300)).await;
    let key = steward.key("bot", Some("agent")).await;
    let connect = || TcpStream::connect(steward.url.strip_prefix("http://").unwrap().to_owned());
    let mut head = connect().await.unwrap();
    head.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut read = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), head.read_to_end(&mut read)).await.unwrap().unwrap();
    let mut body = connect().await.unwrap();
    let start = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 9\r\n\r\n{{"
    );
    body.write_all(start.as_bytes()).await.unwrap();
    let mut read = [0_u8; 12];
    tokio::time::timeout(Duration::from_secs(5), body.read_exact(&mut read)).await.unwrap().unwrap();
    assert_eq!(&read, b"HTTP/1.1 408");
}
