//! HTTP requests and answers as plain data: the core builds the requests and reads the answers. The connector asks for
//! JSON in UTF-8 without a content coding. An answer in another charset is read all the same, because it may contain
//! new tokens. The host program decodes an answer in a content coding, because the component has no decoder.

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

/// A request. This type has no `Debug`, because TikTok requires secrets in the query: the app secret and tokens.
pub struct Request<'a> {
    /// The network host that receives the request.
    pub authority: Authority,
    /// The method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path_and_query: RequestTarget,
    /// The value of the header `x-tts-access-token`. Only requests to TikTok's API server have it.
    pub access_token: Option<AccessToken>,
    /// The header `content-type`. `None` if the header is not sent.
    pub content_type: Option<&'a str>,
    /// The body, sent byte for byte. A GET has no body.
    pub body: &'a [u8],
    /// The largest body that is read, in bytes. An answer with a larger body fails with [`TransportFailure::TooLarge`].
    pub max_response_bytes: usize,
}

/// The largest number of chunks in which the body of an answer may arrive: 4096. Each chunk costs a call to the host
/// program, so a body that arrives byte by byte would use up the guest's time.
pub const MAX_RESPONSE_CHUNKS: u32 = 4096;

/// A complete answer.
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The header `content-type`, if it is text.
    pub content_type: Option<String>,
    /// The header `content-encoding`. `None` if the header is missing, for example because the host program has decoded
    /// the body.
    pub content_encoding: Option<String>,
    /// The header `retry-after`, if it is text.
    pub retry_after: Option<String>,
    /// The header `date`, if it is text.
    pub date: Option<String>,
    /// The body, at most [`Request::max_response_bytes`] bytes.
    pub body: Vec<u8>,
}

/// The value of the header `accept-encoding` in every request. It asks for an answer without a content coding. Without
/// this header, a gateway may choose any coding (RFC 9110, section 12.5.3).
pub const ACCEPT_ENCODING: &str = "identity";

impl Response {
    /// Returns whether the response has a content coding that the host program has not decoded.
    #[must_use]
    pub fn is_coded(&self) -> bool {
        self.content_encoding.as_ref().is_some_and(|codings| !matches!(codings.as_str(), "" | "identity"))
    }

    /// Returns the body as text: see [`text_of`].
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        text_of(&self.body, self.content_type.as_deref())
    }
}

/// Decodes a JSON body in UTF-8, UTF-16 or Latin-1. Bytes that are not a valid character become U+FFFD, and so does an
/// escaped half of a surrogate pair, such as `\ud83d`. So the tokens can still be read if, for example, a name in the
/// same body was cut off within a character. A byte order mark is removed (RFC 8259, section 8.1).
///
/// A body is read as UTF-16 if it has the byte order mark of UTF-16, or if a zero byte stands next to its first
/// character: in every JSON text, the first character is an ASCII character. A body is read as Latin-1 if the content
/// type says so and the body is not valid UTF-8.
#[must_use]
pub fn text_of<'a>(body: &'a [u8], content_type: Option<&str>) -> Cow<'a, str> {
    let utf16 = |code_unit: fn([u8; 2]) -> u16| {
        let units = body.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(code_unit));
        let text = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER));
        Cow::Owned(text.skip_while(|first| *first == '\u{feff}').collect())
    };
    whole_pairs(match *body {
        [0xef, 0xbb, 0xbf, ref rest @ ..] => String::from_utf8_lossy(rest),
        [0xff, 0xfe, ..] | [1..=0x7f, 0, ..] => utf16(u16::from_le_bytes),
        [0xfe, 0xff, ..] | [0, 1..=0x7f, ..] => utf16(u16::from_be_bytes),
        _ if content_type.is_some_and(says_latin_1) && core::str::from_utf8(body).is_err() => {
            Cow::Owned(body.iter().map(|byte| char::from(*byte)).collect())
        }
        _ => String::from_utf8_lossy(body),
    })
}

/// Returns whether [`text_of`] reads these bytes as UTF-16.
pub(crate) const fn is_utf_16(body: &[u8]) -> bool {
    matches!(body, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [1..=0x7f, 0, ..] | [0, 1..=0x7f, ..])
}

fn says_latin_1(content_type: &str) -> bool {
    let lower = content_type.to_ascii_lowercase();
    ["8859-1", "latin1", "windows-1252"].iter().any(|name| lower.contains(name))
}

