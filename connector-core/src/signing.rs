//! The signatures of requests to the API host and of webhooks, and a request's encoded query.
//!
//! Requests. Source: partner.tiktokshop.com/docv2/page/sign-your-api-request (2026). HMAC-SHA256, key = app secret, over
//! secret ‖ path ‖ (name ‖ value, decoded, by name in byte order) ‖ body ‖ secret, in lowercase hexadecimal. `sign` and
//! `access_token` are not signed; neither is a body of media type `multipart/form-data`. Checked against vectors that
//! nine public implementations agree on (`tests/vectors`).
//!
//! Webhooks. Source: partner.tiktokshop.com/docv2/page/tts-webhooks-overview (2026). HMAC-SHA256, key = app secret, over
//! app key ‖ body as it arrived, in lowercase hexadecimal: the whole value of the header `Authorization`.

use crate::secret::{AppSecret, SecretBytes};
use alloc::string::String;
use alloc::vec::Vec;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// RFC 3986, section 2.3: what stands in a query as it is.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Text as it stands in a query: everything but RFC 3986's unreserved characters is percent-encoded.
pub fn percent_encoding(text: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(text, RESERVED)
}

/// The same, as a text of its own.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    percent_encoding(text).collect()
}

/// What is signed of a request.
pub struct Signable<'a> {
    /// Begins with `/`; without host, query and trailing slash, exactly as it is sent.
    pub path: &'a str,
    /// Decoded pairs in any order, `app_key` and `timestamp` among them.
    pub query: &'a [(&'a str, &'a str)],
    /// The body and its `content-type`.
    pub body: Option<(&'a [u8], Option<&'a str>)>,
}

impl Signable<'_> {
    /// The input of the HMAC. Holds the secret.
    #[must_use]
    pub fn string_to_sign(&self, secret: &AppSecret) -> SecretBytes {
        let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(self.query.len());
        for &(name, value) in self.query.iter().filter(|(name, _)| !matches!(*name, "sign" | "access_token")) {
            let at = pairs.partition_point(|(before, _)| before.as_bytes() <= name.as_bytes());
            pairs.insert(at, (name, value));
        }
        let body =
            self.body.filter(|(_, content_type)| !is_multipart(*content_type)).map_or(&[][..], |(bytes, _)| bytes);
        let pieces = || {
            let around = secret.expose().as_bytes();
            let query = pairs.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
            [around, self.path.as_bytes()].into_iter().chain(query).chain([body, around])
        };
        // The exact size up front: a buffer that grew would leave copies of the secret behind.
        let mut text = Vec::with_capacity(pieces().map(<[u8]>::len).sum());
        pieces().for_each(|piece| text.extend_from_slice(piece));
        SecretBytes::new(text)
    }

    /// 64 lowercase hexadecimal digits.
    #[must_use]
    pub fn signature(&self, secret: &AppSecret) -> String {
        hex::encode(hmac_sha256(secret.expose().as_bytes(), &[self.string_to_sign(secret).expose()]))
    }
}

/// A webhook as it arrived.
pub struct Webhook<'a> {
    /// Of the app that the webhook is for.
    pub app_key: &'a str,
    /// Every byte of it, before anything has parsed it.
    pub body: &'a [u8],
    /// The value of the header `Authorization`.
    pub authorization: &'a [u8],
}

/// Which of an app's secrets signed a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedWith {
    /// The one that is in use.
    CurrentSecret,
    /// The one before: the webhook was signed before the secret was changed.
    PreviousSecret,
}

impl Webhook<'_> {
    /// What `authorization` is if `secret` signed this: 64 lowercase hexadecimal digits.
    #[must_use]
    pub fn signature(&self, secret: &AppSecret) -> String {
        hex::encode(hmac_sha256(secret.expose().as_bytes(), &[self.app_key.as_bytes(), self.body]))
    }

    /// Which secret signed this; none: it is not from TikTok Shop, or not as TikTok Shop sent it. Says nothing about its
    /// age, nor whether it came before.
    ///
    /// Compares in constant time, letter by letter: digits in upper case or space around them are refused. An empty
    /// secret signs nothing, as anybody could.
    #[must_use]
    pub fn signed_with(&self, current: &AppSecret, previous: Option<&AppSecret>) -> Option<SignedWith> {
        let signed = |secret: &AppSecret| {
            let matches = self.signature(secret).as_bytes().ct_eq(self.authorization);
            !secret.expose().is_empty() && bool::from(matches)
        };
        if signed(current) {
            Some(SignedWith::CurrentSecret)
        } else if previous.is_some_and(signed) {
            Some(SignedWith::PreviousSecret)
        } else {
            None
        }
    }
}

/// HMAC-SHA256 over the concatenation of `parts`. The key is brought to the block size here (RFC 2104, section 2), so
/// that no length can be refused.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = Zeroizing::new([0_u8; 64]);
    if key.len() <= block.len() {
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    } else {
        block.iter_mut().zip(Sha256::digest(key)).for_each(|(to, from)| *to = from);
    }
    let mut mac = Hmac::<Sha256>::new(&(*block).into());
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Whether a body of this `content-type` is left out of the signature. The media type alone decides, whatever boundary
/// follows.
#[must_use]
pub fn is_multipart(content_type: Option<&str>) -> bool {
    let media = content_type.and_then(|text| text.split(';').next()).map(str::trim).unwrap_or_default();
    media.eq_ignore_ascii_case("multipart/form-data")
}
