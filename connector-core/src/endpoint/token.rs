//! The two requests to TikTok's token server. One request exchanges an authorization code for a pair of tokens (access
//! token and refresh token). The other request exchanges a refresh token for the next pair.
//!
//! Source: partner.tiktokshop.com/docv2/page/authorization-overview-202407 (2026). Both are GET requests that carry the
//! app secret in their query. A POST gets the answer "404 page not found". The grant type is `authorized_code`, not
//! OAuth's `authorization_code`.

use super::api::target;
use crate::credentials::Credentials;
use crate::envelope::{self, Fault};
use crate::http::{Authority, Method, Request, Response};
use crate::json::Members;
use crate::secret::{AccessToken, AuthorizationCode, RefreshToken};
use crate::time::{UnixSeconds, http_date};
use crate::token::{Expiry, Pair, UserType, believed_refresh_end, point_in_time};

/// The largest token answer that is read: 64 KiB. Real answers have about 1 kB.
pub(crate) const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// Builds the request that exchanges an authorization code.
#[must_use]
pub fn exchange_request(app: &Credentials, code: &AuthorizationCode) -> Request<'static> {
    request("/api/v2/token/get", app, "auth_code", code.expose(), "authorized_code")
}

/// Builds the request that exchanges a refresh token for the next pair.
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

/// Reads the answer to either request. `now` is the time at which the answer was received.
///
/// # Errors
/// The same as [`envelope::read`]. An answer with code 0 but without `data` is not an error; it becomes a [`Pair`]
/// without tokens.
pub fn read(response: &Response, secrets: &[&str], now: UnixSeconds) -> Result<Pair, Fault> {
    let answer = response.text();
    let success = envelope::read(response, &answer, secrets)?;
    let data = success.data.and_then(Members::of).unwrap_or_default();
    let text = |name: &str| data.text(name).filter(|text| !text.trim().is_empty());
    let end = |name: &str| point_in_time(data.whole_number(name));
    Ok(Pair {
        access: text("access_token").map(AccessToken::new),
        access_expiry: Expiry::believed(end("access_token_expire_in"), now),
        refresh: text("refresh_token").map(RefreshToken::new),
        refresh_ends: believed_refresh_end(end("refresh_token_expire_in"), now),
        date: response.date.as_deref().and_then(http_date),
        account: text("open_id"),
        user_type: data.whole_number("user_type").map(UserType),
        seller_name: text("seller_name"),
        base_region: text("seller_base_region"),
        scopes: data.texts("granted_scopes"),
        status: response.status,
        request_id: success.request_id,
    })
}
