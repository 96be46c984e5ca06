//! The requests that the core asks for and the answers that it reads, as plain data.

use crate::secret::{AccessToken, RequestTarget};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// The two network hosts to which requests are sent, both over `https` on port 443. No input can select another network
/// host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// TikTok's API server, `open-api.tiktokglobalshop.com`.
    Api,
    /// TikTok's token server, `auth.tiktok-shops.com`.
    TokenHost,
}

impl Authority {
    /// Returns the host name.
    #[must_use]
    pub const fn host(self) -> &'static str {
        match self {
            Self::Api => "open-api.tiktokglobalshop.com",
            Self::TokenHost => "auth.tiktok-shops.com",
        }
    }
}

/// The method of a request. Only [`Method::Get`] is known to change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads data.
    Get,
    /// Creates something or performs an action.
    Post,
    /// Replaces something.
    Put,
    /// Removes something.
    Delete,
}

/// A request. It has no `Debug`, because its query holds secrets: TikTok requires the app secret and tokens there.
pub struct Request<'a> {
    /// The network host that receives the request.
    pub authority: Authority,
    /// The method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path_and_query: RequestTarget,
    /// The value of the header `x-tts-access-token`. Only requests to TikTok's API server have it.
    pub access_token: Option<AccessToken>,
    /// The header `content-type`.
    pub content_type: Option<&'a str>,
    /// The body, sent byte for byte.
    pub body: &'a [u8],
    /// The largest body that is read, in bytes. An answer with a larger body fails with [`TransportFailure::TooLarge`].
    pub max_response_bytes: usize,
}

/// The largest number of chunks in which the body of an answer may arrive: 4096. Each chunk costs a call to the host
/// program, so a body of single bytes would use up the guest's time.
pub const MAX_RESPONSE_CHUNKS: u32 = 4096;

/// A complete answer.
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The header `content-type`, if it is text.
    pub content_type: Option<String>,
    /// The header `retry-after`, if it is text.
    pub retry_after: Option<String>,
    /// The header `date`, if it is text.
    pub date: Option<String>,
    /// The body, at most [`Request::max_response_bytes`] bytes.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the body as text. Bytes that are not UTF-8 become U+FFFD. So the tokens can still be read if, for
    /// example, a name in the same body was cut off within a character. A byte order mark is removed (RFC 8259, section
    /// 8.1).
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body))
    }
}

/// The reason why there is no complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFailure {
    /// The egress policy of the host program refused the request or the address.
    Denied,
    /// The body broke off, or the connection was reset or timed out. It is unknown whether TikTok acted.
    Interrupted,
    /// No connection was made, because the name resolution, the address, TCP or the check of the certificate failed.
    NotConnected,
    /// The body is larger than [`Request::max_response_bytes`], or it arrived in too many chunks.
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_utf_8_do_not_affect_the_others() {
        let text = |bytes: &[u8]| {
            let body = bytes.to_vec();
            Response { status: 200, content_type: None, retry_after: None, date: None, body }.text().into_owned()
        };
        assert_eq!(text("{\"Ä\":1}".as_bytes()), "{\"Ä\":1}");
        assert_eq!(text(b"{\"a\":\"Caf\xe9\",\"b\":\"\xe4\xb8\"}"), "{\"a\":\"Caf\u{fffd}\",\"b\":\"\u{fffd}\"}");
        assert_eq!(text("\u{feff}{}\u{feff}".as_bytes()), "{}\u{feff}");
    }
}
