//! Tests of replayed refresh tokens under each policy of the token host, and of the reports about issued tokens.

use std::time::Duration;

use fake_tiktok_shop::{ControlError, Fault, RefreshTokenField, RefreshTokenOnRefresh, ReplacedRefreshToken};

use crate::client::World;

const OK: (u16, i64) = (200, 0);
const NO_AUTHORIZATION: (u16, i64) = (200, 36_004_005);
const INVALID_ACCESS_TOKEN: (u16, i64) = (401, 105_001);

fn world(replaced: ReplacedRefreshToken) -> World {
    World::with_switches(|switches| switches.replaced_refresh_token = replaced)
}

#[tokio::test]
async fn a_reusable_refresh_token_works_many_times() {
    for (rotation, replaced) in [
        (RefreshTokenOnRefresh::Unchanged, ReplacedRefreshToken::RevokesFamily),
        (RefreshTokenOnRefresh::New, ReplacedRefreshToken::Honoured),
    ] {
        let world = World::with_switches(|switches| {
            switches.refresh_token_on_refresh = rotation;
            switches.replaced_refresh_token = replaced;
        });
        let (mut last, refresh_token) = world.connect("one-shop").await;
        for _ in 0..3 {
            let access_token = world.refresh(&refresh_token).await.text("access_token");
            assert_ne!(access_token, last);
            assert!(world.control.honours(&refresh_token));
            last = access_token;
        }
    }
}

#[tokio::test]
async fn within_the_grace_period_every_replay_gets_a_new_pair() {
    let world = world(ReplacedRefreshToken::HonouredForSeconds(60));
    let (_, replaced) = world.connect("one-shop").await;
    let first = world.refresh(&replaced).await.data();
    world.control.advance(Duration::from_secs(59));
    let second = world.refresh(&replaced).await.data();
    for token in ["access_token", "refresh_token"] {
        assert_ne!(first[token], second[token]);
    }
    assert!(world.control.honours(&replaced));
    world.control.advance(Duration::from_secs(1));
    assert!(!world.control.honours(&replaced));
    assert_eq!(world.refresh(&replaced).await.verdict(), NO_AUTHORIZATION);
    // Both new pairs work.
    for pair in [first, second] {
        assert_eq!(world.list_shops(pair["access_token"].as_str().unwrap()).await.verdict(), OK);
        assert_eq!(world.refresh(pair["refresh_token"].as_str().unwrap()).await.verdict(), OK);
    }
}

#[tokio::test]
async fn within_the_grace_period_a_replay_can_get_the_first_pair_again() {
    let world = world(ReplacedRefreshToken::AnsweredAgainForSeconds(60));
    let (_, replaced) = world.connect("one-shop").await;
    let first = world.refresh(&replaced).await.data();
    world.control.advance(Duration::from_secs(59));
    assert_eq!(world.refresh(&replaced).await.data(), first);
    let issued = world.control.issued(&world.app.service_id, "one-shop").unwrap();
    assert_eq!((issued.access_tokens.len(), issued.refresh_tokens.len()), (2, 2), "a replay issues nothing");

    // The grace period starts at the first refresh, not at the last replay.
    assert!(world.control.honours(&replaced));
    world.control.advance(Duration::from_secs(1));
    assert!(!world.control.honours(&replaced));
    assert_eq!(world.refresh(&replaced).await.verdict(), NO_AUTHORIZATION);
    assert_eq!(world.refresh(first["refresh_token"].as_str().unwrap()).await.verdict(), OK);
}

#[tokio::test]
async fn a_strict_host_refuses_a_replay_and_keeps_the_new_pair_valid() {
    let world = world(ReplacedRefreshToken::Refused);
    let (_, replaced) = world.connect("one-shop").await;
    let pair = world.refresh(&replaced).await.data();
    assert!(!world.control.honours(&replaced));
    assert_eq!(world.refresh(&replaced).await.verdict(), NO_AUTHORIZATION);
    assert_eq!(world.list_shops(pair["access_token"].as_str().unwrap()).await.verdict(), OK);
    assert_eq!(world.refresh(pair["refresh_token"].as_str().unwrap()).await.verdict(), OK);
}

