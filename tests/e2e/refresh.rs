//! Tests of the export `refresh`, with every kind of answer from TikTok. The export renews a due token once, and it
//! reads the shops.

use std::collections::BTreeSet;
use std::time::Duration;

use fake_tiktok_shop::{
    Decision, EarlierToken, Ending, FailureStatus, Fault, InvalidAccessToken, Piece, RefreshTokenField,
    RefreshTokenOnRefresh, ReplacedRefreshToken, WrongSecret,
};
use tiktok_shop_host::connection::{ConnectionStatus, ReauthorizationReason, ShopPolicy, ShopStanding, UnixSeconds};
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_tests::{
    BEGIN, DAY, ORDERS, SHOPS, Stage, TOKEN_REFRESH, app_credentials, customer_id, order_search, refusal, tenant,
};

#[tokio::test]
async fn a_fresh_token_is_kept_and_the_shops_are_read_again() {
    let stage = Stage::new();
    stage.connect("alice", "several-regions").await.unwrap();
    stage.advance(5 * DAY);
    stage.fake.remove_shop("several-regions", "7490000000000000002").unwrap();
    let connection = stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    assert_eq!((stage.requests_to(TOKEN_REFRESH), stage.requests_to(SHOPS)), (0, 2));
    assert_eq!(connection.shops_synced_at, Some(UnixSeconds(BEGIN + 5 * DAY)));
    let standing: Vec<_> = connection.shops.iter().map(|shop| (shop.region.as_str(), shop.standing)).collect();
    assert_eq!(
        standing,
        [("FR", ShopStanding::Granted), ("IE", ShopStanding::Granted), ("DE", ShopStanding::NoLongerGranted)]
    );
}

#[tokio::test]
async fn a_due_token_is_renewed_once_and_is_fresh_at_the_next_call() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(7 * DAY - 3600);
    let connection = stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    assert_eq!(connection.access_expires_at, Some(UnixSeconds(BEGIN + 14 * DAY - 3600)));
    assert_eq!(connection.refreshed_at, UnixSeconds(BEGIN + 7 * DAY - 3600));
    stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 1);
    let refresh = stage.fake.requests().into_iter().find(|request| request.path == TOKEN_REFRESH).unwrap();
    assert_eq!((refresh.method.as_str(), refresh.parameter("grant_type")), ("GET", Some("refresh_token")));
}

#[tokio::test]
async fn a_connection_works_for_months_whatever_tiktok_does_with_earlier_tokens() {
    use ReplacedRefreshToken::{AnsweredAgainForSeconds, Honoured, HonouredForSeconds, Refused, RevokesFamily};
    // The number of renewals. It is greater than the number of fallbacks (earlier refresh tokens) that a record keeps.
    const RENEWALS: usize = 8;
    for rotate in [RefreshTokenOnRefresh::New, RefreshTokenOnRefresh::Unchanged] {
        for replaced in [Refused, HonouredForSeconds(60), AnsweredAgainForSeconds(60), Honoured, RevokesFamily] {
            for earlier in [EarlierToken::Honoured, EarlierToken::Refused] {
                let stage = Stage::new();
                stage.fake.update_switches(|switches| {
                    switches.refresh_token_on_refresh = rotate;
                    switches.replaced_refresh_token = replaced;
                    switches.access_token_after_refresh = earlier;
                });
                stage.connect("alice", "one-shop").await.unwrap();
                for renewals in 1..=RENEWALS {
                    stage.advance(6 * DAY + 3 * 3600);
                    let connection = stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
                    assert_eq!((connection.status, connection.last_failure), (ConnectionStatus::Active, None));
                    assert_eq!(stage.requests_to(TOKEN_REFRESH), renewals, "{rotate:?} {replaced:?} {earlier:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn if_an_answer_has_no_refresh_token_the_earlier_one_stays_and_works_on_another_host() {
    for field in [RefreshTokenField::Missing, RefreshTokenField::Empty, RefreshTokenField::Blank] {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| {
            switches.refresh_token_field = field;
            switches.replaced_refresh_token = ReplacedRefreshToken::RevokesFamily;
        });
        stage.connect("alice", "one-shop").await.unwrap();
        let other = stage.another_host();
        for host in [&stage.host, &other, &stage.host, &other] {
            stage.advance(6 * DAY + 3 * 3600);
            let refreshed = host.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::WhenDue).await.unwrap();
            let connection = refreshed.connection;
            assert_eq!((connection.status, connection.last_failure), (ConnectionStatus::Active, None), "{field:?}");
            assert_eq!(connection.access_expires_at, Some(UnixSeconds(stage.fake.now() + 7 * DAY)), "{field:?}");
        }
        let requests = stage.fake.requests();
        let spent = requests.iter().filter_map(|request| request.parameter("refresh_token"));
        let (times, tokens) = (spent.clone().count(), spent.collect::<BTreeSet<_>>().len());
        assert_eq!((times, tokens), (4, 1), "{field:?}");

        // When an answer contains a new refresh token, the host uses the new token.
        stage.fake.update_switches(|switches| switches.refresh_token_field = RefreshTokenField::Present);
        for host in [&stage.host, &other] {
            let refreshed = host.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::Forced).await.unwrap();
            assert_eq!(refreshed.connection.status, ConnectionStatus::Active, "{field:?}");
        }
    }
}

#[tokio::test]
async fn a_forced_refresh_renews_a_fresh_token_and_an_unforced_refresh_does_not() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 0);
    stage.refresh("alice", RefreshMode::Forced).await.unwrap();
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 1);
}

