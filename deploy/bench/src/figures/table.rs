//! What is measured, by name: what each figure of the bench is, beside which baseline it stands, and what it should be.

use super::super::unit::Unit;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// At least this part of its baseline.
    PartOfBaseline(f64),
    /// None was set.
    None,
}

/// One row of the table.
pub(crate) struct Meaning {
    /// `part.figure`, also in the JSON.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) what: &'static str,
    /// In what.
    pub(crate) unit: Unit,
    /// The figure of the same run that this one is a part of.
    pub(crate) baseline: Option<&'static str>,
    /// What it should be.
    pub(crate) target: Target,
}

const fn row(
    name: &'static str,
    what: &'static str,
    unit: Unit,
    baseline: Option<&'static str>,
    target: Target,
) -> Meaning {
    Meaning { name, what, unit, baseline, target }
}

use Target::{AtLeast, AtMost, PartOfBaseline};
use Unit::{Mebibytes, Micros, Millis, Number, PerSecond};

/// The table.
pub(crate) const FIGURES: &[Meaning] = &[
    row("gateway.direct_per_s", "calls straight to the mock, 32 connections", PerSecond, None, Target::None),
    row(
        "gateway.calls_per_s",
        "calls through the gateway, 32 connections",
        PerSecond,
        Some("gateway.direct_per_s"),
        PartOfBaseline(0.11),
    ),
    row("gateway.cpu_us_per_call", "processor time of the gateway a call", Micros, None, AtMost(75.0)),
    row(
        "gateway.system_cpu_us_per_call",
        "processor time of all of Steward and its nats-server a call",
        Micros,
        None,
        AtMost(115.0),
    ),
    row("gateway.appends_per_call", "appends to the log a call", Number, None, Target::None),
    row("gateway.log_bytes_per_call", "bytes of the log a call", Number, None, AtMost(350.0)),
    row("gateway.p50_us_at_32", "a call's time at 32 connections, p50", Micros, None, Target::None),
    row("gateway.p99_us_at_32", "a call's time at 32 connections, p99", Micros, None, Target::None),
    row("gateway.direct_p50_us", "a call's time straight to the mock, one connection, p50", Micros, None, Target::None),
    row("gateway.added_p50_us", "what the gateway adds at one connection, p50", Micros, None, AtMost(500.0)),
    row("gateway.added_p99_us", "what the gateway adds at one connection, p99", Micros, None, Target::None),
    row("gateway.p50_us", "a call's time through the gateway, one connection, p50", Micros, None, Target::None),
    row(
        "gateway.kept_p50_us",
        "the same where a kept answer is given, p50",
        Micros,
        Some("gateway.p50_us"),
        Target::None,
    ),
    row(
        "gateway.kept_per_s",
        "calls that are given a kept answer, 32 connections",
        PerSecond,
        Some("gateway.calls_per_s"),
        Target::None,
    ),
    row(
        "gateway.direct_streams_per_s",
        "streams of 32 events straight to the mock, 32 connections",
        PerSecond,
        None,
        Target::None,
    ),
    row(
        "gateway.streams_per_s",
        "streams of 32 events through the gateway, 32 connections",
        PerSecond,
        Some("gateway.direct_streams_per_s"),
        PartOfBaseline(0.055),
    ),
    row("gateway.added_first_byte_p50_us", "what it adds to a stream's first byte, p50", Micros, None, AtMost(480.0)),
    row("gateway.added_first_byte_p99_us", "what it adds to a stream's first byte, p99", Micros, None, Target::None),
    row(
        "gateway.added_paced_first_byte_p50_us",
        "the same with 20 streams a second, so that processors sleep in between, p50",
        Micros,
        None,
        AtMost(1_000.0),
    ),
    row("gateway.refused", "calls refused under load", Number, None, Target::None),
    row(
        "projectors.lag_ms",
        "from the end of the load until the cost report shows all of it",
        Millis,
        None,
        AtMost(1_000.0),
    ),
    row("commands.per_s", "commands over many aggregates, 64 in flight", PerSecond, None, AtLeast(13_000.0)),
    row("commands.p50_us", "a command's time, p50", Micros, None, Target::None),
    row("commands.hot_ledger_per_s", "commands on one ledger, 64 in flight", PerSecond, None, AtLeast(3_000.0)),
    row("commands.hot_ledger_p50_us", "such a command's time, p50", Micros, None, Target::None),
    row(
        "log.raw_append_per_s",
        "conditional publishes by the bare client, 64 in flight",
        PerSecond,
        None,
        Target::None,
    ),
    row("log.append_per_s", "appends, acknowledged, 64 writers", PerSecond, Some("log.raw_append_per_s"), Target::None),
    row("log.raw_append_p50_us", "a bare publish's time, p50", Micros, None, Target::None),
    row("log.append_p50_us", "an append's time, p50", Micros, None, Target::None),
    row("replay.raw_events_per_s", "events whose messages the bare client reads", PerSecond, None, Target::None),
    row(
        "replay.events_per_s",
        "events folded into the cost report, rows on disk, 8 events a commit",
        PerSecond,
        Some("replay.raw_events_per_s"),
        PartOfBaseline(0.45),
    ),
    row("replay.raw_single_events_per_s", "the same with one event a commit", PerSecond, None, Target::None),
    row(
        "replay.single_events_per_s",
        "events folded into the cost report, one event a commit",
        PerSecond,
        Some("replay.raw_single_events_per_s"),
        Target::None,
    ),
    row("authorise.p50_us", "a decision on access, 10,000 grants, p50", Micros, None, AtMost(10.0)),
    row("authorise.p99_us", "a decision on access, 10,000 grants, p99", Micros, None, Target::None),
    row(
        "revocation.p50_ms",
        "from a revocation's acknowledgement to the refusal elsewhere, p50",
        Millis,
        None,
        Target::None,
    ),
    row(
        "revocation.p99_ms",
        "from a revocation's acknowledgement to the refusal elsewhere, p99",
        Millis,
        None,
        AtMost(100.0),
    ),
    row("revocation.max_ms", "the longest of them", Millis, None, Target::None),
    row(
        "revocation.since_sent_p50_ms",
        "from sending the revocation to the refusal elsewhere, p50",
        Millis,
        None,
        Target::None,
    ),
    row(
        "revocation.since_sent_p99_ms",
        "from sending the revocation to the refusal elsewhere, p99",
        Millis,
        None,
        Target::None,
    ),
    row(
        "revocation.still_worked_p99_ms",
        "from the acknowledgement to sending the last call that was answered, p99",
        Millis,
        None,
        Target::None,
    ),
    row("revocation.still_worked_max_ms", "the longest of them", Millis, None, Target::None),
    row(
        "revocation.bus_p50_ms",
        "from the acknowledgement to the refusal on an open bus connection, p50",
        Millis,
        None,
        Target::None,
    ),
    row("revocation.bus_p99_ms", "the same, p99", Millis, None, AtMost(100.0)),
    row("revocation.bus_max_ms", "the longest of them", Millis, None, Target::None),
    row(
        "revocation.bus_still_worked_p50_ms",
        "from the acknowledgement to sending the last command that was still taken there, p50",
        Millis,
        None,
        Target::None,
    ),
    row("revocation.bus_still_worked_p99_ms", "the same, p99", Millis, None, AtMost(100.0)),
    row("revocation.bus_still_worked_max_ms", "the longest of them", Millis, None, Target::None),
    row(
        "revocation.task_p50_ms",
        "from the acknowledgement to the end of a task that was submitted with the key, p50",
        Millis,
        None,
        Target::None,
    ),
    row("revocation.task_p99_ms", "the same, p99", Millis, None, AtMost(100.0)),
    row("revocation.task_max_ms", "the longest of them", Millis, None, Target::None),
    row("revocation.trials", "keys revoked", Number, None, Target::None),
    row("process.ready_ms", "`steward up` on an empty folder, until ready", Millis, None, AtMost(1_000.0)),
    row("process.ready_again_ms", "the same, started again", Millis, None, Target::None),
    row("process.rss_idle_mib", "memory of `steward up`, idle", Mebibytes, None, AtMost(60.0)),
    row("process.rss_loaded_mib", "memory of `steward up` after load", Mebibytes, None, AtMost(90.0)),
    row("process.nats_rss_idle_mib", "memory of its nats-server, idle", Mebibytes, None, Target::None),
    row("process.nats_rss_loaded_mib", "memory of its nats-server after load", Mebibytes, None, Target::None),
    row(
        "process.ready_million_ms",
        "`steward up` on a million events with views, until ready",
        Millis,
        None,
        AtMost(5_000.0),
    ),
    row(
        "process.ready_million_rebuild_ms",
        "the same without its views, which it rebuilds",
        Millis,
        None,
        Target::None,
    ),
    row("neighbour.alone_p50_us", "a slow caller's call while nobody else calls, p50", Micros, None, Target::None),
    row("neighbour.beside_p50_us", "the same while another tenant calls at full load, p50", Micros, None, Target::None),
    row("neighbour.alone_p99_us", "a slow caller's call while nobody else calls, p99", Micros, None, Target::None),
    row("neighbour.beside_p99_us", "the same while another tenant calls at full load, p99", Micros, None, Target::None),
    row("neighbour.queue_wait_p50_us", "what the other tenant's load adds: the wait, p50", Micros, None, Target::None),
    row("neighbour.queue_wait_p99_us", "what the other tenant's load adds: the wait, p99", Micros, None, Target::None),
    row("neighbour.own_load_p50_us", "a call of the loading tenant itself, p50", Micros, None, Target::None),
    row("peers.direct_calls_per_s", "calls straight to the mock, 32 connections", PerSecond, None, Target::None),
    row(
        "peers.steward_calls_per_s",
        "calls through Steward, everything on, 32 connections",
        PerSecond,
        Some("peers.direct_calls_per_s"),
        Target::None,
    ),
    row(
        "peers.nginx_calls_per_s",
        "calls through nginx bare, one worker, 32 connections",
        PerSecond,
        Some("peers.direct_calls_per_s"),
        Target::None,
    ),
    row(
        "peers.tensorzero_calls_per_s",
        "calls through TensorZero bare, 32 connections",
        PerSecond,
        Some("peers.direct_calls_per_s"),
        Target::None,
    ),
    row(
        "peers.direct_streams_per_s",
        "streams of 32 events straight to the mock, 32 connections",
        PerSecond,
        None,
        Target::None,
    ),
    row(
        "peers.steward_streams_per_s",
        "streams of 32 events through Steward, everything on, 32 connections",
        PerSecond,
        Some("peers.direct_streams_per_s"),
        Target::None,
    ),
    row(
        "peers.nginx_streams_per_s",
        "streams of 32 events through nginx bare, one worker, 32 connections",
        PerSecond,
        Some("peers.direct_streams_per_s"),
        Target::None,
    ),
    row(
        "peers.tensorzero_streams_per_s",
        "streams of 32 events through TensorZero bare, 32 connections",
        PerSecond,
        Some("peers.direct_streams_per_s"),
        Target::None,
    ),
    row("peers.direct_p50_us", "a call straight to the mock, one connection, p50", Micros, None, Target::None),
    row(
        "peers.steward_added_p50_us",
        "what is added through Steward, everything on, one connection, p50",
        Micros,
        None,
        Target::None,
    ),
    row(
        "peers.nginx_added_p50_us",
        "what is added through nginx bare, one worker, one connection, p50",
        Micros,
        None,
        Target::None,
    ),
    row(
        "peers.tensorzero_added_p50_us",
        "what is added through TensorZero bare, one connection, p50",
        Micros,
        None,
        Target::None,
    ),
    row(
        "peers.steward_cpu_us_per_call",
        "processor time of the gateway a call, Steward, everything on",
        Micros,
        None,
        Target::None,
    ),
    row(
        "peers.nginx_cpu_us_per_call",
        "processor time of the gateway a call, nginx bare, one worker",
        Micros,
        None,
        Target::None,
    ),
    row(
        "peers.tensorzero_cpu_us_per_call",
        "processor time of the gateway a call, TensorZero bare",
        Micros,
        None,
        Target::None,
    ),
    row("checks.generator_calls", "calls answered to the load generator", Number, None, Target::None),
    row("checks.upstream_calls", "calls counted by the mock upstream", Number, None, Target::None),
    row("checks.gateway_calls", "of them, through the gateway", Number, None, Target::None),
    row("checks.reported_calls", "calls in the cost report", Number, None, Target::None),
];
