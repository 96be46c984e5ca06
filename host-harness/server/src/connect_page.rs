//! The two addresses that a seller's browser visits: the address of a connect session, and the callback after the
//! seller's decision.

use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::{Html, IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, HeaderName, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use maud::{Markup, html};
use tiktok_shop_host::ConnectorHost;
use tiktok_shop_host::Secret;
use tiktok_shop_host::consent::ConsentError;
use tiktok_shop_host::error::codes;

use crate::address::with_parameters;
use crate::cookie::CookieName;
use crate::input::PathOf;
use crate::install_page;
use crate::problem::Next;
use crate::session::{self, End, FailedConsent, NotOpened, Opened, Outcome, Ticket};
use crate::state::Shared;

/// The header in which a browser says which site has caused the request.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The policy of the page with a form. The form sends the browser to this service, which redirects it to TikTok Shop.
/// Some browsers apply `form-action` to the redirect, too. With a fake, the redirect leads to an address with `http`.
const POLICY_OF_FORM: &str =
    "default-src 'none'; base-uri 'none'; form-action 'self' https: http:; frame-ancestors 'none'";

/// `GET /connect/{secret}`: begins the consent in this browser, and sends it to TikTok Shop. If the platform has named
/// the customer, this only shows the name, and the seller begins the consent with a button. So a program that follows
/// links does not use the address up, and a person who got the link from somebody else sees for whom it is.
pub(crate) async fn open(State(state): State<Shared>, PathOf(secret): PathOf<String>) -> Response {
    // The storage does not know a changed address. So nobody can take the name out of an address.
    if Ticket::parse(&secret).is_some_and(|ticket| ticket.customer_name.is_some()) {
        return ask(&state, &secret).await;
    }
    open_now(&state, secret).await
}

/// `POST /connect/{secret}`: the seller has pressed the button.
pub(crate) async fn confirm(state: State<Shared>, PathOf(secret): PathOf<String>, headers: HeaderMap) -> Response {
    // A page of another site can send this form, too. The seller has then not seen the name of the customer.
    if headers.get(FETCH_SITE).is_some_and(|site| site != "same-origin") {
        return open(state, PathOf(secret)).await;
    }
    open_now(&state, secret).await
}

/// Shows the name of the customer. The address stays unopened.
async fn ask(state: &Shared, secret: &str) -> Response {
    match session::find(&*state.storage, secret).await {
        Ok(Opened { ticket, .. }) => question(ticket.customer_name.as_deref().unwrap_or_default()),
        Err(why) => not_opened(why).into_response(),
    }
}

async fn open_now(state: &Shared, secret: String) -> Response {
    let shared = state.clone();
    let opening = async move { begin(&shared, &secret).await };
    match state.run(opening).await {
        Ok(Ok(response)) => response,
        Ok(Err(page)) => page.into_response(),
        Err(_) => Page::TRY_AGAIN.into_response(),
    }
}

async fn begin(state: &Shared, secret: &str) -> Result<Response, Page> {
    let Opened { ticket, record } = session::open(&*state.storage, secret).await.map_err(not_opened)?;
    match redirect(state, &ticket, &record).await {
        Some(response) => Ok(response),
        None => {
            session::close_again(&*state.storage, &ticket, secret).await;
            Err(Page::TRY_AGAIN)
        }
    }
}

fn not_opened(why: NotOpened) -> Page {
    match why {
        NotOpened::Ended => Page::ENDED,
        NotOpened::Storage(error) => {
            tracing::warn!(%error, "the address of a connect session could not be opened");
            Page::TRY_AGAIN
        }
    }
}

/// Begins the consent. Returns the redirect to TikTok Shop, with the cookie of the consent. `None` if no consent has
/// begun; the log then has the reason.
async fn redirect(
    state: &Shared,
    ticket: &Ticket,
    record: &tiktok_shop_host::storage::ConsentRecord,
) -> Option<Response> {
    let cookie = ticket.for_browser().ok()?.to_text();
    let browser = Ticket::browser_session(cookie.expose())?;
    let host = acting_for(state, ticket);
    let begun = host.begin_consent(&ticket.tenant, &record.customer, record.app.as_ref(), &browser, record.shops).await;
    state.metrics.consent("begin", begun.as_ref().map_or_else(ConsentError::known_code, |_| "ok"));
    let link = match begun {
        Ok(consent) => consent.url,
        Err(error) => {
            tracing::warn!(%error, "a consent could not begin");
            return None;
        }
    };
    let name = CookieName::of_state(&state_of(link.expose().split_once('?')?.1)?);
    let address = match &state.consent_page {
        Some(page) => page(link.expose()),
        None => link.expose().to_owned(),
    };
    let mut location = HeaderValue::try_from(address).ok()?;
    location.set_sensitive(true);
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(SET_COOKIE, name.set(&cookie)?);
    Some(response)
}

/// How long a browser can see the outcome of its consent again.
const RELOAD_LIFE: Duration = Duration::from_secs(60);

/// `GET /callback`: finishes the consent, and leads the seller back to the platform. Without a state, it is the callback
/// of an install.
pub(crate) async fn callback(State(state): State<Shared>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = query.unwrap_or_default();
    if let Some(response) = install_page::lead_on(&state, &query) {
        return response;
    }
    let found = state_of(&query).map(|state| CookieName::of_state(&state));
    let found = found.and_then(|name| name.value(&headers).map(|value| (name, value)));
    let ticket = found.and_then(|(name, value)| Ticket::parse(value.expose()).map(|ticket| (name, value, ticket)));
    let Some((name, value, ticket)) = ticket else { return Page::OTHER_BROWSER.into_response() };
    let (shared, cookie) = (state.clone(), value.clone());
    let finishing = async move {
        let ending = finish(&shared, &ticket, value, query.into()).await;
        // The new connection has caused events. Without an outcome, the cookie may be invented, and nobody may let the
        // tasks of another tenant ask the database again and again.
        if matches!(ending, Ending::Recorded(_)) {
            shared.outgoing.wake(&ticket.tenant);
        }
        ending
    };
    match state.run(finishing).await {
        Ok(Ending::Over(page)) => {
            let mut response = page.into_response();
            response.headers_mut().extend(name.removal().map(|removal| (SET_COOKIE, removal)));
            response
        }
        Ok(Ending::Recorded(page)) => {
            let mut response = page.into_response();
            response.headers_mut().extend(name.set_for(&cookie, RELOAD_LIFE).map(|cookie| (SET_COOKIE, cookie)));
            response
        }
        Ok(Ending::Unfinished(page)) => page.into_response(),
        Err(_) => Page::TRY_AGAIN.into_response(),
    }
}

/// Whether the browser still needs the cookie of the consent.
enum Ending {
    /// The cookie does not belong to the consent, so it is removed.
    Over(Page),
    /// The outcome is recorded. If the browser loads the same callback again soon, it sees the outcome again. The cookie
    /// then ends, so that a person who connects many accounts does not send many cookies.
    Recorded(Page),
    /// The browser may load the same callback again, so the cookie stays. It ends ten minutes after the consent began.
    Unfinished(Page),
}

async fn finish(state: &Shared, ticket: &Ticket, cookie: Secret, query: Secret) -> Ending {
    let Some(browser) = Ticket::browser_session(cookie.expose()) else { return Ending::Over(Page::OTHER_BROWSER) };
    let finished = acting_for(state, ticket).finish_consent(&ticket.tenant, &browser, query).await;
    state.metrics.consent("finish", finished.as_ref().map_or_else(ConsentError::known_code, |_| "ok"));
    let end = match &finished {
        Ok(_) => End { outcome: Outcome::Connected, failure: None },
        // The cookie does not belong to the consent, so nothing in it may be believed.
        Err(ConsentError::OtherBrowser | ConsentError::StateMismatch) => return Ending::Over(Page::OTHER_BROWSER),
        Err(error) if error.can_be_repeated() => return Ending::Unfinished(Page::RELOAD),
        Err(ConsentError::StateUsed) => return Ending::Unfinished(earlier(state, ticket).await),
        Err(error) if error.code() == codes::CONSENT_REFUSED => {
            End { outcome: Outcome::Refused, failure: Some(error.into()) }
        }
        Err(error) => {
            tracing::warn!(%error, "a consent failed");
            End { outcome: Outcome::Failed, failure: Some(error.into()) }
        }
    };
    session::end(&*state.storage, ticket, &end).await;
    Ending::Recorded(Page::of(&end).leading_to(ticket, end.outcome))
}

/// Returns the page for a callback that was loaded before. The browser has the cookie of the consent, so it may see the
/// outcome.
async fn earlier(state: &Shared, ticket: &Ticket) -> Page {
    match session::ended(&*state.storage, ticket).await {
        Ok(Some(end)) => Page::of(&end).leading_to(ticket, end.outcome),
        Ok(None) => Page::WORKING,
        Err(error) => {
            tracing::warn!(%error, "the outcome of a connect session could not be read");
            Page::RELOAD
        }
    }
}

/// Returns the host with the API key that began the session as the actor, and with the session as the reason.
fn acting_for(state: &Shared, ticket: &Ticket) -> ConnectorHost {
    let host = state.host.acting_as(ticket.actor.clone());
    match format!("connect session {}", ticket.session).parse() {
        Ok(reason) => host.because(reason),
        Err(_) => host,
    }
}

/// Returns the only parameter `state` of a query.
fn state_of(query: &str) -> Option<String> {
    let mut states = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "state");
    let (_, state) = states.next().filter(|(_, state)| !state.is_empty())?;
    states.next().is_none().then(|| state.into_owned())
}