#[tokio::test]
async fn an_ended_authorization_requires_a_new_consent_after_which_the_connection_works_again() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.fake.end_authorization("one-shop").unwrap();
    stage.advance(8 * DAY);
    let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
    assert_eq!(refusal(outcome), ("reauthorize", "authorization-expired".to_owned()));
    let row = stage.connection("alice").await;
    assert_eq!(row.status, ConnectionStatus::ReauthorizationRequired(ReauthorizationReason::AuthorizationExpired));
    assert_eq!(row.last_failure.unwrap().failure.code, "authorization-expired");

    // After this error, `refresh` sends no request for the connection unless it is forced.
    let seen = stage.fake.requests().len();
    for _ in 0..3 {
        let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
        assert_eq!(refusal(outcome), ("reauthorize", "authorization-expired".to_owned()));
    }
    assert_eq!(stage.fake.requests().len(), seen);

    let revived = stage.connect("alice", "one-shop").await.unwrap();
    assert_eq!((revived.status, revived.last_failure), (ConnectionStatus::Active, None));
    assert_eq!(stage.refresh("alice", RefreshMode::Forced).await.unwrap().status, ConnectionStatus::Active);
}

#[tokio::test]
async fn the_error_comes_from_the_newest_refresh_token_and_not_from_the_fallbacks() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    for _ in 0..4 {
        stage.advance(7 * DAY);
        stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    }
    stage.fake.end_authorization("one-shop").unwrap();
    stage.clear_requests();
    let outcome = stage.refresh("alice", RefreshMode::Forced).await;
    assert_eq!(refusal(outcome), ("reauthorize", "authorization-expired".to_owned()));
    let codes: Vec<_> = stage.fake.requests().iter().map(|request| request.code).collect();
    let replaced = Some(36_004_005);
    assert_eq!(codes, [Some(36_004_001), replaced, replaced, replaced], "the current token, then three fallbacks");
}

#[tokio::test]
async fn a_forced_refresh_repairs_a_connection_that_ended_because_of_a_mistyped_secret() {
    for fallbacks in [0, 3] {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| switches.wrong_secret = WrongSecret::BadGrant);
        stage.connect("alice", "one-shop").await.unwrap();
        for _ in 0..fallbacks {
            stage.advance(7 * DAY);
            stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
        }
        stage.advance(7 * DAY);
        stage.clear_requests();
        let mut mistyped = app_credentials(&stage.fake.apps()[0]);
        mistyped.app_secret = "0000000000000000000000000000000000000000".into();
        let host = stage.host_with(StaticCredentials::new().with(tenant(0), mistyped));
        let outcome = host.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::WhenDue).await;
        assert_eq!(refusal(outcome), ("reauthorize", "authorization-revoked".to_owned()));
        let refused = stage.fake.requests();
        let codes: Vec<_> = refused.iter().map(|request| request.code).collect();
        assert_eq!(codes, vec![Some(36_004_005); 1 + fallbacks], "the current token, then the fallbacks");

        // With the right secret, an unforced refresh still sends nothing, because the connection counts as ended.
        let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
        assert_eq!(refusal(outcome), ("reauthorize", "authorization-revoked".to_owned()));
        assert_eq!(stage.fake.requests().len(), refused.len());

        stage.clear_requests();
        let connection = stage.refresh("alice", RefreshMode::Forced).await.unwrap();
        assert_eq!((connection.status, connection.last_failure), (ConnectionStatus::Active, None));
        let revived = stage.fake.requests().remove(0);
        assert_eq!(
            (revived.path.as_str(), revived.code),
            (TOKEN_REFRESH, Some(0)),
            "{fallbacks}: the first request succeeds"
        );
        assert_eq!(revived.parameter("refresh_token"), refused[0].parameter("refresh_token"));
    }
}

