//! `authorization-url`: the link with the state, and nothing sent.

use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_tests::{Stage, app_credentials, refusal, tenant};

#[tokio::test]
async fn the_link_carries_the_state_and_nothing_is_sent() {
    let stage = Stage::new();
    let link = stage.host.authorization_url(&tenant(0), "a b+c".into()).await.unwrap();
    let service = &stage.fake.apps()[0].service_id;
    assert_eq!(link, format!("https://services.tiktokshop.com/open/authorize?service_id={service}&state=a%20b%2Bc"));
    assert_eq!(stage.fake.requests(), []);
}

#[tokio::test]
async fn each_tenant_gets_the_link_of_its_own_app() {
    let stage = Stage::new();
    let apps = stage.fake.apps();
    for (at, app) in apps.iter().enumerate() {
        let link = stage.host.authorization_url(&tenant(at), "s".into()).await.unwrap();
        assert!(link.contains(&app.service_id), "{link}");
    }
}

#[tokio::test]
async fn a_missing_link_a_bad_link_and_an_unknown_tenant_are_misconfigured() {
    let stage = Stage::new();
    let app = &stage.fake.apps()[0];
    let mut without = app_credentials(app);
    without.authorization_link = None;
    let mut plain = app_credentials(app);
    plain.authorization_link = Some("http://services.tiktokshop.com/open/authorize?service_id=1".to_owned());
    let credentials = StaticCredentials::new().with(tenant(0), without).with(tenant(1), plain);
    let host = stage.host_with(credentials);
    for (at, code) in [(0, "authorization-link-missing"), (1, "authorization-link-invalid"), (2, "credentials-refused")]
    {
        let outcome = host.authorization_url(&tenant(at), "s".into()).await;
        assert_eq!(refusal(outcome), ("misconfigured", code.to_owned()));
    }
}

#[tokio::test]
async fn a_state_without_a_byte_is_refused() {
    let stage = Stage::new();
    let outcome = stage.host.authorization_url(&tenant(0), "".into()).await;
    assert_eq!(refusal(outcome), ("invalid-request", "state-invalid".to_owned()));
}
