//! A complete request to one of TikTok Shop's network hosts.

use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, header};

use crate::consent_page::Link;
use crate::host_names::HostNames;
use crate::query::Query;

/// The highest length of a body: 1 MiB. This length is enough for the uploads of tests and keeps the fake's memory
/// small.
const MAX_BODY: usize = 1024 * 1024;

/// The part of TikTok Shop to which a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// `auth.tiktok-shops.com`. This network host also serves the older address of the consent page.
    TokenHost,
    /// `open-api.tiktokglobalshop.com`
    ApiHost,
    /// `services.tiktokshop.com`, and for the US `services.us.tiktokshop.com` or `services.tiktokshops.us`. The
    /// official pages contain both US names.
    ConsentPage,
}

impl Service {
    /// Returns the service that serves this path. Only for requests whose `Host` header names the fake itself.
    pub(crate) fn by_path(path: &str) -> Self {
        if path == Link::ServiceId.path() {
            Self::ConsentPage
        } else if path.starts_with("/api/v2/token/") || path == Link::AppKey.path() {
            Self::TokenHost
        } else {
            Self::ApiHost
        }
    }
}

/// The kind of network host in the `Host` header of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostName {
    /// A production host of TikTok Shop. The test has directed the client's connection to the fake.
    Production(Service),
    /// The fake itself: a loopback name or address, another name that the fake accepts ([`HostNames`]), or no host at
    /// all.
    Own,
    /// Any other network host.
    Foreign,
}

impl HostName {
    pub(crate) fn of(request: &Request, own: &HostNames) -> Self {
        let name = host(request);
        let Ok(authority) = name.parse::<Authority>() else {
            return if name.is_empty() { Self::Own } else { Self::Foreign };
        };
        match authority.host().to_ascii_lowercase().as_str() {
            "auth.tiktok-shops.com" => Self::Production(Service::TokenHost),
            "open-api.tiktokglobalshop.com" => Self::Production(Service::ApiHost),
            "services.tiktokshop.com" | "services.us.tiktokshop.com" | "services.tiktokshops.us" => {
                Self::Production(Service::ConsentPage)
            }
            host if own.contain(host) => Self::Own,
            _ => Self::Foreign,
        }
    }
}

/// Returns the `Host` header as it was sent, or else the authority of an absolute request target. Returns an empty text
/// if the request has neither.
fn host(request: &Request) -> &str {
    let header = request.headers().get(header::HOST).map(|value| value.to_str().unwrap_or("?"));
    header.or_else(|| request.uri().authority().map(Authority::as_str)).unwrap_or_default()
}

pub(crate) struct VendorRequest {
    pub host: String,
    pub method: Method,
    /// The path as it was sent. It is not decoded, because the signature covers the encoded path.
    pub path: String,
    pub query: Query,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl VendorRequest {
    /// Reads the whole request. Returns `None` if the body is longer than [`MAX_BODY`] or breaks off.
    pub(crate) async fn receive(request: Request) -> Option<Self> {
        let host = host(&request).to_owned();
        let (parts, body) = request.into_parts();
        Some(Self {
            host,
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: Query::parse(parts.uri.query().unwrap_or_default().as_bytes()),
            headers: parts.headers,
            body: to_bytes(body, MAX_BODY).await.ok()?,
        })
    }

    /// Returns the media type of the body, in lower case and without parameters.
    pub(crate) fn media_type(&self) -> Option<String> {
        let media_type = self.header("content-type")?.split(';').next()?;
        Some(media_type.trim().to_ascii_lowercase())
    }

    /// Returns the text of a header. Returns `None` if the header is missing or is not ASCII text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
