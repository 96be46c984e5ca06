//! The steps that keep the connection alive: refreshes, an error that an operator corrects, and a new consent in time.

use std::future::pending;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fake_tiktok_shop::Shop as NewShop;
use futures::future::join;
use tiktok_shop_host::connection::{ConnectionStatus, UnixSeconds};
use tiktok_shop_host::error::Action;
use tiktok_shop_host::events::{Actor, EventKind};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::sweep::Swept;
use tiktok_shop_host::webhook::{WebhookEffect, WebhookReply};

use super::step::{
    CASE_AND_CODE, Customer, EXCHANGE, LIST_SHOPS, OK, REFRESH, WEEK, active_for_a_week, case_and_code,
    connector_error, consent_again, due_now, later, linked, listed, new_events, status_and_end,
};
use super::webhooks::{accept, deliver_all};
use crate::page::Page;
use crate::stage::{GERMAN_SHOP, SELLER, Stage};

/// The app secret that the operator has mistyped.
const WRONG_SECRET: &str = "0000000000000000000000000000000000000bad";

/// TikTok announces the end of an authorization this long in advance: 30 days.
const ANNOUNCED_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// This long after a refresh, the next refresh is certainly due. A refresh is due a day before the access token
/// expires, plus a random delay of up to two hours. Because of the delay, the connections of a fleet are not all due at
/// once.
const SURELY_DUE: Duration = Duration::from_secs(6 * 86_400 + 3 * 3_600);