#[tokio::test]
async fn a_refresh_notices_a_removed_app_when_it_reads_the_shops() {
    for status in [FailureStatus::Unauthorized, FailureStatus::Ok] {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| switches.status_105001 = status);
        stage.connect("alice", "one-shop").await.unwrap();
        stage.advance(DAY);
        stage.fake.revoke("one-shop").unwrap();
        let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
        assert_eq!(refusal(outcome), ("reauthorize", "authorization-revoked".to_owned()), "{status:?}");
        assert_eq!(stage.requests_to(TOKEN_REFRESH), 1, "one refresh request confirms the removal");
    }
}

#[tokio::test]
async fn a_host_with_a_wrong_clock_reads_the_shops_with_tiktoks_time_and_sends_no_refresh_token() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    for wrong in [BEGIN - 301, BEGIN + 31] {
        stage.clock.set_wall(Duration::from_secs(wrong));
        stage.clear_requests();
        assert_eq!(stage.refresh("alice", RefreshMode::WhenDue).await.unwrap().last_failure, None, "{wrong}");
        assert_eq!((stage.requests_to(TOKEN_REFRESH), stage.requests_to(SHOPS)), (0, 2));
    }
    stage.clear_requests();
    stage.clock.set_wall(Duration::from_secs(BEGIN + 30));
    assert_eq!(stage.refresh("alice", RefreshMode::WhenDue).await.unwrap().last_failure, None);
    assert_eq!(stage.requests_to(SHOPS), 1, "the clock is within TikTok's tolerance");
}

#[tokio::test]
async fn an_access_token_that_tiktok_reports_as_expired_is_renewed_once() {
    for status in [FailureStatus::Unauthorized, FailureStatus::Ok] {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| switches.status_105002 = status);
        stage.connect("alice", "one-shop").await.unwrap();
        stage.advance(6 * DAY);
        stage.refresh("alice", RefreshMode::Forced).await.unwrap();
        let refreshes = stage.requests_to(TOKEN_REFRESH);
        // TikTok ends the token earlier than its answer said, so the host still believes that the token is fresh.
        stage.fake.end_access_tokens("one-shop").unwrap();
        stage.advance(3600);
        let connection = stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
        assert_eq!(connection.status, ConnectionStatus::Active);
        assert_eq!(stage.requests_to(TOKEN_REFRESH), refreshes + 1, "{status:?}");
    }
}

#[tokio::test]
async fn a_connection_works_after_a_second_consent_that_ends_the_first_tokens() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| {
        switches.access_token_after_consent = EarlierToken::Refused;
        switches.refresh_token_after_consent = EarlierToken::Refused;
    });
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(DAY);
    stage.connect("alice", "one-shop").await.unwrap();
    let connection = stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    assert_eq!(connection.status, ConnectionStatus::Active);
    assert_eq!(stage.refresh("alice", RefreshMode::Forced).await.unwrap().status, ConnectionStatus::Active);
}

#[tokio::test]
async fn a_consent_for_another_customer_that_ends_the_access_token_causes_one_refresh() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.access_token_after_consent = EarlierToken::Refused);
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(DAY);
    stage.connect("bob", "one-shop").await.unwrap();
    let connection = stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    assert_eq!(connection.status, ConnectionStatus::Active);
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 1, "TikTok's code 105001 causes one refresh");
}

#[tokio::test]
async fn an_app_that_the_tenant_no_longer_has_sends_nothing() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let seen = stage.fake.requests().len();
    let other = app_credentials(&stage.fake.apps()[1]);
    let host = stage.host_with(StaticCredentials::new().with(tenant(0), other));
    stage.advance(7 * DAY);
    let outcome = host.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::WhenDue).await;
    assert_eq!(refusal(outcome), ("misconfigured", "app-unknown".to_owned()));
    assert_eq!(stage.fake.requests().len(), seen);
    assert_eq!(stage.refresh("alice", RefreshMode::WhenDue).await.unwrap().status, ConnectionStatus::Active);
}

#[tokio::test]
async fn a_refresh_without_a_connection_or_with_several_and_no_account_is_invalid() {
    let stage = Stage::new();
    let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
    assert_eq!(refusal(outcome), ("invalid-request", "not-connected".to_owned()));

    let first = stage.connect("alice", "one-shop").await.unwrap();
    stage.connect("alice", "several-regions").await.unwrap();
    let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
    assert_eq!(refusal(outcome), ("invalid-request", "account-required".to_owned()));
    let named =
        stage.host.refresh(&tenant(0), &customer_id("alice"), Some(&first.key.account), RefreshMode::WhenDue).await;
    assert_eq!(named.unwrap().connection.key, first.key);
}

