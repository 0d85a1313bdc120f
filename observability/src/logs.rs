//! Log lines as JSON with the names of the Elastic Common Schema (<https://www.elastic.co/guide/en/ecs/current/>).
//!
//! A field whose name has a dot stands under that name; one without stands under `labels.`. Fields of the spans around
//! an event stand on its line too, the nearest winning.

use std::fmt;
use std::io::Write;
use std::sync::OnceLock;

use serde_json::{Map, Value};
use tracing::dispatcher::WeakDispatch;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::{Service, propagate};

/// The version of the schema whose names are used.
const ECS_VERSION: &str = "8.11.0";
/// The longest text of one field, in bytes; what is longer is cut.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// Our word, and the schema's.
const NAMES: &[(&str, &str)] = &[
    ("message", "message"),
    ("error", "error.message"),
    ("tenant.id", "organization.id"),
    ("tenant", "organization.id"),
    ("principal.id", "user.id"),
    ("principal", "user.id"),
];

/// Fields of spans that only traces need.
const NOT_LOGGED: &[&str] = &["otel.", "gen_ai.", "messaging.", "steward.cost"];

/// The layer that writes them.
pub(crate) struct Ecs<W> {
    service: Service,
    writer: W,
    dispatch: OnceLock<WeakDispatch>,
}

impl<W> Ecs<W> {
    pub(crate) fn new(service: Service, writer: W) -> Self {
        Self { service, writer, dispatch: OnceLock::new() }
    }
}

/// A span's fields, kept with it. They get the schema's names only when a line is written: most spans never see one.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl<S, W> Layer<S> for Ecs<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("@timestamp".to_owned(), format!("{:.6}", jiff::Timestamp::now()).into());
        line.insert("log.level".to_owned(), metadata.level().to_string().to_lowercase().into());
        line.insert("message".to_owned(), Value::default());
        line.insert("ecs.version".to_owned(), ECS_VERSION.into());
        line.insert("log.logger".to_owned(), metadata.target().into());
        line.insert("service.name".to_owned(), self.service.name.clone().into());
        line.insert("service.version".to_owned(), self.service.version.clone().into());
        line.insert("service.node.name".to_owned(), self.service.instance.clone().into());
        if let Some(span) = context.event_span(event) {
            for around in span.scope().from_root() {
                if let Some(fields) = around.extensions().get::<Fields>() {
                    fields.write(&mut line);
                }
            }
            self.name_span(&span.id(), &mut line);
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        fields.write(&mut line);
        if line["message"].is_null() {
            line.insert("message".to_owned(), metadata.name().into());
        }
        let Ok(mut bytes) = serde_json::to_vec(&Value::Object(line)) else { return };
        bytes.push(b'\n');
        // There is nowhere to report that the log cannot be written.
        let _ = self.writer.make_writer_for(metadata).write_all(&bytes);
    }
}

impl<W> Ecs<W> {
    fn name_span(&self, id: &Id, line: &mut Map<String, Value>) {
        let Some(dispatch) = self.dispatch.get().and_then(WeakDispatch::upgrade) else { return };
        let Some(ids) = propagate::ids(id, &dispatch) else { return };
        line.insert("trace.id".to_owned(), ids.trace_id().to_string().into());
        line.insert("span.id".to_owned(), ids.span_id().to_string().into());
    }
}

/// Asked before anything is formatted: a call has some thirty such fields.
fn is_logged(name: &str) -> bool {
    !NOT_LOGGED.iter().any(|prefix| name.starts_with(prefix))
}

/// A field as the schema has it.
fn in_the_schema(name: &str, value: &Value) -> (String, Value) {
    if name == "duration_ms" {
        // The schema counts nanoseconds.
        let nanos = value.as_f64().map_or(Value::Null, |ms| (ms * 1e6).into());
        let nanos = value.as_u64().and_then(|ms| ms.checked_mul(1_000_000)).map_or(nanos, Value::from);
        return ("event.duration".to_owned(), nanos);
    }
    let name = match NAMES.iter().find(|(own, _)| *own == name) {
        Some((_, schema)) => (*schema).to_owned(),
        None if name.contains('.') => name.to_owned(),
        None => format!("labels.{name}"),
    };
    (name, value.clone())
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name();
        if !is_logged(name) {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    fn write(&self, line: &mut Map<String, Value>) {
        for (name, value) in &self.0 {
            let (name, value) = in_the_schema(name, value);
            line.insert(name, value);
        }
    }

    fn put_text(&mut self, field: &Field, mut text: String) {
        if text.len() > TEXT_BYTES_MAX {
            let end = (0..=TEXT_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.truncate(end);
            text.push('…');
        }
        self.put(field, text.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if is_logged(field.name()) {
            self.put_text(field, value.to_owned());
        }
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.put_text(field, text);
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if is_logged(field.name()) {
            self.put_text(field, format!("{value:?}"));
        }
    }
}