/// A short page without scripts, styles and images.
#[derive(Debug, Clone)]
struct Page {
    status: StatusCode,
    title: &'static str,
    text: &'static str,
    /// The address of the platform.
    back: Option<String>,
}

impl Page {
    const ENDED: Self = Self {
        status: StatusCode::GONE,
        title: "This link has ended",
        text: "It works once, and only for a short time. Go back and begin again.",
        back: None,
    };
    const OTHER_BROWSER: Self = Self {
        status: StatusCode::BAD_REQUEST,
        title: "This browser did not begin the connection",
        text: "Continue in the browser in which you began, or go back and begin again.",
        back: None,
    };
    const TRY_AGAIN: Self = Self {
        status: StatusCode::SERVICE_UNAVAILABLE,
        title: "This does not work at the moment",
        text: "Open the link again in a minute.",
        back: None,
    };
    const RELOAD: Self = Self {
        status: StatusCode::SERVICE_UNAVAILABLE,
        title: "The connection is not finished yet",
        text: "Load this page again in a minute.",
        back: None,
    };
    /// An earlier callback is still running. A call takes up to 130 s. If its process has ended, no outcome follows.
    const WORKING: Self = Self {
        status: StatusCode::ACCEPTED,
        title: "The shop is still being connected",
        text: "Load this page again in a moment. If it is still here after three minutes, go back and begin again.",
        back: None,
    };

