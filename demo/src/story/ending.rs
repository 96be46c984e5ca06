//! The steps that end connections: the seller removes a shop, the authorization ends, the customer disconnects, and
//! another seller refuses the consent.

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

use super::step::{
    CASE_AND_CODE, Customer, DAY, EXCHANGE, LIST_SHOPS, OK, REFRESH, WEEK, active_for_a_week, case_and_code,
    connector_error, consent_again, decide, due_now, linked, listed, new_events, status_and_end,
};
use super::webhooks::deliver_all;
use crate::page::Page;
use crate::stage::{GERMAN_SHOP, SELLER, Stage};

const TAKE_BACK: &str = "open-api.tiktokglobalshop.com/authorization/202403/shops";
/// The seller who refuses the consent.
const OTHER_SELLER: &str = "one-shop";

/// Shows the steps of this file. `announced` is the end of the first authorization, as TikTok announced it before the
/// seller consented again.
pub(super) async fn tell(
    stage: &Stage,
    page: &mut Page,
    customer: &mut Customer,
    announced: UnixSeconds,
) -> Result<()> {
    a_shop_removed(stage, page, customer).await?;
    the_authorization_ended(stage, page, customer).await?;
    the_seller_consents_again(stage, page, customer).await?;
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
        "In Seller Center the seller removes one shop from the app, and TikTok sends a webhook. The connector deletes no \
         token because of a webhook. It makes a refresh due at once, which asks TikTok.",
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
    page.check("the webhook makes a refresh due", &effects, &vec![WebhookEffect::VerificationDue])?;
    page.check("the sweep has made the refresh", &swept, &Swept { refreshed: 1, ..Swept::default() })?;
    page.check("the removed shop is marked and still listed", &no_longer_granted(&connection), &vec![GERMAN_SHOP])?;
    page.check("the connection stays active for the other shops", &connection.status, &ConnectionStatus::Active)?;
    page.events(&events, &[EventKind::ShopsLost { shops: vec![GERMAN_SHOP.parse()?] }])
}

