//! The endpoint Deauthorize Shop: takes one shop back from the app. TikTok then sends the seller an e-mail.
//!
//! Source: the generated SDKs of Partner Center (`authorizationV202403Api`). The request is a DELETE with the shop's
//! cipher. TikTok's older pages do not mention the cipher. The effect on the other shops of the grant is not
//! documented, so the caller verifies the grant afterwards.

use super::business::{BusinessRequest, BusinessResponse};
use crate::error::{Cause, Error};
use crate::http::Method;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

/// Builds the request. It is signed with the shop's cipher.
#[must_use]
pub fn request() -> BusinessRequest {
    BusinessRequest {
        method: Method::Delete,
        path: "/authorization/202403/shops".to_string(),
        query: Vec::new(),
        content_type: None,
        body: Vec::new(),
        max_response_bytes: 64 * 1024,
    }
}

/// Reads the answer. Returns `Ok` if TikTok revoked the shop.
///
/// # Errors
/// Upstream: `tiktok-refused` if TikTok refused, `outcome-unknown` if the answer is not from TikTok or if TikTok had an
/// internal fault.
pub fn read(response: &BusinessResponse) -> Result<(), Error> {
    let mut error = match (response.status, response.code) {
        (200..=299, Some(0)) => return Ok(()),
        (..=499, Some(code)) if code != 0 => Error::new(Cause::TikTokRefused).with_note(&format!("TikTok code {code}")),
        (_, _) => Error::new(Cause::OutcomeUnknown),
    };
    error.http_status = Some(response.status);
    error.request_id.clone_from(&response.request_id);
    Err(error)
}
