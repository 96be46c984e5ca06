//! The token host: a code for a pair, a refresh token for the next pair.
//!
//! Source: partner.tiktokshop.com/docv2/page/authorization-overview-202407 (2026). Both are GET requests (POST answers
//! "404 page not found") that carry the app secret in their query. The grant type is `authorized_code`, not OAuth's
//! `authorization_code`.

use super::api::target;
use crate::envelope::{self, Fault};
use crate::error::{Cause, Error};
use crate::http::{Authority, Method, Request, Response};
use crate::json::Members;
use crate::ports::Credentials;
use crate::secret::{AccessToken, AuthorizationCode, RefreshToken};
use crate::time::UnixSeconds;
use crate::token::{Expiry, point_in_time};
use alloc::string::String;
use alloc::vec::Vec;

/// Token answers are about 1 kB.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// The request that exchanges a code.
#[must_use]
pub fn exchange_request(app: &Credentials, code: &AuthorizationCode) -> Request<'static> {
    request("/api/v2/token/get", app, "auth_code", code.expose(), "authorized_code")
}

/// The request that spends a refresh token.
#[must_use]
pub fn refresh_request(app: &Credentials, token: &RefreshToken) -> Request<'static> {
    request("/api/v2/token/refresh", app, "refresh_token", token.expose(), "refresh_token")
}

fn request(path: &str, app: &Credentials, name: &str, value: &str, grant_type: &str) -> Request<'static> {
    let pairs = [
        ("app_key", app.app_key.as_str()),
        ("app_secret", app.app_secret.expose()),
        (name, value),
        ("grant_type", grant_type),
    ];
    Request {
        authority: Authority::TokenHost,
        method: Method::Get,
        path_and_query: target(path, &pairs),
        access_token: None,
        content_type: None,
        body: &[],
        max_response_bytes: MAX_RESPONSE_BYTES,
    }
}

/// What a token answer brought. The tokens come first; everything else is best effort, so that an odd field never costs
/// a token.
pub struct Pair {
    /// None when absent, empty or blank.
    pub access: Option<AccessToken>,
    /// Believed against the time the answer came.
    pub access_expiry: Expiry,
    /// None when absent, empty or blank: the old one stays.
    pub refresh: Option<RefreshToken>,
    /// About 99 years ahead is normal.
    pub refresh_ends: Option<UnixSeconds>,
    /// `open_id`.
    pub account: Option<String>,
    /// 0 is a seller.
    pub user_type: Option<i64>,
    /// None when absent.
    pub seller_name: Option<String>,
    /// None when absent.
    pub base_region: Option<String>,
    /// None when absent.
    pub scopes: Option<Vec<String>>,
    /// HTTP status of the answer, for [`Pair::error`].
    pub status: u16,
    /// TikTok's id of the request, for the same.
    pub request_id: Option<String>,
}

impl Pair {
    /// What to tell the host of an answer that lacks what the call needs.
    #[must_use]
    pub fn error(&self, cause: Cause) -> Error {
        let mut error = Error::new(cause);
        error.http_status = Some(self.status);
        error.request_id.clone_from(&self.request_id);
        error
    }
}

/// Reads the answer to either request. `now` is when it came.
///
/// # Errors
/// As [`envelope::read`]. A success without `data` is a [`Pair`] without tokens.
pub fn read(response: &Response, secrets: &[&str], now: UnixSeconds) -> Result<Pair, Fault> {
    let answer = response.text();
    let success = envelope::read(response, &answer, secrets)?;
    let data = success.data.and_then(|text| Members::parse(text.as_bytes())).unwrap_or_default();
    let text = |name: &str| data.text(name).filter(|text| !text.trim().is_empty());
    let end = |name: &str| point_in_time(data.whole_number(name));
    Ok(Pair {
        access: text("access_token").map(AccessToken::new),
        access_expiry: Expiry::believed(end("access_token_expire_in"), now),
        refresh: text("refresh_token").map(RefreshToken::new),
        refresh_ends: end("refresh_token_expire_in"),
        account: text("open_id"),
        user_type: data.whole_number("user_type"),
        seller_name: text("seller_name"),
        base_region: text("seller_base_region"),
        scopes: data.texts("granted_scopes"),
        status: response.status,
        request_id: success.request_id,
    })
}