/// Shows the steps of this file. Returns the time at which the authorization ends, as TikTok has announced it.
pub(super) async fn tell(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<UnixSeconds> {
    seven_days_later(stage, page, customer).await?;
    a_wrong_app_secret(stage, page, customer).await?;
    the_secret_is_corrected(stage, page, customer).await?;
    let ends = the_end_is_announced(stage, page, customer).await?;
    renewed_in_time(stage, page, customer, ends).await?;
    Ok(ends)
}

async fn seven_days_later(stage: &Stage, page: &mut Page, customer: &Customer) -> Result<()> {
    let before = listed(stage, customer).await?;
    stage.journal.take();
    stage.advance(WEEK);
    stage.tiktok.add_shop(SELLER, new_shop())?;
    page.step(
        "Seven days later",
        stage.now(),
        "The access token has ended, and the seller has opened a shop in Spain. One call renews the token and reads the \
         shops again. Two servers make the call at the same time, and only one of them spends the refresh token. The \
         other finds the token renewed, or is asked to call again in a second.",
    )?;
    let (Stage { host, second_host, tenant, .. }, Customer { id, .. }) = (stage, customer);
    let answers = call!(
        stage,
        page,
        join(
            host.refresh(tenant, id, None, RefreshMode::WhenDue),
            second_host.refresh(tenant, id, None, RefreshMode::WhenDue)
        )
    );
    let (renewed, turned_away): (Vec<_>, Vec<_>) = [answers.0, answers.1].into_iter().partition(Result::is_ok);
    let refreshed = renewed.into_iter().collect::<Result<Vec<_>, _>>()?;
    let connection = &refreshed.first().context("neither server renewed")?.connection;

    page.connection(connection, stage.now())?;
    page.shops(&connection.shops)?;
    // Each server whose call succeeds reads the shops.
    page.requests(&stage.journal.take(), &[(1, REFRESH, OK), (refreshed.len(), LIST_SHOPS, OK)])?;
    let codes = turned_away.into_iter().map(|answer| Ok(connector_error(answer)?.failure().code.clone()));
    let codes = codes.collect::<Result<Vec<_>>>()?;
    let in_progress = vec!["refresh-in-progress".to_owned(); 2 - refreshed.len()];
    page.check("two servers called, and one request spent the refresh token", &codes, &in_progress)?;
    let week_later = (ConnectionStatus::Active, before.access_expires_at.map(|end| later(end, WEEK)));
    page.check(
        "the new access token ends seven days later than the old one",
        &status_and_end(connection),
        &week_later,
    )?;
    page.check("three shops are known, and only the chosen shop is linked", &linked(connection), &vec![GERMAN_SHOP])
}

async fn a_wrong_app_secret(stage: &Stage, page: &mut Page, customer: &Customer) -> Result<()> {
    stage.advance(WEEK);
    page.step(
        "A wrong app secret",
        stage.now(),
        "An operator has mistyped the app secret. Every seller's refresh fails now, and no seller can do anything about \
         it. If the error asked for new consents, every customer would be troubled because of a typing mistake.",
    )?;
    let (Stage { host, tenant, .. }, Customer { id, .. }) = (stage, customer);
    stage.vault.set_app_secret(WRONG_SECRET.into());
    let error = connector_error(call!(stage, page, host.refresh(tenant, id, None, RefreshMode::WhenDue)))?;
    stage.journal.checks();
    let connection = listed(stage, customer).await?;

    page.error(&error)?;
    page.requests(&stage.journal.take(), &[(1, REFRESH, "200, code 36009004")])?;
    page.check(CASE_AND_CODE, &case_and_code(&error), &(Action::Misconfigured, "app-rejected"))?;
    page.check("the connection is still active", &connection.status, &ConnectionStatus::Active)
}

async fn the_secret_is_corrected(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<()> {
    page.step(
        "The secret is corrected",
        stage.now(),
        "The host reads the credentials for each call, so it needs no restart. After the failure a sweep would wait for a \
         while before it tries again. The operator does not wait and forces the refresh. The event names the operator.",
    )?;
    let (Stage { host, tenant, .. }, Customer { id, .. }) = (stage, &*customer);
    stage.vault.set_app_secret(stage.app.app_secret.as_str().into());
    let operator: Actor = "operator-3".parse()?;
    let host = host.acting_as(operator.clone());
    let connection = call!(stage, page, host.refresh(tenant, id, None, RefreshMode::Forced))?.connection;
    stage.journal.checks();
    let events = new_events(stage, customer).await?;

    page.connection(&connection, stage.now())?;
    page.events(&events, &[EventKind::RefreshForced])?;
    page.requests(&stage.journal.take(), &[(1, REFRESH, OK), (1, LIST_SHOPS, OK)])?;
    page.check(
        "the connection is active, with an access token for seven days",
        &status_and_end(&connection),
        &active_for_a_week(stage.now()),
    )?;
    let actors: Vec<_> = events.into_iter().map(|event| event.event.origin.actor).collect();
    page.check("the event of the forced refresh names the operator", &actors, &vec![Some(operator)])
}

async fn the_end_is_announced(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<UnixSeconds> {
    let Stage { host, .. } = stage;
    let ends = listed(stage, customer).await?.refresh_expires_at.context("the refresh token has no end")?;
    let announced = UnixSeconds(ends.0.saturating_sub(ANNOUNCED_BEFORE.as_secs()));
    stage.journal.checks();
    let mut weeks = 0;
    while later(stage.now(), WEEK) < announced {
        stage.advance(WEEK);
        weeks += 1;
        let swept = host.sweep(due_now(stage), pending(), |_, _| {}).await?;
        ensure!(swept == Swept { refreshed: 1, ..Swept::default() }, "week {weeks}: {swept}");
    }
    let before = listed(stage, customer).await?;
    stage.advance(SURELY_DUE);
    page.step(
        "TikTok announces the end",
        stage.now(),
        "One sweep a week has renewed the tokens since then. But this consent is for one year. 30 days before its end, \
         TikTok sends a webhook for each shop. The platform passes each webhook to the connector.",
    )?;
    page.call("host.accept_webhook(tenant, None, authorization, body, handle)")?;
    let deliveries = stage.tiktok.webhooks_due();
    let delivered = deliver_all(stage).await?;
    stage.journal.checks();
    let again = accept(stage, deliveries.first().context("TikTok announced nothing")?).await?.1;
    let connection = listed(stage, customer).await?;
    page.webhooks(&delivered)?;
    page.connection(&connection, stage.now())?;
    let sweep = due_now(stage);
    let swept = call!(stage, page, host.sweep(sweep, pending(), |_, _| {}))?;
    page.answer(&swept.to_string())?;
    stage.journal.checks();
    let expected = [EventKind::AuthorizationEnding { ends }, EventKind::Notice { days: 30, ends }];
    page.events(&new_events(stage, customer).await?, &expected)?;
    page.requests(&stage.journal.take(), &[(weeks + 1, REFRESH, OK), (weeks + 1, LIST_SHOPS, OK)])?;
    let effects: Vec<_> = delivered.iter().map(|(webhook, status)| (webhook.effect, *status)).collect();
    page.check(
        "each webhook is answered with HTTP 200",
        &effects,
        &vec![(WebhookEffect::AuthorizationEnding, 200); 3],
    )?;
    page.check("a repeated webhook is recognised", &again, &WebhookReply::Repeated)?;
    let statuses = (before.status, connection.status);
    let expected = (ConnectionStatus::Active, ConnectionStatus::AuthorizationEnding(ends));
    page.check("the status was active, and now it names the end", &statuses, &expected)?;
    let swept_one = Swept { refreshed: 1, notices: 1, ..Swept::default() };
    page.check("the sweep still refreshes, and gives one notice", &swept, &swept_one)?;
    Ok(ends)
}

async fn renewed_in_time(stage: &Stage, page: &mut Page, customer: &mut Customer, ends: UnixSeconds) -> Result<()> {
    stage.advance(WEEK);
    page.step(
        "Renewed in time",
        stage.now(),
        "The platform has shown a button, and the seller consents again. The account is already connected, so the new \
         tokens replace the old ones in the same connection.",
    )?;
    let (before, connection) = consent_again(stage, page, customer).await?;
    let late = deliver_all(stage).await?;
    stage.journal.checks();
    let after = listed(stage, customer).await?;

    page.connection(&connection, stage.now())?;
    page.events(&new_events(stage, customer).await?, &[EventKind::ConsentRenewed, EventKind::Recovered])?;
    page.requests(&stage.journal.take(), &[(1, EXCHANGE, OK), (1, LIST_SHOPS, OK)])?;
    page.check("it is the same connection, and there is no other", &after.key, &before.key)?;
    page.check(
        "the connection is active, with an access token for seven days",
        &status_and_end(&connection),
        &active_for_a_week(stage.now()),
    )?;
    let ends_later = (before.ends_at() == Some(ends), after.ends_at() > Some(ends));
    page.check("the authorization ends later than TikTok had announced", &ends_later, &(true, true))?;
    let effects: Vec<_> = late.iter().map(|(webhook, _)| webhook.effect).collect();
    page.check("six late webhooks about the old end have no effect", &effects, &vec![WebhookEffect::None; 2 * 3])?;
    page.check("older webhooks are not handled at all", &stage.tiktok.webhooks_due().len(), &0)?;
    page.check("the connection is unchanged by them", &after, &connection)?;
    page.check("the chosen shop is still linked", &linked(&connection), &vec![GERMAN_SHOP])
}

fn new_shop() -> NewShop {
    NewShop {
        id: "7490000000000000030".to_owned(),
        name: "Lantern & Loom ES".to_owned(),
        region: "ES".to_owned(),
        seller_type: "LOCAL".to_owned(),
        cipher: Some("ROW_demo30cipherOfES".to_owned()),
        code: "ESLCDEMO030".to_owned(),
        extra: Default::default(),
    }
}
