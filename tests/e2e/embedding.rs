//! Compiles and runs the README's example. A test compares the lines between the two README markers with the README.
#![allow(clippy::print_stdout, reason = "the example prints its results")]

// README: begin
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use tiktok_shop_host::call::{CallRequest, CallScope, HttpMethod};
use tiktok_shop_host::connection::{Shop, ShopPolicy};
use tiktok_shop_host::consent::{BrowserSession, ConsentError};
use tiktok_shop_host::credentials::{AppCredentials, StaticCredentials};
use tiktok_shop_host::egress::EgressPolicy;
use tiktok_shop_host::error::Action;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::seal::KeyFile;
use tiktok_shop_host::{CallError, Component, ConnectorHost, CustomerId, TenantId};
use tiktok_shop_sql_storage::{OpenMode, SqlStorage};

async fn embed(
    component: &Path,     // target/dist/tiktok_shop_connector.wasm
    folder: &Path,        // your folder for the database and the host keys
    egress: EgressPolicy, // EgressPolicy::production(), except in tests
    app: AppCredentials,
    session_cookie: String, // the secret of the browser session in which the customer is signed in
    seller_consents: impl AsyncFn(&str) -> String,
) -> Result<Vec<Shop>, Box<dyn Error>> {
    let (tenant, customer): (TenantId, CustomerId) = ("acme".parse()?, "customer-7".parse()?);
    let host = ConnectorHost::builder()
        .component(Component::File(component.into()))
        .storage(Arc::new(SqlStorage::sqlite(folder.join("connections.sqlite"), OpenMode::Create).await?))
        // In production, call KeyFile::create once and back up the file. Then every host calls KeyFile::open. The file
        // protects all tokens.
        .keys(Arc::new(KeyFile::open_or_create(folder.join("host-keys"))?))
        .credentials(Arc::new(StaticCredentials::new().with(tenant.clone(), app)))
        .egress(egress)
        .build()?;

    let browser = BrowserSession::new(session_cookie.into()).ok_or("the cookie has fewer than 16 bytes")?;
    // `None` is the tenant's only app. If a tenant has several apps, pass the key of one of them.
    let consent = host.begin_consent(&tenant, &customer, None, &browser, ShopPolicy::All).await?;
    // Send the browser to this link. The seller consents there, and the browser returns to your callback with a query.
    let query = seller_consents(consent.url.expose()).await;

    match host.finish_consent(&tenant, &browser, query.into()).await {
        Ok(connection) => println!("{} is connected", connection.seller_name),
        Err(ConsentError::Call(CallError::Connector(error))) => match error.action() {
            Action::RetryAfter(pause) => return Err(format!("make the same call again after {pause:?}").into()),
            Action::Reauthorize => return Err("send the seller a new link".into()),
            Action::Misconfigured | Action::InvalidRequest | Action::Upstream => return Err(error.into()),
            Action::StorageConflict | Action::StorageFailed | Action::Internal => return Err(error.into()),
        },
        Err(error) => return Err(error.into()), // a wrong state or browser, or the host ended the call
    }

    // Renews the tokens if they are due. A platform calls `host.sweep` from a timer instead, for all due connections.
    host.refresh(&tenant, &customer, None, RefreshMode::WhenDue).await?;
    let shops = host.list_shops(&tenant, &customer).await?;
    if let Some(shop) = shops.first() {
        let scope = CallScope::Shop(shop.id.clone());
        let search = CallRequest::new(scope, HttpMethod::Post, "/order/202309/orders/search");
        let filter = r#"{"order_status":"AWAITING_SHIPMENT"}"#;
        let answer = host.call(&tenant, &customer, search.query("page_size", "20").json(filter)).await?;
        println!("TikTok answered with HTTP {} and {} bytes", answer.http_status, answer.body.len());
    }
    Ok(shops)
}
// README: end

use fake_tiktok_shop::{Decision, FakeTikTokShop, Options};
use tiktok_shop_tests::{ORDERS, app_credentials, component, egress_to};

#[tokio::test]
async fn the_example_of_the_readme_runs() {
    let fake = FakeTikTokShop::start(Options::default()).unwrap();
    let control = fake.control();
    let app = control.apps().remove(0);
    let seller_consents = async |link: &str| {
        let (_, state) = link.split_once("&state=").unwrap();
        control.consent(&app.service_id, "several-regions", Some(state), Decision::Allow).unwrap()
    };
    let cookie = "the session cookie of customer 7".to_owned();
    let folder = tempfile::tempdir().unwrap();
    let egress = egress_to(fake.address());
    let shops =
        embed(&component(), folder.path(), egress, app_credentials(&app), cookie, seller_consents).await.unwrap();
    assert_eq!(shops.len(), 3);
    assert!(control.requests().iter().any(|request| request.path == ORDERS));
}

#[test]
fn the_readme_shows_the_example_that_runs() {
    let this = include_str!("embedding.rs");
    let begin = this.find("// README: begin\n").unwrap() + "// README: begin\n".len();
    let end = this.find("// README: end").unwrap();
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&this[begin..end]), "copy the example from tests/e2e/embedding.rs into README.md");
}
