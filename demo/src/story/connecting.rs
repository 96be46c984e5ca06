//! The steps of the demo from the consent link to the first `call`.

use anyhow::{Context as _, Result};
use fake_tiktok_shop::Decision;
use tiktok_shop_host::call::{CallRequest, CallScope, HttpMethod};
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::consent::ConsentError;
use tiktok_shop_host::error::Action;
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::{Secret, ShopId};

use super::step::{
    Customer, EXCHANGE, LIST_SHOPS, OK, active_for_a_week, case_and_code, connector_error, decide, linked, new_events,
    status_and_end,
};
use crate::page::Page;
use crate::stage::{FRENCH_SHOP, GERMAN_SHOP, SELLER, Stage};

const SEARCH_ORDERS: &str = "open-api.tiktokglobalshop.com/order/202309/orders/search";

pub(super) async fn tell(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<()> {
    let link = a_link(stage, page, customer).await?;
    the_seller_consents(stage, page, customer, &link).await?;
    the_customer_chooses(stage, page, customer).await?;
    a_signed_call(stage, page, customer).await
}

async fn a_link(stage: &Stage, page: &mut Page, customer: &Customer) -> Result<Secret> {
    page.step(
        "A link for the seller",
        stage.now(),
        "A customer who is signed in to the platform wants to connect one shop. The host library draws a random state and \
         returns the link to TikTok's consent page. It keeps the state's digest for ten minutes, for this customer and \
         this browser only.",
    )?;
    let (Stage { host, tenant, .. }, Customer { id, browser, .. }) = (stage, customer);
    let consent = call!(stage, page, host.begin_consent(tenant, id, None, browser, ShopPolicy::ExactlyOne))?;

    page.consent_link(consent.url.expose())?;
    page.requests(&stage.journal.take(), &[])?;
    let (link, state) = consent.url.expose().split_once("&state=").context("no state")?;
    page.check("the link is the app's own link", link, &stage.authorization_link())?;
    page.check("the link has a state of 128 bits", &state.len(), &32)?;
    Ok(consent.url)
}

async fn the_seller_consents(stage: &Stage, page: &mut Page, customer: &mut Customer, link: &Secret) -> Result<()> {
    page.step(
        "The seller consents",
        stage.now(),
        "TikTok sends the browser back with an authorization code. The host library checks the state, which works only \
         once. The connector exchanges the code, stores the tokens, and then reads the shops. A crash after the tokens \
         are stored loses nothing.",
    )?;
    let (Stage { host, tenant, .. }, Customer { browser, .. }) = (stage, &*customer);
    let query = decide(stage, SELLER, link, Decision::Allow)?;
    stage.journal.checks();
    let other_browser = host.finish_consent(tenant, &Stage::browser()?, query.clone()).await;
    let repeated = query.clone();
    let connection = call!(stage, page, host.finish_consent(tenant, browser, query))?;
    stage.journal.checks();
    let repeated = host.finish_consent(tenant, browser, repeated).await;

    page.connection(&connection, stage.now())?;
    page.shops(&connection.shops)?;
    page.events(&new_events(stage, customer).await?, &[EventKind::Connected])?;
    page.requests(&stage.journal.take(), &[(1, EXCHANGE, OK), (1, LIST_SHOPS, OK)])?;
    page.check(
        "with another person's browser the code is not exchanged",
        &other_browser,
        &Err(ConsentError::OtherBrowser),
    )?;
    page.check("the same callback is not accepted a second time", &repeated, &Err(ConsentError::StateUsed))?;
    page.check(
        "the connection is active, with an access token for seven days",
        &status_and_end(&connection),
        &active_for_a_week(stage.now()),
    )?;
    page.check("neither of the two shops is linked until the customer chooses", &linked(&connection), &vec![])
}

async fn the_customer_chooses(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<()> {
    page.step(
        "The customer chooses a shop",
        stage.now(),
        "The platform shows the shops, and the customer chooses the German shop. Calls for it are possible from now on.",
    )?;
    let (Stage { host, tenant, .. }, Customer { id, .. }) = (stage, &*customer);
    let chosen = [GERMAN_SHOP.parse()?];
    let connection = call!(stage, page, host.link_shops(tenant, id, None, &chosen))?;
    stage.journal.checks();
    let unknown_shop = connector_error(host.link_shops(tenant, id, None, &["1".parse()?]).await)?;
    let served = host.list_shops(tenant, id).await?;

    page.shops(&connection.shops)?;
    page.events(&new_events(stage, customer).await?, &[EventKind::ShopsLinked { shops: chosen.to_vec() }])?;
    page.requests(&stage.journal.take(), &[])?;
    page.check("the chosen shop is linked, and the other is not", &linked(&connection), &vec![GERMAN_SHOP])?;
    page.check(
        "list_shops lists only the chosen shop",
        &served.iter().map(|shop| &shop.id).collect(),
        &Vec::from_iter(&chosen),
    )?;
    let expected = (Action::InvalidRequest, "unknown-shop");
    page.check("a shop that the seller does not have cannot be chosen", &case_and_code(&unknown_shop), &expected)
}

async fn a_signed_call(stage: &Stage, page: &mut Page, customer: &Customer) -> Result<()> {
    page.step(
        "A signed call",
        stage.now(),
        "The platform searches for orders. The connector adds the app key, the time, the access token and the shop's \
         cipher to the request, and signs it. The fake checks the signature with its own code.",
    )?;
    let (Stage { host, tenant, .. }, Customer { id, .. }) = (stage, customer);
    let search = |shop: ShopId| {
        let search = CallRequest::new(CallScope::Shop(shop), HttpMethod::Post, "/order/202309/orders/search");
        search.query("page_size", "20").json(r#"{"order_status":"AWAITING_SHIPMENT"}"#)
    };
    let shop = GERMAN_SHOP.parse()?;
    let answer = call!(stage, page, host.call(tenant, id, search(shop)))?;
    stage.journal.checks();
    let unlinked = connector_error(host.call(tenant, id, search(FRENCH_SHOP.parse()?)).await)?;

    let code = answer.code.as_deref().unwrap_or("none");
    page.answer(&format!("HTTP {}, code {code}, {} bytes of orders", answer.http_status, answer.body.len()))?;
    page.requests(&stage.journal.take(), &[(1, SEARCH_ORDERS, OK)])?;
    page.check("TikTok answered with success", &answer.is_success(), &true)?;
    let expected = (Action::InvalidRequest, "shop-not-linked");
    page.check("a call for the other shop is refused, and nothing is sent", &case_and_code(&unlinked), &expected)
}
