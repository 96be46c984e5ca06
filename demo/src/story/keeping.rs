//! What keeps the connection alive: refreshes, a failure that passes, and a new consent in time.

use std::future::pending;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fake_tiktok_shop::Shop as NewShop;
use futures::future::join;
use tiktok_shop_host::connection::{ConnectionStatus, UnixSeconds};
use tiktok_shop_host::error::Action;
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::sweep::Swept;
use tiktok_shop_host::webhook::{WebhookEffect, WebhookReply};

use super::webhooks::{accept, deliver_all};
use super::{
    Customer, EXCHANGE, LIST_SHOPS, OK, REFRESH, WEEK, WHAT_AND_WHY, consented_again, due_now, lasts, lasts_from,
    later, linked, listed, new_events, refused, told,
};
use crate::page::Page;
use crate::stage::{GERMAN_SHOP, SELLER, Stage};

/// What the operator has typed in place of the app secret.
const WRONG_SECRET: &str = "0000000000000000000000000000000000000bad";

/// How long before its end TikTok announces it.
const ANNOUNCED_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// A refresh is due a day before the access token ends, and up to two hours later, so that a fleet does not meet.
const SURELY_DUE: Duration = Duration::from_secs(6 * 86_400 + 3 * 3_600);

/// Tells when the authorization ends.
pub(super) async fn tell(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<UnixSeconds> {
    seven_days_later(stage, page, customer).await?;
    a_wrong_app_secret(stage, page, customer).await?;
    the_secret_put_right(stage, page, customer).await?;
    let ends = an_end_announced(stage, page, customer).await?;
    renewed(stage, page, customer, ends).await?;
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
        "The access token has run out, and the seller has opened a shop in Spain. One call renews the token and re-reads \
         the shops. Two servers call at once, and only one spends the refresh token: the other finds it renewed, or is \
         told to come back in a second.",
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
    let connections = renewed.into_iter().collect::<Result<Vec<_>, _>>()?;
    let connection = connections.first().context("neither server renewed")?;

    page.connection(connection, stage.now())?;
    page.shops(&connection.shops)?;
    // Each server that ends with a valid token reads the shops with it.
    page.requests(&stage.journal.take(), &[(1, REFRESH, OK), (connections.len(), LIST_SHOPS, OK)])?;
    let codes = turned_away.into_iter().map(|answer| Ok(refused(answer)?.failure().code.clone()));
    let codes = codes.collect::<Result<Vec<_>>>()?;
    let in_progress = vec!["refresh-in-progress".to_owned(); 2 - connections.len()];
    page.check("two servers called, one request spent the refresh token", &codes, &in_progress)?;
    let week_later = (ConnectionStatus::Active, before.access_expires_at.map(|end| later(end, WEEK)));
    page.check("the access token ends seven days later than the one before", &lasts(connection), &week_later)?;
    page.check("three shops are known, and the choice stands", &linked(connection), &vec![GERMAN_SHOP])
}

async fn a_wrong_app_secret(stage: &Stage, page: &mut Page, customer: &Customer) -> Result<()> {
    stage.advance(WEEK);
    page.step(
        "A wrong app secret",
        stage.now(),
        "An operator has mistyped the app secret. Every seller's refresh now fails, and none of them can help: an error \
         that asked for new consents would drive all customers away for a typing mistake.",
    )?;
    let (Stage { host, tenant, .. }, Customer { id, .. }) = (stage, customer);
    stage.vault.set_app_secret(WRONG_SECRET.into());
    let error = refused(call!(stage, page, host.refresh(tenant, id, None, RefreshMode::WhenDue)))?;
    stage.journal.checks();
    let connection = listed(stage, customer).await?;

    page.error(&error)?;
    page.requests(&stage.journal.take(), &[(1, REFRESH, "400, code 36009004")])?;
    page.check(WHAT_AND_WHY, &told(&error), &(Action::Misconfigured, "app-rejected"))?;
    page.check("the connection is alive", &connection.status, &ConnectionStatus::Active)
}

async fn the_secret_put_right(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<()> {
    page.step(
        "The secret put right",
        stage.now(),
        "Credentials are read for each call, so nothing is restarted. A sweep would pause after the failure; the \
         operator need not, and forces the refresh.",
    )?;
    let (Stage { host, tenant, .. }, Customer { id, .. }) = (stage, &*customer);
    stage.vault.set_app_secret(stage.app.app_secret.as_str().into());
    let connection = call!(stage, page, host.refresh(tenant, id, None, RefreshMode::Forced))?;
    stage.journal.checks();
    let events = new_events(stage, customer).await?;

    page.connection(&connection, stage.now())?;
    page.requests(&stage.journal.take(), &[(1, REFRESH, OK), (1, LIST_SHOPS, OK)])?;
    page.check("active, with an access token for seven days", &lasts(&connection), &lasts_from(stage.now()))?;
    page.check("the customer heard nothing of it: no event", &events, &vec![])
}

async fn an_end_announced(stage: &Stage, page: &mut Page, customer: &mut Customer) -> Result<UnixSeconds> {
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
        "A sweep a week keeps the tokens fresh, and nobody is asked for anything. But this consent is for a year: 30 \
         days before its end TikTok says so, once for each shop. The platform hands over what arrives.",
    )?;
    page.call("host.accept_webhook(tenant, authorization, body, handle)")?;
    let deliveries = stage.tiktok.webhooks_due();
    let delivered = deliver_all(stage).await?;
    stage.journal.checks();
    let again = accept(stage, deliveries.first().context("TikTok announced nothing")?).await?.1;
    let connection = listed(stage, customer).await?;
    let sweep = due_now(stage);
    let swept = call!(stage, page, host.sweep(sweep, pending(), |_, _| {}))?;

    page.webhooks(&delivered)?;
    page.connection(&connection, stage.now())?;
    page.answer(&swept.to_string())?;
    stage.journal.checks();
    let told = [EventKind::AuthorizationEnding { ends }, EventKind::Notice { days: 30, ends }];
    page.events(&new_events(stage, customer).await?, &told)?;
    page.requests(&stage.journal.take(), &[(weeks + 1, REFRESH, OK), (weeks + 1, LIST_SHOPS, OK)])?;
    let effects: Vec<_> = delivered.iter().map(|(webhook, status)| (webhook.effect, *status)).collect();
    page.check("each is answered with 200", &effects, &vec![(WebhookEffect::AuthorizationEnding, 200); 3])?;
    page.check("a repetition is handled once", &again, &WebhookReply::Repeated)?;
    let statuses = (before.status, connection.status);
    let expected = (ConnectionStatus::Active, ConnectionStatus::AuthorizationEnding(ends));
    page.check("active before, and now the status names the end", &statuses, &expected)?;
    let swept_one = Swept { refreshed: 1, notices: 1, ..Swept::default() };
    page.check("the sweep goes on refreshing, and gives one notice", &swept, &swept_one)?;
    Ok(ends)
}

async fn renewed(stage: &Stage, page: &mut Page, customer: &mut Customer, ends: UnixSeconds) -> Result<()> {
    stage.advance(WEEK);
    page.step(
        "Renewed in time",
        stage.now(),
        "The platform has shown a button, and the seller consents again. The account is known, so the connection is \
         replaced in place, and only when the new tokens are stored.",
    )?;
    let (before, connection) = consented_again(stage, page, customer).await?;
    let late = deliver_all(stage).await?;
    stage.journal.checks();
    let after = listed(stage, customer).await?;

    page.connection(&connection, stage.now())?;
    page.events(&new_events(stage, customer).await?, &[EventKind::Recovered])?;
    page.requests(&stage.journal.take(), &[(1, EXCHANGE, OK), (1, LIST_SHOPS, OK)])?;
    page.check("it is the same connection, and the only one", &after.key, &before.key)?;
    page.check("active, with an access token for seven days", &lasts(&connection), &lasts_from(stage.now()))?;
    let ends_later = (before.ends_at() == Some(ends), after.ends_at() > Some(ends));
    page.check("it ends later than was announced", &ends_later, &(true, true))?;
    let effects: Vec<_> = late.iter().map(|(webhook, _)| webhook.effect).collect();
    page.check("a week of announcements of the old end comes late", &effects, &vec![WebhookEffect::None; 7 * 3])?;
    page.check("they change nothing", &after, &connection)?;
    page.check("the choice stands", &linked(&connection), &vec![GERMAN_SHOP])
}

fn new_shop() -> NewShop {
    NewShop {
        id: "7490000000000000010".to_owned(),
        name: "Lantern & Loom ES".to_owned(),
        region: "ES".to_owned(),
        seller_type: "LOCAL".to_owned(),
        cipher: Some("ROW_demo10cipherOfES".to_owned()),
        code: "ESLCDEMO010".to_owned(),
        extra: Default::default(),
    }
}
