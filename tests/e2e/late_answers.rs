//! Tests of refreshes whose new tokens are saved too late. Before a host sends a refresh token, it stores a claim: a
//! note that only this host sends the token now. In these tests, the claim has lapsed before the new tokens are saved,
//! and another host has sent the same refresh token. The late tokens are not lost, no matter how TikTok treats a
//! refresh token that it gets twice.

use std::sync::Arc;

use fake_tiktok_shop::ReplacedRefreshToken;
use tiktok_shop_host::CallError;
use tiktok_shop_host::clock::{Clock as _, ManualClock};
use tiktok_shop_host::connection::{Connection, ConnectionStatus};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_tests::{DAY, HoldsBackThePair, Stage, TOKEN_REFRESH, customer_id, refusal, tenant};

/// Where the first host waits while its claim lapses.
#[derive(Clone, Copy, Debug)]
enum Late {
    /// The host waits for TikTok's answer.
    Answer,
    /// The host's machine sleeps while it saves the new tokens.
    Save,
}

/// Returns the code of an error, or `ok` for a connection that is active and shows no failure.
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
async fn new_tokens_that_arrive_after_the_claim_has_lapsed_are_kept() {
    const UNKNOWN: &str = "refresh-outcome-unknown";
    // Each tuple holds TikTok's policy, and the results of the second host, of the first host, and of a third host that
    // later renews with the stored record.
    let table = [
        (ReplacedRefreshToken::Refused, [UNKNOWN, "ok", "ok"]),
        (ReplacedRefreshToken::HonouredForSeconds(600), ["ok"; 3]),
        (ReplacedRefreshToken::AnsweredAgainForSeconds(600), ["ok"; 3]),
        (ReplacedRefreshToken::Honoured, ["ok"; 3]),
        // TikTok revokes all tokens of the grant, so there is no token left to keep. Every host gets an error.
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
                // The guest's clock stands still while the host waits, so the guest believes that the answer took no
                // time.
                Late::Answer => Arc::new(ManualClock::at(stage.clock.wall())),
                Late::Save => Arc::clone(&stage.clock),
            };
            let slow = stage.host_builder().clock(clock).build().unwrap();
            let alice = customer_id("alice");
            let waiting =
                tokio::spawn(async move { slow.refresh(&tenant(0), &alice, None, RefreshMode::WhenDue).await });
            storage.held().await;
            // The claim lasts 120 s.
            stage.advance(121);
            let case = format!("{policy:?} {late:?}");
            assert_eq!(code(stage.refresh("alice", RefreshMode::WhenDue).await), second, "{case}: the second");
            storage.release();
            assert_eq!(code(waiting.await.unwrap().map(|refreshed| refreshed.connection)), first, "{case}: the first");
            assert_eq!(stage.requests_to(TOKEN_REFRESH), 2, "{case}");

            let record = String::from_utf8(stage.token_record(&key).await.unwrap()).unwrap();
            for honoured in stage.issued("one-shop").refresh_tokens.iter().filter(|issued| issued.honoured) {
                assert!(record.contains(&honoured.token), "{case}: a token that TikTok accepts is lost");
            }
            stage.advance(3600);
            let other = stage.another_host();
            let outcome = other.refresh(&tenant(0), &key.customer, None, RefreshMode::Forced).await;
            assert_eq!(code(outcome.map(|refreshed| refreshed.connection)), third, "{case}: the third");
        }
    }
}
