//! Plays connections over many years (`tiktok_shop_simulation::years`), and compares the strategies of keeping tokens.
//!
//! `TIKTOK_SHOP_SIMULATION_YEARS` is the number of connection-years for each policy and strategy. The results are then
//! printed as lines of JSON, which `cargo xtask simulate --years` reads.

use super::number;
use serde_json::{Map, Value, json};
use tiktok_shop_simulation::years::{Cause, Pace, Rates, Years, play};
use tiktok_shop_simulation::{Policy, Strategy};

const SEED: u64 = 1;
/// In a bad week, everything fails ten times as often.
const BAD_WEEK: f64 = 10.0;
/// A grace period of a minute, as some OAuth servers have it.
const SHORT_GRACE: u64 = 60;
/// The years of the short comparison. Everything fails as in a bad week, so that these years have enough losses.
const SHORT: u64 = 600;

fn rates(factor: f64) -> Rates {
    Rates::default().times(factor)
}

/// Plays the years that the environment asks for. Without that, compares the strategies in a short run.
fn compares_under(policy: Policy) {
    let Some(years) = number("TIKTOK_SHOP_SIMULATION_YEARS") else { return compares_in_short(policy) };
    let mut worlds = vec![(1.0, rates(1.0), years), (BAD_WEEK, rates(BAD_WEEK), years / 10)];
    if policy == Policy::GraceWithSamePair {
        worlds.push((1.0, Rates { grace: SHORT_GRACE, ..rates(1.0) }, years));
    }
    for (factor, rates, years) in worlds {
        for strategy in Strategy::ALL {
            let years = years / strategy.divisor();
            let found = play(strategy, policy, rates, years, SEED, Pace::SkipQuietWindows);
            print(&cell(policy, strategy, (factor, rates.grace), &found));
        }
    }
    print(&json!({ "rates": rates(1.0).explained() }));
}

/// Prints a line of JSON. A test's name may be printed before it, without the end of its line.
fn print(line: &Value) {
    println!("\n{line}");
}

fn cell(policy: Policy, strategy: Strategy, (factor, grace): (f64, u64), found: &Years) -> Value {
    let [rate, low, high] = found.in_a_million();
    let causes = Cause::ALL.iter().zip(found.losses).map(|(cause, losses)| (cause.name().to_owned(), json!(losses)));
    json!({
        "policy": format!("{policy:?}"),
        "strategy": strategy.name(),
        "faults": factor,
        "grace": grace,
        "years": found.years,
        "refreshes": found.refreshes,
        "losses": found.lost(),
        "in_a_million": rate,
        "low": low,
        "high": high,
        "causes": causes.collect::<Map<_, _>>(),
    })
}

fn compares_in_short(policy: Policy) {
    let played = |strategy: Strategy| {
        play(strategy, policy, rates(BAD_WEEK), SHORT / strategy.divisor(), SEED, Pace::SkipQuietWindows)
    };
    let [on_demand, process_lock, one_worker, database_lock, connector, unavoidable] = Strategy::ALL.map(played);
    let lost = |cause: Cause, found: &Years| {
        let found = Cause::ALL.iter().zip(found.losses).find(|(known, _)| **known == cause);
        found.map_or(0, |(_, losses)| losses)
    };
    let rate = |found: &Years| found.in_a_million()[0];
    for (other, name) in [
        (&on_demand, "refresh-on-demand"),
        (&process_lock, "process-lock"),
        (&one_worker, "one-worker"),
        (&database_lock, "database-lock"),
    ] {
        let [found, low, high] = other.in_a_million();
        // Where a used token is only refused, this strategy loses about as few. It also refreshes less often.
        let is_alike = (policy, name) == (Policy::Strict, "process-lock");
        let holds = if is_alike { (low..high).contains(&rate(&connector)) } else { rate(&connector) <= found };
        assert!(holds, "{policy:?}, {name}: {connector:?}, {other:?}");
    }
    for cause in [Cause::Race, Cause::SaveFailed, Cause::KilledBeforeSave] {
        assert_eq!(lost(cause, &connector), 0, "{policy:?}, {cause:?}: {connector:?}");
    }
    // All strategies that refresh a day ahead lose the same answers.
    for other in [&one_worker, &database_lock, &unavoidable] {
        let [ours, theirs] = [&connector, other].map(|found| lost(Cause::AnswerLost, found));
        assert_eq!(ours, theirs, "{policy:?}: {connector:?}, {other:?}");
    }
    match policy {
        Policy::Reusable | Policy::GraceWithNewPair | Policy::GraceWithSamePair => {
            assert_eq!(connector.lost(), 0, "{policy:?}");
        }
        Policy::Strict | Policy::RevokesFamily => {
            let avoided = unavoidable.lost() > 0 && connector.lost() * 10 < unavoidable.lost() * 11;
            assert!(avoided, "{policy:?}: {connector:?}, {unavoidable:?}");
            assert!(rate(&on_demand) > 100.0 * rate(&connector), "{policy:?}: {on_demand:?}");
            // Two processes send the same token. If TikTok only refuses the second one, the row soon has the new token.
            let races = lost(Cause::Race, &process_lock);
            assert_eq!(races > 0, policy == Policy::RevokesFamily, "{policy:?}: {process_lock:?}");
            assert!(lost(Cause::SaveFailed, &database_lock) > 0, "{policy:?}: {database_lock:?}");
        }
    }
}

#[test]
fn strategies_are_compared_where_refresh_tokens_are_reusable() {
    compares_under(Policy::Reusable);
}

#[test]
fn strategies_are_compared_where_a_replay_within_ten_minutes_gets_a_new_pair() {
    compares_under(Policy::GraceWithNewPair);
}

#[test]
fn strategies_are_compared_where_a_replay_within_ten_minutes_gets_the_same_pair() {
    compares_under(Policy::GraceWithSamePair);
}

#[test]
fn strategies_are_compared_where_a_replaced_refresh_token_is_refused() {
    compares_under(Policy::Strict);
}

#[test]
fn strategies_are_compared_where_a_replay_ends_the_whole_grant() {
    compares_under(Policy::RevokesFamily);
}

/// `play` panics if a window that it would skip does not renew the pair exactly once.
#[test]
fn a_quiet_window_always_renews_the_pair_once() {
    for strategy in [Strategy::OneWorker, Strategy::DatabaseLock, Strategy::Connector, Strategy::Unavoidable] {
        for policy in [Policy::Strict, Policy::GraceWithNewPair] {
            let found = play(strategy, policy, rates(1.0), 30, SEED, Pace::PlayEverything);
            assert_eq!(found.refreshes, found.played, "{strategy:?}");
            assert!(found.refreshes > 1_700, "{strategy:?}: {found:?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_years() {
    let years = |seed| play(Strategy::Connector, Policy::Strict, rates(BAD_WEEK), 50, seed, Pace::SkipQuietWindows);
    assert_eq!(years(7), years(7));
    assert_ne!(years(7), years(8));
}

#[test]
fn the_interval_of_a_count_is_the_exact_one_of_a_poisson_distribution() {
    for (losses, low, high) in [(0, 0.0, 3.69), (1, 0.03, 5.57), (10, 4.80, 18.39), (100, 81.36, 121.63)] {
        let found = Years { years: 1_000_000, losses: [losses, 0, 0, 0, 0, 0], ..Years::default() };
        let [rate, least, most] = found.in_a_million();
        assert!((rate - losses as f64).abs() < 0.01, "{losses}: {rate}");
        assert!((least - low).abs() < 0.05 && (most - high).abs() < 0.05, "{losses}: {least} to {most}");
    }
}
