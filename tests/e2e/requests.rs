//! Tests of the requests as TikTok's network hosts receive them.

use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_tests::{SHOPS, Stage, TOKEN_GET, TOKEN_REFRESH};

#[tokio::test]
async fn token_requests_and_shop_lists_are_get_requests_without_content_and_ask_for_no_coding() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.refresh("alice", RefreshMode::Forced).await.unwrap();

    let token_headers = ["accept-encoding: identity"].as_slice();
    let api_headers = ["accept-encoding: identity", "x-tts-access-token: [a token]"].as_slice();
    let (token_host, api_host) = ("auth.tiktok-shops.com", "open-api.tiktokglobalshop.com");
    let token_names = |credential| ["app_key", "app_secret", credential, "grant_type"].to_vec();
    let shops = (api_host, SHOPS, vec!["app_key", "timestamp", "sign"], api_headers);
    let expected = [
        (token_host, TOKEN_GET, token_names("auth_code"), token_headers),
        shops.clone(),
        (token_host, TOKEN_REFRESH, token_names("refresh_token"), token_headers),
        shops,
    ];
    let requests = stage.fake.requests();
    assert_eq!(requests.len(), expected.len());
    for (request, (host, path, names, headers)) in requests.iter().zip(expected) {
        assert_eq!((request.method.as_str(), request.host.as_str(), request.path.as_str()), ("GET", host, path));
        assert_eq!(request.query.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names, "{path}");
        let found: Vec<_> = request
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", if value.starts_with("ROW_") { "[a token]" } else { value }))
            .collect();
        assert_eq!(found, headers, "{path}");
        assert_eq!(request.body_length, 0, "{path}");
    }
}
