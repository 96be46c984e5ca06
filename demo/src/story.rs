//! The steps in their order. Each makes its calls, shows what came of them, and checks what it shows.

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

const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

const EXCHANGE: &str = "auth.tiktok-shops.com/api/v2/token/get";
const REFRESH: &str = "auth.tiktok-shops.com/api/v2/token/refresh";
const LIST_SHOPS: &str = "open-api.tiktokglobalshop.com/authorization/202309/shops";
const OK: &str = "200, code 0";

const WHAT_AND_WHY: &str = "the case says what to do, the code says why";

/// Shows a call as it is written here, then makes it.
macro_rules! call {
    ($stage:ident, $page:ident, $($call:tt)+) => {{
        $page.call(stringify!($($call)+))?;
        $stage.journal.call();
        $($call)+.await
    }};
}

mod connecting;
mod ending;
mod keeping;
mod restarting;
mod webhooks;

/// Whose story it is.
struct Customer {
    id: CustomerId,
    browser: BrowserSession,
    /// The last event of the tenant that was shown.
    read: Option<EventPosition>,
}

pub(crate) async fn tell(stage: &mut Stage, page: &mut Page) -> Result<()> {
    let mut customer = Customer { id: "customer-7".parse()?, browser: Stage::browser()?, read: None };
    connecting::tell(stage, page, &mut customer).await?;
    restarting::tell(stage, page, &customer).await?;
    let announced = keeping::tell(stage, page, &mut customer).await?;
    ending::tell(stage, page, &mut customer, announced).await
}

/// What the seller's browser brings back from TikTok's consent page, to which this link leads.
fn decide(stage: &Stage, seller: &str, link: &Secret, decision: Decision) -> Result<Secret> {
    let (_, state) = link.expose().split_once("&state=").context("the link carries no state")?;
    Ok(stage.tiktok.consent(&stage.app.service_id, seller, Some(state), decision)?.into())
}

/// The events since the last time.
async fn new_events(stage: &Stage, customer: &mut Customer) -> Result<Vec<Event>> {
    let events = stage.storage.events(&stage.tenant, customer.read, 100).await?;
    customer.read = events.last().map(|event| event.position).or(customer.read);
    Ok(events)
}

/// What is due now, without a pause before it.
fn due_now(stage: &Stage) -> Sweep {
    Sweep { jitter: Duration::ZERO, ..Sweep::new(stage.now(), NonZeroUsize::MIN) }
}

/// The customer's connection, as it is listed.
async fn listed(stage: &Stage, customer: &Customer) -> Result<Connection> {
    let connections = stage.host.list_connections(&stage.tenant, &customer.id).await?;
    match <[Connection; 1]>::try_from(connections) {
        Ok([connection]) => Ok(connection),
        Err(connections) => bail!("expected one connection, found {}", connections.len()),
    }
}

/// The seller consents once more: the connection before, and what the callback gives.
async fn consented_again(stage: &Stage, page: &mut Page, customer: &Customer) -> Result<(Connection, Connection)> {
    let (Stage { host, tenant, .. }, Customer { id, browser, .. }) = (stage, customer);
    stage.journal.checks();
    let before = listed(stage, customer).await?;
    let consent = call!(stage, page, host.begin_consent(tenant, id, browser, ShopPolicy::ExactlyOne))?;
    let query = decide(stage, SELLER, &consent.url, Decision::Allow)?;
    let connection = call!(stage, page, host.finish_consent(tenant, browser, query))?;
    stage.journal.checks();
    Ok((before, connection))
}

/// The connector's error, where a call has to end in one.
fn refused<T, E: Into<ConsentError>>(answer: Result<T, E>) -> Result<ConnectorError> {
    match answer.map_err(Into::into) {
        Ok(_) => bail!("expected an error of the connector, found success"),
        Err(ConsentError::Call(CallError::Connector(error))) => Ok(error),
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

/// Ids of the shops that the customer uses.
fn linked(connection: &Connection) -> Vec<&str> {
    connection.shops.iter().filter(|shop| shop.linked).map(|shop| shop.id.as_str()).collect()
}
