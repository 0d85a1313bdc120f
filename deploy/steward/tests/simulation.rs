//! The budget protocol under seeded faults: the real ledger, the real admission of gateways and the real lease expiry,
//! on a log, a bus, timers and clocks that fail before and after every call takes effect.
//!
//! A seed gives the same run every time. To see one: `STEWARD_SEED=17 cargo test -p steward --test simulation one_seed
//! -- --nocapture`; `STEWARD_SEEDS=100000` runs more of them. Each rule of the protocol is also dropped
//! in turn, and the checker must notice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may end at once

mod simulation {
    pub(crate) mod broker;
    pub(crate) mod callers;
    pub(crate) mod checker;
    pub(crate) mod env;
    pub(crate) mod process;
    pub(crate) mod replica;
    pub(crate) mod rng;
    pub(crate) mod timers;
    pub(crate) mod variant;
}

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use simulation::checker::Seen;
use simulation::variant::Variant;
use simulation::{broker, callers, checker, env, process, replica, rng, timers, variant};

/// How many seeds must hold.
const SEEDS: u64 = 10_000;

#[allow(clippy::disallowed_methods)] // a test has no other configuration
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs seeds on all cores until one breaks a law; tells the lowest that did, and what was exercised.
fn explore(variant: Variant, seeds: u64) -> (Option<(u64, String)>, Seen) {
    let (next, found) = (AtomicU64::new(1), Mutex::new(None::<(u64, String)>));
    let seen = Mutex::new(Seen::default());
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds || found.lock().unwrap().is_some() {
                        return;
                    }
                    let report = env::run(seed, variant, false);
                    *seen.lock().unwrap() += report.seen;
                    if let Some(broken) = report.broken {
                        let mut found = found.lock().unwrap();
                        if found.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                            *found = Some((seed, broken));
                        }
                    }
                }
            });
        }
    });
    (found.into_inner().unwrap(), seen.into_inner().unwrap())
}

#[test]
fn the_laws_hold_in_every_seed() {
    let seeds = number("STEWARD_SEEDS").unwrap_or(SEEDS);
    let (found, seen) = explore(Variant::Sound, seeds);
    println!("{seeds} seeds: {seen:?}");
    if let Some((seed, broken)) = found {
        panic!("seed {seed}: {broken}\nSTEWARD_SEED={seed} tells the story");
    }
    // A simulation that exercises nothing proves nothing.
    for (what, count) in [
        ("granted", seen.granted),
        ("queued", seen.queued),
        ("recalled", seen.recalled),
        ("fenced", seen.fenced),
        ("corrected", seen.corrected),
        ("unsettled", seen.unsettled),
        ("refused", seen.refused),
        ("late", seen.late),
    ] {
        assert!(count >= seeds / 20, "only {count} times {what} in {seeds} seeds");
    }
}

/// Seeds beyond those of every run that once showed a fault.
const FAILED_ONCE: &[u64] = &[
    // A search for late finishes forgot what it had found when the log broke off.
    1_661,
];

#[test]
fn seeds_that_once_failed_hold() {
    for seed in FAILED_ONCE {
        let report = env::run(*seed, Variant::Sound, false);
        assert_eq!(report.broken, None, "STEWARD_SEED={seed} tells the story");
    }
}

#[test]
fn one_seed_gives_the_same_log_every_time() {
    for seed in 1..=number("STEWARD_REPEATS").unwrap_or(20) {
        let (first, second) = (env::run(seed, Variant::Sound, false), env::run(seed, Variant::Sound, false));
        assert_eq!(first.digest, second.digest, "seed {seed}");
    }
}

/// Tells the story of `STEWARD_SEED`, with the rule `STEWARD_DROP` dropped if that is set.
#[test]
fn one_seed() {
    let seed = number("STEWARD_SEED").unwrap_or(1);
    let report = env::run(seed, chosen_variant(), true);
    for line in &report.story {
        println!("{line}");
    }
    assert_eq!(report.broken, None, "seed {seed}");
}

#[allow(clippy::disallowed_methods)] // a test has no other configuration
fn chosen_variant() -> Variant {
    let name = std::env::var("STEWARD_DROP").unwrap_or_default();
    Variant::DROPPED.into_iter().find(|variant| format!("{variant:?}") == name).unwrap_or(Variant::Sound)
}

/// How many seeds it may take to notice that a rule was dropped.
const SEEDS_TO_NOTICE: u64 = 2_000;

#[test]
fn every_dropped_rule_is_noticed() {
    let only = chosen_variant();
    let mut unnoticed = Vec::new();
    for variant in Variant::DROPPED {
        if only != Variant::Sound && only != variant {
            continue;
        }
        match explore(variant, SEEDS_TO_NOTICE).0 {
            Some((seed, broken)) => println!("{variant:?}: seed {seed}: {broken}"),
            None => unnoticed.push(variant),
        }
    }
    assert!(unnoticed.is_empty(), "nobody noticed that these rules were dropped: {unnoticed:?}");
}
