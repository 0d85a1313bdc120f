//! Telemetry set-up and health.
