//! The three addresses, over real HTTP.

// Helpers of tests are not tests to clippy; what is not as expected here is a failed test.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use steward_events::BoxError;
use steward_gateway::serve_probes;
use steward_node::compose::probes;
use steward_observability::{Health, Metrics, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

struct Served {
    address: std::net::SocketAddr,
    health: Arc<Health>,
    metrics: Metrics,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), BoxError>>,
}

async fn served() -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Service { name: "steward-test".into(), version: "1.2.3".into(), instance: "run-1".into() };
    let (health, metrics, shutdown) = (Arc::new(Health::default()), Metrics::new(&service), CancellationToken::new());
    let task = tokio::spawn(serve_probes(listener, probes(Arc::clone(&health), metrics.clone()), shutdown.clone()));
    Served { address, health, metrics, shutdown, task }
}

/// Status line, headers and body of one request on a connection of its own.
async fn request(served: &Served, method: &str, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn readiness_holds_when_every_check_does_and_names_failures() {
    let served = served().await;
    assert_eq!(request(&served, "GET", "/readyz").await.0, 200, "nothing to wait for");
    let caught_up = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&caught_up);
    served.health.check("log", || Ok(()));
    served.health.check("views", move || {
        if seen.load(Ordering::Relaxed) { Ok(()) } else { Err("cost_report is 12 commits behind".to_owned()) }
    });
    let (status, head, body) = request(&served, "GET", "/readyz").await;
    assert_eq!(status, 503);
    assert!(head.contains("content-type: application/json"), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "ready": false,
            "not_ready": [{ "check": "views", "reason": "cost_report is 12 commits behind" }],
        })
    );
    assert_eq!(request(&served, "GET", "/livez").await.0, 200, "not ready is not dead");
    caught_up.store(true, Ordering::Relaxed);
    assert_eq!(request(&served, "GET", "/readyz").await.0, 200);
}

#[tokio::test]
async fn metrics_are_openmetrics_text() {
    let served = served().await;
    let calls = Counter::<u64>::default();
    served.metrics.register("steward_test_calls", "Calls", calls.clone());
    served.metrics.watch(Arc::clone(&served.health));
    served.health.check("log", || Ok(()));
    served.health.check("views", || Err("behind".to_owned()));
    served.metrics.append(|| "# TYPE steward_other gauge\nsteward_other 7\n# EOF\n".to_owned());
    calls.inc_by(3);
    let (status, head, body) = request(&served, "GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    for line in [
        "# TYPE steward_test_calls counter",
        "steward_test_calls_total 3",
        "steward_other 7",
        "steward_check_ready{check=\"log\"} 1",
        "steward_check_ready{check=\"views\"} 0",
        "steward_build_info{name=\"steward-test\",version=\"1.2.3\"} 1",
    ] {
        assert!(body.lines().any(|there| there == line), "{line} in\n{body}");
    }
    let rss = body.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes ")).unwrap();
    assert!(rss.parse::<u64>().unwrap() > 1_000_000, "{rss}");
    let start = body.lines().find_map(|line| line.strip_prefix("process_start_time_seconds ")).unwrap();
    assert!(start.parse::<f64>().unwrap() > 1.7e9, "{start}");
    assert!(body.ends_with("# EOF\n"));
    assert_eq!(body.matches("# EOF").count(), 1);
}

#[tokio::test]
async fn anything_else_is_refused_and_nothing_breaks_it() {
    let served = served().await;
    assert_eq!(request(&served, "GET", "/").await.0, 404);
    assert_eq!(request(&served, "POST", "/readyz").await.0, 405);
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(&[0xff; 4_096]).await.unwrap();
    drop(stream);
    assert_eq!(request(&served, "GET", "/livez").await.0, 200);
}

#[tokio::test]
async fn the_server_stops_despite_an_open_connection() {
    let served = served().await;
    let idle = TcpStream::connect(served.address).await.unwrap();
    assert_eq!(request(&served, "GET", "/livez").await.0, 200);
    served.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), served.task).await.expect("in time").unwrap().unwrap();
    drop(idle);
    assert!(TcpStream::connect(served.address).await.is_err(), "the address is free again");
}
