//! Deauthorize Shop: takes one shop back from the app, and the seller gets an e-mail.
//!
//! Source: the generated SDKs of Partner Center (`authorizationV202403Api`): DELETE with the shop's cipher, which the older
//! pages do not mention. What becomes of the grant's other shops is not documented, so the caller verifies them afterwards.

use super::business::{BusinessRequest, BusinessResponse};
use crate::error::{Cause, Error};
use crate::http::Method;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

/// The request, to be signed with the shop's cipher.
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

/// Whether TikTok took the shop back.
///
/// # Errors
/// Upstream: `tiktok-refused` is TikTok's own refusal; `outcome-unknown` an answer that is none of TikTok's, or an internal
/// fault.
pub fn read(response: &BusinessResponse) -> Result<(), Error> {
    let mut error = match (response.status, response.code) {
        (200..=299, Some(0)) => return Ok(()),
        (..=499, Some(code)) if code != 0 => Error::new(Cause::TikTokRefused).noting(&format!("TikTok code {code}")),
        (_, _) => Error::new(Cause::OutcomeUnknown),
    };
    error.http_status = Some(response.status);
    error.request_id.clone_from(&response.request_id);
    Err(error)
}
