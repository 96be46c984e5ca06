//! An answer that comes after its claim has lapsed, when another host has presented the same refresh token: the pair it
//! brings is not lost, whatever TikTok makes of a token that is presented twice.

use std::sync::Arc;

use fake_tiktok_shop::ReplacedRefreshToken;
use tiktok_shop_host::CallError;
use tiktok_shop_host::clock::Clock as _;
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connection::{Connection, ConnectionStatus};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_tests::{DAY, HoldsBackThePair, Stage, TOKEN_REFRESH, customer_id, refusal, tenant};

/// Where the time goes in which the claim lapses.
#[derive(Clone, Copy, Debug)]
enum Late {
    /// The answer is on its way: the host that waits for it has not begun to save.
    Answer,
    /// The host sleeps while it saves.
    Save,
}

/// The code of an error, or "ok".
fn code(outcome: Result<Connection, CallError>) -> String {
    match outcome {
        Ok(connection) => {
            assert_eq!((connection.status, connection.last_failure), (ConnectionStatus::Active, None));
            "ok".to_owned()
        }
        refused => refusal(refused).1,
    }
}

#[tokio::test]
async fn a_pair_that_comes_after_its_claim_has_lapsed_is_kept() {
    const UNKNOWN: &str = "refresh-outcome-unknown";
    // What the second host is told, then the first, then a third: it renews with what is stored.
    let table = [
        (ReplacedRefreshToken::Refused, [UNKNOWN, "ok", "ok"]),
        (ReplacedRefreshToken::HonouredForSeconds(600), ["ok"; 3]),
        (ReplacedRefreshToken::AnsweredAgainForSeconds(600), ["ok"; 3]),
        (ReplacedRefreshToken::Honoured, ["ok"; 3]),
        // TikTok ends everything: there is nothing to keep, and all are told.
        (ReplacedRefreshToken::RevokesFamily, [UNKNOWN, "token-refused", "authorization-revoked"]),
    ];
    for (policy, [second, first, third]) in table {
        for late in [Late::Answer, Late::Save] {
            let stage = Stage::new();
            stage.fake.update_switches(|switches| switches.replaced_refresh_token = policy);
            let key = stage.connect("alice", "one-shop").await.unwrap().key;
            stage.advance(8 * DAY);
            let storage = Arc::new(HoldsBackThePair::default());
            stage.intercept(Arc::clone(&storage) as Arc<_>);

            let clock = match late {
                // The guest begins to save when it has the answer; for its clock that took no time.
                Late::Answer => Arc::new(ManualClock::at(stage.clock.wall())),
                Late::Save => Arc::clone(&stage.clock),
            };
            let slow = stage.host_builder().clock(clock).build().unwrap();
            let alice = customer_id("alice");
            let waiting =
                tokio::spawn(async move { slow.refresh(&tenant(0), &alice, None, RefreshMode::WhenDue).await });
            storage.held().await;
            stage.advance(121);
            let case = format!("{policy:?} {late:?}");
            assert_eq!(code(stage.refresh("alice", RefreshMode::WhenDue).await), second, "{case}: the second");
            storage.release();
            assert_eq!(code(waiting.await.unwrap()), first, "{case}: the first");
            assert_eq!(stage.requests_to(TOKEN_REFRESH), 2, "{case}");

            let record = String::from_utf8(stage.token_record(&key).await.unwrap()).unwrap();
            let issued = stage.fake.issued(&stage.fake.apps()[0].service_id, "one-shop").unwrap();
            for honoured in issued.refresh_tokens.iter().filter(|issued| issued.honoured) {
                assert!(record.contains(&honoured.token), "{case}: a pair is lost");
            }
            stage.advance(3600);
            let other = stage.host_builder().build().unwrap();
            let outcome = other.refresh(&tenant(0), &key.customer, None, RefreshMode::Forced).await;
            assert_eq!(code(outcome), third, "{case}: the third");
        }
    }
}
