//! How connections end: by the seller, by TikTok, by the customer, or before they begin.

use std::future::pending;

use anyhow::Result;
use fake_tiktok_shop::Decision;
use tiktok_shop_host::connection::{
    Connection, ConnectionStatus, ReauthorizationReason, ShopPolicy, ShopStanding, UnixSeconds,
};
use tiktok_shop_host::disconnect::{DisconnectTarget, Disconnected, RemoteGrant};
use tiktok_shop_host::error::Action;
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::sweep::Swept;
use tiktok_shop_host::webhook::WebhookEffect;

use super::webhooks::deliver_all;
use super::{
    Customer, DAY, EXCHANGE, LIST_SHOPS, OK, REFRESH, WEEK, WHAT_AND_WHY, consented_again, decide, due_now, lasts,
    lasts_from, linked, listed, new_events, refused, told,
};
use crate::page::Page;
use crate::stage::{GERMAN_SHOP, SELLER, Stage};

const TAKE_BACK: &str = "open-api.tiktokglobalshop.com/authorization/202403/shops";
/// The seller who says no.
const OTHER_SELLER: &str = "one-shop";

/// `announced` is the end that a new consent has put off.
pub(super) async fn tell(
    stage: &Stage,
    page: &mut Page,
    customer: &mut Customer,
    announced: UnixSeconds,
) -> Result<()> {
    a_shop_removed(stage, page, customer).await?;
    the_authorization_ended(stage, page, customer).await?;
    the_seller_allows_again(stage, page, customer).await?;
    disconnected(stage, page, customer).await?;
    a_refused_consent(stage, page).await?;
    the_events(stage, page, announced).await
}

