//! The README's example, compiled and run as it stands there.
#![allow(clippy::print_stdout, reason = "what the example shows a reader, it prints")]

// README: begin
use std::{error::Error, path::PathBuf, sync::Arc};
use tiktok_shop_host_harness::*;

async fn embed(
    component: PathBuf,
    egress: EgressPolicy,
    app: AppCredentials,
    state: String, // 128 random bits of yours, kept with the customer's session, good for one callback
    seller_consents: impl AsyncFn(String) -> String,
) -> Result<Vec<Shop>, Box<dyn Error>> {
    let (tenant, customer): (TenantId, CustomerId) = ("acme".parse()?, "customer-7".parse()?);
    let host = ConnectorHost::builder()
        .component(Component::File(component)) // target/dist/tiktok_shop_connector.wasm
        .storage(Arc::new(MemoryStorage::new(Arc::new(SystemClock::new()))))
        .credentials(Arc::new(StaticCredentials::new().with(tenant.clone(), app)))
        .egress(egress) // the default is TikTok's two hosts over https
        .build()?;

    let link = host.authorization_url(&tenant, state.as_str().into()).await?;
    let query = seller_consents(link).await; // the query with which the browser returns to your callback
    let grant = Grant::Callback { query: query.into(), state: StateCheck::Expected(state.into()) };

    match host.connect(&tenant, &customer, grant, ShopPolicy::All).await {
        Ok(connection) => println!("{} is connected", connection.seller_name),
        Err(CallError::Connector(error)) => match error.action() {
            Action::RetryAfter(pause) => return Err(format!("the same call again in {pause:?}").into()),
            Action::Reauthorize => return Err("a new link for the seller".into()),
            Action::Misconfigured | Action::InvalidRequest | Action::Upstream => return Err(error.into()),
            Action::StorageConflict | Action::StorageFailed | Action::Internal => return Err(error.into()),
        },
        Err(other) => return Err(other.into()), // the sandbox ended the call: a trap, a deadline, a limit
    }
    host.refresh(&tenant, &customer, None, Rotation::WhenDue).await?; // or host.sweep(…) from a timer, for all that is due
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
use tiktok_shop_tests::{STATE, app_credentials, component};

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
    let shops = embed(component(), egress, app_credentials(&app), STATE.to_owned(), consent).await.unwrap();
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
