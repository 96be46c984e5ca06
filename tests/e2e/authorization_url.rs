//! Tests of the export `authorization-url`. The export returns a link to the consent page. The link contains the state.
//! The export sends no request.

use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_tests::{Stage, app_credentials, refusal, tenant};

#[tokio::test]
async fn the_link_contains_the_state_and_nothing_is_sent() {
    let stage = Stage::new();
    let link = stage.host.authorization_url(&tenant(0), None, "a b+c".into()).await.unwrap();
    let service = &stage.fake.apps()[0].service_id;
    let expected = format!("https://services.tiktokshop.com/open/authorize?service_id={service}&state=a%20b%2Bc");
    assert_eq!(link.expose(), expected);
    assert_eq!(stage.fake.requests(), []);
}

#[tokio::test]
async fn each_tenant_gets_the_link_of_its_own_app() {
    let stage = Stage::new();
    let apps = stage.fake.apps();
    for (at, app) in apps.iter().enumerate() {
        let link = stage.host.authorization_url(&tenant(at), None, "s".into()).await.unwrap();
        assert!(link.expose().contains(&app.service_id), "tenant {at}");
    }
}

#[tokio::test]
async fn a_missing_link_an_invalid_link_and_an_unknown_tenant_are_misconfigured() {
    let stage = Stage::new();
    let app = &stage.fake.apps()[0];
    let mut without_link = app_credentials(app);
    without_link.authorization_link = None;
    // The host allows `http` for links of a fake, but no other scheme.
    let mut link_of_another_scheme = app_credentials(app);
    link_of_another_scheme.authorization_link =
        Some("ftp://services.tiktokshop.com/open/authorize?service_id=1".to_owned());
    let credentials = StaticCredentials::new().with(tenant(0), without_link).with(tenant(1), link_of_another_scheme);
    let host = stage.host_with(credentials);
    for (at, code) in [(0, "authorization-link-missing"), (1, "authorization-link-invalid"), (2, "credentials-refused")]
    {
        let outcome = host.authorization_url(&tenant(at), None, "s".into()).await;
        assert_eq!(refusal(outcome), ("misconfigured", code.to_owned()));
    }
}

#[tokio::test]
async fn an_empty_state_is_refused() {
    let stage = Stage::new();
    let outcome = stage.host.authorization_url(&tenant(0), None, "".into()).await;
    assert_eq!(refusal(outcome), ("invalid-request", "state-invalid".to_owned()));
}
