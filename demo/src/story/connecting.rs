//! From the link to the first call.

use anyhow::{Context as _, Result};
use fake_tiktok_shop::Decision;
use tiktok_shop_host::call::{CallRequest, CallScope, HttpMethod};
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::consent::ConsentError;
use tiktok_shop_host::error::Action;
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::{Secret, ShopId};

use super::{Customer, EXCHANGE, LIST_SHOPS, OK, decide, lasts, lasts_from, linked, new_events, refused, told};
use crate::page::Page;
use crate::stage::{FRENCH_SHOP, GERMAN_SHOP, SELLER, Stage};

const SEARCH_ORDERS: &str = "open-api.tiktokglobalshop.com/order/202309/orders/search";

pub(super) async fn tell(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<()> {
    let link = a_link(stage, page, customer).await?;
    the_seller_allows(stage, page, customer, &link).await?;
    the_customer_chooses(stage, page, customer).await?;
    a_signed_call(stage, page, customer).await
}

async fn a_link(stage: &Stage, page: &mut Page, customer: &Customer) -> Result<Secret> {
    page.step(
        "A link for the seller",
        stage.now(),
        "A customer, signed in to the platform, wants to connect one shop. The host library draws a random state, keeps \
         its digest for ten minutes, bound to this customer and this browser, and gives the link.",
    )?;
    let (Stage { host, tenant, .. }, Customer { id, browser, .. }) = (stage, customer);
    let consent = call!(stage, page, host.begin_consent(tenant, id, browser, ShopPolicy::ExactlyOne))?;

    page.consent_link(consent.url.expose())?;
    page.requests(&stage.journal.take(), &[])?;
    let (link, state) = consent.url.expose().split_once("&state=").context("no state")?;
    page.check("the link is the app's own", link, &stage.authorization_link())?;
    page.check("it carries a state of 128 bits", &state.len(), &32)?;
    Ok(consent.url)
}

async fn the_seller_allows(stage: &Stage, page: &mut Page, customer: &mut Customer, link: &Secret) -> Result<()> {
    page.step(
        "The seller allows",
        stage.now(),
        "TikTok sends the browser back with a code. The state is checked first, and used up; then the connector \
         exchanges the code, stores the tokens, and only then reads the shops: a crash in between loses nothing.",
    )?;
    let (Stage { host, tenant, .. }, Customer { browser, .. }) = (stage, &*customer);
    let query = decide(stage, SELLER, link, Decision::Allow)?;
    stage.journal.checks();
    let elsewhere = host.finish_consent(tenant, &Stage::browser()?, query.clone()).await;
    let repeated = query.clone();
    let connection = call!(stage, page, host.finish_consent(tenant, browser, query))?;
    stage.journal.checks();
    let repeated = host.finish_consent(tenant, browser, repeated).await;

    page.connection(&connection, stage.now())?;
    page.shops(&connection.shops)?;
    page.events(&new_events(stage, customer).await?, &[EventKind::Connected])?;
    page.requests(&stage.journal.take(), &[(1, EXCHANGE, OK), (1, LIST_SHOPS, OK)])?;
    page.check("in another person's browser the code is not exchanged", &elsewhere, &Err(ConsentError::OtherBrowser))?;
    page.check("the same callback again is not sent on", &repeated, &Err(ConsentError::StateUsed))?;
    page.check("active, with an access token for seven days", &lasts(&connection), &lasts_from(stage.now()))?;
    page.check("of two shops none is linked before the customer has chosen", &linked(&connection), &vec![])
}

async fn the_customer_chooses(stage: &Stage, page: &mut Page, customer: &Customer) -> Result<()> {
    page.step(
        "The customer chooses one",
        stage.now(),
        "The platform shows the shops, and the customer picks the German one. From now on this one is served.",
    )?;
    let (Stage { host, tenant, .. }, Customer { id, .. }) = (stage, customer);
    let chosen = [GERMAN_SHOP.parse()?];
    let connection = call!(stage, page, host.link_shops(tenant, id, None, &chosen))?;
    stage.journal.checks();
    let unknown = refused(host.link_shops(tenant, id, None, &["1".parse()?]).await)?;
    let served = host.list_shops(tenant, id).await?;

    page.shops(&connection.shops)?;
    page.requests(&stage.journal.take(), &[])?;
    page.check("that one is linked, the other is not", &linked(&connection), &vec![GERMAN_SHOP])?;
    page.check("it is what list_shops lists", &served.iter().map(|shop| &shop.id).collect(), &Vec::from_iter(&chosen))?;
    let expected = (Action::InvalidRequest, "unknown-shop");
    page.check("a shop that the seller does not have can't be chosen", &told(&unknown), &expected)
}

async fn a_signed_call(stage: &Stage, page: &mut Page, customer: &Customer) -> Result<()> {
    page.step(
        "A signed call",
        stage.now(),
        "The platform asks for orders. The connector adds app key, time, token and the shop's cipher, and signs it all; \
         the fake checks the signature with code of its own.",
    )?;
    let (Stage { host, tenant, .. }, Customer { id, .. }) = (stage, customer);
    let search = |shop: ShopId| {
        let search = CallRequest::new(CallScope::Shop(shop), HttpMethod::Post, "/order/202309/orders/search");
        search.query("page_size", "20").json("{}")
    };
    let shop = GERMAN_SHOP.parse()?;
    let answer = call!(stage, page, host.call(tenant, id, search(shop)))?;
    stage.journal.checks();
    let unlinked = refused(host.call(tenant, id, search(FRENCH_SHOP.parse()?)).await)?;

    let code = answer.code.as_deref().unwrap_or("none");
    page.answer(&format!("HTTP {}, code {code}, {} bytes of orders", answer.http_status, answer.body.len()))?;
    page.requests(&stage.journal.take(), &[(1, SEARCH_ORDERS, OK)])?;
    page.check("TikTok did what was asked", &answer.is_success(), &true)?;
    let expected = (Action::InvalidRequest, "shop-not-linked");
    page.check("for the shop that was not chosen nothing is sent", &told(&unlinked), &expected)
}
