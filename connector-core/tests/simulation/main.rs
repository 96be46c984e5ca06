//! Plays random histories of the refresh protocol (`tests/simulation`).
//!
//! One seed is one run and always gives the same result. `TIKTOK_SHOP_SIMULATION_SEEDS` is the number of runs for each
//! policy. `TIKTOK_SHOP_SIMULATION_SEED` runs a single seed.
#![allow(clippy::panic, reason = "a broken expectation is a failed test")]
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "the environment sets the number of runs, and the counts are printed"
)]

mod years;

use std::env;
use tiktok_shop_simulation::{Broken, NativeCore, Policy, Seen, run};

/// The default number of runs for each policy. They take some seconds; `cargo xtask simulate` runs more.
const SEEDS: u64 = 1_000;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

fn holds_under(policy: Policy) {
    let alone = number("TIKTOK_SHOP_SIMULATION_SEED");
    let seeds = match alone {
        Some(seed) => seed..seed + 1,
        None => 0..number("TIKTOK_SHOP_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let mut seen = Seen::default();
    for seed in seeds.clone() {
        match run(&NativeCore, seed, policy) {
            Ok(played) => seen.add(&played.seen),
            Err(Broken { law, history }) => {
                panic!("{policy:?}, seed {seed}: {law}\n{}", history.join("\n"));
            }
        }
    }
    println!("{policy:?}: {} runs, {seen}", seeds.end - seeds.start);
    // The runs prove something only if all these events happened.
    if alone.is_none() {
        assert!(seen.crashes > 0 && seen.refreshes > 0 && seen.contended > 0 && seen.pairs_lost > 0, "{seen:?}");
        assert!(seen.imports.0 > 0 && seen.imports.1 > 0, "{seen:?}");
    }
}

#[test]
fn no_token_is_lost_where_refresh_tokens_are_reusable() {
    holds_under(Policy::Reusable);
}

#[test]
fn no_token_is_lost_where_a_replay_within_ten_minutes_gets_a_new_pair() {
    holds_under(Policy::GraceWithNewPair);
}

#[test]
fn no_token_is_lost_where_a_replay_within_ten_minutes_gets_the_same_pair() {
    holds_under(Policy::GraceWithSamePair);
}

#[test]
fn no_token_is_lost_where_a_replaced_refresh_token_is_refused() {
    holds_under(Policy::Strict);
}

#[test]
fn no_token_is_lost_where_a_replay_ends_the_whole_grant() {
    holds_under(Policy::RevokesFamily);
}
