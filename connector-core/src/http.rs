//! Requests the core asks for and answers it reads. Plain data.

use crate::secret::{AccessToken, RequestTarget};
use alloc::borrow::Cow;
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

/// What a request does. Only [`Method::Get`] is known to change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or acts.
    Post,
    /// Replaces.
    Put,
    /// Removes.
    Delete,
}

/// A request. Its query holds secrets (TikTok wants the app secret and tokens there), so it has no `Debug`.
pub struct Request<'a> {
    /// Where to.
    pub authority: Authority,
    /// What it does.
    pub method: Method,
    /// Path and query, percent-encoded, ready to send.
    pub path_and_query: RequestTarget,
    /// Header `x-tts-access-token`, for the API host.
    pub access_token: Option<AccessToken>,
    /// Header `content-type`.
    pub content_type: Option<&'a str>,
    /// Sent byte for byte.
    pub body: &'a [u8],
    /// An answer with a larger body is not read to its end.
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
    /// Header `date`, if it is text.
    pub date: Option<String>,
    /// At most [`Request::max_response_bytes`] bytes.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text. What is not UTF-8 becomes U+FFFD, and a byte order mark goes (RFC 8259, section 8.1): a name that
    /// was cut off within a letter must not cost the tokens beside it.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body))
    }
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
        let text = |bytes: &[u8]| {
            let body = bytes.to_vec();
            Response { status: 200, content_type: None, retry_after: None, date: None, body }.text().into_owned()
        };
        assert_eq!(text("{\"Ä\":1}".as_bytes()), "{\"Ä\":1}");
        assert_eq!(text(b"{\"a\":\"Caf\xe9\",\"b\":\"\xe4\xb8\"}"), "{\"a\":\"Caf\u{fffd}\",\"b\":\"\u{fffd}\"}");
        assert_eq!(text("\u{feff}{}\u{feff}".as_bytes()), "{}\u{feff}");
    }
}