async fn a_shop_removed(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<()> {
    stage.advance(DAY);
    stage.tiktok.deauthorize_shop(&stage.app.service_id, SELLER, GERMAN_SHOP)?;
    page.step(
        "The seller removes a shop",
        stage.now(),
        "In Seller Center the seller takes one of the shops away from the app. TikTok says so; no token is dropped on \
         somebody's word, but a refresh is due at once, and asks.",
    )?;
    let Stage { host, .. } = stage;
    page.call("host.accept_webhook(tenant, authorization, body, handle)")?;
    let delivered = deliver_all(stage).await?;
    let sweep = due_now(stage);
    let swept = call!(stage, page, host.sweep(sweep, pending(), |_, _| {}))?;
    stage.journal.checks();
    let connection = listed(stage, customer).await?;
    let events = new_events(stage, customer).await?;

    page.webhooks(&delivered)?;
    page.answer(&swept.to_string())?;
    page.shops(&connection.shops)?;
    page.requests(&stage.journal.take(), &[(1, LIST_SHOPS, OK)])?;
    let effects: Vec<_> = delivered.iter().map(|(webhook, _)| webhook.effect).collect();
    page.check("the event makes a refresh due", &effects, &vec![WebhookEffect::VerificationDue])?;
    page.check("the sweep has done it", &swept, &Swept { refreshed: 1, ..Swept::default() })?;
    page.check("that shop is marked and not forgotten", &gone(&connection), &vec![GERMAN_SHOP])?;
    page.check("the connection lives on for the others", &connection.status, &ConnectionStatus::Active)?;
    page.check("no event: the connection is as it was", &events, &vec![])
}

async fn the_authorization_ended(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<()> {
    stage.tiktok.end_authorization(SELLER)?;
    stage.advance(WEEK);
    page.step(
        "The authorization has ended",
        stage.now(),
        "Earlier than TikTok had said. It refuses the refresh token, and the three before it that the connector keeps \
         for the case that an answer is lost. No retry changes that, only the seller can.",
    )?;
    let (Stage { host, tenant, .. }, Customer { id, .. }) = (stage, &*customer);
    let error = refused(call!(stage, page, host.refresh(tenant, id, None, RefreshMode::WhenDue)))?;
    stage.journal.checks();
    let again = refused(host.refresh(tenant, id, None, RefreshMode::WhenDue).await)?;
    let connection = listed(stage, customer).await?;

    page.error(&error)?;
    page.connection(&connection, stage.now())?;
    let reason = ReauthorizationReason::AuthorizationExpired;
    page.events(&new_events(stage, customer).await?, &[EventKind::ReauthorizationRequired(reason)])?;
    // The last token of either consent is told that it has ended, those before that they were replaced.
    let refusals = [(2, REFRESH, "200, code 36004001"), (2, REFRESH, "200, code 36004005")];
    page.requests(&stage.journal.take(), &refusals)?;
    page.check(WHAT_AND_WHY, &told(&error), &(Action::Reauthorize, "authorization-expired"))?;
    page.check("a second refresh says the same, without a request", &told(&again), &told(&error))?;
    let dead = (ConnectionStatus::ReauthorizationRequired(reason), vec![GERMAN_SHOP]);
    page.check("it is listed as dead, and its choice is known", &(connection.status, linked(&connection)), &dead)
}

async fn the_seller_allows_again(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<()> {
    page.step(
        "The seller allows again",
        stage.now(),
        "A new link, a new state, a new consent, and with it the shop that was removed: same key, same choice, working \
         again.",
    )?;
    let (before, connection) = consented_again(stage, page, customer).await?;
    let after = listed(stage, customer).await?;

    page.connection(&connection, stage.now())?;
    page.shops(&connection.shops)?;
    page.events(&new_events(stage, customer).await?, &[EventKind::Recovered])?;
    page.requests(&stage.journal.take(), &[(1, EXCHANGE, OK), (1, LIST_SHOPS, OK)])?;
    page.check("it is the same connection, and the only one", &after.key, &before.key)?;
    page.check("active, with an access token for seven days", &lasts(&connection), &lasts_from(stage.now()))?;
    let shops = (gone(&connection), linked(&connection));
    page.check("no shop is missing, and the choice stands", &shops, &(vec![], vec![GERMAN_SHOP]))
}

async fn disconnected(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<()> {
    page.step(
        "The customer disconnects",
        stage.now(),
        "TikTok is asked to take the shops back; then, whatever it said, tokens and row are deleted here.",
    )?;
    let (Stage { host, tenant, .. }, Customer { id, .. }) = (stage, &*customer);
    let outcome = call!(stage, page, host.disconnect(tenant, id, DisconnectTarget::All(None), RemoteGrant::Revoke))?;
    stage.journal.checks();
    let again = host.disconnect(tenant, id, DisconnectTarget::All(None), RemoteGrant::Revoke).await?;
    let refresh = refused(host.refresh(tenant, id, None, RefreshMode::WhenDue).await)?;
    let connections = host.list_connections(tenant, id).await?;
    let issued = stage.tiktok.issued(&stage.app.service_id, SELLER)?;
    let honoured = issued.access_tokens.iter().chain(&issued.refresh_tokens).filter(|token| token.honoured).count();

    page.events(&new_events(stage, customer).await?, &[EventKind::Disconnected])?;
    page.requests(&stage.journal.take(), &[(3, TAKE_BACK, OK)])?;
    let nothing_left = Disconnected { remaining: Vec::new(), not_revoked: Vec::new() };
    page.check("TikTok has taken every shop back", &outcome, &nothing_left)?;
    page.check("it honours none of the tokens it has issued", &honoured, &0)?;
    page.check("twice is once", &again, &nothing_left)?;
    page.check("nothing is listed", &connections, &vec![])?;
    page.check("nothing can be refreshed", &told(&refresh), &(Action::InvalidRequest, "not-connected"))
}

async fn a_refused_consent(stage: &Stage, page: &mut Page) -> Result<()> {
    page.step(
        "A refused consent",
        stage.now(),
        "The seller of another customer says no. TikTok sends the browser back all the same, with the four letters \
         `null` for a code. That must not be taken for one.",
    )?;
    let Stage { host, tenant, .. } = stage;
    let (id, browser) = (&"customer-8".parse()?, &Stage::browser()?);
    let consent = call!(stage, page, host.begin_consent(tenant, id, browser, ShopPolicy::All))?;
    let query = decide(stage, OTHER_SELLER, &consent.url, Decision::Refuse)?;
    let error = refused(call!(stage, page, host.finish_consent(tenant, browser, query)))?;
    stage.journal.checks();
    let connections = host.list_connections(tenant, id).await?;

    page.error(&error)?;
    page.requests(&stage.journal.take(), &[])?;
    page.check(WHAT_AND_WHY, &told(&error), &(Action::Reauthorize, "consent-refused"))?;
    page.check("nothing is stored for this customer", &connections, &vec![])
}

async fn the_events(stage: &Stage, page: &mut Page, announced: UnixSeconds) -> Result<()> {
    page.step(
        "What the platform was told",
        stage.now(),
        "Every change appended an event, in one transaction with the row it changed, whichever server made it. They \
         are read in order from any position, and hold no secret.",
    )?;
    let Stage { storage, tenant, .. } = stage;
    let events = call!(stage, page, storage.events(tenant, None, 100))?;

    let expected = [
        EventKind::Connected,
        EventKind::AuthorizationEnding { ends: announced },
        EventKind::Notice { days: 30, ends: announced },
        EventKind::Recovered,
        EventKind::ReauthorizationRequired(ReauthorizationReason::AuthorizationExpired),
        EventKind::Recovered,
        EventKind::Disconnected,
    ];
    page.events(&events, &expected)?;
    page.requests(&stage.journal.take(), &[])?;
    let rest = storage.events(tenant, events.last().map(|event| event.position), 100).await?;
    page.check("each once, and nothing after the last position", &rest, &vec![])
}

/// Ids of the shops that TikTok no longer lists.
fn gone(connection: &Connection) -> Vec<&str> {
    let gone = connection.shops.iter().filter(|shop| shop.standing == ShopStanding::NoLongerGranted);
    gone.map(|shop| shop.id.as_str()).collect()
}
