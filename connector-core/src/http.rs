//! Requests the core asks for and answers it reads. Plain data.

use crate::secret::{AccessToken, RequestTarget};
use alloc::borrow::ToOwned;
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
    /// As [`body_text`] reads it.
    pub body: String,
}

/// A body of at most [`Request::max_response_bytes`] bytes as text. What is not UTF-8 becomes U+FFFD, and a byte order
/// mark goes (RFC 8259, section 8.1): a name that was cut off within a letter must not cost the tokens beside it.
#[must_use]
pub fn body_text(bytes: Vec<u8>) -> String {
    let text = String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    text.strip_prefix('\u{feff}').map(ToOwned::to_owned).unwrap_or(text)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_bytes_cost_themselves_alone() {
        let text = |bytes: &[u8]| body_text(bytes.to_vec());
        assert_eq!(text("{\"Ä\":1}".as_bytes()), "{\"Ä\":1}");
        assert_eq!(text(b"{\"a\":\"Caf\xe9\",\"b\":\"\xe4\xb8\"}"), "{\"a\":\"Caf\u{fffd}\",\"b\":\"\u{fffd}\"}");
        assert_eq!(text("\u{feff}{}\u{feff}".as_bytes()), "{}\u{feff}");
    }
}
