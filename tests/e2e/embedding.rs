//! The README's example, compiled and run as it stands there.
#![allow(clippy::print_stdout, reason = "what the example shows a reader, it prints")]

// README: begin
use std::{error::Error, path::PathBuf, sync::Arc};
use tiktok_shop_host::*;

async fn embed(
    component: PathBuf,
    folder: PathBuf, // of yours, for connections and host keys
    egress: EgressPolicy,
    app: AppCredentials,
    cookie: String, // the secret of the customer's signed-in session with you
    seller_consents: impl AsyncFn(String) -> String,
) -> Result<Vec<Shop>, Box<dyn Error>> {
    let (tenant, customer): (TenantId, CustomerId) = ("acme".parse()?, "customer-7".parse()?);
    let host = ConnectorHost::builder()
        .component(Component::File(component)) // target/dist/tiktok_shop_connector.wasm
        .storage(Arc::new(SqlStorage::sqlite(folder.join("connections.sqlite")).await?)) // or ::postgres, or your own
        .keys(Arc::new(KeyFile::open_or_create(folder.join("host-keys"))?)) // seals all that is stored: keep a copy
        .credentials(Arc::new(StaticCredentials::new().with(tenant.clone(), app)))
        .egress(egress) // the default is TikTok's two hosts over https
        .build()?;

    let browser = BrowserSession::new(cookie.into()).ok_or("a secret of 16 bytes at least")?;
    let consent = host.begin_consent(&tenant, &customer, &browser, ShopPolicy::All).await?;
    let query = seller_consents(consent.url.expose().to_owned()).await; // with which the browser returns to your callback

    match host.finish_consent(&tenant, &browser, query.into()).await {
        Ok(connection) => println!("{} is connected", connection.seller_name),
        Err(ConsentError::Call(CallError::Connector(error))) => match error.action() {
            Action::RetryAfter(pause) => return Err(format!("the same call again in {pause:?}").into()),
            Action::Reauthorize => return Err("a new link for the seller".into()),
            Action::Misconfigured | Action::InvalidRequest | Action::Upstream => return Err(error.into()),
            Action::StorageConflict | Action::StorageFailed | Action::Internal => return Err(error.into()),
        },
        Err(other) => return Err(other.into()), // not a consent that this browser began, or a trap, a deadline, a limit
    }
    host.refresh(&tenant, &customer, None, RefreshMode::WhenDue).await?; // or host.sweep(…) from a timer, for all that is due
    let shops = host.list_shops(&tenant, &customer).await?;
    if let Some(shop) = shops.first() {
        let search =
            CallRequest::new(CallScope::Shop(shop.id.clone()), HttpMethod::Post, "/order/202309/orders/search");
        let answer = host.call(&tenant, &customer, search.query("page_size", "20").json("{}")).await?;
        println!("HTTP {}, code {:?}, {} bytes", answer.http_status, answer.code, answer.body.len());
    }
    Ok(shops)
}
// README: end

use fake_tiktok_shop::{Decision, FakeTikTokShop, Options};
use tiktok_shop_tests::{app_credentials, component};

#[tokio::test]
async fn the_example_of_the_readme_runs() {
    let fake = FakeTikTokShop::start(Options::default()).unwrap();
    let control = fake.control();
    let app = control.apps().remove(0);
    let egress = EgressPolicy::production()
        .stand_in(Authority::Auth, fake.address())
        .and_then(|policy| policy.stand_in(Authority::Api, fake.address()))
        .unwrap();
    let consent = async |link: String| {
        let (_, state) = link.split_once("&state=").unwrap();
        control.consent(&app.service_id, "several-regions", Some(state), Decision::Allow).unwrap()
    };
    let cookie = "the session cookie of customer 7".to_owned();
    let folder = tempfile::tempdir().unwrap();
    let shops =
        embed(component(), folder.path().to_owned(), egress, app_credentials(&app), cookie, consent).await.unwrap();
    assert_eq!(shops.len(), 3);
    assert!(control.requests().iter().any(|request| request.path == "/order/202309/orders/search"));
}

#[test]
fn the_readme_shows_the_example_that_runs() {
    let this = include_str!("embedding.rs");
    let begin = this.find("// README: begin\n").unwrap() + "// README: begin\n".len();
    let end = this.find("// README: end").unwrap();
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&this[begin..end]), "copy the example from tests/e2e/embedding.rs into README.md");
}
