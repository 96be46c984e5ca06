//! Serves all network hosts of TikTok Shop on one listener. The `Host` header of a request selects the network host. If
//! this header names the fake itself, the path of the request selects the network host.

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;

use crate::clock::Utc;
use crate::connection::{Playback, TakeOver};
use crate::consent_page::Link;
use crate::control::Control;
use crate::envelope::{self, FailureForm};
use crate::issued::IssuedPair;
use crate::marketplace::Marketplace;
use crate::request_log::RequestRecord;
use crate::switches::TokenFailure;
use crate::vendor_request::{HostName, Service, VendorRequest};
use crate::{api_host, consent_page, control_http, page, pages, token_host};

pub(crate) fn router(control: Control) -> Router {
    Router::new()
        .merge(pages::router())
        .route(page::CALLBACK_PATH, get(pages::callback))
        .nest("/_control", control_http::router())
        .fallback(by_path)
        .layer(from_fn_with_state(control.clone(), by_host))
        .layer(from_fn_with_state(control.clone(), date))
        .with_state(control)
}

/// Adds a `Date` header with the fake's time to every answer. A fault sends exactly its own bytes, so its answer has a
/// `Date` only if the fault contains one.
async fn date(State(control): State<Control>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Ok(date) = HeaderValue::try_from(Utc::from_unix_seconds(control.now()).imf_fixdate()) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// Serves a request according to its `Host` header. A request to the name of a production host of TikTok Shop gets the
/// answer of that host. Only a request to a name of the fake itself reaches the fake's own pages. A request to any
/// other host gets status 421.
async fn by_host(State(control): State<Control>, request: Request, next: Next) -> Response {
    match HostName::of(&request, control.hosts()) {
        HostName::Production(service) => serve(&control, service, request).await,
        HostName::Own => next.run(request).await,
        HostName::Foreign => {
            let text = "this fake answers for localhost and the hosts of TikTok Shop; \
                        to give it another name, start it with --host-name\n";
            (StatusCode::MISDIRECTED_REQUEST, text).into_response()
        }
    }
}

async fn by_path(State(control): State<Control>, request: Request) -> Response {
    let service = Service::by_path(request.uri().path());
    serve(&control, service, request).await
}

async fn serve(control: &Control, service: Service, mut request: Request) -> Response {
    let Some(take_over) = request.extensions_mut().remove::<TakeOver>() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let Some(request) = VendorRequest::receive(request).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let outcome = control.with(|marketplace| {
        let at = marketplace.clock.now();
        let Some((name, fault)) = marketplace.faults.next(&request.path) else {
            let reply = Reply::to(service, marketplace, &request);
            marketplace.log.record(RequestRecord::new(&request, at, Some(&reply), None));
            return Ok(reply);
        };
        let reply = fault.acts.then(|| Reply::to(service, marketplace, &request));
        marketplace.log.record(RequestRecord::new(&request, at, reply.as_ref(), Some(name)));
        let answer = reply.map(Reply::body).unwrap_or_default();
        Err(Playback { bytes: fault.bytes(&answer), then: fault.then })
    });
    match outcome {
        Ok(reply) => reply.into_response(),
        Err(playback) => take_over.play(playback).await,
    }
}

const NO_SUCH_PAGE: &str = "404 page not found";

/// The answer of one of TikTok Shop's network hosts.
pub(crate) enum Reply {
    /// The plain text with which the token host answers an unknown path.
    NoSuchPage,
    Envelope {
        status: StatusCode,
        code: u32,
        body: Value,
        /// The tokens in the body.
        issued: Option<IssuedPair>,
    },
    Page(StatusCode, String),
    /// A redirect to this address with status 302.
    Redirect(String),
}

impl Reply {
    fn to(service: Service, marketplace: &mut Marketplace, request: &VendorRequest) -> Self {
        let ((answer, issued), failures) = match service {
            Service::ConsentPage => return consent_page::answer(marketplace, request, Link::ServiceId),
            Service::TokenHost if request.path == Link::AppKey.path() => {
                return consent_page::answer(marketplace, request, Link::AppKey);
            }
            Service::TokenHost => match token_host::answer(marketplace, request) {
                Some(answer) => match marketplace.switches.token_failure {
                    TokenFailure::Recorded => (answer, FailureForm::Short),
                    TokenFailure::LikeApiHost => (answer, FailureForm::WithLink),
                },
                None => return Self::NoSuchPage,
            },
            Service::ApiHost => ((api_host::answer(marketplace, request), None), FailureForm::WithLink),
        };
        let (status, code, body) =
            envelope::render(answer, marketplace.request_id(), marketplace.switches.empty_data, failures);
        Self::Envelope { status, code, body, issued }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPage => StatusCode::NOT_FOUND,
            Self::Envelope { status, .. } | Self::Page(status, _) => *status,
            Self::Redirect(_) => StatusCode::FOUND,
        }
    }

    pub(crate) fn code(&self) -> Option<u32> {
        match self {
            Self::Envelope { code, .. } => Some(*code),
            Self::NoSuchPage | Self::Page(..) | Self::Redirect(_) => None,
        }
    }

    pub(crate) fn issued(&self) -> Option<&IssuedPair> {
        match self {
            Self::Envelope { issued, .. } => issued.as_ref(),
            Self::NoSuchPage | Self::Page(..) | Self::Redirect(_) => None,
        }
    }

    fn body(self) -> Vec<u8> {
        match self {
            Self::NoSuchPage => NO_SUCH_PAGE.into(),
            Self::Envelope { body, .. } => body.to_string().into(),
            Self::Page(_, html) => html.into(),
            Self::Redirect(_) => Vec::new(),
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        match self {
            Self::NoSuchPage => (StatusCode::NOT_FOUND, NO_SUCH_PAGE).into_response(),
            Self::Envelope { status, body, .. } => (status, Json(body)).into_response(),
            Self::Page(status, html) => (status, page::headers(), Html(html)).into_response(),
            Self::Redirect(address) => (StatusCode::FOUND, [(header::LOCATION, address)]).into_response(),
        }
    }
}
