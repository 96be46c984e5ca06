//! The pages of the fake for people: they show its state, and their forms change it.
//!
//! The pages need no script. A form is sent to a path under `/_pages/do/`. Before the fake carries a form out, it
//! checks that the form comes from one of its own pages: see [`actions`].

mod actions;
mod callback;
mod clock;
mod control;
mod form;
mod grants;
mod requests;
mod sellers;
mod switches;
mod webhooks;

use axum::Router;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use maud::{Markup, html};

use crate::consent_page::Link;
use crate::control::Control;
use crate::marketplace::Marketplace;
use crate::page::{self, Tab};
use crate::query;
use crate::signature::{hex, hmac_sha256};

pub(crate) use callback::callback;
pub(crate) use sellers::kind;

/// The state of the pages.
pub(crate) struct PagesState {
    /// A text that every form of the pages contains. A page of another web site cannot read the text, so it cannot send
    /// a form that the fake carries out.
    token: String,
    /// The result of the form that was sent last. The next page shows it once.
    message: Option<Message>,
    /// The receiver to which a person has sent webhooks last.
    receiver: Receiver,
}

/// The result of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Message {
    Done(String),
    Refused(String),
}

/// The receiver of webhooks, as a person has typed it into the form.
struct Receiver {
    to: String,
    path: String,
}

impl PagesState {
    /// Derives the token of the forms from `seed`. Nobody can guess the token without the seed.
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        Self {
            token: hex(&hmac_sha256(seed, b"token of the forms")),
            message: None,
            receiver: Receiver { to: "127.0.0.1:3000".to_owned(), path: "/webhooks".to_owned() },
        }
    }
}

pub(crate) fn router() -> Router<Control> {
    Router::new()
        .route(
            Tab::Start.path(),
            get(async |State(control): State<Control>| show(&control, Tab::Start, grants::content)),
        )
        .route(
            Tab::Sellers.path(),
            get(async |State(control): State<Control>| show(&control, Tab::Sellers, sellers::content)),
        )
        .route(
            Tab::Webhooks.path(),
            get(async |State(control): State<Control>| show(&control, Tab::Webhooks, webhooks::content)),
        )
        .route(Tab::Requests.path(), get(requests::show))
        .route(
            Tab::Switches.path(),
            get(async |State(control): State<Control>| show(&control, Tab::Switches, switches::content)),
        )
        .route(
            Tab::Control.path(),
            get(async |State(control): State<Control>| show(&control, Tab::Control, control::content)),
        )
        .route("/_pages/do/{action}", post(actions::carry_out))
}

/// Returns the consent link of an app, as a path on this fake.
pub(crate) fn consent_link(service_id: &str, state: &str) -> String {
    query::append(Link::ServiceId.path(), &query::encode([("service_id", service_id), ("state", state)]))
}

fn show(control: &Control, tab: Tab, content: impl FnOnce(&mut Marketplace) -> Markup) -> Response {
    let content = control.with(|marketplace| {
        let message = marketplace.pages.message.take();
        html! {
            @if let Some(message) = message { (shown(&message)) }
            (content(marketplace))
        }
    });
    (page::headers(), Html(page::tool(tab, &content))).into_response()
}

fn shown(message: &Message) -> Markup {
    match message {
        Message::Done(text) => html! { p.message.good role="status" id="message" { (text) } },
        Message::Refused(text) => html! { p.message.bad role="alert" id="message" { (text) } },
    }
}