#[tokio::test]
async fn a_refresh_keeps_the_shop_policy() {
    let stage = Stage::new();
    let query = stage.callback("several-regions", Decision::Allow);
    stage.connect_with("alice", &query, ShopPolicy::ExactlyOne).await.unwrap();
    stage.advance(7 * DAY);
    let connection = stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    assert_eq!(connection.shop_policy, ShopPolicy::ExactlyOne);
    assert!(connection.shops.iter().all(|shop| !shop.linked));
}

/// Returns an answer of TikTok whose list of shops has these entries.
fn list_of(entries: &str) -> Fault {
    let body = format!(r#"{{"code":0,"message":"success","request_id":"r","data":{{"shops":[{entries}]}}}}"#);
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    Fault { acts: true, sends: vec![Piece::Text(head + &body)], then: Ending::Close }
}

#[tokio::test]
async fn a_list_of_58000_shops_is_refused_and_the_known_shops_are_kept() {
    let stage = Stage::new();
    let known = stage.connect("alice", "one-shop").await.unwrap().shops;
    let entries: Vec<_> = (0..58_000).map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
    let long = list_of(&entries.join(","));
    stage.fake.fault_next(SHOPS, "58000 shops", long.clone());
    assert_eq!(refusal(stage.refresh("alice", RefreshMode::WhenDue).await), ("upstream", "too-many-shops".to_owned()));
    let connection = stage.connection("alice").await;
    assert_eq!((connection.shops, connection.status), (known, ConnectionStatus::Active));
    assert_eq!(connection.last_failure.unwrap().failure.code, "too-many-shops");

    // A new seller is connected all the same, and gets the shops with the next list that TikTok sends.
    stage.fake.fault_next(SHOPS, "58000 shops", long);
    let connection = stage.connect("bob", "one-shop").await.unwrap();
    assert_eq!((connection.shops.len(), connection.shops_synced_at), (0, None));
    assert_eq!(connection.last_failure.unwrap().failure.code, "too-many-shops");
    assert_eq!(stage.refresh("bob", RefreshMode::WhenDue).await.unwrap().shops.len(), 1);
}

#[tokio::test]
async fn a_new_seller_gets_the_shops_beside_an_entry_that_cannot_be_read() {
    let stage = Stage::new();
    let good =
        r#"{"id":"7490000000000000001","name":"A","region":"GB","seller_type":"LOCAL","cipher":"ROW_x","code":"GB1"}"#;
    stage.fake.fault_next(SHOPS, "a bad entry", list_of(&format!(r#"{good},{{"id":"one","name":"B"}}"#)));
    let connection = stage.connect("alice", "one-shop").await.unwrap();
    let shops: Vec<_> = connection.shops.iter().map(|shop| (shop.id.as_str(), shop.linked)).collect();
    assert_eq!(shops, [("7490000000000000001", true)]);
    let failure = connection.last_failure.unwrap().failure;
    assert_eq!(failure.code, "shop-entry-unreadable");
    assert!(failure.detail.contains("entry 2 has no readable id"), "{}", failure.detail);
    assert_eq!(stage.refresh("alice", RefreshMode::WhenDue).await.unwrap().last_failure, None);
}

/// TikTok answers an invalid access token in one of two forms.
#[tokio::test]
async fn an_invalid_access_token_is_renewed_in_whichever_form_tiktok_says_so() {
    for form in [InvalidAccessToken::Code105001, InvalidAccessToken::Code36009004] {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| {
            switches.invalid_access_token = form;
            switches.access_token_after_consent = EarlierToken::Refused;
        });
        let shop = stage.connect("alice", "one-shop").await.unwrap().shops.remove(0).id;
        // Another customer connects the same seller, so TikTok refuses alice's access token.
        stage.connect("bob", "one-shop").await.unwrap();
        stage.advance(700);
        stage.clear_requests();
        let response = stage.host.call(&tenant(0), &customer_id("alice"), order_search(&shop)).await.unwrap();
        assert!(response.is_success(), "{form:?}");
        assert_eq!((stage.requests_to(TOKEN_REFRESH), stage.requests_to(ORDERS)), (1, 2), "{form:?}");

        // The seller revokes the authorization. Now only a new consent helps, and the error says so.
        stage.fake.revoke("one-shop").unwrap();
        stage.advance(700);
        let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
        assert_eq!(refusal(outcome), ("reauthorize", "authorization-revoked".to_owned()), "{form:?}");
    }
}
