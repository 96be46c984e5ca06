//! Any endpoint of the API host, for `call`: what may be asked, and what an answer to it is.

use super::api::ApiRequest;
use crate::envelope::{self, Fault};
use crate::error::{Cause, Error};
use crate::http::{Method, Response};
use crate::secret::ShopCipher;
use alloc::string::String;
use alloc::vec::Vec;

/// The connector's own bound on an answer.
pub const MOST_RESPONSE_BYTES: usize = 4 * 1024 * 1024;
/// And on a body that is sent: an image, a video cover.
const MOST_BODY_BYTES: usize = 16 * 1024 * 1024;
const MOST_TARGET_BYTES: usize = 8 * 1024;
const MOST_CONTENT_TYPE_BYTES: usize = 256;
/// Added by the connector, so a caller can't name them.
const OWN_PARAMETERS: [&str; 5] = ["app_key", "timestamp", "sign", "access_token", "shop_cipher"];

/// A request as the caller states it.
pub struct BusinessRequest {
    /// What it does.
    pub method: Method,
    /// See [`BusinessRequest::check`].
    pub path: String,
    /// Decoded pairs.
    pub query: Vec<(String, String)>,
    /// None: `application/json`.
    pub content_type: Option<String>,
    /// Empty: none.
    pub body: Vec<u8>,
    /// At most [`MOST_RESPONSE_BYTES`] count.
    pub max_response_bytes: u32,
}

/// TikTok's answer, business errors included.
pub struct BusinessResponse {
    /// HTTP status.
    pub status: u16,
    /// The envelope's code; none where the body is no envelope.
    pub code: Option<i64>,
    /// TikTok's name of the request.
    pub request_id: Option<String>,
    /// Header `content-type`, if it is text.
    pub content_type: Option<String>,
    /// As sent.
    pub body: Vec<u8>,
}

impl BusinessRequest {
    /// Whether TikTok could read it as it is meant: public implementations disagree about every shape that is refused
    /// here, so its signature would be a guess.
    ///
    /// # Errors
    /// Invalid request (`call-malformed`), saying what is wrong.
    pub fn check(&self) -> Result<(), Error> {
        self.fault().map_or(Ok(()), |what| Err(Error::new(Cause::CallMalformed).noting(what)))
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
        } else if target > MOST_TARGET_BYTES {
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
        } else if self.body.len() > MOST_BODY_BYTES {
            Some("a body has more than 16 MiB")
        } else if self.content_type.as_ref().is_some_and(|text| {
            text.trim().is_empty() || text.len() > MOST_CONTENT_TYPE_BYTES || !text.bytes().all(visible)
        }) {
            Some("a content type has 1 to 256 visible characters")
        } else {
            None
        }
    }

    /// The request, to be signed.
    #[must_use]
    pub fn api_request<'a>(
        &'a self,
        query: &'a [(&'a str, &'a str)],
        shop_cipher: Option<&'a ShopCipher>,
    ) -> ApiRequest<'a> {
        let asked = usize::try_from(self.max_response_bytes).unwrap_or(MOST_RESPONSE_BYTES);
        ApiRequest {
            method: self.method,
            path: &self.path,
            query,
            shop_cipher,
            content_type: self.content_type.as_deref(),
            body: &self.body,
            max_response_bytes: asked.min(MOST_RESPONSE_BYTES),
        }
    }
}

/// Reads an answer. Only what concerns the connection itself is a failure; every other answer is the caller's.
///
/// # Errors
/// A token, signature, app, clock or address that TikTok does not accept, a missing scope, a limit of its rate.
pub fn read(response: Response, secrets: &[&str]) -> Result<BusinessResponse, Fault> {
    let text = response.text();
    if let Err(fault) = envelope::read(&response, &text, secrets)
        && concerns_the_connection(fault.error.cause)
    {
        return Err(fault);
    }
    let (code, request_id) = envelope::named(&text, secrets);
    drop(text);
    let Response { status, content_type, body, .. } = response;
    Ok(BusinessResponse { status, code, request_id, content_type, body })
}

const fn concerns_the_connection(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::AppRejected
            | Cause::ClockSkewed
            | Cause::IpNotAllowed
            | Cause::MissingPermission
            | Cause::RateLimited
            | Cause::SignatureRejected
            | Cause::TokenExpired
            | Cause::TokenInvalid
    )
}
