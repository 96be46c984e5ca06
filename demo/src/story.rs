//! The steps in their order. Each makes its call, shows what came of it, and checks what it shows.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use fake_tiktok_shop::{Decision, Shop as NewShop};
use futures::future::join;
use tiktok_shop_host_harness::{
    Action, CallError, Connection, ConnectionStatus, ConnectorError, CustomerId, Grant, ReauthorizationReason,
    Rotation, ShopPolicy, StateCheck, UnixSeconds,
};

use crate::page::Page;
use crate::stage::Stage;

const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// The seller of the story, by its name in the fake: one account, shops in several regions, a consent for a year.
const SELLER: &str = "several-regions";
/// The seller of the last step.
const OTHER_SELLER: &str = "one-shop";

const EXCHANGE: &str = "auth.tiktok-shops.com/api/v2/token/get";
const REFRESH: &str = "auth.tiktok-shops.com/api/v2/token/refresh";
const LIST_SHOPS: &str = "open-api.tiktokglobalshop.com/authorization/202309/shops";
const OK: &str = "200, code 0";

/// What the operator has typed in place of the app secret.
const WRONG_SECRET: &str = "0000000000000000000000000000000000000bad";

const WHAT_AND_WHY: &str = "the case says what to do, the code says why";

/// Shows a call as it is written here, then makes it.
macro_rules! call {
    ($page:ident, $($call:tt)+) => {{
        $page.call(stringify!($($call)+))?;
        $($call)+.await
    }};
}

pub(crate) async fn tell(stage: &Stage, page: &mut Page) -> Result<()> {
    let customer: CustomerId = "customer-7".parse()?;
    let state = a_consent_link(stage, page).await?;
    let connected = the_seller_allows(stage, page, &customer, state).await?;
    let refreshed = seven_days_later(stage, page, &connected).await?;
    let ending = every_week_for_a_year(stage, page, &refreshed).await?;
    the_authorization_has_ended(stage, page, &ending).await?;
    the_seller_allows_again(stage, page, &ending).await?;
    a_wrong_app_secret(stage, page, &customer).await?;
    the_secret_put_right(stage, page, &customer).await?;
    a_refused_consent(stage, page).await
}

async fn a_consent_link(stage: &Stage, page: &mut Page) -> Result<String> {
    page.step(
        "A link for the seller",
        stage.now(),
        "A customer wants to connect. The platform draws a random state, remembers for whom, and sends the browser to \
         this link, which the connector makes from the app's settings.",
    )?;
    let Stage { host, tenant, .. } = stage;
    let drawn = Stage::draw_state()?;
    let state = drawn.as_str().into();
    let link = call!(page, host.authorization_url(tenant, state))?;

    page.consent_link(&link)?;
    page.requests(&new_requests(stage), &[])?;
    let expected = format!("{}&state={drawn}", stage.authorization_link());
    page.check("the link is the app's own and carries the state", &link, &expected)?;
    Ok(drawn)
}

async fn the_seller_allows(stage: &Stage, page: &mut Page, customer: &CustomerId, drawn: String) -> Result<Connection> {
    page.step(
        "The seller allows",
        stage.now(),
        "TikTok sends the browser back with a code. The connector compares the state, exchanges the code, stores the \
         tokens, and only then reads the shops: a crash in between loses nothing.",
    )?;
    let Stage { host, tenant, .. } = stage;
    let query = consent(stage, SELLER, &drawn, Decision::Allow)?.into();
    let state = StateCheck::Expected(drawn.into());
    let connection = call!(page, host.connect(tenant, customer, Grant::Callback { query, state }, ShopPolicy::All))?;

    page.connection(&connection, stage.now())?;
    page.shops(&connection.shops)?;
    page.requests(&new_requests(stage), &[(1, EXCHANGE, OK), (1, LIST_SHOPS, OK)])?;
    page.check("active, with an access token for seven days", &lasts(&connection), &lasts_from(stage.now()))?;
    page.check("three shops, each of them linked", &linked(&connection), &3)?;
    Ok(connection)
}