    fn of(end: &End) -> Self {
        let (title, text) = match end.outcome {
            Outcome::Connected => ("Connected", "TikTok Shop is connected. You can go back now."),
            Outcome::Refused => ("Not connected", "You have not allowed the connection. Nothing has changed."),
            Outcome::Failed => ("Not connected", advice(end.failure.as_ref())),
        };
        Self { status: StatusCode::OK, title, text, back: None }
    }

    /// Adds the link back to the platform. The return address was in the allow list when the session began, and its
    /// digest protects it.
    fn leading_to(self, ticket: &Ticket, outcome: Outcome) -> Self {
        let parameters = [("outcome", outcome.as_str()), ("session", ticket.session.as_str())];
        Self { back: ticket.return_to.as_ref().map(|address| with_parameters(address, &parameters)), ..self }
    }
}

/// Returns what the seller can do after a consent that has failed.
fn advice(failure: Option<&FailedConsent>) -> &'static str {
    const BEGIN_AGAIN: &str = "The connection could not be made. Go back and begin again.";
    let Some(FailedConsent { next, code }) = failure else { return BEGIN_AGAIN };
    match next {
        _ if code == codes::NOT_A_SELLER => {
            "This TikTok account does not belong to a seller, so nothing was connected. Go back, begin again, and sign in \
             to TikTok Shop with the account of the seller."
        }
        Next::Reauthorize | Next::RetryAfter | Next::StorageConflict => BEGIN_AGAIN,
        Next::Misconfigured | Next::InvalidRequest | Next::StorageFailed => {
            "The connection could not be made, and would probably fail again. Go back and ask for help there."
        }
        // The consent may have taken effect.
        Next::Upstream | Next::Internal => {
            "The connection could not be finished. Go back and look whether TikTok Shop is connected. If not, begin again."
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let content = html! {
            p { (self.text) }
            @if let Some(back) = &self.back {
                p { a href=(back) { "Go back" } }
            }
        };
        (self.status, Html(document(self.title, &content).into_string())).into_response()
    }
}

/// Returns the page that asks the seller whether to connect a shop to this customer. The form has no address, so the
/// browser sends it to the address of the page.
fn question(customer: &str) -> Response {
    let content = html! {
        p { "Continue only if you know this name. Its account can then use the TikTok shop that you connect." }
        form method="post" {
            button type="submit" { "Continue to TikTok Shop" }
        }
    };
    let page = document(&format!("Connect a TikTok shop to {customer}"), &content);
    let mut response = Html(page.into_string()).into_response();
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY_OF_FORM));
    response
}

/// Returns a document with this title and content.
fn document(title: &str, content: &Markup) -> Markup {
    html! {
        (maud::DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
            }
            body {
                main {
                    h1 { (title) }
                    (content)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seller_whose_consent_may_have_taken_effect_looks_before_beginning_again() {
        for next in Next::ALL {
            let advice = advice(Some(&FailedConsent { next, code: "any-code".to_owned() }));
            let may_have_taken_effect = matches!(next, Next::Upstream | Next::Internal);
            assert_eq!(advice.contains("look whether TikTok Shop is connected"), may_have_taken_effect, "{next:?}");
        }
    }

    #[test]
    fn a_state_must_occur_once_and_not_be_empty() {
        assert_eq!(state_of("code=c&state=a%20b").as_deref(), Some("a b"));
        for query in ["", "code=c", "state=", "state=a&state=b", "state=a&state=a"] {
            assert_eq!(state_of(query), None, "{query}");
        }
    }
}
