//! Log lines as machines read them.

// Helpers of tests are not tests to clippy; what is not as expected here is a failed test.
#![allow(clippy::unwrap_used)]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use steward_observability::{Config, Error, LogFormat, Service, propagate, subscriber};
use tracing::subscriber::with_default;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Page {
    type Writer = Self;
    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

fn config() -> Config {
    Config { logs: Some(LogFormat::Json), filter: "info".into(), ..Config::default() }
}

fn service() -> Service {
    Service { name: "steward-test".into(), version: "1.2.3".into(), instance: "run-1".into() }
}

fn logged(act: impl FnOnce()) -> Vec<Value> {
    let page = Page::default();
    let (subscriber, guard) = subscriber(&config(), &service(), page.clone()).unwrap();
    with_default(subscriber, act);
    drop(guard);
    page.lines()
}

#[test]
fn a_line_has_the_names_of_the_schema() {
    let lines = logged(|| {
        let failure = io::Error::other("no route");
        tracing::info_span!("drive", task.id = "t_1").in_scope(|| {
            tracing::warn!(
                tenant.id = "acme",
                attempt = 3,
                duration_ms = 12,
                error = &failure as &dyn std::error::Error,
                "step failed\nbadly"
            );
        });
    });
    assert_eq!(lines.len(), 1, "a line break in a message is no new line");
    let line = &lines[0];
    line["@timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    for (name, value) in [
        ("ecs.version", "8.11.0"),
        ("log.level", "warn"),
        ("log.logger", "logs"),
        ("message", "step failed\nbadly"),
        ("service.name", "steward-test"),
        ("service.version", "1.2.3"),
        ("service.node.name", "run-1"),
        ("task.id", "t_1"),
        ("organization.id", "acme"),
        ("error.message", "no route"),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
    assert_eq!(line["labels.attempt"], 3);
    assert_eq!(line["event.duration"], 12_000_000);
    assert_eq!(line["trace.id"].as_str().unwrap().len(), 32);
    assert_eq!(line["span.id"].as_str().unwrap().len(), 16);
}

#[test]
fn lines_below_the_level_are_dropped_and_each_has_message() {
    let lines = logged(|| {
        tracing::debug!("quiet");
        tracing::info!(attempt = 1);
    });
    assert_eq!(lines.len(), 1);
    assert!(lines[0]["message"].as_str().unwrap().starts_with("event "), "{}", lines[0]);
    assert!(lines[0].get("trace.id").is_none(), "there is no span");
}

#[test]
fn a_very_long_text_is_cut_at_a_character() {
    let lines = logged(|| tracing::info!(body = "é".repeat(20_000), "long"));
    let body = lines[0]["labels.body"].as_str().unwrap();
    assert!(body.len() <= 8 * 1024 + '…'.len_utf8() && body.ends_with("é…"), "{} bytes", body.len());
}

#[test]
fn a_trace_goes_on_in_the_process_that_receives_it() {
    let sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut passed_on = None;
    let lines = logged(|| {
        let span = tracing::info_span!("received");
        propagate::follow(&span, sent);
        span.in_scope(|| {
            tracing::info!("here");
            passed_on = propagate::current_traceparent();
        });
        for hostile in
            ["", "00-zz-zz-01", &"0".repeat(100_000), "00-00000000000000000000000000000000-0000000000000000-01"]
        {
            let span = tracing::info_span!("hostile");
            propagate::follow(&span, hostile);
            span.in_scope(|| tracing::info!("there"));
        }
        assert_eq!(propagate::current_traceparent(), None);
    });
    assert_eq!(lines[0]["trace.id"], "0af7651916cd43dd8448eb211c80319c");
    let passed_on = passed_on.unwrap();
    assert!(passed_on.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{passed_on}");
    assert!(passed_on.contains(lines[0]["span.id"].as_str().unwrap()), "{passed_on}");
    for line in &lines[1..] {
        assert_ne!(line["trace.id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(line["trace.id"].as_str().unwrap().len(), 32, "a trace of its own");
    }
}

#[test]
fn spans_in_one_another_are_one_trace() {
    let lines = logged(|| {
        tracing::info_span!("outer").in_scope(|| {
            tracing::info_span!("unasked")
                .in_scope(|| tracing::info_span!("inner").in_scope(|| tracing::info!("inmost")));
            tracing::info!("between");
            tracing::info!("still");
        });
        tracing::info_span!("another").in_scope(|| tracing::info!("apart"));
    });
    let ids: Vec<_> = lines.iter().map(|line| (line["trace.id"].clone(), line["span.id"].clone())).collect();
    assert_eq!(ids[0].0, ids[1].0);
    assert_ne!(ids[0].1, ids[1].1);
    assert_eq!(ids[1], ids[2], "a span keeps its ids");
    assert_ne!(ids[2].0, ids[3].0);
}

#[test]
fn an_invalid_filter_is_refused() {
    let config = Config { filter: "steward=loud".into(), ..config() };
    assert!(matches!(subscriber(&config, &service(), io::sink).map(|_| ()), Err(Error::Level { .. })));
}
