//! The signatures of TikTok Shop. The fake checks the signatures of requests and computes the signatures of webhooks.
//!
//! This file was written from the official pages `sign-your-api-request` and `tts-webhooks-overview` (as of 2026). On
//! purpose it shares no code with the connector: if the connector and the fake had the same mistake, no test would
//! notice it.

use hmac::digest::Key;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// The parts of a request that its signature covers.
pub(crate) struct Signed<'a> {
    /// The path as it was sent, without host and query.
    pub path: &'a str,
    /// The decoded query parameters. The signature does not cover `sign` and `access_token`.
    pub query: &'a [(String, String)],
    /// The whole `content-type` header, if there is one.
    pub content_type: Option<&'a str>,
    /// The bytes of the body, empty if the request has no body.
    pub body: &'a [u8],
}

/// Computes the correct value of `sign`: 64 lowercase hexadecimal digits.
pub(crate) fn sign(request: &Signed<'_>, app_secret: &str) -> String {
    hex(&hmac_sha256(app_secret.as_bytes(), &string_to_sign(request, app_secret)))
}

/// Computes the `Authorization` header of a webhook with this body: 64 lowercase hexadecimal digits.
pub(crate) fn sign_webhook(app_key: &str, app_secret: &str, body: &[u8]) -> String {
    hex(&hmac_sha256(app_secret.as_bytes(), &[app_key.as_bytes(), body].concat()))
}

fn string_to_sign(request: &Signed<'_>, app_secret: &str) -> Vec<u8> {
    let mut parameters: Vec<_> =
        request.query.iter().filter(|(name, _)| name != "sign" && name != "access_token").collect();
    parameters.sort_by(|(left, _), (right, _)| left.as_bytes().cmp(right.as_bytes()));

    let mut text = Vec::new();
    text.extend_from_slice(app_secret.as_bytes());
    text.extend_from_slice(request.path.as_bytes());
    for (name, value) in parameters {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(value.as_bytes());
    }
    if !is_multipart(request.content_type) {
        text.extend_from_slice(request.body);
    }
    text.extend_from_slice(app_secret.as_bytes());
    text
}

/// Tells whether the media type is `multipart/form-data`. Its parameters, like the boundary, do not matter.
fn is_multipart(content_type: Option<&str>) -> bool {
    content_type
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("multipart/form-data"))
}

/// Computes HMAC-SHA256 with a key of any length.
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    // RFC 2104, section 2: a key longer than a block is hashed first. A shorter key is padded with zeros.
    let mut block = Key::<Hmac<Sha256>>::default();
    let hashed;
    let key = if key.len() > block.len() {
        hashed = Sha256::digest(key);
        hashed.as_slice()
    } else {
        key
    };
    for (slot, byte) in block.iter_mut().zip(key) {
        *slot = *byte;
    }
    Hmac::<Sha256>::new(&block).chain_update(message).finalize().into_bytes().into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    const VECTORS: &str = include_str!("../../../connector-core/tests/vectors/request-signing.json");

    #[derive(Deserialize)]
    struct Vector {
        id: String,
        app_key: String,
        app_secret: String,
        timestamp: u64,
        path: String,
        query: Vec<Parameter>,
        content_type: String,
        body: Option<String>,
        string_to_sign: String,
        sign: String,
    }

    #[derive(Deserialize)]
    struct Parameter {
        name: String,
        value: String,
    }

    #[test]
    fn every_published_vector_is_reproduced() {
        let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
        assert_eq!(vectors.len(), 13);
        for vector in vectors {
            let mut query: Vec<_> = vector.query.into_iter().map(|p| (p.name, p.value)).collect();
            query.push(("timestamp".to_owned(), vector.timestamp.to_string()));
            query.push(("app_key".to_owned(), vector.app_key));
            let request = Signed {
                path: &vector.path,
                query: &query,
                content_type: Some(&vector.content_type),
                body: vector.body.as_deref().unwrap_or_default().as_bytes(),
            };
            let text = String::from_utf8(string_to_sign(&request, &vector.app_secret)).unwrap();
            assert_eq!(text, vector.string_to_sign, "{}", vector.id);
            assert_eq!(sign(&request, &vector.app_secret), vector.sign, "{}", vector.id);
        }
    }

    #[test]
    fn every_published_webhook_vector_is_reproduced() {
        #[derive(Deserialize)]
        struct Vector {
            id: String,
            app_key: String,
            app_secret: String,
            body: String,
            authorization: String,
        }

        let vectors = include_str!("../../../connector-core/tests/vectors/webhook-signing.json");
        let vectors: Vec<Vector> = serde_json::from_str(vectors).unwrap();
        assert_eq!(vectors.len(), 3);
        for Vector { id, app_key, app_secret, body, authorization } in vectors {
            assert_eq!(sign_webhook(&app_key, &app_secret, body.as_bytes()), authorization, "{id}");
        }
    }

    #[test]
    fn only_the_media_type_decides_whether_a_body_is_left_out_of_the_signature() {
        for (content_type, left_out) in [
            (Some("multipart/form-data"), true),
            (Some("Multipart/Form-Data; boundary=x"), true),
            (Some("multipart/mixed; boundary=x"), false),
            (Some("application/json"), false),
            (None, false),
        ] {
            assert_eq!(is_multipart(content_type), left_out, "{content_type:?}");
        }
    }

    #[test]
    fn hmac_takes_keys_longer_than_a_block() {
        // RFC 4231, test case 6: a key of 131 bytes.
        let digest = hmac_sha256(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&digest), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }
}
