//! Requests the core asks for and answers it reads. Plain data.

use crate::secret::{AccessToken, RequestTarget};
use alloc::string::String;
use alloc::vec::Vec;

/// The only two hosts there are; both `https`, port 443. No input can name a third.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// `open-api.tiktokglobalshop.com`
    Api,
    /// `auth.tiktok-shops.com`
    TokenHost,
}

impl Authority {
    /// The host's name.
    #[must_use]
    pub const fn host(self) -> &'static str {
        match self {
            Self::Api => "open-api.tiktokglobalshop.com",
            Self::TokenHost => "auth.tiktok-shops.com",
        }
    }
}

/// A GET request. Its query holds secrets (TikTok wants the app secret and tokens there), so it has no `Debug`.
pub struct Request {
    /// Where to.
    pub authority: Authority,
    /// Path and query, percent-encoded, ready to send.
    pub path_and_query: RequestTarget,
    /// Header `x-tts-access-token`, for the API host.
    pub access_token: Option<AccessToken>,
    /// A body larger than this is not read to its end.
    pub max_response_bytes: usize,
}

/// An answer, its body complete.
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Header `content-type`, if it is text.
    pub content_type: Option<String>,
    /// Header `retry-after`, if it is text.
    pub retry_after: Option<String>,
    /// At most [`Request::max_response_bytes`] bytes.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFailure {
    /// The host's policy refused the request or the address.
    Denied,
    /// The body broke off or the connection was reset or timed out: nobody knows whether TikTok acted.
    Interrupted,
    /// No connection was made: name, address, TCP or certificate.
    NotConnected,
    /// The body is larger than allowed.
    TooLarge,
}
