//! Tests of a hostile guest that puts a secret of its call into a value that the host stores or returns unencrypted.
//! The host must not let the secret out. At the end of each test, the stage also searches its database and its logs for
//! secrets.

use tiktok_shop_host::connect::Grant;
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::existing_grant::ExistingGrant;
use tiktok_shop_host::install::InstallError;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::{CallError, Component, ConnectorHost};
use tiktok_shop_tests::{STATE, Stage, browser, customer_id, tenant};

use crate::hostile_guest;

const REFUSED: &str = "StorageError::Refused(\"a value that is stored in clear contains a secret of this call\")";
const REMOVED: &str = "[removed, because it contained a secret]";

/// A stage with a connection that the real connector has made. `host` runs the hostile guest on the same storage, keys
/// and credentials.
struct Betrayal {
    stage: Stage,
    host: ConnectorHost,
}

impl Betrayal {
    async fn new() -> Self {
        let stage = Stage::new();
        // This seller has shops with ciphers.
        stage.connect("alice", "cross-border").await.unwrap();
        let hostile = hostile_guest::builder().build().unwrap();
        let host = stage.host_builder().component(Component::SharedWith(hostile)).build().unwrap();
        Self { stage, host }
    }

    /// Orders the guest to put this secret, in this encoding, into the value that `place` names. Returns the error of
    /// the call.
    async fn order(&self, secret: &str, encoding: &str, place: &str) -> CallError {
        let order = format!("{secret}\n{encoding}\n{place}").parse().unwrap();
        let outcome = self.host.refresh(&tenant(0), &customer_id("alice"), Some(&order), RefreshMode::WhenDue).await;
        outcome.expect_err(place)
    }

    /// Gives the guest the same kind of order. Returns the detail text of the connector's error.
    async fn detail(&self, secret: &str, encoding: &str, place: &str) -> String {
        let ended = self.order(secret, encoding, place).await;
        let CallError::Connector(error) = ended else { panic!("{place}: {ended}") };
        error.failure().detail.clone()
    }
}

#[tokio::test]
async fn no_secret_of_a_call_is_stored_in_clear_in_any_encoding() {
    let betrayal = Betrayal::new().await;
    for secret in ["app secret", "previous app secret", "access token", "refresh token", "cipher"] {
        for encoding in ["raw", "upper case", "percent", "hex", "base64", "base64url", "decimal"] {
            let said = betrayal.detail(secret, encoding, "row: shop raw").await;
            assert_eq!(said, REFUSED, "{secret}, {encoding}");
        }
    }
    // TikTok has issued this token during the call, and no record contains it.
    assert_eq!(betrayal.detail("new access token", "raw", "row: seller name").await, REFUSED);
}

#[tokio::test]
async fn no_text_id_or_revision_that_is_stored_in_clear_takes_a_secret() {
    let betrayal = Betrayal::new().await;
    let before = betrayal.stage.connections("alice").await;
    for place in [
        "record: account",
        "record: revision",
        "row: account",
        "row: base region",
        "row: failure code",
        "row: failure detail",
        "row: failure request id",
        "row: lineage",
        "row: scope",
        "row: seller name",
        "row: unknown member",
        "row: shop code",
        "row: shop name",
        "row: shop raw",
        "row: shop region",
        "row: shop type",
    ] {
        assert_eq!(betrayal.detail("app secret", "raw", place).await, REFUSED, "{place}");
    }
    assert_eq!(betrayal.stage.connections("alice").await, before);
}

#[tokio::test]
async fn no_result_and_no_error_contains_a_secret() {
    let betrayal = Betrayal::new().await;
    for place in ["result: seller name", "result: raw"] {
        let error = betrayal.order("access token", "base64", place).await;
        assert!(matches!(error, CallError::ContractBroken { .. }), "{place}: {error:?}");
    }
    for place in ["error: code", "error: detail", "error: request id"] {
        let CallError::Connector(error) = betrayal.order("refresh token", "raw", place).await else {
            panic!("{place}")
        };
        assert_eq!(error.action().as_str(), "upstream", "the action stays");
        assert!(error.to_string().contains(REMOVED), "{place}: {error}");
    }
}

#[tokio::test]
async fn no_error_contains_the_grant_of_its_call() {
    let betrayal = Betrayal::new().await;
    let code = "TTP_a-code-that-was-never-issued";
    let connect = async |grant| {
        let outcome = betrayal.host.connect(&tenant(0), &customer_id("bob"), None, grant, ShopPolicy::All).await;
        let Err(CallError::Connector(error)) = outcome else { panic!("{outcome:?}") };
        error.failure().detail.clone()
    };
    assert_eq!(connect(Grant::Code(code.into())).await, REMOVED);
    assert_eq!(connect(Grant::Existing(ExistingGrant::new(code.into()))).await, REMOVED);
    let callback = |query: &str| Grant::Callback { query: query.into(), state: STATE.into() };
    assert_eq!(connect(callback(&format!("code={code}&state={STATE}"))).await, REMOVED);
    assert_eq!(connect(callback(&format!("x={STATE}"))).await, REMOVED);

    let (bob, query) = (customer_id("bob"), format!("code={code}"));
    let install = betrayal.host.begin_install(&tenant(0), &bob, None, &browser("bob"), query.as_str().into()).await;
    let Err(InstallError::Call(CallError::Connector(error))) = install else { panic!("{install:?}") };
    assert_eq!(error.failure().detail, REMOVED);
}
