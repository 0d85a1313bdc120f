//! How settings of a special form are described in a schema.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// The format by which a schema marks a [`Span`].
pub const SPAN_FORMAT: &str = "span";

/// A span of time written as text, e.g. `30s` or `1m 30s`: what `humantime_serde` reads and writes.
#[derive(Debug)]
pub enum Span {}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": SPAN_FORMAT })
    }
}