/// Replaces each escaped half of a surrogate pair by an escaped U+FFFD.
fn whole_pairs(text: Cow<'_, str>) -> Cow<'_, str> {
    let mut repaired = Vec::new();
    let mut rest = text.as_bytes();
    let unit = |escape: Option<&[u8]>| match escape {
        Some([b'\\', b'u', digits @ ..]) => u16::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok(),
        Some(_) | None => None,
    };
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (escape, next) = (unit(rest.get(at..at + 6)), unit(rest.get(at + 6..at + 12)));
        let length = match (escape, next) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                repaired.push(text.len() - rest.len() + at);
                6
            }
            (Some(_), _) => 6,
            (None, _) => 2,
        };
        rest = rest.get(at + length..).unwrap_or_default();
    }
    if repaired.is_empty() {
        return text;
    }
    let mut bytes = text.into_owned().into_bytes();
    for at in repaired {
        for (digit, new) in bytes.iter_mut().skip(at + 2).zip(*b"fffd") {
            *digit = new;
        }
    }
    // ASCII digits have replaced ASCII digits, so this is still UTF-8.
    Cow::Owned(String::from_utf8(bytes).unwrap_or_default())
}

/// The reason why there is no complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFailure {
    /// The egress policy of the host program refused the request or the address.
    Denied,
    /// The answer ended before it was complete, or the connection was reset or timed out. It is unknown whether TikTok
    /// acted.
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
        let text = |bytes: &'static [u8]| text_of(bytes, None);
        assert_eq!(text("{\"Ä\":1}".as_bytes()), "{\"Ä\":1}");
        assert_eq!(text(b"{\"a\":\"Caf\xe9\",\"b\":\"\xe4\xb8\"}"), "{\"a\":\"Caf\u{fffd}\",\"b\":\"\u{fffd}\"}");
        assert_eq!(text("\u{feff}{}\u{feff}".as_bytes()), "{}\u{feff}");
    }

    #[test]
    fn half_a_surrogate_pair_becomes_one_replacement_character() {
        for (json, expected) in [
            (r#"{"a":"Teapot Corner \ud83d"}"#, r#"{"a":"Teapot Corner \ufffd"}"#),
            (r#""\uDE00 first""#, r#""\ufffd first""#),
            (r#""\ud83d\uD83D\ude00\ude00""#, r#""\ufffd\uD83D\ude00\ufffd""#),
            (r#""\ud83d\u0041\n\ud83dx""#, r#""\ufffd\u0041\n\ufffdx""#),
            (r#""a backslash \\ud83d""#, r#""a backslash \\ud83d""#),
            (r#""\\\ud83d""#, r#""\\\ufffd""#),
            (r#"{"\udc00":1}"#, r#"{"\ufffd":1}"#),
            (r#""\ud8"#, r#""\ud8"#),
            (r#""\ud83"#, r#""\ud83"#),
            ("\"\u{d7ff}\u{e000} 한\\\"", "\"\u{d7ff}\u{e000} 한\\\""),
        ] {
            assert_eq!(text_of(json.as_bytes(), None), expected, "{json}");
        }
    }

    #[test]
    fn a_text_in_utf_16_or_latin_1_is_read() {
        let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<_>>();
        let json = "{\"a\":\"Ä 超市 🛍\"}";
        for text in [json.into(), alloc::format!("\u{feff}{json}")] {
            assert_eq!(text_of(&utf16(&text, u16::to_le_bytes), None), json);
            assert_eq!(text_of(&utf16(&text, u16::to_be_bytes), Some("application/json")), json);
        }
        assert_eq!(text_of(b"{\0\"\0\x3d\xd8\"\0}\0", None), "{\"\u{fffd}\"}", "half a surrogate pair");
        let latin1 = b"{\"a\":\"Caf\xe9\"}";
        for charset in ["iso-8859-1", "ISO-8859-1", "\"latin1\"", "windows-1252"] {
            let content_type = alloc::format!("application/json; charset={charset}");
            assert_eq!(text_of(latin1, Some(&content_type)), "{\"a\":\"Café\"}", "{charset}");
            // A body in UTF-8 is read correctly even if the content type names another charset.
            assert_eq!(text_of("{\"a\":\"Café\"}".as_bytes(), Some(&content_type)), "{\"a\":\"Café\"}");
        }
        for body in [b"".as_slice(), b"7", b"\xff", b"\xff\xfe", b"\0\0"] {
            let _no_panic = text_of(body, Some("charset=utf-16"));
        }
    }
}