async fn seven_days_later(stage: &Stage, page: &mut Page, before: &Connection) -> Result<Connection> {
    stage.advance(WEEK);
    stage.tiktok.add_shop(SELLER, new_shop())?;
    page.step(
        "Seven days later",
        stage.now(),
        "The access token has run out, and the seller has opened a shop in Spain. One call renews the token and re-reads \
         the shops. Two servers call at once, and only one spends the refresh token: the other finds it renewed, or is \
         told to come back in a second.",
    )?;
    let Stage { host, second_host, tenant, .. } = stage;
    let customer = &before.key.customer;
    let answers = call!(
        page,
        join(
            host.refresh(tenant, customer, None, Rotation::WhenDue),
            second_host.refresh(tenant, customer, None, Rotation::WhenDue)
        )
    );
    let (renewed, turned_away): (Vec<_>, Vec<_>) = [answers.0, answers.1].into_iter().partition(Result::is_ok);
    let connections = renewed.into_iter().collect::<Result<Vec<_>, _>>()?;
    let connection = connections.first().context("neither server renewed")?.clone();

    page.connection(&connection, stage.now())?;
    page.shops(&connection.shops)?;
    // Each server that ends with a valid token reads the shops with it.
    page.requests(&new_requests(stage), &[(1, REFRESH, OK), (connections.len(), LIST_SHOPS, OK)])?;
    let codes = turned_away.into_iter().map(|answer| Ok(refused(answer)?.failure().code.clone()));
    let codes = codes.collect::<Result<Vec<_>>>()?;
    let in_progress = vec!["refresh-in-progress".to_owned(); 2 - connections.len()];
    page.check("two servers called, one request spent the refresh token", &codes, &in_progress)?;
    let week_later = (ConnectionStatus::Active, before.access_expires_at.map(|end| later(end, WEEK)));
    page.check("the access token ends seven days later than the one before", &lasts(&connection), &week_later)?;
    page.check("four shops: the new one is linked", &linked(&connection), &4)?;
    Ok(connection)
}

async fn every_week_for_a_year(stage: &Stage, page: &mut Page, before: &Connection) -> Result<Connection> {
    let Stage { host, tenant, .. } = stage;
    let customer = &before.key.customer;
    let end = before.refresh_expires_at.context("the refresh token has no end")?;
    let mut connection = None;
    let mut weeks = 0;
    while later(stage.now(), WEEK) < end {
        stage.advance(WEEK);
        weeks += 1;
        connection = Some(host.refresh(tenant, customer, None, Rotation::WhenDue).await?);
    }
    let connection = connection.context("there was no time to refresh")?;

    page.step(
        "Every week for the rest of the year",
        stage.now(),
        "The platform goes on like this, and nobody is asked for anything. But this seller's consent is for a year: \
         when its end comes near, the status says so, in time to ask for the next one.",
    )?;
    page.call(&format!("{weeks} times host.refresh(tenant, customer, None, Rotation::WhenDue)"))?;
    page.connection(&connection, stage.now())?;
    page.requests(&new_requests(stage), &[(weeks, REFRESH, OK), (weeks, LIST_SHOPS, OK)])?;
    page.check("the status names the end", &connection.status, &ConnectionStatus::AuthorizationEnding(end))?;
    Ok(connection)
}

async fn the_authorization_has_ended(stage: &Stage, page: &mut Page, before: &Connection) -> Result<()> {
    stage.advance(WEEK);
    page.step(
        "The authorization has ended",
        stage.now(),
        "Nobody asked in time. TikTok refuses the refresh token, and the three before it that the connector keeps for \
         the case that an answer is lost. No retry changes that, only the seller can.",
    )?;
    let Stage { host, tenant, .. } = stage;
    let customer = &before.key.customer;
    let error = refused(call!(page, host.refresh(tenant, customer, None, Rotation::WhenDue)))?;
    let again = refused(host.refresh(tenant, customer, None, Rotation::WhenDue).await)?;

    page.error(&error)?;
    page.requests(&new_requests(stage), &[(1, REFRESH, "200, code 36004001"), (3, REFRESH, "200, code 36004005")])?;
    page.check(WHAT_AND_WHY, &told(&error), &(Action::Reauthorize, "authorization-expired"))?;
    page.check("a second refresh says the same, without a request", &told(&again), &told(&error))?;

    let connection = the_only(call!(page, host.list_connections(tenant, customer))?)?;
    page.connection(&connection, stage.now())?;
    let dead = ConnectionStatus::ReauthorizationRequired(ReauthorizationReason::AuthorizationExpired);
    page.check("it is listed as dead, and its shops are known", &(connection.status, linked(&connection)), &(dead, 4))
}

async fn the_seller_allows_again(stage: &Stage, page: &mut Page, before: &Connection) -> Result<()> {
    page.step(
        "The seller allows again",
        stage.now(),
        "A new link, a new state, a new consent. The account is known, so the connection is replaced in place: same key, \
         same shops, working again.",
    )?;
    let Stage { host, tenant, .. } = stage;
    let customer = &before.key.customer;
    let drawn = Stage::draw_state()?;
    let query = consent(stage, SELLER, &drawn, Decision::Allow)?.into();
    let state = StateCheck::Expected(drawn.into());
    let connection = call!(page, host.connect(tenant, customer, Grant::Callback { query, state }, ShopPolicy::All))?;

    page.connection(&connection, stage.now())?;
    page.requests(&new_requests(stage), &[(1, EXCHANGE, OK), (1, LIST_SHOPS, OK)])?;
    let listed = the_only(host.list_connections(tenant, customer).await?)?;
    page.check("it is the same connection, and the only one", &listed.key, &before.key)?;
    page.check("active, with an access token for seven days", &lasts(&connection), &lasts_from(stage.now()))
}

