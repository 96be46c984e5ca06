//! The report about the kills, as a table or as JSON. It has one row for each operation under each policy of TikTok
//! Shop. A row contains the number of kill points, the number of kill points after which the connection survived, the
//! number of kill points after which it was lost, and the causes of the losses.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tiktok_shop_tests::kill_points::{Tally, Trial};

/// The highest number of illegal states that the table shows for each row. One bug usually causes the same state at
/// many kill points.
const MAX_SHOWN: usize = 3;

pub(crate) fn table(tallies: &[(Trial, Tally)]) -> String {
    let mut table = format!(
        "{:19}  {:16}  {:>6}  {:>8}  {:>4}  {}\n",
        "operation", "replaced token", "points", "survived", "lost", "cause"
    );
    for (trial, tally) in tallies {
        let causes: Vec<_> = tally.lost.keys().copied().collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "{:19}  {:16}  {:>6}  {:>8}  {:>4}  {}",
            trial.operation,
            trial.policy.name,
            trial.points().count(),
            tally.survived,
            lost(tally),
            if causes.is_empty() { "-".to_owned() } else { causes.join("; ") },
        );
    }
    let [points, survived, lost, illegal] = totals(tallies);
    let _ = writeln!(table, "\n{points} points: {survived} survived, {lost} lost, {illegal} illegal");
    let _ = writeln!(table, "(An operation with only one policy replaces no refresh token.)");
    for (_, tally) in tallies {
        for state in tally.illegal.iter().take(MAX_SHOWN) {
            let _ = writeln!(table, "\nillegal: {state}");
        }
        if let Some(more @ 1..) = tally.illegal.len().checked_sub(MAX_SHOWN) {
            let _ = writeln!(table, "\n... and {more} more of this row; --json prints all");
        }
    }
    table
}

pub(crate) fn object(tallies: &[(Trial, Tally)]) -> String {
    let trials = tallies.iter().map(|(trial, tally)| {
        json!({
            "operation": trial.operation.to_string(),
            "policy": trial.policy.name,
            "points": trial.points().count(),
            "survived": tally.survived,
            "lost": tally.lost.iter().map(|(cause, points)| json!({ "cause": cause, "points": points })).collect::<Value>(),
            "illegal": tally.illegal,
        })
    });
    let [points, survived, lost, illegal] = totals(tallies);
    let object = json!({
        "trials": trials.collect::<Value>(),
        "points": points,
        "survived": survived,
        "lost": lost,
        "illegal": illegal,
    });
    format!("{object:#}\n")
}

fn lost(tally: &Tally) -> u32 {
    tally.lost.values().sum()
}

/// Returns the sums over all rows, as `[points, survived, lost, illegal]`.
fn totals(tallies: &[(Trial, Tally)]) -> [u64; 4] {
    tallies.iter().fold([0; 4], |[points, survived, lost_so_far, illegal], (trial, tally)| {
        [
            points + trial.points().count() as u64,
            survived + u64::from(tally.survived),
            lost_so_far + u64::from(lost(tally)),
            illegal + tally.illegal.len() as u64,
        ]
    })
}
