//! Process managers and durable tasks.
