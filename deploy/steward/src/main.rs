//! The steward binary: the command line.
//!
//! `cli` says what can be typed, `command/` has one command a file. What a role is made of is `steward-node`'s. Nothing
//! depends on this crate.

use std::process::ExitCode;

use steward_node::{client, compose, config, files, output};

// All that is printed goes through the one writer of `output`, so that no command can forget it.
macro_rules! println {
    ($($words:tt)*) => { $crate::output::say(format_args!($($words)*)) };
}
macro_rules! eprintln {
    ($($words:tt)*) => { $crate::output::complain(format_args!($($words)*)) };
}

mod cli;
mod command;

/// A call makes some hundred small allocations; docs/PERFORMANCE.md says what this one saves.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Every binary installs one TLS provider explicitly; with two compiled in, rustls could not choose.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("steward: a TLS provider was installed before ours; this is a bug");
        return ExitCode::FAILURE;
    }
    let matches = cli::parser().get_matches();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("steward: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(command::run(&matches)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("steward: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                eprintln!("  because: {inner}");
                cause = inner.source();
            }
            ExitCode::FAILURE
        }
    }
}
