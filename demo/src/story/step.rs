//! Constants, functions and a macro that the steps of the demo use.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use fake_tiktok_shop::Decision;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, ShopPolicy, UnixSeconds};
use tiktok_shop_host::consent::{BrowserSession, ConsentError};
use tiktok_shop_host::error::{Action, ConnectorError};
use tiktok_shop_host::events::{Event, EventPosition};
use tiktok_shop_host::sweep::Sweep;
use tiktok_shop_host::{CallError, CustomerId, Secret};

use crate::page::Page;
use crate::stage::{SELLER, Stage};

pub(super) const DAY: Duration = Duration::from_secs(86_400);
pub(super) const WEEK: Duration = Duration::from_secs(7 * 86_400);

pub(super) const EXCHANGE: &str = "auth.tiktok-shops.com/api/v2/token/get";
pub(super) const REFRESH: &str = "auth.tiktok-shops.com/api/v2/token/refresh";
pub(super) const LIST_SHOPS: &str = "open-api.tiktokglobalshop.com/authorization/202309/shops";
pub(super) const OK: &str = "200, code 0";

pub(super) const CASE_AND_CODE: &str = "the error's case says what to do, and its code says why";

/// Shows a call as it is written in the source, then makes it.
macro_rules! call {
    ($stage:ident, $page:ident, $($call:tt)+) => {{
        $page.call(stringify!($($call)+))?;
        $stage.journal.call();
        $($call)+.await
    }};
}

/// The customer whose connection the demo shows.
pub(super) struct Customer {
    pub(super) id: CustomerId,
    pub(super) browser: BrowserSession,
    /// The position of the last event that was shown.
    pub(super) last_event: Option<EventPosition>,
}

/// Lets the seller decide on TikTok's consent page, to which `link` leads. Returns the query with which TikTok sends
/// the seller's browser back.
pub(super) fn decide(stage: &Stage, seller: &str, link: &Secret, decision: Decision) -> Result<Secret> {
    let (_, state) = link.expose().split_once("&state=").context("the link carries no state")?;
    Ok(stage.tiktok.consent(&stage.app.service_id, seller, Some(state), decision)?.into())
}

/// Returns the events after the last event that was shown. From then on, the returned events count as shown.
pub(super) async fn new_events(stage: &Stage, customer: &mut Customer) -> Result<Vec<Event>> {
    let events = stage.storage.events(&stage.tenant, customer.last_event, 100).await?;
    customer.last_event = events.last().map(|event| event.position).or(customer.last_event);
    Ok(events)
}

/// Returns a sweep of every connection that is due now, without random pauses.
pub(super) fn due_now(stage: &Stage) -> Sweep {
    Sweep { jitter: Duration::ZERO, ..Sweep::new(stage.now(), NonZeroUsize::MIN) }
}

/// Returns the customer's only connection, as `list_connections` lists it.
pub(super) async fn listed(stage: &Stage, customer: &Customer) -> Result<Connection> {
    let connections = stage.host.list_connections(&stage.tenant, &customer.id).await?;
    match <[Connection; 1]>::try_from(connections) {
        Ok([connection]) => Ok(connection),
        Err(connections) => bail!("expected one connection, found {}", connections.len()),
    }
}

/// Lets the seller consent again. Returns the connection before the consent and after it.
pub(super) async fn consent_again(
    stage: &Stage,
    page: &mut Page,
    customer: &Customer,
) -> Result<(Connection, Connection)> {
    let (Stage { host, tenant, .. }, Customer { id, browser, .. }) = (stage, customer);
    stage.journal.checks();
    let before = listed(stage, customer).await?;
    let consent = call!(stage, page, host.begin_consent(tenant, id, None, browser, ShopPolicy::ExactlyOne))?;
    let query = decide(stage, SELLER, &consent.url, Decision::Allow)?;
    let connection = call!(stage, page, host.finish_consent(tenant, browser, query))?;
    stage.journal.checks();
    Ok((before, connection))
}

/// Returns the connector's error from a call that must fail with such an error.
pub(super) fn connector_error<T, E: Into<ConsentError>>(answer: Result<T, E>) -> Result<ConnectorError> {
    match answer.map_err(Into::into) {
        Ok(_) => bail!("expected an error of the connector, found success"),
        Err(ConsentError::Call(CallError::Connector(error))) => Ok(error),
        Err(other) => Err(other).context("expected an error of the connector"),
    }
}

pub(super) fn case_and_code(error: &ConnectorError) -> (Action, &str) {
    (error.action(), &error.failure().code)
}

/// Returns the status of a connection, and the time at which its access token expires.
pub(super) fn status_and_end(connection: &Connection) -> (ConnectionStatus, Option<UnixSeconds>) {
    (connection.status, connection.access_expires_at)
}

/// Returns the [`status_and_end`] of an active connection whose access token TikTok has issued just now.
pub(super) fn active_for_a_week(now: UnixSeconds) -> (ConnectionStatus, Option<UnixSeconds>) {
    (ConnectionStatus::Active, Some(later(now, WEEK)))
}

pub(super) fn later(at: UnixSeconds, by: Duration) -> UnixSeconds {
    UnixSeconds(at.0.saturating_add(by.as_secs()))
}

/// Returns the ids of the shops that are linked to the customer.
pub(super) fn linked(connection: &Connection) -> Vec<&str> {
    connection.shops.iter().filter(|shop| shop.linked).map(|shop| shop.id.as_str()).collect()
}