#[tokio::test]
async fn a_replay_can_revoke_the_tokens_of_its_consent_and_no_others() {
    let world = world(ReplacedRefreshToken::RevokesFamily);
    let (other_access, other_refresh) = world.connect("one-shop").await;
    let (first_access, first) = world.connect("one-shop").await;
    let second = world.refresh(&first).await.data();
    let (second_access, second) = (second["access_token"].as_str().unwrap(), second["refresh_token"].as_str().unwrap());
    assert_eq!(world.list_shops(second_access).await.verdict(), OK);
    assert!(!world.control.honours(&first) && world.control.honours(second));

    // A request by another app does not count as a replay.
    let app = world.app.clone();
    let mut world = world.with_second_app();
    assert_eq!(world.refresh(&first).await.verdict(), NO_AUTHORIZATION);
    world.app = app;
    assert!(world.control.honours(second));

    assert_eq!(world.refresh(&first).await.verdict(), NO_AUTHORIZATION);
    assert!(!world.control.honours(second));
    assert_eq!(world.refresh(second).await.verdict(), NO_AUTHORIZATION);
    for access_token in [first_access.as_str(), second_access] {
        assert_eq!(world.list_shops(access_token).await.verdict(), INVALID_ACCESS_TOKEN);
    }

    // Tokens of an earlier and of a later consent still work.
    assert_eq!(world.list_shops(&other_access).await.verdict(), OK);
    assert_eq!(world.refresh(&other_refresh).await.verdict(), OK);
    let (access_token, refresh_token) = world.connect("one-shop").await;
    assert_eq!(world.list_shops(&access_token).await.verdict(), OK);
    assert!(world.control.honours(&refresh_token));

    // Revoked tokens stay revoked when the switch changes.
    world.control.update_switches(|switches| switches.replaced_refresh_token = ReplacedRefreshToken::Honoured);
    assert!(!world.control.honours(&first) && !world.control.honours(second));
}

#[tokio::test]
async fn a_token_is_honoured_until_its_authorization_ends_or_is_revoked() {
    let world = World::new();
    assert!(!world.control.honours("ROW_unknown"));
    let (access_token, refresh_token) = world.connect("one-shop").await;
    assert!(world.control.honours(&refresh_token));
    assert!(!world.control.honours(&access_token));
    world.control.end_authorization("one-shop").unwrap();
    assert!(!world.control.honours(&refresh_token));
    let (_, refresh_token) = world.connect("one-shop").await;
    world.control.revoke("one-shop").unwrap();
    assert!(!world.control.honours(&refresh_token));
}

#[tokio::test]
async fn the_log_shows_the_issued_tokens_even_if_the_answer_is_lost() {
    let world = world(ReplacedRefreshToken::AnsweredAgainForSeconds(60));
    let (access_token, first) = world.connect("one-shop").await;
    let record = world.control.requests().pop().unwrap();
    let issued = record.issued.clone().unwrap();
    assert_eq!((&issued.access_token, &issued.refresh_token), (&access_token, &first));
    let debug = format!("{record:?} {issued:?}");
    assert!(!debug.contains(&access_token) && !debug.contains(&first), "{debug}");

    let lost = "reply lost: TikTok acted, HTTP 502";
    world.control.fault_next("/api/v2/token/refresh", lost, Fault::named(lost).unwrap());
    assert_eq!(world.refresh(&first).await.status, 502);
    let issued = world.control.requests().pop().unwrap().issued.unwrap();
    assert!(world.control.honours(&issued.refresh_token));
    assert_eq!(world.list_shops(&issued.access_token).await.verdict(), OK);

    assert_eq!(world.refresh(&first).await.text("refresh_token"), issued.refresh_token);
    assert_eq!(world.control.requests().pop().unwrap().issued, Some(issued));

    assert_eq!(world.refresh("ROW_unknown").await.verdict(), NO_AUTHORIZATION);
    assert_eq!(world.control.requests().pop().unwrap().issued, None);
    assert_eq!(world.list_shops(&access_token).await.verdict(), OK);
    assert_eq!(world.control.requests().pop().unwrap().issued, None);

    let shown = world.local("GET", "/_control/requests", "").await;
    assert_eq!(shown.json()[0]["issued"]["refresh_token"], "[masked]");
    assert!(!shown.body.contains(&access_token) && !shown.body.contains(&first), "{}", shown.body);
}

#[tokio::test]
async fn the_log_shows_a_refresh_token_that_the_answer_leaves_out() {
    let world = World::with_switches(|switches| switches.refresh_token_field = RefreshTokenField::Missing);
    let (_, refresh_token) = world.connect("one-shop").await;
    let data = world.refresh(&refresh_token).await.data();
    let issued = world.control.requests().pop().unwrap().issued.unwrap();
    assert_eq!(data["access_token"], issued.access_token);
    assert_eq!(issued.refresh_token, refresh_token);
}

#[tokio::test]
async fn revoking_one_refresh_token_leaves_all_others_valid() {
    let world = World::new();
    let (_, earlier) = world.connect("one-shop").await;
    let (access_token, refresh_token) = world.connect("one-shop").await;
    world.control.revoke_refresh_token(&refresh_token).unwrap();
    assert!(!world.control.honours(&refresh_token));
    assert_eq!(world.refresh(&refresh_token).await.verdict(), NO_AUTHORIZATION);
    assert_eq!(world.list_shops(&access_token).await.verdict(), OK);
    assert_eq!(world.refresh(&earlier).await.verdict(), OK);
    let unknown = world.control.revoke_refresh_token("ROW_never-issued");
    assert_eq!(unknown, Err(ControlError::UnknownRefreshToken));
}
