//! Checks the requests of `call` and reads TikTok's answers to them. `call` can use any endpoint of TikTok's API
//! server.

use super::api::ApiRequest;
use crate::envelope::{self, Fault};
use crate::error::{Cause, Error};
use crate::http::{Method, Response, is_utf_16};
use crate::secret::ShopCipher;
use alloc::string::String;
use alloc::vec::Vec;

/// The largest answer that is read: 4 MiB.
pub const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;
/// The largest body that is sent: 16 MiB, enough for an image or a video cover.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// The maximum length of path and query together, in bytes.
const MAX_TARGET_BYTES: usize = 8 * 1024;
const MAX_CONTENT_TYPE_BYTES: usize = 256;
/// The parameters that the connector adds. A caller must not pass them.
const OWN_PARAMETERS: [&str; 5] = ["app_key", "timestamp", "sign", "access_token", "shop_cipher"];

/// A request as the caller passes it.
pub struct BusinessRequest {
    /// The method.
    pub method: Method,
    /// The path. [`BusinessRequest::check`] checks its form.
    pub path: String,
    /// The decoded names and values of the query.
    pub query: Vec<(String, String)>,
    /// The content type; `None` means `application/json`.
    pub content_type: Option<String>,
    /// The body. An empty body is not sent.
    pub body: Vec<u8>,
    /// The largest answer to read, in bytes. A value above [`MAX_RESPONSE_BYTES`] counts as [`MAX_RESPONSE_BYTES`].
    pub max_response_bytes: u32,
}

/// TikTok's answer, even if TikTok refused the request.
pub struct BusinessResponse {
    /// The HTTP status.
    pub status: u16,
    /// The envelope's code; `None` if the body is not an envelope.
    pub code: Option<i64>,
    /// TikTok's request id.
    pub request_id: Option<String>,
    /// The header `content-type`, if it is text.
    pub content_type: Option<String>,
    /// The body as TikTok sent it. If the body had a content coding, the host has decoded it.
    pub body: Vec<u8>,
}

impl BusinessRequest {
    /// Checks the size and the form of the request. Some forms are signed differently by different public
    /// implementations. A request in such a form is refused, because it is not known which signature TikTok accepts.
    ///
    /// # Errors
    /// Invalid request: `call-malformed`. The detail says what is wrong.
    pub fn check(&self) -> Result<(), Error> {
        self.fault().map_or(Ok(()), |what| Err(Error::new(Cause::CallMalformed).with_note(what)))
    }

    fn fault(&self) -> Option<&'static str> {
        let in_a_path = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
        let visible = |b: u8| (b' '..=b'~').contains(&b);
        let segments = self.path.strip_prefix('/').map(|rest| rest.split('/'));
        let target =
            self.path.len() + self.query.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
        if !segments.is_some_and(|mut all| all.all(|segment| !matches!(segment, "" | "." | ".."))) {
            Some("a path begins with one / and has no empty, . or .. segment and no / at its end")
        } else if !self.path.bytes().all(in_a_path) {
            Some("a path has letters, digits and -._~ only")
        } else if target > MAX_TARGET_BYTES {
            Some("path and query have more than 8192 bytes")
        } else if self.query.iter().any(|(name, value)| name.is_empty() || value.is_empty()) {
            Some("a parameter is empty: leave it out")
        } else if self.query.iter().any(|(name, _)| OWN_PARAMETERS.contains(&name.as_str())) {
            Some("app_key, timestamp, sign, access_token and shop_cipher are added by the connector")
        } else if (1..)
            .zip(&self.query)
            .any(|(next, (name, _))| self.query.iter().skip(next).any(|(other, _)| other == name))
        {
            Some("a parameter is repeated: write its values as one, with commas")
        } else if self.method == Method::Get && !self.body.is_empty() {
            Some("a GET has no body")
        } else if self.body.len() > MAX_BODY_BYTES {
            Some("a body has more than 16 MiB")
        } else if self.max_response_bytes == 0 {
            Some("max-response-bytes is 0: an answer has at least 1 byte")
        } else if self.content_type.as_ref().is_some_and(|text| {
            text.trim().is_empty() || text.len() > MAX_CONTENT_TYPE_BYTES || !text.bytes().all(visible)
        }) {
            Some("a content type has 1 to 256 visible characters")
        } else {
            None
        }
    }

    /// Builds the request that is signed and sent.
    #[must_use]
    pub fn api_request<'a>(
        &'a self,
        query: &'a [(&'a str, &'a str)],
        shop_cipher: Option<&'a ShopCipher>,
    ) -> ApiRequest<'a> {
        let asked = usize::try_from(self.max_response_bytes).unwrap_or(MAX_RESPONSE_BYTES);
        ApiRequest {
            method: self.method,
            path: &self.path,
            query,
            shop_cipher,
            content_type: self.content_type.as_deref(),
            body: &self.body,
            max_response_bytes: asked.min(MAX_RESPONSE_BYTES),
        }
    }
}

/// Reads an answer. An answer is an error only if it concerns the connection itself, if its content coding is unknown, or
/// if it is a redirect. Every other answer is returned to the caller, even if TikTok refused the request.
///
/// # Errors
/// A [`Fault`] in these cases: the answer is a redirect; its content coding is unknown; TikTok refuses the token, the signature,
/// the app, the timestamp or the IP address; a scope is missing; the authorization is inactive; TikTok limits the rate.
pub fn read(response: Response, secrets: &[&str]) -> Result<BusinessResponse, Fault> {
    let text = response.text();
    let (mut code, mut request_id) = match envelope::read(&response, &text, secrets) {
        Ok(success) => (Some(0), success.request_id),
        // A body in an unknown coding is not returned, because the caller could not learn in which coding it is.
        Err(fault) if is_error_of_a_call(fault.error.cause) || response.is_coded() => return Err(fault),
        Err(mut fault) => (envelope::code(&text), fault.error.request_id.take()),
    };
    drop(text);
    if is_utf_16(&response.body) {
        // A refusal in UTF-16 proves nothing, so the code of a body in UTF-16 does not count.
        (code, request_id) = (None, None);
    }
    let Response { status, content_type, body, .. } = response;
    Ok(BusinessResponse { status, code, request_id, content_type, body })
}

/// TikTok's code for a request without the shop's cipher, to an endpoint that needs it.
pub(crate) const SHOP_CIPHER_MISSING: i64 = 106_013;

const fn is_error_of_a_call(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::AppRejected
            | Cause::AuthorizationInactive
            | Cause::ClockSkewed
            | Cause::IpNotAllowed
            | Cause::MissingPermission
            | Cause::RateLimited
            | Cause::Redirected
            | Cause::SignatureRejected
            | Cause::TokenExpired
            | Cause::TokenInvalid
    )
}
