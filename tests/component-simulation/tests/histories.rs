//! Plays histories with the shipped component and compares them with those of the native core.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken expectation is a failed test")]

use std::sync::OnceLock;

use tiktok_shop_component_simulation::{Component, compare};
use tiktok_shop_simulation::{Policy, Seen, run};

/// The number of histories under each policy. They take a few seconds; `cargo xtask simulate --component` plays more.
const SEEDS: u64 = 40;

fn component() -> &'static Component {
    static COMPONENT: OnceLock<Component> = OnceLock::new();
    COMPONENT.get_or_init(|| Component::new().unwrap())
}

fn is_the_same_under(policy: Policy) {
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        seen.add(&compare(component(), seed, policy).unwrap_or_else(|error| panic!("{error}")));
    }
    // The histories prove something only if these events happened.
    assert!(seen.crashes > 0 && seen.refreshes > 0 && seen.contended > 0, "{seen:?}");
}

#[test]
fn the_component_plays_the_core_s_histories_where_refresh_tokens_are_reusable() {
    is_the_same_under(Policy::Reusable);
}

#[test]
fn the_component_plays_the_core_s_histories_where_a_replay_within_ten_minutes_gets_a_new_pair() {
    is_the_same_under(Policy::GraceWithNewPair);
}

#[test]
fn the_component_plays_the_core_s_histories_where_a_replay_within_ten_minutes_gets_the_same_pair() {
    is_the_same_under(Policy::GraceWithSamePair);
}

#[test]
fn the_component_plays_the_core_s_histories_where_a_replaced_refresh_token_is_refused() {
    is_the_same_under(Policy::Strict);
}

#[test]
fn the_component_plays_the_core_s_histories_where_a_replay_ends_the_whole_grant() {
    is_the_same_under(Policy::RevokesFamily);
}

#[test]
fn a_seed_always_gives_the_same_transcript_and_a_crash_is_the_end_of_a_call() {
    let transcript = |seed| {
        let (component, transcript) = component().recorded();
        run(&component, seed, Policy::Strict).unwrap();
        transcript.text()
    };
    let mut crashes = 0;
    for seed in 0..10 {
        let text = transcript(seed);
        assert_eq!(text, transcript(seed));
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for pair in lines.windows(2) {
            let [line, next] = pair else { panic!("{pair:?}") };
            let ends = line.get("result").is_some() || line.get("crash").is_some();
            assert_eq!(ends, next.get("export").is_some(), "{line}\n{next}");
        }
        crashes += lines.iter().filter(|line| line.get("crash").is_some()).count();
    }
    assert!(crashes > 0);
}
