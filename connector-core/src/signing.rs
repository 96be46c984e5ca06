//! Signs requests to TikTok's API server, verifies the signatures of webhooks, and percent-encodes queries.
//!
//! Requests. Source: partner.tiktokshop.com/docv2/page/sign-your-api-request (2026). A signature is the HMAC-SHA256
//! with the app secret as its key, in lowercase hexadecimal. Its input is secret ‖ path ‖ (name ‖ value, decoded,
//! ordered by name in byte order) ‖ body ‖ secret. The parameters `sign` and `access_token` and a body of media type
//! `multipart/form-data` are not signed. The signatures are tested against vectors on which nine public implementations
//! agree (`tests/vectors`).
//!
//! Webhooks. Source: partner.tiktokshop.com/docv2/page/tts-webhooks-overview (2026). The header `Authorization` is the
//! HMAC-SHA256 with the app secret as its key, in lowercase hexadecimal. Its input is app key ‖ body as it arrived.

use crate::secret::{AppSecret, SecretBytes};
use alloc::string::String;
use alloc::vec::Vec;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The bytes that are percent-encoded: every byte except the unreserved characters of RFC 3986, section 2.3 (letters,
/// digits and `-._~`).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes a text for a query and returns the pieces of the result. Only the unreserved characters of RFC 3986
/// stay as they are.
pub fn percent_encoding(text: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(text, ENCODED)
}

/// Percent-encodes a text for a query.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    percent_encoding(text).collect()
}

/// The parts of a request that are signed.
pub struct Signable<'a> {
    /// The path exactly as it is sent. It begins with `/` and has no host, query or trailing slash.
    pub path: &'a str,
    /// The decoded names and values of the query in any order, including `app_key` and `timestamp`.
    pub query: &'a [(&'a str, &'a str)],
    /// The body, and its `content-type` if it has one.
    pub body: Option<(&'a [u8], Option<&'a str>)>,
}

impl Signable<'_> {
    /// Returns the input of the HMAC. It contains the secret.
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
        // The buffer gets its exact size first: a buffer that grows leaves copies of the secret in memory.
        let mut text = Vec::with_capacity(pieces().map(<[u8]>::len).sum());
        pieces().for_each(|piece| text.extend_from_slice(piece));
        SecretBytes::new(text)
    }

    /// Returns the signature: 64 lowercase hexadecimal digits.
    #[must_use]
    pub fn signature(&self, secret: &AppSecret) -> String {
        hex::encode(hmac_sha256(secret.expose().as_bytes(), &[self.string_to_sign(secret).expose()]))
    }
}

/// A webhook as it arrived.
pub struct Webhook<'a> {
    /// The key of the app that the webhook is for.
    pub app_key: &'a str,
    /// The raw body, before anything has parsed it.
    pub body: &'a [u8],
    /// The value of the header `Authorization`.
    pub authorization: &'a [u8],
}

/// The secret with which TikTok signed a webhook. After a change of the secret, webhooks may still arrive that TikTok
/// signed with the previous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedWith {
    /// The secret that is in use.
    CurrentSecret,
    /// The secret that was in use before the current one. TikTok signed the webhook before the secret was changed.
    PreviousSecret,
}

impl Webhook<'_> {
    /// Returns the value that `authorization` has if `secret` signed this webhook: 64 lowercase hexadecimal digits.
    #[must_use]
    pub fn signature(&self, secret: &AppSecret) -> String {
        hex::encode(hmac_sha256(secret.expose().as_bytes(), &[self.app_key.as_bytes(), self.body]))
    }

    /// Returns which secret signed this webhook. `None` means that neither secret signed it: TikTok Shop did not send
    /// this webhook, or the webhook was changed on its way. The signature does not prove the age of a webhook, and it
    /// does not show whether the webhook is a repetition.
    ///
    /// The comparison takes constant time. It is exact: a signature in upper case or with surrounding spaces is
    /// refused. An empty secret is never accepted, because anybody could sign with it.
    #[must_use]
    pub fn signed_with(&self, current: &AppSecret, previous: Option<&AppSecret>) -> Option<SignedWith> {
        let signed = |secret: &AppSecret| {
            let matches = self.signature(secret).as_bytes().ct_eq(self.authorization);
            !secret.expose().is_empty() && bool::from(matches)
        };
        // Both secrets are tried in any case, so that the time does not show which secret signed.
        let (current, previous) = (signed(current), previous.is_some_and(signed));
        if current {
            Some(SignedWith::CurrentSecret)
        } else if previous {
            Some(SignedWith::PreviousSecret)
        } else {
            None
        }
    }
}

/// Returns whether a text has the form of a signature: 64 lowercase hexadecimal digits. So a host can refuse a webhook
/// whose signature has another form before it loads the app's credentials and hashes the body.
#[must_use]
pub fn has_the_form_of_a_signature(authorization: &[u8]) -> bool {
    authorization.len() == 64 && authorization.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns the HMAC-SHA256 of the concatenated `parts`. The function adapts the key to the block size (RFC 2104,
/// section 2), so a key of any length is accepted.
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

/// Returns whether a body of this `content-type` is left out of the signature. Only the media type counts, not its
/// parameters.
#[must_use]
pub fn is_multipart(content_type: Option<&str>) -> bool {
    let media = content_type.and_then(|text| text.split(';').next()).map(str::trim).unwrap_or_default();
    media.eq_ignore_ascii_case("multipart/form-data")
}
