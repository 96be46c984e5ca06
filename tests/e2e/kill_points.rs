//! The short form of `cargo xtask kill-points`: every operation, killed before each function of the host's that it calls,
//! where TikTok Shop refuses a refresh token that it has replaced.

use std::collections::BTreeMap;

use tiktok_shop_tests::kill_points::{Operation, Policy, Trial};

/// Why it was lost, where it was.
async fn killed(operation: Operation) -> Vec<&'static str> {
    let trial = Trial::measure(operation, Policy::STRICT).await.unwrap();
    let tally = trial.kill_at(trial.points_before(), || {}).await;
    assert!(tally.illegal.is_empty(), "{} illegal:\n{}", tally.illegal.len(), tally.illegal.join("\n"));
    assert!(tally.survived > 0);
    tally.lost.into_keys().collect()
}

#[tokio::test]
async fn a_connect_killed_before_any_call_of_the_host_is_connected_or_not_at_all() {
    assert_eq!(killed(Operation::Connect).await, ["answer lost after TikTok had spent the code"]);
}

#[tokio::test]
async fn a_reconnect_killed_before_any_call_of_the_host_leaves_a_connection_that_works() {
    assert_eq!(killed(Operation::Reconnect).await, [""; 0]);
}

#[tokio::test]
async fn a_refresh_killed_before_any_call_of_the_host_is_lost_only_with_tiktoks_answer() {
    assert_eq!(killed(Operation::Refresh).await, ["answer lost after TikTok had replaced the token"]);
}

#[tokio::test]
async fn a_promotion_killed_before_any_call_of_the_host_is_lost_only_with_tiktoks_answer() {
    assert_eq!(killed(Operation::Promotion).await, ["answer lost after TikTok had replaced the token"]);
}

#[tokio::test]
async fn a_choice_of_shops_killed_before_any_call_of_the_host_is_the_old_one_or_the_new() {
    assert_eq!(killed(Operation::LinkShops).await, [""; 0]);
}

#[tokio::test]
async fn a_disconnect_killed_before_any_call_of_the_host_is_finished_by_the_next() {
    assert_eq!(killed(Operation::Disconnect).await, [""; 0]);
}

#[tokio::test]
async fn the_disconnect_of_one_shop_killed_before_any_call_of_the_host_leaves_the_others_working() {
    assert_eq!(killed(Operation::DisconnectShop).await, [""; 0]);
}

#[tokio::test]
async fn a_webhook_killed_before_any_call_of_the_host_is_recorded_by_its_next_delivery() {
    assert_eq!(killed(Operation::Webhook6).await, [""; 0]);
    assert_eq!(killed(Operation::Webhook7).await, [""; 0]);
}

/// A number names the same point in every run.
#[tokio::test]
async fn the_same_call_crosses_equally_often() {
    let mut events = BTreeMap::<_, Vec<_>>::new();
    for operation in Operation::ALL {
        for policy in operation.policies() {
            let trial = Trial::measure(operation, *policy).await.unwrap();
            events.entry(operation.to_string()).or_default().push(trial.points().count());
        }
    }
    assert!(events.values().all(|counts| counts.iter().all(|count| *count == counts[0])), "{events:?}");
}
