//! A short form of `cargo xtask kill-points`. These tests kill every operation before each host function that it calls,
//! and at its end. The fake TikTok Shop refuses refresh tokens that it has replaced.

use std::collections::BTreeMap;

use tiktok_shop_tests::kill_points::{Operation, Policy, Trial};

/// Kills an operation before each host function that it calls, and at its end. Returns the causes for which a
/// connection was lost.
async fn losses(operation: Operation) -> Vec<&'static str> {
    let trial = Trial::measure(operation, Policy::STRICT).await.unwrap();
    let tally = trial.kill_at(trial.points_before(), || {}).await;
    assert!(tally.illegal.is_empty(), "{} illegal:\n{}", tally.illegal.len(), tally.illegal.join("\n"));
    assert!(tally.survived > 0);
    tally.lost.into_keys().collect()
}

#[tokio::test]
async fn a_killed_connect_leaves_a_working_connection_or_none() {
    assert_eq!(losses(Operation::Connect).await, ["answer lost after TikTok had spent the code"]);
}

#[tokio::test]
async fn a_killed_reconnect_leaves_a_working_connection() {
    assert_eq!(losses(Operation::Reconnect).await, [""; 0]);
}

#[tokio::test]
async fn a_killed_confirmation_of_an_install_is_finished_by_the_next_confirmation() {
    assert_eq!(losses(Operation::ConfirmInstall).await, [""; 0]);
}

#[tokio::test]
async fn a_killed_import_loses_the_grant_only_if_tiktoks_answer_is_lost() {
    for operation in [Operation::Import, Operation::ImportUnnamed] {
        assert_eq!(losses(operation).await, ["answer lost after TikTok had replaced the token"], "{operation}");
    }
}

#[tokio::test]
async fn a_killed_refresh_loses_the_connection_only_if_tiktoks_answer_is_lost() {
    assert_eq!(losses(Operation::Refresh).await, ["answer lost after TikTok had replaced the token"]);
}

#[tokio::test]
async fn a_killed_refresh_with_a_fallback_loses_the_connection_only_if_tiktoks_answer_is_lost() {
    assert_eq!(losses(Operation::Promotion).await, ["answer lost after TikTok had replaced the token"]);
}

#[tokio::test]
async fn a_killed_choice_of_shops_leaves_the_old_choice_or_the_new_one() {
    assert_eq!(losses(Operation::LinkShops).await, [""; 0]);
}

#[tokio::test]
async fn a_killed_disconnect_is_finished_by_the_next_disconnect() {
    assert_eq!(losses(Operation::Disconnect).await, [""; 0]);
}

#[tokio::test]
async fn a_killed_disconnect_of_one_shop_leaves_the_other_shops_working() {
    assert_eq!(losses(Operation::DisconnectShop).await, [""; 0]);
}

#[tokio::test]
async fn a_killed_webhook_is_recorded_at_its_next_delivery() {
    assert_eq!(losses(Operation::Webhook6).await, [""; 0]);
    assert_eq!(losses(Operation::Webhook7).await, [""; 0]);
}

/// A kill point is identified by its number, so the number must mean the same point in every run.
#[tokio::test]
async fn the_same_call_has_the_same_number_of_kill_points() {
    let mut events = BTreeMap::<_, Vec<_>>::new();
    for operation in Operation::ALL {
        for policy in operation.policies() {
            let trial = Trial::measure(operation, *policy).await.unwrap();
            events.entry(operation.to_string()).or_default().push(trial.points().count());
        }
    }
    assert!(events.values().all(|counts| counts.iter().all(|count| *count == counts[0])), "{events:?}");
}