async fn the_authorization_ended(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<()> {
    stage.tiktok.end_authorization(SELLER)?;
    stage.advance(WEEK);
    page.step(
        "The authorization has ended",
        stage.now(),
        "The authorization ends before the date that TikTok gave. TikTok refuses the refresh token. It also refuses the \
         three earlier ones, which the connector keeps in case an answer is lost. No retry helps; only the seller can.",
    )?;
    let (Stage { host, tenant, .. }, Customer { id, .. }) = (stage, &*customer);
    let error = connector_error(call!(stage, page, host.refresh(tenant, id, None, RefreshMode::WhenDue)))?;
    stage.journal.checks();
    let again = connector_error(host.refresh(tenant, id, None, RefreshMode::WhenDue).await)?;
    let connection = listed(stage, customer).await?;

    page.error(&error)?;
    page.connection(&connection, stage.now())?;
    let reason = ReauthorizationReason::AuthorizationExpired;
    page.events(&new_events(stage, customer).await?, &[EventKind::ReauthorizationRequired(reason)])?;
    // The seller has consented twice. TikTok refuses the last token of each consent because the authorization has
    // ended, and the earlier tokens because they were replaced.
    let refusals = [(2, REFRESH, "200, code 36004001"), (2, REFRESH, "200, code 36004005")];
    page.requests(&stage.journal.take(), &refusals)?;
    page.check(CASE_AND_CODE, &case_and_code(&error), &(Action::Reauthorize, "authorization-expired"))?;
    page.check(
        "a second refresh fails in the same way, without a request",
        &case_and_code(&again),
        &case_and_code(&error),
    )?;
    let dead = (ConnectionStatus::ReauthorizationRequired(reason), vec![GERMAN_SHOP]);
    page.check(
        "the connection is listed as dead, and the chosen shop is kept",
        &(connection.status, linked(&connection)),
        &dead,
    )
}

async fn the_seller_consents_again(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<()> {
    page.step(
        "The seller consents again",
        stage.now(),
        "The seller follows a new link with a new state, and consents again. The consent includes the shop that was \
         removed. The same connection works again, with the same chosen shop.",
    )?;
    let (before, connection) = consent_again(stage, page, customer).await?;
    let after = listed(stage, customer).await?;

    page.connection(&connection, stage.now())?;
    page.shops(&connection.shops)?;
    let regained = EventKind::ShopsRegained { shops: vec![GERMAN_SHOP.parse()?] };
    page.events(&new_events(stage, customer).await?, &[EventKind::ConsentRenewed, EventKind::Recovered, regained])?;
    page.requests(&stage.journal.take(), &[(1, EXCHANGE, OK), (1, LIST_SHOPS, OK)])?;
    page.check("it is the same connection, and there is no other", &after.key, &before.key)?;
    page.check(
        "the connection is active, with an access token for seven days",
        &status_and_end(&connection),
        &active_for_a_week(stage.now()),
    )?;
    let shops = (no_longer_granted(&connection), linked(&connection));
    page.check("TikTok grants every shop, and the chosen shop is linked", &shops, &(vec![], vec![GERMAN_SHOP]))
}

async fn disconnected(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<()> {
    page.step(
        "The customer disconnects",
        stage.now(),
        "The connector asks TikTok to take the shops back from the app. Then it deletes the tokens and the row here, \
         whatever TikTok has answered.",
    )?;
    let (Stage { host, tenant, .. }, Customer { id, .. }) = (stage, &*customer);
    let outcome = call!(stage, page, host.disconnect(tenant, id, DisconnectTarget::All(None), RemoteGrant::Revoke))?;
    stage.journal.checks();
    let again = host.disconnect(tenant, id, DisconnectTarget::All(None), RemoteGrant::Revoke).await?;
    let refresh = connector_error(host.refresh(tenant, id, None, RefreshMode::WhenDue).await)?;
    let connections = host.list_connections(tenant, id).await?;
    let issued = stage.tiktok.issued(&stage.app.service_id, SELLER)?;
    let honoured = issued.access_tokens.iter().chain(&issued.refresh_tokens).filter(|token| token.honoured).count();

    page.events(&new_events(stage, customer).await?, &[EventKind::Disconnected])?;
    page.requests(&stage.journal.take(), &[(3, TAKE_BACK, OK)])?;
    page.check("one connection has ended", &outcome.found.len(), &1)?;
    let nothing_left =
        Disconnected { found: Vec::new(), remaining: Vec::new(), revoked: Vec::new(), not_revoked: Vec::new() };
    page.check("TikTok has taken every shop back", &outcome.not_revoked, &nothing_left.not_revoked)?;
    page.check("TikTok accepts none of the tokens that it has issued", &honoured, &0)?;
    page.check("disconnecting again succeeds and changes nothing", &again, &nothing_left)?;
    page.check("no connection is listed", &connections, &vec![])?;
    page.check(
        "a refresh is refused, because nothing is connected",
        &case_and_code(&refresh),
        &(Action::InvalidRequest, "not-connected"),
    )
}

async fn a_refused_consent(stage: &Stage, page: &mut Page) -> Result<()> {
    page.step(
        "A refused consent",
        stage.now(),
        "Another customer's seller refuses. TikTok sends the browser back nevertheless, with the four letters `null` \
         where the code would be. The connector must not take them for a code.",
    )?;
    let Stage { host, tenant, .. } = stage;
    let (id, browser) = (&"customer-8".parse()?, &Stage::browser()?);
    let consent = call!(stage, page, host.begin_consent(tenant, id, browser, ShopPolicy::All))?;
    let query = decide(stage, OTHER_SELLER, &consent.url, Decision::Refuse)?;
    let error = connector_error(call!(stage, page, host.finish_consent(tenant, browser, query)))?;
    stage.journal.checks();
    let connections = host.list_connections(tenant, id).await?;

    page.error(&error)?;
    page.requests(&stage.journal.take(), &[])?;
    page.check(CASE_AND_CODE, &case_and_code(&error), &(Action::Reauthorize, "consent-refused"))?;
    page.check("nothing is stored for this customer", &connections, &vec![])
}

async fn the_events(stage: &Stage, page: &mut Page, announced: UnixSeconds) -> Result<()> {
    page.step(
        "The events",
        stage.now(),
        "Every change has appended an event, in one transaction with the row that it changed, whichever server made it. \
         A platform reads the events in order, from any position. No event holds a secret.",
    )?;
    let Stage { storage, tenant, .. } = stage;
    let events = call!(stage, page, storage.events(tenant, None, 100))?;

    let expected = [
        EventKind::Connected,
        EventKind::ShopsLinked { shops: vec![GERMAN_SHOP.parse()?] },
        EventKind::RefreshForced,
        EventKind::AuthorizationEnding { ends: announced },
        EventKind::Notice { days: 30, ends: announced },
        EventKind::ConsentRenewed,
        EventKind::Recovered,
        EventKind::ShopsLost { shops: vec![GERMAN_SHOP.parse()?] },
        EventKind::ReauthorizationRequired(ReauthorizationReason::AuthorizationExpired),
        EventKind::ConsentRenewed,
        EventKind::Recovered,
        EventKind::ShopsRegained { shops: vec![GERMAN_SHOP.parse()?] },
        EventKind::Disconnected,
    ];
    page.events(&events, &expected)?;
    page.requests(&stage.journal.take(), &[])?;
    let rest = storage.events(tenant, events.last().map(|event| event.position), 100).await?;
    page.check("each event is listed once, and none after the last position", &rest, &vec![])
}

/// Returns the ids of the shops that TikTok no longer lists.
fn no_longer_granted(connection: &Connection) -> Vec<&str> {
    let shops = connection.shops.iter().filter(|shop| shop.standing == ShopStanding::NoLongerGranted);
    shops.map(|shop| shop.id.as_str()).collect()
}