async fn a_wrong_app_secret(stage: &Stage, page: &mut Page, customer: &CustomerId) -> Result<()> {
    stage.advance(WEEK);
    page.step(
        "A wrong app secret",
        stage.now(),
        "An operator has mistyped the app secret. Every seller's refresh now fails, and none of them can help: an error \
         that asked for new consents would drive all customers away for a typing mistake.",
    )?;
    let Stage { host, tenant, .. } = stage;
    stage.vault.set_app_secret(WRONG_SECRET.into());
    let error = refused(call!(page, host.refresh(tenant, customer, None, Rotation::WhenDue)))?;

    page.error(&error)?;
    page.requests(&new_requests(stage), &[(1, REFRESH, "400, code 36009004")])?;
    page.check(WHAT_AND_WHY, &told(&error), &(Action::Misconfigured, "app-rejected"))?;
    let connection = the_only(host.list_connections(tenant, customer).await?)?;
    page.check("the connection is alive", &connection.status, &ConnectionStatus::Active)
}

async fn the_secret_put_right(stage: &Stage, page: &mut Page, customer: &CustomerId) -> Result<()> {
    page.step(
        "The secret put right",
        stage.now(),
        "Credentials are read for each call, so nothing is restarted. A sweep would pause after the failure; the \
         operator need not, and forces the refresh.",
    )?;
    let Stage { host, tenant, .. } = stage;
    stage.vault.set_app_secret(stage.app.app_secret.as_str().into());
    let connection = call!(page, host.refresh(tenant, customer, None, Rotation::Forced))?;

    page.connection(&connection, stage.now())?;
    page.requests(&new_requests(stage), &[(1, REFRESH, OK), (1, LIST_SHOPS, OK)])?;
    page.check("active, with an access token for seven days", &lasts(&connection), &lasts_from(stage.now()))
}

async fn a_refused_consent(stage: &Stage, page: &mut Page) -> Result<()> {
    page.step(
        "A refused consent",
        stage.now(),
        "The seller of another customer says no. TikTok sends the browser back all the same, with the four letters \
         `null` for a code. That must not be taken for one.",
    )?;
    let Stage { host, tenant, .. } = stage;
    let customer = &"customer-8".parse()?;
    let drawn = Stage::draw_state()?;
    let query = consent(stage, OTHER_SELLER, &drawn, Decision::Refuse)?.into();
    let state = StateCheck::Expected(drawn.into());
    let error =
        refused(call!(page, host.connect(tenant, customer, Grant::Callback { query, state }, ShopPolicy::All)))?;

    page.error(&error)?;
    page.requests(&new_requests(stage), &[])?;
    page.check(
        "the case says what to do, the code says why",
        &told(&error),
        &(Action::Reauthorize, "consent-refused"),
    )?;
    page.check("nothing is stored for this customer", &host.list_connections(tenant, customer).await?.len(), &0)
}

/// What the seller's browser brings back from TikTok's consent page.
fn consent(stage: &Stage, seller: &str, state: &str, decision: Decision) -> Result<String> {
    Ok(stage.tiktok.consent(&stage.app.service_id, seller, Some(state), decision)?)
}

/// The requests since the last time.
fn new_requests(stage: &Stage) -> Vec<fake_tiktok_shop::RequestRecord> {
    let requests = stage.tiktok.requests();
    stage.tiktok.clear_requests();
    requests
}

fn the_only(connections: Vec<Connection>) -> Result<Connection> {
    match <[Connection; 1]>::try_from(connections) {
        Ok([connection]) => Ok(connection),
        Err(connections) => bail!("expected one connection, found {}", connections.len()),
    }
}

/// The connector's error, where a call has to end in one.
fn refused<T>(answer: Result<T, CallError>) -> Result<ConnectorError> {
    match answer {
        Ok(_) => bail!("expected an error of the connector, found success"),
        Err(CallError::Connector(error)) => Ok(error),
        Err(other) => Err(other).context("expected an error of the connector"),
    }
}

fn told(error: &ConnectorError) -> (Action, &str) {
    (error.action(), &error.failure().code)
}

/// Whether a connection works, and for how long without another request.
fn lasts(connection: &Connection) -> (ConnectionStatus, Option<UnixSeconds>) {
    (connection.status, connection.access_expires_at)
}

/// What [`lasts`] says of a connection whose token came just now.
fn lasts_from(now: UnixSeconds) -> (ConnectionStatus, Option<UnixSeconds>) {
    (ConnectionStatus::Active, Some(later(now, WEEK)))
}

fn later(at: UnixSeconds, by: Duration) -> UnixSeconds {
    UnixSeconds(at.0.saturating_add(by.as_secs()))
}

fn linked(connection: &Connection) -> usize {
    connection.shops.iter().filter(|shop| shop.linked).count()
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
