//! Finds the secrets in each answer of TikTok while the guest reads the answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::{Error, WasiBody};
use zeroize::Zeroizing;

use super::Secrets;

/// The JSON members whose values are secrets.
const SECRET_MEMBERS: [&str; 4] = ["access_token", "cipher", "refresh_token", "shop_cipher"];
/// How much of an answer is searched: the first 64 KiB. An answer with tokens is shorter.
const MAX_SEARCHED_BYTES: usize = 64 << 10;

/// The body of an answer. The host learns the secrets in it before the guest gets them.
pub(crate) struct Tapped {
    body: WasiBody,
    secrets: Secrets,
    members: Members,
    bytes_left: usize,
}

impl Tapped {
    pub(crate) fn new(body: WasiBody, secrets: Secrets) -> Self {
        Self { body, secrets, members: Members::default(), bytes_left: MAX_SEARCHED_BYTES }
    }
}

impl Body for Tapped {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let next = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(data) = next.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref) {
            for byte in data.iter().take(this.bytes_left) {
                if let Some(value) = this.members.next(*byte) {
                    this.secrets.learn(&String::from_utf8_lossy(&value));
                }
            }
            this.bytes_left = this.bytes_left.saturating_sub(data.len());
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads JSON byte by byte, and finds the values of the members in [`SECRET_MEMBERS`]. It also finds them in malformed
/// JSON, because a guest may accept malformed JSON.
#[derive(Default)]
struct Members {
    text: Zeroizing<Vec<u8>>,
    place: Place,
    /// Whether the last text was the name of a secret member. The next text is then the secret.
    is_secret: bool,
}

#[derive(Default, Clone, Copy)]
enum Place {
    #[default]
    BetweenTexts,
    InText,
    /// In a text, after a backslash.
    Escaped,
    /// After a text, which is a name if a colon follows.
    AfterText,
}

impl Members {
    /// Reads the next byte. If a secret ends with this byte, returns the secret.
    fn next(&mut self, byte: u8) -> Option<Zeroizing<Vec<u8>>> {
        match (self.place, byte) {
            (Place::InText, b'"') if self.is_secret => {
                (self.place, self.is_secret) = (Place::BetweenTexts, false);
                return Some(std::mem::take(&mut self.text));
            }
            (Place::InText, b'"') => self.place = Place::AfterText,
            (Place::InText, b'\\') => self.place = Place::Escaped,
            (Place::InText | Place::Escaped, byte) => {
                self.place = Place::InText;
                self.text.push(byte);
            }
            (Place::BetweenTexts | Place::AfterText, b'"') => {
                self.place = Place::InText;
                self.text.clear();
            }
            (Place::AfterText, b':') => {
                self.place = Place::BetweenTexts;
                self.is_secret = SECRET_MEMBERS.iter().any(|name| name.as_bytes() == self.text.as_slice());
            }
            (_, byte) if byte.is_ascii_whitespace() => {}
            (_, _) => (self.place, self.is_secret) = (Place::BetweenTexts, false),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets_in(text: &str) -> Vec<String> {
        let mut members = Members::default();
        let found = text.bytes().filter_map(|byte| members.next(byte));
        found.map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_values_of_secret_members_are_found_at_any_depth() {
        let answer = r#"{"code":0,"data":{"access_token" : "TTP_a\/b", "access_token_expire_in":1,"seller_name":"cipher",
            "refresh_token":"TTP_r"},"shops":[{"cipher":"GCP_1"},{"cipher":null,"name":"n"},{"cipher":"GCP_2"#;
        assert_eq!(secrets_in(&format!("{answer}\"}}]}}")), ["TTP_a/b", "TTP_r", "GCP_1", "GCP_2"]);
        assert_eq!(secrets_in(answer).len(), 3, "the last text has not ended yet");
    }

    #[test]
    fn other_texts_are_no_secrets() {
        for text in ["", "cipher", r#"{"name":"cipher","x":"y"}"#, r#"["cipher","x"]"#, r#"{"cipher":7,"name":"x"}"#] {
            assert_eq!(secrets_in(text), [""; 0], "{text}");
        }
        // A secret is also found if it follows text that is not JSON, or a JSON text that itself contains JSON.
        assert_eq!(secrets_in(r#"<html> {"cipher":"a"}"#), ["a"]);
        assert_eq!(secrets_in(r#"{"data":"{\"cipher\":\"a\"}","cipher":"b"}"#), ["b"]);
    }
}
